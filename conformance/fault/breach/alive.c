/* Faults of Keep Alive and PING. */
#include "conformance/fault/fault.h"

enum { LOOK_MS = 50, IDLE_MS = 500 };

static void forget_keep_alive(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNECT))
        return;
    passing->packet.keep_alive_s = 0;
    change(passing);
}

FAULT_HOOKS(ignores_keep_alive, .client = forget_keep_alive)

static void close_when_idle(struct link *link, struct kept *kept)
{
    if (proxy_now_ms() - link->client_packet_at_ms > IDLE_MS)
        link_close(link, 0x8D);
    else
        link_later(link, LOOK_MS, close_when_idle, NULL);
}

static void look_for_idleness(struct link *link, const struct passing *passing)
{
    if (is(passing, CONNACK))
        link_later(link, LOOK_MS, close_when_idle, NULL);
}

FAULT_HOOKS(closes_idle_client, .after_server = look_for_idleness)

/* `memory.at_ms`: the last PINGREQ, or the beginning. */
static void close_without_ping(struct link *link, struct kept *kept)
{
    if (proxy_now_ms() - link->memory.at_ms > link->keep_alive_s * 1500u)
        link_close(link, 0x8D);
    else
        link_later(link, LOOK_MS, close_without_ping, NULL);
}

static void note_ping(struct link *link, struct passing *passing)
{
    if (is(passing, CONNECT) && link->keep_alive_s)
        link_later(link, LOOK_MS, close_without_ping, NULL);
    if (is(passing, CONNECT) || is(passing, PINGREQ))
        link->memory.at_ms = proxy_now_ms();
}

FAULT_HOOKS(only_ping_keeps_alive, .client = note_ping)

static void drop_pingresp(struct link *link, struct passing *passing)
{
    if (is(passing, PINGRESP))
        drop(passing);
}

FAULT_HOOKS(ignores_pingreq, .server = drop_pingresp)
