/* Faults of closing: connections that stay open, codes and packets that go with the end of one. */
#include "conformance/fault/fault.h"

FAULT_HOOKS(none)

/* ---- Connections that stay open ---- */

static void hide_disconnect(struct link *link, struct passing *passing)
{
    if (is(passing, DISCONNECT))
        drop(passing);
}

static bool hide_close(struct link *link)
{
    return true;
}

FAULT_HOOKS(keeps_open, .server = hide_disconnect, .server_closed = hide_close)

static bool hide_close_of_disconnected(struct link *link)
{
    return link->disconnected;
}

FAULT_HOOKS(keeps_open_after_disconnect, .server_closed = hide_close_of_disconnected)

static bool close_all(struct link *link)
{
    if (link->disconnected)
        return false;
    for (struct link *other = proxy_first_link(); other; other = link_next(other)) {
        if (other != link && other->connected && !other->agent)
            link_close(other, 0x80);
    }
    return false;
}

FAULT_HOOKS(error_closes_others, .server_closed = close_all)

/* ---- The last packet ---- */

/* `memory.flag`: the server has said why it closes. */

static void send_last(struct link *link, uint8_t reason_code)
{
    enum packet_type type = link->connected ? DISCONNECT : CONNACK;
    if (is_5(link) && !link->memory.flag && !link->disconnected)
        link_to_client(link, &(struct packet){.type = type, .reason_code = reason_code});
}

static void change_return_code(struct link *link, struct passing *passing)
{
    if (is_5(link) || !is(passing, CONNACK) || !passing->packet.reason_code)
        return;
    passing->packet.reason_code = 3; /* Server unavailable: it is not */
    change(passing);
}

FAULT_HOOKS(wrong_return_code, .server = change_return_code)

static void undefine_code(struct link *link, struct passing *passing)
{
    if (!is(passing, DISCONNECT))
        return;
    link->memory.flag = true;
    passing->packet.reason_code = 0x85; /* a code of CONNACK */
    change(passing);
}

static bool close_with_undefined_code(struct link *link)
{
    if (link->connected)
        send_last(link, 0x85);
    return false;
}

FAULT_HOOKS(undefined_disconnect_code, .server = undefine_code,
            .server_closed = close_with_undefined_code)

static void note_connack(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK))
        link->memory.flag = true;
}

static bool close_with_connack(struct link *link)
{
    if (!is_5(link) && !link->memory.flag && link->client_packet_at_ms)
        link_to_client(link, &(struct packet){.type = CONNACK, .reason_code = 5});
    return false;
}

FAULT_HOOKS(connack_for_malformed_connect, .server = note_connack,
            .server_closed = close_with_connack)

static bool close_311_with_disconnect(struct link *link)
{
    if (!is_5(link) && link->connected)
        link_to_client_bytes(link, "\xE0\x00", 2);
    return false;
}

FAULT_HOOKS(disconnect_to_311, .server_closed = close_311_with_disconnect)

static void connack_becomes_disconnect(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNACK))
        return;
    link->memory.flag = true;
    if (passing->packet.reason_code) {
        passing->packet =
            (struct packet){.type = DISCONNECT, .reason_code = passing->packet.reason_code};
        change(passing);
    }
}

static bool close_with_disconnect(struct link *link)
{
    if (!link->memory.flag)
        link_to_client(link, &(struct packet){.type = DISCONNECT, .reason_code = 0x81});
    return false;
}

FAULT_HOOKS(disconnect_before_connack, .server = connack_becomes_disconnect,
            .server_closed = close_with_disconnect)

static void send_after_disconnect(struct link *link, const struct passing *passing)
{
    if (!is(passing, DISCONNECT))
        return;
    link->memory.flag = true;
    link_to_client(link, &(struct packet){.type = PINGRESP});
}

static bool send_then_close(struct link *link)
{
    if (!is_5(link) || !link->connected || link->disconnected || link->memory.flag)
        return false;
    link_to_client(link, &(struct packet){.type = DISCONNECT, .reason_code = 0x80});
    link_to_client(link, &(struct packet){.type = PINGRESP});
    return false;
}

FAULT_HOOKS(sends_after_disconnect, .after_server = send_after_disconnect,
            .server_closed = send_then_close)

static void add_session_expiry(struct link *link, struct passing *passing)
{
    if (!is(passing, DISCONNECT))
        return;
    property_set(&passing->packet.properties, SESSION_EXPIRY_INTERVAL, 10);
    change(passing);
}

FAULT_HOOKS(session_expiry_in_disconnect, .server = add_session_expiry)
