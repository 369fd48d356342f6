#include "broker/publish.h"

#include <stdlib.h>

#include "base/check.h"
#include "broker/alias.h"
#include "broker/connection.h"
#include "broker/session.h"
#include "fsm/machines.h"

/* In session->inbound: the machine's state, and whether this connection's Receive Maximum counts
 * it: the connection serial in the upper bits. */
enum { INBOUND_STATE_BITS = 3 };

static uint32_t inbound_value(uint8_t state, uint32_t serial)
{
    return serial << INBOUND_STATE_BITS | state;
}

static uint8_t inbound_state(uint32_t value)
{
    return value & ((1u << INBOUND_STATE_BITS) - 1);
}

static bool inbound_counted(uint32_t value, const struct connection *connection)
{
    return value >> INBOUND_STATE_BITS == (connection->serial & (UINT32_MAX >> INBOUND_STATE_BITS));
}

/* ---- Routing: who gets it ---- */

/* What collect() found, in the worker's scratch. */
struct collection {
    uint32_t count, owed_count;
    bool urgent;
};

static bool scratch_reserve(struct worker *worker, uint32_t count)
{
    if (count <= worker->delivery_capacity)
        return true;
    uint32_t capacity = worker->delivery_capacity > 0 ? worker->delivery_capacity : 64;
    while (capacity < count)
        capacity *= 2;
    struct delivery *deliveries = realloc(worker->deliveries, capacity * sizeof *deliveries);
    if (deliveries == NULL)
        return false;
    worker->deliveries = deliveries;
    struct store_owed *owed = realloc(worker->owed, capacity * sizeof *owed);
    if (owed == NULL)
        return false;
    worker->owed = owed;
    worker->delivery_capacity = capacity;
    return true;
}

static void collect_one(struct worker *worker, struct collection *found, struct session *session,
                        uint64_t incarnation, uint8_t qos, bool retain, const uint32_t *identifiers,
                        uint32_t identifier_count)
{
    uint8_t facts = session_facts(session);
    if (qos > 0 && (facts & SESSION_FACT_FULL) != 0) {
        counter_add(&worker->counters.dropped[DROP_QUEUE_FULL], 1);
        return;
    }
    bool owed = qos > 0 && (facts & SESSION_FACT_STORED) != 0;
    if (qos == 0 && (facts & SESSION_FACT_CONNECTED) == 0)
        return;
    worker->deliveries[found->count++] = (struct delivery){
        .session = session,
        .incarnation = incarnation,
        .identifiers = identifiers_copy(identifiers, identifier_count),
        .qos = qos,
        .retain = retain,
        .owed = owed,
    };
    if (!owed)
        return;
    worker->owed[found->owed_count++] = (struct store_owed){
        .incarnation = incarnation,
        .qos = qos,
        .retain = retain,
        .subscription_identifiers = identifiers,
        .subscription_identifier_count = identifier_count,
    };
    if (qos == 2 || (facts & SESSION_FACT_CONNECTED) == 0)
        found->urgent = true;
}

/* A member of a shared subscription: one that can be sent to now, else one that is connected, else
 * one that is stored; from a random start, so that no counter is shared. */
static const struct subscriber *pick_member(struct worker *worker, const struct route_group *group)
{
    const struct subscriber *best = NULL;
    int best_rank = 0;
    uint32_t start = (uint32_t)(worker_random(worker) % group->count);
    for (uint32_t i = 0; i < group->count && best_rank < 3; i++) {
        const struct subscriber *member = &group->members[(start + i) % group->count];
        uint8_t facts = session_facts(member->session);
        int rank = (facts & SESSION_FACT_FULL) != 0        ? 0
                   : (facts & SESSION_FACT_QUOTA) != 0     ? 3
                   : (facts & SESSION_FACT_CONNECTED) != 0 ? 2
                   : (facts & SESSION_FACT_STORED) != 0    ? 1
                                                           : 0;
        if (rank > best_rank) {
            best = member;
            best_rank = rank;
        }
    }
    return best;
}

static void collect_groups(struct worker *worker, struct collection *found,
                           const struct route *route, const struct store_message *message)
{
    for (uint32_t i = 0; i < route->group_count; i++) {
        if (route->groups[i].count == 0)
            continue;
        const struct subscriber *member = pick_member(worker, &route->groups[i]);
        if (member == NULL)
            continue;
        uint8_t granted = member->options & 3;
        bool retain = (member->options & 8) != 0 && message->retain;
        collect_one(worker, found, member->session, member->incarnation,
                    message->qos < granted ? message->qos : granted, retain,
                    &member->subscription_identifier, member->subscription_identifier != 0);
    }
}

/* Fills the scratch with everyone the message is for. False: no memory. */
static bool collect(struct worker *worker, const struct store_message *message,
                    struct collection *out)
{
    *out = (struct collection){0};
    const struct route *route = route_find(worker->routes, message->topic);
    if (route == NULL || !scratch_reserve(worker, route->target_count + route->group_count))
        return false;
    for (uint32_t i = 0; i < route->target_count; i++) {
        const struct route_target *target = &route->targets[i];
        struct route_target mine;
        if (target->has_no_local && target->incarnation == message->publisher) {
            if (!route_target_without_no_local(worker->routes, route, target, &mine))
                continue; /* [MQTT-3.8.3-3] */
            target = &mine;
        }
        collect_one(worker, out, target->session, target->incarnation,
                    message->qos < target->qos ? message->qos : target->qos,
                    target->retain_as_published && message->retain,
                    target->subscription_identifiers, target->subscription_identifier_count);
    }
    collect_groups(worker, out, route, message);
    return true;
}

/* ---- Recording and delivering ---- */

static enum store_retained retained_change(const struct store_message *message)
{
    if (!message->retain)
        return STORE_RETAINED_NONE;
    return message->payload.size > 0 ? STORE_RETAINED_SET : STORE_RETAINED_DELETE;
}

/* One publish, one delta. True when something was recorded. */
static bool record(struct worker *worker, struct message *message, const struct collection *found,
                   uint64_t inbound_incarnation, uint16_t packet_identifier)
{
    enum store_retained retained = retained_change(&message->stored);
    if (found->owed_count == 0 && inbound_incarnation == 0 && retained == STORE_RETAINED_NONE)
        return false;
    struct store_publish publish = {
        .message = &message->stored,
        .owed = worker->owed,
        .owed_count = found->owed_count,
        .inbound_incarnation = inbound_incarnation,
        .inbound_packet_identifier = packet_identifier,
        .retained = retained,
        .urgent = found->urgent || inbound_incarnation != 0 || retained != STORE_RETAINED_NONE,
        .cookie = message,
    };
    message_hold(message, 1); /* until the store has written it */
    store_batch_message(worker_batch(worker), &publish);
    return true;
}

void publish_deliver(struct worker *worker, struct message *message, struct delivery *deliveries,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct delivery *delivery = &deliveries[i];
#ifndef SEEDED_BUG_SUCCESSOR_DELIVERY
        if (delivery->session->incarnation != delivery->incarnation) {
            identifiers_fini(&delivery->identifiers); /* ended since it was routed */
            continue;
        }
#endif
        outbound_deliver(worker, delivery->session, message, delivery);
    }
}

static void dispatch_run(struct worker *worker, struct message *message,
                         struct delivery *deliveries, uint32_t count)
{
    for (uint32_t from = 0, to; from < count; from = to) {
        unsigned home = deliveries[from].session->home;
        for (to = from + 1; to < count && deliveries[to].session->home == home; to++)
            continue;
        if (home == worker->index)
            publish_deliver(worker, message, deliveries + from, to - from);
        else
            worker_post(worker, home, message, deliveries + from, to - from);
    }
}

void dispatch_free(struct dispatch *dispatch)
{
    if (dispatch == NULL)
        return;
    for (uint32_t i = 0; i < dispatch->count; i++)
        identifiers_fini(&dispatch->deliveries[i].identifiers);
    message_drop(dispatch->message, 1);
    free(dispatch);
}

static bool delivered_to(const struct delivery *deliveries, uint32_t count, uint64_t incarnation)
{
    for (uint32_t i = 0; i < count; i++) {
        if (deliveries[i].incarnation == incarnation)
            return true;
    }
    return false;
}

/* Someone subscribed after the message was routed and read the retained messages before this one
 * was among them: found by asking again now that it is. Each gets a copy recorded on its own. */
static void deliver_missed(struct worker *worker, struct message *message,
                           const struct delivery *routed, uint32_t routed_count)
{
    struct collection found;
    if (!collect(worker, &message->stored, &found))
        return;
    struct message *copy = message_copy(&message->stored);
    uint32_t kept = 0, owed = 0;
    for (uint32_t i = 0; i < found.count; i++) {
        struct delivery *delivery = &worker->deliveries[i];
        if (copy == NULL || delivered_to(routed, routed_count, delivery->incarnation)) {
            identifiers_fini(&delivery->identifiers);
            continue;
        }
        for (uint32_t j = 0; delivery->owed && j < found.owed_count; j++) {
            if (worker->owed[j].incarnation == delivery->incarnation)
                worker->owed[owed++] = worker->owed[j];
        }
        worker->deliveries[kept++] = *delivery;
    }
    if (copy == NULL)
        return;
    found.count = kept;
    found.owed_count = owed;
    copy->stored.retain = false; /* the retained set has it already */
    record(worker, copy, &found, 0, 0);
    copy->stored.retain = true;
    dispatch_run(worker, copy, worker->deliveries, kept);
    message_drop(copy, 1);
}

/* Makes it the retained message of its topic (rule 10). `version` is the index's before it was
 * routed. */
static void retain(struct worker *worker, struct message *message, uint64_t version,
                   const struct delivery *routed, uint32_t routed_count)
{
    if (retained_set(worker->broker->retained, message) != STATUS_OK)
        log_line(LOG_ERROR, "out of memory: a retained message is in the store only, until the "
                            "next start");
    if (topic_index_version(worker->broker->index) != version)
        deliver_missed(worker, message, routed, routed_count);
}

static struct dispatch *dispatch_new(const struct worker *worker, struct message *message,
                                     const struct collection *found, uint64_t version)
{
    struct dispatch *dispatch =
        malloc(sizeof *dispatch + found->count * sizeof dispatch->deliveries[0]);
    CHECK(dispatch != NULL); /* it is recorded: forgetting it would lose it until a restart */
    message_hold(message, 1);
    dispatch->message = message;
    dispatch->index_version = version;
    dispatch->count = found->count;
    if (found->count > 0)
        memcpy(dispatch->deliveries, worker->deliveries,
               found->count * sizeof dispatch->deliveries[0]);
    return dispatch;
}

/* Delivers what has been recorded, and retains it where it says so. Takes the dispatch. */
static void dispatch_carry_out(struct worker *worker, struct dispatch *dispatch)
{
    struct message *message = dispatch->message;
    uint32_t count = dispatch->count;
    dispatch->count = 0; /* the identifiers go with the deliveries */
    dispatch_run(worker, message, dispatch->deliveries, count);
    if (message->stored.retain)
        retain(worker, message, dispatch->index_version, dispatch->deliveries, count);
    dispatch_free(dispatch);
}

void publish_message(struct worker *worker, struct message *message)
{
    struct collection found;
    uint64_t version = topic_index_version(worker->broker->index);
    if (!collect(worker, &message->stored, &found)) {
        log_line(LOG_ERROR, "out of memory: a message is not delivered");
        return;
    }
    record(worker, message, &found, 0, 0);
    dispatch_carry_out(worker, dispatch_new(worker, message, &found, version));
}

void publish_volatile(struct worker *worker, struct message *message)
{
    struct collection found;
    uint64_t version = topic_index_version(worker->broker->index);
    if (!collect(worker, &message->stored, &found))
        return;
    message->stored.number = ++worker->volatile_number; /* below all that the store gives out */
    dispatch_carry_out(worker, dispatch_new(worker, message, &found, version));
}

void publish_retained_to(struct worker *worker, struct session *session, struct message *retained,
                         uint8_t qos, bool retain, uint32_t subscription_identifier)
{
    if (qos > retained->stored.qos)
        qos = retained->stored.qos;
    struct delivery delivery = {
        .session = session,
        .incarnation = session->incarnation,
        .identifiers = identifiers_copy(&subscription_identifier, subscription_identifier != 0),
        .qos = qos,
        .retain = retain,
        .owed = qos > 0 && session_is_stored(session),
    };
    if (!delivery.owed) {
        outbound_deliver(worker, session, retained, &delivery);
        return;
    }
    /* What it is owed gets a number and a body of its own: the retained message may be replaced. */
    struct message *copy = message_copy(&retained->stored);
    if (copy == NULL) {
        identifiers_fini(&delivery.identifiers);
        worker_drop(worker, session, DROP_QUEUE_FULL);
        return;
    }
    struct store_owed owed = {
        .incarnation = session->incarnation,
        .qos = qos,
        .retain = retain,
        .subscription_identifiers = &subscription_identifier,
        .subscription_identifier_count = subscription_identifier != 0,
    };
    struct store_publish publish = {
        .message = &copy->stored, .owed = &owed, .owed_count = 1, .urgent = true, .cookie = copy};
    message_hold(copy, 1);
    store_batch_message(worker_batch(worker), &publish);
    outbound_deliver(worker, session, copy, &delivery);
    message_drop(copy, 1);
}

/* ---- Acknowledging ---- */

static void count_received(struct connection *connection, bool more)
{
    if (more)
        connection->received_unacknowledged++;
    else if (connection->received_unacknowledged > 0)
        connection->received_unacknowledged--;
}

static const char *reason_string(uint8_t reason_code)
{
    switch (reason_code) {
    case REASON_QUOTA_EXCEEDED:
        return "the store cannot take more messages now";
    case REASON_NOT_AUTHORIZED:
        return "topics under $SYS are the Server's";
    default:
        return NULL;
    }
}

void publish_acknowledge_now(struct connection *connection, enum packet_type type,
                             uint16_t packet_identifier, uint8_t reason_code)
{
    /* PUBREC 0x00 goes on; everything else here ends an exchange and frees its slot. */
    if (type == PACKET_PUBACK || (type == PACKET_PUBREC && reason_code >= 0x80))
        count_received(connection, false);
    connection_send_acknowledgement(connection, type, packet_identifier, reason_code,
                                    reason_string(reason_code));
}

/* In the order of the PUBLISHes: behind whatever of this connection still waits (rule 7). */
static void acknowledge(struct connection *connection, enum packet_type type,
                        uint16_t packet_identifier, uint8_t reason_code, uint64_t lsn)
{
    struct worker *worker = connection->worker;
    if (lsn == 0 && connection->waiting == 0) {
        publish_acknowledge_now(connection, type, packet_identifier, reason_code);
        return;
    }
    struct waiting_entry entry = {
        .lsn = lsn > 0 ? lsn : waiting_last_lsn(&worker->waiting),
        .session = connection->session,
        .incarnation = connection->session->incarnation,
        .connection_serial = connection->serial,
        .packet_identifier = packet_identifier,
        .kind = WAITING_ACKNOWLEDGEMENT,
        .packet_type = (uint8_t)type,
        .reason_code = reason_code,
    };
    connection->waiting++;
    waiting_push(worker, &entry);
}

/* ---- The inbound QoS 2 machine ---- */

/* One step; the table's answer. FREE entries are not kept. */
static const struct fsm_row *inbound_step(struct session *session, struct connection *connection,
                                          uint16_t packet_identifier, uint8_t event, bool count)
{
    uint32_t *value = pid_map_find(&session->inbound, packet_identifier);
    uint8_t state = value != NULL ? inbound_state(*value) : (uint8_t)INBOUND_QOS2_STATE_FREE;
    const struct fsm_row *row =
        fsm_step(&inbound_qos2_machine, &state, event, session_subject(session));
    if (state == INBOUND_QOS2_STATE_FREE) {
        pid_map_erase(&session->inbound, packet_identifier);
    } else if (value == NULL) {
        CHECK(pid_map_put(&session->inbound, packet_identifier,
                          inbound_value(state, connection->serial)) == STATUS_OK);
        count_received(connection, true);
    } else if (count && !inbound_counted(*value, connection)) {
        *value = inbound_value(state, connection->serial);
        count_received(connection, true);
    } else {
        *value = *value >> INBOUND_STATE_BITS << INBOUND_STATE_BITS | state;
    }
    return row;
}

static void inbound_done(struct connection *connection, bool counted)
{
    if (counted)
        count_received(connection, false);
}

void publish_inbound_stored(struct worker *worker, struct session *session,
                            struct connection *connection, uint16_t packet_identifier,
                            uint8_t reason_code, struct dispatch *dispatch)
{
    uint8_t state = INBOUND_QOS2_STATE_STORING;
    const struct fsm_row *row = fsm_step(&inbound_qos2_machine, &state, INBOUND_QOS2_EVENT_STORED,
                                         session != NULL ? session_subject(session) : "");
    uint32_t *value = session != NULL ? pid_map_find(&session->inbound, packet_identifier) : NULL;
    if (session != NULL) {
        CHECK(value != NULL && inbound_state(*value) == INBOUND_QOS2_STATE_STORING);
        *value = *value >> INBOUND_STATE_BITS << INBOUND_STATE_BITS | state;
    }
    for (unsigned i = 0; i < row->step_count; i++) {
        if (row->steps[i] == INBOUND_QOS2_ACTION_ROUTE) {
            dispatch_carry_out(worker, dispatch);
        } else if (connection != NULL) {
            connection_send_acknowledgement(connection, PACKET_PUBREC, packet_identifier,
                                            reason_code, NULL);
        }
    }
}

void publish_inbound_erased(struct worker *worker, struct session *session,
                            struct connection *connection, uint16_t packet_identifier)
{
    (void)worker;
    const uint32_t *value = pid_map_find(&session->inbound, packet_identifier);
    CHECK(value != NULL);
    bool counted = connection != NULL && inbound_counted(*value, connection);
    inbound_step(session, connection, packet_identifier, INBOUND_QOS2_EVENT_ERASED, false);
    if (connection != NULL) {
        inbound_done(connection, counted);
        connection_send_acknowledgement(connection, PACKET_PUBCOMP, packet_identifier, 0, NULL);
    }
}

void publish_handle_pubrel(struct connection *connection, const struct acknowledgement *pubrel)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    uint16_t packet_identifier = pubrel->packet_identifier;
    const struct fsm_row *row =
        inbound_step(session, connection, packet_identifier, INBOUND_QOS2_EVENT_PUBREL, false);
    if (row->step_count == 0)
        return;
    if (row->steps[0] == INBOUND_QOS2_ACTION_PUBCOMP_NOT_FOUND) {
        acknowledge(connection, PACKET_PUBCOMP, packet_identifier,
                    REASON_PACKET_IDENTIFIER_NOT_FOUND, 0);
        return;
    }
    CHECK(row->steps[0] == INBOUND_QOS2_ACTION_ERASE);
    bool stored = session_is_stored(session);
    if (stored)
        store_batch_inbound_erase(worker_batch(worker), session->incarnation, packet_identifier);
    if (!stored && connection->waiting == 0) {
        publish_inbound_erased(worker, session, connection, packet_identifier);
        return;
    }
#ifdef SEEDED_BUG_PUBCOMP_EARLY
    publish_inbound_erased(worker, session, connection, packet_identifier);
    return;
#endif
    struct waiting_entry entry = {
        .lsn = stored ? worker_lsn(worker) : waiting_last_lsn(&worker->waiting),
        .session = session,
        .incarnation = session->incarnation,
        .connection_serial = connection->serial,
        .packet_identifier = packet_identifier,
        .kind = WAITING_INBOUND_ERASED,
    };
    connection->waiting++;
    waiting_push(worker, &entry);
}

/* ---- PUBLISH ---- */

/* The reason to refuse it, or 0. */
static uint8_t refusal_of(const struct connection *connection, const struct publish *publish)
{
    struct worker *worker = connection->worker;
    if (publish->topic_name.size >= 5 && memcmp(publish->topic_name.data, "$SYS/", 5) == 0)
        return REASON_NOT_AUTHORIZED;
    if (publish->qos > 0 && store_health(worker->broker->store) != STORE_HEALTH_OK)
        return REASON_QUOTA_EXCEEDED;
    return 0;
}

static void refuse(struct connection *connection, const struct publish *publish, uint8_t reason)
{
    struct worker *worker = connection->worker;
    if (reason == REASON_NOT_AUTHORIZED)
        worker_drop(worker, connection->session, DROP_NOT_AUTHORISED);
    if (publish->qos == 0)
        return;
    if (connection->version != MQTT_VERSION_5) {
        /* No negative acknowledgement: not authorised is acknowledged and goes nowhere
         * [MQTT-3.3.5-2]; what cannot be stored must not be acknowledged. */
        if (reason != REASON_NOT_AUTHORIZED) {
            connection_event(connection, CONNECTION_EVENT_STOPPED, reason, "MQTT-4.8.0-2",
                             "the store cannot take more messages now");
            return;
        }
        reason = 0;
    }
    if (publish->qos == 1) {
        count_received(connection, true);
        acknowledge(connection, PACKET_PUBACK, publish->packet_identifier, reason, 0);
        return;
    }
    uint8_t event = reason != 0 ? INBOUND_QOS2_EVENT_PUBLISH_REFUSED : INBOUND_QOS2_EVENT_PUBLISH;
    if (event == INBOUND_QOS2_EVENT_PUBLISH) {
        /* 3.x: the exchange runs, with a message for nobody. */
        acknowledge(connection, PACKET_PUBREC, publish->packet_identifier, 0, 0);
        return;
    }
    const struct fsm_row *row =
        inbound_step(connection->session, connection, publish->packet_identifier, event, true);
    if (row->step_count == 0)
        return;
    if (row->steps[0] == INBOUND_QOS2_ACTION_PUBREC_REFUSED) {
        count_received(connection, true);
        acknowledge(connection, PACKET_PUBREC, publish->packet_identifier, reason, 0);
    } else {
        acknowledge(connection, PACKET_PUBREC, publish->packet_identifier, 0, 0);
    }
}

/* Topic Alias to Topic Name [MQTT-3.3.2-12]. False: the connection is being closed. */
static bool resolve_alias(struct connection *connection, struct publish *publish)
{
    if (connection->version != MQTT_VERSION_5 ||
        !properties_has(&publish->properties, PROPERTY_TOPIC_ALIAS))
        return true;
    uint16_t maximum = (uint16_t)connection->worker->broker->config->mqtt.max_topic_alias;
    uint16_t alias = publish->properties.topic_alias;
    if (alias == 0 || alias > maximum) {
        connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_TOPIC_ALIAS_INVALID,
                         "MQTT-3.3.2-9", "Topic Alias above Topic Alias Maximum");
        return false;
    }
    if (connection->inbound_aliases == NULL &&
        (connection->inbound_aliases = alias_table_new(maximum)) == NULL) {
        connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "out of memory");
        return false;
    }
    if (publish->topic_name.size > 0) {
        if (alias_set(connection->inbound_aliases, alias, publish->topic_name) == STATUS_OK)
            return true;
        connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "out of memory");
        return false;
    }
    publish->topic_name = alias_get(connection->inbound_aliases, alias);
    if (publish->topic_name.size > 0)
        return true;
    connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_PROTOCOL_ERROR,
                     "5.0 section 3.3.2.3.4", "Topic Alias was never set");
    return false;
}

/* What a Server cannot take, or the Client may not send, whatever the topic. */
static bool admissible(struct connection *connection, const struct publish *publish)
{
    const struct config *config = connection->worker->broker->config;
    if (publish->qos > config->mqtt.max_qos) {
        connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_QOS_NOT_SUPPORTED,
                         "MQTT-3.2.2-11", "QoS above Maximum QoS");
        return false;
    }
    if (publish->retain && !config->mqtt.retain_available) {
        connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_RETAIN_NOT_SUPPORTED,
                         "MQTT-3.2.2-14", "RETAIN while Retain Available is 0");
        return false;
    }
    if (connection->version == MQTT_VERSION_5 && publish->qos > 0 &&
        connection->received_unacknowledged >= config->mqtt.max_inflight_messages) {
        const uint32_t *value =
            pid_map_find(&connection->session->inbound, publish->packet_identifier);
        if (publish->qos == 1 || value == NULL || !inbound_counted(*value, connection)) {
            connection_event(connection, CONNECTION_EVENT_MALFORMED,
                             REASON_RECEIVE_MAXIMUM_EXCEEDED, "MQTT-3.3.4-7",
                             "more PUBLISHes in flight than Receive Maximum");
            return false;
        }
    }
    return true;
}

static struct message *message_of(struct worker *worker, const struct connection *connection,
                                  const struct publish *publish)
{
    const struct properties *properties = &publish->properties;
    bool v5 = connection->version == MQTT_VERSION_5;
    struct bytes forwardable = bytes_of(NULL, 0);
    uint8_t *copy = NULL;
    if (v5 && properties->raw.size > 0) {
        forwardable = properties->raw;
        const uint32_t kept = 1u << PROPERTY_TOPIC_ALIAS | 1u << PROPERTY_MESSAGE_EXPIRY_INTERVAL |
                              1u << PROPERTY_SUBSCRIPTION_IDENTIFIER;
        if ((properties->present & kept) != 0) {
            copy = malloc(properties->raw.size);
            if (copy == NULL)
                return NULL;
            forwardable = bytes_of(copy, properties_forwardable(properties->raw, copy));
        }
    }
    struct message *message = message_new(publish->topic_name, forwardable, publish->payload);
    free(copy);
    if (message == NULL)
        return NULL;
    message->stored.qos = publish->qos;
    message->stored.retain = publish->retain;
    message->stored.received_at_ms = worker->store_now_ms;
    message->stored.publisher = connection->session->incarnation;
    if (v5 && properties_has(properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        message->stored.has_expiry = true;
        message->stored.expiry_interval_s = properties->message_expiry_interval_s;
    }
    return message;
}

static void out_of_memory(struct connection *connection)
{
    connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY, "5.0 section 4.13.2",
                     "out of memory");
}

/* QoS 0 and 1: delivered at once; PUBACK when it can no longer be lost [MQTT-4.3.2-4]. */
static void accept_now(struct connection *connection, const struct publish *publish,
                       struct message *message)
{
    struct worker *worker = connection->worker;
    struct collection found;
    uint64_t version = topic_index_version(worker->broker->index);
    if (!collect(worker, &message->stored, &found)) {
        out_of_memory(connection);
        return;
    }
    bool recorded = record(worker, message, &found, 0, 0);
    uint64_t lsn = recorded && publish->qos > 0 ? worker_lsn(worker) : 0;
    uint8_t reason = found.count == 0 && connection->version == MQTT_VERSION_5
                         ? REASON_NO_MATCHING_SUBSCRIBERS
                         : REASON_SUCCESS;
    if (publish->retain)
        dispatch_carry_out(worker, dispatch_new(worker, message, &found, version));
    else
        dispatch_run(worker, message, worker->deliveries, found.count);
    if (publish->qos == 1) {
        count_received(connection, true);
        acknowledge(connection, PACKET_PUBACK, publish->packet_identifier, reason, lsn);
    }
}

/* QoS 2: recorded first; ROUTE and PUBREC when the store has it [MQTT-4.3.3-8]. */
static void accept_qos2(struct connection *connection, const struct publish *publish,
                        struct message *message)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    struct collection found;
    uint64_t version = topic_index_version(worker->broker->index);
    if (!collect(worker, &message->stored, &found)) {
        pid_map_erase(&session->inbound, publish->packet_identifier);
        out_of_memory(connection);
        return;
    }
    uint64_t inbound = session_is_stored(session) ? session->incarnation : 0;
    bool recorded = record(worker, message, &found, inbound, publish->packet_identifier);
    struct dispatch *dispatch = dispatch_new(worker, message, &found, version);
    uint8_t reason = found.count == 0 && connection->version == MQTT_VERSION_5
                         ? REASON_NO_MATCHING_SUBSCRIBERS
                         : REASON_SUCCESS;
    if (!recorded && connection->waiting == 0) {
        publish_inbound_stored(worker, session, connection, publish->packet_identifier, reason,
                               dispatch);
        return;
    }
    struct waiting_entry entry = {
        .lsn = recorded ? worker_lsn(worker) : waiting_last_lsn(&worker->waiting),
        .session = session,
        .incarnation = session->incarnation,
        .data = dispatch,
        .connection_serial = connection->serial,
        .packet_identifier = publish->packet_identifier,
        .kind = WAITING_INBOUND_STORED,
        .reason_code = reason,
    };
    connection->waiting++;
    waiting_push(worker, &entry);
}

void publish_handle(struct connection *connection, struct publish *publish)
{
    struct worker *worker = connection->worker;
    counter_add(&worker->counters.publish_received, 1);
    if (!resolve_alias(connection, publish) || !admissible(connection, publish))
        return;
    uint8_t reason = refusal_of(connection, publish);
    if (reason != 0) {
        refuse(connection, publish, reason);
        return;
    }
    if (publish->qos == 2) {
        const struct fsm_row *row =
            inbound_step(connection->session, connection, publish->packet_identifier,
                         INBOUND_QOS2_EVENT_PUBLISH, true);
        if (row->step_count == 0)
            return;
        if (row->steps[0] == INBOUND_QOS2_ACTION_PUBREC) {
            acknowledge(connection, PACKET_PUBREC, publish->packet_identifier, 0, 0);
            return;
        }
        CHECK(row->steps[0] == INBOUND_QOS2_ACTION_STORE);
    }
    struct message *message = message_of(worker, connection, publish);
    if (message == NULL) {
        if (publish->qos == 2)
            pid_map_erase(&connection->session->inbound, publish->packet_identifier);
        out_of_memory(connection);
        return;
    }
    if (publish->qos == 2)
        accept_qos2(connection, publish, message);
    else
        accept_now(connection, publish, message);
    message_drop(message, 1);
}
