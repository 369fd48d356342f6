#include "protocol/property.h"

#include "base/check.h"

#define IN(type) (1u << PACKET_##type)
#define WILL (1u << PROPERTY_PLACE_WILL)

const struct property_row property_table[PROPERTY_COUNT] = {
#define PROPERTY(constant, field_, id, name_, type, places_, repeats_, not_client, not_server,     \
                 sender, values_, value_reason, value, repeat)                                     \
    [PROPERTY_##constant] = {                                                                      \
        .name = name_,                                                                             \
        .identifier = id,                                                                          \
        .wire_type = WIRE_##type,                                                                  \
        .values = VALUES_##values_,                                                                \
        .value_reason_code = REASON_##value_reason,                                                \
        .field = offsetof(struct properties, field_),                                              \
        .places = places_,                                                                         \
        .repeats = repeats_,                                                                       \
        .not_from_client = not_client,                                                             \
        .not_from_server = not_server,                                                             \
        .sender_statement = sender,                                                                \
        .value_statement = value,                                                                  \
        .repeat_statement = repeat,                                                                \
        .misplaced = name_ " does not belong in this packet",                                      \
        .wrong_sender = name_ " is never sent in this direction in this packet",                   \
        .bad_value = name_ " has a value that is not allowed",                                     \
        .twice = name_ " appears twice",                                                           \
    },
#include "protocol/property.def"
};

enum property property_of_identifier(uint8_t identifier)
{
    /* One more than the enum, so that 0 is none. */
    static const uint8_t by_identifier[0x2B] = {
#define PROPERTY(constant, field, id, ...) [id] = PROPERTY_##constant + 1,
#include "protocol/property.def"
    };

    if (identifier >= sizeof by_identifier || by_identifier[identifier] == 0)
        return PROPERTY_COUNT;
    return by_identifier[identifier] - 1;
}

static size_t varint_size(const uint8_t *p)
{
    size_t size = 1;

    while (*p++ & 0x80)
        size++;
    return size;
}

static size_t string_size(const uint8_t *p)
{
    return 2u + get_u16(p);
}

/* Size of the validated property at `p`, its identifier byte included. */
static size_t property_size(const uint8_t *p, enum property *out_property)
{
    enum property property = property_of_identifier(*p);
    CHECK(property != PROPERTY_COUNT);

    *out_property = property;
    switch ((enum wire_type)property_table[property].wire_type) {
    case WIRE_BYTE:
        return 2;
    case WIRE_TWO_BYTE_INTEGER:
        return 3;
    case WIRE_FOUR_BYTE_INTEGER:
        return 5;
    case WIRE_VARIABLE_BYTE_INTEGER:
        return 1 + varint_size(p + 1);
    case WIRE_BINARY_DATA:
    case WIRE_UTF8_STRING:
        return 1 + string_size(p + 1);
    case WIRE_UTF8_STRING_PAIR:
        return 1 + string_size(p + 1) + string_size(p + 1 + string_size(p + 1));
    }
    CHECK(false);
}

bool properties_next_user_property(struct bytes raw, size_t *cursor, struct bytes *out_name,
                                   struct bytes *out_value)
{
    while (*cursor < raw.size) {
        const uint8_t *p = raw.data + *cursor;
        enum property property;

        *cursor += property_size(p, &property);
        if (property == PROPERTY_USER_PROPERTY) {
            *out_name = bytes_of(p + 3, get_u16(p + 1));
            p += 3 + out_name->size;
            *out_value = bytes_of(p + 2, get_u16(p));
            return true;
        }
    }
    return false;
}

/* Of one hop or one receiver alone: the Server sends its own. */
static bool property_is_forwarded(enum property property)
{
    return property != PROPERTY_TOPIC_ALIAS && property != PROPERTY_MESSAGE_EXPIRY_INTERVAL &&
           property != PROPERTY_SUBSCRIPTION_IDENTIFIER && property != PROPERTY_WILL_DELAY_INTERVAL;
}

/* As they came, in their order: [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17]
 * [MQTT-3.3.2-18] [MQTT-3.3.2-20], of a Will Message [MQTT-3.1.3-10]. */
size_t properties_forwardable(struct bytes raw, uint8_t *out)
{
    size_t written = 0;

    for (size_t at = 0; at < raw.size;) {
        enum property property;
        size_t size = property_size(raw.data + at, &property);

        if (property_is_forwarded(property)) {
            memcpy(out + written, raw.data + at, size);
            written += size;
        }
        at += size;
    }
    return written;
}
