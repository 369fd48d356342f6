/* The map of Packet Identifiers against a plain array of all 65,536. */
#include "broker/pid_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALL = UINT16_MAX + 1, ABSENT = -1 };

static struct pid_map map;
static int64_t oracle[ALL]; /* value, or ABSENT */
static uint32_t oracle_count;
static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static int start(void **state)
{
    map = (struct pid_map){0};
    for (unsigned i = 0; i < ALL; i++)
        oracle[i] = ABSENT;
    oracle_count = 0;
    random_state = 42;
    return 0;
}

static int end(void **state)
{
    pid_map_fini(&map);
    return map.entries == NULL && map.capacity == 0 && map.count == 0 ? 0 : -1;
}

static void compare_one(uint16_t identifier)
{
    const uint32_t *value = pid_map_find(&map, identifier);
    if (oracle[identifier] == ABSENT) {
        assert_null(value);
    } else {
        assert_non_null(value);
        assert_int_equal(*value, oracle[identifier]);
    }
}

static void compare_all(void)
{
    assert_int_equal(map.count, oracle_count);
    for (unsigned i = 1; i < ALL; i++)
        compare_one((uint16_t)i);
}

static void put(uint16_t identifier, uint32_t value)
{
    pid_map_put(&map, identifier, value);
    oracle[identifier] = value;
    oracle_count++;
    assert_true((map.capacity & (map.capacity - 1)) == 0 && map.count < map.capacity);
}

static void erase(uint16_t identifier)
{
    pid_map_erase(&map, identifier);
    oracle_count -= oracle[identifier] != ABSENT;
    oracle[identifier] = ABSENT;
}

static void toggle(uint16_t identifier)
{
    if (oracle[identifier] == ABSENT)
        put(identifier, draw(UINT32_MAX));
    else
        erase(identifier);
    compare_one(identifier);
}

/* Ways in which peers choose identifiers; each draws one of at most `range`. */
static uint16_t any(uint32_t range)
{
    return (uint16_t)(1 + draw(range));
}

static uint16_t strided(uint32_t range) /* lower bits alike */
{
    return (uint16_t)(256 * (1 + draw(range < 255 ? range : 255)));
}

static uint16_t same_upper_byte(uint32_t range)
{
    return (uint16_t)(0x7f00 | draw(range < 256 ? range : 256));
}

static void random_puts_and_erases_agree_with_an_array(void **state)
{
    static uint16_t (*const ways[])(uint32_t range) = {any, strided, same_upper_byte};
    static const uint32_t ranges[] = {1, 2, 7, 13, 100, 1000, 65535};
    for (unsigned way = 0; way < 3; way++) {
        for (unsigned range = 0; range < sizeof ranges / sizeof *ranges; range++) {
            for (unsigned i = 0; i < 20000; i++) {
                toggle(ways[way](ranges[range]));
                if (i % 5000 == 0)
                    compare_all();
            }
            compare_all();
            for (unsigned i = 1; i < ALL; i++)
                erase((uint16_t)i);
        }
    }
}

/* What a sender does: the next identifier, acknowledged in about that order. */
static void a_moving_window_agrees_with_an_array(void **state)
{
    uint16_t newest = 65000, oldest = 65000;
    for (unsigned i = 0; i < 200000; i++) {
        uint16_t in_flight = (uint16_t)(newest - oldest);
        if (in_flight < 100 && draw(2) == 0) {
            if (newest != 0)
                toggle(newest);
            newest++;
        } else if (in_flight > 0) {
            if (oldest != 0)
                toggle(oldest);
            oldest++;
        }
        assert_true(map.capacity <= 256);
    }
    compare_all();
}

static void all_identifiers_can_be_in_use(void **state)
{
    for (unsigned i = 1; i < ALL; i++)
        put((uint16_t)i, i * 3);
    compare_all();
    for (unsigned i = 1; i < ALL; i += 2)
        erase((uint16_t)i);
    compare_all();
}

static void a_value_can_be_changed_in_place(void **state)
{
    put(7, 1);
    *pid_map_find(&map, 7) = UINT32_MAX;
    oracle[7] = UINT32_MAX;
    put(8, 2);
    compare_all();
}

static void an_empty_map_holds_no_memory_and_erasing_from_it_is_harmless(void **state)
{
    assert_null(pid_map_find(&map, 1));
    pid_map_erase(&map, 1);
    put(1, 1);
    pid_map_erase(&map, 2);
    compare_all();
    erase(1);
    assert_null(map.entries);
    assert_int_equal(map.capacity, 0);
}

static bool put_aborts(uint16_t identifier)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        pid_map_put(&map, identifier, 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void an_identifier_in_use_and_0_are_our_own_bug(void **state)
{
    put(7, 1);
    assert_true(put_aborts(7));
    assert_true(put_aborts(0));
    assert_false(put_aborts(8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_puts_and_erases_agree_with_an_array, start, end),
        cmocka_unit_test_setup_teardown(a_moving_window_agrees_with_an_array, start, end),
        cmocka_unit_test_setup_teardown(all_identifiers_can_be_in_use, start, end),
        cmocka_unit_test_setup_teardown(a_value_can_be_changed_in_place, start, end),
        cmocka_unit_test_setup_teardown(
            an_empty_map_holds_no_memory_and_erasing_from_it_is_harmless, start, end),
        cmocka_unit_test_setup_teardown(an_identifier_in_use_and_0_are_our_own_bug, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
