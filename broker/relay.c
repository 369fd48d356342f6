#include "broker/relay.h"

#include <stdlib.h>

#include "base/check.h"
#include "broker/connection.h"
#include "broker/permission.h"
#include "broker/publish.h"
#include "broker/session.h"
#include "broker/worker.h"

enum {
    RUN_BYTES = 32 * 1024, /* a longer run is handed over in parts */
    SAME_TARGETS = 8,      /* runs over several topics have so many sessions at most */
    AHEAD = 4,             /* recipients whose memory is asked for before it is their turn */
};

/* ---- Gathering ---- */

static bool reserve(struct relay_targets *targets, uint32_t count)
{
    if (count <= targets->capacity)
        return true;
    struct relay_target *entries = realloc(targets->entries, count * sizeof *entries);
    if (entries == NULL)
        return false;
    targets->entries = entries;
    targets->capacity = count;
    return true;
}

/* Who gets it, in `out`. False: somebody by a shared subscription, or with several identifiers. */
static bool find(struct worker *worker, struct bytes topic, uint64_t publisher,
                 struct relay_targets *out)
{
    const struct route *route = route_find(worker->routes, topic); /* [MQTT-3.3.2-3] */
    if (route == NULL || route->group_count > 0 || !reserve(out, route->target_count))
        return false;
    out->version = route->version;
    out->count = 0;
    for (uint32_t i = 0; i < route->target_count; i++) {
        const struct route_target *target = &route->targets[i];
        struct route_target mine;
        if (target->has_no_local && target->incarnation == publisher) {
            if (!route_target_without_no_local(worker->routes, route, target, &mine))
                continue; /* [MQTT-3.8.3-3] */
            target = &mine;
        }
        if (target->subscription_identifier_count > 1)
            return false;
        if ((session_facts(target->session) & SESSION_FACT_CONNECTED) == 0)
            continue; /* not kept for a Client that is away (5.0 section 4.1) */
        out->entries[out->count++] = (struct relay_target){
            .session = target->session,
            .incarnation = target->incarnation,
            .identifier =
                target->subscription_identifier_count > 0 ? target->subscription_identifiers[0] : 0,
            .home = target->home,
        };
    }
    return true;
}

static bool same_targets(const struct relay_targets *a, const struct relay_targets *b)
{
    if (a->count != b->count || a->count > SAME_TARGETS)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->entries[i].session != b->entries[i].session ||
            a->entries[i].incarnation != b->entries[i].incarnation ||
            a->entries[i].identifier != b->entries[i].identifier)
            return false;
    }
    return true;
}

/* Whether what the Client sent is what another of its version gets. */
static bool passes_unchanged(const struct connection *connection, const struct publish *publish)
{
    const uint32_t changed = 1u << PROPERTY_TOPIC_ALIAS | 1u << PROPERTY_MESSAGE_EXPIRY_INTERVAL |
                             1u << PROPERTY_SUBSCRIPTION_IDENTIFIER;
    return publish->qos == 0 && !publish->retain && publish->topic_name.size > 0 &&
           (publish->properties.present & changed) == 0 &&
           !connection->worker->broker->config->mqtt.queue_qos0_messages &&
           publish_topic_refusal(publish->topic_name) == 0;
}

bool relay_add(struct connection *connection, const struct publish *publish, struct bytes packet)
{
    if (!passes_unchanged(connection, publish))
        return false;
    struct worker *worker = connection->worker;
    struct relay *relay = &worker->relay;
    struct relay_packets *run = &relay->run;
    bool follows = run->count > 0 && run->bytes.data + run->bytes.size == packet.data &&
                   run->bytes.size + packet.size <= RUN_BYTES;
    bool same_route = follows && bytes_equal(publish->topic_name, relay->topic) &&
                      relay->targets.version == topic_index_version(worker->broker->index);
    if (!same_route) {
#ifndef SEEDED_BUG_RELAY_UNASKED
        /* Once for all of a run that have its topic. */
        if (!permission_to_publish(connection, publish->topic_name))
            return false;
#endif
        if (!find(worker, publish->topic_name, connection->session->incarnation, &relay->next))
            return false;
        if (!follows || !same_targets(&relay->targets, &relay->next)) {
            relay_flush(worker);
            *run = (struct relay_packets){.bytes = bytes_of(packet.data, 0),
                                          .version = connection->version};
            struct relay_targets swap = relay->targets;
            relay->targets = relay->next;
            relay->next = swap;
        } else {
            relay->targets.version = relay->next.version;
        }
        relay->topic = publish->topic_name;
    }
    run->bytes.size += packet.size;
    run->count++;
    return true;
}

void relay_flush(struct worker *worker)
{
    struct relay *relay = &worker->relay;
    if (relay->run.count == 0)
        return;
    struct relay_packets run = relay->run;
    struct relay_target *targets = relay->targets.entries;
    relay->run.count = 0;
    for (uint32_t from = 0, to; from < relay->targets.count; from = to) {
        unsigned home = targets[from].home;
        for (to = from + 1; to < relay->targets.count && targets[to].home == home; to++)
            continue;
        if (home == worker->index)
            relay_deliver(worker, &run, targets + from, to - from);
        else
            worker_post_relay(worker, home, &run, targets + from, to - from);
    }
}

void relay_fini(struct relay *relay)
{
    free(relay->targets.entries);
    free(relay->next.entries);
}

/* ---- Delivering ---- */

/* What is touched first of a recipient that is soon to come. The session may have ended: its memory
 * is there. */
static void ask_for(const struct relay_target *targets, uint32_t count, uint32_t i)
{
    if (i + 2 * AHEAD < count) {
        __builtin_prefetch(&targets[i + 2 * AHEAD].session->incarnation);
        __builtin_prefetch(&targets[i + 2 * AHEAD].session->connection);
    }
    if (i + AHEAD < count)
        connection_prefetch(targets[i + AHEAD].session->connection);
}

/* The live connection of the session that was meant, or NULL. */
static struct connection *connection_of(const struct relay_target *target)
{
    const struct session *session = target->session;
#ifndef SEEDED_BUG_SUCCESSOR_DELIVERY
    if (session->incarnation != target->incarnation)
        return NULL;
#endif
    struct connection *connection = session->connection;
    return connection != NULL && connection->state == CONNECTION_STATE_CONNECTED ? connection
                                                                                 : NULL;
}

/* Whether each of the packets is just what this Client gets, and there is room for all of them.
 * Where there is an access control list, each is asked about by its topic. */
static bool takes_unchanged(const struct connection *connection, const struct relay_target *target,
                            const struct relay_packets *packets)
{
    size_t limit = connection->worker->broker->config->mqtt.max_outgoing_buffer;
#ifdef SEEDED_BUG_RELAYED_TO_ALL
    return true;
#endif
    return connection->version == packets->version && connection->rights == NULL &&
           target->identifier == 0 && connection->topic_alias_maximum == 0 &&
           packets->bytes.size <= connection->maximum_packet_size &&
           connection_backlog(connection) + packets->bytes.size <= limit;
}

/* A message on the stack will do: nobody keeps one of QoS 0 for a Client that is there. */
static void deliver_decoded(struct worker *worker, const struct publish *publish,
                            const struct relay_target *targets, uint32_t count)
{
    struct message message = {
        .stored = {.received_at_ms = worker->store_now_ms,
                   .topic = publish->topic_name,
                   .properties = publish->properties.raw,
                   .payload = publish->payload},
    };
    for (uint32_t i = 0; i < count; i++) {
        if (connection_of(&targets[i]) == NULL)
            continue;
        struct delivery delivery = {
            .session = targets[i].session,
            .incarnation = targets[i].incarnation,
            .identifiers = {.count = targets[i].identifier != 0, .one = targets[i].identifier},
        };
        outbound_deliver(worker, targets[i].session, &message, &delivery);
    }
}

static void deliver_one_by_one(struct worker *worker, const struct relay_packets *packets,
                               const struct relay_target *targets, uint32_t count)
{
    enum mqtt_version version = (enum mqtt_version)packets->version;
    const uint8_t *at = packets->bytes.data;
    size_t left = packets->bytes.size;
    while (left > 0) {
        struct frame_parser parser = {0};
        struct refusal refusal;
        struct publish publish;
        size_t header;
        CHECK(frame_parser_feed(&parser, true, at, left, &header, &refusal) == FRAME_HEADER);
        size_t whole = header + parser.remaining_length;
        CHECK(whole <= left &&
              publish_decode(version, true, at, whole, header, &publish, &refusal));
        deliver_decoded(worker, &publish, targets, count);
        at += whole;
        left -= whole;
    }
}

void relay_deliver(struct worker *worker, const struct relay_packets *packets,
                   struct relay_target *targets, uint32_t count)
{
    uint32_t others = 0; /* in front of `targets`: who gets it otherwise */
    for (uint32_t i = 0; i < count; i++) {
        ask_for(targets, count, i);
        struct connection *connection = connection_of(&targets[i]);
        if (connection == NULL)
            continue;
        if (takes_unchanged(connection, &targets[i], packets))
            connection_send_relayed(connection, packets->bytes, packets->count);
        else
            targets[others++] = targets[i];
    }
    if (others > 0)
        deliver_one_by_one(worker, packets, targets, others);
}
