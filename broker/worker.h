/* A worker: one thread, one event loop, and everything that lives on it. Sessions, connections,
 * timers and queues of a worker are touched by its thread alone; what crosses threads is the
 * mailboxes, the topic index, retained messages, message references, and the atomics named here. */
#ifndef BROKER_WORKER_H
#define BROKER_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "broker/broker.h"
#include "config/config.h"
#include "broker/mailbox.h"
#include "routing/message.h"
#include "routing/retained.h"
#include "broker/timer_wheel.h"
#include "routing/topic_index.h"
#include "broker/waiting.h"

struct worker;
struct session;
struct connection;

struct worker_timer {
    struct timer timer;
    void (*fire)(struct worker *worker, struct worker_timer *timer);
};

/* Subscription Identifiers that go with one delivery. Copied by identifiers_copy, freed by
 * identifiers_fini; `many` is heap memory when count > 1. */
struct identifiers {
    uint32_t count;
    uint32_t one;
    uint32_t *many;
};

/* One message on its way to one session. */
struct delivery {
    struct session *session;
    uint64_t incarnation; /* rule 9: nothing matched for an ended session reaches its successor */
    struct identifiers identifiers;
    uint32_t group; /* the shared subscription that chose this session; 0: none */
    uint8_t qos;
    bool retain;
    bool owed;    /* the store has a row for it */
    bool refused; /* the session's queue is full: its home is told, and counts it */
    bool patient; /* a retained message that was asked for: at QoS 0 it waits for the socket */
};

/* What one worker sends another: deliveries, grouped by message; or a connection that lives there.
 * Behind the deliveries, a round: see worker_round(). */
struct parcel {
    struct connection *connection; /* moved; or NULL */
    bool asks, answers;
    struct delivery *deliveries;
    uint32_t delivery_count, delivery_capacity;
    struct parcel_group {
        struct message *message; /* one reference */
        uint32_t count;
    } * groups;
    uint32_t group_count, group_capacity;
    struct parcel *next;
};

struct outbox {
    struct mailbox *mailbox;
    struct parcel *first,
        *last; /* built this turn, or waiting for room: never for ever, never lost */
    bool mailbox_full;
};

/* Drops are counted by reason: nothing is dropped silently. */
#define DROP_LIST(X)                                                                               \
    X(EXPIRED, "Message Expiry Interval passed")                                                   \
    X(QUEUE_FULL, "max_queued_messages reached")                                                   \
    X(TOO_LARGE, "larger than the Client's Maximum Packet Size")                                   \
    X(SLOW_CONSUMER, "QoS 0, and the Client does not read fast enough")                            \
    X(SESSION_ENDED, "the Session ended")                                                          \
    X(NOT_AUTHORISED, "publishing to this topic is not allowed")                                   \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(STORE_REFUSED, "the store takes no more messages: disk_cache_size, or a failing disk")       \
    X(STORE_DAMAGED, "its body could not be read back from the store")

enum drop_reason {
#define X(name, text) DROP_##name,
    DROP_LIST(X)
#undef X
        DROP_COUNT
};

/* Written by the worker, read by whoever publishes $SYS. */
#define WORKER_COUNTER_LIST(X)                                                                     \
    X(messages_received)                                                                           \
    X(messages_sent)                                                                               \
    X(publish_received)                                                                            \
    X(publish_sent)                                                                                \
    X(bytes_received)                                                                              \
    X(bytes_sent)                                                                                  \
    X(connections_accepted)                                                                        \
    X(clients_connected)                                                                           \
    X(sessions)

struct worker_counters {
#define X(name) _Atomic uint64_t name;
    WORKER_COUNTER_LIST(X)
#undef X
    _Atomic uint64_t dropped[DROP_COUNT];
};

/* A counter with one writer needs no locked instruction. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

struct session_table {
    struct session **buckets;
    uint32_t capacity, count;
};

struct worker {
    struct broker *broker;
    unsigned index;
    pthread_t thread;
    int epoll_fd, event_fd;
    int spare_fd; /* see listener.c */

    uint64_t now_ms;      /* boot clock */
    int64_t store_now_ms; /* the same in store time */

    struct timer_wheel wheel;
    struct store_batch *batch; /* open during a turn, or NULL */
    uint64_t last_lsn;         /* of the last batch opened */
    uint64_t last_end_lsn;     /* of the last end of a session with a row */
    struct waiting waiting;
    struct session_table sessions;
    struct route_cache *routes;
    struct list connections;  /* all of them */
    struct list ready;        /* connections with input left to read */
    struct list unflushed;    /* connections with output of this turn */
    struct list subscribing;  /* wait for a round; see subscribe.c */
    struct list answering;    /* are answered, in turns */
    bool answers_left;        /* there was no time for all of them */
    uint64_t round;           /* the last that was begun */
    unsigned unanswered;      /* workers that have not answered it */
    struct mailbox **inboxes; /* from each worker */
    struct outbox *outboxes;  /* to each worker */
    bool has_letters;         /* posted to an outbox since post_all */
    bool congested;           /* an outbox waits for room: sockets are not read (rule 21) */
    uint32_t next_connection_serial;
    uint64_t random_state;

    struct delivery *deliveries; /* scratch of dispatch */
    uint32_t delivery_capacity;
    struct store_owed *owed;
    uint32_t owed_capacity;
    uint8_t *input, *plaintext; /* WORKER_INPUT_SIZE each, shared by all connections */

    struct list free_sessions; /* slabs are unmapped at the end only */
    struct session **slabs;
    uint32_t slab_count;
    struct list started; /* sessions from the store, to be settled on the first turn */
    struct worker_timer sys_timer, resend_timer;
    uint64_t queued_bytes;    /* of messages that wait in memory for sessions */
    uint64_t recorded_bytes;  /* of messages that the store still has to write */
    bool store_full;          /* disk_cache_size is reached */
    uint64_t volatile_number; /* of $SYS messages */
    bool stopping;

    _Alignas(64) struct worker_counters counters;
    _Alignas(64) _Atomic bool asleep; /* set before blocking; whoever clears it must wake */
    _Atomic bool poked;               /* something came since the turn began */
    _Atomic bool wants_room;          /* congested: wake when an inbox of ours was read */
};

enum { WORKER_INPUT_SIZE = 256 * 1024, WORKER_RECORDED_MAX = 64 * 1024 * 1024 };

enum status MUST_USE worker_init(struct worker *worker, struct broker *broker, unsigned index);
/* Once all workers are initialised; and to begin accepting. */
void worker_connect(struct worker *worker);
enum status MUST_USE worker_listen(struct worker *worker);
void worker_fini(struct worker *worker);
void *worker_run(void *worker);

/* Any thread. */
void worker_wake(struct worker *worker);

/* The batch of this turn, opened when needed. */
struct store_batch *worker_batch(struct worker *worker);
/* Its LSN, for a promise that rests on what was just appended. */
static inline uint64_t worker_lsn(const struct worker *worker)
{
    return worker->last_lsn;
}

/* The LSN of the batch that is open; what it holds has not been submitted. */
static inline uint64_t worker_open_lsn(const struct worker *worker)
{
    return worker->batch != NULL ? worker->last_lsn : UINT64_MAX;
}

static inline bool worker_is_durable(const struct worker *worker, uint64_t lsn)
{
    return lsn <= store_durable(worker->broker->store);
}

void worker_timer_init(struct worker_timer *timer,
                       void (*fire)(struct worker *worker, struct worker_timer *timer));
static inline void worker_timer_set(struct worker *worker, struct worker_timer *timer,
                                    uint64_t due_ms)
{
    timer_set(&worker->wheel, &timer->timer, due_ms);
}
static inline void worker_timer_cancel(struct worker *worker, struct worker_timer *timer)
{
    timer_cancel(&worker->wheel, &timer->timer);
}

/* Appends deliveries (takes their identifiers) to the parcel for another worker; a reference of the
 * message is taken for the group. */
void worker_post(struct worker *worker, unsigned home, struct message *message,
                 const struct delivery *deliveries, uint32_t count);
void worker_post_connection(struct worker *worker, unsigned home, struct connection *connection);

/* A round: every other worker is asked, through its mailbox, and answers behind all that it has
 * sent here. When it is done, whatever another worker was at when the round was asked for has been
 * carried out in full, and what it had for sessions of this worker has arrived. Returns the number
 * of the round to wait for, and there is never more than one under way: who asks meanwhile waits
 * for the next. subscribe_round_done() is called. */
uint64_t worker_round(struct worker *worker);
static inline bool worker_round_is_done(const struct worker *worker, uint64_t round)
{
    return round < worker->round || (round == worker->round && worker->unanswered == 0);
}

/* A message was handed to the store, and is let go of by it: its `release`. */
void worker_recorded(struct worker *worker, const struct message *message);
void worker_release(void *context, void *cookie);

/* The disk does not keep up with what is published. */
static inline bool worker_is_overloaded(const struct worker *worker)
{
    return worker->recorded_bytes > WORKER_RECORDED_MAX;
}

void worker_drop(struct worker *worker, struct session *session, enum drop_reason reason);

uint64_t worker_random(struct worker *worker);

struct identifiers identifiers_copy(const uint32_t *values, uint32_t count);
static inline const uint32_t *identifiers_values(const struct identifiers *identifiers)
{
    return identifiers->count > 1 ? identifiers->many : &identifiers->one;
}
void identifiers_fini(struct identifiers *identifiers);

#endif
