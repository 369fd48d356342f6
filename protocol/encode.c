/* The one encoder: fifteen packets, three versions.
 *
 * A packet is written twice by the same code: first to nowhere, for its size, then to `out`. So no
 * size is ever computed apart from the bytes it is the size of. */
#include "base/check.h"
#include "protocol/packet.h"
#include "protocol/property.h"

#define REMAINING_LENGTH_MAX 268435455u /* section 2.1.4 */

struct writer {
    uint8_t *out; /* NULL: count only */
    size_t size;
};

static void write_u8(struct writer *writer, uint8_t value)
{
    if (writer->out != NULL)
        writer->out[writer->size] = value;
    writer->size++;
}

static void write_u16(struct writer *writer, uint16_t value)
{
    if (writer->out != NULL)
        put_u16(writer->out + writer->size, value);
    writer->size += 2;
}

static void write_u32(struct writer *writer, uint32_t value)
{
    if (writer->out != NULL)
        put_u32(writer->out + writer->size, value);
    writer->size += 4;
}

static void write_bytes(struct writer *writer, struct bytes bytes)
{
    if (writer->out != NULL)
        put_bytes(writer->out + writer->size, bytes);
    writer->size += bytes.size;
}

/* A UTF-8 Encoded String or Binary Data. */
static void write_field(struct writer *writer, struct bytes bytes)
{
    CHECK(bytes.size <= UINT16_MAX);
    write_u16(writer, (uint16_t)bytes.size);
    write_bytes(writer, bytes);
}

static size_t varint_size(size_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

static uint8_t *put_varint(uint8_t *p, size_t value)
{
    while (value >= 128) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

static void write_varint(struct writer *writer, size_t value)
{
    if (writer->out != NULL)
        put_varint(writer->out + writer->size, value);
    writer->size += varint_size(value);
}

/* ---- Properties ---- */

static void property_write(struct writer *writer, const struct property_row *row, const void *field)
{
    write_u8(writer, row->identifier);
    switch ((enum wire_type)row->wire_type) {
    case WIRE_BYTE:
        write_u8(writer, *(const uint8_t *)field);
        break;
    case WIRE_TWO_BYTE_INTEGER:
        write_u16(writer, *(const uint16_t *)field);
        break;
    case WIRE_FOUR_BYTE_INTEGER:
        write_u32(writer, *(const uint32_t *)field);
        break;
    case WIRE_VARIABLE_BYTE_INTEGER:
        write_varint(writer, *(const uint32_t *)field);
        break;
    case WIRE_BINARY_DATA:
    case WIRE_UTF8_STRING:
        write_field(writer, *(const struct bytes *)field);
        break;
    case WIRE_UTF8_STRING_PAIR:
        CHECK(false);
    }
}

static void properties_write_all(struct writer *writer, const struct properties *properties)
{
    uint32_t left = properties->present & ~(1u << PROPERTY_USER_PROPERTY);

    for (; left != 0; left &= left - 1) {
        const struct property_row *row = &property_table[__builtin_ctz(left)];
        property_write(writer, row, (const char *)properties + row->field);
    }
    if (properties_has(properties, PROPERTY_USER_PROPERTY))
        write_bytes(writer, properties->user_properties);
}

static size_t properties_size(const struct properties *properties)
{
    struct writer counter = {0};

    properties_write_all(&counter, properties);
    return counter.size;
}

/* With their Property Length, 0 where there are none [MQTT-2.2.2-1]; 3.x does not have it. */
static void properties_write(struct writer *writer, enum mqtt_version version,
                             const struct properties *properties)
{
    if (version != MQTT_VERSION_5)
        return;
    write_varint(writer, properties_size(properties));
    properties_write_all(writer, properties);
}

/* A Reason Code and properties, as short as the specification lets them be. */
static void reason_write(struct writer *writer, enum mqtt_version version, uint8_t reason_code,
                         const struct properties *properties)
{
    bool has_properties = properties->present != 0;

    if (version != MQTT_VERSION_5 || (reason_code == 0 && !has_properties))
        return;
    write_u8(writer, reason_code);
    if (has_properties)
        properties_write(writer, version, properties);
}

/* ---- Packets ---- */

static uint8_t connect_flags(const struct connect *connect)
{
    unsigned flags = (unsigned)connect->clean_start << 1 | (unsigned)connect->has_password << 6 |
                     (unsigned)connect->has_user_name << 7;

    if (connect->has_will)
        flags |= 1u << 2 | (unsigned)connect->will.qos << 3 | (unsigned)connect->will.retain << 5;
    return (uint8_t)flags;
}

static void connect_write(struct writer *writer, enum mqtt_version version,
                          const struct connect *connect)
{
    write_field(writer, bytes_of_text(version == MQTT_VERSION_31 ? "MQIsdp" : "MQTT"));
    write_u8(writer, (uint8_t)version);
    write_u8(writer, connect_flags(connect));
    write_u16(writer, connect->keep_alive_s);
    properties_write(writer, version, &connect->properties);
    write_field(writer, connect->client_identifier);
    if (connect->has_will) {
        properties_write(writer, version, &connect->will.properties);
        write_field(writer, connect->will.topic);
        write_field(writer, connect->will.payload);
    }
    if (connect->has_user_name)
        write_field(writer, connect->user_name);
    if (connect->has_password)
        write_field(writer, connect->password);
}

static void connack_write(struct writer *writer, enum mqtt_version version,
                          const struct connack *connack)
{
    /* In 3.1 the first byte is reserved. */
    write_u8(writer, version != MQTT_VERSION_31 && connack->session_present);
    write_u8(writer, connack->reason_code);
    properties_write(writer, version, &connack->properties);
}

static void publish_write(struct writer *writer, enum mqtt_version version,
                          const struct publish *publish)
{
    write_field(writer, publish->topic_name);
    if (publish->qos > 0)
        write_u16(writer, publish->packet_identifier);
    properties_write(writer, version, &publish->properties);
    write_bytes(writer, publish->payload);
}

static void suback_write(struct writer *writer, enum mqtt_version version,
                         const struct suback *suback)
{
    write_u16(writer, suback->packet_identifier);
    properties_write(writer, version, &suback->properties);
    if (version == MQTT_VERSION_5) {
        write_bytes(writer, suback->reason_codes);
        return;
    }
    for (size_t i = 0; i < suback->reason_codes.size; i++) {
        uint8_t code = suback->reason_codes.data[i];
        write_u8(writer, code < 0x80 ? code : 0x80); /* 3.1.1 has the one [MQTT-3.9.3-2] */
    }
}

static void unsuback_write(struct writer *writer, enum mqtt_version version,
                           const struct suback *unsuback)
{
    write_u16(writer, unsuback->packet_identifier);
    properties_write(writer, version, &unsuback->properties);
    if (version == MQTT_VERSION_5)
        write_bytes(writer, unsuback->reason_codes);
}

/* SUBSCRIBE and UNSUBSCRIBE */
static void request_write(struct writer *writer, enum mqtt_version version,
                          uint16_t packet_identifier, const struct properties *properties,
                          struct bytes payload)
{
    write_u16(writer, packet_identifier);
    properties_write(writer, version, properties);
    write_bytes(writer, payload);
}

static void body_write(struct writer *writer, enum mqtt_version version,
                       const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_CONNECT:
        connect_write(writer, version, &packet->connect);
        break;
    case PACKET_CONNACK:
        connack_write(writer, version, &packet->connack);
        break;
    case PACKET_PUBLISH:
        publish_write(writer, version, &packet->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        write_u16(writer, packet->acknowledgement.packet_identifier);
        reason_write(writer, version, packet->acknowledgement.reason_code,
                     &packet->acknowledgement.properties);
        break;
    case PACKET_SUBSCRIBE:
        request_write(writer, version, packet->subscribe.packet_identifier,
                      &packet->subscribe.properties, packet->subscribe.payload);
        break;
    case PACKET_SUBACK:
        suback_write(writer, version, &packet->suback);
        break;
    case PACKET_UNSUBSCRIBE:
        request_write(writer, version, packet->unsubscribe.packet_identifier,
                      &packet->unsubscribe.properties, packet->unsubscribe.payload);
        break;
    case PACKET_UNSUBACK:
        unsuback_write(writer, version, &packet->unsuback);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        break;
    case PACKET_DISCONNECT:
        reason_write(writer, version, packet->disconnect.reason_code,
                     &packet->disconnect.properties);
        break;
    case PACKET_AUTH:
        CHECK(version == MQTT_VERSION_5);
        reason_write(writer, version, packet->auth.reason_code, &packet->auth.properties);
        break;
    }
}

static uint8_t publish_first_byte(bool dup, uint8_t qos, bool retain)
{
    return (uint8_t)(PACKET_PUBLISH << 4 | (unsigned)dup << 3 | (unsigned)qos << 1 |
                     (unsigned)retain);
}

static uint8_t first_byte(const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_PUBLISH:
        return publish_first_byte(packet->publish.dup, packet->publish.qos, packet->publish.retain);
    case PACKET_PUBREL:
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        /* [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] */
        return (uint8_t)(packet->type << 4 | 0x02);
    default:
        return (uint8_t)(packet->type << 4);
    }
}

/* Nine packets in ten are these four bytes. */
static size_t short_acknowledgement_encode(const struct packet *packet, uint8_t *out,
                                           size_t capacity)
{
    if (capacity >= 4) {
        out[0] = first_byte(packet);
        out[1] = 2;
        put_u16(out + 2, packet->acknowledgement.packet_identifier);
    }
    return 4;
}

static bool is_short_acknowledgement(enum mqtt_version version, const struct packet *packet)
{
    return packet->type >= PACKET_PUBACK && packet->type <= PACKET_PUBCOMP &&
           (version != MQTT_VERSION_5 || (packet->acknowledgement.reason_code == 0 &&
                                          packet->acknowledgement.properties.present == 0));
}

size_t packet_encode(enum mqtt_version version, const struct packet *packet, uint8_t *out,
                     size_t capacity)
{
    struct writer counter = {0};

    if (is_short_acknowledgement(version, packet))
        return short_acknowledgement_encode(packet, out, capacity);

    body_write(&counter, version, packet);
    if (counter.size > REMAINING_LENGTH_MAX)
        return SIZE_MAX;

    size_t size = 1 + varint_size(counter.size) + counter.size;
    if (size <= capacity) {
        struct writer writer = {.out = out};
        write_u8(&writer, first_byte(packet));
        write_varint(&writer, counter.size);
        body_write(&writer, version, packet);
        CHECK(writer.size == size);
    }
    return size;
}

/* ---- A PUBLISH without its payload: the hot path of fan-out ---- */

static size_t head_properties_size(const struct publish_head *head)
{
    size_t size = head->properties.size;

    if (head->topic_alias != 0)
        size += 3;
    if (head->has_message_expiry_interval)
        size += 5;
    for (uint32_t i = 0; i < head->subscription_identifier_count; i++)
        size += 1 + varint_size(head->subscription_identifiers[i]);
    return size;
}

static uint8_t *put_head_properties(uint8_t *p, const struct publish_head *head, size_t size)
{
    p = put_varint(p, size);
    if (head->topic_alias != 0) {
        *p++ = property_table[PROPERTY_TOPIC_ALIAS].identifier;
        p = put_u16(p, head->topic_alias);
    }
    if (head->has_message_expiry_interval) {
        *p++ = property_table[PROPERTY_MESSAGE_EXPIRY_INTERVAL].identifier;
        p = put_u32(p, head->message_expiry_interval_s);
    }
    for (uint32_t i = 0; i < head->subscription_identifier_count; i++) {
        *p++ = property_table[PROPERTY_SUBSCRIPTION_IDENTIFIER].identifier;
        p = put_varint(p, head->subscription_identifiers[i]);
    }
    return put_bytes(p, head->properties);
}

size_t publish_head_encode(enum mqtt_version version, const struct publish_head *head, uint8_t *out,
                           size_t capacity, size_t *out_packet_size)
{
    CHECK(head->topic_name.size <= UINT16_MAX);
    size_t properties = version == MQTT_VERSION_5 ? head_properties_size(head) : 0;
    size_t body = 2 + head->topic_name.size + (head->qos > 0 ? 2 : 0) +
                  (version == MQTT_VERSION_5 ? varint_size(properties) + properties : 0);

    *out_packet_size = SIZE_MAX;
    if (body > REMAINING_LENGTH_MAX || head->payload_size > REMAINING_LENGTH_MAX - body)
        return SIZE_MAX;

    size_t remaining_length = body + head->payload_size;
    size_t size = 1 + varint_size(remaining_length) + body;
    *out_packet_size = size + head->payload_size;
    if (size > capacity)
        return size;

    uint8_t *p = out;
    *p++ = publish_first_byte(head->dup, head->qos, head->retain);
    p = put_varint(p, remaining_length);
    p = put_u16(p, (uint16_t)head->topic_name.size);
    p = put_bytes(p, head->topic_name);
    if (head->qos > 0)
        p = put_u16(p, head->packet_identifier);
    if (version == MQTT_VERSION_5)
        p = put_head_properties(p, head, properties);
    CHECK((size_t)(p - out) == size);
    return size;
}
