#include "broker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "broker/connection.h"
#include "broker/listener.h"
#include "broker/dispatch.h"
#include "routing/reclaim.h"
#include "broker/session.h"
#include "broker/sys_topics.h"
#include "fsm/machines.h"

enum {
    EVENTS_PER_TURN = 512,
    ROUTE_CACHE_SIZE = 16384,
};

/* ---- Small things ---- */

struct identifiers identifiers_copy(const uint32_t *values, uint32_t count)
{
    struct identifiers copy = {.count = count};
    if (count == 1)
        copy.one = values[0];
    if (count > 1) {
        copy.many = malloc(count * sizeof *values);
        CHECK(copy.many != NULL);
        memcpy(copy.many, values, count * sizeof *values);
    }
    return copy;
}

void identifiers_fini(struct identifiers *identifiers)
{
    if (identifiers->count > 1)
        free(identifiers->many);
    *identifiers = (struct identifiers){0};
}

uint64_t worker_random(struct worker *worker)
{
    uint64_t x = worker->random_state; /* xorshift64*: for spreading load, not for secrets */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random_state = x;
    return x * 2685821657736338717u;
}

void worker_timer_init(struct worker_timer *timer,
                       void (*fire)(struct worker *worker, struct worker_timer *timer))
{
    timer_init(&timer->timer);
    timer->fire = fire;
}

static void fire(void *context, struct timer *timer)
{
    struct worker_timer *mine = CONTAINER_OF(timer, struct worker_timer, timer);
    mine->fire(context, mine);
}

void worker_drop(struct worker *worker, struct session *session, enum drop_reason reason)
{
    static const char *const texts[] = {
#define X(name, text) [DROP_##name] = text,
        DROP_LIST(X)
#undef X
    };
    counter_add(&worker->counters.dropped[reason], 1);
    /* One line per session, reason and power of two: enough to see it and how much. */
    uint32_t count = ++session->dropped[reason];
    if ((count & (count - 1)) == 0)
        log_line(LOG_WARNING, "client \"%s\": %u message%s dropped so far: %s",
                 session_name(session), count, count == 1 ? "" : "s", texts[reason]);
}

struct store_batch *worker_batch(struct worker *worker)
{
    if (worker->batch != NULL && store_batch_full(worker->batch)) {
        store_submit(worker->broker->store, worker->batch);
        worker->batch = NULL;
    }
    if (worker->batch == NULL) {
        worker->batch = store_batch_open(worker->broker->store, worker->index);
        worker->last_lsn = store_batch_lsn(worker->batch);
    }
    return worker->batch;
}

static void submit(struct worker *worker)
{
    if (worker->batch == NULL)
        return;
    store_submit(worker->broker->store, worker->batch);
    worker->batch = NULL;
}

/* ---- Between workers ---- */

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
    free(parcel);
}

static struct parcel *parcel_append(struct worker *worker, struct outbox *outbox)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    CHECK(parcel != NULL); /* what is recorded as owed must not be forgotten */
    worker->has_letters = true;
    if (outbox->last != NULL)
        outbox->last->next = parcel;
    else
        outbox->first = parcel;
    outbox->last = parcel;
    return parcel;
}

/* At the end: what is owed is in the store. */
static void parcel_discard(struct parcel *parcel)
{
    if (parcel->connection != NULL)
        connection_free(parcel->connection);
    for (uint32_t i = 0; i < parcel->delivery_count; i++)
        identifiers_fini(&parcel->deliveries[i].identifiers);
    for (uint32_t i = 0; i < parcel->group_count; i++)
        message_drop(parcel->groups[i].message, 1);
    parcel_free(parcel);
}

#define GROW(array, capacity, needed)                                                              \
    do {                                                                                           \
        if ((needed) > (capacity)) {                                                               \
            while ((needed) > (capacity))                                                          \
                (capacity) = (capacity) > 0 ? (capacity)*2 : 64;                                   \
            void *grown = realloc((array), (capacity) * sizeof *(array));                          \
            CHECK(grown != NULL);                                                                  \
            (array) = grown;                                                                       \
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
    parcel->groups[parcel->group_count++] = (struct parcel_group){message, count};
    message_hold(message, 1);
}

void worker_post_connection(struct worker *worker, unsigned home, struct connection *connection)
{
    parcel_append(worker, &worker->outboxes[home])->connection = connection;
}

static void begin_round(struct worker *worker)
{
    worker->round++;
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        if (i == worker->index)
            continue;
        parcel_for(worker, i)->asks = true;
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
    if (--worker->unanswered > 0)
        return;
    subscribe_round_done(worker);
    if (!list_empty(&worker->subscribing))
        begin_round(worker);
}

/* Posts what has been gathered. What finds no room stays, and sockets are not read meanwhile. */
static void post_all(struct worker *worker)
{
    atomic_store(&worker->wants_room, true);
    worker->congested = worker->has_letters = false;
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        struct outbox *outbox = &worker->outboxes[i];
        bool posted = false;
        while (outbox->first != NULL) {
            struct parcel *parcel = outbox->first, *next = parcel->next;
            parcel->next = NULL;
            if (!mailbox_post(outbox->mailbox, parcel)) {
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
            outbox->first = next;
            if (next == NULL)
                outbox->last = NULL;
        }
        if (posted)
            worker_wake(&worker->broker->workers[i]);
    }
    if (!worker->congested)
        atomic_store(&worker->wants_room, false);
}

static void open_parcel(struct worker *worker, unsigned from, struct parcel *parcel)
{
    if (parcel->connection != NULL) {
        connection_adopt(worker, parcel->connection);
        worker_timer_set(worker, &parcel->connection->timer,
                         worker->now_ms +
                             (uint64_t)worker->broker->config->mqtt.connect_timeout_s * 1000);
        if (worker->stopping)
            connection_event(parcel->connection, CONNECTION_EVENT_STOPPED,
                             REASON_SERVER_SHUTTING_DOWN, "", NULL);
    }
    struct delivery *deliveries = parcel->deliveries;
    for (uint32_t i = 0; i < parcel->group_count; i++) {
        dispatch_deliver(worker, parcel->groups[i].message, deliveries, parcel->groups[i].count);
        message_drop(parcel->groups[i].message, 1);
        deliveries += parcel->groups[i].count;
    }
    if (parcel->asks)
        parcel_for(worker, from)->answers = true;
    if (parcel->answers)
        round_answered(worker);
    parcel_free(parcel);
}

/* Opens what was there when the turn began, and no more: a batch opened from here on has a higher
 * LSN than anything these letters rest on (rule 8). */
static void open_mail(struct worker *worker, const size_t *pending)
{
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        for (size_t n = 0; n < pending[i]; n++)
            open_parcel(worker, i, mailbox_take(worker->inboxes[i]));
        if (pending[i] > 0 && atomic_load(&worker->broker->workers[i].wants_room))
            worker_wake(&worker->broker->workers[i]);
    }
}

/* ---- The store ---- */

static _Thread_local struct worker *reclaiming;

void worker_release(void *context, void *cookie)
{
    (void)context;
    struct message *message = cookie;
    if (reclaiming != NULL)
        reclaiming->recorded_bytes -= message_memory(message);
    message_drop(message, 1);
}

void worker_recorded(struct worker *worker, const struct message *message)
{
    worker->recorded_bytes += message_memory(message);
}

static void look_at_store(struct worker *worker)
{
    struct broker *broker = worker->broker;
    bool overloaded = worker_is_overloaded(worker);
    reclaiming = worker;
    store_reclaim(broker->store, worker->index);
    reclaiming = NULL;
    if (overloaded && !worker_is_overloaded(worker)) {
        for (struct list *node = worker->connections.next; node != &worker->connections;
             node = node->next)
            connection_continue(CONTAINER_OF(node, struct connection, all));
    }
    worker->store_full = store_messages(broker->store) >= broker->config->sqlite.disk_cache_size;
}

/* ---- The turn ---- */

static void update_clock(struct worker *worker)
{
    worker->now_ms = broker_clock_ms();
    worker->store_now_ms = worker->broker->store_base_ms + (int64_t)worker->now_ms;
}

static int sleep_time(struct worker *worker)
{
    /* Left over by the flush: output of the queues it drained, letters, what it recorded. */
    if (!list_empty(&worker->unflushed) || waiting_is_due(worker) || worker->answers_left)
        return 0;
    if (!worker->congested && (!list_empty(&worker->ready) || worker->has_letters))
        return 0;
    uint64_t next = timer_wheel_next_ms(&worker->wheel);
    if (next == UINT64_MAX)
        return 60000;
    uint64_t now = broker_clock_ms();
    if (next <= now)
        return 0;
    return next - now < 60000 ? (int)(next - now) : 60000;
}

static int await(struct worker *worker, struct epoll_event *events, int timeout)
{
    int count;
    if (timeout != 0) {
        atomic_store(&worker->asleep, true);
        if (atomic_load(&worker->poked))
            timeout = 0;
    }
    if (timeout != 0) {
        reclaim_offline();
        count = epoll_wait(worker->epoll_fd, events, EVENTS_PER_TURN, timeout);
        reclaim_online();
    } else {
        reclaim_quiescent();
        count = epoll_wait(worker->epoll_fd, events, EVENTS_PER_TURN, 0);
    }
    atomic_store(&worker->asleep, false);
    atomic_store(&worker->poked, false);
    return count;
}

static void handle_events(struct worker *worker, const struct epoll_event *events, int count)
{
    struct broker *broker = worker->broker;
    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        if (source == &worker->event_fd) {
            uint64_t value;
            ssize_t got = read(worker->event_fd, &value, sizeof value);
            (void)got;
        } else if (source >= (void *)broker->listeners &&
                   source < (void *)(broker->listeners + broker->listener_count)) {
            if (!worker->stopping)
                listener_accept(worker, source);
        } else {
            connection_ready(source, events[i].events);
        }
    }
}

static void read_connections(struct worker *worker)
{
    struct list turn;
    list_init(&turn);
    for (struct list *node; (node = list_pop(&worker->ready)) != NULL;)
        list_append(&turn, node);
    for (struct list *node; (node = list_pop(&turn)) != NULL;) {
        struct connection *connection = CONTAINER_OF(node, struct connection, ready);
        if (worker->congested) {
            list_append(&worker->ready, node);
            continue;
        }
        if (connection_read(connection))
            connection_continue_reading(connection);
    }
}

static void flush_connections(struct worker *worker)
{
    struct list turn;
    list_init(&turn);
    for (struct list *node; (node = list_pop(&worker->unflushed)) != NULL;)
        list_append(&turn, node);
    for (struct list *node; (node = list_pop(&turn)) != NULL;) {
        struct connection *connection = CONTAINER_OF(node, struct connection, unflushed);
        connection_flush(connection);
        if (!connection->closed)
            continue;
        if (connection->session != NULL) /* closed for want of memory */
            connection_event(connection, CONNECTION_EVENT_PEER_CLOSED, 0, "", NULL);
        list_remove(&connection->unflushed);
        connection_free(connection);
    }
}

static void collect_reads(struct worker *worker)
{
    for (struct store_read *read;
         (read = store_read_next(worker->broker->store, worker->index)) != NULL;)
        outbound_loaded(worker, read);
}

static void settle_started(struct worker *worker)
{
    for (struct list *node; (node = list_pop(&worker->started)) != NULL;) {
        struct session *session = CONTAINER_OF(node, struct session, list);
        session_restart(worker, session, session->state == SESSION_STATE_CONNECTED);
    }
}

/* NanoMQ's resend_interval. Off by default; on, it looks at every connection once an interval. */
static void resend_fired(struct worker *worker, struct worker_timer *timer)
{
    for (struct list *node = worker->connections.next; node != &worker->connections;
         node = node->next) {
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        if (connection->session != NULL && connection->version != MQTT_VERSION_5 &&
            connection->session->outbound.inflight_count > 0)
            outbound_resend_due(worker, connection->session);
    }
    worker_timer_set(worker, timer,
                     worker->now_ms + worker->broker->config->sqlite.resend_interval_ms / 2 + 1);
}

static void begin_stop(struct worker *worker)
{
    worker->stopping = true;
    for (struct list *node = worker->connections.next, *next; node != &worker->connections;
         node = next) {
        next = node->next;
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        if (!connection->closed)
            connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_SHUTTING_DOWN,
                             "5.0 section 4.13.2", "Server shutting down");
    }
}

static void turn(struct worker *worker, int timeout)
{
    struct epoll_event events[EVENTS_PER_TURN];
    size_t pending[WORKERS_MAX];
    int count = await(worker, events, timeout);
    update_clock(worker);
#ifdef SEEDED_BUG_BATCH_BEFORE_MAIL
    worker_batch(worker);
    usleep(1000);
#endif
    for (unsigned i = 0; i < worker->broker->worker_count; i++)
        pending[i] = mailbox_pending(worker->inboxes[i]);
    if (atomic_load(&worker->broker->stopping) && !worker->stopping)
        begin_stop(worker);
    settle_started(worker);
    open_mail(worker, pending);
    look_at_store(worker);
    collect_reads(worker);
    timer_wheel_advance(&worker->wheel, worker->now_ms, fire, worker);
    waiting_release(worker);
    handle_events(worker, events, count);
    read_connections(worker);
    worker->answers_left = subscribe_go_on(worker);
    /* Submitted before anything that rests on it leaves; what that releases may record more. */
    do {
        submit(worker);
        waiting_release(worker);
    } while (worker->batch != NULL);
    post_all(worker);
    flush_connections(worker);
    submit(worker);
}

static bool idle(const struct worker *worker)
{
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        if (worker->outboxes[i].first != NULL || mailbox_pending(worker->inboxes[i]) > 0)
            return false;
    }
    return list_empty(&worker->connections);
}

void *worker_run(void *argument)
{
    struct worker *worker = argument;
    reclaim_thread_register();
    update_clock(worker);
    if (worker->index == 0)
        sys_topics_start(worker);
    worker_timer_init(&worker->resend_timer, resend_fired);
    if (worker->broker->config->sqlite.resend_interval_ms > 0)
        worker_timer_set(worker, &worker->resend_timer, worker->now_ms);
    turn(worker, 0); /* sessions of the last run: their timers start now */
    while (!worker->stopping)
        turn(worker, sleep_time(worker));
    /* Connections get their time to read the DISCONNECT; mail goes on until nobody sends any. */
    uint64_t deadline =
        worker->now_ms + (uint64_t)worker->broker->config->broker.shutdown_grace_s * 1000;
    while (!idle(worker) && worker->now_ms < deadline)
        turn(worker, 10);
    atomic_fetch_add(&worker->broker->stopped_workers, 1);
    do {
        turn(worker, 1);
    } while (atomic_load(&worker->broker->stopped_workers) < worker->broker->worker_count);
    turn(worker, 0);
    reclaim_thread_unregister();
    return NULL;
}

/* ---- Start and end ---- */

static enum status watch(struct worker *worker, int fd, void *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? STATUS_OK : STATUS_IO;
}

enum status worker_init(struct worker *worker, struct broker *broker, unsigned index)
{
    worker->broker = broker;
    worker->index = index;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (worker->epoll_fd < 0 || worker->event_fd < 0)
        return STATUS_IO;
    TRY(watch(worker, worker->event_fd, &worker->event_fd, EPOLLIN));
    update_clock(worker);
    timer_wheel_init(&worker->wheel, worker->now_ms);
    list_init(&worker->connections);
    list_init(&worker->ready);
    list_init(&worker->unflushed);
    list_init(&worker->free_sessions);
    list_init(&worker->started);
    list_init(&worker->subscribing);
    list_init(&worker->answering);
    worker->routes = route_cache_new(broker->index, ROUTE_CACHE_SIZE);
    worker->inboxes = calloc(broker->worker_count, sizeof(struct mailbox *));
    worker->outboxes = calloc(broker->worker_count, sizeof *worker->outboxes);
    worker->input = malloc(WORKER_INPUT_SIZE);
    worker->plaintext = malloc(WORKER_INPUT_SIZE);
    if (worker->routes == NULL || worker->inboxes == NULL || worker->outboxes == NULL ||
        worker->input == NULL || worker->plaintext == NULL)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < broker->worker_count; i++) {
        worker->inboxes[i] = mailbox_new(broker->config->broker.mailbox_size);
        if (worker->inboxes[i] == NULL)
            return STATUS_NO_MEMORY;
    }
    if (getrandom(&worker->random_state, sizeof worker->random_state, 0) !=
        sizeof worker->random_state)
        return STATUS_IO;
    worker->random_state |= 1;
    return STATUS_OK;
}

void worker_connect(struct worker *worker)
{
    struct broker *broker = worker->broker;
    for (unsigned i = 0; i < broker->worker_count; i++)
        worker->outboxes[i].mailbox = broker->workers[i].inboxes[worker->index];
}

enum status worker_listen(struct worker *worker)
{
    struct broker *broker = worker->broker;
    for (unsigned i = 0; i < broker->listener_count; i++)
        TRY(watch(worker, broker->listeners[i].fd, &broker->listeners[i],
                  EPOLLIN | EPOLLEXCLUSIVE));
    return STATUS_OK;
}

void worker_fini(struct worker *worker)
{
    struct broker *broker = worker->broker;
    if (broker == NULL)
        return;
    for (unsigned i = 0; worker->inboxes != NULL && i < broker->worker_count; i++) {
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
    for (struct list *node; (node = list_pop(&worker->connections)) != NULL;)
        connection_free(CONTAINER_OF(node, struct connection, all));
    waiting_fini(worker);
    subscribe_discard(worker);
    for (uint32_t i = 0; i < worker->sessions.capacity; i++) {
        while (worker->sessions.buckets[i] != NULL)
            session_forget(worker, worker->sessions.buckets[i]);
    }
    free(worker->sessions.buckets);
    session_slabs_free(worker);
    route_cache_free(worker->routes);
    free(worker->inboxes);
    free(worker->outboxes);
    free(worker->deliveries);
    free(worker->owed);
    free(worker->input);
    free(worker->plaintext);
    close(worker->epoll_fd);
    close(worker->event_fd);
    close(worker->spare_fd);
}
