/* Whether the cases cover the statements, and whether both fit together. */
#ifndef CONFORMANCE_COVERAGE_H
#define CONFORMANCE_COVERAGE_H

#include <stdio.h>

#include "conformance/harness/case.h"
#include "conformance/runner/statement.h"

/* How many cases cite each row of the table; `cited` has room for `table.count`. */
void coverage_count(struct statement_table table, const struct conformance_case *first,
                    unsigned *cited);

/* `392 statements: T tested, C client-only, U unobservable`, then what is observable and untested.
 */
void coverage_print(FILE *out, const struct statement_table *tables, unsigned table_count,
                    const struct conformance_case *first);

/* Prints a line for every statement and every case that does not fit; returns how many. */
unsigned coverage_check(FILE *out, const struct statement_table *tables, unsigned table_count,
                        const struct conformance_case *first);

#endif
