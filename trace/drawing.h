/* A client's part of a trace as a sequence diagram: packets, what is asked of the disk, and each
 * change of a machine's state with its statements. */
#ifndef TRACE_DRAWING_H
#define TRACE_DRAWING_H

#include <stdint.h>

#include "trace/record.h"
#include "trace/sheet.h"

struct drawing_result {
    uint64_t steps;      /* that are in the diagram */
    struct record wrong; /* where it stopped: at what is no line of a trace, or at the end */
};

void drawing_print(struct record_reader *reader, const char *client, struct sheet *sheet,
                   struct drawing_result *result);

#endif
