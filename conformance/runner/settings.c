#include "conformance/runner/settings.h"

#include <stdlib.h>

enum { GENERATORS_MAX = 16 };

static bool full_matrix;
static void (*generators[GENERATORS_MAX])(void);
static unsigned generator_count;

bool settings_full(void)
{
    return full_matrix;
}

void settings_set_full(bool full)
{
    full_matrix = full;
}

void settings_add_generator(void (*generate)(void))
{
    if (generator_count == GENERATORS_MAX)
        abort(); /* before main, so the first run of the program shows it */
    generators[generator_count++] = generate;
}

void settings_run_generators(void)
{
    for (unsigned i = 0; i < generator_count; i++)
        generators[i]();
    generator_count = 0;
}
