#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/histogram.h"

static void quantiles_are_within_a_64th(void **state)
{
    static struct histogram histogram;
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_add(&histogram, value * 1000);
    static const double shares[] = {0.001, 0.5, 0.99, 0.999, 1};
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double exact = shares[i] * 1e8;
        double found = (double)histogram_quantile(&histogram, shares[i]);
        assert_true(found >= exact - 1 && found <= exact * (1 + 1.0 / 64));
    }
    assert_int_equal(histogram_quantile(&histogram, 1), 100000000);
}

static void the_largest_value_has_a_bucket(void **state)
{
    static struct histogram histogram;
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    histogram_add(&histogram, UINT64_MAX);
    assert_true(histogram_quantile(&histogram, 0.5) == UINT64_MAX);
    histogram_add(&histogram, 0);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_a_64th),
        cmocka_unit_test(the_largest_value_has_a_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
