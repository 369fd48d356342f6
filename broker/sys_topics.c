#include "broker/sys_topics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/dispatch.h"
#include "broker/limits.h"
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

#define SUM(name) COUNTERS_SUM(broker, name)

/* Of all QoS. */
#define SUM_QOS(name)                                                                              \
    (COUNTERS_SUM_OF(broker, name, 0) + COUNTERS_SUM_OF(broker, name, 1) +                         \
     COUNTERS_SUM_OF(broker, name, 2))

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
    say(worker, "publish/messages/received", "%" PRIu64, SUM_QOS(publish_received));
    say(worker, "publish/messages/sent", "%" PRIu64, SUM_QOS(publish_sent));
    uint64_t dropped = 0;
    for (unsigned i = 0; i < DROP_COUNT; i++) {
        char topic[64];
        snprintf(topic, sizeof topic, "publish/messages/dropped/%s", drop_topic(i));
        uint64_t count = COUNTERS_SUM_OF(broker, dropped, i);
        say(worker, topic, "%" PRIu64, count);
        dropped += count;
    }
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

/* How far each limit that is set is used, in percent. */
static void say_limits(struct worker *worker)
{
    const struct broker *broker = worker->broker;
    for (unsigned i = 0; i < LIMITS_COUNT; i++) {
        struct limits_usage usage = limits_usage(broker, (enum limits_name)i);
        char topic[64];
        snprintf(topic, sizeof topic, "limits/%s", usage.option);
        if (usage.limit > 0)
            say(worker, topic, "%u", limits_percent(usage.used, usage.limit));
    }
    say(worker, "limits/queues_near_full", "%" PRIu64, SUM(queues_near_full));
}

static void tick(struct worker *worker, struct worker_timer *timer)
{
    say_clients(worker);
    say_traffic(worker);
    say_store(worker);
    say_limits(worker);
    worker_timer_set(worker, timer,
                     worker->now_ms + (uint64_t)worker->broker->config->mqtt.sys_interval_s * 1000);
}

void sys_topics_start(struct worker *worker)
{
    worker_timer_init(&worker->sys_timer, tick);
    if (worker->broker->config->mqtt.sys_interval_s > 0)
        worker_timer_set(worker, &worker->sys_timer, worker->now_ms);
}
