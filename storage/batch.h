/* What a batch is made of, for the storage thread. Deltas live in the batch's arena; the pending
 * set links the very same objects, so a publish is neither copied nor allocated again on its way
 * to disk. A batch belongs to its worker until submitted, then to the storage thread until it is
 * popped from the pending set, then to its worker again. */
#ifndef STORAGE_BATCH_H
#define STORAGE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "storage/arena.h"
#include "storage/store.h"

enum delta_type {
    DELTA_PUBLISH,
    DELTA_SESSION,
    DELTA_SESSION_END,
    DELTA_SUBSCRIBE,
    DELTA_UNSUBSCRIBE,
    DELTA_SENT,
    DELTA_RELEASED,
    DELTA_SETTLED,
    DELTA_INBOUND_ERASE,
    DELTA_RETAINED_EXPIRE,
};

struct delta {
    struct delta *next;    /* in its batch */
    struct delta *op_next; /* in the pending set's list of operations */
    enum delta_type type;
};

/* A change of the owed row of one session and message. NEW: the row is not in the database yet, and
 * `message` says of what. Otherwise: what is to become of the row that is. */
struct row {
    struct row *hash_next;
    struct list session_link; /* in pending_session.rows or .changes */
    uint64_t incarnation;
    uint64_t number;
    struct delta_publish *message; /* NULL: a change of a written row */
    uint64_t sequence;
    uint16_t packet_identifier;
    uint8_t state; /* enum store_outbound */
    uint8_t qos;
    bool retain;
    bool live;    /* NEW: linked into the pending set */
    bool sent;    /* change: packet_identifier and sequence are to be written */
    bool settled; /* change: delete the row */
    uint32_t subscription_identifier_count;
    const uint32_t *subscription_identifiers;
};

struct delta_publish {
    struct delta delta;
    struct store_batch *batch;
    struct list link; /* in pending.messages, while rows are owed */
    const struct store_message *message;
    void *cookie;
    uint64_t number;
    uint64_t inbound_incarnation;
    uint16_t inbound_packet_identifier;
    uint8_t retained; /* enum store_retained */
    bool urgent;
    struct delta_publish *batch_next;
    uint32_t live_count; /* rows not cancelled */
    uint32_t row_count;
    struct row rows[];
};

struct delta_session {
    struct delta delta;
    struct store_session session; /* bytes in the arena */
};

struct delta_subscription { /* subscribe, unsubscribe */
    struct delta delta;
    uint64_t incarnation;
    struct store_subscription subscription;
};

struct delta_retained { /* retained_expire */
    struct delta delta;
    struct bytes topic;
    uint64_t number;
};

struct delta_row { /* sent, released, settled, inbound_erase, session_end */
    struct delta delta;
    uint64_t incarnation;
    uint64_t number;
    uint64_t sequence;
    uint16_t packet_identifier;
    uint8_t qos; /* sent: 0 when not told */
};

struct store_batch {
    struct store_batch *next; /* in whatever list it is in */
    struct store *store;
    unsigned worker;
    uint64_t lsn;
    struct arena arena;
    struct delta *first;
    struct delta **last;
    struct delta_publish *publishes; /* for the cookies */
    uint32_t message_count;
    size_t message_bytes;
    bool urgent; /* wakes a napping storage thread */
    /* the pending set's */
    uint32_t refs; /* uncancelled owed rows */
    bool held;     /* only a commit can make it durable */
    uint64_t applied_us;
};

struct store_batch *batch_new(struct store *store, unsigned worker);
/* About what it takes of memory, with the bodies that it refers to. */
static inline uint64_t batch_bytes(const struct store_batch *batch)
{
    return batch->arena.bytes + batch->message_bytes;
}
/* Hands every cookie to `release`. */
void batch_release(struct store_batch *batch, void (*release)(void *context, void *cookie),
                   void *context);
/* Empties the batch for its next use. */
void batch_recycle(struct store_batch *batch);
void batch_free(struct store_batch *batch);

#endif
