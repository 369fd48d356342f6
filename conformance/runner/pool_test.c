#include "conformance/runner/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { JOBS = 40 };

static struct conformance_case definition = {.name = "case", .file = "a.c", .limit_s = 1};
static struct job jobs[JOBS];
static struct job *list[JOBS];
static pthread_t caller;
static atomic_uint running, most, runs;
static unsigned told, threads_had;
static struct job *hanging; /* until released */
static atomic_bool goes_on;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool released, back;

static int set_up(void **state)
{
    running = most = runs = told = threads_had = 0;
    released = back = false;
    hanging = NULL;
    goes_on = true;
    caller = pthread_self();
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.definition = &definition, .version = VERSION_5};
        list[i] = &jobs[i];
    }
    return 0;
}

static void hang(void)
{
    pthread_mutex_lock(&mutex);
    while (!released)
        pthread_cond_wait(&changed, &mutex);
    back = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void release(void)
{
    pthread_mutex_lock(&mutex);
    released = true;
    pthread_cond_broadcast(&changed);
    while (!back)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void run(void *context, struct job *job, struct outcome *out)
{
    unsigned now = atomic_fetch_add(&running, 1) + 1;
    for (unsigned seen = most; seen < now && !atomic_compare_exchange_weak(&most, &seen, now);)
        continue;
    assert_ptr_equal(context, &jobs);
    atomic_fetch_add(&runs, 1);
    if (job == hanging)
        hang();
    *out = (struct outcome){.verdict = VERDICT_PASSED, .reason = strdup("ran")};
    atomic_fetch_sub(&running, 1);
}

static void ended(void *context, struct job *job)
{
    assert_true(pthread_equal(caller, pthread_self()));
    assert_true(job->ended_ms >= job->started_ms);
    told++;
}

static bool tick(void *context)
{
    return goes_on;
}

static void threads_are(void *context, unsigned threads)
{
    threads_had = threads;
}

static unsigned run_all(unsigned count, unsigned threads)
{
    const struct pool_settings settings = {.threads = threads,
                                           .grace_ms = 0,
                                           .run = run,
                                           .ended = ended,
                                           .threads_are = threads_are,
                                           .tick = tick,
                                           .context = &jobs};
    return pool_run(list, count, &settings);
}

static void free_outcomes(void)
{
    for (int i = 0; i < JOBS; i++)
        outcome_free(&jobs[i].outcome);
}

static void each_job_is_run_once_and_told_once(void **state)
{
    assert_int_equal(run_all(JOBS, 5), 0);
    assert_int_equal(runs, JOBS);
    assert_int_equal(told, JOBS);
    assert_int_equal(threads_had, 5);
    assert_true(most <= 5);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].state, JOB_ENDED);
        assert_string_equal(jobs[i].outcome.reason, "ran");
    }
    free_outcomes();
}

static void no_more_threads_than_jobs(void **state)
{
    assert_int_equal(run_all(3, 64), 0);
    assert_int_equal(threads_had, 3);
    assert_int_equal(told, 3);
    free_outcomes();
}

static void no_jobs_need_no_threads(void **state)
{
    assert_int_equal(run_all(0, 64), 0);
    assert_int_equal(threads_had, 0);
}

static void a_job_that_hangs_stops_nobody(void **state)
{
    hanging = &jobs[0];
    assert_int_equal(run_all(4, 1), 1);
    assert_int_equal(told, 4);
    assert_int_equal(jobs[0].state, JOB_ABANDONED);
    assert_int_equal(jobs[0].outcome.verdict, VERDICT_BROKEN);
    for (int i = 1; i < 4; i++)
        assert_int_equal(jobs[i].state, JOB_ENDED);
    release();
    /* What it brings in the end is not wanted any more. */
    assert_int_equal(jobs[0].outcome.verdict, VERDICT_BROKEN);
    free_outcomes();
}

/* tick() lets go of it when its limit has long passed. */
static uint64_t release_ms;

static bool tick_and_release(void *context)
{
    if (clock_ms() >= release_ms) {
        pthread_mutex_lock(&mutex);
        released = true;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return true;
}

static void time_in_an_outage_is_not_held_against_a_job(void **state)
{
    const struct pool_settings settings = {
        .threads = 1, .run = run, .ended = ended, .tick = tick_and_release, .context = &jobs};
    jobs[0].member.paused_ms = 3600 * 1000;
    hanging = &jobs[0];
    release_ms = clock_ms() + 1300;
    assert_int_equal(pool_run(list, 1, &settings), 0);
    assert_int_equal(jobs[0].state, JOB_ENDED);
    assert_true(jobs[0].ended_ms - jobs[0].started_ms > job_limit_ms(&jobs[0]));
    free_outcomes();
}

static void a_stop_leaves_what_runs_and_starts_nothing_more(void **state)
{
    hanging = &jobs[0];
    goes_on = false;
    unsigned left = run_all(JOBS, 1);
    assert_int_equal(left, 1);
    assert_int_equal(runs, 1);
    assert_int_equal(told, 0);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(jobs[i].state, JOB_NOT_RUN);
    release();
    free_outcomes();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_job_is_run_once_and_told_once, set_up),
        cmocka_unit_test_setup(no_more_threads_than_jobs, set_up),
        cmocka_unit_test_setup(no_jobs_need_no_threads, set_up),
        cmocka_unit_test_setup(a_job_that_hangs_stops_nobody, set_up),
        cmocka_unit_test_setup(time_in_an_outage_is_not_held_against_a_job, set_up),
        cmocka_unit_test_setup(a_stop_leaves_what_runs_and_starts_nothing_more, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
