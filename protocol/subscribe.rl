/* SUBSCRIBE (5.0 section 3.8). */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_TRUNCATED
#define OVERRUN RULE_FIELD_TOO_LONG
#define PLACE PACKET_SUBSCRIBE
#define PACKET_IDENTIFIER_0 RULE_PACKET_IDENTIFIER_0_FROM_CLIENT

/* Subscription Options (section 3.8.3.1) */
enum { OPTION_QOS = 0x03, OPTION_NO_LOCAL = 0x04, OPTION_RETAIN_HANDLING = 0x30 };

static bool is_shared(struct bytes filter)
{
    return filter.size >= 7 && memcmp(filter.data, "$share/", 7) == 0;
}

static enum rule options_rule(uint8_t options, struct bytes filter)
{
    if (options & 0xC0)
        return RULE_SUBSCRIBE_RESERVED_BITS; /* [MQTT-3.8.3-5] */
    if ((options & OPTION_QOS) == OPTION_QOS)
        return RULE_SUBSCRIBE_QOS_3;
    if ((options & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return RULE_SUBSCRIBE_RETAIN_HANDLING_3;
    if ((options & OPTION_NO_LOCAL) && is_shared(filter))
        return RULE_SUBSCRIBE_NO_LOCAL_SHARED; /* [MQTT-3.8.3-4] */
    return RULE_NONE;
}

%%{
    machine subscribe;
    include common "common.rlh";

    action payload { out->payload.data = p + 1; }
    action filter {
        if (!decoder_text(decoder, field, RULE_SUBSCRIBE_UTF8))
            return false; /* [MQTT-3.8.3-1] */
    }
    action options {
        rule = options_rule(*p, field);
        if (rule != RULE_NONE)
            REFUSE(rule);
        out->count++;
    }
    action qos { out->count++; }
    action qos_wrong {
        REFUSE_BYTE(*p == 0x03 ? RULE_SUBSCRIBE_QOS_3 : RULE_SUBSCRIBE_RESERVED_BITS);
    }
    action empty { REFUSE(RULE_SUBSCRIBE_EMPTY); }

    filter = binary_data @filter;
    options = any @options;
    requested_qos = 0x00..0x02 >!qos_wrong @qos;                        # 3.1.1 [MQTT-3.8.3-4]

    v5 := ( packet_identifier properties @payload
            (filter options)+ >!empty ) $!unexpected;                   # [MQTT-3.8.3-2]
    v3 := ( packet_identifier @payload
            (filter requested_qos)+ >!empty ) $!unexpected;             # 3.1.1 [MQTT-3.8.3-3]

    write data nofinal noerror;
}%%

bool subscribe_decode(const struct decoder *decoder, struct subscribe *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    enum rule rule;
    struct bytes field;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5 ? subscribe_en_v5 : subscribe_en_v3;

    out->count = 0;
    properties_clear(&out->properties, p);
    %% write exec;

    out->payload.size = (size_t)(pe - out->payload.data);
    return true;
}

bool subscribe_next(const struct subscribe *subscribe, enum mqtt_version version, size_t *cursor,
                    struct subscription_request *out)
{
    if (*cursor >= subscribe->payload.size)
        return false;

    const uint8_t *at = subscribe->payload.data + *cursor;
    out->topic_filter = bytes_of(at + 2, get_u16(at));
    uint8_t options = at[2 + out->topic_filter.size];

    out->maximum_qos = options & OPTION_QOS;
    out->no_local = version == MQTT_VERSION_5 && (options & OPTION_NO_LOCAL) != 0;
    out->retain_as_published = version == MQTT_VERSION_5 && (options & 0x08) != 0;
    out->retain_handling = version == MQTT_VERSION_5 ? (options & OPTION_RETAIN_HANDLING) >> 4 : 0;
    *cursor += 2 + out->topic_filter.size + 1;
    return true;
}
