/* A trace, one line of JSON for each step, with everything that the file says by number. */
#ifndef TRACE_LISTING_H
#define TRACE_LISTING_H

#include <stdio.h>

#include "trace/record.h"

/* Those of `client` alone, if it is not NULL. `out_wrong` is where it stopped: at what is no line
 * of a trace, or at the end. */
void listing_print(struct record_reader *reader, const char *client, struct record *out_wrong,
                   FILE *out);

#endif
