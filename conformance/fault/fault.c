#include "conformance/fault/fault.h"

#include <string.h>

static const struct fault faults[] = {
#define FAULT(name, sentence) {#name, sentence, &fault_##name},
#include "conformance/fault/fault.def"
#undef FAULT
    {0},
};

const struct fault *fault_first(void)
{
    return faults;
}

const struct fault *fault_named(const char *name)
{
    for (const struct fault *fault = faults; fault->name; fault++) {
        if (strcmp(fault->name, name) == 0)
            return fault;
    }
    return NULL;
}
