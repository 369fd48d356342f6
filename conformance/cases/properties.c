/* Properties as such (5.0 section 2.2.2): which may stand where, how often, with what value. */
#include "conformance/cases/refusal.h"

#include <stdio.h>

/* The places in which a wrong property can be told from any other reason to close. DISCONNECT has
 * cases of its own (disconnect.c); AUTH is refused anyway from a client without a method. */
enum place {
    IN_CONNECT,
    IN_WILL,
    IN_PUBLISH,
    IN_PUBACK,
    IN_PUBREC,
    IN_PUBREL,
    IN_PUBCOMP,
    IN_SUBSCRIBE,
    IN_UNSUBSCRIBE,
    PLACES,
};

static const char *const place_names[PLACES] = {
    "CONNECT", "the Will Properties", "PUBLISH",     "PUBACK", "PUBREC", "PUBREL",
    "PUBCOMP", "SUBSCRIBE",           "UNSUBSCRIBE",
};

#define AT(place) (1u << (place))
#define ACKNOWLEDGEMENTS (AT(IN_PUBACK) | AT(IN_PUBREC) | AT(IN_PUBREL) | AT(IN_PUBCOMP))
#define MESSAGE (AT(IN_PUBLISH) | AT(IN_WILL))
#define EVERYWHERE (AT(PLACES) - 1)

/* Table 2-4, for what a client sends. Two entries are wider than the table so that other cases
 * judge them: a client's Subscription Identifier in PUBLISH [MQTT-3.3.4-6], and the Authentication
 * properties of CONNECT, which a server without the method refuses in any case. */
static const struct {
    enum property_id id;
    unsigned places;
} table[] = {
    {PAYLOAD_FORMAT_INDICATOR, MESSAGE},
    {MESSAGE_EXPIRY_INTERVAL, MESSAGE},
    {CONTENT_TYPE, MESSAGE},
    {RESPONSE_TOPIC, MESSAGE},
    {CORRELATION_DATA, MESSAGE},
    {SUBSCRIPTION_IDENTIFIER, AT(IN_PUBLISH) | AT(IN_SUBSCRIBE)},
    {SESSION_EXPIRY_INTERVAL, AT(IN_CONNECT)},
    {ASSIGNED_CLIENT_IDENTIFIER, 0},
    {SERVER_KEEP_ALIVE, 0},
    {AUTHENTICATION_METHOD, AT(IN_CONNECT)},
    {AUTHENTICATION_DATA, AT(IN_CONNECT)},
    {REQUEST_PROBLEM_INFORMATION, AT(IN_CONNECT)},
    {WILL_DELAY_INTERVAL, AT(IN_WILL)},
    {REQUEST_RESPONSE_INFORMATION, AT(IN_CONNECT)},
    {RESPONSE_INFORMATION, 0},
    {SERVER_REFERENCE, 0},
    {REASON_STRING, ACKNOWLEDGEMENTS},
    {RECEIVE_MAXIMUM, AT(IN_CONNECT)},
    {TOPIC_ALIAS_MAXIMUM, AT(IN_CONNECT)},
    {TOPIC_ALIAS, AT(IN_PUBLISH)},
    {MAXIMUM_QOS, 0},
    {RETAIN_AVAILABLE, 0},
    {USER_PROPERTY, EVERYWHERE},
    {MAXIMUM_PACKET_SIZE, AT(IN_CONNECT)},
    {WILDCARD_SUBSCRIPTION_AVAILABLE, 0},
    {SUBSCRIPTION_IDENTIFIER_AVAILABLE, 0},
    {SHARED_SUBSCRIPTION_AVAILABLE, 0},
};
enum { TABLE_SIZE = sizeof table / sizeof *table };

static void add_example(struct properties *properties, enum property_id id)
{
    enum property_type type = property_type(id);
    if (type == PROPERTY_STRING || type == PROPERTY_BINARY)
        property_add_text(properties, id, TEXT("text"));
    else if (type == PROPERTY_STRING_PAIR)
        property_add_user(properties, "name", "value");
    else
        property_add(properties, id, 1);
}

/* A packet that is right but for the properties that will be added to it. */
static struct packet packet_for(struct client *client, enum place place)
{
    static const enum packet_type types[PLACES] = {CONNECT, CONNECT, PUBLISH,   PUBACK,     PUBREC,
                                                   PUBREL,  PUBCOMP, SUBSCRIBE, UNSUBSCRIBE};
    struct packet packet = {.type = types[place], .packet_id = 7};
    if (place == IN_CONNECT || place == IN_WILL)
        packet = connect_of(client);
    if (place == IN_WILL)
        packet.will_topic = topic_of(client->test, "will");
    if (place == IN_PUBLISH)
        packet.topic = topic_of(client->test, "properties");
    if (place == IN_SUBSCRIBE || place == IN_UNSUBSCRIBE)
        packet.filters[packet.filter_count++].filter = topic_of(client->test, "properties");
    return packet;
}

static struct properties *properties_of(struct packet *packet, enum place place)
{
    return place == IN_WILL ? &packet->will_properties : &packet->properties;
}

static void refuse_at(struct refusal *refusal, const struct packet *packet, enum place place,
                      uint8_t code, const char *variant)
{
    if (place == IN_CONNECT || place == IN_WILL)
        refusal_connect(refusal, packet, code, variant);
    else
        refusal_packet(refusal, packet, code, variant);
}

static void refuse_misplaced(struct refusal *refusal, enum place place)
{
    for (unsigned i = 0; i < TABLE_SIZE; i++) {
        if (table[i].places & AT(place))
            continue;
        struct packet packet = packet_for(refusal->client, place);
        add_example(properties_of(&packet, place), table[i].id);
        char variant[120];
        snprintf(variant, sizeof variant, "%s in %s", property_name(table[i].id),
                 place_names[place]);
        /* Malformed Packet by section 2.2.2.2, Protocol Error by section 4.13: either is right. */
        refuse_at(refusal, &packet, place, 0, variant);
    }
}

CASE(misplaced_properties_of_connect_are_refused, .v5 = "MQTT-4.13.1-1 MQTT-3.1.4-1",
     .sends = "CONNECT with each property that has no place in it or in its Will Properties",
     .allowed = "each of them closes the Network Connection, 5.0 section 2.2.2.2",
     .faults = "accepts_wrong_property accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    refuse_misplaced(&refusal, IN_CONNECT);
    refuse_misplaced(&refusal, IN_WILL);
    refusal_end(&refusal);
}

CASE(misplaced_properties_are_refused, .v5 = "MQTT-4.13.1-1",
     .sends =
         "PUBLISH, its acknowledgements, SUBSCRIBE and UNSUBSCRIBE with each property that has "
         "no place there",
     .allowed = "each of them closes the Network Connection, 5.0 section 2.2.2.2",
     .faults = "accepts_wrong_property accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    for (enum place place = IN_PUBLISH; place < PLACES; place++)
        refuse_misplaced(&refusal, place);
    refusal_end(&refusal);
}

static bool judged_elsewhere(enum property_id id, enum place place)
{
    return id == USER_PROPERTY || id == AUTHENTICATION_METHOD || id == AUTHENTICATION_DATA ||
           (id == SUBSCRIPTION_IDENTIFIER && place == IN_PUBLISH);
}

CASE(repeated_properties_are_refused, .v5 = "MQTT-4.13.1-1 MQTT-3.1.4-1",
     .sends = "each property twice, with the same value, in each packet in which it may stand once",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_repeated_property accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    for (unsigned i = 0; i < TABLE_SIZE * PLACES; i++) {
        enum place place = i % PLACES;
        enum property_id id = table[i / PLACES].id;
        if (!(table[i / PLACES].places & AT(place)) || judged_elsewhere(id, place))
            continue;
        struct packet packet = packet_for(refusal.client, place);
        add_example(properties_of(&packet, place), id);
        add_example(properties_of(&packet, place), id);
        char variant[120];
        snprintf(variant, sizeof variant, "%s twice in %s", property_name(id), place_names[place]);
        refuse_at(&refusal, &packet, place, 0x82, variant);
    }
    refusal_end(&refusal);
}

CASE(user_properties_may_be_repeated, .v5 = "MQTT-3.1.4-5",
     .sends = "three User Properties, two of them the same, in each packet of a client",
     .allowed = "every packet is taken as if they were not there",
     .faults = "no_connack no_suback refuses_repeated_user_property")
{
    struct client *client = client_new(test, "repeat");
    for (enum place place = 0; place < PLACES; place++) {
        struct packet packet = packet_for(client, place);
        for (unsigned i = 0; i < 3; i++)
            property_add_user(properties_of(&packet, place), "name", i < 2 ? "same" : "");
        if (place == IN_CONNECT || place == IN_WILL) {
            client_drop(client);
            client_connect_ok(client, &packet);
            continue;
        }
        /* An acknowledgement of nothing that was sent may be an error; it is not this case's. */
        if (AT(place) & ACKNOWLEDGEMENTS)
            continue;
        client_send(client, &packet);
        if (place == IN_SUBSCRIBE)
            expect(client, SUBACK);
        if (place == IN_UNSUBSCRIBE)
            expect(client, UNSUBACK);
        expect_alive(client);
    }
}

/* ---- Identifiers that do not exist ---- */

static void refuse_identifier(struct refusal *refusal, const char *identifier)
{
    static const struct {
        const char *name, *head, *tail;
        unsigned first_byte;
    } places[] = {
        {"CONNECT", "0004 4D515454 05 02 003C", "0003 616263", 0x10},
        {"PUBLISH", "0001 61", "", 0x30},
        {"SUBSCRIBE", "0001", "0001 61 00", 0x82},
        {"UNSUBSCRIBE", "0001", "0001 61", 0xA2},
        {"PUBACK", "0001 00", "", 0x40},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        /* Followed by a value that any of the property types can read. */
        struct buffer property = {0}, body = {0}, bytes = {0};
        buffer_hex(&property, identifier);
        buffer_hex(&property, "0001 61 0001 61");
        buffer_hex(&body, places[i].head);
        buffer_varint(&body, (uint32_t)property.size);
        buffer_bytes(&body, property.data, property.size);
        buffer_hex(&body, places[i].tail);
        buffer_frame(&bytes, places[i].first_byte, &body);
        buffer_free(&property);
        buffer_free(&body);
        char variant[120];
        snprintf(variant, sizeof variant, "property identifier %s in %s", identifier,
                 places[i].name);
        if (places[i].first_byte == 0x10)
            refusal_connect_bytes(refusal, &bytes, 0x81, variant);
        else
            refusal_bytes(refusal, &bytes, 0x81, variant);
    }
}

CASE(unknown_properties_are_refused, .v5 = "MQTT-4.13.1-1 MQTT-3.1.4-1",
     .sends = "property identifiers that are not defined, in CONNECT, PUBLISH, SUBSCRIBE, "
              "UNSUBSCRIBE and PUBACK",
     .allowed = "each of them closes the Network Connection",
     .why = "The identifier is a Variable Byte Integer: A6 02 is 0x126 and not the User Property.",
     .faults = "accepts_wrong_property accepts_malformed keeps_open")
{
    static const char *const identifiers[] = {"00", "04", "0A",    "14",    "20",
                                              "2B", "7F", "80 01", "A6 02", "FF FF FF 7F"};
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof identifiers / sizeof *identifiers; i++)
        refuse_identifier(&refusal, identifiers[i]);
    refusal_end(&refusal);
}

/* ---- Lengths and values ---- */

CASE(broken_property_lengths_are_refused, .v5 = "MQTT-4.13.1-1 MQTT-3.1.4-1",
     .sends = "Property Lengths beyond the packet, and properties that do not fit into theirs",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_truncated_packet accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    static const struct {
        const char *name, *hex;
    } variants[] = {
        {"PUBLISH, length one beyond its packet", "30 06 0001 61 03 01 01"},
        {"PUBLISH, length of 268435455", "30 07 0001 61 FF FF FF 7F"},
        {"PUBLISH, length of five bytes", "30 08 0001 61 80 80 80 80 00"},
        {"PUBLISH, length cut off", "30 04 0001 61 80"},
        {"PUBLISH, four-byte property of three", "30 08 0001 61 04 02 000000"},
        {"PUBLISH, string beyond the properties", "30 0A 0001 61 04 03 0003 61 6262"},
        {"PUBLISH, string pair without its value", "30 08 0001 61 04 26 0001 61"},
        {"PUBLISH, identifier without a value", "30 05 0001 61 01 01"},
        {"SUBSCRIBE, length beyond the packet", "82 09 0001 7F 0B01 0001 61 00"},
        {"SUBSCRIBE, endless Subscription Identifier", "82 0C 0001 05 0B FFFFFFFF 0001 61 00"},
        {"PUBACK, length beyond the packet", "40 04 0001 00 05"},
        {"UNSUBSCRIBE, length beyond the packet", "A2 06 0001 7F 0001 61"},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        refusal_hex(&refusal, variants[i].hex, 0x81, variants[i].name);
    struct buffer bytes = {0};
    buffer_hex(&bytes, "10 13 0004 4D515454 05 02 003C 09 21 0001 0003 616263");
    refusal_connect_bytes(&refusal, &bytes, 0x81, "CONNECT, length one beyond its packet");
    refusal_end(&refusal);
}

CASE(property_values_of_connect_are_checked, .v5 = "MQTT-4.13.1-1 MQTT-3.1.4-1",
     .sends =
         "CONNECT with Receive Maximum 0, Maximum Packet Size 0, Request Problem Information 2 "
         "or Request Response Information 2",
     .allowed = "each of them closes the Network Connection: section 3.1.2.11 calls it a Protocol "
                "Error",
     .faults = "accepts_bad_property_value accepts_malformed keeps_open")
{
    static const struct {
        enum property_id id;
        uint32_t value;
        const char *name;
    } variants[] = {
        {RECEIVE_MAXIMUM, 0, "Receive Maximum 0"},
        {MAXIMUM_PACKET_SIZE, 0, "Maximum Packet Size 0"},
        {REQUEST_PROBLEM_INFORMATION, 2, "Request Problem Information 2"},
        {REQUEST_PROBLEM_INFORMATION, 255, "Request Problem Information 255"},
        {REQUEST_RESPONSE_INFORMATION, 2, "Request Response Information 2"},
        {REQUEST_RESPONSE_INFORMATION, 255, "Request Response Information 255"},
    };
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct packet connect = connect_of(refusal.client);
        property_add(&connect.properties, variants[i].id, variants[i].value);
        refusal_connect(&refusal, &connect, 0x82, variants[i].name);
    }
    struct packet connect = connect_of(refusal.client);
    property_add_text(&connect.properties, AUTHENTICATION_DATA, TEXT("data"));
    refusal_connect(&refusal, &connect, 0x82, "Authentication Data without a method");
    refusal_end(&refusal);
}

CASE(property_values_at_their_limits_are_taken, .v5 = "MQTT-3.1.4-5",
     .sends = "CONNECT with the lowest and the highest values of its numeric properties",
     .allowed = "CONNACK 0x00 for each of them, and a connection that works",
     .faults = "refuses_large_maximum")
{
    static const struct {
        enum property_id id;
        uint32_t value;
    } variants[] = {
        {SESSION_EXPIRY_INTERVAL, 0},
        {SESSION_EXPIRY_INTERVAL, UINT32_MAX - 1},
        {SESSION_EXPIRY_INTERVAL, UINT32_MAX},
        {RECEIVE_MAXIMUM, 1},
        {RECEIVE_MAXIMUM, 65535},
        {MAXIMUM_PACKET_SIZE, 268435460},
        {MAXIMUM_PACKET_SIZE, UINT32_MAX},
        {TOPIC_ALIAS_MAXIMUM, 0},
        {TOPIC_ALIAS_MAXIMUM, 65535},
        {REQUEST_PROBLEM_INFORMATION, 0},
        {REQUEST_PROBLEM_INFORMATION, 1},
        {REQUEST_RESPONSE_INFORMATION, 0},
        {REQUEST_RESPONSE_INFORMATION, 1},
    };
    struct client *client = client_new(test, "limits");
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct packet connect = connect_of(client);
        property_add(&connect.properties, variants[i].id, variants[i].value);
        const struct packet *connack = client_connect(client, &connect);
        if (connack->reason_code != 0)
            fail(test, "CONNECT with %s %u was refused with 0x%02X", property_name(variants[i].id),
                 variants[i].value, connack->reason_code);
        expect_alive(client);
        /* Ends the session that a Session Expiry Interval may have left. */
        struct packet disconnect = {.type = DISCONNECT};
        if (variants[i].id == SESSION_EXPIRY_INTERVAL && variants[i].value > 0)
            property_add(&disconnect.properties, SESSION_EXPIRY_INTERVAL, 0);
        refusal_leave(client, &disconnect);
    }
}
