#include "broker/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOW_MS = 5000000 };

static void a_seconds_worth_may_be_taken_at_once(void **state)
{
    (void)state;
    struct rate rate = {0};
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(rate_wait_ms(&rate, NOW_MS), 0);
        rate_take(&rate, 10, 1, NOW_MS);
    }
    assert_int_equal(rate_wait_ms(&rate, NOW_MS), 0);
    rate_take(&rate, 10, 1, NOW_MS);
    assert_int_equal(rate_wait_ms(&rate, NOW_MS), 100);
    assert_int_equal(rate_wait_ms(&rate, NOW_MS + 99), 1);
    assert_int_equal(rate_wait_ms(&rate, NOW_MS + 100), 0);
}

static void what_was_not_taken_does_not_add_up(void **state)
{
    (void)state;
    struct rate rate = {0};
    rate_take(&rate, 10, 1, NOW_MS);
    rate_take(&rate, 10, 11, NOW_MS + 3600000);
    assert_int_equal(rate_wait_ms(&rate, NOW_MS + 3600000), 100);
}

static void a_debt_is_a_minute_at_most(void **state)
{
    (void)state;
    struct rate rate = {0};
    rate_take(&rate, 1, UINT64_MAX, NOW_MS);
    rate_take(&rate, UINT32_MAX, UINT64_MAX, NOW_MS);
    assert_int_equal(rate_wait_ms(&rate, NOW_MS), 60000);
}

static void over_time_it_is_the_rate(void **state)
{
    (void)state;
    struct rate rate = {0};
    uint64_t taken = 0;
    for (uint64_t now_ms = NOW_MS; now_ms < NOW_MS + 100000; now_ms++) {
        while (rate_wait_ms(&rate, now_ms) == 0) {
            rate_take(&rate, 1000000, 64, now_ms);
            taken += 64;
        }
    }
    assert_in_range(taken, 100900000, 101100000); /* the second's worth of the beginning, too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seconds_worth_may_be_taken_at_once),
        cmocka_unit_test(what_was_not_taken_does_not_add_up),
        cmocka_unit_test(a_debt_is_a_minute_at_most),
        cmocka_unit_test(over_time_it_is_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
