/* PUBLISH (5.0 section 3.3): the hot path. */
#include "base/check.h"
#include "protocol/grammar.h"
#include "protocol/property.h"
#include "protocol/topic.h"

#define CUT RULE_TRUNCATED
#define OVERRUN RULE_FIELD_TOO_LONG
#define PLACE PACKET_PUBLISH
#define PACKET_IDENTIFIER_0                                                                        \
    (decoder->as_server ? RULE_PACKET_IDENTIFIER_0_FROM_CLIENT                                     \
                        : RULE_PACKET_IDENTIFIER_0_FROM_SERVER)

/* An empty Topic Name stands for a Topic Alias, which comes behind it (section 3.3.2.1). */
static inline bool topic_name_check(const struct decoder *decoder, struct bytes name)
{
    if (name.size == 0 && decoder->version == MQTT_VERSION_5)
        return true;
    return decoder_topic_name(decoder, name, RULE_TOPIC_NAME_UTF8, RULE_TOPIC_NAME_WILDCARD,
                              RULE_TOPIC_NAME_EMPTY);
}

%%{
    machine publish;
    include common "common.rlh";

    action topic_name {
        if (!topic_name_check(decoder, field))
            return false;
        out->topic_name = field;
    }
    action head_complete { fbreak; }

    topic_name = binary_data @topic_name;                            # [MQTT-3.3.2-1] [MQTT-3.3.2-2]

    v3_qos_0 := ( topic_name @head_complete ) $!unexpected;                    # [MQTT-2.3.1-5]
    v3       := ( topic_name packet_identifier @head_complete ) $!unexpected;  # [MQTT-2.3.1-1]
    v5_qos_0 := ( topic_name properties @head_complete ) $!unexpected;         # [MQTT-2.2.1-2]
    v5       := ( topic_name packet_identifier properties @head_complete ) $!unexpected;

    write data nofinal noerror;
}%%

/* The low four bits of the first byte that section 3.3.1 allows, as a set: not DUP at QoS 0, not QoS 3. */
#define FLAGS_ALLOWED 0x3C3Fu

static bool refuse_flags(const struct decoder *decoder, uint8_t flags)
{
    return decoder_refuse(decoder,
                          (flags & 0x06) == 0x06 ? RULE_PUBLISH_QOS_3 : RULE_PUBLISH_DUP_QOS_0,
                          decoder->frame);
}

bool publish_decode(enum mqtt_version version, bool as_server, const uint8_t *frame, size_t size,
                    size_t header_size, struct publish *out, struct refusal *out_refusal)
{
    CHECK(header_size >= 2 && size >= header_size && frame[0] >> 4 == PACKET_PUBLISH);

    static const uint8_t entries[2][2] = {
        {publish_en_v3_qos_0, publish_en_v3},
        {publish_en_v5_qos_0, publish_en_v5},
    };
    const struct decoder here = {
        .frame = frame,
        .body = frame + header_size,
        .end = frame + size,
        .version = version,
        .as_server = as_server,
        .refusal = out_refusal,
    };
    const struct decoder *decoder = &here;
    const uint8_t *p = here.body, *pe = here.end, *eof = pe;
    const uint8_t flags = frame[0] & 0x0f;
    struct bytes field;
    uint32_t value = 0;
    unsigned shift = 0;

    if ((FLAGS_ALLOWED >> flags & 1u) == 0)
        return refuse_flags(decoder, flags);
    out->dup = (flags & 0x08) != 0;
    out->qos = flags >> 1 & 0x03;
    out->retain = (flags & 0x01) != 0;
    out->packet_identifier = 0;
    properties_clear(&out->properties, p);

    int cs = entries[version == MQTT_VERSION_5][out->qos > 0];
    %% write exec;

    if (out->topic_name.size == 0 && !properties_has(&out->properties, PROPERTY_TOPIC_ALIAS))
        return decoder_refuse(decoder, RULE_TOPIC_NAME_EMPTY_WITHOUT_ALIAS, here.body);
    out->payload = bytes_of(p, (size_t)(pe - p));
    return true;
}

/* ---- The common kind: no more than 16,383 bytes, no Properties ---- */

size_t publish_decode_quick(enum mqtt_version version, const uint8_t *data, size_t size,
                            struct publish *out)
{
    if (size < 5 || data[0] >> 4 != PACKET_PUBLISH || (FLAGS_ALLOWED >> (data[0] & 0x0f) & 1u) == 0)
        return 0;
    size_t header = data[1] < 0x80 ? 2 : 3, remaining_length = data[1] & 0x7f;
    if (header == 3) {
        if (data[2] == 0 || data[2] >= 0x80)
            return 0;
        remaining_length |= (size_t)data[2] << 7;
    }
    const uint8_t qos = data[0] >> 1 & 0x03;
    const size_t identifier = qos > 0 ? 2 : 0, properties = version == MQTT_VERSION_5 ? 1 : 0;
    if (size - header < remaining_length || remaining_length < 2 + identifier + properties)
        return 0;
    const uint8_t *p = data + header, *end = p + remaining_length;
    struct bytes topic_name = bytes_of(p + 2, get_u16(p));
    size_t offset;
    if (topic_name.size > remaining_length - 2 - identifier - properties ||
        !topic_name_validate(topic_name, &offset))
        return 0;
    p = topic_name.data + topic_name.size;
    out->packet_identifier = qos > 0 ? get_u16(p) : 0;
    p += identifier;
    if ((qos > 0 && out->packet_identifier == 0) || (properties > 0 && *p != 0))
        return 0;
    p += properties;
    out->dup = (data[0] & 0x08) != 0;
    out->qos = qos;
    out->retain = (data[0] & 0x01) != 0;
    out->topic_name = topic_name;
    properties_clear(&out->properties, p);
    out->payload = bytes_of(p, (size_t)(end - p));
    return header + remaining_length;
}
