/* Makes a report of runs. */
#ifndef CONFORMANCE_COLLECT_H
#define CONFORMANCE_COLLECT_H

#include "conformance/runner/options.h"
#include "conformance/runner/report.h"
#include "conformance/runner/run.h"

/* Fills in what is known before the first case. */
void collect_head(struct report *report, const struct options *options, const char *command_line);

/* Adds the results of all jobs of the run. */
void collect_run(struct report *report, struct run *run);

/* Sorts, and adds the notes that are about all of it. */
void collect_finish(struct report *report, uint64_t start_ms);

#endif
