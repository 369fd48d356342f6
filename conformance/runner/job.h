/* One case in one version: what is to be run, and how it ended. */
#ifndef CONFORMANCE_JOB_H
#define CONFORMANCE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "conformance/harness/run_case.h"
#include "conformance/runner/outage.h"

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_ENDED,
    JOB_ABANDONED, /* its thread did not come back in time: `outcome` says so */
    JOB_NOT_RUN,   /* the run was interrupted before its end */
};

struct job {
    const struct conformance_case *definition;
    enum version version;
    enum job_state state;
    struct outcome outcome;
    uint64_t started_ms, ended_ms;
    bool retried;                /* `outcome` is of the second run, or both make it FLAKY */
    struct outage_member member; /* where the case calls outage() */
    struct job *next;            /* the pool's own */
};

/* The wall time that the case asks for. */
uint64_t job_limit_ms(const struct job *job);

/* Ends a job that was not run, or could not be. Takes nothing; `reason` is copied. */
void job_settle(struct job *job, enum verdict verdict, const char *reason);

#endif
