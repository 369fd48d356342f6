/* Several reports as one page. */
#ifndef CONFORMANCE_REPORT_COMPARE_H
#define CONFORMANCE_REPORT_COMPARE_H

#include "conformance/runner/report.h"

/* A column for each report; at least one. False if it could not be written. */
bool report_compare_write(const struct report *reports, unsigned count, FILE *out);

#endif
