/* What a person sees while cases run, and at the end. */
#ifndef CONFORMANCE_PROGRESS_H
#define CONFORMANCE_PROGRESS_H

#include "conformance/runner/job.h"
#include "conformance/runner/report.h"

struct progress {
    FILE *out;
    bool terminal, colour; /* redraws one line there; else prints plain lines now and then */
    bool line_drawn;
    const char *title;
    unsigned phase_jobs, phase_settled; /* of the current phase */
    unsigned total, settled;            /* of the run */
    unsigned failed, broken;
    uint64_t start_ms, said_ms;
};

void progress_init(struct progress *progress, FILE *out, unsigned total);

void progress_phase(struct progress *progress, const char *title, unsigned jobs);
void progress_settled(struct progress *progress, const struct job *job);
void progress_tick(struct progress *progress);
/* Removes what is redrawn. */
void progress_clear(struct progress *progress);

/* Failures with their sentences, remarks, sums; last `N passed, N failed, N skipped`. */
void progress_sum_up(struct progress *progress, const struct report *report);

#endif
