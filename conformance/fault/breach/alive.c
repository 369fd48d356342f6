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

/* The server behind counts nothing; this is where it is counted, wrongly. `memory.at_ms`: when the
 * server has sent something. */
static uint64_t last_sign_ms(const struct link *link)
{
    return link->memory.flag ? link->client_byte_at_ms : link->memory.at_ms;
}

static void close_without_sign(struct link *link, struct kept *kept)
{
    uint64_t last_ms = last_sign_ms(link);
    if (last_ms < link->client_packet_at_ms)
        last_ms = link->client_packet_at_ms;
    if (proxy_now_ms() - last_ms > link->keep_alive_s * 1500u)
        link_close(link, 0x8D);
    else
        link_later(link, LOOK_MS, close_without_sign, NULL);
}

static void count_instead(struct link *link, struct passing *passing)
{
    forget_keep_alive(link, passing);
    if (is(passing, CONNECT) && link->keep_alive_s)
        link_later(link, LOOK_MS, close_without_sign, NULL);
}

static void count_bytes(struct link *link, struct passing *passing)
{
    link->memory.flag = true;
    count_instead(link, passing);
}

FAULT_HOOKS(any_byte_keeps_alive, .client = count_bytes)

static void note_sending(struct link *link, struct passing *passing)
{
    link->memory.at_ms = proxy_now_ms();
}

FAULT_HOOKS(sending_keeps_alive, .client = count_instead, .server = note_sending)

static void drop_pingresp(struct link *link, struct passing *passing)
{
    if (is(passing, PINGRESP))
        drop(passing);
}

FAULT_HOOKS(ignores_pingreq, .server = drop_pingresp)
