/* Runs jobs in threads and gives them up when they hang. */
#ifndef CONFORMANCE_POOL_H
#define CONFORMANCE_POOL_H

#include "conformance/runner/job.h"

struct pool_settings {
    unsigned threads;
    uint64_t grace_ms; /* how long after its limit a job is given up */
    /* In a thread of the pool's. */
    void (*run)(void *context, struct job *job, struct outcome *out);
    /* All others in the caller's thread. `ended` has the outcome; also of jobs that are given up,
     * whose thread may still use what `run` was given. */
    void (*ended)(void *context, struct job *job);
    void (*threads_are)(void *context, unsigned threads); /* what could be had; NULL: ignored */
    bool (*tick)(void *context); /* every tenth of a second; false: stop at once */
    void *context;
};

/* Runs the jobs, in this order as far as threads allow, and returns when all have ended, or were
 * given up, or tick() said so: those that had not ended are JOB_NOT_RUN then. Returns how many
 * threads were left behind; as long as there are any, the jobs must not be freed. */
unsigned pool_run(struct job **jobs, unsigned count, const struct pool_settings *settings);

#endif
