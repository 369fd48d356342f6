/* UNSUBSCRIBE (5.0 section 3.10). */
#include "protocol/grammar.h"
#include "protocol/property.h"

#define CUT RULE_TRUNCATED
#define OVERRUN RULE_FIELD_TOO_LONG
#define PLACE PACKET_UNSUBSCRIBE
#define PACKET_IDENTIFIER_0 RULE_PACKET_IDENTIFIER_0_FROM_CLIENT

%%{
    machine unsubscribe;
    include common "common.rlh";

    action payload { out->payload.data = p + 1; }
    action filter {
        if (!decoder_text(decoder, field, RULE_UNSUBSCRIBE_UTF8))
            return false; /* [MQTT-3.10.3-1] */
        out->count++;
    }
    action empty { REFUSE(RULE_UNSUBSCRIBE_EMPTY); }

    filters = (binary_data @filter)+ >!empty;                           # [MQTT-3.10.3-2]

    v5 := ( packet_identifier properties @payload filters ) $!unexpected;
    v3 := ( packet_identifier @payload filters ) $!unexpected;

    write data nofinal noerror;
}%%

bool unsubscribe_decode(const struct decoder *decoder, struct unsubscribe *out)
{
    const uint8_t *p = decoder->body, *pe = decoder->end, *eof = pe;
    struct bytes field;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs = decoder->version == MQTT_VERSION_5 ? unsubscribe_en_v5 : unsubscribe_en_v3;

    out->count = 0;
    properties_clear(&out->properties, p);
    %% write exec;

    out->payload.size = (size_t)(pe - out->payload.data);
    return true;
}

bool unsubscribe_next(const struct unsubscribe *unsubscribe, size_t *cursor,
                      struct bytes *out_topic_filter)
{
    if (*cursor >= unsubscribe->payload.size)
        return false;

    const uint8_t *at = unsubscribe->payload.data + *cursor;
    *out_topic_filter = bytes_of(at + 2, get_u16(at));
    *cursor += 2 + out_topic_filter->size;
    return true;
}
