/* What goes out on a connection: packets appended during a turn, written once at its end.
 * Where its acknowledgements are what everything waits for, also once they have been looked at. */

#include "broker/connection.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/check.h"
#include "broker/alias.h"
#include "broker/session.h"
#include "fsm/machines.h"
#include "tls/tls.h"
#include "websocket/websocket.h"

enum {
    LINGER_MS = 2000,         /* for the Client to read our last packet and close */
    LINGER_STOPPING_MS = 200, /* the same while the broker stops */
    OUTPUT_BEFORE_MAX = 1024 * 1024,
};

static void out_of_memory(const struct connection *connection)
{
    char name[256];
    log_line(LOG_ERROR, "%s: out of memory: connection closed",
             connection_name(connection, name, sizeof name));
}

/* Anything but a PUBLISH that is too large for the Client cannot be left out: it would wait for its
 * answer for ever. True when the connection is being closed for it. */
static bool exceeds_maximum(struct connection *connection, size_t size)
{
    if (size <= connection->maximum_packet_size)
        return false;
    char name[256];
    if (!connection->closed)
        log_line(LOG_NOTICE,
                 "%s: an answer of %zu bytes is larger than its Maximum Packet Size of %u "
                 "[MQTT-3.1.2-24]; closed",
                 connection_name(connection, name, sizeof name), size,
                 connection->maximum_packet_size);
    connection->closed = true;
    connection_mark_unflushed(connection);
    return true;
}

void connection_send_bytes(struct connection *connection, const void *data, size_t size)
{
    if (connection->closed || exceeds_maximum(connection, size))
        return;
    if (buffer_append(&connection->output, data, size) != STATUS_OK) {
        connection->closed = true; /* it reconnects and is owed the same again */
        out_of_memory(connection);
    }
    counter_add(&connection->worker->counters.messages_sent, 1);
    connection_mark_unflushed(connection);
}

static uint8_t *output_grow(struct connection *connection, size_t size)
{
    if (connection->closed)
        return NULL;
    /* As much as last time: grown once, not by doubling. */
    size_t room = connection->output.capacity == 0 && connection->output_before > size
                      ? connection->output_before
                      : size;
    if (buffer_reserve(&connection->output, room) != STATUS_OK) {
        connection->closed = true;
        connection_mark_unflushed(connection);
        out_of_memory(connection);
        return NULL;
    }
    return connection->output.data + connection->output.size;
}

/* Room for `size` bytes at the end of the output, or NULL. */
static inline uint8_t *output_reserve(struct connection *connection, size_t size)
{
    const struct buffer *output = &connection->output;
    if (size <= output->capacity - output->size && !connection->closed)
        return output->data + output->size;
    return output_grow(connection, size);
}

static void output_commit(struct connection *connection, size_t size, uint32_t packets)
{
    connection->output.size += size;
    counter_add(&connection->worker->counters.messages_sent, packets);
    connection_mark_unflushed(connection);
}

void connection_send_relayed(struct connection *connection, struct bytes packets, uint32_t count)
{
    uint8_t *out = output_reserve(connection, packets.size);
    if (out == NULL)
        return;
    put_bytes(out, packets);
    output_commit(connection, packets.size, count);
    counter_add(&connection->worker->counters.publish_sent[0], count);
}

void connection_send(struct connection *connection, const struct packet *packet)
{
    enum mqtt_version version = (enum mqtt_version)connection->version;
    size_t size = packet_encode(version, packet, NULL, 0);
    if (exceeds_maximum(connection, size))
        return;
    uint8_t *out = output_reserve(connection, size);
    if (out == NULL)
        return;
    packet_encode(version, packet, out, size);
    output_commit(connection, size, 1);
}

void connection_send_acknowledgement(struct connection *connection, enum packet_type type,
                                     uint16_t packet_identifier, uint8_t reason_code,
                                     const char *reason_string)
{
    bool v5 = connection->version == MQTT_VERSION_5;
    if ((reason_code == 0 && reason_string == NULL) || !v5) { /* the common one, by hand */
        uint8_t *out = output_reserve(connection, 4);
        if (out == NULL)
            return;
        out[0] = (uint8_t)(type << 4 | (type == PACKET_PUBREL ? 2 : 0));
        out[1] = 2;
        put_u16(out + 2, packet_identifier);
        output_commit(connection, 4, 1);
        return;
    }
    struct packet packet = {.type = type};
    packet.acknowledgement.packet_identifier = packet_identifier;
    packet.acknowledgement.reason_code = reason_code;
    packet.acknowledgement.properties.present = 0;
    packet.acknowledgement.properties.user_properties = bytes_of(NULL, 0);
    if (reason_string != NULL && connection->request_problem_information) { /* [MQTT-3.1.2-29] */
        packet.acknowledgement.properties.present = 1u << PROPERTY_REASON_STRING;
        packet.acknowledgement.properties.reason_string = bytes_of_text(reason_string);
        if (packet_encode(MQTT_VERSION_5, &packet, NULL, 0) > connection->maximum_packet_size)
            /* [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.6.2-2] [MQTT-3.7.2-2] */
            packet.acknowledgement.properties.present = 0;
    }
    connection_send(connection, &packet);
}

static struct publish_head head_of(const struct connection *connection,
                                   const struct message *message, uint8_t qos,
                                   const struct identifiers *identifiers)
{
    const struct store_message *stored = &message->stored;
    struct publish_head head = {
        .qos = qos,
        .packet_identifier = qos > 0, /* any: the size is the same */
        .subscription_identifiers = identifiers_values(identifiers),
        .subscription_identifier_count = identifiers->count,
        .topic_name = stored->topic,
        .properties = stored->properties,
        .payload_size = stored->payload.size,
    };
    if (stored->has_expiry) { /* [MQTT-3.3.2-6] */
        int64_t waited_s = (connection->worker->store_now_ms - stored->received_at_ms) / 1000;
#ifdef SEEDED_BUG_EXPIRY_NOT_COUNTED
        waited_s = 0;
#endif
        head.has_message_expiry_interval = true;
        head.message_expiry_interval_s =
            waited_s < (int64_t)stored->expiry_interval_s
                ? stored->expiry_interval_s - (uint32_t)(waited_s > 0 ? waited_s : 0)
                : 0;
    }
    return head;
}

bool connection_publish_fits(const struct connection *connection, const struct message *message,
                             uint8_t qos, const struct identifiers *identifiers)
{
    struct publish_head head = head_of(connection, message, qos, identifiers);
    size_t packet_size;
    publish_head_encode((enum mqtt_version)connection->version, &head, NULL, 0, &packet_size);
#ifdef SEEDED_BUG_TOO_LARGE_SENT
    return true;
#endif
    return packet_size <= connection->maximum_packet_size;
}

/* Gives the topic an alias where the Client takes them, and leaves the topic out when it knows it.
 */
static void use_alias(struct connection *connection, struct publish_head *head)
{
    enum { OUTBOUND_ALIASES = 16 }; /* looked through one by one */
    if (connection->outbound_aliases == NULL) {
        /* [MQTT-3.1.2-26] [MQTT-3.3.2-11] */
        uint16_t maximum = connection->topic_alias_maximum < OUTBOUND_ALIASES
                               ? connection->topic_alias_maximum
                               : OUTBOUND_ALIASES;
        connection->outbound_aliases = alias_table_new(maximum);
        if (connection->outbound_aliases == NULL)
            return;
    }
    bool fresh;
    head->topic_alias = alias_assign(connection->outbound_aliases, head->topic_name, &fresh);
#ifdef SEEDED_BUG_ALIAS_UNANNOUNCED
    fresh = false;
#endif
    if (head->topic_alias != 0 && !fresh)
        head->topic_name = bytes_of(NULL, 0);
}

enum send_result connection_send_publish(struct connection *connection,
                                         const struct message *message, uint8_t qos, bool dup,
                                         bool retain, uint16_t packet_identifier,
                                         const struct identifiers *identifiers)
{
    enum { HEAD_MAX = 32 }; /* fixed header, lengths, identifier, alias, expiry */
    enum mqtt_version version = (enum mqtt_version)connection->version;
    struct publish_head head = head_of(connection, message, qos, identifiers);
    head.dup = dup; /* ours, whatever it came with [MQTT-3.3.1-3] */
    head.retain = retain;
    head.packet_identifier = packet_identifier;
    size_t bound = HEAD_MAX + head.topic_name.size + head.properties.size +
                   5 * (size_t)head.subscription_identifier_count;
    if (bound + head.payload_size > connection->maximum_packet_size &&
        !connection_publish_fits(connection, message, qos, identifiers))
        return SEND_TOO_LARGE; /* [MQTT-3.1.2-24] */
    /* An alias adds three bytes: only where they cannot matter, and none unasked
     * [MQTT-3.1.2-27]. */
    if (connection->topic_alias_maximum > 0 &&
        bound + head.payload_size <= connection->maximum_packet_size)
        use_alias(connection, &head);
    uint8_t *out = output_reserve(connection, bound + head.payload_size);
    if (out == NULL)
        return SEND_OK; /* the connection is closing: as good as lost on the way */
    size_t packet_size;
    size_t size = publish_head_encode(version, &head, out, bound, &packet_size);
    CHECK(size <= bound);
    put_bytes(out + size, message->stored.payload);
    output_commit(connection, size + head.payload_size, 1);
    counter_add(&connection->worker->counters.publish_sent[qos], 1);
    return SEND_OK;
}

/* Sends what it can. Returns the number of bytes, 0 when the socket takes no more, -1 on failure.
 */
static ssize_t send_some(struct connection *connection, const uint8_t *data, size_t size)
{
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
        if (sent > 0 && connection_is_choked(connection))
            connection->last_packet_ms = connection->worker->now_ms;
        counter_add(&connection->worker->counters.bytes_sent, (uint64_t)sent);
        return sent;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

void connection_frame_output(struct connection *connection)
{
    struct buffer *output = &connection->output;
    enum status status = websocket_frame(output, connection->framed);
    if (status == STATUS_OK && connection->draining)
        status = websocket_close(connection->websocket, output);
    connection->framed = output->size;
    if (status == STATUS_OK)
        return;
    connection->closed = true;
    output->size = connection->output_sent = connection->framed = 0;
    out_of_memory(connection);
}

static void output_sent(struct connection *connection, size_t size)
{
    connection->output_sent += size;
    if (connection->output_sent == connection->output.size) {
        connection->output_before =
            connection->output.size < OUTPUT_BEFORE_MAX ? (uint32_t)connection->output.size : 0;
        connection->output.size = connection->output_sent = connection->framed = 0;
        if (connection->output.capacity > 0)
            buffer_fini(&connection->output);
    } else if (connection->output_sent > 512 * 1024) {
        buffer_consume(&connection->output, connection->output_sent);
        if (connection->websocket != NULL)
            connection->framed -= connection->output_sent;
        connection->output_sent = 0;
    }
}

static bool flush_plain(struct connection *connection)
{
    size_t backlog = connection_backlog(connection);
    if (backlog == 0)
        return true;
    ssize_t sent =
        send_some(connection, connection->output.data + connection->output_sent, backlog);
    if (sent < 0)
        return false;
    output_sent(connection, (size_t)sent);
    return true;
}

static bool flush_tls(struct connection *connection)
{
    for (;;) {
        struct bytes cipher = tls_output(connection->tls);
        while (cipher.size > 0) {
            ssize_t sent = send_some(connection, cipher.data, cipher.size);
            if (sent < 0)
                return false;
            if (sent == 0)
                return true;
            tls_output_consume(connection->tls, (size_t)sent);
            cipher = tls_output(connection->tls);
        }
        size_t backlog = connection_backlog(connection);
        if (backlog == 0 || !tls_established(connection->tls))
            return true;
        size_t part = backlog < 64 * 1024 ? backlog : 64 * 1024;
        if (tls_write(connection->tls, connection->output.data + connection->output_sent, part) !=
            TLS_OK)
            return false;
        output_sent(connection, part);
    }
}

/* Everything is out: say so to the peer, and wait for it to close so that nothing is lost to a
 * reset. A Client that has sent DISCONNECT sends nothing that could cause one (5.0 section 3.14.4):
 * where nothing is left to read but the end, the socket is closed at once. */
static void finish(struct connection *connection)
{
    if (connection->shut)
        return;
    if (connection->tls != NULL) {
        tls_shutdown(connection->tls);
        flush_tls(connection);
    }
    bool plain = connection->tls == NULL && connection->websocket == NULL;
    if (plain && connection->goodbye && (connection->hangup || !connection->input_left)) {
        connection_event(connection, CONNECTION_EVENT_DRAINED, 0, "", NULL);
        return;
    }
    connection->shut = true;
    shutdown(connection->fd, SHUT_WR);
    worker_timer_set(connection->worker, &connection->timer,
                     connection->worker->now_ms +
                         (connection->worker->stopping ? LINGER_STOPPING_MS : LINGER_MS));
    connection->input_left = true;
    if (list_empty(&connection->ready))
        list_append(&connection->worker->ready, &connection->ready);
}

void connection_flush(struct connection *connection)
{
    if (connection->websocket != NULL)
        connection_frame_output(connection);
    size_t before = connection_unsent(connection);
    bool works = connection->tls != NULL ? flush_tls(connection) : flush_plain(connection);
    if (connection->closed)
        return;
    if (!works) {
        connection_peer_closed(connection, strerror(errno));
        return;
    }
    if (connection->draining && connection_unsent(connection) == 0)
        finish(connection);
    else if (connection->session != NULL && before > 0 && connection_unsent(connection) < before &&
             connection->state == CONNECTION_STATE_CONNECTED)
        outbound_pump(connection->worker, connection->session);
    connection_continue(connection);
}
