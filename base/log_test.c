/* What peers send cannot forge or break a line of the log, and every line is one write. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/status.h"

static void printable_text_stays_as_it_is(void **state)
{
    char out[64];
    assert_ptr_equal(log_text("sensor-7 of [a/b] ~!", 20, out, sizeof out), out);
    assert_string_equal(out, "sensor-7 of [a/b] ~!");
    assert_string_equal(log_text(NULL, 0, out, sizeof out), "");
}

static void what_could_end_a_line_or_a_quote_is_escaped(void **state)
{
    char out[64];
    assert_string_equal(log_text("a\"b\\c", 5, out, sizeof out), "a\\x22b\\x5cc");
    assert_string_equal(log_text("\r\n\t\x1b[1m", 7, out, sizeof out), "\\x0d\\x0a\\x09\\x1b[1m");
    assert_string_equal(log_text("\0\x7f\x80\xff", 4, out, sizeof out), "\\x00\\x7f\\x80\\xff");
}

/* Every byte is either itself or \xNN, and nothing but that. */
static void every_byte_can_be_read_back(void **state)
{
    char out[16];
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t data = (uint8_t)byte;
        log_text(&data, 1, out, sizeof out);
        if (strlen(out) == 1) {
            assert_int_equal((uint8_t)out[0], byte);
            assert_true(byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\');
        } else {
            char *end;
            assert_memory_equal(out, "\\x", 2);
            assert_int_equal(strtoul(out + 2, &end, 16), byte);
            assert_ptr_equal(end, out + 4);
            assert_int_equal(*end, '\0');
        }
    }
}

static void what_does_not_fit_is_cut_and_says_so(void **state)
{
    enum { SIZE = 40, GUARD = 16 };
    uint8_t data[SIZE];
    char whole[4 * SIZE + 8], out[4 * SIZE + 8 + GUARD];
    for (unsigned i = 0; i < SIZE; i++)
        data[i] = i % 3 == 1 ? (uint8_t)(0x80 + i) : (uint8_t)('a' + i % 26);
    for (unsigned size = 0; size <= SIZE; size++) {
        log_text(data, size, whole, sizeof whole);
        for (unsigned capacity = 8; capacity <= sizeof whole; capacity++) {
            memset(out, '#', sizeof out);
            log_text(data, size, out, capacity);
            for (unsigned i = capacity; i < sizeof out; i++)
                assert_int_equal(out[i], '#');
            size_t used = strnlen(out, capacity);
            assert_true(used < capacity);
            if (strcmp(out, whole) == 0)
                continue;
            assert_true(strlen(whole) + 8 > capacity); /* not cut without need */
            assert_true(used >= 3);
            assert_string_equal(out + used - 3, "...");
            assert_memory_equal(out, whole, used - 3);
        }
    }
}

/* ---- Lines ---- */

static int saved_stderr, reading_end;

static int catch_stderr(void **state)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reading_end = ends[0];
    return 0;
}

static int give_stderr_back(void **state)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(reading_end);
    log_threshold = LOG_INFO;
    return 0;
}

static size_t said(char *out, size_t capacity)
{
    static const char end[] = "(end)";
    assert_int_equal(write(STDERR_FILENO, end, 5), 5);
    ssize_t got = read(reading_end, out, capacity - 1);
    assert_true(got >= 5);
    out[got - 5] = '\0';
    return (size_t)got - 5;
}

static void a_line_has_time_level_and_text(void **state)
{
    char out[4096];
    log_line(LOG_NOTICE, "client \"%s\": %d", "sensor-7", 42);
    size_t size = said(out, sizeof out);
    unsigned year, month, day, hour, minute, second, ms;
    int text_at = 0;
    assert_int_equal(sscanf(out, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ %n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &text_at),
                     7);
    assert_int_equal(text_at, 25);
    assert_string_equal(out + text_at, "notice: client \"sensor-7\": 42\n");
    assert_int_equal(strlen(out), size);
}

static void levels_below_the_threshold_are_silent(void **state)
{
    char out[4096];
    for (int threshold = LOG_ERROR; threshold <= LOG_TRACE; threshold++) {
        log_threshold = (enum log_level)threshold;
        for (int level = LOG_ERROR; level <= LOG_TRACE; level++) {
            assert_int_equal(log_wants((enum log_level)level), level <= threshold);
            log_line((enum log_level)level, "x");
            said(out, sizeof out);
            assert_int_equal(strstr(out, log_level_name((enum log_level)level)) != NULL,
                             level <= threshold);
        }
    }
}

static void a_long_line_is_cut_and_still_one_line(void **state)
{
    char text[3000], out[8192];
    memset(text, 'x', sizeof text);
    for (size_t size = 900; size < sizeof text; size += size < 1100 ? 1 : 500) {
        text[size] = '\0';
        log_line(LOG_ERROR, "%s", text);
        text[size] = 'x';
        size_t got = said(out, sizeof out);
        assert_true(got <= 1024);
        assert_ptr_equal(strchr(out, '\n'), out + got - 1);
        assert_int_equal(strlen(out), got);
    }
}

static void every_status_has_a_text_of_its_own(void **state)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        assert_true(strlen(status_text((enum status)i)) > 1);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(status_text((enum status)i), status_text((enum status)j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_stays_as_it_is),
        cmocka_unit_test(what_could_end_a_line_or_a_quote_is_escaped),
        cmocka_unit_test(every_byte_can_be_read_back),
        cmocka_unit_test(what_does_not_fit_is_cut_and_says_so),
        cmocka_unit_test_setup_teardown(a_line_has_time_level_and_text, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(levels_below_the_threshold_are_silent, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_one_line, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test(every_status_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
