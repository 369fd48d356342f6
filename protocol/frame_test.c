/* Variable Byte Integers and the state that survives between two bytes. What packets look like is
 * in fixtures/frame.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/packet.h"

static enum frame_result feed(struct frame_parser *parser, const void *data, size_t size,
                              size_t *consumed, struct refusal *refusal)
{
    return frame_parser_feed(parser, true, data, size, consumed, refusal);
}

/* 5.0 section 1.5.5, Table 1-1: the digits of `value` to the base 128. */
static size_t encode(uint32_t value, uint8_t *out)
{
    size_t size = 0;

    do {
        out[size++] = (uint8_t)(value % 128 + (value >= 128 ? 128 : 0));
        value /= 128;
    } while (value > 0);
    return size;
}

static void remaining_lengths_are_read(void **state)
{
    static const uint32_t values[] = {0,     1,       127,     128,       16383,     16384,
                                      65535, 2097151, 2097152, 268435454, 268435455, 305419 * 7};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t bytes[6] = {0x30};
        size_t size = 1 + encode(values[i], bytes + 1), consumed;
        struct frame_parser parser = {0};
        struct refusal refusal;

        assert_int_equal(feed(&parser, bytes, sizeof bytes, &consumed, &refusal), FRAME_HEADER);
        assert_int_equal(consumed, size);
        assert_int_equal(parser.header_size, size);
        assert_int_equal(parser.remaining_length, values[i]);
    }
}

static void bytes_come_one_by_one(void **state)
{
    static const uint8_t bytes[] = {0x3D, 0xFF, 0xFF, 0xFF, 0x7F};
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t consumed;

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(feed(&parser, bytes + i, 1, &consumed, &refusal), FRAME_MORE);
        assert_int_equal(consumed, 1);
        assert_int_equal(feed(&parser, NULL, 0, &consumed, &refusal), FRAME_MORE);
        assert_int_equal(consumed, 0);
        assert_int_equal(parser.type, PACKET_PUBLISH);
        assert_int_equal(parser.flags, 0x0D);
    }
    assert_int_equal(feed(&parser, bytes + 4, 1, &consumed, &refusal), FRAME_HEADER);
    assert_int_equal(parser.remaining_length, 268435455);
    assert_int_equal(parser.header_size, 5);
}

static void no_byte_behind_the_header_is_consumed(void **state)
{
    static const uint8_t bytes[] = {0xC0, 0x00, 0xC0, 0x00};
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t consumed;

    assert_int_equal(feed(&parser, bytes, sizeof bytes, &consumed, &refusal), FRAME_HEADER);
    assert_int_equal(consumed, 2);
    parser = (struct frame_parser){0};
    assert_int_equal(feed(&parser, bytes + 2, 2, &consumed, &refusal), FRAME_HEADER);
    assert_int_equal(consumed, 2);
}

static void the_offset_of_a_refusal_counts_from_the_first_byte(void **state)
{
    static const uint8_t bytes[] = {0x30, 0x80, 0x80, 0x00};
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t consumed;

    assert_int_equal(feed(&parser, bytes, 3, &consumed, &refusal), FRAME_MORE);
    assert_int_equal(feed(&parser, bytes + 3, 1, &consumed, &refusal), FRAME_REFUSED);
    assert_int_equal(refusal.offset, 3);
    assert_int_equal(refusal.reason_code, REASON_MALFORMED_PACKET);
}

/* Table 2-1 and Table 2-2, the bytes written out. */
static void first_bytes_are_as_the_tables_list_them(void **state)
{
    static const uint8_t to_server[] = {0x10, 0x82, 0xA2, 0xC0};
    static const uint8_t to_client[] = {0x20, 0x90, 0xB0, 0xD0};
    static const uint8_t both[] = {0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3A, 0x3B,
                                   0x3C, 0x3D, 0x40, 0x50, 0x62, 0x70, 0xE0, 0xF0};

    for (unsigned as_server = 0; as_server <= 1; as_server++) {
        for (unsigned i = 0; i <= 0xFF; i++) {
            uint8_t byte = (uint8_t)i;
            bool expected = memchr(both, byte, sizeof both) != NULL ||
                            (as_server ? memchr(to_server, byte, sizeof to_server)
                                       : memchr(to_client, byte, sizeof to_client)) != NULL;
            struct frame_parser parser = {0};
            struct refusal refusal;
            size_t consumed;

            assert_int_equal(frame_parser_feed(&parser, as_server, &byte, 1, &consumed, &refusal),
                             expected ? FRAME_MORE : FRAME_REFUSED);
        }
    }
}

static void a_refusal_is_cited_for_the_version_of_the_client(void **state)
{
    static const uint8_t bytes[] = {0x11};
    struct frame_parser parser = {0};
    struct refusal refusal;
    size_t consumed;

    assert_int_equal(feed(&parser, bytes, 1, &consumed, &refusal), FRAME_REFUSED);
    assert_string_equal(refusal.statement, "MQTT-2.1.3-1");
    refusal_cite(&refusal, MQTT_VERSION_5);
    assert_string_equal(refusal.statement, "MQTT-2.1.3-1");
    refusal_cite(&refusal, MQTT_VERSION_311);
    assert_string_equal(refusal.statement, "MQTT-2.2.2-2");
}

static void a_parser_is_small(void **state)
{
    assert_true(sizeof(struct frame_parser) <= 8); /* one for each idle connection */
}

static void mqtt_31_sends_acknowledgements_and_subscriptions_again_with_dup(void **state)
{
    static const struct {
        uint8_t byte;
        bool in_31;
    } cases[] = {{0x6a, true},  {0x8a, true},  {0xaa, true},  {0x6b, false},
                 {0x68, false}, {0x4a, false}, {0x7a, false}, {0xea, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int mqtt_31 = 0; mqtt_31 <= 1; mqtt_31++) {
            struct frame_parser parser = {.mqtt_31 = mqtt_31};
            struct refusal refusal;
            size_t consumed;
            bool accepted = feed(&parser, &cases[i].byte, 1, &consumed, &refusal) == FRAME_MORE;
            assert_int_equal(accepted, mqtt_31 && cases[i].in_31);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remaining_lengths_are_read),
        cmocka_unit_test(bytes_come_one_by_one),
        cmocka_unit_test(no_byte_behind_the_header_is_consumed),
        cmocka_unit_test(the_offset_of_a_refusal_counts_from_the_first_byte),
        cmocka_unit_test(first_bytes_are_as_the_tables_list_them),
        cmocka_unit_test(a_refusal_is_cited_for_the_version_of_the_client),
        cmocka_unit_test(mqtt_31_sends_acknowledgements_and_subscriptions_again_with_dup),
        cmocka_unit_test(a_parser_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
