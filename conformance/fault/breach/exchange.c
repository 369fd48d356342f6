/* Faults of acknowledgements, of QoS 2 exchanges in both directions, and of resending. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <stdlib.h>
#include <string.h>

enum {
    REPEAT_MS = 120, /* shorter than a case waits for silence */
    EARLY_MS = 2500, /* from an early acknowledgement to the server's hearing of it */
};

/* ---- Missing packets ---- */

#define NEVER(name, packet_type)                                                                   \
    static void name##_(struct link *link, struct passing *passing)                                \
    {                                                                                              \
        if (is(passing, packet_type))                                                              \
            drop(passing);                                                                         \
    }                                                                                              \
    FAULT_HOOKS(name, .server = name##_)

NEVER(no_puback, PUBACK)
NEVER(no_pubrec, PUBREC)
NEVER(no_pubrel, PUBREL)
NEVER(no_pubcomp, PUBCOMP)
NEVER(no_suback, SUBACK)
NEVER(no_unsuback, UNSUBACK)

/* ---- Wrong acknowledgements ---- */

static void publish_late(struct link *link, struct kept *kept)
{
    struct packet publish;
    if (kept_read(kept, link, &publish))
        inject_to_server(link, &publish);
}

static void acknowledge_early(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->packet.qos)
        return;
    link_later(link, EARLY_MS, publish_late, passing_keep(link, passing));
    swallow_from_client(link, passing);
}

FAULT_HOOKS(acknowledges_early, .client = acknowledge_early)

static void puback_instead(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBREC))
        return;
    passing->packet.type = PUBACK;
    change(passing);
}

FAULT_HOOKS(puback_for_qos_2, .server = puback_instead)

static bool refuses(const struct passing *passing)
{
    return (is(passing, PUBACK) || is(passing, PUBREC)) && passing->packet.reason_code >= 0x80;
}

static void release_refused(struct link *link, struct passing *passing)
{
    if (refuses(passing) && is(passing, PUBREC))
        link_to_client(link,
                       &(struct packet){.type = PUBREL, .packet_id = passing->packet.packet_id});
}

FAULT_HOOKS(pubrel_after_error_pubrec, .client = release_refused)

static void ignore_refusal(struct link *link, struct passing *passing)
{
    if (refuses(passing))
        drop(passing);
}

FAULT_HOOKS(resends_refused, .client = ignore_refusal)

/* ---- QoS 2 from the client ---- */

/* `memory.ids` of the link: the QoS 2 PUBLISHes of this connection. */

static bool repeats(const struct link *link, const struct passing *passing)
{
    return is(passing, PUBLISH) && passing->packet.qos == 2 && link->session &&
           id_set_has(&link->session->inbound, passing->packet.packet_id);
}

static void note_qos_2(struct link *link, const struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.qos == 2)
        id_set_add(&link->memory.ids, passing->packet.packet_id);
}

static void route_again(struct link *link, struct passing *passing)
{
    passing->packet.dup = false;
    inject_to_server(link, &passing->packet);
    link_to_client(link, &(struct packet){.type = PUBREC, .packet_id = passing->packet.packet_id});
    drop(passing);
}

static void route_repeated(struct link *link, struct passing *passing)
{
    if (repeats(link, passing) && id_set_has(&link->memory.ids, passing->packet.packet_id))
        route_again(link, passing);
    note_qos_2(link, passing);
}

FAULT_HOOKS(routes_repeated_qos_2, .client = route_repeated)

static void forget_held(struct link *link, struct passing *passing)
{
    if (repeats(link, passing) && !id_set_has(&link->memory.ids, passing->packet.packet_id))
        route_again(link, passing);
    note_qos_2(link, passing);
}

FAULT_HOOKS(forgets_qos_2_at_reconnect, .client = forget_held)

static void ignore_repeated(struct link *link, struct passing *passing)
{
    if (repeats(link, passing))
        drop(passing);
}

FAULT_HOOKS(silent_about_repeated_qos_2, .client = ignore_repeated)

/* `memory.ids` of the session: identifiers that are free again. */
static void note_freed(struct link *link, struct passing *passing, enum packet_type by)
{
    if (is(passing, by) && link->session)
        id_set_add(&link->session->memory.ids, passing->packet.packet_id);
}

static void ignore_freed(struct link *link, struct passing *passing, uint8_t qos, bool dup)
{
    const struct packet *publish = &passing->packet;
    if (is(passing, PUBLISH) && publish->qos == qos && (publish->dup || !dup) && link->session &&
        id_set_has(&link->session->memory.ids, publish->packet_id))
        swallow_from_client(link, passing);
}

static void note_puback(struct link *link, struct passing *passing)
{
    note_freed(link, passing, PUBACK);
}

static void ignore_after_puback(struct link *link, struct passing *passing)
{
    ignore_freed(link, passing, 1, true);
}

FAULT_HOOKS(holds_id_after_puback, .client = ignore_after_puback, .server = note_puback)

static void note_pubcomp(struct link *link, struct passing *passing)
{
    note_freed(link, passing, PUBCOMP);
}

static void ignore_after_pubcomp(struct link *link, struct passing *passing)
{
    ignore_freed(link, passing, 2, false);
}

FAULT_HOOKS(holds_id_after_pubcomp, .client = ignore_after_pubcomp, .server = note_pubcomp)

/* `memory.ids` of the session: of PUBLISHes without PUBCOMP, whatever became of their session. */
static void hold_over_sessions(struct link *link, struct passing *passing)
{
    const struct packet *publish = &passing->packet;
    if (!is(passing, PUBLISH) || publish->qos != 2 || !link->session)
        return;
    struct session *session = link->session;
    if (id_set_has(&session->memory.ids, publish->packet_id) &&
        !id_set_has(&session->inbound, publish->packet_id))
        swallow_from_client(link, passing);
    id_set_add(&session->memory.ids, publish->packet_id);
}

static void free_at_pubcomp(struct link *link, struct passing *passing)
{
    if (is(passing, PUBCOMP) && link->session)
        id_set_remove(&link->session->memory.ids, passing->packet.packet_id);
}

FAULT_HOOKS(holds_ids_over_clean_start, .client = hold_over_sessions, .server = free_at_pubcomp)

static void close_at_unknown(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBREL) || !link->session ||
        id_set_has(&link->session->inbound, passing->packet.packet_id))
        return;
    drop(passing);
    link_close(link, 0x82);
}

FAULT_HOOKS(closes_at_unknown_pubrel, .client = close_at_unknown)

static bool is_below_sys(const struct packet *publish)
{
    return publish->topic.size > 5 && memcmp(publish->topic.data, "$SYS/", 5) == 0;
}

/* A PUBLISH that is refused keeps its identifier, noted in `memory.ids` of the session. */
static void refuse_and_hold(struct link *link, struct passing *passing)
{
    const struct packet *publish = &passing->packet;
    if (!is_5(link) || !is(passing, PUBLISH) || publish->qos != 2 || !link->session)
        return;
    if (!is_below_sys(publish)) {
        ignore_freed(link, passing, 2, false);
        return;
    }
    id_set_add(&link->session->memory.ids, publish->packet_id);
    link_to_client(link, &(struct packet){
                             .type = PUBREC, .packet_id = publish->packet_id, .reason_code = 0x87});
    drop(passing);
}

FAULT_HOOKS(holds_id_after_error_pubrec, .client = refuse_and_hold)

static void ignore_sys(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && is_below_sys(&passing->packet))
        drop(passing);
}

FAULT_HOOKS(silent_about_sys, .client = ignore_sys)

static void claim_nobody(struct link *link, struct passing *passing)
{
    if (!is_5(link) || (!is(passing, PUBACK) && !is(passing, PUBREC)) ||
        passing->packet.reason_code)
        return;
    passing->packet.reason_code = 0x10;
    change(passing);
}

FAULT_HOOKS(claims_no_subscribers, .server = claim_nobody)

/* ---- QoS 2 to the client ---- */

static void publish_at_repeated(struct link *link, struct passing *passing)
{
    struct packet publish;
    if (!is(passing, PUBREC) || !link->session)
        return;
    const struct exchange *exchange = session_exchange(link->session, passing->packet.packet_id);
    if (!exchange || !exchange->received || !kept_read(exchange->publish, link, &publish))
        return;
    publish.dup = true;
    link_to_client(link, &publish);
    drop(passing);
}

FAULT_HOOKS(publish_at_repeated_pubrec, .client = publish_at_repeated)

/* ---- Resending ---- */

static void resend(struct link *link, struct kept *kept)
{
    struct packet publish;
    const struct exchange *exchange =
        link->session ? session_exchange(link->session, kept->packet_id) : NULL;
    if (!exchange || exchange->received || !kept_read(kept, link, &publish))
        return;
    publish.dup = true;
    link_to_client(link, &publish);
}

static void resend_soon(struct link *link, const struct passing *passing)
{
    if (is_5(link) && is(passing, PUBLISH) && passing->packet.qos)
        link_later(link, REPEAT_MS, resend, passing_keep(link, passing));
}

FAULT_HOOKS(resends_on_live_connection, .after_server = resend_soon)

static void lose_resent(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.dup)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(forgets_unacknowledged, .server = lose_resent)

static void resend_under_new_id(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->packet.dup)
        return;
    struct packet copy = passing->packet;
    swallow_from_server(link, passing);
    inject_to_client(link, &copy);
}

FAULT_HOOKS(new_id_at_resend, .server = resend_under_new_id)

/* `memory.ids` of the link: what the client answered with PUBREC on this connection. Another PUBREL
 * is one that the server owes from an earlier one. */
static void note_pubrec(struct link *link, struct passing *passing)
{
    if (is(passing, PUBREC))
        id_set_add(&link->memory.ids, passing->packet.packet_id);
}

static bool owed_from_before(const struct link *link, const struct passing *passing)
{
    return is(passing, PUBREL) && !id_set_has(&link->memory.ids, passing->packet.packet_id);
}

static void forget_pubrel(struct link *link, struct passing *passing)
{
    if (!owed_from_before(link, passing))
        return;
    drop(passing);
    link_to_server(link, &(struct packet){.type = PUBCOMP, .packet_id = passing->packet.packet_id});
}

FAULT_HOOKS(forgets_pubrel, .client = note_pubrec, .server = forget_pubrel)

static void publish_instead(struct link *link, struct passing *passing)
{
    struct packet publish;
    if (!owed_from_before(link, passing) || !link->session)
        return;
    const struct exchange *exchange = session_exchange(link->session, passing->packet.packet_id);
    if (!exchange || !kept_read(exchange->publish, link, &publish))
        return;
    publish.dup = true;
    drop(passing);
    link_to_client(link, &publish);
}

FAULT_HOOKS(publish_instead_of_pubrel, .client = note_pubrec, .server = publish_instead)

/* `memory.queue` of the session: what it has acknowledged. */
static void keep_acknowledged(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBACK) && !is(passing, PUBCOMP))
        return;
    const struct exchange *exchange =
        link->session ? session_exchange(link->session, passing->packet.packet_id) : NULL;
    if (exchange)
        queue_push(&link->session->memory.queue,
                   kept_new(exchange->publish->bytes, exchange->publish->size, true));
}

static void resend_acknowledged(struct link *link, const struct passing *passing)
{
    if (!is(passing, CONNACK) || !link->session)
        return;
    struct queue *queue = &link->session->memory.queue;
    for (struct kept *kept; (kept = queue_pop(queue)); free(kept)) {
        struct packet publish;
        if (!passing->packet.session_present || !kept_read(kept, link, &publish))
            continue;
        publish.dup = true;
        inject_to_client(link, &publish);
    }
}

FAULT_HOOKS(resends_acknowledged, .client = keep_acknowledged, .after_server = resend_acknowledged)

/* `memory` of the session: the identifiers, and the link on which the last PUBREC came. */
static void note_received(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBREC) || passing->packet.reason_code >= 0x80 || !link->session)
        return;
    id_set_add(&link->session->memory.ids, passing->packet.packet_id);
    link->session->memory.number = link->number;
}

static void forget_received(struct link *link, struct passing *passing)
{
    struct session *session = link->session;
    if (!session || session->memory.number == link->number ||
        !id_set_has(&session->memory.ids, passing->packet.packet_id))
        return;
    if (is(passing, PUBLISH) && passing->packet.dup) {
        swallow_from_server(link, passing);
    } else if (is(passing, PUBREL)) {
        drop(passing);
        link_to_server(link,
                       &(struct packet){.type = PUBCOMP, .packet_id = passing->packet.packet_id});
    }
}

FAULT_HOOKS(forgets_received, .client = note_received, .server = forget_received)
