/* As much MQTT as a load generator needs: packets to send, built once, and the frames of a byte
 * stream, of which only the fixed header is read. Versions 4 (MQTT 3.1.1) and 5. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "base/bytes.h"

/* The first byte of a packet: its type, and the flags that the type demands. */
enum wire_type {
    WIRE_CONNECT = 0x10,
    WIRE_CONNACK = 0x20,
    WIRE_PUBLISH = 0x30,
    WIRE_PUBACK = 0x40,
    WIRE_PUBREC = 0x50,
    WIRE_PUBREL = 0x62,
    WIRE_PUBCOMP = 0x70,
    WIRE_SUBSCRIBE = 0x82,
    WIRE_SUBACK = 0x90,
    WIRE_PINGREQ = 0xc0,
    WIRE_PINGRESP = 0xd0,
    WIRE_DISCONNECT = 0xe0,
};

enum {
    WIRE_TYPE_MASK = 0xf0,
    WIRE_DUP = 0x08,
    WIRE_RETAIN = 0x01,
    WIRE_REFUSED = 0x80, /* reason codes from here on are failures */
    WIRE_ACK_SIZE = 4,
};

/* A packet in the stream. */
struct wire_frame {
    uint8_t first;       /* type and flags */
    size_t size;         /* of the whole packet */
    const uint8_t *body; /* behind the fixed header */
    const uint8_t *end;
};

/* False where the packet is not complete yet: `size` is then its size if that is known, else 0. */
static inline bool wire_next(const uint8_t *data, size_t size, struct wire_frame *out)
{
    size_t length = 0;
    unsigned at = 1;
    out->size = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        if (at >= size)
            return false;
        uint8_t byte = data[at++];
        length |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    out->first = data[0];
    out->body = data + at;
    out->size = at + length;
    out->end = data + out->size;
    return out->size <= size;
}

static inline unsigned wire_qos(uint8_t first)
{
    return first >> 1 & 3;
}

/* The packet identifier of a PUBLISH with QoS 1 or 2. */
static inline uint16_t wire_publish_id(const struct wire_frame *frame)
{
    return get_u16(frame->body + 2 + get_u16(frame->body));
}

struct wire_session {
    unsigned version;
    const char *client_id;
    bool clean_start;
    uint32_t expiry_s;        /* Session Expiry Interval; version 5 only */
    uint16_t receive_maximum; /* version 5 only */
    uint16_t keep_alive_s;
};

struct wire_message {
    unsigned version;
    unsigned qos;
    bool retain;
    const char *topic;
    size_t payload_size; /* filled with a pattern */
};

/* Each appends one packet; memory that runs out ends the program. */
void wire_connect(struct buffer *out, const struct wire_session *session);
/* And to so many `more` below the filter: "<filter>/<i>". */
void wire_subscribe(struct buffer *out, unsigned version, const char *filter, unsigned more,
                    unsigned qos);
void wire_publish(struct buffer *out, const struct wire_message *message);
void wire_ack(struct buffer *out, enum wire_type type, uint16_t id);
void wire_empty(struct buffer *out, enum wire_type type);

/* Where the packet identifier stands in what wire_publish() appends. */
size_t wire_publish_id_offset(const struct wire_message *message);

/* The reason code of a CONNACK, and the Receive Maximum it grants (65535 where it has none). */
uint8_t wire_connack(const struct wire_frame *frame, unsigned version, uint16_t *receive_maximum);

/* The reason code of PUBACK, PUBREC or PUBCOMP. */
static inline uint8_t wire_ack_reason(const struct wire_frame *frame)
{
    return frame->size > WIRE_ACK_SIZE ? frame->body[2] : 0;
}

#endif
