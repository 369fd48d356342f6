/* Properties: which may stand where, how often, and with which values. */
#include "conformance/wire/reader.h"
#include "conformance/wire/rule.h"

static bool read_value(struct reader *reader, unsigned place, const char *name,
                       struct property *out)
{
    uint8_t byte;
    uint16_t two_bytes;

    switch (property_type(out->id)) {
    case PROPERTY_BYTE:
        if (!reader_u8(reader, name, &byte))
            return false;
        out->number = byte;
        return true;
    case PROPERTY_TWO_BYTES:
        if (!reader_u16(reader, name, &two_bytes))
            return false;
        out->number = two_bytes;
        return true;
    case PROPERTY_FOUR_BYTES:
        return reader_u32(reader, name, &out->number);
    case PROPERTY_VARIABLE_BYTE_INTEGER:
        return reader_varint(reader, name, &out->number);
    case PROPERTY_BINARY:
        return reader_binary(reader, name, &out->text);
    case PROPERTY_STRING_PAIR:
        return reader_string(reader, name, "MQTT-1.5.7-1", &out->text) &&
               reader_string(reader, name, "MQTT-1.5.7-1", &out->value);
    case PROPERTY_STRING:
        if (out->id == RESPONSE_TOPIC)
            return reader_topic_name(reader, name, "MQTT-3.3.2-14", &out->text);
        return reader_string(reader, name, NULL, &out->text);
    case PROPERTY_UNKNOWN:
        break;
    }
    return false;
}

/* The statement that forbids this property in particular there. */
static const char *misplaced_statement(unsigned place, uint32_t id, bool from_server)
{
    if (from_server && place == DISCONNECT && id == SESSION_EXPIRY_INTERVAL)
        return "MQTT-3.14.2-2";
    if (!from_server && place == PUBLISH && id == SUBSCRIPTION_IDENTIFIER)
        return "MQTT-3.3.4-6";
    return "5.0 section 2.2.2.2";
}

/* What one sender alone may send although the packet may carry it. */
static bool wrong_sender(unsigned place, uint32_t id, bool from_server)
{
    if (place == DISCONNECT)
        return id == (from_server ? SESSION_EXPIRY_INTERVAL : SERVER_REFERENCE);
    return place == PUBLISH && id == SUBSCRIPTION_IDENTIFIER && !from_server;
}

/* Values that the specification calls a Protocol Error. */
static bool value_allowed(const struct property *property)
{
    switch (property->id) {
    case REQUEST_PROBLEM_INFORMATION:
    case REQUEST_RESPONSE_INFORMATION:
    case MAXIMUM_QOS:
    case RETAIN_AVAILABLE:
    case WILDCARD_SUBSCRIPTION_AVAILABLE:
    case SUBSCRIPTION_IDENTIFIER_AVAILABLE:
    case SHARED_SUBSCRIPTION_AVAILABLE:
        return property->number <= 1;
    case RECEIVE_MAXIMUM:
    case MAXIMUM_PACKET_SIZE:
    case SUBSCRIPTION_IDENTIFIER:
    case TOPIC_ALIAS:
        return property->number != 0;
    default:
        return true;
    }
}

static bool read_property(struct reader *reader, unsigned place, struct properties *out,
                          uint64_t *seen)
{
    const uint8_t *start = reader->at;
    struct property property = {0};
    if (!reader_varint(reader, "Property Identifier", &property.id))
        return false;

    const char *name = property_name(property.id);
    const char *section = rule_property_section(place, property.id);
    if (!section || wrong_sender(place, property.id, reader->from_server)) {
        const char *statement = misplaced_statement(place, property.id, reader->from_server);
        return reader_fault(reader, start, statement, "property 0x%02X (%s) has no place in a %s%s",
                            property.id, name,
                            place == RULE_WILL_PROPERTIES ? "will" : packet_name(place),
                            !section              ? ""
                            : reader->from_server ? " of a server"
                                                  : " of a client");
    }
    if (*seen & 1ull << property.id && !rule_property_repeats(place, property.id))
        return reader_fault(reader, start, section, "%s stands there twice", name);
    *seen |= 1ull << property.id;
    if (!read_value(reader, place, name, &property))
        return false;
    if (!value_allowed(&property))
        return reader_fault(reader, start + 1,
                            property.id == TOPIC_ALIAS ? "MQTT-3.3.2-8" : section,
                            "%s must not be %u", name, property.number);
    if (out->count == PROPERTIES_MAX)
        out->more++;
    else
        out->list[out->count++] = property;
    return true;
}

/* 5.0 sections 3.1.2.11.10 and 3.15.2.2.2. A successful AUTH with neither code nor properties is
 * allowed by section 3.15.2.1, so an empty list is no fault here. */
static bool check_authentication(struct reader *reader, const uint8_t *start, unsigned place,
                                 const struct properties *properties)
{
    bool method = property_find(properties, AUTHENTICATION_METHOD) != NULL;
    if (place == CONNECT && !method && property_find(properties, AUTHENTICATION_DATA))
        return reader_fault(reader, start, "5.0 section 3.1.2.11.10",
                            "Authentication Data without an Authentication Method");
    if (place == AUTH && !method)
        return reader_fault(reader, start, "5.0 section 3.15.2.2.2",
                            "AUTH without an Authentication Method");
    return true;
}

bool reader_properties(struct reader *reader, unsigned place, struct properties *out)
{
    const uint8_t *start = reader->at;
    uint32_t size;
    if (reader_left(reader) == 0 && place != RULE_WILL_PROPERTIES)
        return reader_fault(reader, start, "MQTT-2.2.2-1", "%s has no Property Length",
                            packet_name(reader->packet->type));
    if (!reader_varint(reader, "Property Length", &size))
        return false;
    if (size > reader_left(reader))
        return reader_fault(reader, start, "5.0 section 2.2.2.1",
                            "Property Length is %u, but %zu bytes are left", size,
                            reader_left(reader));
    /* A property must not reach beyond the Property Length either. */
    const uint8_t *end = reader->end;
    reader->end = reader->at + size;
    uint64_t seen = 0;
    while (reader_left(reader) > 0) {
        if (!read_property(reader, place, out, &seen))
            return false;
    }
    reader->end = end;
    return check_authentication(reader, start, place, out);
}
