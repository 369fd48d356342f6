/* The trace file: each step of a machine as one line of JSON (docs/tracing.md), written by a thread
 * of its own. A line refers to its row and its session by number; what the numbers mean, and the
 * time, is said by lines before it in the same block.
 *
 * A worker writes its lines into blocks of memory and passes full ones on; it waits for nothing.
 * Where no block is free, because the file does not keep up, its lines are left out. What is left
 * out, or could not be written, is counted, said in the log, and stands in the file as a line that
 * says how many are missing and of which worker. */
#ifndef BROKER_TRACE_LOG_H
#define BROKER_TRACE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "fsm/machine.h"

struct trace_log;
struct trace_writer; /* one worker's; on its thread */

struct trace_line {
    uint64_t now_ms;      /* boot clock: steps of one millisecond share the time they show */
    struct bytes session; /* Client Identifier; empty: none */
    uint64_t incarnation; /* 0: none */
    const struct fsm_machine *machine;
    uint8_t state, event;
    uint32_t instance; /* as for transition_step() */
    uint64_t lsn;      /* of the commit that it waited for; 0: of none */
};

/* Opens or makes the file, notes in it that a run begins, and starts the thread. `boot` is the
 * number of the run, the upper half of the incarnations of its sessions. */
enum status MUST_USE trace_log_open(const char *path, unsigned workers, uint32_t boot,
                                    struct trace_log **out, char *error, size_t error_size);
/* Whether it could be opened, as far as that can be told without making it. NULL is nothing. */
enum status MUST_USE trace_log_try(const char *path, char *error, size_t error_size);
/* Writes what has been passed on, and frees. NULL is nothing. */
void trace_log_close(struct trace_log *log /* takes */);

struct trace_writer *trace_log_writer(struct trace_log *log, unsigned worker);
void trace_log_add(struct trace_writer *writer, const struct trace_line *line);
/* What was added so far goes to the file. */
void trace_log_pass_on(struct trace_writer *writer);

#endif
