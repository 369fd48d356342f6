/* Faults of SUBSCRIBE and UNSUBSCRIBE. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"
#include "conformance/fault/topic.h"

#include <stdlib.h>

enum { GAP_MS = 120 }; /* without a subscription that is being replaced */

static uint8_t *codes_of(unsigned count)
{
    return proxy_scratch(count + 1);
}

static void answer(struct link *link, const struct packet *request, const uint8_t *codes,
                   unsigned count)
{
    struct packet answer = {.type = request->type == SUBSCRIBE ? SUBACK : UNSUBACK,
                            .packet_id = request->packet_id};
    if (answer.type == SUBACK || is_5(link))
        answer.reason_codes = (struct text){codes, count};
    link_to_client(link, &answer);
}

static uint8_t requested(const struct packet *subscribe, unsigned at)
{
    return subscribe->filters[at].options & 0x03;
}

/* ---- Answers ---- */

/* `memory.ids`: UNSUBSCRIBEs for nothing that there is. */
static void note_unknown(struct link *link, struct passing *passing)
{
    if (!is(passing, UNSUBSCRIBE) || !link->session)
        return;
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        if (session_subscription(link->session, passing->packet.filters[i].filter))
            return;
    }
    id_set_add(&link->memory.ids, passing->packet.packet_id);
}

static void drop_unknown(struct link *link, struct passing *passing)
{
    if (is(passing, UNSUBACK) && id_set_remove(&link->memory.ids, passing->packet.packet_id))
        drop(passing);
}

FAULT_HOOKS(no_unsuback_for_unknown, .client = note_unknown, .server = drop_unknown)

static void claim_subscription(struct link *link, struct passing *passing)
{
    const struct packet *subscribe = &passing->packet;
    if (!is(passing, SUBSCRIBE))
        return;
    uint8_t *codes = codes_of(subscribe->filter_count);
    for (unsigned i = 0; i < subscribe->filter_count; i++)
        codes[i] = requested(subscribe, i);
    answer(link, subscribe, codes, subscribe->filter_count);
    drop(passing);
}

FAULT_HOOKS(claims_subscription, .client = claim_subscription)

static void claim_unsubscription(struct link *link, struct passing *passing)
{
    if (!is(passing, UNSUBSCRIBE))
        return;
    unsigned count = passing->packet.filter_count;
    answer(link, &passing->packet, codes_of(count), count);
    drop(passing);
}

FAULT_HOOKS(claims_unsubscription, .client = claim_unsubscription)

/* `memory.queue`: requests that were cut down to one filter. */
static void cut_to_first(struct link *link, struct passing *passing)
{
    if ((!is(passing, SUBSCRIBE) && !is(passing, UNSUBSCRIBE)) || passing->packet.filter_count < 2)
        return;
    queue_push(&link->memory.queue, passing_keep(link, passing));
    passing->packet.filter_count = 1;
    change(passing);
}

static void claim_the_rest(struct link *link, struct passing *passing)
{
    if (!is(passing, SUBACK) && !is(passing, UNSUBACK))
        return;
    const struct kept *first = link->memory.queue.first;
    struct packet *request = proxy_scratch(sizeof *request);
    if (!first || first->packet_id != passing->packet.packet_id || !kept_read(first, link, request))
        return;
    uint8_t *codes = codes_of(request->filter_count);
    for (unsigned i = 0; i < request->filter_count; i++)
        codes[i] = is(passing, SUBACK) ? requested(request, i) : 0;
    if (passing->packet.reason_codes.size) {
        codes[0] = passing->packet.reason_codes.data[0];
        passing->packet.reason_codes = (struct text){codes, request->filter_count};
        change(passing);
    }
    free(queue_pop(&link->memory.queue));
}

FAULT_HOOKS(first_filter_only, .client = cut_to_first, .server = claim_the_rest)

static void split_answer(struct link *link, struct passing *passing)
{
    if (!is(passing, SUBACK) && !is(passing, UNSUBACK))
        return;
    struct packet part = passing->packet;
    struct text codes = part.reason_codes;
    for (size_t i = 0; i < codes.size; i++) {
        part.reason_codes = (struct text){codes.data + i, 1};
        link_to_client(link, &part);
    }
    if (codes.size)
        drop(passing);
    else
        link_to_client(link, &part); /* 3.1.1's UNSUBACK, twice */
}

FAULT_HOOKS(several_subacks, .server = split_answer)

static void shorten_answer(struct link *link, struct passing *passing)
{
    if ((!is(passing, SUBACK) && !is(passing, UNSUBACK)) || passing->packet.reason_codes.size < 2)
        return;
    passing->packet.reason_codes.size--;
    change(passing);
}

FAULT_HOOKS(short_suback, .server = shorten_answer)

static void reverse_answer(struct link *link, struct passing *passing)
{
    if (!is(passing, SUBACK) && !is(passing, UNSUBACK))
        return;
    struct text codes = passing->packet.reason_codes;
    uint8_t *reversed = codes_of((unsigned)codes.size);
    for (size_t i = 0; i < codes.size; i++)
        reversed[i] = codes.data[codes.size - 1 - i];
    passing->packet.reason_codes.data = reversed;
    change(passing);
}

FAULT_HOOKS(reverses_suback, .server = reverse_answer)

static void undefine_answer(struct link *link, struct passing *passing)
{
    struct text codes = passing->packet.reason_codes;
    if ((!is(passing, SUBACK) && !is(passing, UNSUBACK)) || codes.size < 2)
        return;
    uint8_t *undefined = codes_of((unsigned)codes.size);
    for (size_t i = 0; i < codes.size; i++)
        undefined[i] = 0x7F;
    passing->packet.reason_codes.data = undefined;
    change(passing);
}

FAULT_HOOKS(undefined_suback_code, .server = undefine_answer)

/* ---- QoS ---- */

/* The session's subscriptions are other than what is granted; `memory.queue`: the SUBSCRIBEs. */
static void subscribe_at(struct link *link, struct passing *passing, uint8_t qos)
{
    if (!is(passing, SUBSCRIBE))
        return;
    queue_push(&link->memory.queue, passing_keep(link, passing));
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        uint8_t *options = &passing->packet.filters[i].options;
        *options = (uint8_t)((*options & ~0x03) | qos);
    }
    change(passing);
}

static void claim_requested(struct link *link, struct passing *passing)
{
    struct packet *subscribe = proxy_scratch(sizeof *subscribe);
    const struct kept *first = link->memory.queue.first;
    if (!is(passing, SUBACK) || !first || !kept_read(first, link, subscribe))
        return;
    struct text codes = passing->packet.reason_codes;
    uint8_t *claimed = codes_of((unsigned)codes.size);
    for (unsigned i = 0; i < codes.size && i < subscribe->filter_count; i++)
        claimed[i] = codes.data[i] < 0x80 ? requested(subscribe, i) : codes.data[i];
    passing->packet.reason_codes.data = claimed;
    change(passing);
    free(queue_pop(&link->memory.queue));
}

static void subscribe_at_2(struct link *link, struct passing *passing)
{
    subscribe_at(link, passing, 2);
}

FAULT_HOOKS(delivers_above_granted_qos, .client = subscribe_at_2, .server = claim_requested)

static void subscribe_at_0(struct link *link, struct passing *passing)
{
    subscribe_at(link, passing, 0);
}

FAULT_HOOKS(delivers_below_granted_qos, .client = subscribe_at_0, .server = claim_requested)

static void deliver_at_lowest(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !link->session)
        return;
    uint8_t lowest = passing->packet.qos;
    for (struct subscription *at = NULL; (at = session_match(link->session, passing->topic, at));) {
        if (at->granted < lowest)
            lowest = at->granted;
    }
    if (lowest == passing->packet.qos)
        return;
    struct packet copy = passing->packet;
    swallow_from_server(link, passing);
    copy.qos = lowest;
    inject_to_client(link, &copy);
}

FAULT_HOOKS(lowest_qos_of_overlapping, .server = deliver_at_lowest)

/* ---- Replacing ---- */

static struct subscription *renewed(const struct link *link, const struct passing *passing)
{
    struct subscription *found = NULL;
    if (!is(passing, SUBSCRIBE) || !link->session)
        return NULL;
    for (unsigned i = 0; i < passing->packet.filter_count && !found; i++)
        found = session_subscription(link->session, passing->packet.filters[i].filter);
    return found;
}

static void keep_old(struct link *link, struct passing *passing)
{
    const struct packet *subscribe = &passing->packet;
    if (!renewed(link, passing))
        return;
    uint8_t *codes = codes_of(subscribe->filter_count);
    for (unsigned i = 0; i < subscribe->filter_count; i++)
        codes[i] = requested(subscribe, i);
    answer(link, subscribe, codes, subscribe->filter_count);
    drop(passing);
}

FAULT_HOOKS(keeps_old_subscription, .client = keep_old)

static void mark_doubled(struct link *link, struct passing *passing)
{
    struct subscription *subscription = renewed(link, passing);
    if (subscription)
        subscription->marked = true;
    for (unsigned i = 1; is(passing, SUBSCRIBE) && i < passing->packet.filter_count; i++) {
        const struct filter *filter = &passing->packet.filters[i];
        if (!link->session || !text_equal(filter->filter, passing->packet.filters[0].filter))
            continue;
        session_subscribe(link->session, filter->filter, filter->options, 0, 0);
        session_subscription(link->session, filter->filter)->marked = true;
    }
}

static void deliver_doubled(struct link *link, const struct passing *passing)
{
    if (!is(passing, PUBLISH) || !link->session || passing->packet.retain)
        return;
    for (struct subscription *at = NULL; (at = session_match(link->session, passing->topic, at));) {
        if (at->marked)
            inject_to_client(link, &passing->packet);
    }
}

FAULT_HOOKS(doubles_subscription, .client = mark_doubled, .after_server = deliver_doubled)

static void leave_a_gap(struct link *link, struct passing *passing)
{
    if (!renewed(link, passing))
        return;
    struct packet unsubscribe = passing->packet;
    unsubscribe.type = UNSUBSCRIBE;
    unsubscribe.properties.count = 0;
    inject_subscribe(link, &unsubscribe);
    send_later(link, passing, GAP_MS);
}

FAULT_HOOKS(interrupts_at_resubscribe, .client = leave_a_gap)

/* ---- UNSUBSCRIBE ---- */

static void unsubscribe_matching(struct link *link, struct passing *passing)
{
    if (!is(passing, UNSUBSCRIBE) || !link->session)
        return;
    struct packet more = {.type = UNSUBSCRIBE};
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        struct text filter = passing->packet.filters[i].filter;
        for (struct subscription *at = link->session->subscriptions; at; at = at->next) {
            if (topic_matches(filter, at->filter) && more.filter_count < FILTERS_MAX)
                more.filters[more.filter_count++].filter = at->filter;
        }
    }
    if (more.filter_count)
        inject_subscribe(link, &more);
}

FAULT_HOOKS(unsubscribes_by_matching, .client = unsubscribe_matching)

/* `memory.ids` of the session: exchanges that UNSUBSCRIBE broke off. */
static void break_off(struct link *link, struct passing *passing)
{
    if (!is(passing, UNSUBSCRIBE) || !link->session)
        return;
    for (const struct exchange *at = link->session->exchanges; at; at = at->next)
        id_set_add(&link->session->memory.ids, at->packet_id);
}

static void drop_broken_off(struct link *link, struct passing *passing)
{
    struct session *session = link->session;
    if (!session || !id_set_has(&session->memory.ids, passing->packet.packet_id))
        return;
    if (is(passing, PUBLISH) && passing->packet.dup) {
        swallow_from_server(link, passing);
    } else if (is(passing, PUBREL)) {
        drop(passing);
        link_to_server(link,
                       &(struct packet){.type = PUBCOMP, .packet_id = passing->packet.packet_id});
    }
}

FAULT_HOOKS(drops_begun_at_unsubscribe, .client = break_off, .server = drop_broken_off)

/* ---- No Local, Subscription Identifiers ---- */

static void clear_no_local(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, SUBSCRIBE))
        return;
    for (unsigned i = 0; i < passing->packet.filter_count; i++)
        passing->packet.filters[i].options &= (uint8_t)~SUBSCRIBE_NO_LOCAL;
    change(passing);
}

FAULT_HOOKS(ignores_no_local, .client = clear_no_local)

static bool has_no_local(struct link *link, const struct passing *passing)
{
    struct subscription *at = NULL;
    while ((at = session_match(link->session, passing->topic, at))) {
        if (at->options & SUBSCRIBE_NO_LOCAL)
            return true;
    }
    return false;
}

static bool is_own(const struct link *link, const struct passing *passing)
{
    return is(passing, PUBLISH) && link->session && passing->origin &&
           passing->origin->publisher == link->session;
}

static void silence_own(struct link *link, struct passing *passing)
{
    if (is_5(link) && is_own(link, passing) && has_no_local(link, passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(no_local_silences_own, .server = silence_own)

static void silence_all(struct link *link, struct passing *passing)
{
    if (is_5(link) && is(passing, PUBLISH) && link->session && has_no_local(link, passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(no_local_silences_all, .server = silence_all)

static void withhold_own(struct link *link, struct passing *passing)
{
    if (is_own(link, passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(withholds_own_messages, .server = withhold_own)

static void keep_no_local(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, SUBSCRIBE) || !link->session)
        return;
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        struct filter *filter = &passing->packet.filters[i];
        const struct subscription *old = session_subscription(link->session, filter->filter);
        if (old)
            filter->options |= old->options & SUBSCRIBE_NO_LOCAL;
    }
    change(passing);
}

FAULT_HOOKS(no_local_for_ever, .client = keep_no_local)

static void one_identifier(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    if (!is(passing, PUBLISH))
        return;
    unsigned kept = 0, seen = 0;
    for (unsigned i = 0; i < properties->count; i++) {
        bool identifier = properties->list[i].id == SUBSCRIPTION_IDENTIFIER;
        if (!identifier || !seen)
            properties->list[kept++] = properties->list[i];
        seen += identifier;
    }
    if (kept == properties->count)
        return;
    properties->count = kept;
    change(passing);
}

/* A server that sends a copy for each subscription keeps the identifier of the first alone. */
static void one_identifier_of_copies(struct link *link, struct passing *passing)
{
    one_identifier(link, passing);
    if (!is(passing, PUBLISH) || !link->session || passing->changed)
        return;
    const struct subscription *first = NULL;
    for (struct subscription *at = NULL; (at = session_match(link->session, passing->topic, at));) {
        if (at->identifier)
            first = at;
    }
    uint32_t sent = property_number(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER, 0);
    if (!first || !sent || sent == first->identifier)
        return;
    property_remove(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER);
    change(passing);
}

FAULT_HOOKS(one_subscription_identifier, .server = one_identifier_of_copies)

/* Marks the subscriptions that stand behind the first of their SUBSCRIBE. */
static void mark_others(struct link *link, struct passing *passing)
{
    if (!is(passing, SUBSCRIBE) || !link->session)
        return;
    for (unsigned i = 0; i < passing->packet.filter_count; i++) {
        const struct filter *filter = &passing->packet.filters[i];
        session_subscribe(link->session, filter->filter, filter->options, 0, 0);
        session_subscription(link->session, filter->filter)->marked = i > 0;
    }
}

static void forget_others(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !link->session)
        return;
    struct subscription *at = session_match(link->session, passing->topic, NULL);
    if (!at || !at->marked)
        return;
    property_remove(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER);
    change(passing);
}

FAULT_HOOKS(identifier_of_first_filter_only, .client = mark_others, .server = forget_others)

static void wrong_identifier(struct link *link, struct passing *passing)
{
    const struct property *property =
        property_find(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER);
    if (!is(passing, PUBLISH) || !property)
        return;
    property_set(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER, property->number ^ 1);
    change(passing);
}

FAULT_HOOKS(wrong_subscription_identifier, .server = wrong_identifier)

static void keep_identifier(struct link *link, struct passing *passing)
{
    const struct subscription *old = renewed(link, passing);
    if (!is_5(link) || !old)
        return;
    property_remove(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER);
    if (old->identifier)
        property_add(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER, old->identifier);
    change(passing);
}

FAULT_HOOKS(keeps_subscription_identifier, .client = keep_identifier)

static void lose_identifier(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !published_offline(link, passing))
        return;
    property_remove(&passing->packet.properties, SUBSCRIPTION_IDENTIFIER);
    change(passing);
}

FAULT_HOOKS(loses_subscription_identifier_offline, .server = lose_identifier)
