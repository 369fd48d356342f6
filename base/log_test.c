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
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
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
    log_format = LOG_TEXT;
    log_limit = 0;
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

/* ---- JSON ---- */

/* Says the line, and holds it against what is wanted behind its time. */
#define assert_json(wanted, ...)                                                                   \
    do {                                                                                           \
        char out_[16384];                                                                          \
        log_format = LOG_JSON;                                                                     \
        log_line(__VA_ARGS__);                                                                     \
        said(out_, sizeof out_);                                                                   \
        assert_memory_equal(out_, "{\"time\":\"", 9);                                              \
        assert_memory_equal(out_ + 9 + 24, "\",", 2);                                              \
        assert_string_equal(out_ + 9 + 26, wanted);                                                \
    } while (0)

static void json_has_level_kind_and_message(void **state)
{
    assert_json("\"level\":\"notice\",\"kind\":\"ready\",\"message\":\"ready\"}\n", LOG_NOTICE,
                "ready");
    assert_json("\"level\":\"error\",\"kind\":\"* of *, 100 %: *, * * *\","
                "\"message\":\"7 of    8, 100 %: a,  0.5 x 9\"}\n",
                LOG_ERROR, "%u of %4d, 100 %%: %s, %4.1f %c %zu", 7U, 8, "a", 0.5, 'x', (size_t)9);
}

static void json_names_the_client_that_a_line_is_about(void **state)
{
    assert_json("\"level\":\"info\",\"kind\":\"client \\\"*\\\": gone\",\"client\":\"a\\\\x22b\","
                "\"message\":\"client \\\"a\\\\x22b\\\": gone\"}\n",
                LOG_INFO, "client \"%s\": gone", "a\\x22b");
    assert_json("\"level\":\"info\",\"kind\":\"client \\\"*\",\"message\":\"client \\\"a\"}\n",
                LOG_INFO, "client \"%s", "a");
}

static void json_takes_any_byte(void **state)
{
    assert_json(
        "\"level\":\"info\",\"kind\":\"*\",\"message\":\"\\\"\\\\\\\\x0a\\\\x7f\\\\xff\"}\n",
        LOG_INFO, "%s", "\"\\\n\x7f\xff");
}

/* As long as a message can be, every byte of it five in JSON, and twice. */
static void the_longest_json_line_is_whole(void **state)
{
    char text[3000] = "client \"", out[16384];
    memset(text + 8, '\xff', sizeof text - 9);
    memcpy(text + 990, "\"", 1);
    text[sizeof text - 1] = '\0';
    log_format = LOG_JSON;
    log_line(LOG_ERROR, "%s", text);
    size_t size = said(out, sizeof out);
    assert_true(size > 2 * 5 * 980);
    assert_string_equal(out + size - 3, "\"}\n");
}

/* ---- How many ---- */

static void say_it(enum log_level level, unsigned i)
{
    log_line(level, "client \"%u\": again", i);
}

static unsigned count_of(const char *text, const char *wanted)
{
    unsigned count = 0;
    for (; (text = strstr(text, wanted)) != NULL; text++)
        count++;
    return count;
}

static void what_is_too_much_of_a_kind_is_left_out_and_counted(void **state)
{
    char out[8192];
    log_limit = 3;
    for (unsigned i = 0; i < 10; i++)
        say_it(LOG_INFO, i);
    log_line(LOG_INFO, "client \"%u\": again", 99U); /* of another place */
    said(out, sizeof out);
    assert_int_equal(count_of(out, "again"), 4);
    assert_non_null(strstr(out, "client \"2\": again\n"));
    assert_non_null(strstr(out, "client \"99\": again\n"));
    log_say_left_out(false);
    assert_int_equal(said(out, sizeof out), 0); /* its window has not passed */
    log_say_left_out(true);
    said(out, sizeof out);
    assert_non_null(strstr(out, "Z info: 7 more like it left out: client \"*\": again\n"));
    log_say_left_out(true);
    assert_int_equal(said(out, sizeof out), 0);
    say_it(LOG_INFO, 10);
    log_format = LOG_JSON;
    log_say_left_out(true);
    said(out, sizeof out);
    assert_non_null(
        strstr(out, "\"kind\":\"client \\\"*\\\": again\",\"message\":\"1 more like it left out:"));
    assert_non_null(strstr(out, ",\"left_out\":1}\n"));
}

static void debug_and_no_limit_leave_nothing_out(void **state)
{
    char out[8192];
    log_threshold = LOG_DEBUG;
    log_limit = 3;
    for (unsigned i = 0; i < 10; i++)
        say_it(LOG_DEBUG, i);
    log_limit = 0;
    for (unsigned i = 0; i < 10; i++)
        say_it(LOG_INFO, i);
    log_say_left_out(true);
    said(out, sizeof out);
    assert_int_equal(count_of(out, "again"), 20);
}

static _Atomic time_t ahead_s;

/* In the place of the C library's: the test lets time go by. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    long result = syscall(SYS_clock_gettime, clock, out);
    if (clock == CLOCK_MONOTONIC)
        out->tv_sec += ahead_s;
    return (int)result;
}

/* What the lines of say_it() and those that stand for them come to. */
static unsigned long accounted_for(const char *text, unsigned *out_said)
{
    unsigned long left_out = 0;
    *out_said = count_of(text, "more like it left out");
    for (const char *at = text; (at = strstr(at, "info: ")) != NULL; at++) {
        unsigned long count;
        if (sscanf(at, "info: %lu more like it left out", &count) == 1)
            left_out += count;
    }
    return count_of(text, ": again\n") - *out_said + left_out;
}

static void a_flood_that_does_not_end_is_told_of_all_the_same(void **state)
{
    static char out[60000];
    unsigned times;
    log_limit = 3;
    log_say_left_out(true); /* of tests before */
    ahead_s += 100;         /* and their window */
    said(out, sizeof out);
    for (unsigned second = 0; second < 45; second++) {
        ahead_s++;
        for (unsigned i = 0; i < 10; i++)
            say_it(LOG_INFO, i);
        log_say_left_out(false);
    }
    size_t size = said(out, sizeof out);
    accounted_for(out, &times);
    assert_in_range(times, 4, 6);
    log_say_left_out(true);
    said(out + size, sizeof out - size);
    assert_int_equal(accounted_for(out, &times), 450);
}

enum { SAYERS = 4, SAYS = 5000 };

static void *say_many(void *argument)
{
    for (unsigned i = 0; i < SAYS; i++) {
        log_line(LOG_INFO, "of many");
        if (i % 100 == 0)
            log_say_left_out(true);
    }
    return NULL;
}

static void no_line_of_several_threads_is_unaccounted_for(void **state)
{
    char out[60000];
    pthread_t threads[SAYERS];
    log_limit = 10;
    for (unsigned i = 0; i < SAYERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, say_many, NULL), 0);
    for (unsigned i = 0; i < SAYERS; i++)
        pthread_join(threads[i], NULL);
    log_say_left_out(true);
    said(out, sizeof out);
    unsigned long left_out = 0, lines = count_of(out, "info: of many\n");
    for (const char *at = out; (at = strstr(at, "info: ")) != NULL; at++) {
        unsigned long count;
        if (sscanf(at, "info: %lu more like it left out: of many\n", &count) == 1)
            left_out += count;
    }
    assert_true(lines >= 10 && lines < 10 + SAYERS);
    assert_int_equal(lines + left_out, SAYERS * SAYS);
}

/* ---- A file ---- */

static char directory[] = "/tmp/log-test-XXXXXX";

static const char *in_directory(const char *name)
{
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof *paths, "%s/%s", directory, name);
    return path;
}

static void content_of(const char *name, char *out, size_t capacity)
{
    FILE *file = fopen(in_directory(name), "r");
    assert_non_null(file);
    out[fread(out, 1, capacity - 1, file)] = '\0';
    fclose(file);
}

/* The text behind the times of its lines, each of which has one. */
static void assert_lines(const char *name, const char *const *wanted)
{
    char text[8192], *rest = text;
    content_of(name, text, sizeof text);
    for (; *wanted != NULL; wanted++) {
        char *line = strsep(&rest, "\n");
        assert_non_null(rest);
        assert_true(strlen(line) > 25);
        assert_string_equal(line + 25, *wanted);
    }
    assert_string_equal(rest, "");
}

static void a_file_is_opened_anew_and_says_what_it_lacks(void **state)
{
    char out[4096], error[256];
    assert_non_null(mkdtemp(directory));
    assert_int_equal(log_reopen(error, sizeof error), STATUS_OK); /* nothing: there is none */
    assert_int_equal(log_open(in_directory("no/log"), error, sizeof error), STATUS_IO);
    assert_non_null(strstr(error, "/no/log\": No such file or directory"));

    /* full */
    assert_int_equal(symlink("/dev/full", in_directory("log")), 0);
    assert_int_equal(log_open(in_directory("log"), error, sizeof error), STATUS_OK);
    log_line(LOG_INFO, "one");
    log_line(LOG_INFO, "two");
    said(out, sizeof out);
    assert_int_equal(count_of(out, "Z info: one\n") + count_of(out, "Z info: two\n"), 2);
    assert_int_equal(count_of(out, "\n"), 2);

    /* room again */
    unlink(in_directory("log"));
    assert_int_equal(log_reopen(error, sizeof error), STATUS_OK);
    log_line(LOG_INFO, "three");
    assert_lines("log",
                 (const char *[]){"warning: 2 lines are missing here: No space left on device; "
                                  "standard error has them",
                                  "info: three", NULL});
    assert_int_equal(said(out, sizeof out), 0);

    /* moved away */
    assert_int_equal(rename(in_directory("log"), in_directory("log.1")), 0);
    log_line(LOG_INFO, "four");
    assert_int_equal(log_reopen(error, sizeof error), STATUS_OK);
    log_line(LOG_INFO, "five");
    assert_lines("log", (const char *[]){"info: five", NULL});
    content_of("log.1", out, sizeof out);
    assert_non_null(strstr(out, "info: four\n"));

    /* cannot be opened: it goes on where it went */
    unlink(in_directory("log.1"));
    assert_int_equal(rename(in_directory("log"), in_directory("log.1")), 0);
    assert_int_equal(symlink("no/log", in_directory("log")), 0);
    assert_int_equal(log_reopen(error, sizeof error), STATUS_IO);
    log_line(LOG_INFO, "six");
    assert_lines("log.1", (const char *[]){"info: five", "info: six", NULL});
}

static void a_line_that_is_torn_is_ended(void **state)
{
    char out[4096], error[256];
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    unlink(in_directory("log"));
    unlink(in_directory("log.1"));
    assert_int_equal(log_reopen(error, sizeof error), STATUS_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 30, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_line(LOG_INFO, "one");
    log_line(LOG_INFO, "two");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_line(LOG_INFO, "three");
    said(out, sizeof out);
    assert_int_equal(count_of(out, "\n"), 2);
    assert_lines("log", (const char *[]){"info:",
                                         "warning: 2 lines are missing here: File too large; "
                                         "standard error has them",
                                         "info: three", NULL});
    unlink(in_directory("log"));
    rmdir(directory);
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
        cmocka_unit_test_setup_teardown(json_has_level_kind_and_message, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(json_names_the_client_that_a_line_is_about, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(json_takes_any_byte, catch_stderr, give_stderr_back),
        cmocka_unit_test_setup_teardown(the_longest_json_line_is_whole, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(what_is_too_much_of_a_kind_is_left_out_and_counted,
                                        catch_stderr, give_stderr_back),
        cmocka_unit_test_setup_teardown(debug_and_no_limit_leave_nothing_out, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(a_flood_that_does_not_end_is_told_of_all_the_same,
                                        catch_stderr, give_stderr_back),
        cmocka_unit_test_setup_teardown(no_line_of_several_threads_is_unaccounted_for, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test(every_status_has_a_text_of_its_own),
        /* The log stays in a file from here on. */
        cmocka_unit_test_setup_teardown(a_file_is_opened_anew_and_says_what_it_lacks, catch_stderr,
                                        give_stderr_back),
        cmocka_unit_test_setup_teardown(a_line_that_is_torn_is_ended, catch_stderr,
                                        give_stderr_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
