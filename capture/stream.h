/* One direction of a TCP connection: segments in any order become bytes in theirs. */
#ifndef CAPTURE_STREAM_H
#define CAPTURE_STREAM_H

#include "base/bytes.h"
#include "capture/room.h"

enum { STREAM_EARLY_MAX = 64, STREAM_EARLY_BYTES = 4 << 20 };

struct stream_early {
    uint32_t sequence;
    size_t size;
    uint8_t *data;
};

struct stream {
    struct room *room; /* borrowed; where what comes early is counted */
    bool begun;
    uint32_t next; /* the sequence number that is awaited */
    struct stream_early early[STREAM_EARLY_MAX];
    unsigned early_count;
    size_t early_bytes;
};

/* SYN: the stream begins behind it. Borrows `room` until stream_fini(). */
void stream_begin(struct stream *stream, uint32_t sequence, struct room *room);

/* Passes on what continues the stream, and keeps what comes early. False: more is missing than is
 * waited for, or there is no room for what has come. */
bool stream_feed(struct stream *stream, uint32_t sequence, struct bytes payload,
                 void (*pass)(void *context, struct bytes bytes), void *context);

void stream_fini(struct stream *stream);

#endif
