/* Cases in words: --list and --explain. */
#ifndef CONFORMANCE_DESCRIBE_H
#define CONFORMANCE_DESCRIBE_H

#include <stdio.h>

#include "conformance/harness/case.h"

/* A line for each case that matches: name, versions, statements. */
void describe_list(FILE *out, const struct conformance_case *first, const char *const *patterns,
                   unsigned pattern_count);

/* The same with a tab between file.name, versions (by comma), outage (none, restart, kill),
 * statements of 5.0, of 3.1.1, and faults. conformance/prove reads it. */
void describe_list_tab(FILE *out, const struct conformance_case *first, const char *const *patterns,
                       unsigned pattern_count);

/* Statements, what is sent, what is allowed, why, and which faults it must notice. */
void describe_case(FILE *out, const struct conformance_case *definition);

#endif
