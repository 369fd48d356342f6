/* How much has been submitted and is not written: what the storage thread owes, in messages and in
 * bytes of memory. Any thread.
 *
 * Three things come of it, each at twice the one before: a flush starts, answers wait for the disk
 * under `durability = flush` too, and publishers are no longer read. */
#ifndef STORAGE_BACKLOG_H
#define STORAGE_BACKLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    BACKLOG_FLUSH_THRESHOLDS = 2, /* times flush_mem_threshold, messages */
    BACKLOG_LAG_THRESHOLDS = 4,
    BACKLOG_FLUSH_BYTES = 16 << 20,
    BACKLOG_LAG_BYTES = 32 << 20,
    BACKLOG_FULL_BYTES = 64 << 20,
};

struct backlog {
    _Atomic uint64_t messages;
    _Atomic uint64_t bytes;
};

static inline void backlog_add(struct backlog *backlog, uint64_t messages, uint64_t bytes)
{
    atomic_fetch_add_explicit(&backlog->messages, messages, memory_order_relaxed);
    atomic_fetch_add_explicit(&backlog->bytes, bytes, memory_order_relaxed);
}

static inline bool backlog_is_due(const struct backlog *backlog, uint32_t threshold)
{
    return atomic_load_explicit(&backlog->messages, memory_order_relaxed) >=
               (uint64_t)threshold * BACKLOG_FLUSH_THRESHOLDS ||
           atomic_load_explicit(&backlog->bytes, memory_order_relaxed) >= BACKLOG_FLUSH_BYTES;
}

static inline bool backlog_lags(const struct backlog *backlog, uint32_t threshold)
{
    return atomic_load(&backlog->messages) > (uint64_t)threshold * BACKLOG_LAG_THRESHOLDS ||
           atomic_load(&backlog->bytes) > BACKLOG_LAG_BYTES;
}

static inline bool backlog_is_full(const struct backlog *backlog)
{
    return atomic_load(&backlog->bytes) > BACKLOG_FULL_BYTES;
}

/* Returns whether it has fallen below a mark that somebody may be waiting for. */
static inline bool backlog_take(struct backlog *backlog, uint64_t messages, uint64_t bytes,
                                uint32_t threshold)
{
    uint64_t lag = (uint64_t)threshold * BACKLOG_LAG_THRESHOLDS;
    uint64_t messages_before = atomic_fetch_sub(&backlog->messages, messages);
    uint64_t bytes_before = atomic_fetch_sub(&backlog->bytes, bytes);
    uint64_t bytes_after = bytes_before - bytes;
    return (messages_before > lag && messages_before - messages <= lag) ||
           (bytes_before > BACKLOG_LAG_BYTES && bytes_after <= BACKLOG_LAG_BYTES) ||
           (bytes_before > BACKLOG_FULL_BYTES && bytes_after <= BACKLOG_FULL_BYTES);
}

#endif
