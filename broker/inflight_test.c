/* Exchanges by identifier against a plain array of all 65,536. */
#include "broker/inflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ALL = UINT16_MAX + 1 };

static struct outbound outbound;
static uint64_t oracle[ALL]; /* the number of the exchange that has the identifier; 0: none */
static uint16_t used[ALL];   /* the identifiers that have one */
static uint32_t oracle_count;
static uint64_t last_number, random_state;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static int start(void **state)
{
    outbound = (struct outbound){0};
    memset(oracle, 0, sizeof oracle);
    oracle_count = 0;
    last_number = 0;
    random_state = 42;
    return 0;
}

static int end(void **state)
{
    inflight_fini(&outbound);
    return 0;
}

static void remember(struct inflight *exchange)
{
    assert_int_not_equal(exchange->packet_identifier, 0);
    assert_int_equal(oracle[exchange->packet_identifier], 0); /* [MQTT-2.2.1-4] */
    assert_null(exchange->message);
    exchange->number = oracle[exchange->packet_identifier] = ++last_number;
    used[oracle_count++] = exchange->packet_identifier;
}

static void acknowledge(uint32_t i)
{
    inflight_free(&outbound, inflight_find(&outbound, used[i]));
    oracle[used[i]] = 0;
    used[i] = used[--oracle_count];
}

static void acknowledge_any(void)
{
    acknowledge(draw(oracle_count));
}

static void compare_all(void)
{
    assert_int_equal(outbound.inflight_count, oracle_count);
    for (unsigned i = 0; i < ALL; i++) {
        const struct inflight *exchange = inflight_find(&outbound, (uint16_t)i);
        if (oracle[i] == 0) {
            assert_null(exchange);
        } else {
            assert_non_null(exchange);
            assert_int_equal(exchange->number, oracle[i]);
            assert_int_equal(exchange->packet_identifier, i);
        }
    }
}

static void no_identifier_is_used_twice_whatever_is_acknowledged_first(void **state)
{
    static const uint32_t windows[] = {1, 3, 4, 100, 1000, 20000};
    for (unsigned w = 0; w < sizeof windows / sizeof windows[0]; w++) {
        for (unsigned i = 0; i < 3 * ALL / 2; i++) {
            while (oracle_count >= windows[w] || (oracle_count > 0 && draw(3) == 0))
                acknowledge_any();
            remember(inflight_begin(&outbound));
        }
        compare_all();
    }
}

static void a_window_in_order_takes_the_identifiers_in_order(void **state)
{
    for (unsigned i = 1; i < 2 * ALL; i++) {
        struct inflight *exchange = inflight_begin(&outbound);
        assert_int_equal(exchange->packet_identifier, (i - 1) % UINT16_MAX + 1);
        remember(exchange);
        if (oracle_count == 100) /* the last takes its place in `used` */
            acknowledge((i - 100) % 99);
    }
    assert_int_equal(outbound.inflight_capacity, 128);
}

/* What is left of an earlier run may be anything. */
static void identifiers_that_are_given_find_their_place(void **state)
{
    for (unsigned i = 0; i < 1000; i++) {
        uint16_t identifier = (uint16_t)(1 + draw(4) + 4096 * draw(16));
        if (oracle[identifier] != 0)
            continue;
        remember(inflight_restore(&outbound, identifier));
    }
    compare_all();
    outbound.last_identifier = UINT16_MAX;
    for (unsigned i = 0; i < 1000; i++)
        remember(inflight_begin(&outbound));
    compare_all();
}

static void what_is_emptied_is_made_as_large_as_it_was(void **state)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 100; i++)
            remember(inflight_begin(&outbound));
        while (oracle_count > 0)
            acknowledge_any();
        inflight_fini(&outbound);
        assert_null(inflight_find(&outbound, 1));
    }
    remember(inflight_begin(&outbound));
    assert_int_equal(outbound.inflight_capacity, 128);
    acknowledge_any();
    inflight_fini(&outbound);
    remember(inflight_begin(&outbound)); /* and no longer than it is needed */
    assert_int_equal(outbound.inflight_capacity, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_identifier_is_used_twice_whatever_is_acknowledged_first,
                                        start, end),
        cmocka_unit_test_setup_teardown(a_window_in_order_takes_the_identifiers_in_order, start,
                                        end),
        cmocka_unit_test_setup_teardown(identifiers_that_are_given_find_their_place, start, end),
        cmocka_unit_test_setup_teardown(what_is_emptied_is_made_as_large_as_it_was, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
