#include "conformance/fault/authoriser.h"

#include <string.h>

#include "conformance/fault/proxy.h"
#include "conformance/fault/session.h"

static enum authoriser_breach breach(void)
{
    return proxy_settings()->fault->hooks->authorisation;
}

/* ---- PUBLISH and wills ---- */

static bool denies_topic(struct text topic)
{
    return text_equal(topic, TEXT(AUTHORISER_TOPIC));
}

/* Whether this very breach lets the message through. */
static bool breach_delivers(const struct packet *publish)
{
    switch (breach()) {
    case AUTHORISER_DELIVERS:
        return true;
    case AUTHORISER_DELIVERS_BY_ALIAS:
        return publish->topic.size == 0;
    case AUTHORISER_RETAINS:
        return publish->retain;
    default:
        return false;
    }
}

/* 3.1.1 knows no refusal: the message is acknowledged and goes no further. */
static void answer_denied(struct link *link, const struct packet *publish)
{
    if (!publish->qos || breach() == AUTHORISER_SAYS_NOTHING)
        return;
    bool refused = is_5(link) && breach() != AUTHORISER_CONFIRMS;
    if (publish->qos == 2 && !refused && link->session)
        id_set_add(&link->session->answered_client, publish->packet_id);
    if (breach() == AUTHORISER_HOLDS_ID && link->session)
        id_set_add(&link->session->memory.ids, publish->packet_id);
    link_from_server(link, &(struct packet){.type = publish->qos == 1 ? PUBACK : PUBREC,
                                            .packet_id = publish->packet_id,
                                            .reason_code = refused ? 0x87 : 0});
}

static void judge_publish(struct link *link, struct passing *passing)
{
    const struct packet *publish = &passing->packet;
    if (!denies_topic(passing->topic)) {
        if (breach() == AUTHORISER_HOLDS_ID && publish->qos && link->session &&
            id_set_remove(&link->session->memory.ids, publish->packet_id))
            swallow_from_client(link, passing);
        return;
    }
    if (breach_delivers(publish))
        proxy_publish(passing->topic, publish->payload, publish->retain);
    drop(passing);
    answer_denied(link, publish);
}

static void judge_will(struct passing *passing)
{
    if (!denies_topic(passing->packet.will_topic) || breach() == AUTHORISER_PUBLISHES_WILL)
        return;
    passing->packet.will_topic = passing->packet.will_payload = (struct text){0};
    passing->packet.will_qos = 0;
    passing->packet.will_retain = false;
    change(passing);
}

/* ---- SUBSCRIBE ---- */

static bool denies_filter(const struct packet *subscribe, unsigned i)
{
    return text_equal(subscribe->filters[i].filter, TEXT(AUTHORISER_FILTER));
}

static bool denies_some(const struct packet *subscribe)
{
    for (unsigned i = 0; i < subscribe->filter_count; i++) {
        if (denies_filter(subscribe, i))
            return true;
    }
    return false;
}

static uint8_t refusal_of(const struct link *link)
{
    return is_5(link) ? 0x87 : 0x80;
}

static void judge_subscribe(struct link *link, struct passing *passing)
{
    struct packet *subscribe = &passing->packet;
    if (!denies_some(subscribe) || breach() == AUTHORISER_GRANTS ||
        breach() == AUTHORISER_SUBSCRIBES_SECRETLY)
        return;
    const unsigned count = subscribe->filter_count;
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!denies_filter(subscribe, i) && breach() != AUTHORISER_FAILS_ALL)
            subscribe->filters[kept++] = subscribe->filters[i];
    }
    subscribe->filter_count = kept;
    change(passing);
    if (kept)
        return;
    drop(passing);
    uint8_t *codes = proxy_scratch(count);
    memset(codes, refusal_of(link), count);
    link_from_server(link, &(struct packet){.type = SUBACK,
                                            .packet_id = subscribe->packet_id,
                                            .reason_codes = {codes, count}});
}

static bool subscribe_of(struct link *link, uint16_t packet_id, struct packet *out)
{
    for (const struct kept *kept = link->subscribing.first; kept; kept = kept->next) {
        if (kept->packet_id == packet_id)
            return kept_read(kept, link, out);
    }
    return false;
}

void authoriser_server(struct link *link, struct passing *passing)
{
    struct packet subscribe;
    const struct text codes = passing->packet.reason_codes;
    if (!is(passing, SUBACK) || breach() == AUTHORISER_GRANTS ||
        !subscribe_of(link, passing->packet.packet_id, &subscribe) || !denies_some(&subscribe))
        return;
    uint8_t *all = proxy_scratch(subscribe.filter_count);
    bool secretly = breach() == AUTHORISER_SUBSCRIBES_SECRETLY;
    for (unsigned i = 0, at = 0; i < subscribe.filter_count; i++) {
        bool denied = denies_filter(&subscribe, i);
        all[i] = denied || at >= codes.size ? refusal_of(link) : codes.data[at];
        at += !denied || secretly;
    }
    passing->packet.reason_codes = (struct text){all, subscribe.filter_count};
    change(passing);
}

void authoriser_client(struct link *link, struct passing *passing)
{
    if (is(passing, CONNECT))
        judge_will(passing);
    else if (is(passing, PUBLISH))
        judge_publish(link, passing);
    else if (is(passing, SUBSCRIBE))
        judge_subscribe(link, passing);
}
