#include "conformance/model/explore.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "conformance/model/play.h"

enum {
    THREADS = 8,
    SHRINK_ATTEMPTS = 120,
    ENOUGH = 5, /* violations in one exploration: more would be the same again */
};

struct exploration {
    const struct run_settings *settings;
    enum version version;
    uint64_t until_ms;
    uint64_t seed;
    FILE *report;
    pthread_mutex_t report_lock;
    atomic_uint next, played, violations;
    atomic_bool impossible;
};

/* Restarts and kills in turn. */
static enum outage outage_kind(uint64_t seed)
{
    return seed % 2 == 0 ? OUTAGE_KILL : OUTAGE_RESTART;
}

static bool fails(void *context, const struct history *history)
{
    struct exploration *exploration = context;
    struct outcome outcome = {0};
    play(history, outage_kind(history->seed), exploration->settings, &outcome);
    bool failed = outcome.verdict == VERDICT_FAILED;
    outcome_free(&outcome);
    return failed;
}

static void report_violation(struct exploration *exploration, struct history *history,
                             unsigned steps, const struct outcome *outcome)
{
    pthread_mutex_lock(&exploration->report_lock);
    fprintf(exploration->report,
            "VIOLATION [%s] MQTT %s, seed %llu%s: %s\n%u of %u steps show it:\n",
            outcome->statement, history->version == VERSION_5 ? "5.0" : "3.1.1",
            (unsigned long long)history->seed,
            !history->with_outage                       ? ""
            : outage_kind(history->seed) == OUTAGE_KILL ? ", with a kill"
                                                        : ", with a restart",
            outcome->reason != NULL ? outcome->reason : "", history->count, steps);
    history_print(history, exploration->report);
    if (outcome->trace != NULL)
        fprintf(exploration->report, "what was sent and seen:\n%s\n", outcome->trace);
    fflush(exploration->report);
    pthread_mutex_unlock(&exploration->report_lock);
}

/* A violation that shows again is made smaller; one that does not is reported as it was. */
static void examine(struct exploration *exploration, struct history *history,
                    struct outcome *outcome)
{
    unsigned steps = history->count;
    struct history smaller = *history;
    history_shrink(&smaller, SHRINK_ATTEMPTS, fails, exploration);
    struct outcome again = {0};
    if (smaller.count < steps)
        play(&smaller, outage_kind(smaller.seed), exploration->settings, &again);
    if (again.verdict == VERDICT_FAILED)
        report_violation(exploration, &smaller, steps, &again);
    else
        report_violation(exploration, history, steps, outcome);
    outcome_free(&again);
}

static void play_one(struct exploration *exploration, bool with_outage)
{
    struct history history;
    struct outcome outcome = {0};
    uint64_t seed = exploration->seed + atomic_fetch_add(&exploration->next, 1);
    history_make(&history, exploration->version, seed, with_outage);
    play(&history, outage_kind(seed), exploration->settings, &outcome);
    if (outcome.verdict == VERDICT_FAILED) {
        atomic_fetch_add(&exploration->violations, 1);
        examine(exploration, &history, &outcome);
    } else if (outcome.verdict == VERDICT_BROKEN) {
        pthread_mutex_lock(&exploration->report_lock);
        fprintf(exploration->report, "seed %llu could not be played: %s\n",
                (unsigned long long)seed, outcome.reason != NULL ? outcome.reason : "");
        pthread_mutex_unlock(&exploration->report_lock);
        atomic_store(&exploration->impossible, true);
    }
    atomic_fetch_add(&exploration->played, 1);
    outcome_free(&outcome);
}

static bool goes_on(struct exploration *exploration, uint64_t until_ms)
{
    return clock_ms() < until_ms && atomic_load(&exploration->violations) < ENOUGH &&
           !atomic_load(&exploration->impossible);
}

static void *player_main(void *context)
{
    struct exploration *exploration = context;
    while (goes_on(exploration, exploration->until_ms))
        play_one(exploration, false);
    return NULL;
}

static void play_together(struct exploration *exploration)
{
    pthread_t threads[THREADS];
    unsigned started = 0;
    while (started < THREADS &&
           pthread_create(&threads[started], NULL, player_main, exploration) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started == 0)
        player_main(exploration);
}

int explore(const struct run_settings *settings, enum version version, unsigned seconds,
            uint64_t seed, FILE *report)
{
    struct exploration exploration = {
        .settings = settings,
        .version = version,
        .seed = seed,
        .report = report,
        .report_lock = PTHREAD_MUTEX_INITIALIZER,
    };
    uint64_t now = clock_ms(), end = now + seconds * UINT64_C(1000);
    /* An outage is for all, so histories with one are played one at a time, in half of the time. */
    exploration.until_ms = settings->outage != NULL ? now + seconds * UINT64_C(500) : end;
    play_together(&exploration);
    unsigned without = atomic_load(&exploration.played);
    while (settings->outage != NULL && goes_on(&exploration, end))
        play_one(&exploration, true);
    unsigned played = atomic_load(&exploration.played);
    unsigned violations = atomic_load(&exploration.violations);
    fprintf(report,
            "MQTT %s: %u histories played (%u with an outage), %u violations; seeds %llu to %llu\n",
            version == VERSION_5 ? "5.0" : "3.1.1", played, played - without, violations,
            (unsigned long long)seed, (unsigned long long)(seed + played));
    fflush(report);
    return atomic_load(&exploration.impossible) ? -1 : (int)violations;
}
