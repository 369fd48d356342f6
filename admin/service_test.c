#include "admin/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/worker.h"

enum { WORKERS = 2 };

struct fixture {
    struct broker broker;
    struct service service;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    size_t size = WORKERS * sizeof(struct worker);
    fixture->broker.workers = aligned_alloc(64, size);
    memset((void *)fixture->broker.workers, 0, size);
    fixture->broker.worker_count = WORKERS;
    service_init(&fixture->service, &fixture->broker);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    free(fixture->broker.workers);
    free(fixture);
    return 0;
}

static void turn(struct fixture *fixture, unsigned worker)
{
    distribution_add(&fixture->broker.workers[worker].counters.turn_us, 10);
}

static void one_worker_that_hangs_is_enough(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture, 0);
    turn(fixture, 1);
    assert_true(service_looks_alive(&fixture->service));
    assert_false(service_looks_alive(&fixture->service));
    turn(fixture, 0);
    assert_false(service_looks_alive(&fixture->service));
    turn(fixture, 0);
    turn(fixture, 1);
    assert_true(service_looks_alive(&fixture->service));
}

static void a_watchdog_for_another_process_is_none(void **state)
{
    struct fixture *fixture = *state;
    setenv("WATCHDOG_USEC", "3000000", 1);
    service_init(&fixture->service, &fixture->broker);
    assert_int_equal(fixture->service.interval_us, 1000000);
    setenv("WATCHDOG_PID", "1", 1);
    service_init(&fixture->service, &fixture->broker);
    assert_int_equal(fixture->service.interval_us, 0);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_worker_that_hangs_is_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watchdog_for_another_process_is_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
