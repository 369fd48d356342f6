#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/wire.h"

static void packets_are_as_the_specification_has_them(void **state)
{
    static const uint8_t connect[] = {0x10, 23,   0,    4, 'M',  'Q', 'T', 'T',  5,
                                      0x02, 0x02, 0x58, 8, 0x11, 0,   0,   0x0e, 0x10,
                                      0x21, 0,    100,  0, 2,    'i', 'd'};
    static const uint8_t subscribe[] = {0x82, 8, 0, 1, 0, 0, 2, 'a', 'b', 1};
    static const uint8_t subscribe_more[] = {0x82, 22,  0,   1,   0, 0, 2, 'a', 'b', 1,   0,   4,
                                             'a',  'b', '/', '0', 1, 0, 4, 'a', 'b', '/', '1', 1};
    static const uint8_t publish[] = {0x33, 10, 0, 1, 't', 0, 1, 0, 'a', 'b', 'c', 'd'};
    struct buffer out = {0};
    wire_connect(&out, &(struct wire_session){.version = 5,
                                              .client_id = "id",
                                              .clean_start = true,
                                              .expiry_s = 3600,
                                              .receive_maximum = 100,
                                              .keep_alive_s = 600});
    assert_int_equal(out.size, sizeof connect);
    assert_memory_equal(out.data, connect, sizeof connect);
    out.size = 0;
    wire_subscribe(&out, 5, "ab", 0, 1);
    assert_int_equal(out.size, sizeof subscribe);
    assert_memory_equal(out.data, subscribe, sizeof subscribe);
    out.size = 0;
    wire_subscribe(&out, 5, "ab", 2, 1);
    assert_int_equal(out.size, sizeof subscribe_more);
    assert_memory_equal(out.data, subscribe_more, sizeof subscribe_more);
    out.size = 0;
    struct wire_message message = {
        .version = 5, .qos = 1, .retain = true, .topic = "t", .payload_size = 4};
    wire_publish(&out, &message);
    assert_int_equal(out.size, sizeof publish);
    assert_memory_equal(out.data, publish, sizeof publish);
    assert_int_equal(wire_publish_id_offset(&message), 5);
    buffer_fini(&out);
}

static void a_frame_is_complete_only_with_its_last_byte(void **state)
{
    struct buffer out = {0};
    struct wire_message message = {.version = 4, .qos = 1, .topic = "t", .payload_size = 20000};
    wire_publish(&out, &message);
    struct wire_frame frame = {0};
    for (size_t size = 0; size < out.size; size++)
        assert_false(wire_next(out.data, size, &frame));
    assert_true(wire_next(out.data, out.size, &frame));
    assert_int_equal(frame.size, out.size);
    assert_int_equal(frame.first, 0x32);
    assert_ptr_equal(frame.end, out.data + out.size);
    assert_int_equal(wire_publish_id(&frame), 1);
    buffer_fini(&out);
}

static void receive_maximum_is_found_among_the_properties(void **state)
{
    static const uint8_t connack[] = {0x20, 16,  0,   0,    13, 0x25, 1,    0x12, 0,
                                      2,    '!', '!', 0x21, 0,  20,   0x24, 1,    0x99};
    struct wire_frame frame = {0};
    uint16_t receive_maximum = 0;
    assert_true(wire_next(connack, sizeof connack, &frame));
    assert_int_equal(wire_connack(&frame, 5, &receive_maximum), 0);
    assert_int_equal(receive_maximum, 20);

    static const uint8_t refused[] = {0x20, 2, 0, 5};
    assert_true(wire_next(refused, sizeof refused, &frame));
    assert_int_equal(wire_connack(&frame, 4, &receive_maximum), 5);
    assert_int_equal(receive_maximum, 65535);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_as_the_specification_has_them),
        cmocka_unit_test(a_frame_is_complete_only_with_its_last_byte),
        cmocka_unit_test(receive_maximum_is_found_among_the_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
