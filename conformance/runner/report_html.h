/* The report as one page that needs nothing from outside. */
#ifndef CONFORMANCE_REPORT_HTML_H
#define CONFORMANCE_REPORT_HTML_H

#include "conformance/runner/report.h"

/* False if it could not be written. */
bool report_html_write(const struct report *report, FILE *out);

#endif
