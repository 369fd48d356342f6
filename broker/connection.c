#include "broker/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "broker/alias.h"
#include "broker/listener.h"
#include "broker/session.h"
#include "fsm/machines.h"
#include "tls/tls.h"

enum {
    DRAIN_MS = 5000,     /* for it to take what is queued before that */
    WAITING_HIGH = 8192, /* acknowledgements waiting for the disk: read no more until half */
    CONNECT_PACKET_MAX = 300000, /* bytes; all of a CONNECT's fields at their longest fit */
};

/* ---- Life ---- */

static void timer_fired(struct worker *worker, struct worker_timer *timer);

struct connection *connection_new(struct worker *worker, struct listener *listener, int fd,
                                  const char *peer)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        goto no_memory;
    connection->fd = fd;
    connection->listener = listener;
    connection->maximum_packet_size = UINT32_MAX;
    snprintf(connection->peer, sizeof connection->peer, "%s", peer);
    if (listener->tls != NULL && tls_new(listener->tls, &connection->tls) != STATUS_OK)
        goto no_memory;
    worker_timer_init(&connection->timer, timer_fired);
    connection_adopt(worker, connection);
    worker_timer_set(worker, &connection->timer,
                     worker->now_ms +
                         (uint64_t)worker->broker->config->mqtt.connect_timeout_s * 1000);
    return connection;
no_memory:
    log_line(LOG_ERROR, "%s: out of memory: connection closed", peer);
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
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = connection};
    if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        log_line(LOG_ERROR, "%s: cannot watch the socket: %s", connection->peer, strerror(errno));
        connection->closed = true;
    }
    connection->input_left = true;
    list_append(&worker->ready, &connection->ready);
}

void connection_release(struct connection *connection, const uint8_t *unread, size_t size)
{
    struct worker *worker = connection->worker;
    if (unread != connection->input.data) {
        connection->input.size = 0;
        CHECK(buffer_append(&connection->input, unread, size) == STATUS_OK);
    }
    connection->processing = false;
    worker_timer_cancel(worker, &connection->timer);
    epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
    list_remove(&connection->all);
    list_remove(&connection->ready);
    list_remove(&connection->unflushed);
}

void connection_free(struct connection *connection)
{
    worker_timer_cancel(connection->worker, &connection->timer);
    list_remove(&connection->all);
    list_remove(&connection->ready);
    list_remove(&connection->unflushed);
    close(connection->fd);
    listener_count(connection->listener, -1);
    tls_free(connection->tls);
    buffer_fini(&connection->input);
    buffer_fini(&connection->output);
    alias_table_free(connection->inbound_aliases);
    alias_table_free(connection->outbound_aliases);
    free(connection->pending);
    free(connection);
}

const char *connection_name(const struct connection *connection, char *out, size_t capacity)
{
    if (connection->session != NULL)
        snprintf(out, capacity, "client \"%s\" at %s", session_name(connection->session),
                 connection->peer);
    else
        snprintf(out, capacity, "%s", connection->peer);
    return out;
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
        fsm_step(&connection_machine, &connection->state, event,
                 connection->session != NULL ? session_subject(connection->session) : "");
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
        case CONNECTION_ACTION_START_SESSION: /* connect_handle's */
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
            break;
        case CONNECTION_ACTION_DETACH:
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

/* Not read, for a reason of the broker's. */
static bool held_back(const struct connection *connection)
{
    return connection->waiting >= WAITING_HIGH || connection->unanswered_filters >= WAITING_HIGH ||
           (connection->records && worker_is_overloaded(connection->worker));
}

static void timer_fired(struct worker *worker, struct worker_timer *timer)
{
    struct connection *connection = CONTAINER_OF(timer, struct connection, timer);
    switch (connection->state) {
    case CONNECTION_STATE_ACCEPTED:
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_UNSPECIFIED_ERROR,
                         "5.0 section 3.1.4", "no CONNECT in time");
        break;
    case CONNECTION_STATE_RESUMING: /* a Client whose CONNACK the disk keeps back has given up */
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_SERVER_UNAVAILABLE,
                         "MQTT-3.14.0-1", "the store has not answered in time");
        break;
    case CONNECTION_STATE_CONNECTED: {
        uint64_t due = connection->last_packet_ms + connection->keep_alive_ms;
        if (worker->now_ms < due)
            worker_timer_set(worker, timer, due);
        else if (held_back(connection) || worker->congested) /* the silence is ours (rule 20) */
            worker_timer_set(worker, timer, worker->now_ms + connection->keep_alive_ms);
        else
            connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_KEEP_ALIVE_TIMEOUT,
                             "MQTT-3.1.2-22", "no packet within one and a half times Keep Alive");
        break;
    }
    case CONNECTION_STATE_CLOSING:
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, 0, "", NULL);
        break;
    default:
        break;
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

static void handle_packet(struct connection *connection, struct packet *packet)
{
    struct worker *worker = connection->worker;
    switch (packet->type) {
    case PACKET_CONNECT:
        connection_event(connection, CONNECTION_EVENT_CONNECT, REASON_PROTOCOL_ERROR,
                         "MQTT-3.1.0-2", "second CONNECT");
        return;
    case PACKET_DISCONNECT:
        handle_disconnect(connection, &packet->disconnect);
        return;
    case PACKET_AUTH: /* no method was agreed on: [MQTT-4.12.0-7] */
        connection_event(connection, CONNECTION_EVENT_MALFORMED, REASON_PROTOCOL_ERROR,
                         "MQTT-4.12.0-7", "AUTH without an Authentication Method");
        return;
    default:
        break;
    }
    connection_event(connection, CONNECTION_EVENT_PACKET, 0, "", NULL);
    switch (packet->type) {
    case PACKET_PUBLISH:
        publish_handle(connection, &packet->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
        outbound_acknowledged(worker, connection->session, packet->type,
                              packet->acknowledgement.packet_identifier,
                              packet->acknowledgement.reason_code);
        break;
    case PACKET_PUBREL:
        publish_handle_pubrel(connection, &packet->acknowledgement);
        break;
    case PACKET_SUBSCRIBE:
        subscribe_handle(connection, &packet->subscribe);
        break;
    case PACKET_UNSUBSCRIBE:
        unsubscribe_handle(connection, &packet->unsubscribe);
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
    snprintf(why, sizeof why, "%s in %s at byte %u", refusal->what, packet_type_name(type),
             refusal->offset);
    connection_event(connection, CONNECTION_EVENT_MALFORMED, refusal->reason_code,
                     refusal->statement, why);
}

static bool can_process(const struct connection *connection)
{
    return !connection->closed && !held_back(connection) && !connection_is_choked(connection) &&
           (connection->state == CONNECTION_STATE_ACCEPTED ||
            connection->state == CONNECTION_STATE_CONNECTED);
}

/* Of a CONNECT that was refused: the version to answer it in, or 0 where it has to be closed
 * without a CONNACK. A level that we do not know is told what we know [MQTT-3.1.2-2]. */
static uint8_t claimed_version(const uint8_t *body, size_t size)
{
    static const uint8_t name[] = {0, 4, 'M', 'Q', 'T', 'T'};
    if (size <= sizeof name || memcmp(body, name, sizeof name) != 0)
        return 0;
    return body[sizeof name] < MQTT_VERSION_5 ? MQTT_VERSION_311 : MQTT_VERSION_5;
}

enum frame_outcome { FRAME_NEXT, FRAME_INCOMPLETE, FRAME_STOP, FRAME_MOVED };

/* Looks at one packet at `data`. FRAME_NEXT: `*out_used` bytes are done with. */
static enum frame_outcome process_frame(struct connection *connection, const uint8_t *data,
                                        size_t size, size_t *out_used)
{
    struct worker *worker = connection->worker;
    struct frame_parser parser = {0};
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
    bool before_connect = connection->state == CONNECTION_STATE_ACCEPTED;
    uint32_t limit = worker->broker->config->mqtt.max_packet_size;
    if (before_connect && parser.type != PACKET_CONNECT) {
        connection_event(connection, CONNECTION_EVENT_PACKET, REASON_PROTOCOL_ERROR, "MQTT-3.1.0-1",
                         "the first packet is not a CONNECT");
        return FRAME_STOP;
    }
    if (before_connect && limit > CONNECT_PACKET_MAX)
        limit = CONNECT_PACKET_MAX;
    if ((uint64_t)header + parser.remaining_length > limit) {
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
    struct packet packet;
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
    connection->last_packet_ms = worker->now_ms;
    counter_add(&worker->counters.messages_received, 1);
    if (before_connect)
        return connect_handle(connection, &packet.connect, data, size) ? FRAME_NEXT : FRAME_MOVED;
    handle_packet(connection, &packet);
    return FRAME_NEXT;
}

/* Handles the packets in `data`, which is the connection's own input buffer or the worker's. What
 * is left over is kept. False: the connection has moved to another worker. */
static bool process(struct connection *connection, const uint8_t *data, size_t size)
{
    size_t done = 0;
    connection->processing = true;
    while (done < size && can_process(connection)) {
        size_t used = 0;
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
    }
    connection->processing = false;
    connection->held = done < size && !can_process(connection);
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
    }
    return true;
}

/* New bytes, behind those that are kept. */
static bool take_bytes(struct connection *connection, const uint8_t *data, size_t size)
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

static bool read_tls(struct connection *connection, size_t size)
{
    struct worker *worker = connection->worker;
    enum tls_result result = tls_feed(connection->tls, worker->input, size);
    connection_mark_unflushed(connection); /* handshake messages and alerts */
    while (result == TLS_OK) {
        size_t plain = 0;
        result = tls_read(connection->tls, worker->plaintext, WORKER_INPUT_SIZE, &plain);
        if (plain == 0)
            break;
        if (!take_bytes(connection, worker->plaintext, plain))
            return false;
    }
    if (result == TLS_CLOSED) {
        connection_peer_closed(connection, "TLS close_notify");
    } else if (result == TLS_FAILED) {
        if (!connection->closed && connection->state != CONNECTION_STATE_CLOSING)
            log_line(LOG_NOTICE, "%s: TLS: %s", connection->peer, tls_error(connection->tls));
        connection_peer_closed(connection, "TLS failure");
    }
    return true;
}

static bool may_read(const struct connection *connection)
{
    if (connection->closed || connection->worker->congested)
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
    if (!may_read(connection))
        return true;
    ssize_t size = recv(connection->fd, worker->input, WORKER_INPUT_SIZE, 0);
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
    if (size > 0 && size < WORKER_INPUT_SIZE && !connection->hangup)
        connection->input_left = false;
    counter_add(&worker->counters.bytes_received, (uint64_t)size);
    if (connection->tls != NULL)
        return read_tls(connection, (size_t)size);
    return take_bytes(connection, worker->input, (size_t)size);
}

void connection_continue(struct connection *connection)
{
    if ((connection->input_left || connection->held) && !connection->processing &&
        can_process(connection) && list_empty(&connection->ready)) {
        if (connection->held)
            connection->last_packet_ms = connection->worker->now_ms; /* it was not read until now */
        connection->held = false;
        list_append(&connection->worker->ready, &connection->ready);
    }
}

void connection_continue_reading(struct connection *connection)
{
    if (connection->input_left && may_read(connection) && list_empty(&connection->ready))
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
        if (list_empty(&connection->ready))
            list_append(&connection->worker->ready, &connection->ready);
    }
    if ((events & EPOLLOUT) != 0 && (connection_backlog(connection) > 0 || connection->tls))
        connection_mark_unflushed(connection);
}
