/* What is late comes in order, also while the ring grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/delay.h"

static void first_in_is_first_out(void **state)
{
    struct delay delay = {0};
    uint16_t in = 0, out = 0;
    assert_true(delay_next_ns(&delay) == UINT64_MAX);
    assert_null(delay_next_client(&delay));
    for (unsigned turn = 0; turn < 5000; turn++) {
        for (unsigned i = 0; i < 3; i++, in++)
            delay_push(&delay, 1000 + in, (struct delayed_ack){.id = in});
        for (unsigned i = 0; i < 1 + turn % 2; i++, out++) {
            assert_int_equal(delay_next_ns(&delay), 1000 + out);
            assert_int_equal(delay_pop(&delay).id, out);
        }
    }
    assert_int_equal(delay.count, in - out);
    delay_fini(&delay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_in_is_first_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
