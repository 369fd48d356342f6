/* A capture of any server's traffic, held against MQTT: each connection from its first packet on.
 *
 * One thread. Memory is bounded: CAPTURE_CONNECTIONS_MAX at once, and for all that is noted of them
 * and of packets that are not whole yet what the caller gives. */
#ifndef CAPTURE_CAPTURE_H
#define CAPTURE_CAPTURE_H

#include <stdint.h>
#include <stdio.h>

enum {
    CAPTURE_CONNECTIONS_MAX = 4096,
    CAPTURE_MEMORY = 1 << 30, /* bytes that do for every honest capture */
};

struct capture_result {
    uint64_t frames, connections, packets; /* packets: of servers, that were judged */
    uint64_t left_off;                     /* connections of which not all was judged, */
    uint64_t not_whole; /* and of these, whose beginning or some middle part is missing */
    uint64_t no_room;   /* or for which there was no memory */
    uint64_t wrong;
    const char *why; /* NULL: the file was read to its end */
};

/* Says on `out`, for each connection, the first packet of its server that is not allowed. A
 * connection that needs more than is left of `memory` bytes is judged no further. */
void capture_check(FILE *file, const char *name, size_t memory, FILE *out,
                   struct capture_result *result);

#endif
