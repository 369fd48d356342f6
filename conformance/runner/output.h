/* The files of --report. */
#ifndef CONFORMANCE_OUTPUT_H
#define CONFORMANCE_OUTPUT_H

#include "conformance/runner/options.h"
#include "conformance/runner/report.h"

/* Before the run: whether all of them can be written. False: it has been said to `errors`. */
bool output_check(const struct options *options, FILE *errors);

/* Whether one of them is standard output. */
bool output_takes_stdout(const struct options *options);

/* False: it has been said to `errors`; the others are written all the same. */
bool output_write(const struct options *options, const struct report *report, FILE *errors);

/* For --compare. */
bool output_write_comparison(const struct options *options, const struct report *reports,
                             unsigned count, FILE *errors);

#endif
