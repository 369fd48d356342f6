#include "broker/worker.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/authenticate.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "fsm/machines.h"

/* Mail: what one worker sends another, gathered for a turn in parcels, posted in mailboxes, opened
 * at the beginning of the other's turn. */

enum {
    PARCEL_BYTES = 256 * 1024, /* of what is relayed: then the next */
    LETTER_BYTES = 16 * 1024,  /* a letter's share of what may be under way: see is_flooded() */
};

void worker_wake(struct worker *worker)
{
    atomic_store(&worker->poked, true);
    if (atomic_exchange(&worker->asleep, false)) {
        uint64_t one = 1;
        ssize_t written = write(worker->event_fd, &one, sizeof one);
        (void)written; /* full: it is awake already */
    }
}

static void parcel_free(struct parcel *parcel)
{
    free(parcel->deliveries);
    free(parcel->groups);
    free(parcel->targets);
    buffer_fini(&parcel->relayed);
    free(parcel);
}

static struct parcel *parcel_append(struct worker *worker, struct outbox *outbox)
{
    struct parcel *parcel = memory_take_zeroed(1, sizeof *parcel);
    worker->has_letters = true;
    if (outbox->last != NULL)
        outbox->last->next = parcel;
    else
        outbox->first = parcel;
    outbox->last = parcel;
    return parcel;
}

static void parcel_discard(struct parcel *parcel)
{
    if (parcel->connection != NULL)
        connection_free(parcel->connection);
    for (uint32_t i = 0; i < parcel->delivery_count; i++)
        identifiers_fini(&parcel->deliveries[i].identifiers);
    for (uint32_t i = 0; i < parcel->group_count; i++) {
        if (parcel->groups[i].message != NULL)
            message_drop(parcel->groups[i].message, 1);
    }
    parcel_free(parcel);
}

/* A few bytes from a socket may become many times as much for other workers, a look at each session
 * that a message is meant for. Nothing more is read while so much of it is under way, nor in the
 * rest of the turn in which it was: who was stopped is found by `flooded` (read_connections()). */
static bool is_flooded(const struct worker *worker)
{
#ifdef SEEDED_BUG_MAIL_UNBOUNDED
    return false;
#endif
    return worker->gathered + atomic_load(&worker->in_mail) >
           (size_t)worker->broker->config->broker.mailbox_size * LETTER_BYTES;
}

static void weigh(struct worker *worker, struct parcel *parcel, size_t bytes)
{
    parcel->bytes += bytes;
    worker->gathered += bytes;
#ifdef SEEDED_BUG_FLOODED_NOT_HELD
    worker->flooded = is_flooded(worker);
#else
    worker->flooded = worker->flooded || is_flooded(worker);
#endif
}

#define GROW(array, capacity, needed)                                                              \
    do {                                                                                           \
        if ((needed) > (capacity)) {                                                               \
            while ((needed) > (capacity))                                                          \
                (capacity) = (capacity) > 0 ? (capacity)*2 : 64;                                   \
            (array) = memory_resize((array), (capacity) * sizeof *(array));                        \
        }                                                                                          \
    } while (0)

/* The last parcel for a worker, to be added to. */
static struct parcel *parcel_for(struct worker *worker, unsigned home)
{
    struct outbox *outbox = &worker->outboxes[home];
    if (outbox->last == NULL || outbox->last->connection != NULL)
        return parcel_append(worker, outbox);
    return outbox->last;
}

void worker_post(struct worker *worker, unsigned home, struct message *message,
                 const struct delivery *deliveries, uint32_t count)
{
    struct parcel *parcel = parcel_for(worker, home);
    GROW(parcel->deliveries, parcel->delivery_capacity, parcel->delivery_count + count);
    memcpy(parcel->deliveries + parcel->delivery_count, deliveries, count * sizeof *deliveries);
    parcel->delivery_count += count;
    GROW(parcel->groups, parcel->group_capacity, parcel->group_count + 1);
    parcel->groups[parcel->group_count++] =
        (struct parcel_group){.message = message, .count = count};
    message_hold(message, 1);
    weigh(worker, parcel, count * sizeof *deliveries + message_memory(message));
}

void worker_post_relay(struct worker *worker, unsigned home, const struct relay_packets *packets,
                       const struct relay_target *targets, uint32_t count)
{
    struct outbox *outbox = &worker->outboxes[home];
    struct parcel *parcel = parcel_for(worker, home);
    if (parcel->relayed.size >= PARCEL_BYTES)
        parcel = parcel_append(worker, outbox);
    if (parcel->relayed.size == 0) /* as much as last time: grown once */
        buffer_take(&parcel->relayed, outbox->relayed);
    buffer_take(&parcel->relayed, packets->bytes.size);
    put_bytes(parcel->relayed.data + parcel->relayed.size, packets->bytes);
    parcel->relayed.size += packets->bytes.size;
    outbox->relayed = parcel->relayed.size;
    GROW(parcel->targets, parcel->target_capacity, parcel->target_count + count);
    memcpy(parcel->targets + parcel->target_count, targets, count * sizeof *targets);
    parcel->target_count += count;
    GROW(parcel->groups, parcel->group_capacity, parcel->group_count + 1);
    parcel->groups[parcel->group_count++] = (struct parcel_group){
        .count = count,
        .size = (uint32_t)packets->bytes.size,
        .packets = packets->count,
        .version = packets->version,
    };
    weigh(worker, parcel, count * sizeof *targets + packets->bytes.size);
}

void worker_post_connection(struct worker *worker, unsigned home, struct connection *connection)
{
    parcel_append(worker, &worker->outboxes[home])->connection = connection;
}

static bool waits_to_retain(const struct worker *worker)
{
    return worker->waiting.released < worker->waiting.retained;
}

/* Answers when what waits here to be retained has been. */
static void defer_answer(struct worker *worker, unsigned asker)
{
    worker->answer_at[asker] = worker->waiting.retained;
    worker->answers_due++;
}

static void begin_round(struct worker *worker)
{
    worker->round++;
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        if (i != worker->index)
            parcel_for(worker, i)->asks = true;
        else if (waits_to_retain(worker))
            defer_answer(worker, i);
        else
            continue;
        worker->unanswered++;
    }
}

uint64_t worker_round(struct worker *worker)
{
    if (worker->unanswered > 0)
        return worker->round + 1; /* the one under way may have been answered too early for this */
    begin_round(worker);
    return worker->round;
}

static void round_answered(struct worker *worker)
{
    CHECK(worker->unanswered > 0);
    worker->unanswered--;
    while (worker->unanswered == 0 && !list_empty(&worker->subscribing)) {
        subscribe_round_done(worker);
        if (!list_empty(&worker->subscribing))
            begin_round(worker); /* is done at once where there is nobody to ask */
    }
}

static void answer_round(struct worker *worker, unsigned asker)
{
    if (asker == worker->index)
        round_answered(worker);
    else
        parcel_for(worker, asker)->answers = true;
}

void worker_answer_rounds(struct worker *worker)
{
    for (unsigned i = 0; worker->answers_due > 0 && i < worker->broker->worker_count; i++) {
        if (worker->answer_at[i] == 0 || worker->waiting.released < worker->answer_at[i])
            continue;
        worker->answer_at[i] = 0;
        worker->answers_due--;
        answer_round(worker, i);
    }
}

static void round_asked(struct worker *worker, unsigned asker)
{
#ifndef SEEDED_BUG_ROUND_BEFORE_RETAINED
    if (waits_to_retain(worker)) {
        defer_answer(worker, asker);
        return;
    }
#endif
    answer_round(worker, asker);
}

void worker_post_all(struct worker *worker)
{
    atomic_store(&worker->wants_room, true);
    worker->congested = worker->flooded = worker->has_letters = false;
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        struct outbox *outbox = &worker->outboxes[i];
        bool posted = false;
        while (outbox->first != NULL) {
            struct parcel *parcel = outbox->first, *next = parcel->next;
            size_t bytes = parcel->bytes;
            parcel->next = NULL;
            atomic_fetch_add(&worker->in_mail, bytes); /* before it can be taken away again */
            if (!mailbox_post(outbox->mailbox, parcel)) {
                atomic_fetch_sub(&worker->in_mail, bytes);
                parcel->next = next;
#ifdef SEEDED_BUG_MAILBOX_DROP
                outbox->first = next;
                if (next == NULL)
                    outbox->last = NULL;
                continue;
#endif
#ifdef SEEDED_BUG_MAILBOX_WAITS
                usleep(100);
                continue;
#endif
                worker->congested = true;
                break;
            }
            posted = true;
            worker->gathered -= bytes;
            outbox->first = next;
            if (next == NULL)
                outbox->last = NULL;
        }
        if (posted)
            worker_wake(&worker->broker->workers[i]);
    }
    worker->congested = worker->congested || is_flooded(worker);
    if (!worker->congested)
        atomic_store(&worker->wants_room, false);
}

/* In the order in which it was routed. */
static void deliver_groups(struct worker *worker, const struct parcel *parcel)
{
    struct delivery *deliveries = parcel->deliveries;
    struct relay_target *targets = parcel->targets;
    const uint8_t *relayed = parcel->relayed.data;
    for (uint32_t i = 0; i < parcel->group_count; i++) {
        const struct parcel_group *group = &parcel->groups[i];
        if (group->message != NULL) {
            dispatch_deliver(worker, group->message, deliveries, group->count);
            message_drop(group->message, 1);
            deliveries += group->count;
            continue;
        }
        struct relay_packets packets = {bytes_of(relayed, group->size), group->packets,
                                        group->version};
        relay_deliver(worker, &packets, targets, group->count);
        relayed += group->size;
        targets += group->count;
    }
}

static void open_parcel(struct worker *worker, unsigned from, struct parcel *parcel)
{
    if (parcel->connection != NULL) {
        connection_adopt(worker, parcel->connection);
        connection_allow_time(parcel->connection);
        if (worker->stopping)
            connection_event(parcel->connection, CONNECTION_EVENT_STOPPED,
                             REASON_SERVER_SHUTTING_DOWN, "", NULL);
    }
    deliver_groups(worker, parcel);
    if (parcel->asks)
        round_asked(worker, from);
    if (parcel->answers)
        round_answered(worker);
    atomic_fetch_sub(&worker->broker->workers[from].in_mail, parcel->bytes);
    parcel_free(parcel);
}

void worker_open_mail(struct worker *worker, const size_t *pending)
{
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        for (size_t n = 0; n < pending[i]; n++)
            open_parcel(worker, i, mailbox_take(worker->inboxes[i]));
        if (pending[i] > 0 && atomic_load(&worker->broker->workers[i].wants_room))
            worker_wake(&worker->broker->workers[i]);
    }
}

void worker_discard_mail(struct worker *worker)
{
    for (unsigned i = 0; worker->inboxes != NULL && i < worker->broker->worker_count; i++) {
        if (worker->inboxes[i] != NULL) {
            for (struct parcel *parcel; (parcel = mailbox_take(worker->inboxes[i])) != NULL;)
                parcel_discard(parcel);
            mailbox_free(worker->inboxes[i]);
        }
        for (struct parcel *parcel = worker->outboxes[i].first, *next; parcel != NULL;
             parcel = next) {
            next = parcel->next;
            parcel_discard(parcel);
        }
    }
}
