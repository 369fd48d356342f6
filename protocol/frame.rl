/* The fixed header, byte by byte across any split of the stream (5.0 section 2.1). */
#include "protocol/grammar.h"

%%{
    machine first_byte;
    alphtype unsigned char;

    action wrong_for_server { if (as_server) *out_rule = RULE_WRONG_DIRECTION; }
    action wrong_for_client { if (!as_server) *out_rule = RULE_WRONG_DIRECTION; }

    from_client = 0x10    # CONNECT
                | 0x82    # SUBSCRIBE [MQTT-3.8.1-1]
                | 0xA2    # UNSUBSCRIBE [MQTT-3.10.1-1]
                | 0xC0;   # PINGREQ

    from_server = 0x20    # CONNACK
                | 0x90    # SUBACK
                | 0xB0    # UNSUBACK
                | 0xD0;   # PINGRESP

    both = 0x30..0x35 | 0x3A..0x3D  # PUBLISH: no QoS 3 [MQTT-3.3.1-4], no DUP at QoS 0 [MQTT-3.3.1-2]
         | 0x40 | 0x50              # PUBACK, PUBREC
         | 0x62                     # PUBREL [MQTT-3.6.1-1]
         | 0x70                     # PUBCOMP
         | 0xE0                     # DISCONNECT [MQTT-3.14.1-1]
         | 0xF0;                    # AUTH [MQTT-3.15.1-1]

    # Flags that Table 2-2 does not list [MQTT-2.1.3-1].
    action reserved_type { *out_rule = RULE_RESERVED_PACKET_TYPE; }
    action flags         { *out_rule = RULE_FIXED_HEADER_FLAGS; }
    action publish_qos_3 { *out_rule = RULE_PUBLISH_QOS_3; }
    action publish_dup   { *out_rule = RULE_PUBLISH_DUP_QOS_0; }
    action pubrel        { *out_rule = RULE_PUBREL_FLAGS; }
    action subscribe     { *out_rule = RULE_SUBSCRIBE_FLAGS; }
    action unsubscribe   { *out_rule = RULE_UNSUBSCRIBE_FLAGS; }
    action disconnect    { *out_rule = RULE_DISCONNECT_FLAGS; }
    action auth          { *out_rule = RULE_AUTH_FLAGS; }

    flags = 0x11..0x1F | 0x21..0x2F | 0x41..0x4F | 0x51..0x5F | 0x71..0x7F | 0x91..0x9F
          | 0xB1..0xBF | 0xC1..0xCF | 0xD1..0xDF;

    main := from_client @wrong_for_client
          | from_server @wrong_for_server
          | both
          | 0x00..0x0F @reserved_type
          | flags @flags
          | (0x36..0x37 | 0x3E..0x3F) @publish_qos_3
          | 0x38..0x39 @publish_dup
          | (0x60..0x6F - 0x62) @pubrel
          | (0x80..0x8F - 0x82) @subscribe
          | (0xA0..0xAF - 0xA2) @unsubscribe
          | 0xE1..0xEF @disconnect
          | 0xF1..0xFF @auth;

    write data nofinal noerror;
}%%

/* What has QoS 1 in MQTT 3.1 is sent again with DUP (MQTT 3.1 sections 2.1, 3.6, 3.8 and 3.10). */
static uint8_t without_dup(uint8_t byte)
{
    bool repeated = byte == 0x6a || byte == 0x8a || byte == 0xaa;
    return repeated ? byte & 0xf7 : byte;
}

enum rule frame_first_byte_rule(uint8_t byte, bool as_server, bool mqtt_31)
{
    if (mqtt_31)
        byte = without_dup(byte);
    const uint8_t *p = &byte, *pe = p + 1;
    enum rule rule = RULE_NONE, *out_rule = &rule;
    int cs;

    %% write init;
    %% write exec;
    return rule;
}

%%{
    machine frame;
    alphtype unsigned char;

    action first {
        rule = frame_first_byte_rule(*p, as_server, parser->mqtt_31);
        if (rule != RULE_NONE)
            goto refused;
        parser->type = *p >> 4;
        parser->flags = *p & 0x0f;
    }
    action varint_byte {
        parser->remaining_length |= (uint32_t)(*p & 0x7f)
                                    << 7 * (parser->header_size + (p - data) - 1);
    }
    action complete { complete = true; fbreak; }

    include varint "varint.rlh";

    main := any @first varint @complete;

    write data nofinal;
}%%

enum frame_result frame_parser_feed(struct frame_parser *parser, bool as_server, const uint8_t *data,
                                    size_t size, size_t *out_consumed, struct refusal *out_refusal)
{
    const uint8_t *p = data, *pe = size > 0 ? data + size : data;
    /* The parser keeps 0 for Ragel's start state, so that all zero is the start of a packet. */
    int cs = parser->state ^ frame_start;
    enum rule rule = RULE_NONE;
    bool complete = false;

    %% write exec;
    if (cs == frame_error) {
        rule = *p == 0 ? RULE_VARINT_NOT_MINIMAL : RULE_VARINT_TOO_LONG;
        goto refused;
    }

    *out_consumed = (size_t)(p - data);
    parser->header_size = (parser->header_size + (unsigned)(p - data)) & 0x7f;
    parser->state = (uint8_t)(cs ^ frame_start);
    return complete ? FRAME_HEADER : FRAME_MORE;

refused:
    *out_consumed = (size_t)(p - data);
    rule_refusal(rule, MQTT_VERSION_5, parser->header_size + (uint32_t)(p - data), out_refusal);
    return FRAME_REFUSED;
}
