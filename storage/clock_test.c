/* Store time: within a boot the boot clock counts, across boots the wall clock if it can be
 * believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/clock.h"
#include "storage/store_testing.h"

static const int64_t year_2026 = INT64_C(1770000000000);
static const int64_t hour = 3600000;

static struct {
    int64_t boot_ms, wall_ms;
    const char *boot_id;
} now;

static uint64_t fake_monotonic_us(void)
{
    return clock_system.monotonic_us();
}

static int64_t fake_boot_ms(void)
{
    return now.boot_ms;
}

static int64_t fake_wall_ms(void)
{
    return now.wall_ms;
}

static void fake_boot_id(char out[40])
{
    snprintf(out, 40, "%s", now.boot_id);
}

static const struct clock_source fake = {fake_monotonic_us, fake_boot_ms, fake_wall_ms,
                                         fake_boot_id};
static struct fixture fixture;

static int set_up(void **state)
{
    fixture_init(&fixture);
    clock_source = &fake;
    return 0;
}

static int tear_down(void **state)
{
    fixture_fini(&fixture);
    clock_source = &clock_system;
    return 0;
}

/* Runs the store for a while: opened at one state of the clocks, its last transaction at
 * another. */
static int64_t run(const char *boot_id, int64_t boot_ms, int64_t wall_ms, int64_t for_ms,
                   int64_t wall_jump_ms)
{
    now.boot_id = boot_id;
    now.boot_ms = boot_ms;
    now.wall_ms = wall_ms;
    fixture_open(&fixture);
    int64_t opened_at = store_now_base(fixture.store) + boot_ms;
    now.boot_ms += for_ms;
    now.wall_ms += for_ms + wall_jump_ms;
    assert_true(fixture_wait_durable(fixture.store, fixture_session(fixture.store, 1, "a"), 5000));
    fixture_close(&fixture);
    return opened_at;
}

static void a_new_store_begins_with_wall_time(void **state)
{
    assert_true(run("one", 5000, year_2026, 0, 0) == year_2026);
}

static void within_a_boot_the_wall_clock_does_not_matter(void **state)
{
    run("one", 5000, year_2026, hour, 0);
    assert_true(run("one", 5000 + 2 * hour, year_2026 + 50 * hour, 0, 0) == year_2026 + 2 * hour);
    assert_true(run("one", 5000 + 3 * hour, 0, 0, 0) == year_2026 + 3 * hour);
}

static void across_boots_the_wall_clock_counts(void **state)
{
    run("one", 5000, year_2026, hour, 0);
    assert_true(run("two", 10, year_2026 + 30 * hour, 0, 0) == year_2026 + 30 * hour);
}

static void it_never_runs_backwards(void **state)
{
    run("one", 5000, year_2026, hour, 0);
    assert_true(run("two", 10, year_2026 - 30 * hour, 0, 0) == year_2026 + hour);
}

/* A gateway without a battery: 1970 at each boot, right after a while. */
static void a_gateway_that_wakes_in_1970_keeps_its_sessions(void **state)
{
    assert_true(run("one", 5000, 20000, hour, year_2026) == 20000);
    /* The next boot is in 1970 too, so that nothing is known of the time between: none. */
    assert_true(run("two", 10, 20000, hour, year_2026) == 20000 + hour);
    /* One that boots with the right time: what passed since the last transaction, and no more. */
    int64_t wall_then = 20000 + hour + year_2026;
    assert_true(run("three", 10, wall_then + 5 * hour, 0, 0) == 20000 + 2 * hour + 5 * hour);
}

static void a_clock_set_while_running_makes_no_session_older(void **state)
{
    run("one", 5000, year_2026, hour, 100 * hour);
    assert_true(run("two", 10, year_2026 + 102 * hour, 0, 0) == year_2026 + 2 * hour);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_store_begins_with_wall_time),
        TEST(within_a_boot_the_wall_clock_does_not_matter),
        TEST(across_boots_the_wall_clock_counts),
        TEST(it_never_runs_backwards),
        TEST(a_gateway_that_wakes_in_1970_keeps_its_sessions),
        TEST(a_clock_set_while_running_makes_no_session_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
