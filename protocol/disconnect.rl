/* DISCONNECT and AUTH (5.0 sections 3.14 and 3.15): a Reason Code and properties, either left out. */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_TRUNCATED

#define PLACE PACKET_DISCONNECT

%%{
    machine disconnect;
    include common "common.rlh";

    action reason_code {
        if (!reason_code_allowed(PACKET_DISCONNECT, *p, !decoder->as_server))
            REFUSE(RULE_DISCONNECT_REASON_CODE);
        out->reason_code = *p;
    }

    # A Remaining Length of 0 is Normal disconnection, of less than 2 has no properties
    # (sections 3.14.2.1 and 3.14.2.2.1).
    v5 := ( any @reason_code properties? )? $!unexpected;               # [MQTT-3.14.2-1]
    v3 := zlen $!unexpected;                                            # 3.1.1 section 3.14.2

    write data nofinal noerror;
}%%

bool disconnect_decode(const struct decoder *decoder, struct disconnect *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5 ? disconnect_en_v5 : disconnect_en_v3;

    out->reason_code = REASON_NORMAL_DISCONNECTION;
    properties_clear(&out->properties, p);
    %% write exec;
    return true;
}

#undef PLACE
#define PLACE PACKET_AUTH

%%{
    machine auth;
    include common "common.rlh";

    action reason_code {
        if (!reason_code_allowed(PACKET_AUTH, *p, !decoder->as_server))
            REFUSE(RULE_AUTH_REASON_CODE);
        out->reason_code = *p;
    }

    main := ( any @reason_code properties? )? $!unexpected;             # [MQTT-3.15.2-1]

    write data nofinal noerror;
}%%

bool auth_decode(const struct decoder *decoder, struct auth *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs;

    out->reason_code = REASON_SUCCESS;
    properties_clear(&out->properties, p);
    %% write init;
    %% write exec;

    /* "In this case the AUTH has a Remaining Length of 0" (section 3.15.2.1) stands against "all AUTH
     * packets ... MUST include an Authentication Method" [MQTT-4.12.0-5]. The short form means
     * Success, which a Client never sends, so a Server may insist on the method. */
    if (!reason_code_allowed(PACKET_AUTH, out->reason_code, !decoder->as_server))
        return decoder_refuse(decoder, RULE_AUTH_REASON_CODE, decoder->body);
    if (decoder->body != decoder->end &&
        !properties_has(&out->properties, PROPERTY_AUTHENTICATION_METHOD))
        return decoder_refuse(decoder, RULE_AUTH_METHOD_MISSING, decoder->end);
    return true;
}
