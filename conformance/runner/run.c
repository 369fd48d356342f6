#include "conformance/runner/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/runner/selection.h"

enum { RETRIES_MAX_AT_A_TIME = 8, ALIVE_FOR_MS = 500 };

/* ---- The plan ---- */

static void add_job(struct run *run, const struct conformance_case *definition,
                    enum version version)
{
    run->jobs = reallocarray(run->jobs, run->count + 1, sizeof *run->jobs);
    if (!run->jobs)
        abort();
    run->jobs[run->count++] = (struct job){.definition = definition, .version = version};
}

void run_plan(struct run *run, const struct conformance_case *first, const char *const *patterns,
              unsigned pattern_count, bool version_5, bool version_311)
{
    for (; first; first = first->next) {
        if (!selection_matches(first, patterns, pattern_count))
            continue;
        if (version_5 && first->v5)
            add_job(run, first, VERSION_5);
        if (version_311 && first->v311)
            add_job(run, first, VERSION_311);
    }
}

/* ---- The server's health ---- */

static bool is_gone(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    bool gone = run->server_gone;
    pthread_mutex_unlock(&run->mutex);
    return gone;
}

/* After a case that could not be judged: the rest need not run into their limits one by one. */
static void check_health(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    if (!run->server_gone && clock_ms() - run->alive_ms >= ALIVE_FOR_MS) {
        run->gone_ms = clock_ms();
        run->server_gone =
            !run->world.is_alive(run->world.context, run->gone_error, sizeof run->gone_error);
        if (!run->server_gone)
            run->alive_ms = clock_ms();
    }
    pthread_mutex_unlock(&run->mutex);
}

static void say_broken(struct outcome *out, const char *what, const char *detail)
{
    char *reason = NULL;
    outcome_free(out);
    *out = (struct outcome){.verdict = VERDICT_BROKEN};
    if (asprintf(&reason, "%s: %s", what, detail) >= 0)
        out->reason = reason;
}

/* ---- One case, in a thread of the pool's ---- */

static void run_in_thread(void *context, struct job *job, struct outcome *out)
{
    struct run *run = context;
    struct run_settings settings = run->settings;
    settings.server = run->features[job->version];
    settings.outage = run->phase ? outage_wait : NULL;
    settings.outage_context = &job->member;
    if (is_gone(run))
        say_broken(out, "The server was no longer there", run->gone_error);
    else
        run->world.run_case(job->definition, job->version, &settings, out);
    if (job->member.error[0])
        say_broken(out, "The outage that this case needs went wrong", job->member.error);
    else if (out->verdict == VERDICT_BROKEN)
        check_health(run);
    if (job->member.phase)
        outage_leave(&job->member);
}

/* ---- A set of cases at a time ---- */

struct batch {
    struct run *run;
    struct job **jobs;
    unsigned count;
    bool is_retry;
};

static bool may_be_the_machine(const struct run *run, const struct job *job)
{
    if (job->state != JOB_ENDED || !run->retries)
        return false;
    if (job->outcome.verdict == VERDICT_BROKEN)
        return true;
    return job->outcome.verdict == VERDICT_FAILED &&
           (job->definition->timing || run->world.was_busy(job->started_ms, job->ended_ms));
}

static void ended(void *context, struct job *job)
{
    struct batch *batch = context;
    if (job->state == JOB_ABANDONED && job->member.phase)
        outage_leave(&job->member);
    if (!batch->is_retry && !may_be_the_machine(batch->run, job))
        batch->run->view.settled(batch->run->view.context, job);
}

static bool tick(void *context)
{
    struct batch *batch = context;
    return batch->run->view.tick(batch->run->view.context);
}

static void run_batch_thread(void *context, struct job *job, struct outcome *out)
{
    struct batch *batch = context;
    run_in_thread(batch->run, job, out);
}

static void threads_are(void *context, unsigned threads)
{
    struct batch *batch = context;
    if (batch->run->phase)
        outage_set_threads(batch->run->phase, threads);
}

static bool begin_phase(struct batch *batch, unsigned threads)
{
    struct run *run = batch->run;
    run->phase = calloc(1, sizeof *run->phase);
    if (!run->phase || !outage_begin(run->phase, batch->count, threads, run->world.make_outage,
                                     run->world.context))
        return false;
    for (unsigned i = 0; i < batch->count; i++)
        outage_enter(run->phase, &batch->jobs[i]->member);
    return true;
}

/* A thread that was left behind, in this phase or before, may still look at it. */
static void end_phase(struct run *run)
{
    if (run->abandoned == 0 && !run->interrupted) {
        outage_end(run->phase);
        free(run->phase);
    }
    run->phase = NULL;
}

static void run_batch(struct batch *batch, unsigned threads, enum outage outage)
{
    struct run *run = batch->run;
    const struct pool_settings pool = {
        .threads = threads,
        .grace_ms = run->grace_ms,
        .run = run_batch_thread,
        .ended = ended,
        .threads_are = threads_are,
        .tick = tick,
        .context = batch,
    };
    for (unsigned i = 0; i < batch->count; i++)
        batch->jobs[i]->member = (struct outage_member){0};
    if (outage != OUTAGE_NONE && !begin_phase(batch, threads))
        abort();
    run->abandoned += pool_run(batch->jobs, batch->count, &pool);
    for (unsigned i = 0; i < batch->count; i++)
        run->interrupted = run->interrupted || batch->jobs[i]->state == JOB_NOT_RUN;
    if (outage != OUTAGE_NONE)
        end_phase(run);
}

/* ---- What failed is tried once more, alone ---- */

static void take_second(struct job *job, struct outcome *first)
{
    struct outcome *second = &job->outcome;
    struct outcome unwanted = *first;
    if (job->state != JOB_ENDED) {
        /* Interrupted: what is known is the first. */
        job->state = JOB_ENDED;
        *second = *first;
        return;
    }
    if (second->verdict == VERDICT_FAILED) {
        job->retried = true;
    } else {
        unwanted = *second;
        *second = *first;
        if (unwanted.verdict == VERDICT_PASSED) {
            job->retried = true;
            second->verdict = VERDICT_FLAKY;
        }
    }
    outcome_free(&unwanted);
}

/* Alone, or nearly so: a server that fails many must not take for ever. */
static unsigned retry_threads(unsigned count)
{
    unsigned threads = 1 + count / 8;
    return threads < RETRIES_MAX_AT_A_TIME ? threads : RETRIES_MAX_AT_A_TIME;
}

static void run_again(struct run *run, struct job **jobs, unsigned count, enum outage outage)
{
    struct outcome *first = calloc(count, sizeof *first);
    struct batch batch = {.run = run, .jobs = jobs, .count = count, .is_retry = true};
    if (!first)
        abort();
    for (unsigned i = 0; i < count; i++) {
        first[i] = jobs[i]->outcome;
        jobs[i]->outcome = (struct outcome){0};
        jobs[i]->state = JOB_QUEUED;
    }
    run->view.phase(run->view.context, "trying again, apart from the others", count);
    run_batch(&batch, outage == OUTAGE_NONE ? retry_threads(count) : count, outage);
    for (unsigned i = 0; i < count; i++) {
        take_second(jobs[i], &first[i]);
        run->view.settled(run->view.context, jobs[i]);
    }
    free(first);
}

/* Leaves in `jobs` what is to be tried again, and returns how many. */
static unsigned keep_retries(struct run *run, struct job **jobs, unsigned count)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if (may_be_the_machine(run, jobs[i]))
            jobs[kept++] = jobs[i];
    }
    return kept;
}

/* ---- Phases ---- */

static int longest_first(const void *a, const void *b)
{
    const struct job *left = *(struct job *const *)a, *right = *(struct job *const *)b;
    if (left->definition->limit_s != right->definition->limit_s)
        return left->definition->limit_s > right->definition->limit_s ? -1 : 1;
    return left < right ? -1 : left > right;
}

static void settle(struct run *run, struct job *job, enum verdict verdict, const char *reason)
{
    job_settle(job, verdict, reason);
    run->view.settled(run->view.context, job);
}

/* Whether the case can be run at all. */
static bool is_possible(struct run *run, struct job *job)
{
    static const char *const missing[] = {
        [OUTAGE_RESTART] = "It needs --restart-cmd, which was not given.",
        [OUTAGE_KILL] = "It needs --kill-cmd, which was not given.",
    };
    enum outage outage = job->definition->outage;
    if (!run->features[job->version])
        settle(run, job, VERDICT_SKIPPED, run->refusal[job->version]);
    else if (outage != OUTAGE_NONE && !run->has_command[outage])
        settle(run, job, VERDICT_SKIPPED, missing[outage]);
    else
        return true;
    return false;
}

static void run_phase(struct run *run, enum outage outage)
{
    static const char *const titles[] = {
        [OUTAGE_NONE] = "running",
        [OUTAGE_RESTART] = "restarting the server",
        [OUTAGE_KILL] = "killing the server",
    };
    struct job **jobs = calloc(run->count + 1, sizeof *jobs);
    unsigned count = 0;
    if (!jobs)
        abort();
    for (unsigned i = 0; i < run->count; i++) {
        struct job *job = &run->jobs[i];
        if (job->definition->outage != outage)
            continue;
        if (run->interrupted)
            job->state = JOB_NOT_RUN;
        else if (is_possible(run, job))
            jobs[count++] = job;
    }
    if (count > 0) {
        unsigned threads = outage == OUTAGE_NONE ? run->threads : run->outage_threads;
        struct batch batch = {.run = run, .jobs = jobs, .count = count};
        qsort(jobs, count, sizeof *jobs, longest_first);
        run->view.phase(run->view.context, run->title ? run->title : titles[outage], count);
        run_batch(&batch, threads < count ? threads : count, outage);
        unsigned again = keep_retries(run, jobs, count);
        bool hopeless = run->interrupted || is_gone(run);
        if (again > 0 && !hopeless)
            run_again(run, jobs, again, outage);
        for (unsigned i = 0; hopeless && i < again; i++)
            run->view.settled(run->view.context, jobs[i]);
    }
    /* Threads that were left behind still read it. */
    if (run->abandoned == 0)
        free(jobs);
}

void run_execute(struct run *run)
{
    pthread_mutex_init(&run->mutex, NULL);
    for (enum outage outage = OUTAGE_NONE; outage <= OUTAGE_KILL; outage++)
        run_phase(run, outage);
}

void run_free(struct run *run)
{
    for (unsigned i = 0; i < run->count; i++)
        outcome_free(&run->jobs[i].outcome);
    free(run->jobs);
    pthread_mutex_destroy(&run->mutex);
}
