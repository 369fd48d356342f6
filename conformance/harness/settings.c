#include "conformance/harness/settings.h"

#include <stdlib.h>

enum { GENERATORS_MAX = 16 };

bool settings_full;

static void (*generators[GENERATORS_MAX])(void);
static unsigned generator_count;

void case_generator_register(void (*generate)(void))
{
    if (generator_count == GENERATORS_MAX)
        abort();
    generators[generator_count++] = generate;
}

void case_generate(void)
{
    for (unsigned i = 0; i < generator_count; i++)
        generators[i]();
}
