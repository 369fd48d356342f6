#include "conformance/runner/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A world of its own: a case ends each time as its script says, a letter for each run. */
enum { CASES_MAX = 8, RUNS_MAX = 8 };

static struct scripted {
    struct conformance_case definition;
    const char *script; /* P passed, F failed, B broken, N not applicable; the last one stays */
    unsigned runs;
    bool saw_outage_hook;
} scripted[CASES_MAX];
static unsigned case_count;

static struct run world_run;
static const struct server_features features;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool alive, busy, outage_works;
static unsigned asked_alive, outages, phases, settled;
static enum verdict settled_as[64];

static void add(const char *name, const char *script, bool timing, enum outage outage)
{
    struct scripted *next = &scripted[case_count++];
    *next = (struct scripted){
        .definition = {.name = name, .file = "a.c", .v5 = "X", .timing = timing, .outage = outage},
        .script = script};
    if (case_count > 1)
        scripted[case_count - 2].definition.next = &next->definition;
}

static void play(const struct conformance_case *definition, enum version version,
                 const struct run_settings *settings, struct outcome *out)
{
    struct scripted *self = (struct scripted *)(uintptr_t)definition;
    size_t length = strlen(self->script);
    pthread_mutex_lock(&mutex);
    unsigned number = self->runs++;
    self->saw_outage_hook = settings->outage != NULL;
    pthread_mutex_unlock(&mutex);
    assert_ptr_equal(settings->server, &features);
    if (definition->outage != OUTAGE_NONE)
        settings->outage(settings->outage_context, definition->outage);
    switch (self->script[number < length ? number : length - 1]) {
    case 'F':
        out->verdict = VERDICT_FAILED;
        break;
    case 'B':
        out->verdict = VERDICT_BROKEN;
        break;
    case 'N':
        out->verdict = VERDICT_NOT_APPLICABLE;
        break;
    default:
        out->verdict = VERDICT_PASSED;
    }
    if (asprintf(&out->reason, "run %u", number + 1) < 0)
        abort();
}

static bool ask_alive(void *context, char *error, size_t error_size)
{
    asked_alive++;
    snprintf(error, error_size, "refused");
    return alive;
}

static bool make(void *context, enum outage kind, char error[OUTAGE_ERROR_SIZE])
{
    outages++;
    if (!outage_works)
        snprintf(error, OUTAGE_ERROR_SIZE, "status 3");
    return outage_works;
}

static bool was_busy(uint64_t from_ms, uint64_t to_ms)
{
    return busy;
}

static void phase(void *context, const char *title, unsigned jobs)
{
    phases++;
}

static void note_settled(void *context, const struct job *job)
{
    settled_as[settled++] = job->outcome.verdict;
}

static bool goes_on;

static bool tick(void *context)
{
    return goes_on;
}

static int set_up(void **state)
{
    case_count = asked_alive = outages = phases = settled = 0;
    alive = outage_works = goes_on = true;
    busy = false;
    world_run = (struct run){
        .world = {play, ask_alive, make, was_busy, NULL},
        .view = {phase, note_settled, tick, NULL},
        .features = {[VERSION_5] = &features},
        .refusal = {[VERSION_311] = "not spoken"},
        .has_command = {[OUTAGE_RESTART] = true, [OUTAGE_KILL] = true},
        .threads = 4,
        .outage_threads = 8,
        .retries = true,
        .grace_ms = 1000,
    };
    return 0;
}

static void execute(void)
{
    run_plan(&world_run, &scripted[0].definition, NULL, 0, true, true);
    run_execute(&world_run);
}

static void check(unsigned number, enum verdict verdict, unsigned runs, const char *reason)
{
    const struct job *job = &world_run.jobs[number];
    assert_int_equal(job->outcome.verdict, verdict);
    assert_int_equal(scripted[number].runs, runs);
    if (reason)
        assert_string_equal(job->outcome.reason, reason);
}

static int tear_down(void **state)
{
    run_free(&world_run);
    return 0;
}

static void a_plan_has_a_job_for_each_version(void **state)
{
    const char *const patterns[] = {"ab*"};
    add("ab", "P", false, OUTAGE_NONE);
    add("b", "P", false, OUTAGE_NONE);
    scripted[0].definition.v311 = "Y";
    run_plan(&world_run, &scripted[0].definition, patterns, 1, true, true);
    assert_int_equal(world_run.count, 2);
    assert_int_equal(world_run.jobs[0].version, VERSION_5);
    assert_int_equal(world_run.jobs[1].version, VERSION_311);
    pthread_mutex_init(&world_run.mutex, NULL);
}

static void a_failure_stands_when_the_machine_was_not_busy(void **state)
{
    add("fails", "FP", false, OUTAGE_NONE);
    add("passes", "P", false, OUTAGE_NONE);
    execute();
    check(0, VERDICT_FAILED, 1, "run 1");
    check(1, VERDICT_PASSED, 1, NULL);
    assert_false(world_run.jobs[0].retried);
    assert_int_equal(settled, 2);
}

static void a_timing_failure_is_tried_again_and_flaky_if_it_passes(void **state)
{
    add("flaky", "FP", true, OUTAGE_NONE);
    add("fails", "FF", true, OUTAGE_NONE);
    execute();
    check(0, VERDICT_FLAKY, 2, "run 1");
    check(1, VERDICT_FAILED, 2, "run 2");
    assert_true(world_run.jobs[0].retried && world_run.jobs[1].retried);
    assert_int_equal(settled, 2);
    assert_int_equal(phases, 2);
}

static void a_busy_machine_excuses_every_failure_once(void **state)
{
    busy = true;
    add("flaky", "FP", false, OUTAGE_NONE);
    add("fails", "F", false, OUTAGE_NONE);
    execute();
    check(0, VERDICT_FLAKY, 2, "run 1");
    check(1, VERDICT_FAILED, 2, "run 2");
}

static void a_second_run_without_a_verdict_changes_nothing(void **state)
{
    add("odd", "FN", true, OUTAGE_NONE);
    add("broken", "FB", true, OUTAGE_NONE);
    execute();
    check(0, VERDICT_FAILED, 2, "run 1");
    check(1, VERDICT_FAILED, 2, "run 1");
}

static void without_retries_nothing_is_run_twice(void **state)
{
    world_run.retries = false;
    add("flaky", "FP", true, OUTAGE_NONE);
    execute();
    check(0, VERDICT_FAILED, 1, "run 1");
}

static void what_could_not_be_judged_is_tried_again_when_the_server_lives(void **state)
{
    add("broken", "BP", false, OUTAGE_NONE);
    execute();
    check(0, VERDICT_FLAKY, 2, NULL);
    assert_int_equal(asked_alive, 1);
    assert_false(world_run.server_gone);
}

static void a_dead_server_ends_the_rest_quickly(void **state)
{
    alive = false;
    world_run.threads = 1;
    add("first", "B", false, OUTAGE_NONE);
    add("second", "P", false, OUTAGE_NONE);
    add("third", "P", false, OUTAGE_RESTART);
    execute();
    assert_true(world_run.server_gone);
    check(0, VERDICT_BROKEN, 1, "run 1");
    check(1, VERDICT_BROKEN, 0, "The server was no longer there: refused");
    check(2, VERDICT_BROKEN, 0, NULL);
    assert_int_equal(asked_alive, 1);
    assert_int_equal(settled, 3);
    assert_int_equal(outages, 0);
}

static void an_outage_is_made_once_for_all_cases_of_its_kind(void **state)
{
    add("plain", "P", false, OUTAGE_NONE);
    add("kill_1", "P", false, OUTAGE_KILL);
    add("restart_1", "P", false, OUTAGE_RESTART);
    add("restart_2", "P", false, OUTAGE_RESTART);
    add("kill_2", "P", false, OUTAGE_KILL);
    execute();
    assert_int_equal(outages, 2);
    for (unsigned i = 0; i < 5; i++) {
        check(i, VERDICT_PASSED, 1, NULL);
        assert_int_equal(scripted[i].saw_outage_hook, i != 0);
    }
}

static void without_its_command_a_case_is_skipped(void **state)
{
    world_run.has_command[OUTAGE_KILL] = false;
    add("kill", "P", false, OUTAGE_KILL);
    add("restart", "P", false, OUTAGE_RESTART);
    execute();
    check(0, VERDICT_SKIPPED, 0, "It needs --kill-cmd, which was not given.");
    check(1, VERDICT_PASSED, 1, NULL);
    assert_int_equal(outages, 1);
}

static void an_outage_that_goes_wrong_judges_nobody(void **state)
{
    outage_works = false;
    add("restart", "F", false, OUTAGE_RESTART);
    execute();
    check(0, VERDICT_BROKEN, 2, "The outage that this case needs went wrong: status 3");
    assert_int_equal(outages, 2);
}

static void a_timing_failure_in_an_outage_gets_another_outage(void **state)
{
    add("flaky", "FP", true, OUTAGE_RESTART);
    add("passes", "P", true, OUTAGE_RESTART);
    execute();
    check(0, VERDICT_FLAKY, 2, NULL);
    check(1, VERDICT_PASSED, 1, NULL);
    assert_int_equal(outages, 2);
}

static void more_cases_than_threads_meet_in_several_outages(void **state)
{
    world_run.outage_threads = 2;
    for (int i = 0; i < 5; i++)
        add("restart", "P", false, OUTAGE_RESTART);
    execute();
    assert_true(outages >= 3);
    for (unsigned i = 0; i < 5; i++)
        check(i, VERDICT_PASSED, 1, NULL);
}

static void a_version_that_is_not_spoken_is_skipped(void **state)
{
    add("both", "P", false, OUTAGE_NONE);
    scripted[0].definition.v311 = "Y";
    execute();
    assert_int_equal(world_run.jobs[0].outcome.verdict, VERDICT_PASSED);
    assert_int_equal(world_run.jobs[1].outcome.verdict, VERDICT_SKIPPED);
    assert_string_equal(world_run.jobs[1].outcome.reason, "not spoken");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(a_plan_has_a_job_for_each_version),
        TEST(a_failure_stands_when_the_machine_was_not_busy),
        TEST(a_timing_failure_is_tried_again_and_flaky_if_it_passes),
        TEST(a_busy_machine_excuses_every_failure_once),
        TEST(a_second_run_without_a_verdict_changes_nothing),
        TEST(without_retries_nothing_is_run_twice),
        TEST(what_could_not_be_judged_is_tried_again_when_the_server_lives),
        TEST(a_dead_server_ends_the_rest_quickly),
        TEST(an_outage_is_made_once_for_all_cases_of_its_kind),
        TEST(without_its_command_a_case_is_skipped),
        TEST(an_outage_that_goes_wrong_judges_nobody),
        TEST(a_timing_failure_in_an_outage_gets_another_outage),
        TEST(more_cases_than_threads_meet_in_several_outages),
        TEST(a_version_that_is_not_spoken_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
