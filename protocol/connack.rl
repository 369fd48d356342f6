/* CONNACK (5.0 section 3.2). */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_TRUNCATED
#define OVERRUN RULE_FIELD_TOO_LONG
#define PLACE PACKET_CONNACK

%%{
    machine connack;
    include common "common.rlh";

    action session_present { out->session_present = *p != 0; }
    action flags_wrong     { REFUSE_BYTE(RULE_CONNACK_FLAGS); }
    action reason_code {
        if (!reason_code_allowed(PACKET_CONNACK, *p, true))
            REFUSE(RULE_CONNACK_REASON_CODE);
        out->reason_code = *p;
    }
    action return_code       { out->reason_code = *p; }
    action return_code_wrong { REFUSE_BYTE(RULE_CONNACK_REASON_CODE); }

    flags = (0x00 | 0x01) >!flags_wrong @session_present;                 # [MQTT-3.2.2-1]
    return_code = 0x00..0x05 >!return_code_wrong @return_code;            # 3.1.1 section 3.2.2.3

    v5  := ( flags any @reason_code properties ) $!unexpected;            # [MQTT-3.2.2-8]
    v3  := ( flags return_code ) $!unexpected;
    v31 := ( any return_code ) $!unexpected;                              # 3.1: "not used"

    write data nofinal noerror;
}%%

bool connack_decode(const struct decoder *decoder, struct connack *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5    ? connack_en_v5
             : decoder->version == MQTT_VERSION_31 ? connack_en_v31
                                                   : connack_en_v3;

    out->session_present = false;
    properties_clear(&out->properties, p);
    %% write exec;

    if (out->session_present && out->reason_code != REASON_SUCCESS)
        return decoder_refuse(decoder, RULE_CONNACK_SESSION_PRESENT, decoder->body);
    return true;
}
