/* CONNECT and CONNACK (3.1, 3.2): whether the Client may, where its session lives, and what it is
 * told. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "broker/authenticate.h"
#include "broker/connection.h"
#include "broker/exchange.h"
#include "broker/meter.h"
#include "broker/permission.h"
#include "broker/policy.h"
#include "broker/policy_tls.h"
#include "broker/publish.h"
#include "broker/session.h"
#include "fsm/machines.h"
#include "tls/tls.h"

/* What a Remaining Length can say, with its fixed header (2.1.4). */
enum { PACKET_SIZE_MAX = 268435460 };

/* ---- May it? ---- */

static void refuse(struct connection *connection, uint8_t reason_code, const char *statement,
                   const char *why)
{
    connection_event(connection, CONNECTION_EVENT_CONNECT_REFUSED, reason_code, statement, why);
}

/* What a well-formed CONNECT asks for that this Server, or this listener, does not give. */
static bool admit(struct connection *connection, const struct connect *connect)
{
    const struct config_mqtt *mqtt = &connection->worker->broker->config->mqtt;
    /* 3.1.1 [MQTT-3.1.3-7] 3.1.1 [MQTT-3.1.3-9] */
    if (connect->version != MQTT_VERSION_5 && connect->client_identifier.size == 0 &&
        (!connect->clean_start || connect->version == MQTT_VERSION_31)) {
        refuse(connection, REASON_CLIENT_IDENTIFIER_NOT_VALID, "3.1.1 MQTT-3.1.3-8",
               "empty Client Identifier with Clean Session 0");
        return false;
    }
    if (exchange_is_wanted(connect) &&
        !exchange_has_method(connection, connect->properties.authentication_method)) {
        refuse(connection, REASON_BAD_AUTHENTICATION_METHOD, "MQTT-4.12.0-1",
               "there is no such Authentication Method here");
        return false;
    }
    if (connect->has_will && connect->will.qos > mqtt->max_qos) {
        refuse(connection, REASON_QOS_NOT_SUPPORTED, "MQTT-3.2.2-12", "Will QoS above Maximum QoS");
        return false;
    }
    if (connect->has_will && connect->will.retain && !mqtt->retain_available) {
        refuse(connection, REASON_RETAIN_NOT_SUPPORTED, "MQTT-3.2.2-13",
               "Will Retain while Retain Available is 0");
        return false;
    }
    uint8_t will_refusal = connect->has_will ? publish_topic_refusal(connect->will.topic) : 0;
    if (will_refusal != 0) {
        refuse(connection, will_refusal, "MQTT-3.1.4-2", "the Will Topic may not be published to");
        return false;
    }
    const struct policy *policy = connection->worker->policy;
    bool is_certified = connection->tls != NULL && tls_peer_subject(connection->tls).size > 0;
    bool has_password = connect->has_user_name && /* it will be tried */
                        (policy->passwords != NULL || policy->tokens != NULL);
    if (!is_certified && !has_password && !exchange_is_wanted(connect) &&
        !policy_allows_anonymous(policy, connection->listener->config)) {
        refuse(connection, REASON_NOT_AUTHORIZED, "MQTT-3.1.4-2",
               "the listener takes no anonymous clients, and there is neither a client certificate "
               "nor a user name with a password to be tried");
        return false;
    }
    /* A handshake from before a reload. */
    const char *withdrawal = policy_tls_withdrawal(connection->worker->policy, connection);
    if (withdrawal != NULL) {
        refuse(connection, REASON_NOT_AUTHORIZED, "MQTT-3.1.4-2", withdrawal);
        return false;
    }
    return true;
}

/* Who makes or resumes the session: certificate subject and user name, told apart by a tag. */
static struct bytes identity(const struct connection *connection, const struct connect *connect,
                             struct buffer *out)
{
    struct bytes subject =
        connection->tls != NULL ? tls_peer_subject(connection->tls) : bytes_of(NULL, 0);
    struct bytes user_name =
        exchange_is_wanted(connect) ? exchange_user_name(connection) : connect->user_name;
    buffer_take(out, subject.size + user_name.size + 8); /* and the tags */
    if (subject.size > 0) {
        CHECK(buffer_append(out, "c:", 2) == STATUS_OK);
        CHECK(buffer_append(out, subject.data, subject.size) == STATUS_OK);
    }
    if (connect->has_user_name || exchange_is_wanted(connect)) {
        CHECK(buffer_append(out, "\0u:", 3) == STATUS_OK);
        CHECK(buffer_append(out, user_name.data, user_name.size) == STATUS_OK);
    }
    return bytes_of(out->data, out->size);
}

/* ---- What is agreed on ---- */

static uint32_t expiry_of(const struct config_mqtt *mqtt, const struct connect *connect)
{
    uint32_t wanted;
    if (connect->version == MQTT_VERSION_5)
        wanted = properties_has(&connect->properties, PROPERTY_SESSION_EXPIRY_INTERVAL)
                     ? connect->properties.session_expiry_interval_s
                     : 0;
    else if (connect->clean_start)
        return 0;
    else
        wanted = mqtt->persistent_client_expiration_s > 0 ? mqtt->persistent_client_expiration_s
                                                          : UINT32_MAX;
    return mqtt->max_session_expiry_s > 0 && wanted > mqtt->max_session_expiry_s
               ? mqtt->max_session_expiry_s
               : wanted;
}

static uint16_t keep_alive_of(const struct config_mqtt *mqtt, const struct connect *connect)
{
    uint16_t asked = connect->keep_alive_s; /* [MQTT-3.2.2-22] */
    if (connect->version != MQTT_VERSION_5)
        return asked;
    /* [MQTT-3.1.2-21] [MQTT-3.2.2-21] */
    if (mqtt->max_keepalive_s > 0 && (asked == 0 || asked > mqtt->max_keepalive_s))
        return mqtt->max_keepalive_s;
    return asked > 0 && asked < mqtt->min_keepalive_s ? mqtt->min_keepalive_s : asked;
}

static void agree(struct connection *connection, const struct connect *connect)
{
    const struct config_mqtt *mqtt = &connection->worker->broker->config->mqtt;
    const struct properties *asked = &connect->properties;
    bool v5 = connect->version == MQTT_VERSION_5;
    connection->keep_alive_ms =
        (uint32_t)(keep_alive_of(mqtt, connect) * 1000.0 * mqtt->keepalive_multiplier);
    connection->receive_maximum = mqtt->max_inflight_messages;
    if (v5 && properties_has(asked, PROPERTY_RECEIVE_MAXIMUM) &&
        asked->receive_maximum < connection->receive_maximum)
        connection->receive_maximum = asked->receive_maximum;
    connection->send_quota = connection->receive_maximum; /* [MQTT-4.9.0-1] */
    connection->maximum_packet_size = v5 && properties_has(asked, PROPERTY_MAXIMUM_PACKET_SIZE)
                                          ? asked->maximum_packet_size
                                          : PACKET_SIZE_MAX;
    if (connection->maximum_packet_size > PACKET_SIZE_MAX)
        connection->maximum_packet_size = PACKET_SIZE_MAX;
    connection->topic_alias_maximum =
        v5 && properties_has(asked, PROPERTY_TOPIC_ALIAS_MAXIMUM) ? asked->topic_alias_maximum : 0;
    connection->request_problem_information =
        !v5 || !properties_has(asked, PROPERTY_REQUEST_PROBLEM_INFORMATION) ||
        asked->request_problem_information != 0;
}

/* ---- CONNACK ---- */

/* Kept between CONNECT and CONNACK. */
struct pending_connack {
    bool session_present;
    bool response_information;
    bool assigned;
    uint16_t server_keep_alive_s; /* 0: as asked */
    uint32_t asked_expiry_s;
};

void connect_refuse(struct connection *connection, uint8_t reason_code)
{
    if (reason_code >= 0x80 && reason_code - 0x80 < COUNTERS_REFUSALS)
        counter_add(&connection->worker->counters.connects_refused[reason_code - 0x80], 1);
    if (connection->version == 0)
        return; /* not recognisable as MQTT: nothing that it would understand */
    enum mqtt_version version = (enum mqtt_version)connection->version;
    struct packet packet = {.type = PACKET_CONNACK};
    packet.connack.session_present = false; /* [MQTT-3.2.2-6] */
    packet.connack.properties.present = 0;
    packet.connack.properties.user_properties = bytes_of(NULL, 0);
    packet.connack.reason_code = reason_code;
    if (version != MQTT_VERSION_5) {
        int return_code = reason_code_to_v3_return_code(reason_code);
        if (return_code < 0)
            return; /* 3.1.1 [MQTT-3.2.2-6] */
        packet.connack.reason_code = (uint8_t)return_code;
    }
    connection_send(connection, &packet);
}

static void connack_properties(struct connection *connection, struct properties *out)
{
    const struct config_mqtt *mqtt = &connection->worker->broker->config->mqtt;
    const struct pending_connack *pending = connection->pending;
    const struct session *session = connection->session;
    out->present = 1u << PROPERTY_RECEIVE_MAXIMUM | 1u << PROPERTY_MAXIMUM_PACKET_SIZE;
    out->receive_maximum = mqtt->max_inflight_messages;
    out->maximum_packet_size = mqtt->max_packet_size;
    out->user_properties = bytes_of(NULL, 0);
    if (session->expiry_interval_s != pending->asked_expiry_s) {
        out->present |= 1u << PROPERTY_SESSION_EXPIRY_INTERVAL;
        out->session_expiry_interval_s = session->expiry_interval_s;
    }
    if (mqtt->max_topic_alias > 0) {
        out->present |= 1u << PROPERTY_TOPIC_ALIAS_MAXIMUM;
        out->topic_alias_maximum = mqtt->max_topic_alias;
    }
    if (mqtt->max_qos < 2) { /* [MQTT-3.2.2-9] */
        out->present |= 1u << PROPERTY_MAXIMUM_QOS;
        out->maximum_qos = mqtt->max_qos;
    }
    if (!mqtt->retain_available) {
        out->present |= 1u << PROPERTY_RETAIN_AVAILABLE;
        out->retain_available = 0;
    }
    if (pending->assigned) { /* [MQTT-3.1.3-7] [MQTT-3.2.2-16] */
        out->present |= 1u << PROPERTY_ASSIGNED_CLIENT_IDENTIFIER;
        out->assigned_client_identifier = session->client_identifier;
    }
    if (pending->server_keep_alive_s > 0) {
        out->present |= 1u << PROPERTY_SERVER_KEEP_ALIVE;
        out->server_keep_alive_s = pending->server_keep_alive_s;
    }
    if (pending->response_information && mqtt->response_information != NULL &&
        mqtt->response_information[0] != '\0') { /* [MQTT-3.1.2-28] */
        out->present |= 1u << PROPERTY_RESPONSE_INFORMATION;
        out->response_information = bytes_of_text(mqtt->response_information);
    }
    exchange_describe(connection, out);
}

void connect_acknowledge(struct connection *connection)
{
    struct worker *worker = connection->worker;
    struct packet packet = {.type = PACKET_CONNACK};
    packet.connack.session_present = connection->pending->session_present;
    packet.connack.reason_code = 0;
    packet.connack.properties.present = 0;
    if (connection->version == MQTT_VERSION_5)
        connack_properties(connection, &packet.connack.properties);
    free(connection->pending);
    connection->pending = NULL;
    connection_send(connection, &packet);
    exchange_end(connection);
    connection->admitted = true;
    counter_add(&worker->counters.clients_connected, 1);
    connection->last_packet_ms = worker->now_ms;
    worker_timer_cancel(worker, &connection->timer);
    connection->overdue = false;
    if (connection->keep_alive_ms > 0)
        worker_timer_set(worker, &connection->timer, worker->now_ms + connection->keep_alive_ms);
    session_set_fact(connection->session, SESSION_FACT_CONNECTED, true);
    outbound_resume(worker, connection->session);
    connection_continue(connection);
}

void connect_resume_step(struct connection *connection)
{
    CHECK(connection->resume_waits > 0);
    if (--connection->resume_waits == 0 && connection->state == CONNECTION_STATE_RESUMING)
        connection_event(connection, CONNECTION_EVENT_RESUMED, 0, "", NULL);
}

/* ---- CONNECT ---- */

/* An identifier whose home is this worker: 128 random bits in hex, drawn until it is, and nobody
 * has it [MQTT-3.1.3-6] [MQTT-3.2.2-16]. */
static struct bytes assign_identifier(struct worker *worker, char out[40])
{
    struct bytes identifier;
    do {
        int size = snprintf(out, 40, "hf-%016llx%016llx", (unsigned long long)worker_random(worker),
                            (unsigned long long)worker_random(worker));
        identifier = bytes_of(out, (size_t)size);
    } while (broker_home(worker->broker, identifier) != worker->index ||
             session_find(worker, identifier) != NULL);
    return identifier;
}

/* Another identity can neither resume nor end a session. */
static bool owns(const struct session *session, struct bytes owner)
{
    return session == NULL || bytes_equal(session->owner, owner);
}

/* A session that is stored already may go on, or begin anew. */
static bool may_be_stored(const struct worker *worker, const struct session *session,
                          uint32_t expiry_interval_s)
{
    uint64_t limit = worker->broker->config->mqtt.max_stored_sessions;
    return limit == 0 || expiry_interval_s == 0 ||
           (session != NULL && session_is_stored(session)) ||
           atomic_load_explicit(&worker->broker->stored_sessions, memory_order_relaxed) < limit;
}

static void wait_until_durable(struct connection *connection, uint64_t lsn)
{
    struct worker *worker = connection->worker;
    struct waiting_entry entry = {
        .lsn = lsn > waiting_last_lsn(&worker->waiting) ? lsn : waiting_last_lsn(&worker->waiting),
        .session = connection->session,
        .incarnation = connection->session->incarnation,
        .connection_serial = connection->serial,
        .kind = WAITING_RESUMED,
    };
    connection->resume_waits++;
    connection->waiting++;
    waiting_push(worker, &entry);
}

/* Whether the Client may have this session, and its Will; otherwise it is refused. */
static bool may_start(struct connection *connection, const struct connect *connect,
                      const struct session *session, struct bytes client_identifier,
                      struct bytes owner)
{
    struct worker *worker = connection->worker;
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    if (!permission_find(connection, client_identifier)) {
        refuse(connection, REASON_SERVER_BUSY, "5.0 section 4.13.2", "out of memory");
        return false;
    }
    if (!owns(session, owner)) {
        refuse(connection, REASON_NOT_AUTHORIZED, "MQTT-3.1.4-2",
               "the session belongs to another identity");
        return false;
    }
#ifndef SEEDED_BUG_ANY_WILL
    if (connect->has_will && !permission_to_publish(connection, connect->will.topic)) {
        refuse(connection, REASON_NOT_AUTHORIZED, "MQTT-3.1.4-2",
               "the Will Topic may not be published to");
        return false;
    }
#endif
    if (!may_be_stored(worker, session, expiry_of(mqtt, connect))) {
        char name[80], why[160];
        log_text(client_identifier.data, client_identifier.size, name, sizeof name);
        snprintf(why, sizeof why, "client \"%s\": max_stored_sessions = %" PRIu32 " are stored",
                 name, mqtt->max_stored_sessions);
        refuse(connection, REASON_QUOTA_EXCEEDED, "5.0 section 4.13.2", why);
        return false;
    }
    return true;
}

static struct pending_connack connack_of(const struct config_mqtt *mqtt,
                                         const struct connect *connect, bool session_present)
{
    return (struct pending_connack){
        .session_present = session_present,
        .response_information =
            connect->version == MQTT_VERSION_5 &&
            properties_has(&connect->properties, PROPERTY_REQUEST_RESPONSE_INFORMATION) &&
            connect->properties.request_response_information != 0,
        .assigned = connect->client_identifier.size == 0,
        .server_keep_alive_s = keep_alive_of(mqtt, connect) != connect->keep_alive_s
                                   ? keep_alive_of(mqtt, connect)
                                   : 0,
        .asked_expiry_s =
            connect->version == MQTT_VERSION_5 &&
                    properties_has(&connect->properties, PROPERTY_SESSION_EXPIRY_INTERVAL)
                ? connect->properties.session_expiry_interval_s
                : 0,
    };
}

static void log_connect(const struct connection *connection, const struct connect *connect,
                        const struct session *session, bool present)
{
    char name[256];
    log_line(LOG_INFO, "%s: CONNECT, MQTT %s, clean start %d, session %s, expiry %u s",
             connection_name(connection, name, sizeof name),
             connect->version == MQTT_VERSION_5     ? "5.0"
             : connect->version == MQTT_VERSION_311 ? "3.1.1"
                                                    : "3.1",
             connect->clean_start, present ? "present" : "new", session->expiry_interval_s);
}

static void start_session(struct connection *connection, const struct connect *connect,
                          struct bytes client_identifier, struct bytes owner)
{
    struct worker *worker = connection->worker;
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    struct session *session = session_find(worker, client_identifier);
    if (!may_start(connection, connect, session, client_identifier, owner))
        return;
    uint8_t reason_code;
    const char *too_much = meter_start(connection, session, &reason_code);
    if (too_much != NULL) {
        refuse(connection, reason_code, "5.0 section 4.13.2", too_much);
        return;
    }
    authenticate_supersede(connection, client_identifier, owner);
    if (session != NULL && session->connection != NULL) { /* [MQTT-3.1.4-3] */
        connection_event(session->connection, CONNECTION_EVENT_TAKEN_OVER,
                         REASON_SESSION_TAKEN_OVER, "MQTT-3.1.4-3",
                         "another connection uses its Client Identifier");
        session = session_find(worker, client_identifier);
    }
    struct pending_connack *pending = calloc(1, sizeof *pending);
    bool present = false;
    if (pending != NULL)
        session = session_connect(worker, session, connect, client_identifier, owner,
                                  expiry_of(mqtt, connect), &present);
    if (pending == NULL || session == NULL) {
        free(pending);
        refuse(connection, REASON_SERVER_BUSY, "5.0 section 4.13.2", "out of memory");
        return;
    }
    *pending = connack_of(mqtt, connect, present);
    connection->pending = pending;
    connection->session = session;
    session->connection = connection;
    connection_event(connection, CONNECTION_EVENT_CONNECT, 0, "", NULL);
    if (log_wants(LOG_INFO))
        log_connect(connection, connect, session, present);
    /* A hand on the step below, so that RESUMED comes once everything has been asked for. */
    connection->resume_waits = 1;
    bool keeps_row = session->expiry_interval_s > 0 || session->will != NULL;
#ifdef SEEDED_BUG_WILL_NOT_STORED
    keeps_row = session->expiry_interval_s > 0;
#endif
    /* Without a row it may follow a session whose end is not on disk yet: a kill would bring that
     * one back (rule 5). */
    uint64_t lsn = worker->last_end_lsn;
    if (keeps_row || session->has_row) {
        session_write(session, worker_batch(worker));
        lsn = worker_lsn(worker);
    }
#ifdef SEEDED_BUG_CONNACK_EARLY
    lsn = 0;
#endif
    if (!worker_is_durable(worker, lsn))
        wait_until_durable(connection, lsn);
    if (session->unloaded) {
        connection->resume_waits++;
        outbound_load(worker, session);
    }
    connect_resume_step(connection);
}

/* Whether the listener lets the Client have its identifier. */
static bool is_bound(const struct connection *connection, const struct connect *connect)
{
    if (connection->listener->config->client_id_binding == CLIENT_ID_ANY)
        return true;
#ifdef SEEDED_BUG_BINDING_IGNORED
    return true;
#endif
    struct bytes user_name = connection->principal->user_name;
    return user_name.size > 0 && bytes_equal(user_name, connect->client_identifier);
}

enum connect_outcome connect_handle(struct connection *connection, const struct connect *connect,
                                    uint8_t *unread, size_t unread_size)
{
    struct worker *worker = connection->worker;
    connection->version = (uint8_t)connect->version;
    agree(connection, connect); /* first: a refusal, too, keeps to its Maximum Packet Size */
    if (!admit(connection, connect))
        return CONNECT_DONE;
    char assigned[40];
    struct bytes client_identifier = connect->client_identifier;
    if (client_identifier.size == 0) {
        client_identifier = assign_identifier(worker, assigned);
    } else {
        unsigned home = broker_home(worker->broker, client_identifier);
        if (home != worker->index) {
            connection->version = 0;
            connection_release(connection, unread, unread_size);
            worker_post_connection(worker, home, connection);
            return CONNECT_MOVED;
        }
    }
    struct buffer buffer = {0};
    struct bytes owner = identity(connection, connect, &buffer);
    enum authenticate_outcome outcome = authenticate(connection, connect, client_identifier, owner);
    if (outcome == AUTHENTICATE_PROVEN && !is_bound(connection, connect))
        refuse(connection, REASON_CLIENT_IDENTIFIER_NOT_VALID, "MQTT-3.1.3-8",
               "the Client Identifier is not the user name (client_id_binding)");
    else if (outcome == AUTHENTICATE_PROVEN)
        start_session(connection, connect, client_identifier, owner);
    buffer_fini(&buffer);
    if (outcome == AUTHENTICATE_EXCHANGES)
        return CONNECT_EXCHANGES;
    if (outcome == AUTHENTICATE_WAITS) {
        connection->version = 0; /* until it is handled again */
        return CONNECT_WAITS;
    }
    authenticate_abandon(connection);
    return CONNECT_DONE;
}
