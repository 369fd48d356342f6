/* The way of a packet: framed, read, noted, shown to the fault, written. */
#include "conformance/fault/book.h"
#include "conformance/fault/proxy.h"
#include "conformance/fault/session.h"

#include <stdlib.h>
#include <string.h>

enum {
    LARGEST_LOOKED_AT = 16 << 20, /* bytes of a client's packet; larger ones pass unread */
    RIGHT_SUBPROTOCOLS = 3,       /* links: who first asks the server what it can is not put off */
};

static const struct fault_hooks *hooks(void)
{
    return proxy_settings()->fault->hooks;
}

/* ---- Writing ---- */

void link_to_client_bytes(struct link *link, const void *data, size_t size)
{
    if (link->client.fd < 0 || link->client.closing)
        return;
    if (proxy_settings()->websocket)
        websocket_front_write(&link->websocket, hooks()->websocket, data, size, &link->client.out);
    else
        buffer_bytes(&link->client.out, data, size);
    proxy_flush(&link->client);
}

void link_to_server_bytes(struct link *link, const void *data, size_t size)
{
    if (link->server.fd < 0 || link->server.closing)
        return;
    buffer_bytes(&link->server.out, data, size);
    proxy_flush(&link->server);
}

void link_to_client(struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    link_to_client_bytes(link, bytes.data, bytes.size);
    buffer_free(&bytes);
}

void link_to_server(struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    link_to_server_bytes(link, bytes.data, bytes.size);
    buffer_free(&bytes);
}

static void close_client(struct link *link)
{
    if (proxy_settings()->websocket && !link->client.closing)
        websocket_front_end(&link->websocket, &link->client.out);
    link->client.closing = true;
    proxy_flush(&link->client);
}

void link_orphan(struct link *link)
{
    book_leave(link);
    link->orphaned = true;
    proxy_close(&link->server, false);
}

void link_close(struct link *link, uint8_t reason_code)
{
    if (reason_code && is_5(link)) {
        enum packet_type type = link->connected ? DISCONNECT : CONNACK;
        link_to_client(link, &(struct packet){.type = type, .reason_code = reason_code});
    }
    close_client(link);
    link->server.closing = true;
    proxy_flush(&link->server);
}

/* ---- Passing ---- */

/* The version of the CONNECT at `data`, or that of the link. */
static enum version version_of(const struct link *link, const uint8_t *data, size_t size)
{
    size_t at = 1;
    if (link->connects || !size || data[0] >> 4 != CONNECT)
        return link->version;
    while (at < size && at < 5 && data[at] & 0x80)
        at++;
    at++;
    if (at + 2 > size)
        return link->version;
    size_t level = at + 2 + ((size_t)data[at] << 8 | data[at + 1]);
    if (level >= size)
        return link->version;
    return data[level] == 5 ? VERSION_5 : VERSION_311;
}

static void forward(struct link *link, const struct passing *passing,
                    void (*send)(struct link *, const struct packet *),
                    void (*send_bytes)(struct link *, const void *, size_t))
{
    if (passing->dropped)
        return;
    if (passing->changed)
        send(link, &passing->packet);
    else
        send_bytes(link, passing->bytes.data, passing->bytes.size);
}

static void read_passing(struct link *link, struct passing *passing, const uint8_t *data,
                         size_t size, bool from_server)
{
    size_t used = 0;
    passing->bytes = (struct text){data, size};
    passing->from_server = from_server;
    enum read_result result = packet_read(data, size, link->version, from_server, &passing->packet,
                                          &used, &passing->mistake);
    passing->readable = result == READ_PACKET && used == size;
    if (!passing->readable)
        memset(&passing->packet, 0, sizeof passing->packet);
}

static void pass_from_client(struct link *link, const uint8_t *data, size_t size)
{
    struct passing passing = {0};
    link->version = version_of(link, data, size);
    read_passing(link, &passing, data, size, false);
    link->client_packet_at_ms = proxy_now_ms();
    if (passing.readable && book_ends_client(link, &passing.packet))
        return;
    if (link->orphaned) {
        if (is(&passing, PINGREQ))
            link_to_client(link, &(struct packet){.type = PINGRESP});
        return;
    }
    struct packet *before = NULL;
    if (passing.readable) {
        book_client(link, &passing);
        before = proxy_scratch(sizeof *before);
        *before = passing.packet;
    }
    if (hooks()->client)
        hooks()->client(link, &passing);
    if (!passing.dropped)
        authoriser_client(link, &passing);
    if (passing.dropped || !authenticator_client(link, &passing))
        forward(link, &passing, link_to_server, link_to_server_bytes);
    if (before)
        book_client_after(link, before);
}

static void pass_from_server(struct link *link, const uint8_t *data, size_t size)
{
    struct passing passing = {0};
    read_passing(link, &passing, data, size, true);
    if (passing.readable) {
        if (book_ends_server(link, &passing.packet))
            return;
        authoriser_server(link, &passing);
        book_server(link, &passing);
        if (is(&passing, PUBCOMP) && link->session)
            id_set_remove(&link->session->inbound, passing.packet.packet_id);
        authenticator_server(link, &passing);
    }
    if (hooks()->server)
        hooks()->server(link, &passing);
    forward(link, &passing, link_to_client, link_to_client_bytes);
    if (hooks()->after_server)
        hooks()->after_server(link, &passing);
}

void link_from_server(struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    pass_from_server(link, bytes.data, bytes.size);
    buffer_free(&bytes);
}

/* How many bytes the packet at the front has; 0: its length is not known yet; SIZE_MAX: never. */
static size_t frame_size(const uint8_t *data, size_t size)
{
    size_t length = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (1 + i >= size)
            return 0;
        length |= (size_t)(data[1 + i] & 0x7f) << (7 * i);
        if (!(data[1 + i] & 0x80))
            return 2 + i + length;
    }
    return SIZE_MAX;
}

/* Passes bytes that are no packet. */
static void pass_raw(struct side *from, const uint8_t *data, size_t size)
{
    struct link *link = from->link;
    (from == &link->client ? link_to_server_bytes : link_to_client_bytes)(link, data, size);
}

/* Takes one packet, or what there is of something else; returns how many bytes; 0: more is needed.
 */
static size_t take(struct side *from, const uint8_t *data, size_t size)
{
    struct link *link = from->link;
    if (from->raw_left) {
        size_t part = size < from->raw_left ? size : from->raw_left;
        from->raw_left -= part;
        pass_raw(from, data, part);
        return part;
    }
    size_t frame = link->raw ? SIZE_MAX : frame_size(data, size);
    if (frame == SIZE_MAX) {
        struct passing passing = {.bytes = {data, size},
                                  .mistake = {.statement = "MQTT-1.5.5-1",
                                              .offset = 1,
                                              .what = "longer than four bytes"}};
        if (!link->raw && from == &link->client && hooks()->client)
            hooks()->client(link, &passing);
        if (passing.dropped)
            return size;
        link->raw = true;
        pass_raw(from, data, size);
        return size;
    }
    if (frame > LARGEST_LOOKED_AT) {
        from->raw_left = frame;
        return take(from, data, size);
    }
    if (!frame || frame > size)
        return 0;
    (from == &link->client ? pass_from_client : pass_from_server)(link, data, frame);
    return frame;
}

static void link_read(struct side *side)
{
    struct link *link = side->link;
    size_t at = 0;
    if (link->agent)
        at = side->in.size;
    while (at < side->in.size && side->fd >= 0) {
        size_t taken = take(side, side->in.data + at, side->in.size - at);
        if (!taken)
            break;
        at += taken;
        if (side == &link->client && hooks()->one_packet_per_read)
            at = side->in.size;
    }
    side->in.size -= at;
    if (at)
        memmove(side->in.data, side->in.data + at, side->in.size);
    if (side == &link->client && side->in.size && hooks()->whole_packets_only)
        link_close(link, 0x81);
}

void link_feed(struct side *side, const uint8_t *data, size_t size)
{
    struct link *link = side->link;
    if (side == &link->client)
        link->client_byte_at_ms = proxy_now_ms();
    if (!proxy_settings()->websocket || side != &link->client) {
        buffer_bytes(&side->in, data, size);
        link_read(side);
        return;
    }
    enum websocket_breach breach = hooks()->websocket;
    if (breach == WEBSOCKET_WRONG_SUBPROTOCOL && link->number <= RIGHT_SUBPROTOCOLS)
        breach = WEBSOCKET_SOUND;
    websocket_front_feed(&link->websocket, breach, data, size, &side->in, &side->out);
    proxy_flush(side);
    link_read(side);
    if (link->websocket.ended && !side->ended && !side->closing)
        link_ended(side, false);
}

static void server_ended(struct link *link)
{
    proxy_close(&link->server, false);
    if (link->client.fd < 0 || link->client.ended || link->client.closing) {
        book_leave(link);
        return;
    }
    if (hooks()->server_closed && hooks()->server_closed(link)) {
        link_orphan(link);
        return;
    }
    book_leave(link);
    close_client(link);
}

void link_server_gone(struct link *link)
{
    server_ended(link);
}

void link_ended(struct side *side, bool reset)
{
    struct link *link = side->link;
    side->ended = true;
    if (side == &link->server) {
        server_ended(link);
        return;
    }
    if (side->in.size && !reset) /* half a packet */
        link_to_server_bytes(link, side->in.data, side->in.size);
    link->reset = reset;
    if (hooks()->client_closed)
        hooks()->client_closed(link);
    book_leave(link);
    if (link->reset) {
        proxy_close(&link->client, false);
        proxy_close(&link->server, true);
        return;
    }
    link->client.closing = true;
    proxy_flush(&link->client);
    link->server.closing = true;
    proxy_flush(&link->server);
}

static void side_fini(struct side *side)
{
    buffer_free(&side->in);
    buffer_free(&side->out);
    for (unsigned i = 0; side->aliases && i <= UINT16_MAX; i++)
        free((void *)side->aliases[i].data);
    free(side->aliases);
}

void link_fini(struct link *link)
{
    book_leave(link);
    side_fini(&link->client);
    side_fini(&link->server);
    free(link->connect);
    queue_clear(&link->subscribing);
    id_set_clear(&link->own_requests);
    authenticator_fini(&link->authenticator);
    websocket_front_fini(&link->websocket);
    queue_clear(&link->memory.queue);
    id_set_clear(&link->memory.ids);
}
