#include "broker/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authorization/acl.h"
#include "base/check.h"
#include "broker/alias.h"
#include "broker/authenticate.h"
#include "broker/early_input.h"
#include "broker/exchange.h"
#include "broker/listener.h"
#include "broker/meter.h"
#include "broker/policy.h"
#include "broker/proxied.h"
#include "broker/session.h"
#include "broker/transition.h"
#include "fsm/machines.h"
#include "tls/tls.h"
#include "websocket/websocket.h"

enum {
    DRAIN_MS = 5000,             /* for it to take what is queued before that */
    CONNECT_PACKET_MAX = 300000, /* bytes; all of a CONNECT's fields at their longest fit */
    EARLY_READ_SIZE = 16 * 1024, /* before CONNECT: what TLS answers to it is bounded, too */
};

/* ---- Life ---- */

struct connection *connection_new(struct worker *worker, struct listener *listener, int fd,
                                  struct address peer)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        goto no_memory;
    connection->fd = fd;
    connection->listener = listener;
    connection->principal = &principal_anonymous;
    connection->maximum_packet_size = UINT32_MAX;
    connection->peer = peer;
    connection->awaits_proxy = listener->config->proxy_protocol;
    struct tls_context *tls = policy_tls(worker->policy, listener->config);
    if (tls != NULL && tls_new(tls, &connection->tls) != STATUS_OK)
        goto no_memory;
    if (config_listener_has_websocket(listener->config) &&
        websocket_new(listener->config->allowed_origins, &connection->websocket) != STATUS_OK)
        goto no_memory;
    worker_timer_init(&connection->timer, connection_timer_fired);
    connection_adopt(worker, connection);
    connection_allow_time(connection);
    return connection;
no_memory:;
    char text[ADDRESS_TEXT_SIZE];
    log_line(LOG_ERROR, "%s: out of memory: connection closed", address_text(&peer, text));
    if (connection != NULL)
        tls_free(connection->tls);
    free(connection);
    close(fd);
    listener_count(listener, -1);
    return NULL;
}

void connection_adopt(struct worker *worker, struct connection *connection)
{
    connection->worker = worker;
    connection->serial = ++worker->next_connection_serial;
    if (connection->serial == 0)
        connection->serial = ++worker->next_connection_serial;
    list_append(&worker->connections, &connection->all);
    list_init(&connection->ready);
    list_init(&connection->unflushed);
    /* The CONNECT of one that moves has emptied the socket as far as anybody knows; what has come
     * since is told when it is watched. A TLS object or a WebSocket may hold more. */
    connection->input_left =
        connection->input.size == 0 || connection->tls != NULL || connection->websocket != NULL;
    list_append(&worker->ready, &connection->ready);
    if (connection_backlog(connection) > 0) /* a WebSocket's part of what brought it here */
        connection_mark_unflushed(connection);
}

void connection_watch(struct connection *connection)
{
    if (connection->watched || connection->closed)
        return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = connection};
    connection->watched = true;
    if (epoll_ctl(connection->worker->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) == 0)
        return;
    char name[256];
    log_line(LOG_ERROR, "%s: cannot watch the socket: %s",
             connection_name(connection, name, sizeof name), strerror(errno));
    connection->closed = true;
    connection_mark_unflushed(connection);
}

void connection_release(struct connection *connection, uint8_t *unread, size_t size)
{
    struct worker *worker = connection->worker;
    if (unread != connection->input.data) {
        connection->input.size = 0;
        buffer_take(&connection->input, size);
        CHECK(buffer_append(&connection->input, unread, size) == STATUS_OK);
        explicit_bzero(unread, size);
    }
    connection->processing = false;
    early_input_leave(connection);
    worker_timer_cancel(worker, &connection->timer);
    if (connection->watched)
        epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
    connection->watched = false;
    list_remove(&connection->all);
    list_remove(&connection->ready);
    list_remove(&connection->unflushed);
}

void connection_free(struct connection *connection)
{
    early_input_leave(connection);
    worker_timer_cancel(connection->worker, &connection->timer);
    list_remove(&connection->all);
    list_remove(&connection->ready);
    list_remove(&connection->unflushed);
    close(connection->fd);
    listener_count(connection->listener, -1);
    tls_free(connection->tls);
    websocket_free(connection->websocket);
    authenticate_abandon(connection);
    exchange_end(connection);
    meter_stop(connection);
    if (connection->input.size > 0)
        explicit_bzero(connection->input.data, connection->input.size);
    buffer_fini(&connection->input);
    buffer_fini(&connection->output);
    alias_table_free(connection->inbound_aliases);
    alias_table_free(connection->outbound_aliases);
    free(connection->pending);
    principal_free(connection->principal);
    acl_client_free(connection->rights);
    free(connection);
}

/* ---- The connection machine ---- */

void connection_mark_unflushed(struct connection *connection)
{
    if (list_empty(&connection->unflushed))
        list_append(&connection->worker->unflushed, &connection->unflushed);
}

static void detach(struct connection *connection, bool normally)
{
    struct session *session = connection->session;
    if (session == NULL)
        return;
    connection->session = NULL;
    meter_stop(connection);
    if (connection->admitted) {
        connection->admitted = false;
        counter_add(&connection->worker->counters.clients_connected, (uint64_t)-1);
    }
    if (connection->worker->stopping && !normally)
        session_suspended(connection->worker, session);
    else
        session_disconnected(connection->worker, session, normally);
}

static void send_disconnect(struct connection *connection, uint8_t reason_code, const char *why)
{
    if (connection->version != MQTT_VERSION_5)
        return; /* 3.1.1 has no DISCONNECT from a Server */
    struct packet packet = {.type = PACKET_DISCONNECT};
    packet.disconnect.reason_code = reason_code;
    packet.disconnect.properties.present = 0;
    packet.disconnect.properties.user_properties = bytes_of(NULL, 0);
    if (why != NULL) {
        packet.disconnect.properties.present = 1u << PROPERTY_REASON_STRING;
        packet.disconnect.properties.reason_string = bytes_of_text(why);
        if (packet_encode(MQTT_VERSION_5, &packet, NULL, 0) > connection->maximum_packet_size)
            packet.disconnect.properties.present = 0; /* [MQTT-3.14.2-3] */
    }
    connection_send(connection, &packet);
}

void connection_event(struct connection *connection, uint8_t event, uint8_t reason_code,
                      const char *statement, const char *why)
{
    bool normally = false;
    const struct fsm_row *row =
        transition_step(connection->worker, connection->session, &connection_machine,
                        &connection->state, event, connection->serial);
    enum log_level level = event == CONNECTION_EVENT_MALFORMED || event == CONNECTION_EVENT_CONNECT
                               ? LOG_NOTICE
                               : LOG_INFO;
    if (why != NULL && log_wants(level)) {
        char name[256];
        log_line(level, "%s: %s [%s]; closed with 0x%02x %s",
                 connection_name(connection, name, sizeof name), why, statement, reason_code,
                 reason_code_name(reason_code));
    }
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case CONNECTION_ACTION_AUTHENTICATE:  /* authenticate's */
        case CONNECTION_ACTION_EXCHANGE:      /* exchange's */
        case CONNECTION_ACTION_START_SESSION: /* connect_handle's */
            connection_allow_time(connection);
            break;
        case CONNECTION_ACTION_HANDLE:
            break;
        case CONNECTION_ACTION_CONNACK:
            connect_acknowledge(connection);
            break;
        case CONNECTION_ACTION_REFUSE:
            connect_refuse(connection, reason_code);
            break;
        case CONNECTION_ACTION_CLOSE_NORMALLY:
            /* 3.1.1: any DISCONNECT deletes the Will Message; 5: 0x00 does [MQTT-3.14.4-3] */
            normally = connection->version != MQTT_VERSION_5 || reason_code == 0;
            connection->goodbye = true;
            break;
        case CONNECTION_ACTION_DETACH:
#ifdef SEEDED_BUG_WILL_LOST_AT_TAKEOVER
            normally = normally || event == CONNECTION_EVENT_TAKEN_OVER;
#endif
            detach(connection, normally);
            break;
        case CONNECTION_ACTION_SEND_DISCONNECT:
            send_disconnect(connection, reason_code, why);
            break;
        case CONNECTION_ACTION_DRAIN:
            connection->draining = true;
            worker_timer_set(connection->worker, &connection->timer,
                             connection->worker->now_ms + DRAIN_MS);
            connection_mark_unflushed(connection);
            break;
        case CONNECTION_ACTION_CLOSE:
            connection->closed = true;
            connection_mark_unflushed(connection); /* flushed one last time, then freed */
            break;
        }
    }
}

/* ---- Input: packets ---- */

static void handle_disconnect(struct connection *connection, const struct disconnect *disconnect)
{
    struct session *session = connection->session;
    if (connection->version == MQTT_VERSION_5 &&
        properties_has(&disconnect->properties, PROPERTY_SESSION_EXPIRY_INTERVAL)) {
        uint32_t wanted = disconnect->properties.session_expiry_interval_s;
        if (session->expiry_interval_s == 0 && wanted != 0) {
            connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_PROTOCOL_ERROR,
                             "5.0 section 3.14.2.2.2",
                             "Session Expiry Interval raised from 0 at DISCONNECT");
            return;
        }
        uint32_t cap = connection->worker->broker->config->mqtt.max_session_expiry_s;
        session->expiry_interval_s = cap > 0 && wanted > cap ? cap : wanted;
    }
    connection_event(connection, CONNECTION_EVENT_DISCONNECT, disconnect->reason_code, "", NULL);
}

/* A packet of a Client that is connected. */
static inline void step_packet(struct connection *connection)
{
    const struct fsm_row *row =
        transition_step(connection->worker, connection->session, &connection_machine,
                        &connection->state, CONNECTION_EVENT_PACKET, connection->serial);
    CHECK(row->step_count == 1 && row->steps[0] == CONNECTION_ACTION_HANDLE);
}

/* Once for a run of acknowledgements, before what is published behind them and before the session
 * is left: what its queue has room for is known then. */
static inline void send_more(struct connection *connection)
{
    if (connection->acknowledged && connection->session != NULL)
        outbound_pump(connection->worker, connection->session);
    connection->acknowledged = false;
}

static inline void handle_publish(struct connection *connection, struct publish *publish,
                                  struct bytes whole)
{
    step_packet(connection);
#ifndef SEEDED_BUG_ROOM_SEEN_LATE
    send_more(connection);
#endif
    publish_handle(connection, publish, whole);
}

static void handle_acknowledgement(struct connection *connection, enum packet_type type,
                                   const struct acknowledgement *acknowledgement)
{
#ifndef SEEDED_BUG_RELAY_OVERTAKEN
    relay_flush(connection->worker);
#endif
    step_packet(connection);
    if (type == PACKET_PUBREL) {
        publish_handle_pubrel(connection, acknowledgement);
        return;
    }
    outbound_acknowledged(connection->worker, connection->session, type,
                          acknowledgement->packet_identifier, acknowledgement->reason_code);
    connection->acknowledged = true;
}

static void handle_packet(struct connection *connection, struct packet *packet)
{
#ifndef SEEDED_BUG_RELAY_OVERTAKEN
    relay_flush(connection->worker);
#endif
    send_more(connection);
    switch (packet->type) {
    case PACKET_CONNECT:
        connection_event(connection, CONNECTION_EVENT_CONNECT, REASON_PROTOCOL_ERROR,
                         "MQTT-3.1.0-2", "second CONNECT");
        return;
    case PACKET_DISCONNECT:
        handle_disconnect(connection, &packet->disconnect);
        return;
    default:
        break;
    }
    step_packet(connection);
    switch (packet->type) {
    case PACKET_SUBSCRIBE:
        subscribe_handle(connection, &packet->subscribe);
        break;
    case PACKET_UNSUBSCRIBE:
        unsubscribe_handle(connection, &packet->unsubscribe);
        break;
    case PACKET_AUTH:
        exchange_auth(connection, &packet->auth);
        break;
    case PACKET_PINGREQ:
        connection_send_bytes(connection, "\xd0\x00", 2); /* PINGRESP [MQTT-3.12.4-1] */
        break;
    default:
        CHECK(false); /* the decoder refuses what only a Server sends */
    }
}

static void refused(struct connection *connection, const struct refusal *refusal, uint8_t type)
{
    char why[160];
    relay_flush(connection->worker); /* before its Will Message is published */
    snprintf(why, sizeof why, "%s in %s at byte %u", refusal->what, packet_type_name(type),
             refusal->offset);
    connection_event(connection, CONNECTION_EVENT_MALFORMED, refusal->reason_code,
                     refusal->statement, why);
}

/* Nothing of a Client that was refused, or that is being sent away [MQTT-3.1.4-6]. */
static bool can_process(const struct connection *connection)
{
    return !connection->closed && !connection_is_held_back(connection) &&
           !connection_is_choked(connection) &&
           (connection->state == CONNECTION_STATE_ACCEPTED ||
            connection->state == CONNECTION_STATE_EXCHANGING ||
            connection->state == CONNECTION_STATE_CONNECTED ||
            (connection->state == CONNECTION_STATE_AUTHENTICATING &&
             authenticate_is_done(connection)));
}

/* Of a CONNECT that was refused: the version to answer it in, or 0 where it has to be closed
 * without a CONNACK. A level that we do not know is told what we know [MQTT-3.1.2-2]. */
static uint8_t claimed_version(const uint8_t *body, size_t size)
{
    static const uint8_t name[] = {0, 4, 'M', 'Q', 'T', 'T'};
    static const uint8_t name_31[] = {0, 6, 'M', 'Q', 'I', 's', 'd', 'p'};
    if (size > sizeof name_31 && memcmp(body, name_31, sizeof name_31) == 0)
        return MQTT_VERSION_31;
    if (size <= sizeof name || memcmp(body, name, sizeof name) != 0)
        return 0;
    return body[sizeof name] < MQTT_VERSION_5 ? MQTT_VERSION_311 : MQTT_VERSION_5;
}

static void packet_taken(struct connection *connection)
{
    connection->last_packet_ms = connection->worker->now_ms;
    counter_add(&connection->worker->counters.messages_received, 1);
}

enum frame_outcome { FRAME_NEXT, FRAME_INCOMPLETE, FRAME_STOP, FRAME_MOVED };

/* A CONNECT of `whole` bytes, in `size` bytes of input. */
static enum frame_outcome process_connect(struct connection *connection,
                                          const struct connect *connect, uint8_t *data,
                                          size_t whole, size_t size)
{
    switch (connect_handle(connection, connect, data, size)) {
    case CONNECT_WAITS:
        return FRAME_INCOMPLETE;
    case CONNECT_MOVED:
        return FRAME_MOVED;
    case CONNECT_EXCHANGES:
        exchange_keep(connection, bytes_of(data, whole));
        break;
    case CONNECT_DONE:
        break;
    }
    explicit_bzero(data, whole); /* its password */
    return FRAME_NEXT;
}

/* Between CONNECT and CONNACK, where AUTH packets go to and fro. */
static bool is_exchanging(const struct connection *connection)
{
    return connection->state == CONNECTION_STATE_EXCHANGING;
}

static void handle_exchange(struct connection *connection, const struct packet *packet)
{
    if (packet->type == PACKET_DISCONNECT) {
        connection_event(connection, CONNECTION_EVENT_DISCONNECT, 0, "", NULL);
        return;
    }
    connection_event(connection, CONNECTION_EVENT_PACKET, 0, "", NULL);
    exchange_auth(connection, &packet->auth);
}

/* Whether this kind of packet may come now; otherwise the connection has been closed. */
static bool may_come(struct connection *connection, uint8_t type)
{
    bool turn = connection_is_before_connect(connection) ? type == PACKET_CONNECT
                : is_exchanging(connection) ? type == PACKET_AUTH || type == PACKET_DISCONNECT
                                            : true;
    if (turn)
        return true;
    if (is_exchanging(connection))
        connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_PROTOCOL_ERROR,
                         "MQTT-3.1.2-30", "neither AUTH nor DISCONNECT before CONNACK");
    else
        connection_event(connection, CONNECTION_EVENT_PACKET, REASON_PROTOCOL_ERROR, "MQTT-3.1.0-1",
                         "the first packet is not a CONNECT");
    return false;
}

/* Who has proven nothing yet has less memory. */
static uint32_t size_limit(const struct connection *connection)
{
    uint32_t limit = connection->worker->broker->config->mqtt.max_packet_size;
    uint32_t stranger = connection_is_before_connect(connection) ? CONNECT_PACKET_MAX
                        : is_exchanging(connection)              ? EXCHANGE_PACKET_MAX
                                                                 : UINT32_MAX;
    return limit < stranger ? limit : stranger;
}

/* The packet at `data`, if it is one of those that nearly all are: decoded by hand. Its size, or
 * 0. */
static size_t process_quickly(struct connection *connection, uint8_t *data, size_t size)
{
    struct packet packet;
    if (connection->state != CONNECTION_STATE_CONNECTED)
        return 0;
    size_t used =
        publish_decode_quick((enum mqtt_version)connection->version, data, size, &packet.publish);
    if (used > 0) {
        if (used > connection->worker->broker->config->mqtt.max_packet_size)
            return 0;
        packet_taken(connection);
        handle_publish(connection, &packet.publish, bytes_of(data, used));
        return used;
    }
    used = acknowledgement_decode_quick(data, size, &packet.acknowledgement);
    if (used == 0)
        return 0;
    packet_taken(connection);
    handle_acknowledgement(connection, (enum packet_type)(data[0] >> 4), &packet.acknowledgement);
    return used;
}

/* Looks at one packet at `data`. FRAME_NEXT: `*out_used` bytes are done with. */
static enum frame_outcome process_frame(struct connection *connection, uint8_t *data, size_t size,
                                        size_t *out_used)
{
    bool before_connect = connection_is_before_connect(connection);
    struct packet packet;
    struct frame_parser parser = {.mqtt_31 = connection->version == MQTT_VERSION_31};
    struct refusal refusal;
    size_t header;
    switch (frame_parser_feed(&parser, true, data, size, &header, &refusal)) {
    case FRAME_MORE:
        return FRAME_INCOMPLETE;
    case FRAME_REFUSED:
        refused(connection, &refusal, parser.type);
        return FRAME_STOP;
    case FRAME_HEADER:
        break;
    }
    if (!may_come(connection, parser.type))
        return FRAME_STOP;
    if ((uint64_t)header + parser.remaining_length > size_limit(connection)) {
        if (before_connect)
            connection->version = claimed_version(data + header, size - header);
        refusal = (struct refusal){REASON_PACKET_TOO_LARGE, 1, "MQTT-3.2.2-15",
                                   "more than Maximum Packet Size"};
        refused(connection, &refusal, parser.type);
        return FRAME_STOP;
    }
    size_t whole = header + parser.remaining_length;
    if (size < whole)
        return FRAME_INCOMPLETE;
    *out_used = whole;
    packet.type = (enum packet_type)parser.type;
    bool accepted = packet.type == PACKET_PUBLISH
                        ? publish_decode((enum mqtt_version)connection->version, true, data, whole,
                                         header, &packet.publish, &refusal)
                        : packet_decode((enum mqtt_version)connection->version, true, data, whole,
                                        header, &packet, &refusal);
    if (!accepted) {
        if (before_connect)
            connection->version = claimed_version(data + header, whole - header);
        refused(connection, &refusal, parser.type);
        return FRAME_STOP;
    }
    packet_taken(connection);
    if (before_connect)
        return process_connect(connection, &packet.connect, data, whole, size);
    if (is_exchanging(connection)) {
        handle_exchange(connection, &packet);
        return FRAME_NEXT;
    }
    switch (packet.type) {
    case PACKET_PUBLISH:
        handle_publish(connection, &packet.publish, bytes_of(data, whole));
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        handle_acknowledgement(connection, packet.type, &packet.acknowledgement);
        break;
    default:
        handle_packet(connection, &packet);
    }
    return FRAME_NEXT;
}

/* Whoever is stopped for mail alone is looked at again in the next turn (read_connections()), where
 * there may be another reason to wait: so that is remembered, too. */
static bool must_stop(const struct connection *connection)
{
    return !can_process(connection) || connection->worker->flooded;
}

/* Handles the packets in `data`, which is the connection's own input buffer or the worker's. What
 * is left over is kept. False: the connection has moved to another worker. */
static bool process(struct connection *connection, uint8_t *data, size_t size)
{
    size_t done = 0;
    bool stopped = false; /* asked for once: another thread may end the reason at any moment */
    connection->processing = true;
    bool metered = connection->meter != NULL;
    while (done < size && !(stopped = must_stop(connection))) {
        bool counts = metered && data[done] >> 4 == PACKET_PUBLISH;
        size_t used = process_quickly(connection, data + done, size - done);
        if (used > 0) {
            done += used;
            if (counts && connection->meter != NULL)
                meter_message(connection);
            continue;
        }
        enum frame_outcome outcome = process_frame(connection, data + done, size - done, &used);
        if (outcome == FRAME_MOVED)
            return false;
        if (outcome == FRAME_INCOMPLETE)
            break;
        if (outcome == FRAME_STOP) {
            done = size;
            break;
        }
        done += used;
        if (counts && connection->meter != NULL)
            meter_message(connection);
    }
    relay_flush(connection->worker);
    send_more(connection);
    connection->processing = false;
#ifdef SEEDED_BUG_FLOODED_NOT_HELD
    connection->held = done < size && !can_process(connection);
#else
    connection->held = stopped || (done < size && must_stop(connection));
#endif
    if (connection->state == CONNECTION_STATE_CLOSING)
        done = size;
    if (data == connection->input.data) {
        buffer_consume(&connection->input, done);
        if (connection->input.size == 0)
            buffer_fini(&connection->input);
    } else if (done < size &&
               buffer_append(&connection->input, data + done, size - done) != STATUS_OK) {
        connection_event(connection, CONNECTION_EVENT_PEER_CLOSED, REASON_SERVER_BUSY, "",
                         "out of memory");
    } else if (done < size && connection_is_before_connect(connection)) {
        explicit_bzero(data + done, size - done);
    }
    early_input_changed(connection);
    return true;
}

/* New bytes, behind those that are kept. */
static bool take_bytes(struct connection *connection, uint8_t *data, size_t size)
{
    if (connection->state == CONNECTION_STATE_CLOSING)
        return true; /* lingering: read and thrown away */
    if (connection->input.size == 0)
        return process(connection, data, size);
    if (buffer_append(&connection->input, data, size) != STATUS_OK) {
        connection_event(connection, CONNECTION_EVENT_PEER_CLOSED, REASON_SERVER_BUSY, "",
                         "out of memory");
        return true;
    }
    if (connection_is_before_connect(connection))
        explicit_bzero(data, size);
    return process(connection, connection->input.data, connection->input.size);
}

/* ---- Input: sockets ---- */

void connection_peer_closed(struct connection *connection, const char *why)
{
    if (connection->closed)
        return;
    char name[256];
    if (log_wants(LOG_INFO) && connection->state != CONNECTION_STATE_CLOSING)
        log_line(LOG_INFO, "%s: connection lost: %s",
                 connection_name(connection, name, sizeof name), why);
    connection_event(connection, CONNECTION_EVENT_PEER_CLOSED, 0, "", NULL);
}

/* Whether the WebSocket has ended; what it had to say to that is in the output. */
static bool websocket_ended(struct connection *connection)
{
    enum websocket_result result = websocket_result(connection->websocket);
    if (result == WEBSOCKET_OK)
        return false;
    const char *why = result == WEBSOCKET_CLOSED ? "a Close frame" : "WebSocket failure";
    char peer[ADDRESS_TEXT_SIZE];
    if (result == WEBSOCKET_FAILED && connection->state != CONNECTION_STATE_CLOSING)
        log_line(LOG_NOTICE, "%s: WebSocket: %s", address_text(&connection->peer, peer),
                 websocket_error(connection->websocket));
    connection_peer_closed(connection, why);
    return true;
}

/* Bytes of the transport below, in a buffer that may be written to. */
static bool take_transport_bytes(struct connection *connection, uint8_t *data, size_t size)
{
    if (connection->websocket == NULL)
        return take_bytes(connection, data, size);
    size_t carried;
    connection_frame_output(connection);
    websocket_take(connection->websocket, data, size, &carried, &connection->output);
    connection->framed = connection->output.size;
    connection_mark_unflushed(connection);
    if (carried > 0 && !take_bytes(connection, data, carried))
        return false; /* what has ended it is seen by the next worker */
    websocket_ended(connection);
    return true;
}

/* While it is under way nothing is counted. */
static void count_handshake(struct connection *connection, enum tls_result result)
{
    struct worker_counters *counters = &connection->worker->counters;
    if (tls_established(connection->tls))
        counter_add(&counters->tls_handshakes_done, 1);
    else if (result != TLS_OK)
        counter_add(&counters->tls_handshakes_failed, 1);
}

static bool read_tls(struct connection *connection, size_t size)
{
    struct worker *worker = connection->worker;
    bool shaking = !tls_established(connection->tls);
    enum tls_result result = tls_feed(connection->tls, worker->input, size);
    if (shaking)
        count_handshake(connection, result);
    connection_mark_unflushed(connection); /* handshake messages and alerts */
    while (result == TLS_OK) {
        size_t plain = 0;
        result = tls_read(connection->tls, worker->plaintext, WORKER_INPUT_SIZE, &plain);
        if (plain == 0)
            break;
        if (!take_transport_bytes(connection, worker->plaintext, plain))
            return false;
    }
    if (result == TLS_CLOSED) {
        connection_peer_closed(connection, "TLS close_notify");
    } else if (result == TLS_FAILED) {
        char peer[ADDRESS_TEXT_SIZE];
        if (!connection->closed && connection->state != CONNECTION_STATE_CLOSING)
            log_line(LOG_NOTICE, "%s: TLS: %s", address_text(&connection->peer, peer),
                     tls_error(connection->tls));
        connection_peer_closed(connection, "TLS failure");
    }
    return true;
}

static bool may_read(const struct connection *connection)
{
    if (connection->closed || connection->worker->congested || connection->worker->flooded)
        return false;
    return connection->state == CONNECTION_STATE_CLOSING || can_process(connection);
}

bool connection_read(struct connection *connection)
{
    struct worker *worker = connection->worker;
    if (!may_read(connection))
        return true;
    if (connection->input.size > 0 && connection->state != CONNECTION_STATE_CLOSING &&
        !process(connection, connection->input.data, connection->input.size))
        return false;
    if (!may_read(connection) || (connection->websocket != NULL && websocket_ended(connection)))
        return true;
    if (!connection->input_left && connection->tls == NULL)
        return true;
    if (connection->awaits_proxy && connection->state == CONNECTION_STATE_ACCEPTED &&
        !proxied_read(connection))
        return true;
    size_t most = connection_is_before_connect(connection) ? EARLY_READ_SIZE : WORKER_INPUT_SIZE;
    if (connection->meter != NULL)
        most = meter_read_size(connection, most);
    ssize_t size = recv(connection->fd, worker->input, most, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
        connection_peer_closed(connection, size == 0 ? "end of stream" : strerror(errno));
        return true;
    }
    if (size < 0) {
        connection->input_left = errno == EINTR;
        if (connection->tls == NULL)
            return true;
        size = 0; /* the TLS object may hold bytes from before a pause or a move */
    }
    /* A short read has emptied the socket and the next edge tells of more; but the end of the
     * stream came with an edge that is spent. */
    if (size > 0 && (size_t)size < most && !connection->hangup)
        connection->input_left = false;
    counter_add(&worker->counters.bytes_received, (uint64_t)size);
    if (connection->state == CONNECTION_STATE_CLOSING)
        return true; /* thrown away unread: TLS and WebSocket would answer to some of it */
    if (connection->meter != NULL)
        meter_bytes(connection, (size_t)size);
    if (connection->tls != NULL)
        return read_tls(connection, (size_t)size);
    return take_transport_bytes(connection, worker->input, (size_t)size);
}

void connection_continue(struct connection *connection)
{
    if ((connection->input_left || connection->held) && !connection->processing &&
        can_process(connection) && list_empty(&connection->ready)) {
#ifndef SEEDED_BUG_PUSHED_BACK_SILENT
        if (connection->held)
            connection->last_packet_ms = connection->worker->now_ms; /* it was not read until now */
#endif
#ifdef SEEDED_BUG_HELD_FOR_A_MOMENT
        connection->held = false; /* before it is read it may have to wait again */
#endif
        list_append(&connection->worker->ready, &connection->ready);
    }
}

/* What it was stopped for may be over, by another thread or by its own packets. */
void connection_continue_reading(struct connection *connection)
{
    bool left = connection->input_left || (connection->held && can_process(connection));
    if (left && may_read(connection) && list_empty(&connection->ready))
        list_append(&connection->worker->ready, &connection->ready);
}

void connection_ready(struct connection *connection, uint32_t events)
{
    if (connection->closed)
        return;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        connection->input_left = true;
        if ((events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) != 0)
            connection->hangup = true;
        if (list_empty(&connection->ready) && connection_is_waited_for(connection))
            list_prepend(&connection->worker->ready, &connection->ready); /* its queue may move */
        else if (list_empty(&connection->ready))
            list_append(&connection->worker->ready, &connection->ready);
    }
    /* It is not read, and what it has sent is of no use to anybody. */
    if (connection->state == CONNECTION_STATE_AUTHENTICATING &&
        (events & (EPOLLHUP | EPOLLERR)) != 0) {
        connection_peer_closed(connection, "while its password was tried");
        return;
    }
    if ((events & EPOLLOUT) != 0 && (connection_backlog(connection) > 0 || connection->tls))
        connection_mark_unflushed(connection);
}
