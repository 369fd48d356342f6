/* UTF-8 Encoded Strings and string pairs (5.0 sections 1.5.4, 1.5.7; 3.1.1 section 1.5.3). */
#include "conformance/cases/refusal.h"

#include <stdio.h>

/* Every string that a client writes and whose refusal cannot be mistaken for anything else. */
enum string_field {
    CONNECT_CLIENT_ID,
    CONNECT_WILL_TOPIC,
    CONNECT_USER_NAME,
    PUBLISH_TOPIC,
    SUBSCRIBE_FILTER,
    UNSUBSCRIBE_FILTER,
    STRING_FIELDS_311,

    CONNECT_USER_PROPERTY_NAME = STRING_FIELDS_311,
    CONNECT_USER_PROPERTY_VALUE,
    WILL_CONTENT_TYPE,
    WILL_RESPONSE_TOPIC,
    WILL_USER_PROPERTY_NAME,
    WILL_USER_PROPERTY_VALUE,
    PUBLISH_CONTENT_TYPE,
    PUBLISH_RESPONSE_TOPIC,
    PUBLISH_USER_PROPERTY_NAME,
    PUBLISH_USER_PROPERTY_VALUE,
    PUBACK_REASON_STRING,
    SUBSCRIBE_USER_PROPERTY_NAME,
    SUBSCRIBE_USER_PROPERTY_VALUE,
    UNSUBSCRIBE_USER_PROPERTY_NAME,
    UNSUBSCRIBE_USER_PROPERTY_VALUE,
    STRING_FIELDS_5,
};

static const char *const field_names[] = {
    [CONNECT_CLIENT_ID] = "Client Identifier",
    [CONNECT_WILL_TOPIC] = "Will Topic",
    [CONNECT_USER_NAME] = "User Name",
    [PUBLISH_TOPIC] = "Topic Name of PUBLISH",
    [SUBSCRIBE_FILTER] = "Topic Filter of SUBSCRIBE",
    [UNSUBSCRIBE_FILTER] = "Topic Filter of UNSUBSCRIBE",
    [CONNECT_USER_PROPERTY_NAME] = "name of a User Property of CONNECT",
    [CONNECT_USER_PROPERTY_VALUE] = "value of a User Property of CONNECT",
    [WILL_CONTENT_TYPE] = "Content Type of the will",
    [WILL_RESPONSE_TOPIC] = "Response Topic of the will",
    [WILL_USER_PROPERTY_NAME] = "name of a User Property of the will",
    [WILL_USER_PROPERTY_VALUE] = "value of a User Property of the will",
    [PUBLISH_CONTENT_TYPE] = "Content Type of PUBLISH",
    [PUBLISH_RESPONSE_TOPIC] = "Response Topic of PUBLISH",
    [PUBLISH_USER_PROPERTY_NAME] = "name of a User Property of PUBLISH",
    [PUBLISH_USER_PROPERTY_VALUE] = "value of a User Property of PUBLISH",
    [PUBACK_REASON_STRING] = "Reason String of PUBACK",
    [SUBSCRIBE_USER_PROPERTY_NAME] = "name of a User Property of SUBSCRIBE",
    [SUBSCRIBE_USER_PROPERTY_VALUE] = "value of a User Property of SUBSCRIBE",
    [UNSUBSCRIBE_USER_PROPERTY_NAME] = "name of a User Property of UNSUBSCRIBE",
    [UNSUBSCRIBE_USER_PROPERTY_VALUE] = "value of a User Property of UNSUBSCRIBE",
};

static struct property pair_of(struct text name, struct text value)
{
    return (struct property){.id = USER_PROPERTY, .text = name, .value = value};
}

static void append(struct properties *properties, struct property property)
{
    properties->list[properties->count++] = property;
}

static struct packet connect_with(struct client *client, enum string_field field, struct text text)
{
    struct packet connect = connect_of(client);
    struct properties *will = &connect.will_properties;
    if (field == CONNECT_WILL_TOPIC || (field >= WILL_CONTENT_TYPE && field < PUBLISH_CONTENT_TYPE))
        connect.will_topic = topic_of(client->test, "will");
    if (field == CONNECT_CLIENT_ID)
        connect.client_id = text;
    else if (field == CONNECT_WILL_TOPIC)
        connect.will_topic = text;
    else if (field == CONNECT_USER_NAME)
        connect.user_name = text;
    else if (field == CONNECT_USER_PROPERTY_NAME)
        append(&connect.properties, pair_of(text, TEXT("value")));
    else if (field == CONNECT_USER_PROPERTY_VALUE)
        append(&connect.properties, pair_of(TEXT("name"), text));
    else if (field == WILL_CONTENT_TYPE)
        property_add_text(will, CONTENT_TYPE, text);
    else if (field == WILL_RESPONSE_TOPIC)
        property_add_text(will, RESPONSE_TOPIC, text);
    else if (field == WILL_USER_PROPERTY_NAME)
        append(will, pair_of(text, TEXT("value")));
    else
        append(will, pair_of(TEXT("name"), text));
    return connect;
}

static struct packet publish_with(struct client *client, enum string_field field, struct text text)
{
    struct packet publish = {.type = PUBLISH, .topic = topic_of(client->test, "strings")};
    if (field == PUBLISH_TOPIC)
        publish.topic = text;
    else if (field == PUBLISH_CONTENT_TYPE)
        property_add_text(&publish.properties, CONTENT_TYPE, text);
    else if (field == PUBLISH_RESPONSE_TOPIC)
        property_add_text(&publish.properties, RESPONSE_TOPIC, text);
    else if (field == PUBLISH_USER_PROPERTY_NAME)
        append(&publish.properties, pair_of(text, TEXT("value")));
    else
        append(&publish.properties, pair_of(TEXT("name"), text));
    return publish;
}

static struct packet subscribe_with(struct client *client, enum string_field field,
                                    struct text text)
{
    bool unsubscribe = field == UNSUBSCRIBE_FILTER || field == UNSUBSCRIBE_USER_PROPERTY_NAME ||
                       field == UNSUBSCRIBE_USER_PROPERTY_VALUE;
    struct packet packet = {.type = unsubscribe ? UNSUBSCRIBE : SUBSCRIBE, .packet_id = 7};
    packet.filters[packet.filter_count++].filter = topic_of(client->test, "strings");
    if (field == SUBSCRIBE_FILTER || field == UNSUBSCRIBE_FILTER)
        packet.filters[0].filter = text;
    else if (field == SUBSCRIBE_USER_PROPERTY_NAME || field == UNSUBSCRIBE_USER_PROPERTY_NAME)
        append(&packet.properties, pair_of(text, TEXT("value")));
    else
        append(&packet.properties, pair_of(TEXT("name"), text));
    return packet;
}

static void refuse_string(struct refusal *refusal, enum string_field field, struct text text,
                          const char *kind)
{
    struct client *client = refusal->client;
    char variant[160];
    snprintf(variant, sizeof variant, "%s in the %s", kind, field_names[field]);
    struct packet packet;
    switch (field) {
    case CONNECT_CLIENT_ID:
    case CONNECT_WILL_TOPIC:
    case CONNECT_USER_NAME:
    case CONNECT_USER_PROPERTY_NAME ... WILL_USER_PROPERTY_VALUE:
        packet = connect_with(client, field, text);
        refusal_connect(refusal, &packet, 0, variant);
        return;
    case PUBLISH_TOPIC:
    case PUBLISH_CONTENT_TYPE ... PUBLISH_USER_PROPERTY_VALUE:
        packet = publish_with(client, field, text);
        break;
    case PUBACK_REASON_STRING:
        packet = (struct packet){.type = PUBACK, .packet_id = 7};
        property_add_text(&packet.properties, REASON_STRING, text);
        break;
    default:
        packet = subscribe_with(client, field, text);
    }
    refusal_packet(refusal, &packet, 0, variant);
}

struct ill_formed {
    const char *kind;
    struct text text;
};

static const struct ill_formed ill_formed[] = {
    {"a continuation byte on its own", {(const uint8_t *)"a\x80z", 3}},
    {"a lead byte without its continuation", {(const uint8_t *)"a\xC3z", 3}},
    {"a sequence cut off at the end", {(const uint8_t *)"ab\xE2\x82", 4}},
    {"an overlong '/' of two bytes", {(const uint8_t *)"a\xC0\xAFz", 4}},
    {"an overlong '/' of three bytes", {(const uint8_t *)"a\xE0\x80\xAFz", 5}},
    {"an overlong '/' of four bytes", {(const uint8_t *)"a\xF0\x80\x80\xAFz", 6}},
    {"an overlong U+0000", {(const uint8_t *)"a\xC0\x80z", 4}},
    {"the surrogate U+D800", {(const uint8_t *)"a\xED\xA0\x80z", 5}},
    {"the surrogate U+DFFF", {(const uint8_t *)"a\xED\xBF\xBFz", 5}},
    {"a pair of surrogates", {(const uint8_t *)"a\xED\xA0\xBD\xED\xB8\x80z", 8}},
    {"a code point above U+10FFFF", {(const uint8_t *)"a\xF4\x90\x80\x80z", 6}},
    {"the byte 0xFF", {(const uint8_t *)"a\xFFz", 3}},
};

static void refuse_all_kinds(struct refusal *refusal, enum string_field field)
{
    for (size_t i = 0; i < sizeof ill_formed / sizeof *ill_formed; i++)
        refuse_string(refusal, field, ill_formed[i].text, ill_formed[i].kind);
}

CASE(ill_formed_utf8_is_refused,
     .v5 = "MQTT-1.5.4-1 MQTT-3.1.3-4 MQTT-3.1.3-11 MQTT-3.1.3-12 MQTT-3.8.3-1 MQTT-3.10.3-1",
     .v311 = "MQTT-1.5.3-1 MQTT-3.1.3-4 MQTT-3.1.3-10 MQTT-3.1.3-11 MQTT-3.8.3-1 MQTT-3.10.3-1",
     .sends = "twelve kinds of ill-formed UTF-8 (overlong, surrogates, cut off, above U+10FFFF) in "
              "each string of CONNECT, PUBLISH, SUBSCRIBE and UNSUBSCRIBE",
     .allowed = "each of them closes the Network Connection; a 3.1.1 CONNECT without CONNACK",
     .faults = "accepts_bad_utf8 accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    for (enum string_field field = 0; field < STRING_FIELDS_311; field++)
        refuse_all_kinds(&refusal, field);
    refusal_end(&refusal);
}

CASE(ill_formed_utf8_in_properties_is_refused, .v5 = "MQTT-1.5.4-1 MQTT-1.5.7-1",
     .sends = "twelve kinds of ill-formed UTF-8 in both halves of User Properties and in the other "
              "string properties of CONNECT, the will, PUBLISH, PUBACK, SUBSCRIBE and UNSUBSCRIBE",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_bad_utf8 accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    for (enum string_field field = STRING_FIELDS_311; field < STRING_FIELDS_5; field++)
        refuse_all_kinds(&refusal, field);
    refusal_end(&refusal);
}

CASE(null_character_is_refused, .v5 = "MQTT-1.5.4-2 MQTT-1.5.7-1 MQTT-4.7.3-2",
     .v311 = "MQTT-1.5.3-2 MQTT-4.7.3-2", .sends = "U+0000 in each string that a client can write",
     .allowed = "each of them closes the Network Connection; a 3.1.1 CONNECT without CONNACK",
     .faults = "accepts_null_character accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    enum string_field end = test->version == VERSION_5 ? STRING_FIELDS_5 : STRING_FIELDS_311;
    for (enum string_field field = 0; field < end; field++)
        refuse_string(&refusal, field, TEXT("a\0z"), "U+0000");
    refusal_end(&refusal);
}

/* ---- What is well-formed passes as it is ---- */

CASE(strings_pass_unchanged, .v5 = "MQTT-1.5.4-1", .v311 = "MQTT-1.5.3-1 MQTT-4.7.3-4",
     .sends = "a topic with the first and last code points of each length of UTF-8",
     .allowed = "it is subscribed to and delivered as it is", .faults = "alters_topic strips_bom")
{
    /* U+00A0, U+07FF, U+0800, U+D7FF, U+E000, U+FEFF, U+FFFD, U+10000, U+10FFFD: what stands next
     * to the lengths and the surrogates; no control character and no noncharacter. */
    struct text topic = topic_of(test, "%s",
                                 "\xC2\xA0/\xDF\xBF/\xE0\xA0\x80/\xED\x9F\xBF/\xEE\x80\x80/"
                                 "\xEF\xBB\xBF/\xEF\xBF\xBD/\xF0\x90\x80\x80/\xF4\x8F\xBF\xBD");
    struct client *client = client_connected(test, "unchanged");
    client_subscribe(client, topic, 0);
    client_publish(client, topic, TEXT("here"), 0, false);
    expect_publish(client, topic, TEXT("here"));
}

CASE(
    byte_order_mark_is_kept_in_topics, .v5 = "MQTT-1.5.4-3", .v311 = "MQTT-1.5.3-3",
    .sends = "messages to topics that differ in U+FEFF (EF BB BF) alone, to one subscriber of each",
    .allowed = "each subscriber gets the message of its own topic, with every byte of its name",
    .faults = "strips_bom")
{
    need_qos(test, 1);
    struct text marked = topic_of(test, "x/\xEF\xBB\xBFy"), plain = topic_of(test, "x/y");
    struct client *with = client_connected(test, "with");
    struct client *without = client_connected(test, "without");
    struct client *publisher = client_connected(test, "pub");
    client_subscribe(with, marked, 0);
    client_subscribe(without, plain, 0);
    client_publish(publisher, marked, TEXT("marked"), 1, false);
    client_publish(publisher, plain, TEXT("plain"), 1, false);
    expect_publish(with, marked, TEXT("marked"));
    expect_publish(without, plain, TEXT("plain"));
    expect_quiet(with);
    expect_quiet(without);
}

CASE(byte_order_mark_is_kept_in_properties, .v5 = "MQTT-1.5.4-3",
     .sends = "a message whose Content Type, Response Topic and User Property begin with U+FEFF",
     .allowed = "the subscriber gets all of them with their first three bytes",
     .faults = "strips_bom drops_content_type")
{
    struct text topic = topic_of(test, "t"), marked = TEXT("\xEF\xBB\xBFmark");
    struct client *client = client_connected(test, "mark");
    client_subscribe(client, topic, 0);
    struct packet publish = {.type = PUBLISH, .topic = topic, .payload = TEXT("p")};
    property_add_text(&publish.properties, CONTENT_TYPE, marked);
    property_add_text(&publish.properties, RESPONSE_TOPIC, marked);
    append(&publish.properties, pair_of(marked, marked));
    client_publish_packet(client, &publish);
    struct packet got = expect_publish(client, topic, TEXT("p"));
    static const enum property_id ids[] = {CONTENT_TYPE, RESPONSE_TOPIC, USER_PROPERTY};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct property *property = property_find(&got.properties, ids[i]);
        if (!property)
            fail(test, "the message came without its %s", property_name(ids[i]));
        if (!text_equal(property->text, marked))
            fail(test, "U+FEFF at the front of the %s was lost", property_name(ids[i]));
        if (ids[i] == USER_PROPERTY && !text_equal(property->value, marked))
            fail(test, "U+FEFF at the front of a User Property's value was lost");
    }
}

/* ---- Lengths ---- */

CASE(string_beyond_its_packet_is_refused, .v5 = "MQTT-4.13.1-1 MQTT-3.1.4-1",
     .v311 = "MQTT-4.8.0-1 MQTT-3.1.4-1",
     .sends =
         "strings whose length says more bytes than the packet has left, at the end of CONNECT, "
         "PUBLISH, SUBSCRIBE and UNSUBSCRIBE",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_truncated_packet accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    bool v5 = test->version == VERSION_5;
    struct buffer bytes = {0};
    buffer_hex(&bytes, v5 ? "10 10 0004 4D515454 05 02 003C 00 0004 616263"
                          : "10 0F 0004 4D515454 04 02 003C 0004 616263");
    refusal_connect_bytes(&refusal, &bytes, 0x81, "a Client Identifier one byte too long");
    refusal_hex(&refusal, "30 05 0004 616263", 0x81, "a Topic Name one byte too long");
    refusal_hex(&refusal, "30 02 FFFF", 0x81, "a Topic Name of 65535 bytes that are not there");
    refusal_hex(&refusal, "30 01 00", 0x81, "a Topic Name of half a length");
    refusal_hex(&refusal, v5 ? "82 08 0001 00 0004 616263" : "82 07 0001 0004 616263", 0x81,
                "a Topic Filter one byte too long");
    refusal_hex(&refusal, v5 ? "A2 08 0001 00 0004 616263" : "A2 07 0001 0004 616263", 0x81,
                "a Topic Filter of UNSUBSCRIBE one byte too long");
    refusal_end(&refusal);
}

CASE(string_of_65535_bytes_is_taken, .v5 = "MQTT-4.7.3-4", .v311 = "MQTT-4.7.3-4",
     .sends = "a PUBLISH to a Topic Name of 65,535 bytes, and a SUBSCRIBE to the same",
     .allowed = "the message is delivered under the whole name, or refused with an error (a limit)",
     .why = "A length of 0xFFFF must not be taken for something else, and the name not be cut off. "
            "Servers may limit topics.",
     .faults = "truncates_topics")
{
    enum { LONGEST = 65535 };
    struct text short_topic = topic_of(test, "a/");
    uint8_t *name = test_alloc(test, LONGEST);
    for (size_t i = 0; i < LONGEST; i++)
        name[i] = i < short_topic.size ? short_topic.data[i] : 'x';
    struct text topic = {name, LONGEST};
    struct client *client = client_connected(test, "long");
    struct packet subscribe = {
        .type = SUBSCRIBE, .packet_id = 1, .filter_count = 1, .filters = {{topic, 0}}};
    struct packet suback;
    bool closed = false;
    client_send(client, &subscribe);
    if (!receive(client, test->time_limit_ms, &suback, &closed) && !closed)
        fail(test, "SUBSCRIBE to a Topic Filter of 65,535 bytes was not answered");
    if (closed || suback.type != SUBACK || suback.reason_codes.data[0] >= 0x80)
        not_applicable(test, "the server refuses Topic Filters of 65,535 bytes");
    struct packet publish = {.type = PUBLISH, .topic = topic, .payload = TEXT("p")};
    client_publish_start(client, &publish);
    struct packet got;
    if (!receive(client, test->time_limit_ms, &got, &closed) && !closed)
        fail(test, "a message under a Topic Name of 65,535 bytes did not come");
    if (closed || got.type == DISCONNECT)
        not_applicable(test, "the server refuses Topic Names of 65,535 bytes");
    if (got.type != PUBLISH || !text_equal(got.topic, topic))
        fail(test, "%s came, not the message under its whole name", packet_name(got.type));
}
