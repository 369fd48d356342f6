/* Faults of flow control, packet sizes and Topic Aliases, all of 5.0. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <stdlib.h>

/* ---- Receive Maximum ---- */

static void forget_maximum(struct link *link, struct passing *passing, enum property_id id)
{
    if (!is_5(link) || !is_first_connect(link, passing))
        return;
    property_remove(&passing->packet.properties, id);
    change(passing);
}

static void raise_maximum(struct link *link, struct passing *passing, enum property_id id)
{
    if (!is_5(link) || !is_first_connect(link, passing))
        return;
    const struct property *property = property_find(&passing->packet.properties, id);
    if (!property || (id == RECEIVE_MAXIMUM && property->number == UINT16_MAX))
        return;
    property_set(&passing->packet.properties, id, property->number + 1);
    change(passing);
}

static void forget_receive_maximum(struct link *link, struct passing *passing)
{
    forget_maximum(link, passing, RECEIVE_MAXIMUM);
}

FAULT_HOOKS(ignores_receive_maximum, .client = forget_receive_maximum)

static void raise_receive_maximum(struct link *link, struct passing *passing)
{
    raise_maximum(link, passing, RECEIVE_MAXIMUM);
}

FAULT_HOOKS(exceeds_receive_maximum_by_one, .client = raise_receive_maximum)

/* The server may send all; we count, wrongly. `memory.queue`: PUBLISHes that wait for a slot. */
static unsigned unreceived(const struct link *link)
{
    unsigned count = 0;
    for (const struct exchange *at = link->session->exchanges; at; at = at->next)
        count += !at->received;
    return count;
}

static void gate(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->packet.qos || !link->session)
        return;
    if (unreceived(link) - link->memory.queue.count <= link->receive_maximum)
        return;
    queue_push(&link->memory.queue, passing_keep(link, passing));
    drop(passing);
}

static void release_one(struct link *link, struct kept *none)
{
    struct queue *queue = &link->memory.queue;
    while (queue->first && unreceived(link) - queue->count < link->receive_maximum) {
        struct kept *kept = queue_pop(queue);
        link_to_client_bytes(link, kept->bytes, kept->size);
        free(kept);
    }
}

static void open_gate(struct link *link, struct passing *passing)
{
    forget_receive_maximum(link, passing);
    if (is(passing, PUBACK) || is(passing, PUBREC) || is(passing, PUBCOMP))
        link_later(link, 0, release_one, NULL);
}

FAULT_HOOKS(frees_quota_at_pubrec, .client = open_gate, .server = gate)

static void hold_others(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !link->session || !passing->readable)
        return;
    enum packet_type type = passing->packet.type;
    if (type == PUBREL || type == CONNACK || type == DISCONNECT ||
        (type == PUBLISH && passing->packet.qos))
        return;
    if (session_exchange_count(link->session) < link->receive_maximum)
        return;
    queue_push(&link->memory.queue, passing_keep(link, passing));
    drop(passing);
}

static void release_others(struct link *link, struct kept *none)
{
    if (!link->session || session_exchange_count(link->session) >= link->receive_maximum)
        return;
    for (struct kept *kept; (kept = queue_pop(&link->memory.queue)); free(kept))
        link_to_client_bytes(link, kept->bytes, kept->size);
}

static void look_at_quota(struct link *link, struct passing *passing)
{
    if (is(passing, PUBACK) || is(passing, PUBREC) || is(passing, PUBCOMP))
        link_later(link, 0, release_others, NULL);
}

FAULT_HOOKS(holds_qos_0_at_quota, .client = look_at_quota, .server = hold_others)

static void drop_last_acknowledgement(struct link *link, struct passing *passing)
{
    if (is_5(link) && (is(passing, PUBACK) || is(passing, PUBCOMP)))
        drop(passing);
}

FAULT_HOOKS(loses_quota, .client = drop_last_acknowledgement)

/* `memory.count`: slots that an earlier connection had in use, never to be had back. */
static void count_old(struct link *link, struct passing *passing)
{
    if ((is_5(link) && is_first_connect(link, passing)) && link->session)
        link->memory.count = session_exchange_count(link->session);
}

static void hold_beyond_old(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->packet.qos || !link->session || passing->packet.dup)
        return;
    if (session_exchange_count(link->session) + link->memory.count > link->receive_maximum)
        drop(passing);
}

FAULT_HOOKS(loses_quota_at_reconnect, .client = count_old, .server = hold_beyond_old)

/* ---- The server's own Receive Maximum ---- */

/* `memory.count`: PUBLISHes that are not answered yet. */
static void close_at_maximum(struct link *link, struct passing *passing)
{
    uint32_t maximum = property_number(&link->connack.properties, RECEIVE_MAXIMUM, UINT16_MAX);
    if (!is_5(link) || !is(passing, PUBLISH) || !passing->packet.qos)
        return;
    if (++link->memory.count < maximum)
        return;
    drop(passing);
    link_close(link, 0x93);
}

static void count_answers(struct link *link, struct passing *passing)
{
    bool refused = is(passing, PUBREC) && passing->packet.reason_code >= 0x80;
    if (link->memory.count && (is(passing, PUBACK) || is(passing, PUBCOMP) || refused))
        link->memory.count--;
}

FAULT_HOOKS(counts_quota_below_maximum, .client = close_at_maximum, .server = count_answers)

/* ---- Maximum Packet Size ---- */

static void forget_packet_size(struct link *link, struct passing *passing)
{
    forget_maximum(link, passing, MAXIMUM_PACKET_SIZE);
}

FAULT_HOOKS(ignores_maximum_packet_size, .client = forget_packet_size)

static void raise_packet_size(struct link *link, struct passing *passing)
{
    raise_maximum(link, passing, MAXIMUM_PACKET_SIZE);
}

FAULT_HOOKS(exceeds_maximum_packet_size_by_one, .client = raise_packet_size)

static bool is_oversize(const struct link *link, const struct passing *passing)
{
    return is(passing, PUBLISH) && passing->bytes.size > link->maximum_packet_size;
}

static void leave_oversize(struct link *link, struct passing *passing)
{
    if (is_oversize(link, passing))
        drop(passing);
}

FAULT_HOOKS(oversize_keeps_quota, .client = forget_packet_size, .server = leave_oversize)

static void close_at_oversize(struct link *link, struct passing *passing)
{
    if (!is_oversize(link, passing))
        return;
    drop(passing);
    link_close(link, 0x95);
}

FAULT_HOOKS(closes_at_oversize, .client = forget_packet_size, .server = close_at_oversize)

static void lose_largest(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && passing->bytes.size == link->maximum_packet_size)
        swallow_from_server(link, passing);
}

FAULT_HOOKS(drops_at_maximum_packet_size, .server = lose_largest)

enum { OWN_MAXIMUM = 65536 }; /* announced where the server has no smaller one */

static void announce_own_size(struct link *link, struct passing *passing)
{
    if (!is_5(link) || !is(passing, CONNACK) || passing->packet.reason_code)
        return;
    struct properties *properties = &passing->packet.properties;
    uint32_t maximum = property_number(properties, MAXIMUM_PACKET_SIZE, UINT32_MAX);
    link->memory.number = maximum < OWN_MAXIMUM ? maximum : OWN_MAXIMUM;
    property_set(properties, MAXIMUM_PACKET_SIZE, link->memory.number);
    change(passing);
}

static void close_at_own_size(struct link *link, struct passing *passing)
{
    if (!link->connected || passing->bytes.size != link->memory.number)
        return;
    drop(passing);
    link_close(link, 0x95);
}

FAULT_HOOKS(refuses_its_maximum_packet_size, .client = close_at_own_size,
            .server = announce_own_size)

/* ---- Aliases of the server ---- */

static void add_alias(struct passing *passing, uint32_t alias)
{
    property_set(&passing->packet.properties, TOPIC_ALIAS, alias);
    change(passing);
}

static bool takes_alias(const struct link *link, const struct passing *passing)
{
    return is_5(link) && is(passing, PUBLISH) && passing->packet.topic.size;
}

static void alias_unasked(struct link *link, struct passing *passing)
{
    if (takes_alias(link, passing) && !link->topic_alias_maximum)
        add_alias(passing, 1);
}

FAULT_HOOKS(alias_unasked, .server = alias_unasked)

static void alias_above(struct link *link, struct passing *passing)
{
    if (takes_alias(link, passing) && link->topic_alias_maximum &&
        link->topic_alias_maximum < UINT16_MAX)
        add_alias(passing, link->topic_alias_maximum + 1u);
}

FAULT_HOOKS(exceeds_alias_maximum, .server = alias_above)

static void alias_0(struct link *link, struct passing *passing)
{
    if (takes_alias(link, passing))
        add_alias(passing, 0);
}

FAULT_HOOKS(sends_alias_0, .server = alias_0)

/* `memory.queue` of the session: PUBLISHes of its first connection that each set an alias, which is
 * the kept packet_id; `memory.number` is that connection, `memory.count` the last alias. */
static struct kept *alias_setting(const struct link *link, struct text topic)
{
    for (struct kept *kept = link->session->memory.queue.first; kept; kept = kept->next) {
        struct packet publish;
        if (kept_read(kept, link, &publish) && text_equal(publish.topic, topic))
            return kept;
    }
    return NULL;
}

static void carry_own_alias(struct link *link, struct passing *passing)
{
    if (!takes_alias(link, passing) || !link->topic_alias_maximum || !link->session)
        return;
    struct memory *memory = &link->session->memory;
    if (!memory->number)
        memory->number = link->number;
    struct kept *setting = alias_setting(link, passing->packet.topic);
    if (!setting && memory->number == link->number) {
        if (memory->queue.count >= link->topic_alias_maximum)
            free(queue_pop(&memory->queue));
        setting = passing_keep(link, passing);
        setting->packet_id = (uint16_t)(1 + memory->count++ % link->topic_alias_maximum);
        queue_push(&memory->queue, setting);
    }
    if (!setting)
        return;
    add_alias(passing, setting->packet_id);
    if (memory->number != link->number)
        passing->packet.topic = TEXT("");
}

FAULT_HOOKS(carries_own_aliases, .server = carry_own_alias)

/* ---- Aliases of the client ---- */

/* Queues of PUBLISHes that set an alias: the first or the last one that set this one. */
static bool find_setting(const struct queue *queue, const struct link *link, uint32_t alias,
                         bool last, struct packet *out)
{
    bool found = false;
    for (struct kept *kept = queue->first; kept && (last || !found); kept = kept->next) {
        struct packet *publish = proxy_scratch(sizeof *publish);
        if (kept_read(kept, link, publish) &&
            property_number(&publish->properties, TOPIC_ALIAS, 0) == alias) {
            *out = *publish;
            found = true;
        }
    }
    return found;
}

static uint32_t alias_of(const struct passing *passing)
{
    if (!is(passing, PUBLISH))
        return 0;
    return property_number(&passing->packet.properties, TOPIC_ALIAS, 0);
}

/* Notes a PUBLISH that sets an alias; one that only uses it gets the topic that the queue says. */
static void use_settings(struct link *link, struct passing *passing, struct queue *queue, bool last)
{
    struct packet *setting = proxy_scratch(sizeof *setting);
    uint32_t alias = alias_of(passing);
    if (!alias)
        return;
    if (passing->packet.topic.size) {
        queue_push(queue, passing_keep(link, passing));
        return;
    }
    if (!find_setting(queue, link, alias, last, setting))
        return;
    passing->packet.topic = setting->topic;
    property_remove(&passing->packet.properties, TOPIC_ALIAS);
    change(passing);
}

static void use_session_settings(struct link *link, struct passing *passing)
{
    if (link->session)
        use_settings(link, passing, &link->session->memory.queue, true);
}

FAULT_HOOKS(keeps_aliases, .client = use_session_settings)

static void use_first_setting(struct link *link, struct passing *passing)
{
    use_settings(link, passing, &link->memory.queue, false);
}

FAULT_HOOKS(never_remaps_alias, .client = use_first_setting)

static void use_common_settings(struct link *link, struct passing *passing)
{
    use_settings(link, passing, &proxy_memory()->queue, true);
}

FAULT_HOOKS(shares_aliases, .client = use_common_settings)

static void refuse_highest(struct link *link, struct passing *passing)
{
    uint32_t maximum = property_number(&link->connack.properties, TOPIC_ALIAS_MAXIMUM, 0);
    if (!alias_of(passing) || alias_of(passing) != maximum)
        return;
    drop(passing);
    link_close(link, 0x94);
}

FAULT_HOOKS(refuses_highest_alias, .client = refuse_highest)
