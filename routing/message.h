/* One Application Message: immutable, reference-counted, in one allocation.
 *
 * Any thread may hold and drop references; the bytes never change after message_new.
 * `stored.number` is set once, by the publisher's worker, before another thread can see the
 * message, and `routed_version` before it is retained. */
#ifndef BROKER_MESSAGE_H
#define BROKER_MESSAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "storage/store.h"

struct message {
    struct store_message stored; /* its bytes point behind the struct */
    /* Of a retained message: the topic index's version that it was routed as of. A subscription no
     * younger than that gets it as a live one. 0: from the store. */
    uint64_t routed_version;
    bool claimed; /* between retained_claim() and retained_set(); its publisher's worker alone */
    _Atomic bool current; /* it is the retained message of its topic: retained_is_current() */
    _Atomic uint32_t references;
};

/* A message with one reference and copies of the three ranges; the rest of `stored` is zero. NULL
 * when there is no memory. */
struct message *message_new(struct bytes topic, struct bytes properties, struct bytes payload);
/* A copy of a message read from the store or a will. */
struct message *message_copy(const struct store_message *stored);

static inline void message_hold(struct message *message, uint32_t count)
{
    atomic_fetch_add_explicit(&message->references, count, memory_order_relaxed);
}

/* What a peer sent of it: topic, properties, payload. */
static inline uint64_t message_bytes(const struct message *message)
{
    return message->stored.topic.size + message->stored.properties.size +
           message->stored.payload.size;
}

/* About what it takes of memory. */
static inline uint64_t message_memory(const struct message *message)
{
    return sizeof *message + message_bytes(message);
}

/* Whether its Message Expiry Interval has passed. */
static inline bool message_expired(const struct message *message, int64_t store_now_ms)
{
    const struct store_message *stored = &message->stored;
    return stored->has_expiry &&
           store_now_ms - stored->received_at_ms >= (int64_t)stored->expiry_interval_s * 1000;
}

void message_drop(struct message *message, uint32_t count);

#endif
