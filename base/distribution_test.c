#include "base/distribution.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_value_belongs_below_the_next_power_of_two_or_at_it(void **state)
{
    assert_int_equal(distribution_bucket(0), 0);
    assert_int_equal(distribution_bucket(1), 0);
    assert_int_equal(distribution_bucket(2), 1);
    assert_int_equal(distribution_bucket(3), 2);
    assert_int_equal(distribution_bucket(4), 2);
    assert_int_equal(distribution_bucket(5), 3);
    assert_int_equal(distribution_bucket(1024), 10);
    assert_int_equal(distribution_bucket(1025), 11);
}

static void what_is_above_all_bounds_is_counted_apart(void **state)
{
    uint64_t highest = 1ull << (DISTRIBUTION_BOUNDS - 1);
    assert_int_equal(distribution_bucket(highest), DISTRIBUTION_BOUNDS - 1);
    assert_int_equal(distribution_bucket(highest + 1), DISTRIBUTION_BOUNDS);
    assert_int_equal(distribution_bucket(UINT64_MAX), DISTRIBUTION_BOUNDS);
}

static void readings_of_several_are_added_up(void **state)
{
    static struct distribution one, other;
    struct distribution_reading reading = {0};
    distribution_add(&one, 3);
    distribution_add(&one, 100);
    distribution_add(&other, 4);
    distribution_read(&one, &reading);
    distribution_read(&other, &reading);
    assert_int_equal(reading.counts[2], 2);
    assert_int_equal(reading.counts[7], 1);
    assert_int_equal(reading.sum, 107);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_belongs_below_the_next_power_of_two_or_at_it),
        cmocka_unit_test(what_is_above_all_bounds_is_counted_apart),
        cmocka_unit_test(readings_of_several_are_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
