#include "conformance/runner/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "conformance/runner/busy.h"

static char output[COMMAND_OUTPUT_SIZE], error[256];

static bool run(const char *command, unsigned limit_ms)
{
    error[0] = '\0';
    return command_run(command, limit_ms, output, error, sizeof error);
}

static void what_it_writes_is_kept(void **state)
{
    assert_true(run("echo one; echo two >&2", 5000));
    assert_string_equal(output, "one\ntwo\n");
    assert_string_equal(error, "");
}

static void of_much_output_the_end_is_kept(void **state)
{
    assert_true(run("seq 1 5000", 5000));
    assert_int_equal(strlen(output), COMMAND_OUTPUT_SIZE - 1);
    assert_string_equal(output + COMMAND_OUTPUT_SIZE - 11, "4999\n5000\n");
}

static void a_bad_end_is_said(void **state)
{
    assert_false(run("exit 3", 5000));
    assert_string_equal(error, "\"exit 3\" ended with status 3");
    assert_false(run("kill -9 $$", 5000));
    assert_string_equal(error, "\"kill -9 $$\" was ended by signal 9");
}

static void what_does_not_end_is_killed_with_its_children(void **state)
{
    assert_false(run("sleep 3600 & echo $!; wait", 200));
    assert_string_equal(error, "\"sleep 3600 & echo $!; wait\" did not end within 0 s");
    pid_t child = (pid_t)strtol(output, NULL, 10);
    assert_true(child > 0);
    char command[64];
    /* Gone, or a zombie that nobody has fetched yet. */
    snprintf(command, sizeof command, "! ps -o stat= -p %d | grep -qv Z", (int)child);
    assert_true(run(command, 5000));
}

static void a_server_left_behind_is_not_waited_for(void **state)
{
    assert_true(run("sleep 60 & echo $!", 30000));
    char command[64];
    snprintf(command, sizeof command, "kill %ld", strtol(output, NULL, 10));
    assert_true(run(command, 5000));
}

static void it_gets_none_of_our_descriptors(void **state)
{
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    assert_true(run("ls /proc/self/fd | wc -l", 5000));
    /* 0 to 2, and the one that ls reads the directory with. */
    assert_int_equal(strtol(output, NULL, 10), 4);
    close(sockets[0]);
    close(sockets[1]);
}

/* ---- busy.c ---- */

static void a_late_wake_up_is_remembered_for_its_time(void **state)
{
    busy_forget();
    assert_false(busy_between(0, UINT64_MAX));
    busy_note(1000, 1000 + BUSY_LATE_MS - 1);
    assert_false(busy_between(0, UINT64_MAX));
    busy_note(1000, 1300);
    assert_true(busy_between(900, 1000));
    assert_true(busy_between(1100, 1200));
    assert_true(busy_between(1300, 2000));
    assert_false(busy_between(0, 999));
    assert_false(busy_between(1301, 5000));
    busy_forget();
}

static void the_watch_ends_when_told(void **state)
{
    busy_watch_start();
    busy_watch_stop();
    busy_watch_start();
    busy_watch_stop();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_writes_is_kept),
        cmocka_unit_test(of_much_output_the_end_is_kept),
        cmocka_unit_test(a_bad_end_is_said),
        cmocka_unit_test(what_does_not_end_is_killed_with_its_children),
        cmocka_unit_test(a_server_left_behind_is_not_waited_for),
        cmocka_unit_test(it_gets_none_of_our_descriptors),
        cmocka_unit_test(a_late_wake_up_is_remembered_for_its_time),
        cmocka_unit_test(the_watch_ends_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
