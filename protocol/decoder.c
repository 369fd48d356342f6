#include "protocol/decoder.h"

#include "protocol/topic.h"

static const struct {
    uint8_t reason_code;
    const char *v5;
    const char *v3;
    const char *what;
} rules[] = {
    [RULE_NONE] = {0, "", "", ""},
#define RULE(constant, reason, v5, v3, what) [RULE_##constant] = {REASON_##reason, v5, v3, what},
#include "protocol/rule.def"
};

void rule_refusal(enum rule rule, enum mqtt_version version, uint32_t offset, struct refusal *out)
{
    *out = (struct refusal){
        .reason_code = rules[rule].reason_code,
        .offset = offset,
        .statement = version == MQTT_VERSION_5 ? rules[rule].v5 : rules[rule].v3,
        .what = rules[rule].what,
    };
}

void refusal_cite(struct refusal *refusal, enum mqtt_version version)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].what == refusal->what && rules[i].v5 == refusal->statement) {
            refusal->statement = version == MQTT_VERSION_5 ? rules[i].v5 : rules[i].v3;
            return;
        }
    }
}

bool decoder_refuse(const struct decoder *decoder, enum rule rule, const uint8_t *at)
{
    rule_refusal(rule, decoder->version, (uint32_t)(at - decoder->frame), decoder->refusal);
    return false;
}

bool decoder_text(const struct decoder *decoder, struct bytes field, enum rule rule)
{
    size_t offset;

    if (utf8_validate(field, &offset))
        return true;
    if (offset < field.size && field.data[offset] == 0)
        rule = RULE_NULL_CHARACTER;
    return decoder_refuse(decoder, rule, field.data + offset);
}

bool decoder_topic_name(const struct decoder *decoder, struct bytes field, enum rule utf8,
                        enum rule wildcard, enum rule empty)
{
    size_t offset;
    enum rule rule = utf8;

    if (topic_name_validate(field, &offset))
        return true;
    if (field.size == 0)
        rule = empty;
    else if (offset < field.size && field.data[offset] == 0)
        rule = RULE_TOPIC_NAME_NULL;
    else if (offset < field.size && (field.data[offset] == '+' || field.data[offset] == '#'))
        rule = wildcard;
    return decoder_refuse(decoder, rule, field.data + offset);
}

bool decoder_properties(const struct decoder *decoder, const uint8_t *p, size_t length,
                        unsigned place, struct properties *out)
{
    properties_clear(out, p + 1);
    if (length == 0)
        return true;
    if (!decoder_field(p, decoder->end, length, &out->raw))
        return decoder_refuse(decoder, RULE_PROPERTIES_TOO_LONG, p);
    return properties_decode(decoder, out->raw, place, out);
}
