/* Faults of sessions: kept too long or too short, and what CONNACK says of them. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <stdlib.h>

/* Whether the client wanted a clean start; its words, not ours. */
static bool wanted_clean(const struct link *link)
{
    struct packet connect;
    return link_connect(link, &connect) && connect.clean_start;
}

static void set_clean_start(struct passing *passing, bool clean)
{
    passing->packet.clean_start = clean;
    change(passing);
}

static void set_session_present(struct passing *passing, bool present)
{
    passing->packet.session_present = present;
    change(passing);
}

static void accept_as_new(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK) && !passing->packet.reason_code && wanted_clean(link))
        set_session_present(passing, false);
}

enum { CLEAN_MS = 150 }; /* for what another connection cleans, or this one subscribes to */

/* ---- Clean Start ---- */

static void never_start_clean(struct link *link, struct passing *passing)
{
    if (is_first_connect(link, passing) && passing->packet.client_id.size)
        set_clean_start(passing, false);
}

FAULT_HOOKS(keeps_session_at_clean_start, .client = never_start_clean, .server = accept_as_new)

static void always_start_clean(struct link *link, struct passing *passing)
{
    if (is_first_connect(link, passing) && link->session && link->session->exists)
        set_clean_start(passing, true);
}

FAULT_HOOKS(forgets_session, .client = always_start_clean)

static void forget_clean_started(struct link *link, struct passing *passing)
{
    struct session *session = link->session;
    if (is_first_connect(link, passing) && is_5(link) && session && session->clean_started)
        set_clean_start(passing, true);
}

FAULT_HOOKS(forgets_clean_started_session, .client = forget_clean_started)

/* `memory.queue` of the session: PUBLISHes that the old one had not acknowledged. */
static void keep_unacknowledged(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || !passing->packet.clean_start || !link->session)
        return;
    struct queue *queue = &link->session->memory.queue;
    queue_clear(queue);
    for (const struct exchange *at = link->session->exchanges; at; at = at->next)
        queue_push(queue, kept_new(at->publish->bytes, at->publish->size, true));
}

static void resend_to_new(struct link *link, const struct passing *passing)
{
    if (!is(passing, CONNACK) || !link->session)
        return;
    for (struct kept *kept; (kept = queue_pop(&link->session->memory.queue)); free(kept)) {
        struct packet publish;
        if (!kept_read(kept, link, &publish))
            continue;
        publish.dup = true;
        inject_to_client(link, &publish);
    }
}

FAULT_HOOKS(resends_after_clean_start, .client = keep_unacknowledged, .after_server = resend_to_new)

/* `memory.queue` of the link: a SUBSCRIBE to all that the old session had. */
static void keep_subscriptions(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || !passing->packet.clean_start || !link->session)
        return;
    struct packet subscribe = {.type = SUBSCRIBE, .packet_id = 1}; /* it gets another */
    for (const struct subscription *at = link->session->subscriptions;
         at && subscribe.filter_count < FILTERS_MAX; at = at->next)
        subscribe.filters[subscribe.filter_count++] = (struct filter){at->filter, at->options};
    struct passing copy = {.packet = subscribe, .readable = true, .changed = true};
    if (subscribe.filter_count)
        queue_push(&link->memory.queue, passing_keep(link, &copy));
}

static void connack_late(struct link *link, struct kept *kept)
{
    link_to_client_bytes(link, kept->bytes, kept->size);
}

static void subscribe_again(struct link *link, struct passing *passing)
{
    struct packet subscribe;
    const struct kept *kept = link->memory.queue.first;
    if (!is(passing, CONNACK) || passing->packet.reason_code || !kept ||
        !kept_read(kept, link, &subscribe))
        return;
    inject_subscribe(link, &subscribe);
    link_later(link, CLEAN_MS, connack_late, passing_keep(link, passing));
    drop(passing);
}

FAULT_HOOKS(keeps_subscriptions_at_clean_start, .client = keep_subscriptions,
            .server = subscribe_again)

/* ---- Subscriptions ---- */

static void forget_subscriptions(struct link *link, const struct passing *passing)
{
    struct session *session = link->session;
    if (!is(passing, CONNACK) || passing->packet.reason_code || !session)
        return;
    struct packet unsubscribe = {.type = UNSUBSCRIBE};
    for (struct subscription *at = session->subscriptions; at; at = at->next) {
        unsubscribe.filters[unsubscribe.filter_count++].filter = at->filter;
        if (unsubscribe.filter_count == FILTERS_MAX || !at->next) {
            inject_subscribe(link, &unsubscribe);
            unsubscribe.filter_count = 0;
        }
    }
}

static void lose_offline(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && published_offline(link, passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(forgets_subscriptions, .server = lose_offline, .after_server = forget_subscriptions)

/* ---- Expiry ---- */

static uint32_t expiry_of(const struct passing *passing)
{
    return property_number(&passing->packet.properties, SESSION_EXPIRY_INTERVAL, 0);
}

static void set_expiry(struct passing *passing, uint32_t expiry_s)
{
    property_set(&passing->packet.properties, SESSION_EXPIRY_INTERVAL, expiry_s);
    change(passing);
}

/* 3.1.1: another connection cleans the old session, then this one has Clean Session 0. */
static void keep_beyond_connection(struct link *link, struct passing *passing)
{
    if (!is_first_connect(link, passing) || !passing->packet.client_id.size)
        return;
    if (is_5(link) && !expiry_of(passing)) {
        set_expiry(passing, 3600);
    } else if (!is_5(link) && passing->packet.clean_start) {
        proxy_end_session(passing->packet.client_id);
        set_clean_start(passing, false);
        send_later(link, passing, CLEAN_MS);
    }
}

static void hide_expiry(struct link *link, struct passing *passing)
{
    accept_as_new(link, passing);
    if (!is(passing, CONNACK))
        return;
    property_remove(&passing->packet.properties, SESSION_EXPIRY_INTERVAL);
    change(passing);
}

FAULT_HOOKS(keeps_ended_session, .client = keep_beyond_connection, .server = hide_expiry)

static void never_expire(struct link *link, struct passing *passing)
{
    if (!is_5(link) || (!is(passing, CONNECT) && !is(passing, DISCONNECT)))
        return;
    bool resumes = is_first_connect(link, passing) && link->session && link->session->exists &&
                   !passing->packet.clean_start;
    if (expiry_of(passing) || resumes)
        set_expiry(passing, UINT32_MAX);
}

FAULT_HOOKS(never_expires_session, .client = never_expire, .server = hide_expiry)

static void expire_early(struct link *link, struct passing *passing)
{
    if ((is(passing, CONNECT) || is(passing, DISCONNECT)) && is_5(link) && expiry_of(passing) > 1)
        set_expiry(passing, 1);
}

FAULT_HOOKS(expires_session_early, .client = expire_early, .server = hide_expiry)

/* What is left of it is said at the end. */
static uint32_t expiry_left(const struct link *link)
{
    uint64_t connected_s = (proxy_now_ms() - link->connected_at_ms) / 1000;
    if (link->expiry_s == UINT32_MAX || link->expiry_s < connected_s)
        return link->expiry_s == UINT32_MAX ? UINT32_MAX : 0;
    return link->expiry_s - (uint32_t)connected_s;
}

static void shorten_expiry(struct link *link, struct passing *passing)
{
    if (is_5(link) && is(passing, DISCONNECT) && link->expiry_s)
        set_expiry(passing, expiry_left(link));
}

static void shorten_at_close(struct link *link)
{
    if (!is_5(link) || !link->connected || link->disconnected || !link->expiry_s)
        return;
    struct packet disconnect = {.type = DISCONNECT, .reason_code = 0x04};
    property_add(&disconnect.properties, SESSION_EXPIRY_INTERVAL, expiry_left(link));
    link_to_server(link, &disconnect);
}

FAULT_HOOKS(counts_expiry_from_connect, .client = shorten_expiry, .client_closed = shorten_at_close)

/* `memory.at_ms` of the session: its first end. */
static uint32_t expiry_since_first_end(const struct link *link)
{
    uint64_t first_ms = link->session->memory.at_ms;
    uint64_t passed_s = first_ms ? (proxy_now_ms() - first_ms + 999) / 1000 : 0;
    if (link->expiry_s == UINT32_MAX)
        return UINT32_MAX;
    return link->expiry_s > passed_s ? link->expiry_s - (uint32_t)passed_s : 0;
}

static void renew_nothing(struct link *link)
{
    struct packet disconnect = {.type = DISCONNECT, .reason_code = 0x04};
    if (!is_5(link) || !link->connected || link->disconnected || !link->expiry_s)
        return;
    property_add(&disconnect.properties, SESSION_EXPIRY_INTERVAL, expiry_since_first_end(link));
    if (!link->session->memory.at_ms)
        link->session->memory.at_ms = proxy_now_ms();
    link_to_server(link, &disconnect);
}

FAULT_HOOKS(expiry_not_renewed, .client_closed = renew_nothing)

static void forget_expiry_of_disconnect(struct link *link, struct passing *passing)
{
    if (!is(passing, DISCONNECT))
        return;
    property_remove(&passing->packet.properties, SESSION_EXPIRY_INTERVAL);
    change(passing);
}

FAULT_HOOKS(ignores_disconnect_expiry, .client = forget_expiry_of_disconnect)

/* ---- Session Present ---- */

static void present_after_clean(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK) && !passing->packet.reason_code && wanted_clean(link))
        set_session_present(passing, true);
}

FAULT_HOOKS(session_present_after_clean_start, .server = present_after_clean)

static void deny(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK))
        set_session_present(passing, false);
}

FAULT_HOOKS(denies_session_present, .server = deny)

static void claim(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK) && !passing->packet.reason_code && !wanted_clean(link))
        set_session_present(passing, true);
}

FAULT_HOOKS(claims_session_present, .server = claim)

static void present_in_refusal(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK) && passing->packet.reason_code)
        set_session_present(passing, true);
}

FAULT_HOOKS(session_present_in_refusal, .server = present_in_refusal)
