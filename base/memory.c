#include "base/memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"

enum { RESERVE = 16 << 20 }; /* of addresses: nobody writes to it */

static _Atomic(void *) reserve;
static _Atomic bool is_low;

void memory_reserve(void)
{
    void *taken = malloc(RESERVE);
    free(atomic_exchange(&reserve, taken));
    atomic_store(&is_low, taken == NULL);
}

void memory_begin_thread(void)
{
    void *volatile taken = malloc(1); /* volatile: or the compiler leaves both out */
    free(taken);
}

void memory_use_reserve(void)
{
    free(atomic_exchange(&reserve, NULL));
    if (!atomic_exchange(&is_low, true))
        log_line(LOG_ERROR, "out of memory: the reserve is used for what must be remembered; "
                            "new messages and connections are refused until there is more");
}

void *memory_take(size_t size)
{
    void *taken = malloc(size);
    if (taken == NULL) {
        memory_use_reserve();
#ifndef SEEDED_BUG_RESERVE_IGNORED
        taken = malloc(size);
#endif
    }
    CHECK(taken != NULL); /* and the reserve is used up */
    return taken;
}

void *memory_take_zeroed(size_t count, size_t size)
{
    void *taken = calloc(count, size);
    if (taken == NULL) {
        memory_use_reserve();
        taken = calloc(count, size);
    }
    CHECK(taken != NULL);
    return taken;
}

void *memory_resize(void *old, size_t size)
{
    void *resized = realloc(old, size);
    if (resized == NULL) {
        memory_use_reserve();
        resized = realloc(old, size);
    }
    CHECK(resized != NULL);
    return resized;
}

bool memory_is_low(void)
{
    if (!atomic_load_explicit(&is_low, memory_order_relaxed))
        return false;
    void *taken = malloc(RESERVE);
    if (taken == NULL)
        return true;
    free(atomic_exchange(&reserve, taken));
    if (atomic_exchange(&is_low, false))
        log_line(LOG_NOTICE, "there is memory again, and a reserve of it");
    return false;
}
