#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* The grammars' word on whatever publish_decode_quick() takes. Returns whether it did. */
static bool quick_agrees(enum mqtt_version version, const uint8_t *data, size_t size)
{
    struct publish quick, publish;
    size_t whole = publish_decode_quick(version, data, size, &quick);
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t header;

    if (whole == 0)
        return false;
    assert_int_equal(frame_parser_feed(&parser, true, data, size, &header, &refusal), FRAME_HEADER);
    assert_int_equal(parser.type, PACKET_PUBLISH);
    assert_int_equal(header + parser.remaining_length, whole);
    assert_true(publish_decode(version, true, data, whole, header, &publish, &refusal));
    assert_int_equal(quick.dup, publish.dup);
    assert_int_equal(quick.qos, publish.qos);
    assert_int_equal(quick.retain, publish.retain);
    assert_int_equal(quick.packet_identifier, publish.packet_identifier);
    assert_true(bytes_equal(quick.topic_name, publish.topic_name));
    assert_int_equal(publish.properties.present, 0);
    assert_int_equal(quick.properties.present, 0);
    assert_int_equal(quick.properties.raw.size, publish.properties.raw.size);
    assert_true(bytes_equal(quick.payload, publish.payload));
    return true;
}

/* Each with every value in each byte, and cut everywhere. */
static void the_quick_way_never_says_otherwise(void **state)
{
    static const uint8_t long_header[] = {0x30, 0x87, 0x01, 0, 3, 'a', '/', 'b', 0};
    uint8_t frames[5][140] = {
        {0x30, 13, 0, 9, 'b', 'e', 'n', 'c', 'h', '/', '1', '/', '2', 0, 'x'},
        {0x3D, 12, 0, 3, 'a', '/', 'b', 0, 7, 0, 'p', 'a', 'y', '!'},
        {0x30, 5, 0, 3, 'a', '/', 'b', 0x30, 3, 0, 1, 't'},
        {0x32, 7, 0, 3, 'a', '/', 'b', 0x80, 1},
    };
    static const size_t sizes[] = {15, 14, 12, 9, 138};
    unsigned taken = 0;

    memcpy(frames[4], long_header, sizeof long_header);
    for (unsigned i = 0; i < 5; i++) {
        for (size_t at = 0; at < (sizes[i] < 20 ? sizes[i] : 20); at++) {
            uint8_t before = frames[i][at];
            for (unsigned value = 0; value < 256; value++) {
                frames[i][at] = (uint8_t)value;
                for (size_t size = 0; size <= sizes[i]; size++) {
                    uint8_t *data = malloc(size + 1); /* for a sanitizer to see a byte too many */
                    assert_non_null(data);
                    memcpy(data + 1, frames[i], size);
                    taken += quick_agrees(MQTT_VERSION_5, data + 1, size);
                    taken += quick_agrees(MQTT_VERSION_311, data + 1, size);
                    free(data);
                }
            }
            frames[i][at] = before;
        }
    }
    assert_true(taken > 10000);
}

/* What benchmarks and devices send, and what is left to the grammars. */
static void the_quick_way_takes_the_common_publish(void **state)
{
    static const uint8_t qos_0[] = {0x30, 5, 0, 1, 't', 0, 'p', 0xff};
    static const uint8_t qos_1[] = {0x32, 7, 0, 1, 't', 0, 9, 0, 'p'};
    static const uint8_t with_properties[] = {0x30, 8, 0, 1, 't', 2, 0x01, 1, 'p', 'q'};
    static const uint8_t alias_only[] = {0x30, 6, 0, 0, 3, 0x23, 0, 1};
    struct publish publish;

    assert_int_equal(publish_decode_quick(MQTT_VERSION_5, qos_0, sizeof qos_0, &publish), 7);
    assert_int_equal(publish.payload.size, 1);
    assert_int_equal(publish_decode_quick(MQTT_VERSION_5, qos_1, sizeof qos_1, &publish), 9);
    assert_int_equal(publish.packet_identifier, 9);
    assert_int_equal(publish_decode_quick(MQTT_VERSION_311, qos_0, sizeof qos_0, &publish), 7);
    assert_int_equal(publish.payload.size, 2);
    assert_int_equal(
        publish_decode_quick(MQTT_VERSION_5, with_properties, sizeof with_properties, &publish), 0);
    assert_int_equal(publish_decode_quick(MQTT_VERSION_5, alias_only, sizeof alias_only, &publish),
                     0);
}

/* The grammars' word on whatever acknowledgement_decode_quick() takes. Returns whether it did. */
static bool quick_acknowledgement_agrees(enum mqtt_version version, const uint8_t *data,
                                         size_t size)
{
    struct acknowledgement quick;
    struct packet packet;
    size_t whole = acknowledgement_decode_quick(data, size, &quick);
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t header;

    if (whole == 0)
        return false;
    assert_int_equal(frame_parser_feed(&parser, true, data, size, &header, &refusal), FRAME_HEADER);
    assert_int_equal(header + parser.remaining_length, whole);
    assert_int_equal(parser.type, data[0] >> 4);
    packet.type = (enum packet_type)parser.type;
    assert_true(packet_decode(version, true, data, whole, header, &packet, &refusal));
    assert_int_equal(quick.packet_identifier, packet.acknowledgement.packet_identifier);
    assert_int_equal(quick.reason_code, packet.acknowledgement.reason_code);
    assert_int_equal(quick.properties.present, packet.acknowledgement.properties.present);
    return true;
}

static void the_quick_way_agrees_on_acknowledgements(void **state)
{
    static const uint8_t types[] = {0x40, 0x50, 0x62, 0x70};
    unsigned taken = 0;

    for (unsigned first = 0; first < 256; first++) {
        for (unsigned length = 0; length < 256; length++) {
            for (size_t size = 0; size <= 5; size++) {
                const uint8_t frame[5] = {(uint8_t)first, (uint8_t)length, 0, (uint8_t)length, 0};
                uint8_t *data = malloc(size + 1); /* for a sanitizer to see a byte too many */
                assert_non_null(data);
                memcpy(data + 1, frame, size);
                taken += quick_acknowledgement_agrees(MQTT_VERSION_5, data + 1, size);
                taken += quick_acknowledgement_agrees(MQTT_VERSION_311, data + 1, size);
                free(data);
            }
        }
    }
    assert_int_equal(taken, 2 * 2 * sizeof types); /* of 4 and of 5 bytes, in both versions */
    for (unsigned i = 0; i < sizeof types; i++) {
        struct acknowledgement out;
        const uint8_t none[] = {types[i], 2, 0, 0}, high[] = {types[i], 2, 0xff, 1};
        assert_int_equal(acknowledgement_decode_quick(none, 4, &out), 0); /* [MQTT-2.2.1-5] */
        assert_int_equal(acknowledgement_decode_quick(high, 4, &out), 4);
        assert_int_equal(out.packet_identifier, 0xff01);
    }
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
        cmocka_unit_test(the_quick_way_never_says_otherwise),
        cmocka_unit_test(the_quick_way_takes_the_common_publish),
        cmocka_unit_test(the_quick_way_agrees_on_acknowledgements),
        cmocka_unit_test(offsets_count_from_the_first_byte_of_the_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
