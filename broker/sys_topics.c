#include "broker/sys_topics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/dispatch.h"
#include "broker/worker.h"

static void say(struct worker *worker, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct worker *worker, const char *topic, const char *format, ...)
{
    char name[128], value[64];
    snprintf(name, sizeof name, "$SYS/broker/%s", topic);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    struct message *message =
        message_new(bytes_of_text(name), bytes_of(NULL, 0), bytes_of_text(value));
    if (message == NULL)
        return;
    message->stored.retain = true;
    message->stored.received_at_ms = worker->store_now_ms;
    dispatch_volatile(worker, message);
    message_drop(message, 1);
}

static uint64_t sum(const struct broker *broker, size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < broker->worker_count; i++) {
        const char *counters = (const char *)&broker->workers[i].counters;
        total += atomic_load_explicit((const _Atomic uint64_t *)(const void *)(counters + offset),
                                      memory_order_relaxed);
    }
    return total;
}

#define SUM(name) sum(broker, offsetof(struct worker_counters, name))

static void say_clients(struct worker *worker)
{
    const struct broker *broker = worker->broker;
    uint64_t connected = SUM(clients_connected), sessions = SUM(sessions);
    say(worker, "clients/connected", "%" PRIu64, connected);
    say(worker, "clients/total", "%" PRIu64, sessions);
    say(worker, "clients/disconnected", "%" PRIu64,
        sessions > connected ? sessions - connected : 0);
}

static void say_traffic(struct worker *worker)
{
    const struct broker *broker = worker->broker;
    say(worker, "messages/received", "%" PRIu64, SUM(messages_received));
    say(worker, "messages/sent", "%" PRIu64, SUM(messages_sent));
    say(worker, "publish/messages/received", "%" PRIu64, SUM(publish_received));
    say(worker, "publish/messages/sent", "%" PRIu64, SUM(publish_sent));
    uint64_t dropped = 0;
    for (unsigned i = 0; i < DROP_COUNT; i++)
        dropped += sum(broker, offsetof(struct worker_counters, dropped) + i * sizeof(uint64_t));
    say(worker, "publish/messages/dropped", "%" PRIu64, dropped);
    say(worker, "bytes/received", "%" PRIu64, SUM(bytes_received));
    say(worker, "bytes/sent", "%" PRIu64, SUM(bytes_sent));
}

static void say_store(struct worker *worker)
{
    const struct broker *broker = worker->broker;
    struct store_statistics store;
    store_statistics(broker->store, &store);
    say(worker, "subscriptions/count", "%" PRIu64, topic_index_count(broker->index));
    say(worker, "retained messages/count", "%" PRIu64, retained_count(broker->retained));
    say(worker, "store/messages/count", "%" PRIu64, store.messages + store.dirty_messages);
    say(worker, "store/messages/dirty", "%" PRIu64, store.dirty_messages);
    say(worker, "store/bytes", "%" PRIu64, store.file_bytes);
    say(worker, "store/commits", "%" PRIu64, store.commits);
    say(worker, "uptime", "%" PRIu64 " seconds", (worker->now_ms - broker->started_ms) / 1000);
    say(worker, "version", "holdfast %s", HOLDFAST_VERSION);
}

static void tick(struct worker *worker, struct worker_timer *timer)
{
    say_clients(worker);
    say_traffic(worker);
    say_store(worker);
    worker_timer_set(worker, timer,
                     worker->now_ms + (uint64_t)worker->broker->config->mqtt.sys_interval_s * 1000);
}

void sys_topics_start(struct worker *worker)
{
    worker_timer_init(&worker->sys_timer, tick);
    if (worker->broker->config->mqtt.sys_interval_s > 0)
        worker_timer_set(worker, &worker->sys_timer, worker->now_ms);
}
