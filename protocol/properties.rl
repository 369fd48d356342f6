/* Properties (5.0 section 2.2.2): types and places are property.def's, the shape is this grammar's. */
#include "protocol/grammar.h"
#include "protocol/property.h"
#include "protocol/topic.h"

#define CUT RULE_PROPERTY_CUT
#define OVERRUN RULE_PROPERTY_CUT

static bool refuse(const struct decoder *decoder, const uint8_t *at, uint8_t reason_code,
                   const char *statement, const char *what)
{
    *decoder->refusal = (struct refusal){
        .reason_code = reason_code,
        .offset = (uint32_t)(at - decoder->frame),
        .statement = statement,
        .what = what,
    };
    return false;
}

/* May the property whose identifier is at `p` stand here, by this sender, at this time? */
static bool admit(const struct decoder *decoder, const uint8_t *p, unsigned place,
                  enum property property, uint32_t *present)
{
    const struct property_row *row = &property_table[property];
    unsigned not_from_peer = decoder->as_server ? row->not_from_client : row->not_from_server;

    if ((row->places >> place & 1u) == 0)
        return refuse(decoder, p, REASON_MALFORMED_PACKET, "5.0 section 2.2.2.2", row->misplaced);
    if ((not_from_peer >> place & 1u) != 0)
        return refuse(decoder, p, REASON_PROTOCOL_ERROR, row->sender_statement, row->wrong_sender);
    if ((*present >> property & 1u) != 0 && (row->repeats >> place & 1u) == 0)
        return refuse(decoder, p, REASON_PROTOCOL_ERROR, row->repeat_statement, row->twice);
    *present |= 1u << property;
    return true;
}

static bool value_is_allowed(enum property property, uint32_t value)
{
    switch (property_table[property].values) {
    case VALUES_ZERO_OR_ONE:
        return value <= 1;
    case VALUES_NOT_ZERO:
        return value != 0;
    default:
        return true;
    }
}

/* A number whose last byte is at `p`. */
static bool check_value(const struct decoder *decoder, const uint8_t *p, enum property property,
                        uint32_t value)
{
    const struct property_row *row = &property_table[property];

    if (value_is_allowed(property, value))
        return true;
    return refuse(decoder, p, row->value_reason_code, row->value_statement, row->bad_value);
}

static bool check_text(const struct decoder *decoder, enum property property, struct bytes field)
{
    switch (property) {
    case PROPERTY_RESPONSE_TOPIC:
        return decoder_topic_name(decoder, field, RULE_RESPONSE_TOPIC_UTF8,
                                  RULE_RESPONSE_TOPIC_WILDCARD, RULE_TOPIC_NAME_EMPTY);
    case PROPERTY_CONTENT_TYPE:
        return decoder_text(decoder, field, RULE_CONTENT_TYPE_UTF8);
    default:
        return decoder_text(decoder, field, RULE_PROPERTY_UTF8);
    }
}

%%{
    machine properties;
    include common "common.rlh";

    action identifier {
        property = property_of_identifier(*p);
        if (!admit(decoder, p, place, property, &out->present))
            return false;
        target = property_field(out, property);
    }

    action byte {
        if (!check_value(decoder, p, property, *p))
            return false;
        *(uint8_t *)target = *p;
    }
    action two_byte {
        if (!check_value(decoder, p, property, value))
            return false;
        *(uint16_t *)target = (uint16_t)value;
    }
    action four_byte {
        if (!check_value(decoder, p, property, value))
            return false;
        *(uint32_t *)target = value;
    }
    action text {
        if (!check_text(decoder, property, field))
            return false;
        *(struct bytes *)target = field;
    }
    action binary {
        *(struct bytes *)target = field;
    }
    action pair_string {
        if (!decoder_text(decoder, field, RULE_USER_PROPERTY_UTF8))
            return false;
    }
    action pair {
        *(struct bytes *)target = (struct bytes){0}; /* what is read is found in `raw` */
    }

    # "A Control Packet which contains an Identifier which is not valid for its packet type, or
    # contains a value not of the specified data type, is a Malformed Packet" (section 2.2.2.2).
    action unknown { REFUSE_BYTE(RULE_PROPERTY_UNKNOWN); }
    action cut     { REFUSE(RULE_PROPERTY_CUT); }

    byte_property      = (0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A) @identifier
                         any @byte;
    two_byte_property  = (0x13 | 0x21 | 0x22 | 0x23) @identifier two_byte_integer @two_byte;
    four_byte_property = (0x02 | 0x11 | 0x18 | 0x27) @identifier four_byte_integer @four_byte;
    varint_property    = 0x0B @identifier variable_byte_integer @four_byte;
    text_property      = (0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F) @identifier
                         binary_data @text;
    binary_property    = (0x09 | 0x16) @identifier binary_data @binary;
    pair_property      = 0x26 @identifier
                         binary_data @pair_string binary_data @pair_string @pair; # [MQTT-1.5.7-1]

    property = byte_property | two_byte_property | four_byte_property | varint_property
             | text_property | binary_property | pair_property;

    main := (property >!unknown)* $!cut;

    write data nofinal noerror;
}%%

bool properties_decode(const struct decoder *decoder, struct bytes raw, unsigned place,
                       struct properties *out)
{
    const uint8_t *p = raw.data, *pe = p + raw.size, *eof = pe;
    enum property property = PROPERTY_COUNT;
    void *target = NULL;
    struct bytes field;
    uint32_t value = 0;
    unsigned shift = 0;
    int cs;

    %% write init;
    %% write exec;

    if (properties_has(out, PROPERTY_AUTHENTICATION_DATA) &&
        !properties_has(out, PROPERTY_AUTHENTICATION_METHOD))
        return decoder_refuse(decoder, RULE_AUTHENTICATION_DATA_ALONE, raw.data);
    return true;
}
