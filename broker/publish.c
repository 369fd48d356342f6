#include "broker/publish.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/alias.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/permission.h"
#include "broker/session.h"
#include "broker/transition.h"
#include "fsm/machines.h"
#include "protocol/topic.h"

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

/* ---- Acknowledging ---- */

/* Success, with a Reason String: some of the sessions had no room. Not a Reason Code of MQTT's, and
 * never on the wire. */
enum { PUBLISH_PARTLY_DROPPED = 0x7f };

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
    case PUBLISH_PARTLY_DROPPED:
        return "queue full: dropped for some of the sessions";
    case REASON_QUOTA_EXCEEDED:
        return "no room in a session's queue, in the store or for what is retained: not taken";
    case REASON_NOT_AUTHORIZED:
        return "publishing to this topic is not allowed";
    case REASON_TOPIC_NAME_INVALID:
        return "more than 200 topic levels";
    default:
        return NULL;
    }
}

static void send_acknowledgement(struct connection *connection, enum packet_type type,
                                 uint16_t packet_identifier, uint8_t reason_code)
{
    const char *string = reason_string(reason_code);
    connection_send_acknowledgement(connection, type, packet_identifier,
                                    reason_code == PUBLISH_PARTLY_DROPPED ? 0 : reason_code,
                                    string);
}

void publish_acknowledge_now(struct connection *connection, enum packet_type type,
                             uint16_t packet_identifier, uint8_t reason_code)
{
    /* PUBREC 0x00 goes on; everything else here ends an exchange and frees its slot. */
    if (type == PACKET_PUBACK || (type == PACKET_PUBREC && reason_code >= 0x80))
        count_received(connection, false);
    send_acknowledgement(connection, type, packet_identifier, reason_code);
}

/* In the order of the PUBLISHes: behind whatever of this connection still waits (rule 7). */
static void acknowledge(struct connection *connection, enum packet_type type,
                        uint16_t packet_identifier, uint8_t reason_code, uint64_t lsn)
{
    struct worker *worker = connection->worker;
    bool next = connection->waiting == 0;
#ifdef SEEDED_BUG_ANSWER_OUT_OF_ORDER
    next = true;
#endif
    if (lsn == 0 && next) {
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

/* One step; the table's answer. `value`: what pid_map_find() says. FREE entries are not kept. */
static const struct fsm_row *inbound_step(struct worker *worker, struct session *session,
                                          struct connection *connection, uint16_t packet_identifier,
                                          uint32_t *value, uint8_t event, bool count)
{
    uint8_t state = value != NULL ? inbound_state(*value) : (uint8_t)INBOUND_QOS2_STATE_FREE;
    const struct fsm_row *row =
        transition_step(worker, session, &inbound_qos2_machine, &state, event, packet_identifier);
    if (state == INBOUND_QOS2_STATE_FREE) {
        if (value != NULL)
            pid_map_erase(&session->inbound, packet_identifier);
    } else if (value == NULL) {
        pid_map_put(&session->inbound, packet_identifier, inbound_value(state, connection->serial));
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

/* The store has it: what its caller does next is to route it, and then to send PUBREC. The session
 * may have ended (NULL). */
static void inbound_held(struct worker *worker, struct session *session, uint16_t packet_identifier)
{
    uint8_t state = INBOUND_QOS2_STATE_STORING;
    const struct fsm_row *row = transition_step(worker, session, &inbound_qos2_machine, &state,
                                                INBOUND_QOS2_EVENT_STORED, packet_identifier);
    CHECK(row->step_count == 2 && row->steps[0] == INBOUND_QOS2_ACTION_ROUTE &&
          row->steps[1] == INBOUND_QOS2_ACTION_PUBREC);
    if (session == NULL)
        return;
    uint32_t *value = pid_map_find(&session->inbound, packet_identifier);
    CHECK(value != NULL && inbound_state(*value) == INBOUND_QOS2_STATE_STORING);
    *value = *value >> INBOUND_STATE_BITS << INBOUND_STATE_BITS | state;
}

void publish_inbound_stored(struct worker *worker, struct session *session,
                            struct connection *connection, uint16_t packet_identifier,
                            uint8_t reason_code, struct dispatch *dispatch)
{
    inbound_held(worker, session, packet_identifier);
    dispatch_carry_out(worker, dispatch);
    if (connection != NULL)
        send_acknowledgement(connection, PACKET_PUBREC, packet_identifier, reason_code);
}

void publish_inbound_erased(struct worker *worker, struct session *session,
                            struct connection *connection, uint16_t packet_identifier)
{
    uint32_t *value = pid_map_find(&session->inbound, packet_identifier);
    CHECK(value != NULL);
    bool counted = connection != NULL && inbound_counted(*value, connection);
    inbound_step(worker, session, connection, packet_identifier, value, INBOUND_QOS2_EVENT_ERASED,
                 false);
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
    const struct fsm_row *row = inbound_step(worker, session, connection, packet_identifier,
                                             pid_map_find(&session->inbound, packet_identifier),
                                             INBOUND_QOS2_EVENT_PUBREL, false);
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

uint8_t publish_topic_refusal(struct bytes topic)
{
    if (topic.size >= 5 && memcmp(topic.data, "$SYS/", 5) == 0)
        return REASON_NOT_AUTHORIZED;
    if (topic.size >= TOPIC_LEVELS_MAX && topic_levels(topic) > TOPIC_LEVELS_MAX)
        return REASON_TOPIC_NAME_INVALID;
    return 0;
}

/* `why`: for the log, where all that the version has is to close the connection. */
static void refuse(struct connection *connection, const struct publish *publish, uint8_t reason,
                   const char *why)
{
    struct worker *worker = connection->worker;
    if (reason != REASON_QUOTA_EXCEEDED)
        drop_one(worker, connection->session, DROP_NOT_AUTHORISED);
    if (publish->qos == 0)
        return;
    if (connection->version != MQTT_VERSION_5) {
        /* No negative acknowledgement: not authorised is acknowledged and goes nowhere
         * [MQTT-3.3.5-2]; what cannot be stored must not be acknowledged. */
        if (reason == REASON_QUOTA_EXCEEDED) {
            connection_event(connection, CONNECTION_EVENT_STOPPED, reason, "MQTT-4.8.0-2", why);
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
    struct session *session = connection->session;
    const struct fsm_row *row =
        inbound_step(worker, session, connection, publish->packet_identifier,
                     pid_map_find(&session->inbound, publish->packet_identifier), event, true);
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
    if (alias == 0 || alias > maximum) { /* [MQTT-3.2.2-17] [MQTT-3.2.2-18] */
        connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_TOPIC_ALIAS_INVALID,
                         "MQTT-3.3.2-9", "Topic Alias above Topic Alias Maximum");
        return false;
    }
    /* Of this connection alone [MQTT-3.3.2-7]. */
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

/* For the publisher: nobody, or not everybody, gets it. */
static uint8_t success_of(const struct connection *connection, const struct collection *found)
{
    if (connection->version != MQTT_VERSION_5)
        return REASON_SUCCESS;
    if (found->refused > 0)
        return PUBLISH_PARTLY_DROPPED;
    return found->count == 0 ? REASON_NO_MATCHING_SUBSCRIBERS : REASON_SUCCESS;
}

/* To whom the scratch names, and to what is retained. */
static void deliver(struct worker *worker, struct message *message, const struct collection *found)
{
    if (message->stored.retain) {
        dispatch_carry_out(worker, dispatch_new(worker, message, found));
        return;
    }
    dispatch_run(worker, message, worker->deliveries, found->count);
    dispatch_extras(worker, found->extras);
}

/* QoS 0 and 1: delivered at once; PUBACK when it can no longer be lost [MQTT-4.3.2-4]. */
static void accept_now(struct connection *connection, const struct publish *publish,
                       struct message *message, const struct collection *found)
{
    struct worker *worker = connection->worker;
    bool recorded = dispatch_record(worker, message, found, 0, 0);
    connection->records |= recorded;
    uint64_t lsn = recorded && publish->qos > 0 ? worker_lsn(worker) : 0;
#ifdef SEEDED_BUG_RETAINED_EARLY
    if (publish->retain)
        lsn = 0;
#endif
    deliver(worker, message, found);
    if (publish->qos == 1) {
        count_received(connection, true);
        acknowledge(connection, PACKET_PUBACK, publish->packet_identifier,
                    success_of(connection, found), lsn);
    }
}

/* QoS 2: recorded first; ROUTE and PUBREC when the store has it [MQTT-4.3.3-8]. */
static void accept_qos2(struct connection *connection, const struct publish *publish,
                        struct message *message, const struct collection *found)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    const struct fsm_row *row =
        inbound_step(worker, session, connection, publish->packet_identifier, NULL,
                     INBOUND_QOS2_EVENT_PUBLISH, true);
    CHECK(row->step_count == 1 && row->steps[0] == INBOUND_QOS2_ACTION_STORE);
    uint64_t inbound = session_is_stored(session) ? session->incarnation : 0;
    bool recorded = dispatch_record(worker, message, found, inbound, publish->packet_identifier);
    connection->records |= recorded;
    uint8_t reason = success_of(connection, found);
    if (!recorded && connection->waiting == 0) {
        inbound_held(worker, session, publish->packet_identifier);
        deliver(worker, message, found);
        send_acknowledgement(connection, PACKET_PUBREC, publish->packet_identifier, reason);
        return;
    }
    struct dispatch *dispatch = dispatch_new(worker, message, found);
#ifdef SEEDED_BUG_ROUTE_EARLY
    dispatch_run(worker, message, dispatch->deliveries, dispatch->count);
    dispatch->count = 0;
#endif
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

/* Whether it takes room on the disk before it can be acknowledged. */
static bool needs_store(const struct connection *connection, const struct publish *publish,
                        const struct collection *found)
{
    return publish->qos > 0 && (found->owed_count > 0 || publish->retain ||
                                (publish->qos == 2 && session_is_stored(connection->session)));
}

static bool takes_more(const struct worker *worker)
{
    return dispatch_store_has_room(worker) &&
           store_health(worker->broker->store) == STORE_HEALTH_OK && !memory_is_low();
}

/* With sessions that have no room for it: all or nothing, or none has any and the version can say
 * so. */
static bool is_for_nobody(const struct connection *connection, const struct publish *publish,
                          const struct collection *found)
{
#ifndef SEEDED_BUG_REJECT_FOR_ONE
    if (connection->worker->broker->config->mqtt.queue_full_policy == QUEUE_FULL_REJECT)
        return true;
#endif
    return connection->version == MQTT_VERSION_5 && found->count == found->refused &&
           !publish->retain;
}

/* Why it is not taken for want of room (0x97), or NULL. */
static const char *refusal(struct connection *connection, const struct publish *publish,
                           struct message *message, const struct collection *found)
{
    struct worker *worker = connection->worker;
    if (found->refused > 0 && publish->qos > 0 && is_for_nobody(connection, publish, found))
        return "a session that it is for has a full queue, queue_full_policy = reject";
    if (needs_store(connection, publish, found) && !takes_more(worker)) {
        drop_one(worker, connection->session, DROP_STORE_REFUSED);
        return "the store cannot take more messages now";
    }
    if (dispatch_may_retain(worker, &message->stored))
        return NULL;
    drop_one(worker, connection->session, DROP_NOT_RETAINED);
    if (publish->qos > 0 && connection->version == MQTT_VERSION_5)
        return "there are as many retained messages as there may be";
    /* Others could only be cut off, and would come again with the same message: those who are
     * subscribed now get it. With which flag is settled. */
    message->stored.retain = false;
    return NULL;
}

/* A message that is new to the Server. */
static void accept(struct connection *connection, const struct publish *publish)
{
    struct worker *worker = connection->worker;
    struct collection found;
    struct message *message = message_of(worker, connection, publish);
    if (message == NULL || !dispatch_collect(worker, &message->stored, &found)) {
        if (message != NULL)
            message_drop(message, 1);
        out_of_memory(connection);
        return;
    }
    const char *why = refusal(connection, publish, message, &found);
    if (why != NULL) {
        dispatch_abandon(worker, message, &found);
        refuse(connection, publish, REASON_QUOTA_EXCEEDED, why);
    } else if (publish->qos == 2) { /* [MQTT-3.3.4-1] */
        accept_qos2(connection, publish, message, &found);
    } else {
        accept_now(connection, publish, message, &found);
    }
    message_drop(message, 1);
}

void publish_handle(struct connection *connection, struct publish *publish, struct bytes packet)
{
    struct worker *worker = connection->worker;
    if (relay_add(connection, publish, packet)) {
        counter_add(&worker->counters.publish_received[0], 1);
        return;
    }
    counter_add(&worker->counters.publish_received[publish->qos], 1);
#ifndef SEEDED_BUG_RELAY_OVERTAKEN
    relay_flush(worker);
#endif
    if (!resolve_alias(connection, publish) || !admissible(connection, publish))
        return;
    uint8_t reason = publish_topic_refusal(publish->topic_name);
    if (reason != 0) {
        refuse(connection, publish, reason, NULL);
        return;
    }
    uint32_t *value = publish->qos == 2
                          ? pid_map_find(&connection->session->inbound, publish->packet_identifier)
                          : NULL;
    if (value == NULL) { /* QoS 1: new, whatever its identifier and DUP [MQTT-4.3.2-5] */
#ifndef SEEDED_BUG_MAY_PUBLISH_ALL
        if (!permission_to_publish(connection, publish->topic_name)) {
            refuse(connection, publish, REASON_NOT_AUTHORIZED, NULL);
            return;
        }
#endif
        accept(connection, publish);
        return;
    }
    const struct fsm_row *row =
        inbound_step(connection->worker, connection->session, connection,
                     publish->packet_identifier, value, INBOUND_QOS2_EVENT_PUBLISH, true);
#ifdef SEEDED_BUG_REPEATED_PUBREC_EARLY
    if (row->step_count > 0)
        publish_acknowledge_now(connection, PACKET_PUBREC, publish->packet_identifier, 0);
    return;
#endif
    if (row->step_count > 0)
        acknowledge(connection, PACKET_PUBREC, publish->packet_identifier, 0, 0);
}
