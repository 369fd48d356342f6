/* Sessions (4.1): one per Client Identifier, on its home worker, in memory that is never unmapped
 * so that an old pointer is harmless: its incarnation tells. */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "broker/outbound.h"
#include "broker/pid_map.h"
#include "broker/room.h"
#include "broker/worker.h"
#include "fsm/machines.h"
#include "protocol/packet.h"

/* What a publisher on another worker may know of a session, as bits of `facts`. */
enum {
    SESSION_FACT_STORED = 1, /* outlives its connection: QoS 1 and 2 get rows */
    SESSION_FACT_CONNECTED = 2,
    SESSION_FACT_QUOTA = 4,   /* can be sent to at once */
    SESSION_FACT_NEAR = 8,    /* its queue is near a limit: `room` says how much is left */
    SESSION_FACT_FULL = 16,   /* it has reached it */
    SESSION_FACT_GREEDY = 32, /* it has more than its share of a store that is nearly full */
};

struct subscription {
    struct topic_index_entry *entry; /* NULL: it has ended, and a SUBSCRIBE still names it */
    uint32_t identifier;
    uint32_t unanswered; /* SUBSCRIBEs that name it and wait for a round */
    uint16_t filter_size;
    uint8_t options;
    bool wants_retained; /* while its SUBSCRIBE is handled */
    bool recorded;       /* the store has it */
    uint8_t filter[];    /* as in the SUBSCRIBE */
};

/* Apart from the session, because most have none. */
struct session_will {
    struct session *session;
    struct message *message; /* one reference */
    uint32_t delay_interval_s;
    int64_t due_ms; /* store time; once it is delayed */
    struct worker_timer timer;
};

struct session {
    struct session *bucket_next;
    struct list list;     /* free slots; or the worker's `started` */
    uint64_t incarnation; /* 0: free */
    uint16_t home;        /* the worker; set once per slot */
    _Atomic uint8_t facts;
    struct room room;   /* what is before and up to here outlives the session */
    uint8_t state;      /* enum session_state */
    uint8_t will_state; /* enum will_state */
    uint8_t version;
    bool has_row : 1;  /* the store has a row for it */
    bool unloaded : 1; /* from an earlier run; in-flight state is still in the store only */
    uint32_t expiry_interval_s;
    uint64_t hash;                  /* of the client identifier */
    struct bytes client_identifier; /* owned, with what follows it: */
    struct bytes owner;             /* the identity that made it */
    struct connection *connection;
    int64_t disconnected_at_ms; /* store time */
    struct session_will *will;  /* NULL: none */
    struct worker_timer expiry_timer;
    struct subscription **subscriptions; /* by filter: open addressing */
    uint32_t subscription_capacity, subscription_count;
    struct subscribing *last_subscribing; /* of those that are answered in turns */
    struct pid_map inbound;               /* QoS 2: enum inbound_qos2_state, and INBOUND_COUNTED */
    struct outbound outbound;
    struct drops *drops; /* NULL: none so far */
};

static inline uint8_t session_facts(const struct session *session)
{
    return atomic_load_explicit(&session->facts, memory_order_acquire);
}

static inline void session_set_facts(struct session *session, uint8_t facts)
{
    atomic_store_explicit(&session->facts, facts, memory_order_release);
}

static inline void session_set_fact(struct session *session, uint8_t fact, bool value)
{
    uint8_t facts = session_facts(session);
    session_set_facts(session, value ? (uint8_t)(facts | fact) : (uint8_t)(facts & ~fact));
}

static inline bool session_is_stored(const struct session *session)
{
    return (session_facts(session) & SESSION_FACT_STORED) != 0;
}

/* Whether it outlives its connection; those that do are counted. */
void session_set_stored(struct worker *worker, struct session *session, bool stored);

struct session *session_find(struct worker *worker, struct bytes client_identifier);

/* The places of a worker's sessions, from 0 on: one keeps its place as long as it lives. False: the
 * worker has none at or behind `place`. `*out` is NULL where there is no session. */
bool session_at(const struct worker *worker, uint64_t place, const struct session **out);

/* A new session in state ABSENT, in the table, without a row. NULL: no memory. */
struct session *session_new(struct worker *worker, struct bytes client_identifier,
                            struct bytes owner, uint64_t incarnation);

/* What an accepted CONNECT does to a session (NULL: absent): carries out the session and will
 * machines. Returns the session to use, or NULL without memory; `*out_present` is Session Present.
 * The caller writes the row. */
struct session *session_connect(struct worker *worker, struct session *session,
                                const struct connect *connect, struct bytes client_identifier,
                                struct bytes owner, uint32_t expiry_interval_s, bool *out_present);

/* A Will Message for session_set_will(). NULL: no memory, and the message is still the caller's. */
struct session_will *session_will_new(struct message *message /* takes */,
                                      uint32_t delay_interval_s);
/* NULL is allowed. */
void session_will_free(struct worker *worker, struct session_will *will /* takes */);
/* Of a session that has none. NULL: none. */
void session_set_will(struct session *session, struct session_will *will /* takes */);

/* Records the session's row as it is now. */
void session_write(struct session *session, struct store_batch *batch);

/* The Network Connection has closed. `normally`: by a DISCONNECT that deletes the Will Message. */
void session_disconnected(struct worker *worker, struct session *session, bool normally);

/* Ends a session whose connection is closed, as if its interval had passed: for an operator. */
void session_discard(struct worker *worker, struct session *session);

/* The broker stops: its row stays that of a connected session, for the next start to see (rule 16).
 */
void session_suspended(struct worker *worker, struct session *session);

/* At the first turn of a run, for a session from the store that was connected: it counts as
 * disconnected now; or for one that was not: its timers go on. */
void session_restart(struct worker *worker, struct session *session, bool was_connected);

/* Frees everything of a session whose worker has ended; the store keeps its rows. */
void session_forget(struct worker *worker, struct session *session);

/* Unmaps all slots: when no thread can hold a route any more. */
void session_slabs_free(struct worker *worker);

struct subscription *session_subscription(const struct session *session, const struct hash_key *key,
                                          struct bytes filter);
enum status MUST_USE session_subscription_add(struct session *session, const struct hash_key *key,
                                              struct subscription *subscription /* takes */);
void session_subscription_remove(struct session *session, const struct hash_key *key,
                                 const struct subscription *subscription);

/* Makes a subscription, in the index and in the session: on SUBSCRIBE, and at start for one from
 * the store. `*out_version`: the version of the index that has it first. subscribe.c. */
enum status MUST_USE subscription_restore(struct worker *worker, struct session *session,
                                          struct bytes text, uint8_t options, uint32_t identifier,
                                          struct subscription **out, uint64_t *out_version);
/* Takes it out of the index and frees it, now or when its SUBSCRIBE is answered. */
void subscription_end(struct worker *worker, struct subscription *subscription /* takes */);

/* Printable client identifier; a buffer of the thread's, valid until the next call. */
const char *session_name(const struct session *session);

uint64_t session_boot_ms(const struct worker *worker, int64_t store_ms);

#endif
