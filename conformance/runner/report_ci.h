/* Reports for continuous integration: JUnit's XML and TAP. */
#ifndef CONFORMANCE_REPORT_CI_H
#define CONFORMANCE_REPORT_CI_H

#include "conformance/runner/report.h"

/* As Jenkins, GitLab and Maven Surefire read it: a suite for each version; a flaky result is a
 * passed case with a flakyFailure. False if it could not be written. */
bool report_junit_write(const struct report *report, FILE *out);

/* TAP 13, with a YAML block under what is not ok. */
bool report_tap_write(const struct report *report, FILE *out);

#endif
