#include "broker/timer_wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The oracle: an array of armed timers, searched from end to end. */
enum { TIMERS = 200 };

struct world {
    struct timer_wheel wheel;
    struct timer timers[TIMERS];
    bool armed[TIMERS];
    uint64_t due_ms[TIMERS];
    uint64_t now_ms;
    uint64_t last_fired_due_ms;
    uint64_t random;
    unsigned fired;
    bool meddle; /* fire callbacks set and cancel other timers */
};

static uint64_t draw(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

/* Mostly near, sometimes years away, sometimes in the past. */
static uint64_t draw_due(struct world *world, uint64_t now_ms)
{
    uint64_t bits = draw(world) % 48;
    uint64_t distance = draw(world) & ((UINT64_C(1) << bits) - 1);
    if (draw(world) % 16 == 0)
        return now_ms > distance ? now_ms - distance : 0;
    return now_ms + distance;
}

static void set(struct world *world, unsigned i, uint64_t due_ms)
{
    timer_set(&world->wheel, &world->timers[i], due_ms);
    world->armed[i] = true;
    world->due_ms[i] = due_ms;
}

static void cancel(struct world *world, unsigned i)
{
    timer_cancel(&world->wheel, &world->timers[i]);
    world->armed[i] = false;
}

static void on_fire(void *context, struct timer *timer)
{
    struct world *world = context;
    unsigned i = (unsigned)(timer - world->timers);
    assert_true(i < TIMERS);
    assert_true(world->armed[i]);
    assert_false(timer_armed(timer));
    assert_true(world->due_ms[i] <= world->now_ms);
    world->armed[i] = false;
    world->fired++;
    if (!world->meddle)
        return;
    unsigned other = (unsigned)(draw(world) % TIMERS);
    switch (draw(world) % 4) {
    case 0:
        set(world, i, draw_due(world, world->now_ms));
        break;
    case 1:
        set(world, other, draw_due(world, world->now_ms));
        break;
    case 2:
        cancel(world, other);
        break;
    default:
        break;
    }
}

static struct world *world_new(uint64_t seed, uint64_t now_ms)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world->now_ms = now_ms;
    timer_wheel_init(&world->wheel, now_ms);
    for (unsigned i = 0; i < TIMERS; i++)
        timer_init(&world->timers[i]);
    return world;
}

static uint64_t earliest(const struct world *world)
{
    uint64_t due_ms = UINT64_MAX;
    for (unsigned i = 0; i < TIMERS; i++) {
        if (world->armed[i] && world->due_ms[i] < due_ms)
            due_ms = world->due_ms[i];
    }
    return due_ms;
}

static void check_against_oracle(const struct world *world)
{
    uint64_t due_ms = earliest(world);
    uint64_t next_ms = timer_wheel_next_ms(&world->wheel);
    for (unsigned i = 0; i < TIMERS; i++)
        assert_int_equal(timer_armed(&world->timers[i]), world->armed[i]);
    assert_int_equal(next_ms == UINT64_MAX, due_ms == UINT64_MAX);
    assert_true(next_ms <= due_ms || next_ms <= world->now_ms);
    if (due_ms > world->now_ms)
        assert_true(next_ms > world->now_ms); /* no busy loop */
}

static void advance(struct world *world, uint64_t now_ms)
{
    world->now_ms = now_ms;
    timer_wheel_advance(&world->wheel, now_ms, on_fire, world);
}

static void random_run(uint64_t seed, bool meddle)
{
    struct world *world = world_new(seed, draw(&(struct world){.random = seed + 1}) >> 20);
    world->meddle = meddle;
    for (unsigned step = 0; step < 3000; step++) {
        unsigned i = (unsigned)(draw(world) % TIMERS);
        switch (draw(world) % 8) {
        case 0:
            cancel(world, i);
            break;
        case 1:
            advance(world, world->now_ms + (draw(world) & 0xff));
            break;
        case 2:
            advance(world, world->now_ms + (draw(world) & 0xffffffff));
            break;
        case 3: {
            uint64_t next_ms = timer_wheel_next_ms(&world->wheel);
            if (next_ms != UINT64_MAX && next_ms > world->now_ms)
                advance(world, next_ms);
            break;
        }
        default:
            set(world, i, draw_due(world, world->now_ms));
            break;
        }
        check_against_oracle(world);
        if (!meddle && world->fired > 0) {
            advance(world, world->now_ms);
            assert_true(earliest(world) > world->now_ms); /* all that was due has fired */
        }
    }
    assert_true(world->fired > 100);
    free(world);
}

static void random_timers_fire_as_the_oracle_says(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        random_run(seed, false);
}

static void callbacks_may_set_and_cancel_any_timer(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        random_run(seed, true);
}

static void on_fire_in_order(void *context, struct timer *timer)
{
    struct world *world = context;
    assert_true(timer->due_ms >= world->last_fired_due_ms);
    world->last_fired_due_ms = timer->due_ms;
    world->fired++;
}

static void one_long_step_fires_earliest_first(void **state)
{
    struct world *world = world_new(7, 123456789);
    for (unsigned i = 0; i < TIMERS; i++)
        set(world, i, world->now_ms + 1 + (draw(world) & ((UINT64_C(1) << (i % 40)) - 1)));
    timer_wheel_advance(&world->wheel, world->now_ms + (UINT64_C(1) << 41), on_fire_in_order,
                        world);
    assert_int_equal(world->fired, TIMERS);
    assert_true(timer_wheel_next_ms(&world->wheel) == UINT64_MAX);
    free(world);
}

static void a_timer_fires_at_its_millisecond_and_not_before(void **state)
{
    static const uint64_t distances[] = {
        1, 63, 64, 65, 4095, 4096, 4097, 86400000, UINT64_C(31536000000) * 10};
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
        struct world *world = world_new(1, 1000003);
        uint64_t due_ms = world->now_ms + distances[i];
        set(world, 0, due_ms);
        advance(world, due_ms - 1);
        assert_int_equal(world->fired, 0);
        assert_true(timer_wheel_next_ms(&world->wheel) == due_ms);
        advance(world, due_ms);
        assert_int_equal(world->fired, 1);
        free(world);
    }
}

static void following_next_ms_needs_few_wake_ups(void **state)
{
    struct world *world = world_new(1, 5);
    unsigned wake_ups = 0;
    set(world, 0, UINT64_C(31536000000));
    while (world->fired == 0) {
        advance(world, timer_wheel_next_ms(&world->wheel));
        wake_ups++;
    }
    assert_true(world->now_ms == UINT64_C(31536000000));
    assert_true(wake_ups <= TIMER_WHEEL_LEVELS);
    free(world);
}

static void the_end_of_time_can_be_set(void **state)
{
    struct world *world = world_new(1, 42);
    set(world, 0, UINT64_MAX);
    set(world, 1, UINT64_MAX - 1);
    advance(world, UINT64_C(1) << 60);
    assert_int_equal(world->fired, 0);
    cancel(world, 1);
    advance(world, UINT64_MAX);
    assert_int_equal(world->fired, 1);
    free(world);
}

static void on_fire_set_again(void *context, struct timer *timer)
{
    struct world *world = context;
    world->fired++;
    timer_set(&world->wheel, timer, world->now_ms);
}

static void a_timer_that_sets_itself_for_now_waits_for_the_next_call(void **state)
{
    struct world *world = world_new(1, 1000);
    timer_set(&world->wheel, &world->timers[0], 1000);
    for (unsigned i = 1; i <= 3; i++) {
        timer_wheel_advance(&world->wheel, 1000, on_fire_set_again, world);
        assert_int_equal(world->fired, i);
        assert_true(timer_wheel_next_ms(&world->wheel) <= 1000);
    }
    free(world);
}

static void a_clock_that_goes_back_is_ignored(void **state)
{
    struct world *world = world_new(1, 1000);
    set(world, 0, 1500);
    timer_wheel_advance(&world->wheel, 10, on_fire, world);
    assert_true(timer_wheel_next_ms(&world->wheel) > 1000);
    advance(world, 1500);
    assert_int_equal(world->fired, 1);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_timers_fire_as_the_oracle_says),
        cmocka_unit_test(callbacks_may_set_and_cancel_any_timer),
        cmocka_unit_test(one_long_step_fires_earliest_first),
        cmocka_unit_test(a_timer_fires_at_its_millisecond_and_not_before),
        cmocka_unit_test(following_next_ms_needs_few_wake_ups),
        cmocka_unit_test(the_end_of_time_can_be_set),
        cmocka_unit_test(a_timer_that_sets_itself_for_now_waits_for_the_next_call),
        cmocka_unit_test(a_clock_that_goes_back_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
