/* The encoder's own decisions. What packets look like is in fixtures/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/packet.h"

static void assert_encodes(enum mqtt_version version, const struct packet *packet,
                           const void *expected, size_t size)
{
    uint8_t out[256];

    assert_int_equal(packet_encode(version, packet, out, sizeof out), size);
    assert_memory_equal(out, expected, size);
}

static void acknowledgements_before_5_0_have_no_reason_code(void **state)
{
    struct packet packet = {.type = PACKET_PUBREC,
                            .acknowledgement = {.packet_identifier = 7, .reason_code = 0x97}};

    assert_encodes(MQTT_VERSION_311, &packet, "\x50\x02\x00\x07", 4);
    assert_encodes(MQTT_VERSION_31, &packet, "\x50\x02\x00\x07", 4);
    assert_encodes(MQTT_VERSION_5, &packet, "\x50\x03\x00\x07\x97", 5);
}

static void a_success_with_properties_is_spelt_out(void **state)
{
    struct packet packet = {.type = PACKET_PUBACK, .acknowledgement = {.packet_identifier = 7}};
    struct properties *properties = &packet.acknowledgement.properties;

    properties->present = 1u << PROPERTY_REASON_STRING;
    properties->reason_string = bytes_of_text("ok");
    assert_encodes(MQTT_VERSION_5, &packet, "\x40\x09\x00\x07\x00\x05\x1F\x00\x02ok", 11);
    assert_encodes(MQTT_VERSION_311, &packet, "\x40\x02\x00\x07", 4);
}

static void user_properties_come_last_as_they_are(void **state)
{
    struct packet packet = {.type = PACKET_DISCONNECT, .disconnect = {.reason_code = 0x8B}};
    struct properties *properties = &packet.disconnect.properties;

    properties->present = 1u << PROPERTY_USER_PROPERTY | 1u << PROPERTY_REASON_STRING |
                          1u << PROPERTY_SERVER_REFERENCE;
    properties->server_reference = bytes_of_text("s");
    properties->reason_string = bytes_of_text("r");
    properties->user_properties = bytes_of("\x26\0\1k\0\1v\x26\0\0\0\0", 12);
    assert_encodes(MQTT_VERSION_5, &packet,
                   "\xE0\x16\x8B\x14\x1C\0\1s\x1F\0\1r\x26\0\1k\0\1v\x26\0\0\0\0", 24);
}

static void a_failure_before_5_0_is_0x80(void **state)
{
    struct packet packet = {
        .type = PACKET_SUBACK,
        .suback = {.packet_identifier = 1, .reason_codes = bytes_of("\x02\x87\x00\xA2", 4)},
    };

    assert_encodes(MQTT_VERSION_311, &packet, "\x90\x06\x00\x01\x02\x80\x00\x80", 8);
    assert_encodes(MQTT_VERSION_5, &packet, "\x90\x07\x00\x01\x00\x02\x87\x00\xA2", 9);
}

static void an_unsuback_before_5_0_has_no_payload(void **state)
{
    struct packet packet = {
        .type = PACKET_UNSUBACK,
        .unsuback = {.packet_identifier = 1, .reason_codes = bytes_of("\x00\x11", 2)},
    };

    assert_encodes(MQTT_VERSION_31, &packet, "\xB0\x02\x00\x01", 4);
    assert_encodes(MQTT_VERSION_5, &packet, "\xB0\x05\x00\x01\x00\x00\x11", 7);
}

static void a_connack_before_5_0_has_two_bytes(void **state)
{
    struct packet packet = {.type = PACKET_CONNACK, .connack = {.session_present = true}};

    packet.connack.properties.present = 1u << PROPERTY_RECEIVE_MAXIMUM;
    packet.connack.properties.receive_maximum = 10;
    assert_encodes(MQTT_VERSION_31, &packet, "\x20\x02\x00\x00", 4);
    assert_encodes(MQTT_VERSION_311, &packet, "\x20\x02\x01\x00", 4);
    assert_encodes(MQTT_VERSION_5, &packet, "\x20\x06\x01\x00\x03\x21\x00\x0A", 8);
}

static void nothing_is_written_into_too_small_a_buffer(void **state)
{
    struct packet packet = {.type = PACKET_PINGRESP};
    struct packet puback = {.type = PACKET_PUBACK, .acknowledgement = {.packet_identifier = 1}};
    uint8_t out[4] = {0x5A, 0x5A, 0x5A, 0x5A};

    assert_int_equal(packet_encode(MQTT_VERSION_5, &packet, out, 1), 2);
    assert_int_equal(packet_encode(MQTT_VERSION_5, &puback, out, 3), 4);
    for (size_t i = 0; i < sizeof out; i++)
        assert_int_equal(out[i], 0x5A);
}

/* The bytes are never looked at: nothing is written for want of room. */
static struct packet publish_of(size_t payload_size)
{
    static const uint8_t byte;

    return (struct packet){
        .type = PACKET_PUBLISH,
        .publish = {.topic_name = bytes_of_text("t"), .payload = bytes_of(&byte, payload_size)},
    };
}

static void the_remaining_length_grows_with_the_packet(void **state)
{
    static const struct {
        size_t remaining_length, size;
    } cases[] = {
        {127, 129},         {128, 131},         {16383, 16386},         {16384, 16388},
        {2097151, 2097155}, {2097152, 2097157}, {268435455, 268435460},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct packet packet = publish_of(cases[i].remaining_length - 3);
        assert_int_equal(packet_encode(MQTT_VERSION_311, &packet, NULL, 0), cases[i].size);
    }
}

static void a_packet_that_no_remaining_length_can_say_has_no_size(void **state)
{
    struct packet packet = publish_of(268435455 - 2);
    struct publish_head head = {.topic_name = bytes_of_text("t"), .payload_size = 268435455 - 3};
    size_t packet_size;

    assert_true(packet_encode(MQTT_VERSION_311, &packet, NULL, 0) == SIZE_MAX);
    assert_int_equal(publish_head_encode(MQTT_VERSION_311, &head, NULL, 0, &packet_size), 8);
    assert_int_equal(packet_size, 268435460);
    head.payload_size++;
    assert_true(publish_head_encode(MQTT_VERSION_311, &head, NULL, 0, &packet_size) == SIZE_MAX);
    assert_true(packet_size == SIZE_MAX);
    head.payload_size = SIZE_MAX;
    assert_true(publish_head_encode(MQTT_VERSION_5, &head, NULL, 0, &packet_size) == SIZE_MAX);
}

static void a_head_has_everything_but_the_payload(void **state)
{
    static const uint32_t identifiers[] = {1, 200};
    static const char expected[] =
        "\x3D\x26\x00\x02"
        "ab\x12\x34\x13"
        "\x23\x00\x05\x02\x00\x00\x00\x09\x0B\x01\x0B\xC8\x01\x01\x01\x03\x00\x01t";
    struct publish_head head = {
        .dup = true,
        .retain = true,
        .qos = 2,
        .packet_identifier = 0x1234,
        .topic_alias = 5,
        .has_message_expiry_interval = true,
        .message_expiry_interval_s = 9,
        .subscription_identifiers = identifiers,
        .subscription_identifier_count = 2,
        .topic_name = bytes_of_text("ab"),
        .properties = bytes_of("\x01\x01\x03\x00\x01t", 6),
        .payload_size = 12,
    };
    uint8_t out[64];
    size_t packet_size;

    memset(out, 0x5A, sizeof out);
    assert_int_equal(publish_head_encode(MQTT_VERSION_5, &head, out, 27, &packet_size), 28);
    assert_int_equal(out[0], 0x5A);
    assert_int_equal(publish_head_encode(MQTT_VERSION_5, &head, out, 28, &packet_size), 28);
    assert_int_equal(packet_size, 40);
    assert_memory_equal(out, expected, 28);
    assert_int_equal(out[28], 0x5A);
}

static void a_head_before_5_0_has_no_properties(void **state)
{
    static const uint32_t identifiers[] = {1};
    struct publish_head head = {
        .qos = 1,
        .packet_identifier = 7,
        .topic_alias = 5,
        .has_message_expiry_interval = true,
        .subscription_identifiers = identifiers,
        .subscription_identifier_count = 1,
        .topic_name = bytes_of_text("ab"),
        .properties = bytes_of("\x01\x01", 2),
        .payload_size = 1,
    };
    uint8_t out[64];
    size_t packet_size;

    assert_int_equal(publish_head_encode(MQTT_VERSION_311, &head, out, sizeof out, &packet_size),
                     8);
    assert_int_equal(packet_size, 9);
    assert_memory_equal(out,
                        "\x32\x07\x00\x02"
                        "ab\x00\x07",
                        8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledgements_before_5_0_have_no_reason_code),
        cmocka_unit_test(a_success_with_properties_is_spelt_out),
        cmocka_unit_test(user_properties_come_last_as_they_are),
        cmocka_unit_test(a_failure_before_5_0_is_0x80),
        cmocka_unit_test(an_unsuback_before_5_0_has_no_payload),
        cmocka_unit_test(a_connack_before_5_0_has_two_bytes),
        cmocka_unit_test(nothing_is_written_into_too_small_a_buffer),
        cmocka_unit_test(the_remaining_length_grows_with_the_packet),
        cmocka_unit_test(a_packet_that_no_remaining_length_can_say_has_no_size),
        cmocka_unit_test(a_head_has_everything_but_the_payload),
        cmocka_unit_test(a_head_before_5_0_has_no_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
