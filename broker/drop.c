#include "broker/drop.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/connection.h"
#include "broker/recorder.h"
#include "broker/session.h"

/* How often a line of one session, and how many of a worker in that time. */
enum { DROP_SAY_MS = 10000, DROP_LINES = 100 };

const char *drop_topic(enum drop_reason reason)
{
    static const char *const topics[] = {
#define X(name, topic, verb, text) [DROP_##name] = topic,
        DROP_LIST(X)
#undef X
    };
    return topics[reason];
}

const char *drop_verb(enum drop_reason reason)
{
    static const char *const verbs[] = {
#define X(name, topic, verb, text) [DROP_##name] = verb,
        DROP_LIST(X)
#undef X
    };
    return verbs[reason];
}

const char *drop_text(enum drop_reason reason)
{
    static const char *const texts[] = {
#define X(name, topic, verb, text) [DROP_##name] = text,
        DROP_LIST(X)
#undef X
    };
    return texts[reason];
}

/* The limit that was met: its option, its value, and what it stands at. */
static void explain(const struct worker *worker, const struct session *session,
                    enum drop_reason reason, char *out, size_t size)
{
    const struct config *config = worker->broker->config;
    const struct connection *connection = session->connection;
    out[0] = '\0';
    switch (reason) {
    case DROP_QUEUE_FULL:
        outbound_explain_full(worker, session, out, size);
        break;
    case DROP_TOO_LARGE:
        if (connection != NULL)
            snprintf(out, size, "; it asked for %" PRIu32 " bytes at most",
                     connection->maximum_packet_size);
        break;
    case DROP_SLOW_CONSUMER:
        if (connection != NULL)
            snprintf(out, size, "; %zu bytes wait, max_outgoing_buffer = %" PRIu32,
                     connection_backlog(connection), config->mqtt.max_outgoing_buffer);
        break;
    case DROP_STORE_FULL:
        snprintf(out, size,
                 "; %" PRIu64 " messages wait; free are %" PRIu64 " of disk_cache_size = %" PRIu64
                 "%s",
                 outbound_count(&session->outbound), worker->store_free_messages,
                 config->sqlite.disk_cache_size,
                 config->sqlite.max_store_bytes > 0 ? ", or too little of max_store_bytes" : "");
        break;
    case DROP_NOT_RETAINED: {
        struct retained_usage usage = retained_usage(worker->broker->retained);
        snprintf(out, size,
                 "; %" PRIu64 " in %" PRIu64 " bytes, max_retained_messages = %" PRIu32
                 ", max_retained_bytes = %" PRIu64,
                 usage.messages, usage.bytes, config->mqtt.max_retained_messages,
                 config->mqtt.max_retained_bytes);
        break;
    }
    case DROP_STORE_REFUSED:
        if (store_health(worker->broker->store) != STORE_HEALTH_OK)
            snprintf(out, size, "; the disk has failed for disk_stall_limit = %" PRIu32 " ms",
                     config->sqlite.disk_stall_limit_ms);
        else
            snprintf(out, size, "; it holds %" PRIu64 ", disk_cache_size = %" PRIu64,
                     store_messages(worker->broker->store), config->sqlite.disk_cache_size);
        break;
    default:
        break;
    }
}

bool drop_may_say(struct worker *worker)
{
    if (!timer_armed(&worker->drop_timer.timer))
        worker_timer_set(worker, &worker->drop_timer, worker->now_ms + DROP_SAY_MS);
    return worker->drop_lines++ < DROP_LINES;
}

static void say(struct worker *worker, struct drops *drops)
{
    uint64_t waited_s = (worker->now_ms - drops->said_ms) / 1000;
    for (unsigned i = 0; i < DROP_COUNT; i++) {
        uint64_t count = drops->unsaid[i];
        if (count == 0)
            continue;
        drops->unsaid[i] = 0;
        if (!drop_may_say(worker)) {
            worker->drops_unsaid += count;
            continue;
        }
        char since[80] = "", limit[160];
        if (count < drops->count[i])
            snprintf(since, sizeof since, " in %" PRIu64 " s, %" PRIu64 " so far", waited_s,
                     drops->count[i]);
        explain(worker, drops->session, (enum drop_reason)i, limit, sizeof limit);
        log_line(LOG_WARNING, "client \"%s\": %" PRIu64 " message%s %s%s: %s%s",
                 session_name(drops->session), count, count == 1 ? "" : "s",
                 drop_verb((enum drop_reason)i), since, drop_text((enum drop_reason)i), limit);
    }
    drops->said_ms = worker->now_ms;
    list_remove(&drops->list);
}

/* Says what has gathered; and of what was too much to say, how much it was. */
static void say_fired(struct worker *worker, struct worker_timer *timer)
{
    worker->drop_lines = 0;
    while (!list_empty(&worker->dropping))
        say(worker, CONTAINER_OF(worker->dropping.next, struct drops, list));
    if (worker->drops_unsaid > 0)
        log_line(LOG_WARNING,
                 "%" PRIu64 " more messages of other clients were dropped or refused; "
                 "$SYS/broker/publish/messages/dropped/# counts them by reason",
                 worker->drops_unsaid);
    worker->drops_unsaid = 0;
    if (worker->drop_lines > 0)
        worker_timer_set(worker, timer, worker->now_ms + DROP_SAY_MS);
}

void drop_start(struct worker *worker)
{
    list_init(&worker->dropping);
    worker_timer_init(&worker->drop_timer, say_fired);
}

void drop_unnamed(struct worker *worker, enum drop_reason reason)
{
    counter_add(&worker->counters.dropped[reason], 1);
}

void drop_one(struct worker *worker, struct session *session, enum drop_reason reason)
{
    drop_many(worker, session, reason, 1);
}

void drop_message(struct worker *worker, struct session *session, enum drop_reason reason,
                  const struct message *message)
{
    drop_many(worker, session, reason, 1);
    recorder_name_topic(worker, session, message->stored.topic);
}

void drop_many(struct worker *worker, struct session *session, enum drop_reason reason,
               uint64_t count)
{
#ifndef SEEDED_BUG_DROP_UNCOUNTED
    counter_add(&worker->counters.dropped[reason], count);
#endif
    recorder_add(worker, session, RECORDER_DROP, (uint8_t)reason, 0, 0);
    struct drops *drops = session->drops;
    if (drops == NULL) {
        drops = calloc(1, sizeof *drops);
        if (drops == NULL)
            return; /* counted for the broker */
        drops->session = session;
        list_init(&drops->list);
        session->drops = drops;
    }
    drops->count[reason] += count;
#ifdef SEEDED_BUG_DROP_UNSAID
    count = 0;
#endif
    drops->unsaid[reason] += count;
    if (!list_empty(&drops->list))
        return;
    list_append(&worker->dropping, &drops->list);
    bool first = drops->said_ms == 0;
    if (first || worker->now_ms - drops->said_ms >= DROP_SAY_MS)
        say(worker, drops);
    if (!timer_armed(&worker->drop_timer.timer))
        worker_timer_set(worker, &worker->drop_timer, worker->now_ms + DROP_SAY_MS);
}

void drop_fini(struct worker *worker, struct session *session)
{
    struct drops *drops = session->drops;
    if (drops == NULL)
        return;
    if (!list_empty(&drops->list))
        say(worker, drops);
    free(drops);
    session->drops = NULL;
}
