/* property.def against facts copied from the tables of the specification by hand, by way of the
 * decoder: each property, in each place, once and twice, from each side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/packet.h"
#include "protocol/property.h"

/* 5.0 Table 2-4. Places: C CONNECT, W Will, c CONNACK, P PUBLISH, a PUBACK, r PUBREC, l PUBREL,
 * p PUBCOMP, S SUBSCRIBE, s SUBACK, U UNSUBSCRIBE, u UNSUBACK, D DISCONNECT, A AUTH.
 * `bytes` is an example of the property. */
static const struct fact {
    enum property property;
    const char *name;
    const char *places;
    uint8_t size;
    uint8_t bytes[8];
} facts[] = {
    {PROPERTY_PAYLOAD_FORMAT_INDICATOR, "Payload Format Indicator", "PW", 2, {0x01, 1}},
    {PROPERTY_MESSAGE_EXPIRY_INTERVAL, "Message Expiry Interval", "PW", 5, {0x02, 0, 0, 0, 1}},
    {PROPERTY_CONTENT_TYPE, "Content Type", "PW", 4, {0x03, 0, 1, 'x'}},
    {PROPERTY_RESPONSE_TOPIC, "Response Topic", "PW", 4, {0x08, 0, 1, 'x'}},
    {PROPERTY_CORRELATION_DATA, "Correlation Data", "PW", 4, {0x09, 0, 1, 0xFF}},
    {PROPERTY_SUBSCRIPTION_IDENTIFIER, "Subscription Identifier", "PS", 3, {0x0B, 0x80, 1}},
    {PROPERTY_SESSION_EXPIRY_INTERVAL, "Session Expiry Interval", "CcD", 5, {0x11, 0, 0, 0, 1}},
    {PROPERTY_ASSIGNED_CLIENT_IDENTIFIER, "Assigned Client Identifier", "c", 4, {0x12, 0, 1, 'x'}},
    {PROPERTY_SERVER_KEEP_ALIVE, "Server Keep Alive", "c", 3, {0x13, 0, 1}},
    {PROPERTY_AUTHENTICATION_METHOD, "Authentication Method", "CcA", 4, {0x15, 0, 1, 'x'}},
    {PROPERTY_AUTHENTICATION_DATA, "Authentication Data", "CcA", 4, {0x16, 0, 1, 0xFF}},
    {PROPERTY_REQUEST_PROBLEM_INFORMATION, "Request Problem Information", "C", 2, {0x17, 1}},
    {PROPERTY_WILL_DELAY_INTERVAL, "Will Delay Interval", "W", 5, {0x18, 0, 0, 0, 1}},
    {PROPERTY_REQUEST_RESPONSE_INFORMATION, "Request Response Information", "C", 2, {0x19, 1}},
    {PROPERTY_RESPONSE_INFORMATION, "Response Information", "c", 4, {0x1A, 0, 1, 'x'}},
    {PROPERTY_SERVER_REFERENCE, "Server Reference", "cD", 4, {0x1C, 0, 1, 'x'}},
    {PROPERTY_REASON_STRING, "Reason String", "carlpsuDA", 4, {0x1F, 0, 1, 'x'}},
    {PROPERTY_RECEIVE_MAXIMUM, "Receive Maximum", "Cc", 3, {0x21, 0, 1}},
    {PROPERTY_TOPIC_ALIAS_MAXIMUM, "Topic Alias Maximum", "Cc", 3, {0x22, 0, 1}},
    {PROPERTY_TOPIC_ALIAS, "Topic Alias", "P", 3, {0x23, 0, 1}},
    {PROPERTY_MAXIMUM_QOS, "Maximum QoS", "c", 2, {0x24, 1}},
    {PROPERTY_RETAIN_AVAILABLE, "Retain Available", "c", 2, {0x25, 1}},
    {PROPERTY_USER_PROPERTY, "User Property", "CcPWarlpSsUuDA", 7, {0x26, 0, 1, 'x', 0, 1, 'y'}},
    {PROPERTY_MAXIMUM_PACKET_SIZE, "Maximum Packet Size", "Cc", 5, {0x27, 0, 0, 0, 1}},
    {PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE,
     "Wildcard Subscription Available",
     "c",
     2,
     {0x28, 1}},
    {PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE,
     "Subscription Identifier Available",
     "c",
     2,
     {0x29, 1}},
    {PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE, "Shared Subscription Available", "c", 2, {0x2A, 1}},
};

/* A packet around properties: what stands before the Property Length, and what behind. */
static const struct place {
    char letter;
    bool from_server, from_client;
    uint8_t first;
    const char *before;
    uint8_t before_size;
    const char *behind;
    uint8_t behind_size;
} places[] = {
    {'C', false, true, 0x10, "\0\4MQTT\5\2\0\0", 10, "\0\1c", 3},
    {'W', false, true, 0x10, "\0\4MQTT\5\6\0\0\0\0\1c", 14, "\0\1w\0\1p", 6},
    {'c', true, false, 0x20, "\0\0", 2, "", 0},
    {'P', true, true, 0x30, "\0\1t", 3, "p", 1},
    {'a', true, true, 0x40, "\0\1\0", 3, "", 0},
    {'r', true, true, 0x50, "\0\1\0", 3, "", 0},
    {'l', true, true, 0x62, "\0\1\0", 3, "", 0},
    {'p', true, true, 0x70, "\0\1\0", 3, "", 0},
    {'S', false, true, 0x82, "\0\1", 2, "\0\1f\0", 4},
    {'s', true, false, 0x90, "\0\1", 2, "\0", 1},
    {'U', false, true, 0xA2, "\0\1", 2, "\0\1f", 3},
    {'u', true, false, 0xB0, "\0\1", 2, "\0", 1},
    {'D', true, true, 0xE0, "\0", 1, "", 0},
    {'A', true, true, 0xF0, "\x18", 1, "", 0},
};

static bool decode(const struct place *place, bool as_server, const uint8_t *properties,
                   size_t size, struct packet *packet, struct refusal *refusal)
{
    static uint8_t frame[128];
    uint8_t *p = frame + 2;

    frame[0] = place->first;
    p = put_bytes(p, bytes_of(place->before, place->before_size));
    *p++ = (uint8_t)size;
    p = put_bytes(p, bytes_of(properties, size));
    p = put_bytes(p, bytes_of(place->behind, place->behind_size));
    frame[1] = (uint8_t)(p - frame - 2);
    return packet_decode(MQTT_VERSION_5, as_server, frame, (size_t)(p - frame), 2, packet, refusal);
}

/* The property `count` times. In an AUTH and beside Authentication Data there is a method too. */
static size_t repeat(const struct fact *fact, char place, unsigned count, uint8_t *out)
{
    uint8_t *p = out;

    if (fact->property != PROPERTY_AUTHENTICATION_METHOD &&
        (place == 'A' ||
         (fact->property == PROPERTY_AUTHENTICATION_DATA && strchr(fact->places, place) != NULL)))
        p = put_bytes(p, bytes_of("\x15\0\1m", 4));
    for (unsigned i = 0; i < count; i++)
        p = put_bytes(p, bytes_of(fact->bytes, fact->size));
    return (size_t)(p - out);
}

static bool may_stand(const struct fact *fact, const struct place *place, bool as_server)
{
    if (strchr(fact->places, place->letter) == NULL)
        return false;
    if (fact->property == PROPERTY_SUBSCRIPTION_IDENTIFIER && place->letter == 'P')
        return !as_server; /* MQTT-3.3.4-6 */
    if (fact->property == PROPERTY_SESSION_EXPIRY_INTERVAL && place->letter == 'D')
        return as_server; /* MQTT-3.14.2-2 */
    return true;
}

static bool may_repeat(const struct fact *fact, const struct place *place)
{
    return fact->property == PROPERTY_USER_PROPERTY ||
           (fact->property == PROPERTY_SUBSCRIPTION_IDENTIFIER && place->letter == 'P');
}

static void check(const struct fact *fact, const struct place *place, bool as_server)
{
    uint8_t once[32], twice[32];
    size_t once_size = repeat(fact, place->letter, 1, once);
    size_t twice_size = repeat(fact, place->letter, 2, twice);
    struct packet packet;
    struct refusal refusal;
    bool in_table = strchr(fact->places, place->letter) != NULL;
    bool stands = decode(place, as_server, once, once_size, &packet, &refusal);

    if (stands != may_stand(fact, place, as_server))
        fail_msg("%s in %c", fact->name, place->letter);
    if (!stands) {
        assert_int_equal(refusal.reason_code,
                         in_table ? REASON_PROTOCOL_ERROR : REASON_MALFORMED_PACKET);
        assert_non_null(strstr(refusal.what, fact->name));
        return;
    }
    bool repeats = decode(place, as_server, twice, twice_size, &packet, &refusal);
    if (repeats != may_repeat(fact, place))
        fail_msg("%s twice in %c", fact->name, place->letter);
    if (!repeats)
        assert_int_equal(refusal.reason_code, REASON_PROTOCOL_ERROR);
}

static void every_property_stands_where_table_2_4_says(void **state)
{
    assert_int_equal(sizeof facts / sizeof facts[0], PROPERTY_COUNT);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            if (places[j].from_client)
                check(&facts[i], &places[j], true);
            if (places[j].from_server)
                check(&facts[i], &places[j], false);
        }
    }
}

static void every_identifier_has_its_property_and_no_other_byte_has_one(void **state)
{
    unsigned found = 0;

    for (unsigned identifier = 0; identifier <= 0xFF; identifier++) {
        enum property expected = PROPERTY_COUNT;
        for (size_t i = 0; i < PROPERTY_COUNT; i++) {
            if (facts[i].bytes[0] == identifier)
                expected = facts[i].property;
        }
        assert_int_equal(property_of_identifier((uint8_t)identifier), expected);
        found += expected != PROPERTY_COUNT;
    }
    assert_int_equal(found, 27);
}

static void every_property_has_its_name(void **state)
{
    for (size_t i = 0; i < PROPERTY_COUNT; i++)
        assert_string_equal(property_table[facts[i].property].name, facts[i].name);
}

/* Of each property cut short, nothing is read behind the Property Length. */
static void a_property_is_never_read_past_its_end(void **state)
{
    for (size_t i = 0; i < PROPERTY_COUNT; i++) {
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            bool as_server = places[j].from_client;
            struct packet packet;
            struct refusal refusal;

            if (!may_stand(&facts[i], &places[j], as_server) || places[j].letter == 'A')
                continue;
            for (size_t size = 1; size < facts[i].size; size++) {
                assert_false(
                    decode(&places[j], as_server, facts[i].bytes, size, &packet, &refusal));
                assert_string_equal(refusal.statement, "5.0 section 2.2.2.1");
            }
        }
    }
}

/* ---- Walking and forwarding ---- */

static void user_properties_are_found_in_order(void **state)
{
    static const uint8_t raw[] = {0x26, 0, 1, 'a', 0, 1,    '1', 0x0B, 0x80, 0x01, 0x09, 0, 1, 0x26,
                                  0x26, 0, 0, 0,   0, 0x01, 1,   0x26, 0,    1,    'a',  0, 1, '2'};
    static const char *const expected[][2] = {{"a", "1"}, {"", ""}, {"a", "2"}};
    struct bytes name, value;
    size_t cursor = 0, i = 0;

    for (; properties_next_user_property(bytes_of(raw, sizeof raw), &cursor, &name, &value); i++) {
        assert_true(i < 3);
        assert_true(bytes_equal(name, bytes_of_text(expected[i][0])));
        assert_true(bytes_equal(value, bytes_of_text(expected[i][1])));
    }
    assert_int_equal(i, 3);
    cursor = 0;
    assert_false(properties_next_user_property((struct bytes){0}, &cursor, &name, &value));
}

/* Everything that a PUBLISH or a Will can have, what the Server keeps to itself in between. */
static void what_is_of_one_hop_is_not_forwarded(void **state)
{
    static const uint8_t raw[] = {
        0x23, 0,    5,                     /* Topic Alias */
        0x01, 1,                           /* Payload Format Indicator */
        0x02, 0,    0,    0,    9,         /* Message Expiry Interval */
        0x26, 0,    1,    'k',  0,    0,   /* User Property */
        0x0B, 0xC8, 0x01,                  /* Subscription Identifier */
        0x03, 0,    1,    't',             /* Content Type */
        0x0B, 0x01,                        /* Subscription Identifier */
        0x08, 0,    1,    'r',             /* Response Topic */
        0x18, 0,    0,    0,    1,         /* Will Delay Interval */
        0x26, 0,    0,    0,    1,    'v', /* User Property */
        0x09, 0,    2,    0x23, 0x02,      /* Correlation Data */
    };
    static const uint8_t expected[] = {
        0x01, 1,   0x26, 0, 1, 'k', 0, 0,   0x03, 0, 1, 't',  0x08, 0,
        1,    'r', 0x26, 0, 0, 0,   1, 'v', 0x09, 0, 2, 0x23, 0x02,
    };
    uint8_t out[sizeof raw];
    size_t size = properties_forwardable(bytes_of(raw, sizeof raw), out);

    assert_int_equal(size, sizeof expected);
    assert_memory_equal(out, expected, size);
    assert_int_equal(properties_forwardable((struct bytes){0}, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_property_stands_where_table_2_4_says),
        cmocka_unit_test(every_identifier_has_its_property_and_no_other_byte_has_one),
        cmocka_unit_test(every_property_has_its_name),
        cmocka_unit_test(a_property_is_never_read_past_its_end),
        cmocka_unit_test(user_properties_are_found_in_order),
        cmocka_unit_test(what_is_of_one_hop_is_not_forwarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
