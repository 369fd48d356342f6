/* A whole run from the first connection to the last line: asks the server what it is, runs the
 * cases, explores, writes the reports. */
#ifndef CONFORMANCE_JUDGE_H
#define CONFORMANCE_JUDGE_H

#include "conformance/runner/options.h"

/* Returns the exit status. */
int judge_server(const struct options *options, const char *command_line,
                 const struct conformance_case *first);

/* Whether threads were given up, which still use memory of the run. */
bool judge_left_threads(void);

#endif
