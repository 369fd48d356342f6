/* A trace file, read step by step: what broker/trace_log.c writes, checked for form and no more.
 * What its numbers stand for is put in their place, so that all lines seem to say everything.
 *
 * One thread. A record points into the reader and is valid until the next call. */
#ifndef TRACE_RECORD_H
#define TRACE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "fsm/machines.h"

enum record_kind {
    RECORD_END,
    RECORD_START, /* a run begins: `start`, `boot`, `workers` */
    RECORD_LOST,  /* `lost` steps of `worker` are missing */
    RECORD_STEP,
    RECORD_WRONG, /* `wrong` says why */
};

struct record {
    enum record_kind kind;
    uint64_t line;
    const char *time, *session, *start;
    uint64_t incarnation, lost, lsn;
    uint32_t boot, instance;
    unsigned worker, workers;
    const struct fsm_machine *machine;
    uint8_t state, event, next;
    const json_t *actions, *statements;
    char wrong[256];
};

struct record_reader;

/* NULL: errno says why. "-" is the standard input. */
struct record_reader *record_open(const char *path);
void record_next(struct record_reader *reader, struct record *out);
void record_close(struct record_reader *reader /* takes */);

#endif
