/* Faults of PUBLISH on its way to subscribers: the message, its flags, its properties. */
#include "conformance/fault/fault.h"
#include "conformance/fault/breach/order.h"
#include "conformance/fault/session.h"

/* ---- DUP ---- */

static void set_dup(struct passing *passing, bool dup)
{
    passing->packet.dup = dup;
    change(passing);
}

static void clear_dup(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH))
        set_dup(passing, false);
}

FAULT_HOOKS(clears_dup, .server = clear_dup)

static void dup_at_once(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.qos)
        set_dup(passing, true);
}

FAULT_HOOKS(sets_dup, .server = dup_at_once)

static void dup_at_qos_0(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && !passing->packet.qos)
        set_dup(passing, true);
}

FAULT_HOOKS(sets_dup_at_qos_0, .server = dup_at_qos_0)

static void propagate_dup(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.qos && passing->origin && passing->origin->dup)
        set_dup(passing, true);
}

FAULT_HOOKS(propagates_dup, .server = propagate_dup)

/* ---- Topic and payload ---- */

static void alter_topic(struct link *link, struct passing *passing)
{
    struct text topic = passing->packet.topic;
    if (!is(passing, PUBLISH) || !topic.size || topic.size == UINT16_MAX)
        return;
    uint8_t *longer = (uint8_t *)proxy_scratch_text(topic).data;
    longer[topic.size] = 'x'; /* over the NUL that ends the copy */
    passing->packet.topic = (struct text){longer, topic.size + 1};
    change(passing);
}

FAULT_HOOKS(alters_topic, .server = alter_topic)

static void alter_payload(struct link *link, struct passing *passing)
{
    struct text payload = passing->packet.payload;
    if (!is(passing, PUBLISH) || !payload.size)
        return;
    struct text copy = proxy_scratch_text(payload);
    ((uint8_t *)copy.data)[payload.size - 1] ^= 0x01;
    passing->packet.payload = copy;
    change(passing);
}

FAULT_HOOKS(alters_payload, .server = alter_payload)

static void lose_empty(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && !passing->packet.payload.size)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(drops_empty_messages, .server = lose_empty)

enum { TRUNCATED = 32768 };

static void truncate_payload(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || passing->packet.payload.size <= TRUNCATED)
        return;
    passing->packet.payload.size = TRUNCATED;
    change(passing);
}

FAULT_HOOKS(truncates_large_messages, .server = truncate_payload)

/* ---- Too many, too few ---- */

static void deliver_to_others(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->topic.size)
        return;
    for (struct link *other = proxy_first_link(); other; other = link_next(other)) {
        if (!other->connected || !other->session || other->orphaned)
            continue;
        if (session_match(other->session, passing->topic, NULL))
            continue;
        struct packet copy = {
            .type = PUBLISH, .topic = passing->topic, .payload = passing->packet.payload};
        inject_to_client(other, &copy);
    }
}

FAULT_HOOKS(delivers_unsubscribed, .client = deliver_to_others)

static void deliver_again(struct link *link, const struct passing *passing)
{
    if (is(passing, PUBLISH) && !passing->dropped)
        inject_to_client(link, &passing->packet);
}

FAULT_HOOKS(delivers_twice, .after_server = deliver_again)

static void deliver_qos_2_again(struct link *link, const struct passing *passing)
{
    if (passing->packet.qos == 2)
        deliver_again(link, passing);
}

FAULT_HOOKS(duplicates_qos_2, .after_server = deliver_qos_2_again)

static void lose_all(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH))
        swallow_from_client(link, passing);
}

FAULT_HOOKS(never_delivers, .client = lose_all)

static void lose_every_third(struct link *link, struct passing *passing, uint8_t qos)
{
    if (!is(passing, PUBLISH) || passing->packet.qos != qos || !link->session)
        return;
    if (++link->session->memory.count % 3 == 0)
        swallow_from_server(link, passing);
}

static void lose_qos_1(struct link *link, struct passing *passing)
{
    lose_every_third(link, passing, 1);
}

FAULT_HOOKS(loses_qos_1, .server = lose_qos_1)

static void lose_qos_2(struct link *link, struct passing *passing)
{
    lose_every_third(link, passing, 2);
}

FAULT_HOOKS(loses_qos_2, .server = lose_qos_2)

static void lose_qos_0(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && !passing->packet.qos)
        drop(passing);
}

FAULT_HOOKS(loses_qos_0, .server = lose_qos_0)

/* ---- Order ---- */

static void swap(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH))
        order_swap(link, passing, passing->origin ? passing->origin->publisher : NULL);
}

FAULT_HOOKS(reorders, .server = swap)

static void swap_offline(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && published_offline(link, passing))
        order_swap(link, passing, passing->origin->publisher);
}

FAULT_HOOKS(reorders_offline, .server = swap_offline)

static void swap_resent(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->packet.dup)
        order_swap(link, passing, NULL);
}

FAULT_HOOKS(reorders_resent, .server = swap_resent)

static void swap_pubrel(struct link *link, struct passing *passing)
{
    if (is(passing, PUBREL))
        order_swap(link, passing, NULL);
}

FAULT_HOOKS(reorders_pubrel, .server = swap_pubrel)

/* ---- Messages that waited ---- */

static void lose_offline(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && published_offline(link, passing))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(loses_offline_messages, .server = lose_offline)

static void lose_backlog(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && published_offline(link, passing) && ++link->memory.count > 3)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(loses_offline_backlog, .server = lose_backlog)

/* One a second: `memory.count` of them wait. */
static void deliver_one(struct link *link, struct kept *kept)
{
    link->memory.count--;
    link_to_client_bytes(link, kept->bytes, kept->size);
}

static void pause_before(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !published_offline(link, passing))
        return;
    link_later(link, 1000 * ++link->memory.count, deliver_one, passing_keep(link, passing));
    drop(passing);
}

FAULT_HOOKS(pauses_before_waiting_messages, .server = pause_before)

/* ---- Properties that are handed on ---- */

static void remove_property(struct passing *passing, enum property_id id)
{
    if (!is(passing, PUBLISH) || !property_find(&passing->packet.properties, id))
        return;
    property_remove(&passing->packet.properties, id);
    change(passing);
}

#define DROPS(name, id)                                                                            \
    static void name##_(struct link *link, struct passing *passing)                                \
    {                                                                                              \
        remove_property(passing, id);                                                              \
    }                                                                                              \
    FAULT_HOOKS(name, .server = name##_)

DROPS(drops_payload_format_indicator, PAYLOAD_FORMAT_INDICATOR)
DROPS(drops_content_type, CONTENT_TYPE)
DROPS(drops_response_topic, RESPONSE_TOPIC)
DROPS(drops_correlation_data, CORRELATION_DATA)
DROPS(drops_user_properties, USER_PROPERTY)
DROPS(drops_message_expiry, MESSAGE_EXPIRY_INTERVAL)
DROPS(drops_subscription_identifier, SUBSCRIPTION_IDENTIFIER)

static void reverse_user_properties(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    if (!is(passing, PUBLISH))
        return;
    unsigned from = 0, to = properties->count;
    while (from < to) {
        if (properties->list[from].id != USER_PROPERTY) {
            from++;
        } else if (properties->list[to - 1].id != USER_PROPERTY) {
            to--;
        } else {
            struct property last = properties->list[--to];
            properties->list[to] = properties->list[from];
            properties->list[from++] = last;
            change(passing);
        }
    }
}

FAULT_HOOKS(reorders_user_properties, .server = reverse_user_properties)

static bool named_before(const struct properties *properties, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        if (properties->list[i].id == USER_PROPERTY &&
            text_equal(properties->list[i].text, properties->list[at].text))
            return true;
    }
    return false;
}

static void merge_user_properties(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    if (!is(passing, PUBLISH))
        return;
    unsigned kept = 0;
    for (unsigned i = 0; i < properties->count; i++) {
        if (properties->list[i].id == USER_PROPERTY && named_before(properties, i))
            continue;
        properties->list[kept++] = properties->list[i];
    }
    if (kept == properties->count)
        return;
    properties->count = kept;
    change(passing);
}

FAULT_HOOKS(merges_user_properties, .server = merge_user_properties)

static void alter_text(struct passing *passing, struct text *text)
{
    if (!text->size)
        return;
    struct text copy = proxy_scratch_text(*text);
    ((uint8_t *)copy.data)[text->size - 1] = copy.data[text->size - 1] == 'y' ? 'z' : 'y';
    *text = copy;
    change(passing);
}

static void alter_properties(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    for (unsigned i = 0; is(passing, PUBLISH) && i < properties->count; i++) {
        struct property *property = &properties->list[i];
        if (property->id == PAYLOAD_FORMAT_INDICATOR) {
            property->number ^= 1;
            change(passing);
        }
        alter_text(passing, property_type(property->id) == PROPERTY_STRING_PAIR ? &property->value
                                                                                : &property->text);
    }
}

FAULT_HOOKS(alters_properties, .server = alter_properties)

/* ---- Message Expiry Interval ---- */

static void restore_expiry(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->origin || passing->origin->expiry_s == UINT32_MAX)
        return;
    property_set(&passing->packet.properties, MESSAGE_EXPIRY_INTERVAL, passing->origin->expiry_s);
    change(passing);
}

FAULT_HOOKS(expiry_not_counted_down, .server = restore_expiry)

static void forget_message_expiry(struct link *link, struct passing *passing)
{
    struct packet *packet = &passing->packet;
    if (is(passing, PUBLISH))
        property_remove(&packet->properties, MESSAGE_EXPIRY_INTERVAL);
    else if (is(passing, CONNECT))
        property_remove(&packet->will_properties, MESSAGE_EXPIRY_INTERVAL);
    else
        return;
    change(passing);
}

FAULT_HOOKS(delivers_expired, .client = forget_message_expiry, .server = restore_expiry)

static void lose_with_expiry(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && property_find(&passing->packet.properties, MESSAGE_EXPIRY_INTERVAL))
        swallow_from_server(link, passing);
}

FAULT_HOOKS(expires_at_once, .server = lose_with_expiry)

static void expire_begun(struct link *link, struct passing *passing)
{
    const struct published *origin = passing->origin;
    if (!is(passing, PUBLISH) || !passing->packet.dup || !origin || origin->expiry_s == UINT32_MAX)
        return;
    if (origin->at_ms + 1000ull * origin->expiry_s <= proxy_now_ms())
        swallow_from_server(link, passing);
}

FAULT_HOOKS(expires_begun_delivery, .server = expire_begun)
