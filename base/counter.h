/* Numbers that one thread writes and any thread may read, without locks and without a locked
 * instruction: a reader may see them a moment old, and never torn. */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

static inline void counter_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The thread that writes it. A gauge goes down by (uint64_t)-1. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t value)
{
    counter_set(counter, counter_read(counter) + value);
}

#endif
