/* Faults of a server that takes what it has to refuse. The packet does not reach the healthy
 * server: it is answered here as if all were well, and the connection lives on. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <stdio.h>
#include <string.h>

/* ---- Answering what can't be read ---- */

/* Where the body begins; 0: nowhere. */
static size_t body_of(struct text bytes)
{
    size_t at = 1;
    while (at < bytes.size && at < 5 && bytes.data[at] & 0x80)
        at++;
    return at + 1 < bytes.size ? at + 1 : 0;
}

static uint16_t u16_at(struct text bytes, size_t at)
{
    if (at + 2 > bytes.size)
        return 0;
    return (uint16_t)(bytes.data[at] << 8 | bytes.data[at + 1]);
}

static void connect_in_its_place(struct link *link)
{
    char id[24];
    snprintf(id, sizeof id, "accepted%u", link->number);
    if (link->connects++) {
        link_to_client(link, &(struct packet){.type = CONNACK});
        return;
    }
    link_to_server(link, &(struct packet){.type = CONNECT,
                                          .clean_start = true,
                                          .keep_alive_s = 60,
                                          .client_id = text_of(id)});
}

static void acknowledge_publish(struct link *link, struct text bytes, size_t body)
{
    unsigned qos = bytes.data[0] >> 1 & 3;
    uint16_t id = u16_at(bytes, body + 2u + u16_at(bytes, body));
    if (qos && id)
        link_to_client(link, &(struct packet){.type = qos == 1 ? PUBACK : PUBREC, .packet_id = id});
}

static void accept_packet(struct link *link, struct passing *passing)
{
    struct text bytes = passing->bytes;
    size_t body = body_of(bytes);
    uint16_t id = body ? u16_at(bytes, body) : 0;
    drop(passing);
    switch (bytes.data[0] >> 4) {
    case CONNECT:
        connect_in_its_place(link);
        break;
    case PUBLISH:
        if (body)
            acknowledge_publish(link, bytes, body);
        break;
    case PUBREL:
        if (id)
            link_to_client(link, &(struct packet){.type = PUBCOMP, .packet_id = id});
        break;
    case SUBSCRIBE:
        if (id)
            link_to_client(link, &(struct packet){.type = SUBACK,
                                                  .packet_id = id,
                                                  .reason_codes = {(const uint8_t *)"", 1}});
        break;
    case UNSUBSCRIBE:
        if (id)
            link_to_client(link, &(struct packet){.type = UNSUBACK,
                                                  .packet_id = id,
                                                  .reason_codes = {(const uint8_t *)"", 1}});
        break;
    case PINGREQ:
        link_to_client(link, &(struct packet){.type = PINGRESP});
        break;
    case DISCONNECT:
        link->disconnected = true;
        link_to_server(link, &(struct packet){.type = DISCONNECT});
        break;
    default:
        break;
    }
}

/* ---- By what the reader says is wrong ---- */

static void accept_if(struct link *link, struct passing *passing, const char *const *signs)
{
    for (; !passing->readable && *signs; signs++) {
        if (strstr(passing->mistake.what, *signs)) {
            accept_packet(link, passing);
            return;
        }
    }
}

#define ACCEPTS(name, ...)                                                                         \
    static void name##_(struct link *link, struct passing *passing)                                \
    {                                                                                              \
        static const char *const signs[] = {__VA_ARGS__, NULL};                                    \
        accept_if(link, passing, signs);                                                           \
    }                                                                                              \
    FAULT_HOOKS(name, .client = name##_)

ACCEPTS(accepts_malformed, "")
ACCEPTS(accepts_bad_utf8, "is not well-formed UTF-8")
ACCEPTS(accepts_null_character, "contains U+0000")
ACCEPTS(accepts_long_varint, "fewest bytes possible", "longer than four bytes")
ACCEPTS(accepts_reserved_flags, "with the reserved flags")
ACCEPTS(accepts_zero_packet_id, "with Packet Identifier 0")
ACCEPTS(accepts_trailing_bytes, "behind its last field")
ACCEPTS(accepts_truncated_packet, "ends within its", "bytes are left", "has no Property Length",
        "PUBLISH with Packet Identifier 0")
ACCEPTS(accepts_repeated_property, "stands there twice")
ACCEPTS(accepts_bad_property_value, " must not be ")
ACCEPTS(accepts_bad_reason_code, "is no Reason Code")
ACCEPTS(accepts_reserved_type, "begins no packet")
ACCEPTS(accepts_protocol_name, "Protocol Name is not")
ACCEPTS(accepts_protocol_level, "Protocol Level ")
ACCEPTS(accepts_reserved_connect_flag, "reserved Connect Flag")
ACCEPTS(accepts_bad_connect_flags, "without the Will Flag", "a password without a user name",
        "Will QoS is 3", "CONNECT ends within its", "CONNECT has ")
ACCEPTS(accepts_will_qos_3, "Will QoS is 3")
ACCEPTS(accepts_empty_id_without_clean, "an empty Client Identifier with")
ACCEPTS(accepts_qos_3, "PUBLISH with QoS 3")
ACCEPTS(accepts_dup_at_qos_0, "PUBLISH at QoS 0 with DUP")
ACCEPTS(accepts_wildcard_topic, "contains the wildcard")
ACCEPTS(accepts_empty_topic, "Topic Name is empty", "Will Topic is empty", "an empty Topic Filter")
ACCEPTS(accepts_bad_filter, "is not alone in")
ACCEPTS(accepts_bad_share, "the ShareName")
ACCEPTS(accepts_no_local_on_share, "No Local on a Shared Subscription")
ACCEPTS(accepts_no_filters, "without any Topic Filter")
ACCEPTS(accepts_bad_options, "Requested QoS byte", "Subscription Options 0x", "Maximum QoS 3",
        "Retain Handling is 3")

static bool breaks(const struct passing *passing, const char *statement)
{
    return !passing->readable && passing->mistake.statement &&
           strcmp(passing->mistake.statement, statement) == 0;
}

static void accept_identifier(struct link *link, struct passing *passing)
{
    if (breaks(passing, "MQTT-3.3.4-6"))
        accept_packet(link, passing);
}

FAULT_HOOKS(accepts_subscription_identifier, .client = accept_identifier)

static void accept_alias_0(struct link *link, struct passing *passing)
{
    if (breaks(passing, "MQTT-3.3.2-8"))
        accept_packet(link, passing);
}

FAULT_HOOKS(accepts_alias_0, .client = accept_alias_0)

static void accept_wrong_property(struct link *link, struct passing *passing)
{
    static const char *const signs[] = {"has no place in", "without an Authentication Method",
                                        NULL};
    if (!breaks(passing, "MQTT-3.3.4-6"))
        accept_if(link, passing, signs);
}

FAULT_HOOKS(accepts_wrong_property, .client = accept_wrong_property)

/* ---- Refusals without their return code ---- */

static void drop_refusal(struct link *link, struct passing *passing, uint8_t code)
{
    if (!is_5(link) && is(passing, CONNACK) && passing->packet.reason_code == code)
        drop(passing);
}

static void drop_level_refusal(struct link *link, struct passing *passing)
{
    drop_refusal(link, passing, 0x01);
}

FAULT_HOOKS(silent_about_protocol_level, .server = drop_level_refusal)

static void drop_id_refusal(struct link *link, struct passing *passing)
{
    drop_refusal(link, passing, 0x02);
}

FAULT_HOOKS(silent_about_empty_id, .server = drop_id_refusal)

/* ---- By what went before ---- */

static void accept_early(struct link *link, struct passing *passing)
{
    if (!link->connects && !is(passing, CONNECT))
        accept_packet(link, passing);
}

FAULT_HOOKS(accepts_packet_before_connect, .client = accept_early)

static void accept_second(struct link *link, struct passing *passing)
{
    if (link->connects < 1 || passing->bytes.data[0] >> 4 != CONNECT)
        return;
    if (passing->readable && link->connects == 1)
        return;
    drop(passing);
    link_to_client(link, &(struct packet){.type = CONNACK});
}

FAULT_HOOKS(accepts_second_connect, .client = accept_second)

/* The server believes from the start that the session lasts. */
static void prepare_raise(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    if (!is_5(link) || (!is(passing, CONNECT) && !is(passing, DISCONNECT)))
        return;
    uint32_t expiry_s = property_number(properties, SESSION_EXPIRY_INTERVAL, 0);
    if (is(passing, CONNECT) && link->connects == 1 && !expiry_s) {
        link->memory.flag = true;
        property_set(properties, SESSION_EXPIRY_INTERVAL, 3600);
        change(passing);
    }
    if (is(passing, DISCONNECT) && link->memory.flag && !expiry_s) {
        property_set(properties, SESSION_EXPIRY_INTERVAL, 0);
        change(passing);
    }
}

static void hide_raise(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNACK) || !link->memory.flag)
        return;
    property_remove(&passing->packet.properties, SESSION_EXPIRY_INTERVAL);
    change(passing);
}

FAULT_HOOKS(accepts_raised_expiry, .client = prepare_raise, .server = hide_raise)

static uint32_t announced(const struct link *link, enum property_id id, uint32_t absent)
{
    return property_number(&link->connack.properties, id, absent);
}

static void announce_less(struct link *link, struct passing *passing, enum property_id id,
                          uint32_t number)
{
    if (!is_5(link) || !is(passing, CONNACK) || passing->packet.reason_code)
        return;
    property_set(&passing->packet.properties, id, number);
    change(passing);
}

/* One alias less than there are is announced, so that the next one still does what it says. */
static void announce_fewer_aliases(struct link *link, struct passing *passing)
{
    uint32_t maximum = announced(link, TOPIC_ALIAS_MAXIMUM, 0);
    announce_less(link, passing, TOPIC_ALIAS_MAXIMUM, maximum > 1 ? maximum - 1 : maximum);
}

static void accept_high_alias(struct link *link, struct passing *passing)
{
    struct properties *properties = &passing->packet.properties;
    if (!is(passing, PUBLISH) ||
        property_number(properties, TOPIC_ALIAS, 0) <= announced(link, TOPIC_ALIAS_MAXIMUM, 0))
        return;
    if (!passing->packet.topic.size) {
        swallow_from_client(link, passing);
        return;
    }
    property_remove(properties, TOPIC_ALIAS);
    change(passing);
}

FAULT_HOOKS(accepts_alias_above_maximum, .client = accept_high_alias,
            .server = announce_fewer_aliases)

static void accept_unknown_alias(struct link *link, struct passing *passing)
{
    if (is(passing, PUBLISH) && !passing->packet.topic.size && !passing->topic.size)
        swallow_from_client(link, passing);
}

FAULT_HOOKS(accepts_unknown_alias, .client = accept_unknown_alias)

static void announce_small_quota(struct link *link, struct passing *passing)
{
    announce_less(link, passing, RECEIVE_MAXIMUM, 2);
}

FAULT_HOOKS(accepts_quota_excess, .server = announce_small_quota)

static void announce_small_size(struct link *link, struct passing *passing)
{
    announce_less(link, passing, MAXIMUM_PACKET_SIZE, 4096);
}

FAULT_HOOKS(accepts_oversize, .server = announce_small_size)

/* ---- Authentication ---- */

static void accept_auth(struct link *link, struct passing *passing)
{
    if (passing->bytes.data[0] >> 4 == AUTH && is_5(link) && !link_named_method(link))
        drop(passing);
}

FAULT_HOOKS(accepts_auth_without_method, .client = accept_auth)

static void forget_method(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNECT) || !is_5(link))
        return;
    property_remove(&passing->packet.properties, AUTHENTICATION_METHOD);
    property_remove(&passing->packet.properties, AUTHENTICATION_DATA);
    change(passing);
}

/* As if the method had been carried out. */
static void confirm_method(struct link *link, struct passing *passing)
{
    struct packet connect;
    if (!is_5(link) || !is(passing, CONNACK) || !link_connect(link, &connect))
        return;
    const struct property *method = property_find(&connect.properties, AUTHENTICATION_METHOD);
    if (!method)
        return;
    property_add_text(&passing->packet.properties, AUTHENTICATION_METHOD, method->text);
    change(passing);
}

FAULT_HOOKS(accepts_auth_method, .client = forget_method, .server = confirm_method)
