#include "admin/why.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "broker/connection.h"
#include "broker/permission.h"
#include "broker/recorder.h"
#include "broker/session.h"
#include "protocol/topic.h"

enum {
    OPTION_QOS = 3,
    OPTION_NO_LOCAL = 4,
    SHOWN = 10,       /* of each kind */
    LOOKED_AT = 10000 /* of a queue: the worker has other things to do */
};

__attribute__((format(printf, 2, 3))) static void say(struct why *why, const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    size_t used = size < 0 ? 0 : (size_t)size < sizeof line - 1 ? (size_t)size : sizeof line - 2;
    line[used++] = '\n';
    if (buffer_append(&why->answer, line, used) != STATUS_OK)
        log_line(LOG_WARNING, "out of memory: an answer to holdfast why is not whole");
}

/* Printable; `out` is of NAME_SIZE. */
enum { NAME_SIZE = 160 };
static const char *name(struct bytes text, char out[NAME_SIZE])
{
    return log_text(text.data, text.size, out, NAME_SIZE);
}

static struct bytes filter_of(const struct subscription *subscription)
{
    return bytes_of(subscription->filter, subscription->filter_size);
}

/* ---- The session ---- */

static void say_absent(struct why *why)
{
    char client[NAME_SIZE];
    say(why,
        "There is no session of client \"%s\": it has not connected, or its session has ended or "
        "expired, and with it everything that was kept for it [MQTT-4.1.0-2].",
        name(why->client, client));
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void say_state(struct worker *worker, struct why *why, const struct session *session)
{
    char client[NAME_SIZE];
    name(why->client, client);
    if (session->connection != NULL) {
        say(why, "Client \"%s\" is connected, and has %" PRIu32 " subscription%s.", client,
            session->subscription_count, plural(session->subscription_count));
        return;
    }
    int64_t away_s = (worker->store_now_ms - session->disconnected_at_ms) / 1000;
    if (session->expiry_interval_s == UINT32_MAX)
        say(why,
            "Client \"%s\" is away for %" PRId64 " s; its session does not expire, and has %" PRIu32
            " subscription%s [MQTT-3.1.2-23].",
            client, away_s, session->subscription_count, plural(session->subscription_count));
    else
        say(why,
            "Client \"%s\" is away for %" PRId64 " s; its session expires %" PRIu32
            " s after it left, and has %" PRIu32 " subscription%s [MQTT-3.1.2-23].",
            client, away_s, session->expiry_interval_s, session->subscription_count,
            plural(session->subscription_count));
}

/* ---- What matches ---- */

struct matching {
    unsigned count, no_local;
    uint8_t qos; /* the highest that was granted */
};

static void say_shared(struct worker *worker, struct why *why, const struct session *session,
                       const struct subscription *subscription)
{
    char filter[NAME_SIZE];
    const struct route *route = route_find(worker->routes, why->topic);
    uint32_t members = 0;
    for (uint32_t i = 0; route != NULL && i < route->group_count; i++) {
        const struct route_group *group = &route->groups[i];
        for (uint32_t m = 0; m < group->count; m++) {
            if (group->members[m].incarnation == session->incarnation && group->count > members)
                members = group->count;
        }
    }
    say(why,
        "\"%s\" is shared by %" PRIu32 " session%s: each message goes to one of them alone, "
        "with preference to those that are connected and have quota (5.0 section 4.8.2).",
        name(filter_of(subscription), filter), members, plural(members));
    if (why->found_shared.size == 0 && buffer_append(&why->found_shared, subscription->filter,
                                                     subscription->filter_size) != STATUS_OK)
        say(why, "There is no memory to ask who got it.");
}

static void say_match(struct worker *worker, struct why *why, const struct session *session,
                      const struct subscription *subscription, bool shared,
                      struct matching *matching)
{
    char filter[NAME_SIZE], topic[NAME_SIZE];
    uint8_t qos = subscription->options & OPTION_QOS;
    bool no_local = (subscription->options & OPTION_NO_LOCAL) != 0;
    matching->count++;
    matching->no_local += no_local;
    if (qos > matching->qos)
        matching->qos = qos;
    say(why, "Its subscription \"%s\" matches \"%s\", for QoS %u at most [MQTT-3.8.4-8].",
        name(filter_of(subscription), filter), name(why->topic, topic), qos);
    if (no_local)
        say(why,
            "\"%s\" has No Local: what client itself publishes is not sent to it "
            "[MQTT-3.8.3-3].",
            filter);
    if (shared)
        say_shared(worker, why, session, subscription);
}

static struct bytes without_first(struct bytes text)
{
    return bytes_of(text.data + 1, text.size - 1);
}

static void to_lower(char *out, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        out[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
    }
}

static bool matches_without_case(struct bytes filter, struct bytes topic)
{
    static _Thread_local char lower_filter[65536], lower_topic[65536];
    to_lower(lower_filter, filter);
    to_lower(lower_topic, topic);
    return topic_filter_matches(bytes_of(lower_filter, filter.size),
                                bytes_of(lower_topic, topic.size));
}

/* A subscription that misses the topic by little. */
static bool say_near_miss(struct why *why, struct bytes filter)
{
    char shown[NAME_SIZE];
    struct bytes topic = why->topic;
    if (topic.data[0] == '$' && filter.size > 0 &&
        (filter.data[0] == '#' || filter.data[0] == '+') && topic.size > 1 &&
        topic_filter_matches(filter, without_first(topic))) {
        say(why,
            "\"%s\" begins with a wildcard, and does not match topics that begin with $ "
            "[MQTT-4.7.2-1].",
            name(filter, shown));
        return true;
    }
    bool leading = (topic.data[0] == '/' && topic.size > 1 &&
                    topic_filter_matches(filter, without_first(topic))) ||
                   (filter.data[0] == '/' && filter.size > 1 &&
                    topic_filter_matches(without_first(filter), topic));
    bool trailing = topic.data[topic.size - 1] == '/' && topic.size > 1 &&
                    topic_filter_matches(filter, bytes_of(topic.data, topic.size - 1));
    if (leading || trailing) {
        say(why,
            "\"%s\" differs from it by a \"/\" at the %s, which makes another level (5.0 "
            "section 4.7.1.1).",
            name(filter, shown), leading ? "beginning" : "end");
        return true;
    }
    if (matches_without_case(filter, topic)) {
        say(why, "\"%s\" differs from it in upper and lower case [MQTT-4.7.3-4].",
            name(filter, shown));
        return true;
    }
    return false;
}

static struct matching say_subscriptions(struct worker *worker, struct why *why,
                                         const struct session *session)
{
    struct matching matching = {0};
    char topic[NAME_SIZE];
    unsigned near = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        if (pass == 1 && matching.count == 0)
            say(why,
                session->subscription_count > 0
                    ? "None of its subscriptions matches \"%s\", so nothing of it is sent to it "
                      "[MQTT-3.3.2-3]."
                    : "It has no subscriptions, so nothing of \"%s\" is sent to it [MQTT-3.3.2-3].",
                name(why->topic, topic));
        for (uint32_t i = 0; i < session->subscription_capacity; i++) {
            const struct subscription *subscription = session->subscriptions[i];
            size_t offset;
            if (subscription == NULL)
                continue;
            struct topic_filter parsed = topic_filter_parse(filter_of(subscription), true, &offset);
            if (pass == 0 && topic_filter_matches(parsed.filter, why->topic))
                say_match(worker, why, session, subscription, parsed.kind == TOPIC_FILTER_SHARED,
                          &matching);
            else if (pass == 1 && matching.count == 0 && near < SHOWN)
                near += say_near_miss(why, parsed.filter);
        }
    }
    return matching;
}

/* ---- QoS 0 while away ---- */

static void clock_text(const struct worker *worker, uint32_t at_ms, char out[32])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 -
                 (uint32_t)((uint32_t)worker->now_ms - at_ms);
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &utc);
    size_t used = strftime(out, 32, "%H:%M:%S", &utc);
    snprintf(out + used, 32 - used, ".%03dZ", (int)(ms % 1000));
}

static void say_qos0(struct worker *worker, struct why *why, const struct session *session,
                     uint8_t granted)
{
    if (worker->broker->config->mqtt.queue_qos0_messages)
        return;
    const char *which = granted == 0 ? "What it gets by this is sent at QoS 0, which"
                                     : "What is published at QoS 0";
    if (session->connection == NULL)
        say(why,
            "%s is not kept while the client is away (5.0 section 4.1; queue_qos0_messages) "
            "[MQTT-4.5.0-1].",
            which);
    const struct recorder_ring *ring = recorder_ring(worker, session);
    char left[32] = "", back[32];
    for (unsigned i = 0; recorder_is_of(ring, session) && i < ring->count; i++) {
        const struct recorder_entry *entry = recorder_at(ring, i);
        if (entry->kind != SESSION_MACHINE)
            continue;
        if (entry->state == SESSION_STATE_CONNECTED) {
            clock_text(worker, entry->at_ms, left);
        } else if (left[0] != '\0') {
            clock_text(worker, entry->at_ms, back);
            say(why,
                "The client was away from %s to %s: %s was not kept (5.0 section 4.1; "
                "queue_qos0_messages) [MQTT-4.5.0-1].",
                left, back, granted == 0 ? "what was due to it at QoS 0" : "QoS 0");
            left[0] = '\0';
        }
    }
}

/* ---- Rights ---- */

static void say_rights(struct why *why, const struct session *session)
{
    char topic[NAME_SIZE];
    if (session->connection == NULL)
        return; /* asked when it is back */
    if (!permission_to_receive(session->connection, why->topic))
        say(why,
            "The access control list does not let it read \"%s\": what matches is withheld "
            "(5.0 section 5.4.2; docs/authorization.md).",
            name(why->topic, topic));
    if (!permission_to_publish(session->connection, why->topic))
        say(why,
            "The access control list does not let it publish to \"%s\" "
            "(0x87 of 5.0 section 3.4.2.1; docs/authorization.md).",
            name(why->topic, topic));
}

/* ---- What waits ---- */

static bool is_about(const struct why *why, const struct message *message)
{
    return why->topic.size == 0 ||
           (message != NULL && bytes_equal(message->stored.topic, why->topic));
}

static uint32_t count_queued(const struct why *why, const struct queue *queue)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < queue->count && i < LOOKED_AT; i++)
        count += is_about(why, queue_at(queue, i)->message);
    return count;
}

static void say_exchanges(struct why *why, const struct session *session)
{
    const struct outbound *outbound = &session->outbound;
    unsigned shown = 0;
    for (uint32_t i = 0; i < outbound->inflight_capacity && shown < SHOWN; i++) {
        const struct inflight *exchange = &outbound->inflight[i];
        char topic[NAME_SIZE] = "";
        if (exchange->packet_identifier == 0)
            continue;
        if (exchange->message != NULL)
            name(exchange->message->stored.topic, topic);
        const struct fsm_machine *machine =
            exchange->qos == 2 ? &outbound_qos2_machine : &outbound_qos1_machine;
        say(why, "On its way: Packet Identifier %u, QoS %u, topic \"%s\": %s.",
            exchange->packet_identifier, exchange->qos, topic,
            machine->state_texts[exchange->state]);
        shown++;
    }
}

static void say_waiting(struct worker *worker, struct why *why, const struct session *session)
{
    const struct outbound *outbound = &session->outbound;
    const struct connection *connection = session->connection;
    uint64_t elsewhere = outbound->stored_count + outbound->numbers.count;
    uint64_t waiting = outbound->paged.count + outbound->queue.count + elsewhere;
    uint32_t mine = count_queued(why, &outbound->paged) + count_queued(why, &outbound->queue);
    if (waiting == 0) {
        say(why, "Nothing waits to be sent to it.");
        return;
    }
    const char *they = waiting == 1 ? "It waits" : "They wait";
    say(why, "%" PRIu64 " message%s in its queue, %" PRIu64 " of them on disk alone%s%s.", waiting,
        waiting == 1 ? " waits" : "s wait", elsewhere,
        why->topic.size > 0 && mine > 0 ? "; this topic is among them" : "",
        why->topic.size > 0 && mine == 0 ? "; of this topic there is none in memory" : "");
    if (connection == NULL)
        say(why, "%s for the client to come back [MQTT-4.5.0-1].", they);
    else if (connection->send_quota == 0)
        say(why,
            "%s because the client takes %u message%s at QoS 1 and 2 at a time (Receive "
            "Maximum), and has not acknowledged %s [MQTT-3.3.4-9] [MQTT-4.9.0-2].",
            they, connection->receive_maximum, plural(connection->receive_maximum),
            connection->receive_maximum == 1 ? "it" : "those");
    else if (!outbound_can_send(session))
        say(why, "%s because the client does not read: %zu bytes wait for its socket.", they,
            connection_backlog(connection));
    char limit[160] = "";
    if ((session_facts(session) & SESSION_FACT_FULL) != 0) {
        outbound_explain_full(worker, session, limit, sizeof limit);
        say(why, "Its queue is full%s (0x97 of 5.0 section 3.4.2.1).", limit);
    }
}

/* ---- What happened ---- */

static const char *drop_statements(enum drop_reason reason)
{
    switch (reason) {
    case DROP_TOO_LARGE:
        return " [MQTT-3.1.2-24] [MQTT-3.1.2-25]";
    case DROP_SLOW_CONSUMER:
    case DROP_CLIENT_GONE:
        return " [MQTT-4.3.1-1]";
    case DROP_CLIENT_REFUSED:
        return " [MQTT-4.4.0-2]";
    case DROP_SESSION_ENDED:
        return " [MQTT-4.1.0-2]";
    case DROP_QUEUE_FULL:
    case DROP_STORE_FULL:
    case DROP_STORE_REFUSED:
        return " (0x97 of 5.0 section 3.4.2.1)";
    case DROP_NOT_AUTHORISED:
        return " (0x87 of 5.0 section 3.4.2.1)";
    case DROP_NOT_READABLE:
    case DROP_NO_LONGER_AUTHORISED:
        return " (5.0 section 5.4.2)";
    default:
        return "";
    }
}

static void say_entry(struct worker *worker, struct why *why, const struct recorder_entry *entry)
{
    char at[32], which[64] = "";
    clock_text(worker, entry->at_ms, at);
    if (entry->kind == RECORDER_DROP) {
        enum drop_reason reason = (enum drop_reason)entry->state;
        say(why, "%s: a message%s was %s: %s%s.", at,
            entry->topic == 0 ? ", its topic not on record," : "", drop_verb(reason),
            drop_text(reason), drop_statements(reason));
        return;
    }
    if (entry->kind == RECORDER_NO_LOCAL) {
        say(why,
            "%s: the client itself published it, and No Local keeps it from it "
            "[MQTT-3.8.3-3].",
            at);
        return;
    }
    const struct fsm_machine *machine = fsm_machines[entry->kind];
    const struct fsm_row *row = &machine->rows[entry->state * machine->event_count + entry->event];
    if (entry->instance > 0 && !fsm_is_of_connection(machine))
        snprintf(which, sizeof which, ", Packet Identifier %" PRIu32, entry->instance);
    say(why, "%s: %s%s: %s; then: %s [%s].", at, machine->title, which,
        machine->event_texts[entry->event], machine->state_texts[row->next], row->why);
}

static bool is_outbound(const struct recorder_entry *entry)
{
    return entry->kind == OUTBOUND_QOS1_MACHINE || entry->kind == OUTBOUND_QOS2_MACHINE;
}

/* The topic of an exchange stands at its SEND. 0: it is not known any more. */
static uint32_t topic_of(const struct recorder_ring *ring, unsigned i)
{
    const struct recorder_entry *entry = recorder_at(ring, i);
    uint32_t topic = entry->topic;
    while (topic == 0 && is_outbound(entry) && i-- > 0) {
        const struct recorder_entry *before = recorder_at(ring, i);
        if (before->kind == entry->kind && before->instance == entry->instance)
            topic = before->topic;
    }
    return topic;
}

static void say_history(struct worker *worker, struct why *why, const struct session *session)
{
    const struct recorder_ring *ring = recorder_ring(worker, session);
    uint32_t wanted = why->topic.size > 0 ? recorder_topic(why->topic) : 0;
    unsigned said = 0;
    for (unsigned i = 0; recorder_is_of(ring, session) && i < ring->count; i++) {
        uint32_t topic = topic_of(ring, i);
        bool unnamed_drop = topic == 0 && recorder_at(ring, i)->kind == RECORDER_DROP;
        if (wanted != 0 && topic != wanted && !unnamed_drop)
            continue;
        say_entry(worker, why, recorder_at(ring, i));
        said++;
    }
    if (said == 0)
        say(why,
            "Nothing is on record of it; the record holds the last %d steps of a session, and "
            "not what was sent at QoS 0.",
            RECORDER_ENTRIES);
}

static void say_drops(struct why *why, const struct session *session)
{
    for (unsigned i = 0; session->drops != NULL && i < DROP_COUNT; i++) {
        if (session->drops->count[i] > 0)
            say(why, "Of all topics, %" PRIu64 " message%s of this session %s %s: %s%s.",
                session->drops->count[i], plural(session->drops->count[i]),
                session->drops->count[i] == 1 ? "was" : "were", drop_verb((enum drop_reason)i),
                drop_text((enum drop_reason)i), drop_statements((enum drop_reason)i));
    }
}

void why_session(struct worker *worker, struct errand *errand)
{
    struct why *why = CONTAINER_OF(errand, struct why, errand);
    const struct session *session = session_find(worker, why->client);
    if (session == NULL) {
        say_absent(why);
        return;
    }
    say_state(worker, why, session);
    if (why->topic.size > 0) {
        struct matching matching = say_subscriptions(worker, why, session);
        if (matching.count > 0)
            say_qos0(worker, why, session, matching.qos);
        say_rights(why, session);
    }
    say_waiting(worker, why, session);
    say_exchanges(why, session);
    say_history(worker, why, session);
    say_drops(why, session);
}

/* ---- The other members ---- */

static void say_got(struct worker *worker, struct why *why, const struct recorder_ring *ring)
{
    uint32_t wanted = recorder_topic(why->topic);
    const struct session *session = ring->session;
    char client[NAME_SIZE], at[32];
    if (session == NULL || !recorder_is_of(ring, session) ||
        bytes_equal(session->client_identifier, why->client) ||
        session_subscription(session, &worker->broker->key, why->shared) == NULL)
        return;
    for (unsigned i = 0; i < ring->count; i++) {
        const struct recorder_entry *entry = recorder_at(ring, i);
        if (!is_outbound(entry) || entry->topic != wanted)
            continue;
        clock_text(worker, entry->at_ms, at);
        say(why,
            "%s: client \"%s\" got one, under Packet Identifier %" PRIu32
            ": it has the same shared subscription (5.0 section 4.8.2).",
            at, name(session->client_identifier, client), entry->instance);
    }
}

void why_others(struct worker *worker, struct errand *errand)
{
    struct why *why = CONTAINER_OF(errand, struct why, errand);
    for (unsigned i = 0; i < RECORDER_RINGS; i++)
        say_got(worker, why, &worker->recorder[i]);
}

void why_fini(struct why *why)
{
    buffer_fini(&why->answer);
    buffer_fini(&why->found_shared);
}
