/* property.def as a table, for the decoder and the encoder. Internal to protocol/. */
#ifndef PROTOCOL_PROPERTY_H
#define PROTOCOL_PROPERTY_H

#include "protocol/packet.h"

enum wire_type {
    WIRE_BYTE,
    WIRE_TWO_BYTE_INTEGER,
    WIRE_FOUR_BYTE_INTEGER,
    WIRE_VARIABLE_BYTE_INTEGER,
    WIRE_BINARY_DATA,
    WIRE_UTF8_STRING,
    WIRE_UTF8_STRING_PAIR,
};

enum property_values { VALUES_ANY, VALUES_ZERO_OR_ONE, VALUES_NOT_ZERO, VALUES_TOPIC_NAME };

/* Where properties stand: bit 0 is the Will Properties, bit n the packet type n. */
enum { PROPERTY_PLACE_WILL = 0 };

struct property_row {
    const char *name;
    uint8_t identifier;
    uint8_t wire_type;
    uint8_t values;
    uint8_t value_reason_code;
    uint16_t field; /* offset in struct properties */
    uint16_t places;
    uint16_t repeats;
    uint16_t not_from_client;
    uint16_t not_from_server;
    const char *sender_statement;
    const char *value_statement;
    const char *repeat_statement;
    const char *misplaced; /* texts for refusals */
    const char *wrong_sender;
    const char *bad_value;
    const char *twice;
};

extern const struct property_row property_table[PROPERTY_COUNT];

/* PROPERTY_COUNT for an identifier that is none. */
enum property property_of_identifier(uint8_t identifier);

/* The field of `properties` that this property is kept in. */
static inline void *property_field(struct properties *properties, enum property property)
{
    return (char *)properties + property_table[property].field;
}

#endif
