/* SUBACK and UNSUBACK (5.0 sections 3.9 and 3.11). */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_TRUNCATED
#define OVERRUN RULE_FIELD_TOO_LONG
#define PACKET_IDENTIFIER_0 RULE_PACKET_IDENTIFIER_0_IN_SUBACK

#define PLACE PACKET_SUBACK

%%{
    machine suback;
    include common "common.rlh";

    action payload { out->reason_codes.data = p + 1; }
    action reason_code {
        if (!reason_code_allowed(PACKET_SUBACK, *p, true))
            REFUSE(RULE_SUBACK_REASON_CODE);
    }
    action return_code_wrong { REFUSE_BYTE(RULE_SUBACK_REASON_CODE); }
    action empty             { REFUSE(RULE_SUBACK_EMPTY); }

    reason_codes = (any @reason_code)+ >!empty;                                   # [MQTT-3.9.3-2]
    return_codes = ((0x00..0x02 | 0x80)+ >!empty) $!return_code_wrong;            # 3.1.1 [MQTT-3.9.3-2]

    v5 := ( packet_identifier properties @payload reason_codes ) $!unexpected;
    v3 := ( packet_identifier @payload return_codes ) $!unexpected;

    write data nofinal noerror;
}%%

bool suback_decode(const struct decoder *decoder, struct suback *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5 ? suback_en_v5 : suback_en_v3;

    properties_clear(&out->properties, p);
    %% write exec;

    out->reason_codes.size = (size_t)(pe - out->reason_codes.data);
    return true;
}

#undef PLACE
#define PLACE PACKET_UNSUBACK

%%{
    machine unsuback;
    include common "common.rlh";

    action payload { out->reason_codes.data = p + 1; }
    action reason_code {
        if (!reason_code_allowed(PACKET_UNSUBACK, *p, true))
            REFUSE(RULE_UNSUBACK_REASON_CODE);
    }
    action empty { REFUSE(RULE_UNSUBACK_EMPTY); }

    reason_codes = (any @reason_code)+ >!empty;                                   # [MQTT-3.11.3-2]

    v5 := ( packet_identifier properties @payload reason_codes ) $!unexpected;
    v3 := packet_identifier @payload $!unexpected;        # "has no payload" (3.1.1 section 3.11.3)

    write data nofinal noerror;
}%%

bool unsuback_decode(const struct decoder *decoder, struct suback *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5 ? unsuback_en_v5 : unsuback_en_v3;

    properties_clear(&out->properties, p);
    %% write exec;

    out->reason_codes.size = (size_t)(pe - out->reason_codes.data);
    return true;
}
