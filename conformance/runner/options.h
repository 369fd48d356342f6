/* The command line of mqtt-conformance. */
#ifndef CONFORMANCE_OPTIONS_H
#define CONFORMANCE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conformance/harness/run_case.h"

enum task {
    TASK_RUN,
    TASK_LIST,
    TASK_LIST_TAB,
    TASK_COVERAGE,
    TASK_CHECK,
    TASK_EXPLAIN,
    TASK_TRACE,
    TASK_COMPARE,
    TASK_HELP,
};

enum report_format { REPORT_HTML, REPORT_JSON, REPORT_JUNIT, REPORT_TAP, REPORT_FORMATS };

enum { PATTERNS_MAX = 64, AUTH_PASSWORD_SIZE = 256, OUTPUT_PATH_SIZE = 4096 };

struct options {
    enum task task;
    struct target target;
    char label[128];                        /* the server's name in reports */
    char auth_password[AUTH_PASSWORD_SIZE]; /* of --auth-password-file */
    bool version_5, version_311;

    const char *patterns[PATTERNS_MAX]; /* --only */
    unsigned pattern_count;
    const char *case_name; /* of --explain and --trace */

    unsigned jobs;
    unsigned time_limit_ms, quiet_ms;
    uint64_t seed;
    bool full, no_cases, no_retry;
    unsigned explore_s; /* 0: no exploration */
    const char *restart_command, *kill_command;

    char outputs[REPORT_FORMATS][OUTPUT_PATH_SIZE]; /* "" where not asked for; "-" is stdout */
    char *const *files;                             /* of --compare */
    unsigned file_count;
};

/* Texts point into argv and `*out`. False: what is wrong has been written to `errors`, as one
 * sentence. */
bool options_parse(int argc, char **argv, struct options *out, FILE *errors);

void options_help(FILE *out);

/* The command line to be shown in reports, with the password left out. Caller frees. */
char *options_command_line(int argc, char **argv);

#endif
