#include "protocol/packet.h"

#include "base/check.h"
#include "protocol/decoder.h"

const char *packet_type_name(enum packet_type type)
{
    static const char *const names[] = {
        "reserved", "CONNECT",  "CONNACK",    "PUBLISH", "PUBACK",      "PUBREC",
        "PUBREL",   "PUBCOMP",  "SUBSCRIBE",  "SUBACK",  "UNSUBSCRIBE", "UNSUBACK",
        "PINGREQ",  "PINGRESP", "DISCONNECT", "AUTH",
    };

    return (unsigned)type <= PACKET_AUTH ? names[type] : names[0];
}

/* What the fixed header says is wrong in this version and direction. */
static enum rule fixed_header_rule(uint8_t first_byte, bool as_server, enum mqtt_version version)
{
    enum rule rule = frame_first_byte_rule(first_byte, as_server, version == MQTT_VERSION_31);

    if (version == MQTT_VERSION_5 || rule == RULE_RESERVED_PACKET_TYPE)
        return rule;
    if (first_byte >> 4 == PACKET_AUTH)
        return RULE_AUTH_BEFORE_V5;
    if (rule == RULE_NONE && first_byte >> 4 == PACKET_DISCONNECT && !as_server)
        return RULE_WRONG_DIRECTION; /* 3.1.1 Table 2.1 */
    return rule;
}

/* PINGREQ and PINGRESP are a fixed header (sections 3.12 and 3.13). */
static bool ping_decode(const struct decoder *decoder)
{
    return decoder->body == decoder->end ||
           decoder_refuse(decoder, RULE_TRAILING_BYTES, decoder->body);
}

static bool body_decode(struct decoder *decoder, struct packet *out)
{
    switch (out->type) {
    case PACKET_CONNECT:
        return connect_decode(decoder, &out->connect);
    case PACKET_CONNACK:
        return connack_decode(decoder, &out->connack);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return acknowledgement_decode(decoder, out->type, &out->acknowledgement);
    case PACKET_SUBSCRIBE:
        return subscribe_decode(decoder, &out->subscribe);
    case PACKET_SUBACK:
        return suback_decode(decoder, &out->suback);
    case PACKET_UNSUBSCRIBE:
        return unsubscribe_decode(decoder, &out->unsubscribe);
    case PACKET_UNSUBACK:
        return unsuback_decode(decoder, &out->unsuback);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return ping_decode(decoder);
    case PACKET_DISCONNECT:
        return disconnect_decode(decoder, &out->disconnect);
    case PACKET_AUTH:
        return auth_decode(decoder, &out->auth);
    case PACKET_PUBLISH:
        break;
    }
    CHECK(false); /* PUBLISH has been dealt with, 0 refused */
}

bool packet_decode(enum mqtt_version version, bool as_server, const uint8_t *frame, size_t size,
                   size_t header_size, struct packet *out, struct refusal *out_refusal)
{
    CHECK(header_size >= 2 && size >= header_size);

    out->type = frame[0] >> 4;
    if (out->type == PACKET_PUBLISH)
        return publish_decode(version, as_server, frame, size, header_size, &out->publish,
                              out_refusal);

    struct decoder decoder = {
        .frame = frame,
        .body = frame + header_size,
        .end = frame + size,
        .version = out->type == PACKET_CONNECT ? MQTT_VERSION_5 : version,
        .as_server = as_server,
        .refusal = out_refusal,
    };
    enum rule rule = fixed_header_rule(frame[0], as_server, decoder.version);

    if (rule != RULE_NONE) {
        if (out->type == PACKET_CONNECT)
            out->connect.version = MQTT_VERSION_5;
        return decoder_refuse(&decoder, rule, frame);
    }
    return body_decode(&decoder, out);
}
