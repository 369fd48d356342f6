/* Runs one case in the calling thread and says how it ended. The runner's side of the harness. */
#ifndef CONFORMANCE_RUN_CASE_H
#define CONFORMANCE_RUN_CASE_H

#include "conformance/harness/case.h"
#include "conformance/net/target.h"

enum verdict {
    VERDICT_PASSED,
    VERDICT_FAILED,         /* a MUST is broken */
    VERDICT_NOT_APPLICABLE, /* an optional feature that this server has not got */
    VERDICT_SKIPPED,        /* the user has not given what the case needs */
    VERDICT_FLAKY,          /* failed among others, passed alone: the runner's verdict */
    VERDICT_BROKEN,         /* the server could not be reached, or the suite is at fault */
};

const char *verdict_name(enum verdict verdict);

struct run_settings {
    const struct target *target;
    const struct server_features *server;
    unsigned time_limit_ms, quiet_ms;
    uint64_t seed;
    bool live_trace; /* --trace: each packet is printed when it passes */
    /* Blocks until the outage is over; NULL: outage() skips the case. */
    void (*outage)(void *context, enum outage kind);
    void *outage_context;
};

struct remark {
    bool debatable; /* else a SHOULD */
    char statement[24];
    char *text;
    struct remark *next;
};

struct outcome {
    enum verdict verdict;
    char statement[24]; /* the one broken; "" where none */
    char *reason;       /* a sentence: what the server did, and what it owed; NULL where none */
    struct remark *remarks;
    char *trace; /* every packet both ways, decoded and in hex, with times and client identifiers */
    unsigned duration_ms;
};

void run_case(const struct conformance_case *definition, enum version version,
              const struct run_settings *settings, struct outcome *out);
void outcome_free(struct outcome *outcome);

/* All cases, sorted by file and name. */
const struct conformance_case *case_first(void);

enum probe {
    PROBE_ACCEPTED,
    PROBE_REFUSED,     /* a CONNACK that says no; its code is told */
    PROBE_FAULTY,      /* it can be reached, and answers CONNECT as no server of this version may */
    PROBE_UNREACHABLE, /* no connection, or the transport does not get through */
};

/* Asks the server what it offers in that version. What is not PROBE_ACCEPTED puts a sentence into
 * `error`, and the code of a refusal into `*code`; `out` is then what a server has that says
 * nothing. */
enum probe server_ask(const struct target *target, enum version version,
                      struct server_features *out, uint8_t *code, char *error, size_t error_size);

/* Whether it was accepted. */
bool server_probe(const struct target *target, enum version version, struct server_features *out,
                  char *error, size_t error_size);

#endif
