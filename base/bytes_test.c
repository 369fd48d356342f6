#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void integers_are_big_endian(void **state)
{
    uint8_t out[6];
    assert_ptr_equal(put_u16(out, 0x0102), out + 2);
    assert_ptr_equal(put_u32(out + 2, 0xfffefd80), out + 6);
    assert_memory_equal(out, "\x01\x02\xff\xfe\xfd\x80", 6);
    assert_int_equal(get_u16(out), 0x0102);
    assert_true(get_u32(out + 2) == 0xfffefd80);
    for (uint32_t value = 0; value <= UINT16_MAX; value++) {
        put_u16(out, (uint16_t)value);
        assert_int_equal(get_u16(out), value);
    }
    for (unsigned bit = 0; bit < 32; bit++) {
        put_u32(out, 1u << bit);
        assert_true(get_u32(out) == 1u << bit);
    }
}

static void ranges_are_equal_by_size_and_content(void **state)
{
    struct bytes none = bytes_of(NULL, 0);
    assert_true(bytes_equal(none, none));
    assert_true(bytes_equal(none, bytes_of_text("")));
    assert_false(bytes_equal(none, bytes_of_text("a")));
    assert_true(bytes_equal(bytes_of_text("a/b"), bytes_of("a/bc", 3)));
    assert_false(bytes_equal(bytes_of_text("a/b"), bytes_of_text("a/c")));
    assert_false(bytes_equal(bytes_of_text("a/b"), bytes_of_text("a/bc")));
    assert_true(bytes_equal(bytes_of("\0\1", 2), bytes_of("\0\1", 2)));
    assert_false(bytes_equal(bytes_of("\0\1", 2), bytes_of("\0\2", 2)));
}

static void ranges_are_ordered_by_their_bytes_and_then_by_size(void **state)
{
    assert_true(bytes_compare(bytes_of("", 0), bytes_of(NULL, 0)) == 0);
    assert_true(bytes_compare(bytes_of("ab", 2), bytes_of("ab", 2)) == 0);
    assert_true(bytes_compare(bytes_of("", 0), bytes_of("\0", 1)) < 0);
    assert_true(bytes_compare(bytes_of("ab", 2), bytes_of("a", 1)) > 0);
    assert_true(bytes_compare(bytes_of("b", 1), bytes_of("ab", 2)) > 0);
    assert_true(bytes_compare(bytes_of("a\x7f", 2), bytes_of("a\x80", 2)) < 0);
}

static void putting_bytes_moves_on_by_their_number(void **state)
{
    uint8_t out[4] = {9, 9, 9, 9};
    assert_ptr_equal(put_bytes(out, bytes_of(NULL, 0)), out);
    assert_ptr_equal(put_bytes(out, bytes_of_text("abc")), out + 3);
    assert_memory_equal(out, "abc\x09", 4);
}

/* Against a plain array that is never moved. */
static void a_buffer_holds_what_was_appended_and_not_consumed(void **state)
{
    enum { SIZE = 1 << 20 };
    uint8_t *all = malloc(SIZE);
    assert_non_null(all);
    uint32_t random = 1;
    for (size_t i = 0; i < SIZE; i++) {
        random = random * 1664525 + 1013904223;
        all[i] = (uint8_t)(random >> 24);
    }
    struct buffer buffer = {0};
    size_t from = 0, to = 0;
    while (to < SIZE) {
        random = random * 1664525 + 1013904223;
        size_t more = (random >> 8) % 3000;
        if (more > SIZE - to)
            more = SIZE - to;
        assert_int_equal(buffer_append(&buffer, all + to, more), STATUS_OK);
        to += more;
        random = random * 1664525 + 1013904223;
        size_t less = (random >> 8) % 4000;
        if (less > to - from)
            less = to - from;
        buffer_consume(&buffer, less);
        from += less;
        assert_int_equal(buffer.size, to - from);
        assert_true(buffer.size <= buffer.capacity);
        if (buffer.size > 0)
            assert_memory_equal(buffer.data, all + from, buffer.size);
    }
    assert_true(buffer.capacity < 64 * 1024); /* what is consumed makes room */
    buffer_fini(&buffer);
    assert_null(buffer.data);
    assert_int_equal(buffer.size + buffer.capacity, 0);
    free(all);
}

static void reserved_room_is_there_and_holds_nothing(void **state)
{
    struct buffer buffer = {0};
    assert_int_equal(buffer_append(&buffer, "abc", 3), STATUS_OK);
    assert_int_equal(buffer_reserve(&buffer, 1000), STATUS_OK);
    assert_int_equal(buffer.size, 3);
    assert_true(buffer.capacity >= 1003);
    uint8_t *data = buffer.data;
    memset(buffer.data + buffer.size, 'x', 1000);
    assert_int_equal(buffer_append(&buffer, data, 0), STATUS_OK);
    assert_int_equal(buffer_reserve(&buffer, 1000), STATUS_OK);
    assert_ptr_equal(buffer.data, data); /* no reason to move */
    assert_memory_equal(buffer.data, "abc", 3);
    buffer_fini(&buffer);
}

static void nothing_can_be_appended_to_nothing(void **state)
{
    struct buffer buffer = {0};
    assert_int_equal(buffer_append(&buffer, NULL, 0), STATUS_OK);
    buffer_consume(&buffer, 0);
    assert_int_equal(buffer.size, 0);
    buffer_fini(&buffer);
}

static void a_size_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX / 2 + 1, SIZE_MAX / 2 - 2};
    struct buffer buffer = {0};
    assert_int_equal(buffer_append(&buffer, "abc", 3), STATUS_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(buffer_reserve(&buffer, sizes[i]), STATUS_NO_MEMORY);
        assert_int_equal(buffer.size, 3);
        assert_memory_equal(buffer.data, "abc", 3);
    }
    buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(ranges_are_equal_by_size_and_content),
        cmocka_unit_test(ranges_are_ordered_by_their_bytes_and_then_by_size),
        cmocka_unit_test(putting_bytes_moves_on_by_their_number),
        cmocka_unit_test(a_buffer_holds_what_was_appended_and_not_consumed),
        cmocka_unit_test(reserved_room_is_there_and_holds_nothing),
        cmocka_unit_test(nothing_can_be_appended_to_nothing),
        cmocka_unit_test(a_size_that_cannot_be_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
