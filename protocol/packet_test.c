#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/packet.h"

static void packet_types_have_their_names(void **state)
{
    assert_string_equal(packet_type_name(0), "reserved");
    assert_string_equal(packet_type_name(PACKET_CONNECT), "CONNECT");
    assert_string_equal(packet_type_name(PACKET_PUBCOMP), "PUBCOMP");
    assert_string_equal(packet_type_name(PACKET_UNSUBACK), "UNSUBACK");
    assert_string_equal(packet_type_name(PACKET_AUTH), "AUTH");
    assert_string_equal(packet_type_name(16), "reserved");
}

/* The version to answer in is known although the CONNECT is not taken. */
static void a_refused_connect_tells_its_version(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum mqtt_version version;
    } cases[] = {
        {"\x10\x0A\0\4MQTT\5\3\0\0", 12, MQTT_VERSION_5},
        {"\x10\x0A\0\4MQTT\4\3\0\0", 12, MQTT_VERSION_311},
        {"\x10\x0C\0\6MQIsdp\3\3\0\0", 14, MQTT_VERSION_31},
        {"\x10\x0A\0\4MQTT\6\0\0\0", 12, MQTT_VERSION_5},
        {"\x10\x0A\0\4MQTT\3\0\0\0", 12, MQTT_VERSION_311},
        {"\x10\x0C\0\6MQIsdp\4\0\0\0", 14, MQTT_VERSION_311},
        {"\x10\x0A\0\4HTTP\1\0\0\0", 12, MQTT_VERSION_5},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct packet packet;
        struct refusal refusal;

        memset(&packet, 0xA5, sizeof packet);
        assert_false(packet_decode(MQTT_VERSION_5, true, (const uint8_t *)cases[i].bytes,
                                   cases[i].size, 2, &packet, &refusal));
        assert_int_equal(packet.type, PACKET_CONNECT);
        assert_int_equal(packet.connect.version, cases[i].version);
    }
}

static void a_decoded_packet_points_into_its_frame(void **state)
{
    static const uint8_t frame[] = {0x32, 0x0D, 0, 1, 't', 0, 7, 4, 0x03, 0, 1, 'x', 'p', 'a', 'y'};
    struct publish publish;
    struct refusal refusal;

    assert_true(publish_decode(MQTT_VERSION_5, true, frame, sizeof frame, 2, &publish, &refusal));
    assert_ptr_equal(publish.topic_name.data, frame + 4);
    assert_ptr_equal(publish.properties.raw.data, frame + 8);
    assert_int_equal(publish.properties.raw.size, 4);
    assert_ptr_equal(publish.properties.content_type.data, frame + 11);
    assert_ptr_equal(publish.payload.data, frame + 12);
    assert_int_equal(publish.payload.size, 3);
}

/* The struct is large, and a PUBLISH without properties is most of them. */
static void absent_properties_are_not_touched(void **state)
{
    static const uint8_t frame[] = {0x30, 0x05, 0, 1, 't', 0, 'p'};
    struct publish publish;
    struct refusal refusal;

    memset(&publish, 0xA5, sizeof publish);
    assert_true(publish_decode(MQTT_VERSION_5, true, frame, sizeof frame, 2, &publish, &refusal));
    assert_int_equal(publish.properties.present, 0);
    assert_int_equal(publish.properties.raw.size, 0);
    assert_int_equal(publish.properties.message_expiry_interval_s, 0xA5A5A5A5);
}

/* A frame whose header was longer than it had to be for its size. */
static void offsets_count_from_the_first_byte_of_the_frame(void **state)
{
    uint8_t frame[200] = {0x30, 0xC5, 0x01, 0, 3, 'a', '+', 'b'};
    struct packet packet;
    struct refusal refusal;

    assert_false(packet_decode(MQTT_VERSION_311, true, frame, sizeof frame, 3, &packet, &refusal));
    assert_int_equal(refusal.offset, 6);
    assert_string_equal(refusal.statement, "MQTT-3.3.2-2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_types_have_their_names),
        cmocka_unit_test(a_refused_connect_tells_its_version),
        cmocka_unit_test(a_decoded_packet_points_into_its_frame),
        cmocka_unit_test(absent_properties_are_not_touched),
        cmocka_unit_test(offsets_count_from_the_first_byte_of_the_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
