#include "conformance/wire/packet.h"

static void write_property(struct buffer *out, const struct property *property)
{
    buffer_varint(out, property->id);
    switch (property_type(property->id)) {
    case PROPERTY_BYTE:
        buffer_u8(out, property->number);
        break;
    case PROPERTY_TWO_BYTES:
        buffer_u16(out, property->number);
        break;
    case PROPERTY_FOUR_BYTES:
        buffer_u32(out, property->number);
        break;
    case PROPERTY_VARIABLE_BYTE_INTEGER:
        buffer_varint(out, property->number);
        break;
    case PROPERTY_STRING:
    case PROPERTY_BINARY:
        buffer_string(out, property->text);
        break;
    case PROPERTY_STRING_PAIR:
        buffer_string(out, property->text);
        buffer_string(out, property->value);
        break;
    case PROPERTY_UNKNOWN: /* whatever a test has put there */
        buffer_bytes(out, property->text.data, property->text.size);
        break;
    }
}

static void write_properties(struct buffer *out, enum version version,
                             const struct properties *properties)
{
    if (version != VERSION_5)
        return;
    struct buffer list = {0};
    for (unsigned i = 0; i < properties->count; i++)
        write_property(&list, &properties->list[i]);
    buffer_varint(out, (uint32_t)list.size);
    buffer_bytes(out, list.data, list.size);
    buffer_free(&list);
}

static void write_connect(struct buffer *out, enum version version, const struct packet *packet)
{
    unsigned flags = 0;
    if (packet->user_name.data)
        flags |= 0x80;
    if (packet->password.data)
        flags |= 0x40;
    if (packet->will_topic.data)
        flags |= (packet->will_retain ? 0x20u : 0) | (unsigned)packet->will_qos << 3 | 0x04;
    if (packet->clean_start)
        flags |= 0x02;

    buffer_string(out, packet->protocol_name.data ? packet->protocol_name : TEXT("MQTT"));
    buffer_u8(out, packet->protocol_level ? packet->protocol_level : (unsigned)version);
    buffer_u8(out, flags);
    buffer_u16(out, packet->keep_alive_s);
    if (!packet->omit_properties)
        write_properties(out, version, &packet->properties);
    buffer_string(out, packet->client_id);
    if (packet->will_topic.data) {
        write_properties(out, version, &packet->will_properties);
        buffer_string(out, packet->will_topic);
        buffer_string(out, packet->will_payload);
    }
    if (packet->user_name.data)
        buffer_string(out, packet->user_name);
    if (packet->password.data)
        buffer_string(out, packet->password);
}

static void write_connack(struct buffer *out, enum version version, const struct packet *packet)
{
    buffer_u8(out, packet->session_present);
    buffer_u8(out, packet->reason_code);
    if (!packet->omit_properties)
        write_properties(out, version, &packet->properties);
}

static void write_publish(struct buffer *out, enum version version, const struct packet *packet)
{
    buffer_string(out, packet->topic);
    if (packet->qos > 0 && !packet->omit_packet_id)
        buffer_u16(out, packet->packet_id);
    if (!packet->omit_properties)
        write_properties(out, version, &packet->properties);
    buffer_bytes(out, packet->payload.data, packet->payload.size);
}

/* PUBACK to PUBCOMP, and what follows the packet identifier is all of DISCONNECT and AUTH. */
static void write_reason(struct buffer *out, enum version version, const struct packet *packet)
{
    if (version != VERSION_5 || packet->omit_reason_code)
        return;
    buffer_u8(out, packet->reason_code);
    if (!packet->omit_properties)
        write_properties(out, version, &packet->properties);
}

static void write_packet_id(struct buffer *out, const struct packet *packet)
{
    if (!packet->omit_packet_id)
        buffer_u16(out, packet->packet_id);
}

static void write_list(struct buffer *out, enum version version, const struct packet *packet)
{
    write_packet_id(out, packet);
    if (!packet->omit_properties)
        write_properties(out, version, &packet->properties);
    for (unsigned i = 0; i < packet->filter_count; i++) {
        buffer_string(out, packet->filters[i].filter);
        if (packet->type == SUBSCRIBE)
            buffer_u8(out, packet->filters[i].options);
    }
    if (packet->type == SUBACK || (packet->type == UNSUBACK && version == VERSION_5))
        buffer_bytes(out, packet->reason_codes.data, packet->reason_codes.size);
}

static void write_body(struct buffer *out, enum version version, const struct packet *packet)
{
    switch (packet->type) {
    case CONNECT:
        write_connect(out, version, packet);
        break;
    case CONNACK:
        write_connack(out, version, packet);
        break;
    case PUBLISH:
        write_publish(out, version, packet);
        break;
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP:
        write_packet_id(out, packet);
        write_reason(out, version, packet);
        break;
    case SUBSCRIBE:
    case SUBACK:
    case UNSUBSCRIBE:
    case UNSUBACK:
        write_list(out, version, packet);
        break;
    case DISCONNECT:
    case AUTH:
        write_reason(out, version, packet);
        break;
    case PINGREQ:
    case PINGRESP:
        break;
    }
}

static unsigned flags_of(const struct packet *packet)
{
    if (packet->force_flags)
        return packet->forced_flags & 15u;
    if (packet->type == PUBLISH)
        return (packet->dup ? 8u : 0) | (packet->qos & 3u) << 1 | (packet->retain ? 1u : 0);
    return packet->type == PUBREL || packet->type == SUBSCRIBE || packet->type == UNSUBSCRIBE ? 2
                                                                                              : 0;
}

void packet_write(struct buffer *buffer, enum version version, const struct packet *packet)
{
    struct buffer body = {0};
    write_body(&body, version, packet);
    buffer_frame(buffer, (unsigned)packet->type << 4 | flags_of(packet), &body);
    buffer_free(&body);
}
