/* What passed on the wire, as text. Its beginning and its end are kept if it grows too long. */
#ifndef CONFORMANCE_TRACE_H
#define CONFORMANCE_TRACE_H

#include "conformance/wire/packet.h"

enum { TRACE_PART_MAX = 192 * 1024 };

struct trace {
    struct buffer head, tail;
    uint64_t start_ms;
    size_t lines_lost;
    bool live;  /* printed when it happens */
    bool muted; /* nothing is noted */
};

enum trace_direction { TRACE_EVENT, TRACE_TO_SERVER, TRACE_FROM_SERVER };

/* One line of words, with the time and the client; then `data` in hex, if there is any. */
void trace_line(struct trace *trace, struct text client, enum trace_direction direction,
                const char *words, const void *data, size_t size);

/* All of it, NUL-ended; the caller frees. */
char *trace_text(struct trace *trace);
void trace_free(struct trace *trace);

#endif
