/* What the packet grammars share: the frame being decoded, and how it is refused. Internal to
 * protocol/. */
#ifndef PROTOCOL_DECODER_H
#define PROTOCOL_DECODER_H

#include "protocol/packet.h"

enum rule {
    RULE_NONE,
#define RULE(constant, reason, v5, v3, what) RULE_##constant,
#include "protocol/rule.def"
};

/* Fills `out` with what rule.def says. */
void rule_refusal(enum rule rule, enum mqtt_version version, uint32_t offset, struct refusal *out);

struct decoder {
    const uint8_t *frame;
    const uint8_t *body; /* behind the fixed header */
    const uint8_t *end;
    enum mqtt_version version;
    bool as_server;
    struct refusal *refusal;
};

/* Always false, for `return decoder_refuse(...)`. */
bool decoder_refuse(const struct decoder *decoder, enum rule rule, const uint8_t *at);

/* The bytes that `length`, ending at `*p`, announces. False when they pass `end`. */
static inline bool decoder_field(const uint8_t *p, const uint8_t *end, size_t length,
                                 struct bytes *out)
{
    *out = bytes_of(p + 1, length);
    return (size_t)(end - p) - 1 >= length;
}

/* Is the field a UTF-8 Encoded String [MQTT-1.5.4-1] [MQTT-1.5.4-2]? If not, it breaks `rule`. */
bool decoder_text(const struct decoder *decoder, struct bytes field, enum rule rule);

/* Is it a Topic Name [MQTT-4.7.0-1] [MQTT-4.7.3-1]? */
bool decoder_topic_name(const struct decoder *decoder, struct bytes field, enum rule utf8,
                        enum rule wildcard, enum rule empty);

/* Reads `length` bytes of properties behind `p`, the last byte of the Property Length. `place` is a
 * packet type or PROPERTY_PLACE_WILL. */
bool decoder_properties(const struct decoder *decoder, const uint8_t *p, size_t length,
                        unsigned place, struct properties *out);

/* properties.rl */
bool properties_decode(const struct decoder *decoder, struct bytes raw, unsigned place,
                       struct properties *out);

static inline void properties_clear(struct properties *out, const uint8_t *at)
{
    out->present = 0;
    out->raw = bytes_of(at, 0);
}

/* RULE_NONE when the first byte of a fixed header is one that this side may receive; `mqtt_31`:
 * where MQTT 3.1 is spoken. frame.rl */
enum rule frame_first_byte_rule(uint8_t byte, bool as_server, bool mqtt_31);

bool connect_decode(struct decoder *decoder, struct connect *out);
bool connack_decode(const struct decoder *decoder, struct connack *out);
bool acknowledgement_decode(const struct decoder *decoder, enum packet_type type,
                            struct acknowledgement *out);
bool subscribe_decode(const struct decoder *decoder, struct subscribe *out);
bool suback_decode(const struct decoder *decoder, struct suback *out);
bool unsubscribe_decode(const struct decoder *decoder, struct unsubscribe *out);
bool unsuback_decode(const struct decoder *decoder, struct suback *out);
bool disconnect_decode(const struct decoder *decoder, struct disconnect *out);
bool auth_decode(const struct decoder *decoder, struct auth *out);

#endif
