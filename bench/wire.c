#include "bench/wire.h"

#include <stdio.h>

#include "base/check.h"

enum {
    PROPERTY_SESSION_EXPIRY_INTERVAL = 0x11,
    PROPERTY_RECEIVE_MAXIMUM = 0x21,
    CONNECT_CLEAN_START = 0x02,
};

static uint8_t *grow(struct buffer *out, size_t size)
{
    CHECK(buffer_reserve(out, size) == STATUS_OK);
    uint8_t *place = out->data + out->size;
    out->size += size;
    return place;
}

static size_t length_size(size_t length)
{
    return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4;
}

static uint8_t *put_length(uint8_t *p, size_t length)
{
    while (length >= 0x80) {
        *p++ = (uint8_t)(length | 0x80);
        length >>= 7;
    }
    *p++ = (uint8_t)length;
    return p;
}

static uint8_t *put_text(uint8_t *p, const char *text)
{
    struct bytes bytes = bytes_of_text(text);
    return put_bytes(put_u16(p, (uint16_t)bytes.size), bytes);
}

/* Makes room for a packet with this Remaining Length; returns the place behind its header. */
static uint8_t *put_header(struct buffer *out, uint8_t first, size_t length)
{
    uint8_t *p = grow(out, 1 + length_size(length) + length);
    *p++ = first;
    return put_length(p, length);
}

void wire_connect(struct buffer *out, const struct wire_session *session)
{
    const uint8_t properties_size = 5 + 3;
    bool v5 = session->version >= 5;
    size_t length = 10 + (v5 ? 1 + properties_size : 0) + 2 + strlen(session->client_id);
    uint8_t *p = put_header(out, WIRE_CONNECT, length);
    p = put_text(p, "MQTT");
    *p++ = (uint8_t)session->version;
    *p++ = session->clean_start ? CONNECT_CLEAN_START : 0;
    p = put_u16(p, session->keep_alive_s);
    if (v5) {
        *p++ = properties_size;
        *p++ = PROPERTY_SESSION_EXPIRY_INTERVAL;
        p = put_u32(p, session->expiry_s);
        *p++ = PROPERTY_RECEIVE_MAXIMUM;
        p = put_u16(p, session->receive_maximum);
    }
    put_text(p, session->client_id);
}

void wire_subscribe(struct buffer *out, unsigned version, const char *filter, unsigned more,
                    unsigned qos)
{
    char below[128];
    bool v5 = version >= 5;
    size_t length = 2 + (v5 ? 1 : 0) + 2 + strlen(filter) + 1;
    for (unsigned i = 0; i < more; i++)
        length += 3 + (size_t)snprintf(below, sizeof below, "%s/%u", filter, i);
    uint8_t *p = put_header(out, WIRE_SUBSCRIBE, length);
    p = put_u16(p, 1);
    if (v5)
        *p++ = 0;
    p = put_text(p, filter);
    *p++ = (uint8_t)qos;
    for (unsigned i = 0; i < more; i++) {
        snprintf(below, sizeof below, "%s/%u", filter, i);
        p = put_text(p, below);
        *p++ = (uint8_t)qos;
    }
}

static size_t publish_length(const struct wire_message *message)
{
    return 2 + strlen(message->topic) + (message->qos > 0 ? 2 : 0) +
           (message->version >= 5 ? 1 : 0) + message->payload_size;
}

void wire_publish(struct buffer *out, const struct wire_message *message)
{
    uint8_t first = (uint8_t)(WIRE_PUBLISH | message->qos << 1);
    if (message->retain)
        first |= WIRE_RETAIN;
    uint8_t *p = put_header(out, first, publish_length(message));
    p = put_text(p, message->topic);
    if (message->qos > 0)
        p = put_u16(p, 1);
    if (message->version >= 5)
        *p++ = 0;
    for (size_t i = 0; i < message->payload_size; i++)
        p[i] = (uint8_t)('a' + i % 26);
}

size_t wire_publish_id_offset(const struct wire_message *message)
{
    return 1 + length_size(publish_length(message)) + 2 + strlen(message->topic);
}

void wire_ack(struct buffer *out, enum wire_type type, uint16_t id)
{
    uint8_t *p = grow(out, WIRE_ACK_SIZE);
    *p++ = (uint8_t)type;
    *p++ = 2;
    put_u16(p, id);
}

void wire_empty(struct buffer *out, enum wire_type type)
{
    uint8_t *p = grow(out, 2);
    p[0] = (uint8_t)type;
    p[1] = 0;
}

/* The size of the property's value at `p`, or 0 if it is not one of CONNACK's. */
static size_t connack_property_size(uint8_t id, const uint8_t *p, size_t left)
{
    switch (id) {
    case 0x24: /* Maximum QoS */
    case 0x25: /* Retain Available */
    case 0x28: /* Wildcard Subscription Available */
    case 0x29: /* Subscription Identifier Available */
    case 0x2a: /* Shared Subscription Available */
        return 1;
    case 0x13: /* Server Keep Alive */
    case PROPERTY_RECEIVE_MAXIMUM:
    case 0x22: /* Topic Alias Maximum */
        return 2;
    case PROPERTY_SESSION_EXPIRY_INTERVAL:
    case 0x27: /* Maximum Packet Size */
        return 4;
    case 0x12: /* Assigned Client Identifier */
    case 0x15: /* Authentication Method */
    case 0x16: /* Authentication Data */
    case 0x1a: /* Response Information */
    case 0x1c: /* Server Reference */
    case 0x1f: /* Reason String */
        return left < 2 ? 0 : 2 + get_u16(p);
    default:
        return 0;
    }
}

uint8_t wire_connack(const struct wire_frame *frame, unsigned version, uint16_t *receive_maximum)
{
    const uint8_t *end = frame->end;
    *receive_maximum = 65535;
    if (end - frame->body < 2)
        return WIRE_REFUSED;
    const uint8_t *p = frame->body + 2;
    if (version >= 5 && p < end) {
        p += *p < 0x80 ? 1 : 2; /* the properties reach to the packet's end */
        while (p < end) {
            uint8_t id = *p++;
            size_t size = connack_property_size(id, p, (size_t)(end - p));
            if (size == 0 || size > (size_t)(end - p))
                break;
            if (id == PROPERTY_RECEIVE_MAXIMUM)
                *receive_maximum = get_u16(p);
            p += size;
        }
    }
    return frame->body[1];
}
