/* What a run has found, apart from how it is written down: made from a run, or read from the JSON
 * report of an earlier one. */
#ifndef CONFORMANCE_REPORT_H
#define CONFORMANCE_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "conformance/harness/run_case.h"
#include "conformance/runner/statement.h"

#define VERDICTS (VERDICT_BROKEN + 1)
enum { VERSIONS = 2 };

/* Both versions, in the order in which they are shown. */
extern const enum version report_versions[VERSIONS];

struct report_remark {
    bool debatable; /* else a SHOULD */
    char *statement, *text;
};

/* All strings belong to the report; those that there are not are "". */
struct report_result {
    char *name; /* file.name */
    enum version version;
    enum verdict verdict;
    char *statements; /* with spaces between */
    char *statement;  /* the one broken */
    char *reason;
    char *sends, *allowed, *why;
    char *trace; /* of results that want explaining; else "" */
    struct report_remark *remarks;
    unsigned remark_count;
    unsigned duration_ms;
    bool retried;
};

struct report_version {
    bool judged; /* asked for, and spoken by the server */
    char *error; /* why it could not be judged; "" */
    struct server_features features;
};

struct report {
    char *label, *host, *port, *transport; /* "TCP", "TLS", "WebSocket", "secure WebSocket" */
    char *command_line, *program_version;
    char *started; /* 2026-01-31T12:00:00Z */
    uint64_t seed;
    unsigned duration_ms, jobs;
    bool full, interrupted;
    unsigned not_run;                         /* cases that an interruption left out */
    struct report_version versions[VERSIONS]; /* by report_versions */

    char **notes; /* sentences about the run as a whole */
    unsigned note_count;
    struct report_result *results;
    unsigned count;
};

void report_free(struct report *report);

/* Takes a copy, in which what is not UTF-8 is replaced. NULL becomes "". */
char *report_copy(const char *text);
void report_set(char **place, const char *text);
struct report_result *report_add(struct report *report);
void report_add_remark(struct report_result *result, bool debatable, const char *statement,
                       const char *text);
__attribute__((format(printf, 2, 3))) void report_note(struct report *report, const char *format,
                                                       ...);

/* Sorted by name, then version. */
void report_sort(struct report *report);

/* How many results of the version (0: of both) have that verdict. */
unsigned report_count(const struct report *report, enum version version, enum verdict verdict);
unsigned report_remark_count(const struct report *report, enum version version, bool debatable);

/* Whether a result has a remark of the same words, and whether it is the first of the report. */
bool report_has_remark(const struct report_result *result, enum version version,
                       const struct report_remark *remark);
bool report_is_first_remark(const struct report *report, const struct report_result *result,
                            const struct report_remark *remark);

int report_version_index(enum version version);

/* "passed", "not_applicable": for programs, where verdict_name() is for people. */
const char *report_verdict_key(enum verdict verdict);

/* ---- What a run says about one statement ---- */

enum holding {
    HOLDING_BROKEN,         /* some case saw it broken */
    HOLDING_FLAKY,          /* some case saw it broken only once */
    HOLDING_REMARK,         /* kept, with a remark */
    HOLDING_KEPT,           /* cases that cite it have passed, none has seen it broken */
    HOLDING_UNJUDGED,       /* its cases ended without saying anything about it */
    HOLDING_NOT_APPLICABLE, /* by the server's word it has not got the feature */
    HOLDING_SKIPPED,        /* the user has not given what its cases need */
    HOLDING_NOT_RUN,        /* observable, and no case of this run cites it */
    HOLDING_UNTESTABLE,     /* a rule for clients alone, or not observable */
    HOLDINGS,
};

const char *report_holding_name(enum holding holding); /* in words */

/* For each row of the version's table; `out` has room for its rows. */
void report_judge(const struct report *report, struct statement_table table, enum holding *out);

/* Whether a result is about the statement: cites it, broke it, or remarks on it. */
bool report_result_concerns(const struct report_result *result, const char *id);

#endif
