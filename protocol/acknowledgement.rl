/* PUBACK, PUBREC, PUBREL, PUBCOMP (5.0 sections 3.4 to 3.7): one shape. */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_TRUNCATED
#define OVERRUN RULE_FIELD_TOO_LONG
#define PLACE type
#define PACKET_IDENTIFIER_0 RULE_PACKET_IDENTIFIER_0_IN_ACK

static enum rule reason_code_rule(enum packet_type type)
{
    switch (type) {
    case PACKET_PUBACK:
        return RULE_PUBACK_REASON_CODE; /* [MQTT-3.4.2-1] */
    case PACKET_PUBREC:
        return RULE_PUBREC_REASON_CODE; /* [MQTT-3.5.2-1] */
    case PACKET_PUBREL:
        return RULE_PUBREL_REASON_CODE; /* [MQTT-3.6.2-1] */
    default:
        return RULE_PUBCOMP_REASON_CODE; /* [MQTT-3.7.2-1] */
    }
}

%%{
    machine acknowledgement;
    include common "common.rlh";

    action reason_code {
        if (!reason_code_allowed(type, *p, !decoder->as_server))
            REFUSE(reason_code_rule(type));
        out->reason_code = *p;
    }

    # A Remaining Length of 2 is Success, of 3 a Reason Code without properties (section 3.4.2.1).
    v5 := ( packet_identifier (any @reason_code properties?)? ) $!unexpected;  # [MQTT-2.2.1-5]
    v3 := packet_identifier $!unexpected;                                      # [MQTT-2.3.1-6]

    write data nofinal noerror;
}%%

bool acknowledgement_decode(const struct decoder *decoder, enum packet_type type,
                            struct acknowledgement *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5 ? acknowledgement_en_v5 : acknowledgement_en_v3;

    out->reason_code = REASON_SUCCESS;
    properties_clear(&out->properties, p);
    %% write exec;
    return true;
}

/* ---- The common kind: Success, without properties ---- */

size_t acknowledgement_decode_quick(const uint8_t *data, size_t size, struct acknowledgement *out)
{
    enum { SIZE = 4 };
    if (size < SIZE || data[1] != SIZE - 2)
        return 0;
    switch (data[0]) {
    case PACKET_PUBACK << 4:
    case PACKET_PUBREC << 4:
    case PACKET_PUBREL << 4 | 2: /* [MQTT-3.6.1-1] */
    case PACKET_PUBCOMP << 4:
        break;
    default:
        return 0;
    }
    out->packet_identifier = get_u16(data + 2);
    out->reason_code = REASON_SUCCESS;
    properties_clear(&out->properties, data + SIZE);
    return out->packet_identifier != 0 ? SIZE : 0;
}
