/* All cases of a run: which follow each other, which are tried again, which meet in an outage.
 *
 * What touches the world is given from outside, so that the order of things can be tested. */
#ifndef CONFORMANCE_RUN_H
#define CONFORMANCE_RUN_H

#include <pthread.h>

#include "conformance/runner/job.h"
#include "conformance/runner/pool.h"

struct run_world {
    void (*run_case)(const struct conformance_case *definition, enum version version,
                     const struct run_settings *settings, struct outcome *out);
    /* Asked when a case could not be judged; may take some seconds. False and a sentence. */
    bool (*is_alive)(void *context, char *error, size_t error_size);
    outage_maker *make_outage;
    bool (*was_busy)(uint64_t from_ms, uint64_t to_ms);
    void *context; /* of is_alive and make_outage */
};

/* What is told to whoever shows it; all in the caller's thread. */
struct run_view {
    void (*phase)(void *context, const char *title, unsigned jobs);
    void (*settled)(void *context, const struct job *job); /* its verdict is final */
    bool (*tick)(void *context);                           /* false: stop at once */
    void *context;
};

enum { RUN_ERROR_SIZE = 512 };

struct run {
    struct run_world world;
    struct run_view view;
    const char *title;            /* of all phases; NULL: their own */
    struct run_settings settings; /* of all cases; `server` is set for each */
    const struct server_features *features[VERSION_5 + 1]; /* by version; NULL: not spoken */
    const char *refusal[VERSION_5 + 1];                    /* why that version is not spoken */
    bool has_command[OUTAGE_KILL + 1];
    unsigned threads, outage_threads; /* at a time; of those in an outage most wait */
    bool retries;                     /* what may be the machine's fault is tried again */
    uint64_t grace_ms;                /* for a case to end after its limit, before it is given up */

    struct job *jobs;
    unsigned count;

    unsigned abandoned; /* threads that still use `jobs` */
    bool interrupted;
    pthread_mutex_t mutex; /* of the next four */
    bool server_gone;
    uint64_t gone_ms, alive_ms; /* when it was first missed, and last found alive */
    char gone_error[RUN_ERROR_SIZE];
    struct outage_phase *phase; /* the current one */
};

/* Makes the jobs for every case that matches, in those versions. `run` is else filled in. */
void run_plan(struct run *run, const struct conformance_case *first, const char *const *patterns,
              unsigned pattern_count, bool version_5, bool version_311);

/* Runs them to the end, or until view.tick() says false. */
void run_execute(struct run *run);

/* Only where no thread was abandoned and nothing interrupted. */
void run_free(struct run *run);

#endif
