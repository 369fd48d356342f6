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
#include "broker/counters.h"
#include "broker/relay.h"
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
struct trace_writer;
struct verification;
struct recorder_ring;

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
    bool owed;           /* the store has a row for it */
    bool reserved;       /* room was taken for it: see broker/room.h */
    bool refused;        /* there was none: the session's home is told, and counts it */
    uint8_t refused_for; /* enum drop_reason */
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
        struct message *message; /* one reference; or NULL: PUBLISHes that are relayed */
        uint32_t count;          /* of `deliveries`, or of `targets` */
        uint32_t size, packets;  /* of `relayed` */
        uint8_t version;
    } * groups;
    uint32_t group_count, group_capacity;
    struct relay_target *targets;
    uint32_t target_count, target_capacity;
    struct buffer relayed;
    size_t bytes; /* of memory, about */
    struct parcel *next;
};

struct outbox {
    struct mailbox *mailbox;
    struct parcel *first,
        *last;      /* built this turn, or waiting for room: never for ever, never lost */
    size_t relayed; /* bytes in the last parcel that relayed any */
};

struct session_table {
    struct session **buckets;
    uint32_t capacity, count;
};

struct worker {
    struct broker *broker;
    struct policy *policy; /* a reference; policy_take() */
    unsigned index;
    pthread_t thread;
    int epoll_fd, event_fd;
    int spare_fd; /* see listener.c */

    uint64_t now_us;      /* boot clock, as the turn began */
    uint64_t now_ms;      /* the same */
    int64_t store_now_ms; /* the same in store time */

    struct timer_wheel wheel;
    struct store_batch *batch; /* open during a turn, or NULL */
    uint64_t last_lsn;         /* of the last batch opened */
    uint64_t last_end_lsn;     /* of the last end of a session with a row */
    struct waiting waiting;
    struct session_table sessions;
    struct route_cache *routes;
    struct relay relay;
    struct list connections;    /* all of them */
    struct list ready;          /* connections with input left to read */
    struct list unflushed;      /* connections with output of this turn */
    struct list subscribing;    /* wait for a round; see subscribe.c */
    struct list answering;      /* are answered, in turns */
    struct list authenticating; /* attempts, in the order of their CONNECTs; see authenticate.c */
    bool answers_left;          /* there was no time for all of them */
    uint64_t round;             /* the last that was begun */
    unsigned unanswered;        /* workers that have not answered it */
    uint64_t *answer_at;      /* by worker: its round is answered when `waiting.released` is this */
    unsigned answers_due;     /* of these: not 0 */
    struct mailbox **inboxes; /* from each worker */
    struct outbox *outboxes;  /* to each worker */
    size_t gathered;          /* bytes in outboxes */
    bool has_letters;         /* posted to an outbox since worker_post_all */
    bool flooded;             /* so many bytes of mail since then that no more is to be read */
    bool congested;           /* mail waits for room: sockets are not read (rule 21) */
    size_t early_input;       /* bytes; see early_input.h */
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
    struct worker_timer sys_timer, resend_timer, drop_timer, limits_timer, retained_timer,
        expiry_timer, listen_timer;
    bool closed;              /* to new connections: worker_close_listeners() */
    bool *deaf;               /* by listener: it is not accepted from until listen_timer fires */
    uint64_t retained_cursor; /* see retained_expiry.c */
    uint32_t limits_warned;   /* bits of enum limits_name */
    struct list dropping;     /* struct drops with something to be said */
    unsigned drop_lines;      /* said since drop_timer fired */
    uint64_t drops_unsaid;    /* what was beyond the last line */
    uint64_t queued_bytes;    /* of messages that wait in memory for sessions */
    uint64_t recorded_bytes;  /* of messages that the store still has to write */
    uint64_t calm_messages, calm_bytes[2]; /* see outbound_room.c; bytes by: is it stored */
    uint64_t store_free_messages;          /* as of this turn: of disk_cache_size, */
    uint64_t store_free_bytes;             /* of max_store_bytes; UINT64_MAX: no limit */
    bool overloaded;                       /* somebody is not read because of the store */
    bool store_scarce;                     /* there is less than a fifth of one of them */
    uint64_t volatile_number;              /* of $SYS messages */
    bool stopping;
    struct recorder_ring *recorder; /* what sessions did last: recorder.h */
    struct mailbox *errands;        /* from the thread that administers */
    bool watched;                   /* each step of a machine is logged or traced */
    struct trace_writer *trace;     /* NULL: there is no trace */
    struct worker_timer trace_timer;

    _Alignas(64) struct worker_counters counters;
    _Alignas(64) _Atomic bool asleep;   /* set before blocking; whoever clears it must wake */
    _Atomic bool poked;                 /* something came since the turn began */
    _Atomic bool wants_room;            /* congested: wake when an inbox of ours was read */
    _Atomic size_t in_mail;             /* bytes that we have posted and nobody has opened */
    struct verification *_Atomic tried; /* a stack of attempts to go on with */
    struct policy *_Atomic offered;     /* a reference for this worker to take over; or NULL */
};

enum { WORKER_INPUT_SIZE = 256 * 1024 };

enum status MUST_USE worker_init(struct worker *worker, struct broker *broker, unsigned index);
/* Once all workers are initialised; and to begin accepting. */
void worker_connect(struct worker *worker);
enum status MUST_USE worker_listen(struct worker *worker);
/* Accepts nothing from the listener for a while. */
void worker_pause_listener(struct worker *worker, const struct listener *listener,
                           uint64_t wait_ms);
/* Accepts nothing from any listener any more. */
void worker_close_listeners(struct worker *worker);
void worker_fini(struct worker *worker);
void *worker_run(void *worker);
/* One turn of the loop; waits for events so many milliseconds. worker_run() does nothing else: for
 * who has a broker without threads (broker_open). On a thread that is registered for reclaim. */
void worker_turn(struct worker *worker, int timeout);

/* Any thread. */
void worker_wake(struct worker *worker);

/* The batch of this turn, opened when needed. */
struct store_batch *worker_batch(struct worker *worker);
/* Submits it, if there is one: the next has an LSN behind all that were given out before. */
void worker_submit(struct worker *worker);
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
/* The same for PUBLISHes that are relayed: copies bytes and targets. */
void worker_post_relay(struct worker *worker, unsigned home, const struct relay_packets *packets,
                       const struct relay_target *targets, uint32_t count);
void worker_post_connection(struct worker *worker, unsigned home, struct connection *connection);
/* Posts what has been gathered. What finds no room stays, and sockets are not read meanwhile. */
void worker_post_all(struct worker *worker);
/* Opens what was there when the turn began, `pending` by sender, and no more: a batch opened from
 * here on has a higher LSN than anything these letters rest on (rule 8). */
void worker_open_mail(struct worker *worker, const size_t *pending);
/* At the end, with the mailboxes: what is owed is in the store. */
void worker_discard_mail(struct worker *worker);

/* A round: every other worker is asked, through its mailbox, and answers behind all that it has
 * sent here, and when what is routed and waits for the disk to be retained has been. When the round
 * is done, whatever a worker, this one too, had routed when the round was asked for has been
 * retained if it is to be, and what it had for sessions of this worker has arrived. Returns the
 * number of the round to wait for, and there is never more than one under way: who asks meanwhile
 * waits for the next. subscribe_round_done() is called. */
uint64_t worker_round(struct worker *worker);
/* Answers the rounds of others for which nothing waits any more. */
void worker_answer_rounds(struct worker *worker);
static inline bool worker_round_is_done(const struct worker *worker, uint64_t round)
{
    return round < worker->round || (round == worker->round && worker->unanswered == 0);
}

/* A message was handed to the store, and is let go of by it: its `release`. */
void worker_recorded(struct worker *worker, const struct message *message);
void worker_release(void *context, void *cookie);

/* The disk does not keep up with what is published. Whoever asks is waited for: its end is seen by
 * all connections. */
static inline bool worker_is_overloaded(struct worker *worker)
{
    if (!store_is_full(worker->broker->store))
        return false;
    worker->overloaded = true;
    return true;
}

uint64_t worker_random(struct worker *worker);

struct identifiers identifiers_copy(const uint32_t *values, uint32_t count);
static inline const uint32_t *identifiers_values(const struct identifiers *identifiers)
{
    return identifiers->count > 1 ? identifiers->many : &identifiers->one;
}
void identifiers_fini(struct identifiers *identifiers);

#endif
