#include "routing/reclaim.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static _Atomic int released;

static void count_release(void *pointer)
{
    free(pointer);
    atomic_fetch_add(&released, 1);
}

static void barrier_waits_for_everything_deferred(void **state)
{
    reclaim_thread_register();
    atomic_store(&released, 0);
    for (int i = 0; i < 1000; i++)
        reclaim_defer(count_release, malloc(16));
    reclaim_barrier();
    assert_int_equal(atomic_load(&released), 1000);
    reclaim_barrier();
    reclaim_thread_unregister();
}

static void unregistered_thread_may_defer(void **state)
{
    atomic_store(&released, 0);
    reclaim_defer(count_release, malloc(16));
    reclaim_barrier();
    assert_int_equal(atomic_load(&released), 1);
}

/* ---- A reader that is online holds up releases; one that is offline does not ---- */

enum step { STEP_START, STEP_ONLINE, STEP_DEFERRED, STEP_SEEN, STEP_END };
static _Atomic int step;

static void wait_for(enum step wanted)
{
    while (atomic_load(&step) < (int)wanted)
        sched_yield();
}

static void *reader_that_looks_late(void *context)
{
    _Atomic(int *) *shared = context;
    reclaim_thread_register();
    int *seen = atomic_load(shared);
    atomic_store(&step, STEP_ONLINE);
    wait_for(STEP_DEFERRED);
    for (int i = 0; i < 100; i++) {
        if (*seen != 42)
            abort();
        sched_yield();
    }
    bool early = atomic_load(&released) != 0;
    reclaim_offline();
    /* The other side may have seen the release, and gone on, before we come to say that we are
     * done. */
    int before = STEP_DEFERRED;
    atomic_compare_exchange_strong(&step, &before, STEP_SEEN);
    wait_for(STEP_END);
    reclaim_online();
    reclaim_thread_unregister();
    return early ? context : NULL;
}

static void nothing_is_released_under_an_online_reader(void **state)
{
    _Atomic(int *) shared;
    int *value = malloc(sizeof *value);
    *value = 42;
    atomic_init(&shared, value);
    atomic_store(&released, 0);
    atomic_store(&step, STEP_START);

    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reader_that_looks_late, &shared), 0);
    wait_for(STEP_ONLINE);
    atomic_store(&shared, NULL);
    reclaim_defer(count_release, value);
    atomic_store(&step, STEP_DEFERRED);
    reclaim_barrier(); /* the reader is offline now, and that is enough */
    assert_int_equal(atomic_load(&released), 1);
    atomic_store(&step, STEP_END);
    void *early;
    pthread_join(thread, &early);
    assert_null(early);
}

/* ---- Publishing and replacing under readers: clean under ThreadSanitizer ---- */

static _Atomic(int *) published;
static _Atomic bool stop;

static void *reader_that_looks_often(void *context)
{
    reclaim_thread_register();
    while (!atomic_load(&stop)) {
        const int *seen = atomic_load_explicit(&published, memory_order_acquire);
        if (seen[0] != seen[1])
            abort();
        reclaim_quiescent();
    }
    reclaim_thread_unregister();
    return NULL;
}

static int *pair_of(int value)
{
    int *pair = malloc(2 * sizeof *pair);
    pair[0] = pair[1] = value;
    return pair;
}

static void readers_see_whole_values_while_they_are_replaced(void **state)
{
    atomic_store(&stop, false);
    atomic_store(&published, pair_of(0));
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_that_looks_often, NULL), 0);
    reclaim_thread_register();
    for (int i = 1; i < 20000; i++) {
        int *before = atomic_exchange_explicit(&published, pair_of(i), memory_order_acq_rel);
        reclaim_defer(free, before);
        if (i % 16 == 0)
            reclaim_quiescent();
    }
    atomic_store(&stop, true);
    reclaim_offline();
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    reclaim_barrier();
    reclaim_online();
    reclaim_thread_unregister();
    free(atomic_load(&published));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barrier_waits_for_everything_deferred),
        cmocka_unit_test(unregistered_thread_may_defer),
        cmocka_unit_test(nothing_is_released_under_an_online_reader),
        cmocka_unit_test(readers_see_whole_values_while_they_are_replaced),
    };
    return cmocka_run_group_tests_name("routing/reclaim", tests, NULL, NULL);
}
