#include "conformance/harness/run_case.h"

#include <string.h>

static struct conformance_case *cases;

/* By file, then by name: the order in which they are listed and reported. */
static int compare(const struct conformance_case *a, const struct conformance_case *b)
{
    int order = strcmp(a->file, b->file);
    return order ? order : strcmp(a->name, b->name);
}

void case_register(struct conformance_case *definition)
{
    struct conformance_case **at = &cases;
    while (*at && compare(*at, definition) < 0)
        at = &(*at)->next;
    definition->next = *at;
    *at = definition;
}

const struct conformance_case *case_first(void)
{
    return cases;
}
