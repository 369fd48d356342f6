#include "conformance/model/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void the_same_seed_makes_the_same_history(void **state)
{
    (void)state;
    struct history a, b, other;
    history_make(&a, VERSION_5, 42, true);
    history_make(&b, VERSION_5, 42, true);
    history_make(&other, VERSION_5, 43, true);
    assert_memory_equal(a.steps, b.steps, a.count * sizeof a.steps[0]);
    assert_true(a.count != other.count ||
                memcmp(a.steps, other.steps, a.count * sizeof a.steps[0]) != 0);
}

static void each_history_fits_and_has_its_outage(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct history history;
        history_make(&history, seed % 2 == 0 ? VERSION_5 : VERSION_311, seed, true);
        unsigned outages = 0;
        for (unsigned i = 0; i < history.count; i++)
            outages += history.steps[i].kind == STEP_OUTAGE;
        assert_true(history.count <= HISTORY_STEPS);
        assert_int_equal(outages, 1);
    }
}

/* Fails while bob's subscription comes before his DISCONNECT. */
static bool needs_two_steps(void *context, const struct history *history)
{
    unsigned *asked = context;
    bool subscribed = false;
    ++*asked;
    for (unsigned i = 0; i < history->count; i++) {
        const struct step *step = &history->steps[i];
        if (step->client == 1 && step->kind == STEP_SUBSCRIBE)
            subscribed = true;
        if (step->client == 1 && step->kind == STEP_DISCONNECT && subscribed)
            return true;
    }
    return false;
}

static void shrinking_leaves_only_what_is_needed(void **state)
{
    (void)state;
    unsigned shrunk = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct history history;
        unsigned asked = 0;
        history_make(&history, VERSION_5, seed, false);
        if (!needs_two_steps(&asked, &history))
            continue;
        history_shrink(&history, 1000, needs_two_steps, &asked);
        assert_int_equal(history.count, 2);
        assert_int_equal(history.steps[0].kind, STEP_SUBSCRIBE);
        assert_int_equal(history.steps[1].kind, STEP_DISCONNECT);
        shrunk++;
    }
    assert_true(shrunk > 10);
}

static void shrinking_keeps_to_its_attempts(void **state)
{
    (void)state;
    struct history history;
    unsigned asked = 0;
    history_make(&history, VERSION_5, 7, false);
    history_shrink(&history, 5, needs_two_steps, &asked);
    assert_true(asked <= 5);
}

static void steps_are_told_in_words(void **state)
{
    (void)state;
    char line[200];
    struct step step = {
        .kind = STEP_PUBLISH, .client = 1, .place = 2, .options = 2, .retain = true};
    assert_string_equal(step_describe(&step, line, sizeof line),
                        "bob publishes to \"a/x\" at QoS 2, retained");
    step = (struct step){.kind = STEP_OUTAGE};
    assert_string_equal(step_describe(&step, line, sizeof line),
                        "the server ends and starts again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_makes_the_same_history),
        cmocka_unit_test(each_history_fits_and_has_its_outage),
        cmocka_unit_test(shrinking_leaves_only_what_is_needed),
        cmocka_unit_test(shrinking_keeps_to_its_attempts),
        cmocka_unit_test(steps_are_told_in_words),
    };
    return cmocka_run_group_tests_name("conformance/history", tests, NULL, NULL);
}
