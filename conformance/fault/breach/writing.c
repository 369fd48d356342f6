/* Faults of how a server writes: strings, headers, identifiers, codes. */
#include "conformance/fault/fault.h"
#include "conformance/fault/session.h"

#include <string.h>

/* ---- Strings ---- */

static bool strip(struct text *text)
{
    uint8_t *copy = proxy_scratch(text->size + 1);
    size_t size = 0;
    for (size_t i = 0; i < text->size; i++) {
        if (i + 3 <= text->size && memcmp(text->data + i, "\xEF\xBB\xBF", 3) == 0)
            i += 2;
        else
            copy[size++] = text->data[i];
    }
    if (size == text->size)
        return false;
    *text = (struct text){copy, size};
    return true;
}

static void strip_bom(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH))
        return;
    struct properties *properties = &passing->packet.properties;
    bool changed = strip(&passing->packet.topic);
    for (unsigned i = 0; i < properties->count; i++) {
        enum property_type type = property_type(properties->list[i].id);
        if (type != PROPERTY_STRING && type != PROPERTY_STRING_PAIR)
            continue;
        changed |= strip(&properties->list[i].text);
        changed |= strip(&properties->list[i].value);
    }
    if (changed)
        change(passing);
}

static void strip_bom_of_requests(struct link *link, struct passing *passing)
{
    bool changed = false;
    if (is(passing, CONNECT)) {
        changed |= strip(&passing->packet.client_id);
        changed |= strip(&passing->packet.will_topic);
    }
    for (unsigned i = 0; i < passing->packet.filter_count; i++)
        changed |= strip(&passing->packet.filters[i].filter);
    if (changed)
        change(passing);
    strip_bom(link, passing);
}

FAULT_HOOKS(strips_bom, .client = strip_bom_of_requests, .server = strip_bom)

/* ---- Headers ---- */

static void lengthen_varint(struct link *link, struct passing *passing)
{
    struct text bytes = passing->bytes;
    if (bytes.size < 2 || bytes.data[1] & 0x80)
        return;
    const uint8_t header[] = {bytes.data[0], bytes.data[1] | 0x80, 0};
    link_to_client_bytes(link, header, sizeof header);
    link_to_client_bytes(link, bytes.data + 2, bytes.size - 2);
    drop(passing);
}

FAULT_HOOKS(sends_long_varint, .server = lengthen_varint)

static void send_changed_byte(struct link *link, struct passing *passing, size_t at, uint8_t byte)
{
    struct text copy = proxy_scratch_text(passing->bytes);
    if (at >= copy.size)
        return;
    ((uint8_t *)copy.data)[at] = byte;
    link_to_client_bytes(link, copy.data, copy.size);
    drop(passing);
}

static void set_reserved_flags(struct link *link, struct passing *passing)
{
    if (is(passing, PUBREL) || is(passing, PINGRESP))
        send_changed_byte(link, passing, 0, passing->bytes.data[0] ^ 0x02);
}

FAULT_HOOKS(sends_reserved_flags, .server = set_reserved_flags)

static void set_reserved_connack_flags(struct link *link, struct passing *passing)
{
    if (is(passing, CONNACK) && passing->bytes.data[1] < 0x80)
        send_changed_byte(link, passing, 2, passing->bytes.data[2] | 0x02);
}

FAULT_HOOKS(connack_reserved_flags, .server = set_reserved_connack_flags)

static void omit_property_length(struct link *link, struct passing *passing)
{
    if (!is_5(link) || (!is(passing, CONNACK) && !is(passing, SUBACK)))
        return;
    passing->packet.properties.count = 0;
    passing->packet.omit_properties = true;
    change(passing);
}

FAULT_HOOKS(omits_property_length, .server = omit_property_length)

/* ---- Packet Identifiers ---- */

static void zero_packet_id(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->packet.qos)
        return;
    passing->packet.packet_id = 0;
    change(passing);
}

FAULT_HOOKS(sends_zero_packet_id, .server = zero_packet_id)

static void reuse_packet_id(struct link *link, struct passing *passing)
{
    if (!is(passing, PUBLISH) || !passing->packet.qos || !link->session)
        return;
    const struct exchange *first = link->session->exchanges;
    if (!first || first->packet_id == passing->packet.packet_id)
        return;
    passing->packet.packet_id = first->packet_id;
    change(passing);
}

FAULT_HOOKS(reuses_packet_id, .server = reuse_packet_id)

static void add_packet_id(struct link *link, struct passing *passing)
{
    struct packet *publish = &passing->packet;
    if (!is(passing, PUBLISH) || publish->qos)
        return;
    struct buffer body = {0}, bytes = {0}, rest = {0};
    buffer_string(&body, publish->topic);
    buffer_u16(&body, 1);
    packet_write(&rest, link->version, publish);
    size_t header = 1;
    while (rest.data[header] & 0x80)
        header++;
    header += 1 + 2 + publish->topic.size;
    buffer_bytes(&body, rest.data + header, rest.size - header);
    buffer_frame(&bytes, passing->bytes.data[0], &body);
    link_to_client_bytes(link, bytes.data, bytes.size);
    buffer_free(&body);
    buffer_free(&bytes);
    buffer_free(&rest);
    drop(passing);
}

FAULT_HOOKS(sends_packet_id_at_qos_0, .server = add_packet_id)

static void shift_id(struct passing *passing)
{
    uint16_t id = passing->packet.packet_id;
    passing->packet.packet_id = id == UINT16_MAX ? 1 : id + 1;
    change(passing);
}

static void shift_acknowledgement_id(struct link *link, struct passing *passing)
{
    if (is(passing, PUBACK) || is(passing, PUBREC) || is(passing, PUBCOMP))
        shift_id(passing);
}

FAULT_HOOKS(wrong_acknowledgement_id, .server = shift_acknowledgement_id)

static void shift_suback_id(struct link *link, struct passing *passing)
{
    if (is(passing, SUBACK) || is(passing, UNSUBACK))
        shift_id(passing);
}

FAULT_HOOKS(wrong_suback_id, .server = shift_suback_id)

static void shift_pubrel_id(struct link *link, struct passing *passing)
{
    if (is(passing, PUBREL))
        shift_id(passing);
}

FAULT_HOOKS(wrong_pubrel_id, .server = shift_pubrel_id)

/* ---- Codes and properties ---- */

static void undefine_acknowledgement(struct link *link, struct passing *passing)
{
    enum packet_type type = passing->packet.type;
    if (!passing->readable || !is_5(link) || type < PUBACK || type > PUBCOMP)
        return;
    passing->packet.reason_code = 0x03;
    change(passing);
}

FAULT_HOOKS(undefined_reason_code, .server = undefine_acknowledgement)

static void undefine_connack(struct link *link, struct passing *passing)
{
    if (!is(passing, CONNACK))
        return;
    passing->packet.reason_code = 0x06;
    passing->packet.session_present = false;
    change(passing);
}

FAULT_HOOKS(undefined_connack_code, .server = undefine_connack)

static void add_unsuitable_property(struct link *link, struct passing *passing)
{
    enum packet_type type = passing->packet.type;
    if (!passing->readable || !is_5(link) || type == PINGRESP)
        return;
    property_add(&passing->packet.properties, WILL_DELAY_INTERVAL, 1);
    change(passing);
}

FAULT_HOOKS(unsuitable_property, .server = add_unsuitable_property)
