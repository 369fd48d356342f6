#include "conformance/runner/outage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MEMBERS = 8 };

/* What the outage saw of the members when it was made. */
static struct outage_phase phase;
static struct outage_member members[MEMBERS];
static atomic_uint arrived, gone_on, made;
static unsigned arrived_when_made[4], gone_on_when_made[4];
static enum outage kind_made;
static const char *error_to_give;

static bool note_outage(void *context, enum outage kind, char error[OUTAGE_ERROR_SIZE])
{
    unsigned number = atomic_fetch_add(&made, 1);
    if (number < 4) {
        arrived_when_made[number] = atomic_load(&arrived);
        gone_on_when_made[number] = atomic_load(&gone_on);
    }
    kind_made = kind;
    snprintf(error, OUTAGE_ERROR_SIZE, "%s", error_to_give ? error_to_give : "");
    return error_to_give == NULL;
}

static int set_up(void **state)
{
    arrived = gone_on = made = 0;
    error_to_give = NULL;
    return 0;
}

static void *wait_and_leave(void *member)
{
    atomic_fetch_add(&arrived, 1);
    outage_wait(member, OUTAGE_RESTART);
    atomic_fetch_add(&gone_on, 1);
    outage_leave(member);
    return NULL;
}

static void *leave(void *member)
{
    outage_leave(member);
    return NULL;
}

static void *wait_twice(void *member)
{
    atomic_fetch_add(&arrived, 1);
    outage_wait(member, OUTAGE_KILL);
    atomic_fetch_add(&arrived, 1);
    outage_wait(member, OUTAGE_KILL);
    atomic_fetch_add(&gone_on, 1);
    outage_leave(member);
    return NULL;
}

static void begin(unsigned threads)
{
    assert_true(outage_begin(&phase, MEMBERS, threads, note_outage, NULL));
    for (int i = 0; i < MEMBERS; i++)
        outage_enter(&phase, &members[i]);
}

static void run(void *(*const bodies[])(void *), unsigned count)
{
    pthread_t threads[MEMBERS];
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], &members[i]), 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void all_meet_before_the_one_outage(void **state)
{
    void *(*const bodies[MEMBERS])(void *) = {wait_and_leave, wait_and_leave, wait_and_leave,
                                              wait_and_leave, wait_and_leave, wait_and_leave,
                                              wait_and_leave, wait_and_leave};
    begin(MEMBERS);
    run(bodies, MEMBERS);
    outage_end(&phase);
    assert_int_equal(made, 1);
    assert_int_equal(arrived_when_made[0], MEMBERS);
    assert_int_equal(gone_on_when_made[0], 0);
    assert_int_equal(gone_on, MEMBERS);
    assert_int_equal(kind_made, OUTAGE_RESTART);
    for (int i = 0; i < MEMBERS; i++)
        assert_string_equal(members[i].error, "");
}

static void those_who_have_ended_are_not_waited_for(void **state)
{
    void *(*const bodies[MEMBERS])(void *) = {wait_and_leave, leave, wait_and_leave, leave, leave,
                                              leave,          leave, wait_and_leave};
    begin(MEMBERS);
    run(bodies, MEMBERS);
    outage_end(&phase);
    assert_int_equal(made, 1);
    assert_int_equal(arrived_when_made[0], 3);
}

static void without_anyone_waiting_nothing_happens(void **state)
{
    void *(*const bodies[MEMBERS])(void *) = {leave, leave, leave, leave,
                                              leave, leave, leave, leave};
    begin(MEMBERS);
    run(bodies, MEMBERS);
    outage_end(&phase);
    assert_int_equal(made, 0);
}

static void a_case_may_want_several(void **state)
{
    void *(*const bodies[MEMBERS])(void *) = {wait_twice, wait_and_leave, leave, leave,
                                              leave,      leave,          leave, leave};
    begin(MEMBERS);
    run(bodies, MEMBERS);
    outage_end(&phase);
    /* Both kinds at the first meeting, one of them at the second. */
    assert_int_equal(made, 3);
    assert_int_equal(gone_on, 2);
}

static void fewer_threads_meet_in_several_rounds(void **state)
{
    void *(*const bodies[MEMBERS])(void *) = {wait_and_leave, wait_and_leave, wait_and_leave,
                                              wait_and_leave, wait_and_leave, wait_and_leave,
                                              wait_and_leave, wait_and_leave};
    begin(MEMBERS);
    outage_set_threads(&phase, 3);
    run(bodies, 3);
    assert_int_equal(made, 1);
    for (int i = 3; i < MEMBERS; i++)
        outage_leave(&members[i]);
    outage_end(&phase);
    assert_int_equal(arrived_when_made[0], 3);
}

static void leaving_again_counts_once(void **state)
{
    begin(MEMBERS);
    outage_leave(&members[0]);
    outage_leave(&members[0]);
    assert_int_equal(phase.unended, MEMBERS - 1);
    /* Nor does one who has left wait for anything. */
    outage_wait(&members[0], OUTAGE_RESTART);
    for (int i = 1; i < MEMBERS; i++)
        outage_leave(&members[i]);
    outage_end(&phase);
    assert_int_equal(made, 0);
}

static void an_outage_that_goes_wrong_is_told_to_all(void **state)
{
    void *(*const bodies[MEMBERS])(void *) = {wait_and_leave, wait_and_leave, leave, leave,
                                              leave,          leave,          leave, leave};
    error_to_give = "it ended with status 3";
    begin(MEMBERS);
    run(bodies, MEMBERS);
    outage_end(&phase);
    assert_string_equal(members[0].error, error_to_give);
    assert_string_equal(members[1].error, error_to_give);
    assert_string_equal(members[2].error, "");
}

static bool wait_a_while(void *context, enum outage kind, char error[OUTAGE_ERROR_SIZE])
{
    uint64_t until_ms = clock_ms() + 50;
    while (clock_ms() < until_ms)
        assert_true(outage_paused_ms(&members[0]) <= clock_ms());
    return true;
}

static void waiting_is_not_the_case_s_own_time(void **state)
{
    void *(*const bodies[])(void *) = {wait_and_leave};
    assert_true(outage_begin(&phase, 1, 1, wait_a_while, NULL));
    outage_enter(&phase, &members[0]);
    assert_int_equal(outage_paused_ms(&members[0]), 0);
    run(bodies, 1);
    outage_end(&phase);
    assert_true(outage_paused_ms(&members[0]) >= 50);
    uint64_t paused_ms = outage_paused_ms(&members[0]);
    wait_a_while(NULL, OUTAGE_KILL, NULL);
    assert_int_equal(outage_paused_ms(&members[0]), paused_ms);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_meet_before_the_one_outage, set_up),
        cmocka_unit_test_setup(those_who_have_ended_are_not_waited_for, set_up),
        cmocka_unit_test_setup(without_anyone_waiting_nothing_happens, set_up),
        cmocka_unit_test_setup(a_case_may_want_several, set_up),
        cmocka_unit_test_setup(fewer_threads_meet_in_several_rounds, set_up),
        cmocka_unit_test_setup(leaving_again_counts_once, set_up),
        cmocka_unit_test_setup(an_outage_that_goes_wrong_is_told_to_all, set_up),
        cmocka_unit_test_setup(waiting_is_not_the_case_s_own_time, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
