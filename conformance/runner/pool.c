#include "conformance/runner/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* TLS wants room on the stack, cases keep packets of some kilobytes there; pages are only used when
 * touched. */
enum { STACK_SIZE = 1024 * 1024, TICK_MS = 100 };

struct worker {
    struct pool *pool;
    struct job *job; /* NULL: none at the moment */
    bool abandoned;
    struct worker *next;
};

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_attr_t attributes;
    struct pool_settings settings;
    struct job **jobs;
    unsigned count, taken;
    struct job *ended, **ended_last; /* not yet told to the caller */
    struct worker *workers;
    unsigned present, abandoned; /* workers */
    unsigned astray;             /* of the abandoned, those that have not come back */
    bool stopping, left;         /* `left`: the caller has, so the last one astray frees it */
};

static void pool_free(struct pool *pool)
{
    while (pool->workers) {
        struct worker *worker = pool->workers;
        pool->workers = worker->next;
        free(worker);
    }
    pthread_attr_destroy(&pool->attributes);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

/* Gives the mutex back. */
static void come_back_late(struct pool *pool)
{
    pool->astray--;
    bool last = pool->left && pool->astray == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (last)
        pool_free(pool);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    pthread_mutex_lock(&pool->mutex);
    while (!pool->stopping && pool->taken < pool->count) {
        struct job *job = pool->jobs[pool->taken++];
        struct outcome outcome = {0};
        worker->job = job;
        job->state = JOB_RUNNING;
        job->started_ms = clock_ms();
        pthread_mutex_unlock(&pool->mutex);
        pool->settings.run(pool->settings.context, job, &outcome);
        pthread_mutex_lock(&pool->mutex);
        if (worker->abandoned) {
            come_back_late(pool);
            outcome_free(&outcome);
            return NULL;
        }
        worker->job = NULL;
        job->outcome = outcome;
        job->state = JOB_ENDED;
        job->ended_ms = clock_ms();
        *pool->ended_last = job;
        pool->ended_last = &job->next;
        pthread_cond_signal(&pool->changed);
    }
    pool->present--;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static bool hire(struct pool *pool)
{
    struct worker *worker = calloc(1, sizeof *worker);
    pthread_t thread;
    if (!worker)
        abort();
    worker->pool = pool;
    if (pthread_create(&thread, &pool->attributes, work, worker) != 0) {
        free(worker);
        return false;
    }
    worker->next = pool->workers;
    pool->workers = worker;
    pool->present++;
    return true;
}

static void hire_all(struct pool *pool)
{
    while (pool->present < pool->settings.threads && pool->present < pool->count && hire(pool))
        continue;
}

/* ---- The caller's side; all with the mutex held ---- */

static void abandon(struct pool *pool, struct worker *worker)
{
    worker->abandoned = true;
    worker->job = NULL;
    pool->abandoned++;
    pool->astray++;
    pool->present--;
}

static void tell(struct pool *pool, struct job *job)
{
    pthread_mutex_unlock(&pool->mutex);
    pool->settings.ended(pool->settings.context, job);
    pthread_mutex_lock(&pool->mutex);
}

static unsigned tell_ended(struct pool *pool)
{
    unsigned told = 0;
    while (pool->ended) {
        struct job *job = pool->ended;
        pool->ended = job->next;
        job->next = NULL;
        if (!pool->ended)
            pool->ended_last = &pool->ended;
        tell(pool, job);
        told++;
    }
    return told;
}

static bool is_overdue(const struct pool *pool, struct job *job)
{
    uint64_t allowed_ms =
        job_limit_ms(job) + outage_paused_ms(&job->member) + pool->settings.grace_ms;
    return clock_ms() - job->started_ms > allowed_ms;
}

static unsigned give_up_overdue(struct pool *pool)
{
    unsigned given_up = 0;
    for (struct worker *worker = pool->workers; worker; worker = worker->next) {
        struct job *job = worker->job;
        if (!job || !is_overdue(pool, job))
            continue;
        abandon(pool, worker);
        job_settle(
            job, VERDICT_BROKEN,
            "The case did not come to an end within its time limit and was given up; that is "
            "a fault of this suite.");
        job->state = JOB_ABANDONED;
        job->ended_ms = clock_ms();
        job->outcome.duration_ms = (unsigned)(job->ended_ms - job->started_ms);
        tell(pool, job);
        given_up++;
        hire_all(pool);
    }
    return given_up;
}

static void wait_a_little(struct pool *pool)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&pool->changed, &pool->mutex, &until);
}

static bool goes_on(struct pool *pool)
{
    pthread_mutex_unlock(&pool->mutex);
    bool answer = pool->settings.tick(pool->settings.context);
    pthread_mutex_lock(&pool->mutex);
    return answer;
}

static void stop(struct pool *pool)
{
    pool->stopping = true;
    tell_ended(pool);
    for (struct worker *worker = pool->workers; worker; worker = worker->next) {
        if (worker->job) {
            worker->job->state = JOB_NOT_RUN;
            abandon(pool, worker);
        }
    }
    for (unsigned i = pool->taken; i < pool->count; i++)
        pool->jobs[i]->state = JOB_NOT_RUN;
}

static void watch(struct pool *pool)
{
    unsigned told = 0;
    uint64_t ticked_ms = clock_ms();
    while (told < pool->count) {
        told += tell_ended(pool);
        told += give_up_overdue(pool);
        if (clock_ms() - ticked_ms >= TICK_MS) {
            ticked_ms = clock_ms();
            if (!goes_on(pool)) {
                stop(pool);
                break;
            }
        }
        if (told < pool->count && !pool->ended)
            wait_a_little(pool);
    }
    pool->stopping = true;
    while (pool->present > 0)
        pthread_cond_wait(&pool->changed, &pool->mutex);
}

static struct pool *pool_new(struct job **jobs, unsigned count,
                             const struct pool_settings *settings)
{
    struct pool *pool = calloc(1, sizeof *pool);
    pthread_condattr_t monotonic;
    if (!pool)
        abort();
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_attr_init(&pool->attributes);
    pthread_attr_setstacksize(&pool->attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&pool->attributes, PTHREAD_CREATE_DETACHED);
    pool->settings = *settings;
    pool->jobs = jobs;
    pool->count = count;
    pool->ended_last = &pool->ended;
    return pool;
}

unsigned pool_run(struct job **jobs, unsigned count, const struct pool_settings *settings)
{
    if (count == 0)
        return 0;
    struct pool *pool = pool_new(jobs, count, settings);
    pthread_mutex_lock(&pool->mutex);
    hire_all(pool);
    if (pool->present == 0) {
        fputs("mqtt-conformance: no thread can be started.\n", stderr);
        abort();
    }
    if (settings->threads_are)
        settings->threads_are(settings->context, pool->present);
    watch(pool);
    unsigned abandoned = pool->abandoned;
    pool->left = true;
    bool last = pool->astray == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (last)
        pool_free(pool);
    return abandoned;
}
