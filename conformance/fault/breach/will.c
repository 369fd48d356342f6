/* Faults of wills. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <stdlib.h>

enum { LATE_MS = 150 }; /* what was sent before on another connection has been dealt with by then */

static bool has_will(const struct link *link, const struct passing *passing)
{
    return is_first_connect(link, passing) && passing->packet.will_topic.data;
}

static void remove_will(struct packet *connect)
{
    connect->will_topic = connect->will_payload = (struct text){0};
    connect->will_qos = 0;
    connect->will_retain = false;
    connect->will_properties.count = 0;
}

static void publish_will(const struct packet *connect)
{
    if (connect->will_topic.data)
        proxy_publish(connect->will_topic, connect->will_payload, connect->will_retain);
}

/* ---- No will where one is owed ---- */

static void forget_will(struct link *link, struct passing *passing)
{
    if (!has_will(link, passing))
        return;
    remove_will(&passing->packet);
    change(passing);
}

FAULT_HOOKS(forgets_will, .client = forget_will)

static void normalize_disconnect(struct link *link, struct passing *passing)
{
    if (!is(passing, DISCONNECT) || !passing->packet.reason_code)
        return;
    passing->packet.reason_code = 0;
    change(passing);
}

FAULT_HOOKS(no_will_after_0x04, .client = normalize_disconnect)

static void disconnect_old(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || !link->session || !link->session->link)
        return;
    link_to_server(link->session->link, &(struct packet){.type = DISCONNECT});
    send_later(link, passing, LATE_MS);
}

FAULT_HOOKS(no_will_at_takeover, .client = disconnect_old)

/* What the client did wrong never reaches the server. */
static void disconnect_before_error(struct link *link, struct passing *passing)
{
    bool second = is(passing, CONNECT) && link->connects > 1;
    if (!link->connected || (passing->readable && !second))
        return;
    drop(passing);
    link_to_server(link, &(struct packet){.type = DISCONNECT});
    link_close(link, second ? 0x82 : 0x81);
}

FAULT_HOOKS(no_will_after_error, .client = disconnect_before_error)

static void disconnect_at_reset(struct link *link)
{
    if (!link->reset)
        return;
    link->reset = false;
    link_to_server(link, &(struct packet){.type = DISCONNECT});
}

FAULT_HOOKS(no_will_after_reset, .client_closed = disconnect_at_reset)

static void watch_silence(struct link *link, struct kept *kept)
{
    uint64_t silent_ms = proxy_now_ms() - link->client_packet_at_ms;
    if (silent_ms < link->keep_alive_s * 1300u) {
        link_later(link, 50, watch_silence, NULL);
        return;
    }
    link_to_server(link, &(struct packet){.type = DISCONNECT});
    link_close(link, 0x8D);
}

static void start_watch(struct link *link, const struct passing *passing)
{
    if (is(passing, CONNACK) && link->keep_alive_s)
        link_later(link, 50, watch_silence, NULL);
}

FAULT_HOOKS(no_will_after_timeout, .after_server = start_watch)

/* ---- A will where none is owed ---- */

static void break_off(struct link *link, struct passing *passing)
{
    if (!is(passing, DISCONNECT) || passing->packet.reason_code)
        return;
    drop(passing);
    link_close(link, 0);
}

FAULT_HOOKS(will_after_disconnect, .client = break_off)

static void publish_early(struct link *link, const struct passing *passing)
{
    struct packet connect;
    if (is(passing, CONNACK) && !passing->packet.reason_code && link_connect(link, &connect))
        publish_will(&connect);
}

FAULT_HOOKS(will_before_close, .after_server = publish_early)

static void repeat_will(struct link *link, const struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->origin && passing->origin->will)
        inject_to_client(link, &passing->packet);
}

FAULT_HOOKS(will_twice, .after_server = repeat_will)

/* `memory.queue` of the session: a CONNECT of it that had a will. */
static void note_will(struct link *link, const struct passing *passing)
{
    queue_clear(&link->session->memory.queue);
    if (passing->packet.will_topic.data)
        queue_push(&link->session->memory.queue, passing_keep(link, passing));
}

static void add_old_will(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || !link->session)
        return;
    struct packet *old = proxy_scratch(sizeof *old);
    const struct kept *kept = link->session->memory.queue.first;
    if (!kept || !kept_read(kept, link, old)) {
        note_will(link, passing);
        return;
    }
    passing->packet.will_topic = old->will_topic;
    passing->packet.will_payload = old->will_payload;
    passing->packet.will_qos = old->will_qos;
    passing->packet.will_retain = old->will_retain;
    passing->packet.will_properties = old->will_properties;
    change(passing);
}

FAULT_HOOKS(keeps_will, .client = add_old_will)

enum { FLAG_CLEAN_START = 0x02, FLAG_WILL_QOS = 0x18, FLAGS_AT = 7 };

/* `memory.queue`: the CONNECT, with flags that can be read. */
static void keep_connect(struct link *link, struct passing *passing)
{
    struct text bytes = proxy_scratch_text(passing->bytes);
    if (bytes.data[0] >> 4 != CONNECT || link->memory.queue.first)
        return;
    size_t body = 2;
    while (body < 5 && body <= bytes.size && bytes.data[body - 1] & 0x80)
        body++;
    if (body + FLAGS_AT >= bytes.size)
        return;
    uint8_t *flags = (uint8_t *)bytes.data + body + FLAGS_AT;
    *flags |= FLAG_CLEAN_START;
    if ((*flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        *flags &= (uint8_t)~FLAG_WILL_QOS;
    queue_push(&link->memory.queue, kept_new(bytes.data, bytes.size, false));
}

static bool publish_will_of_refused(struct link *link)
{
    struct packet connect;
    if (!link->connected && link->memory.queue.first &&
        kept_read(link->memory.queue.first, link, &connect))
        publish_will(&connect);
    return false;
}

FAULT_HOOKS(publishes_will_of_refused, .client = keep_connect,
            .server_closed = publish_will_of_refused)

/* ---- How it is published ---- */

static void clear_will_retain(struct link *link, struct passing *passing)
{
    if (!has_will(link, passing))
        return;
    passing->packet.will_retain = false;
    change(passing);
}

FAULT_HOOKS(clears_will_retain, .client = clear_will_retain)

static void set_will_retain(struct link *link, struct passing *passing)
{
    if (!has_will(link, passing))
        return;
    passing->packet.will_retain = true;
    change(passing);
}

FAULT_HOOKS(sets_will_retain, .client = set_will_retain)

static void lower_will_qos(struct link *link, struct passing *passing)
{
    if (!has_will(link, passing))
        return;
    passing->packet.will_qos = 0;
    change(passing);
}

FAULT_HOOKS(will_at_qos_0, .client = lower_will_qos)

static uint32_t delay_of(const struct packet *connect)
{
    return property_number(&connect->will_properties, WILL_DELAY_INTERVAL, 0);
}

static void drop_will_properties(struct link *link, struct passing *passing)
{
    if (!has_will(link, passing) || !is_5(link))
        return;
    uint32_t delay_s = delay_of(&passing->packet);
    passing->packet.will_properties.count = 0;
    if (delay_s)
        property_add(&passing->packet.will_properties, WILL_DELAY_INTERVAL, delay_s);
    change(passing);
}

FAULT_HOOKS(drops_will_properties, .client = drop_will_properties)

/* ---- Will Delay Interval ---- */

static void forget_delay(struct link *link, struct passing *passing)
{
    if (!has_will(link, passing))
        return;
    property_remove(&passing->packet.will_properties, WILL_DELAY_INTERVAL);
    change(passing);
}

FAULT_HOOKS(ignores_will_delay, .client = forget_delay)

static void publish_delayed_will(struct link *link, struct passing *passing)
{
    struct session *session = link->session;
    if (!session)
        return;
    struct kept *kept = session->memory.queue.first;
    if (is(passing, DISCONNECT) && !passing->packet.reason_code)
        queue_clear(&session->memory.queue);
    if (!is_first_connect(link, passing))
        return;
    struct packet old;
    if (kept && kept_read(kept, link, &old) && delay_of(&old))
        publish_will(&old);
    note_will(link, passing);
}

FAULT_HOOKS(will_after_return, .client = publish_delayed_will)

/* The session lasts until the delay is over; then so does its will wait. */
static void outlast_session(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    if (!is_5(link) || !link->session)
        return;
    if (is(passing, DISCONNECT) && link->session->memory.number) {
        property_remove(properties, SESSION_EXPIRY_INTERVAL);
        change(passing);
    }
    if (!is_first_connect(link, passing))
        return;
    if (link->session->memory.number)
        passing->packet.clean_start = false;
    uint32_t delay_s = delay_of(&passing->packet);
    link->session->memory.number = delay_s;
    if (delay_s > property_number(properties, SESSION_EXPIRY_INTERVAL, 0))
        property_set(properties, SESSION_EXPIRY_INTERVAL, delay_s);
    change(passing);
}

static void hide_outlasting(struct link *link, struct passing *passing)
{
    struct packet connect;
    if (!is(passing, CONNACK) || !is_5(link) || !link_connect(link, &connect))
        return;
    if (connect.clean_start)
        passing->packet.session_present = false;
    property_remove(&passing->packet.properties, SESSION_EXPIRY_INTERVAL);
    change(passing);
}

FAULT_HOOKS(will_delay_beyond_session, .client = outlast_session, .server = hide_outlasting)
