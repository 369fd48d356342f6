#include "authentication/throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const struct hash_key key = {1, 2};
static uint64_t now_ms;

static struct throttle *begin(uint32_t failures)
{
    struct throttle *throttle = throttle_new(&key, failures);
    assert_non_null(throttle);
    now_ms = 1000000;
    return throttle;
}

static uint64_t wait(struct throttle *throttle, const char *address, const char *user_name)
{
    return throttle_wait_ms(throttle, bytes_of_text(address), bytes_of_text(user_name), now_ms);
}

static void miss(struct throttle *throttle, const char *address, const char *user_name)
{
    throttle_failed(throttle, bytes_of_text(address), bytes_of_text(user_name), now_ms);
}

static void each_failure_beyond_a_few_doubles_the_wait(void **state)
{
    (void)state;
    struct throttle *throttle = begin(3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wait(throttle, "a", "alice"), 0);
        miss(throttle, "a", "alice");
    }
    for (uint64_t expected = 1000; expected < 64000; expected *= 2) {
        assert_int_equal(wait(throttle, "a", "alice"), expected);
        now_ms += expected - 1;
        assert_int_equal(wait(throttle, "a", "alice"), 1);
        now_ms++;
        assert_int_equal(wait(throttle, "a", "alice"), 0);
        miss(throttle, "a", "alice");
    }
    assert_int_equal(wait(throttle, "a", "alice"), 60000);
    throttle_free(throttle);
}

static void others_do_not_wait_for_it(void **state)
{
    (void)state;
    struct throttle *throttle = begin(3);
    for (unsigned i = 0; i < 9; i++)
        miss(throttle, "a", "alice");
    assert_true(wait(throttle, "a", "alice") > 0);
    assert_int_equal(wait(throttle, "a", "bob"), 0);
    assert_int_equal(wait(throttle, "b", "alice"), 0);
    assert_int_equal(wait(throttle, "aa", "lice"), 0);
    throttle_free(throttle);
}

static void an_address_that_fails_with_many_waits_but_for_who_was_right(void **state)
{
    (void)state;
    struct throttle *throttle = begin(3);
    char name[16];
    throttle_succeeded(throttle, bytes_of_text("a"), bytes_of_text("good"), now_ms);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "user-%u", i);
        assert_int_equal(wait(throttle, "a", name), 0);
        miss(throttle, "a", name);
    }
    assert_int_equal(wait(throttle, "a", "anybody"), 1000);
    assert_int_equal(wait(throttle, "a", "good"), 0);
    assert_int_equal(wait(throttle, "b", "anybody"), 0);
    throttle_free(throttle);
}

static void a_right_password_and_time_make_it_good(void **state)
{
    (void)state;
    struct throttle *throttle = begin(1);
    miss(throttle, "a", "alice");
    miss(throttle, "a", "bob");
    assert_true(wait(throttle, "a", "alice") > 0);
    throttle_succeeded(throttle, bytes_of_text("a"), bytes_of_text("alice"), now_ms);
    assert_int_equal(wait(throttle, "a", "alice"), 0);
    assert_true(wait(throttle, "a", "bob") > 0);
    for (unsigned i = 0; i < 9; i++)
        miss(throttle, "a", "bob");
    now_ms += 10 * 60 * 1000;
    assert_int_equal(wait(throttle, "a", "bob"), 0);
    miss(throttle, "a", "bob"); /* its first */
    assert_int_equal(wait(throttle, "a", "bob"), 1000);
    throttle_free(throttle);
}

static void many_strangers_do_not_take_more_memory(void **state)
{
    (void)state;
    struct throttle *throttle = begin(1);
    char name[16];
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "%u", i);
        miss(throttle, name, name);
        assert_true(wait(throttle, name, name) > 0);
        now_ms++;
    }
    throttle_free(throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_beyond_a_few_doubles_the_wait),
        cmocka_unit_test(others_do_not_wait_for_it),
        cmocka_unit_test(an_address_that_fails_with_many_waits_but_for_who_was_right),
        cmocka_unit_test(a_right_password_and_time_make_it_good),
        cmocka_unit_test(many_strangers_do_not_take_more_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
