#include "broker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/authenticate.h"
#include "broker/connection.h"
#include "broker/limits.h"
#include "broker/listener.h"
#include "broker/dispatch.h"
#include "broker/errand.h"
#include "broker/policy.h"
#include "broker/policy_tls.h"
#include "routing/reclaim.h"
#include "tls/tls.h"
#include "broker/retained_expiry.h"
#include "broker/session.h"
#include "broker/sys_topics.h"
#include "broker/transition.h"
#include "fsm/machines.h"

enum {
    EVENTS_PER_TURN = 512,
    HANDSHAKES_PER_TURN = 8, /* each costs as much as hundreds of messages */
    ROUTE_CACHE_SIZE = 16384,
};

/* ---- Small things ---- */

struct identifiers identifiers_copy(const uint32_t *values, uint32_t count)
{
    struct identifiers copy = {.count = count};
    if (count == 1)
        copy.one = values[0];
    if (count > 1) {
        copy.many = memory_take(count * sizeof *values);
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

void worker_submit(struct worker *worker)
{
    if (worker->batch == NULL)
        return;
    store_submit(worker->broker->store, worker->batch);
    worker->batch = NULL;
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
    if (worker->store_free_messages > 0)
        worker->store_free_messages--;
}

/* What is free of the store, and whether it is little (docs/decisions/0007). */
static void measure_store(struct worker *worker)
{
    const struct config_sqlite *sqlite = &worker->broker->config->sqlite;
    uint64_t messages = store_messages(worker->broker->store), bytes = 0;
    if (sqlite->max_store_bytes > 0)
        bytes = store_bytes(worker->broker->store) + worker->recorded_bytes;
    worker->store_free_messages =
        messages < sqlite->disk_cache_size ? sqlite->disk_cache_size - messages : 0;
    worker->store_free_bytes = sqlite->max_store_bytes == 0      ? UINT64_MAX
                               : bytes < sqlite->max_store_bytes ? sqlite->max_store_bytes - bytes
                                                                 : 0;
    worker->store_scarce = worker->store_free_messages < sqlite->disk_cache_size / 5 ||
                           worker->store_free_bytes < sqlite->max_store_bytes / 5;
}

static void look_at_store(struct worker *worker)
{
    struct broker *broker = worker->broker;
    reclaiming = worker;
    store_reclaim(broker->store, worker->index);
    reclaiming = NULL;
    if (worker->overloaded && !store_is_full(broker->store)) {
        worker->overloaded = false;
        for (struct list *node = worker->connections.next; node != &worker->connections;
             node = node->next)
            connection_continue(CONTAINER_OF(node, struct connection, all));
    }
    measure_store(worker);
}

/* ---- The turn ---- */

static void update_clock(struct worker *worker)
{
    worker->now_us = broker_clock_us();
    worker->now_ms = worker->now_us / 1000;
    worker->store_now_ms = worker->broker->store_base_ms + (int64_t)worker->now_ms;
}

/* The level of the log may have changed. */
static void update_watched(struct worker *worker)
{
    worker->watched = worker->trace != NULL || log_wants(LOG_TRACE);
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
            if (!worker->closed) /* what came with this turn's events */
                listener_accept(worker, source);
        } else {
            connection_ready(source, events[i].events);
        }
    }
}

/* A storm of handshakes waits for those who are connected, and not the other way round. */
static bool must_wait(const struct worker *worker, const struct connection *connection,
                      unsigned *handshakes)
{
    if (worker->congested || worker->flooded)
        return true;
#ifdef SEEDED_BUG_HANDSHAKES_UNBOUNDED
    return false;
#endif
    if (connection->tls == NULL || tls_established(connection->tls))
        return false;
    return (*handshakes)++ >= HANDSHAKES_PER_TURN;
}

static void move_all(struct list *to, struct list *from)
{
    for (struct list *node; (node = list_pop(from)) != NULL;)
        list_append(to, node);
}

static void read_connections(struct worker *worker)
{
    struct list turn, late;
    unsigned handshakes = 0;
    list_init(&turn);
    list_init(&late);
    move_all(&turn, &worker->ready);
    for (struct list *node; (node = list_pop(&turn)) != NULL;) {
        struct connection *connection = CONTAINER_OF(node, struct connection, ready);
        if (must_wait(worker, connection, &handshakes)) {
#ifdef SEEDED_BUG_FLOODER_FIRST
            list_append(&worker->ready, node);
#else
            list_append(&late, node);
#endif
            continue;
        }
        if (!connection_read(connection))
            continue;
        connection_watch(connection);
#ifndef SEEDED_BUG_FLOODED_FORGOTTEN
        if (worker->flooded && !connection->closed && list_empty(&connection->ready))
            list_append(&worker->ready, node); /* it may have been stopped in the middle */
#endif
        connection_continue_reading(connection);
        if (connection_is_waited_for(connection)) {
            /* Its acknowledgements are used up: the Client can look at what they have made room for
             * while we read the others. */
            worker_submit(worker);
            connection_flush(connection);
        }
    }
    /* In front of those who have been read: nobody can flood again before they have had a turn. */
    move_all(&late, &worker->ready);
    move_all(&worker->ready, &late);
}

static void flush_connections(struct worker *worker)
{
    struct list turn;
    list_init(&turn);
    move_all(&turn, &worker->unflushed);
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
#ifndef SEEDED_BUG_RESENT_TO_ALL
        if (connection->version == MQTT_VERSION_5)
            continue; /* [MQTT-4.4.0-1] */
#endif
        if (connection->session != NULL && connection->session->outbound.inflight_count > 0)
            outbound_resend_due(worker, connection->session);
    }
    worker_timer_set(worker, timer,
                     worker->now_ms + worker->broker->config->sqlite.resend_interval_ms / 2 + 1);
}

void worker_close_listeners(struct worker *worker)
{
    const struct broker *broker = worker->broker;
    worker->closed = true;
    for (unsigned i = 0; i < broker->listener_count; i++)
        epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, broker->listeners[i].fd, NULL);
}

static void begin_stop(struct worker *worker)
{
    worker->stopping = true;
    worker_close_listeners(worker); /* what waits there would wake us for ever */
    for (struct list *node = worker->connections.next, *next; node != &worker->connections;
         node = next) {
        next = node->next;
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        if (!connection->closed)
            connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_SHUTTING_DOWN,
                             "5.0 section 4.13.2", "Server shutting down");
    }
}

/* How long the turn took: so long, at most, did everybody else wait for it. */
static void measure_turn(struct worker *worker)
{
    distribution_add(&worker->counters.turn_us, broker_clock_us() - worker->now_us);
    counter_set(&worker->counters.queued_bytes, worker->queued_bytes);
}

void worker_turn(struct worker *worker, int timeout)
{
    struct epoll_event events[EVENTS_PER_TURN];
    size_t pending[WORKERS_MAX];
    int count = await(worker, events, timeout);
    update_clock(worker);
    update_watched(worker);
#ifdef SEEDED_BUG_BATCH_BEFORE_MAIL
    worker_batch(worker);
    usleep(1000);
#endif
    for (unsigned i = 0; i < worker->broker->worker_count; i++)
        pending[i] = mailbox_pending(worker->inboxes[i]);
    policy_take(worker);
    if (atomic_load(&worker->broker->stopping) && !worker->stopping)
        begin_stop(worker);
    settle_started(worker);
    worker_open_mail(worker, pending);
    authenticate_collect(worker);
    errand_run_all(worker);
    look_at_store(worker);
    collect_reads(worker);
    timer_wheel_advance(&worker->wheel, worker->now_ms, fire, worker);
    waiting_release(worker);
    handle_events(worker, events, count);
    read_connections(worker);
    worker->answers_left = subscribe_go_on(worker);
    /* Submitted before anything that rests on it leaves; what that releases may record more. */
    do {
        worker_submit(worker);
        waiting_release(worker);
    } while (worker->batch != NULL);
    worker_post_all(worker);
    flush_connections(worker);
    worker_submit(worker);
    measure_turn(worker);
}

static bool idle(const struct worker *worker)
{
    for (unsigned i = 0; i < worker->broker->worker_count; i++) {
        if (worker->outboxes[i].first != NULL || mailbox_pending(worker->inboxes[i]) > 0)
            return false;
    }
    return list_empty(&worker->connections);
}

static void first_worker_start(struct worker *worker)
{
    limits_start(worker);
    retained_expiry_start(worker);
    sys_topics_start(worker);
}

void *worker_run(void *argument)
{
    struct worker *worker = argument;
    memory_begin_thread();
    reclaim_thread_register();
    update_clock(worker);
    if (worker->index == 0)
        first_worker_start(worker);
    worker_timer_init(&worker->resend_timer, resend_fired);
    if (worker->broker->config->sqlite.resend_interval_ms > 0)
        worker_timer_set(worker, &worker->resend_timer, worker->now_ms);
    transition_start(worker);
    worker_turn(worker, 0); /* sessions of the last run: their timers start now */
    while (!worker->stopping)
        worker_turn(worker, sleep_time(worker));
    /* Connections get their time to read the DISCONNECT; mail goes on until nobody sends any. */
    uint64_t deadline =
        worker->now_ms + (uint64_t)worker->broker->config->broker.shutdown_grace_s * 1000;
    while (!idle(worker) && worker->now_ms < deadline)
        worker_turn(worker, 10);
    atomic_fetch_add(&worker->broker->stopped_workers, 1);
    do {
        worker_turn(worker, 1);
    } while (atomic_load(&worker->broker->stopped_workers) < worker->broker->worker_count);
    worker_turn(worker, 0);
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
    worker->policy = policy_hold(broker->policy);
    worker->index = index;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (worker->epoll_fd < 0 || worker->event_fd < 0)
        return STATUS_IO;
    TRY(watch(worker, worker->event_fd, &worker->event_fd, EPOLLIN));
    update_clock(worker);
    timer_wheel_init(&worker->wheel, worker->now_ms);
    policy_tls_start(worker);
    drop_start(worker);
    outbound_room_init(worker);
    list_init(&worker->connections);
    list_init(&worker->ready);
    list_init(&worker->unflushed);
    list_init(&worker->free_sessions);
    list_init(&worker->started);
    list_init(&worker->subscribing);
    list_init(&worker->answering);
    list_init(&worker->authenticating);
    worker->routes = route_cache_new(broker->index, ROUTE_CACHE_SIZE);
    worker->inboxes = calloc(broker->worker_count, sizeof(struct mailbox *));
    worker->outboxes = calloc(broker->worker_count, sizeof *worker->outboxes);
    worker->answer_at = calloc(broker->worker_count, sizeof *worker->answer_at);
    worker->input = malloc(WORKER_INPUT_SIZE);
    worker->plaintext = malloc(WORKER_INPUT_SIZE);
    worker->recorder = recorder_new();
    worker->errands = mailbox_new(1);
    if (worker->recorder == NULL || worker->errands == NULL || worker->routes == NULL ||
        worker->inboxes == NULL || worker->outboxes == NULL || worker->answer_at == NULL ||
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

static enum status watch_listener(struct worker *worker, struct listener *listener)
{
    return watch(worker, listener->fd, listener, EPOLLIN | EPOLLEXCLUSIVE);
}

/* All of them: those for whom it is too early are not accepted from for long. */
static void listen_again(struct worker *worker, struct worker_timer *timer)
{
    struct broker *broker = worker->broker;
    for (unsigned i = 0; i < broker->listener_count && !worker->closed; i++) {
        if (!worker->deaf[i])
            continue;
        worker->deaf[i] = watch_listener(worker, &broker->listeners[i]) != STATUS_OK;
        if (worker->deaf[i]) /* for want of memory */
            worker_timer_set(worker, timer, worker->now_ms + 1000);
    }
}

void worker_pause_listener(struct worker *worker, const struct listener *listener, uint64_t wait_ms)
{
    struct timer *timer = &worker->listen_timer.timer;
    uint64_t due_ms = worker->now_ms + wait_ms;
    epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    worker->deaf[listener - worker->broker->listeners] = true;
    if (!timer_armed(timer) || timer->due_ms > due_ms)
        worker_timer_set(worker, &worker->listen_timer, due_ms);
}

enum status worker_listen(struct worker *worker)
{
    struct broker *broker = worker->broker;
    worker->deaf = calloc(broker->listener_count, sizeof *worker->deaf);
    if (worker->deaf == NULL)
        return STATUS_NO_MEMORY;
    worker_timer_init(&worker->listen_timer, listen_again);
    for (unsigned i = 0; i < broker->listener_count; i++)
        TRY(watch_listener(worker, &broker->listeners[i]));
    return STATUS_OK;
}

void worker_fini(struct worker *worker)
{
    struct broker *broker = worker->broker;
    if (broker == NULL)
        return;
    worker_discard_mail(worker);
    authenticate_collect(worker);
    for (struct list *node; (node = list_pop(&worker->connections)) != NULL;)
        connection_free(CONTAINER_OF(node, struct connection, all));
    waiting_fini(worker);
    transition_stop(worker);
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
    free(worker->answer_at);
    free(worker->deaf);
    free(worker->recorder);
    if (worker->errands != NULL)
        mailbox_free(worker->errands);
    free(worker->deliveries);
    free(worker->owed);
    relay_fini(&worker->relay);
    free(worker->input);
    free(worker->plaintext);
    policy_drop(worker->policy);
    policy_drop(atomic_load(&worker->offered));
    close(worker->epoll_fd);
    close(worker->event_fd);
    close(worker->spare_fd);
}
