/* Holds a trace against the tables: what each machine did follows from where it was. */
#ifndef TRACE_REPLAY_H
#define TRACE_REPLAY_H

#include <stdint.h>
#include <stdio.h>

#include "trace/record.h"

struct replay_result {
    uint64_t steps, runs, lost;
    struct record wrong; /* where it stopped; `kind` is RECORD_END: nowhere */
};

/* Replays all of it, or up to the first transition that is not allowed, which `wrong.wrong` tells
 * in a sentence. */
void replay_check(struct record_reader *reader, struct replay_result *out);

#endif
