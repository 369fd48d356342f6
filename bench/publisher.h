/* The publishing side of a client: packets built once, of which only the packet identifier (and the
 * time, where latency is measured) changes from one sending to the next. */
#ifndef BENCH_PUBLISHER_H
#define BENCH_PUBLISHER_H

#include "bench/wire.h"

struct client;
struct engine;
struct group;

struct publisher {
    struct client *client;
    struct group *group;
    struct buffer ring; /* packets of one size */
    unsigned ring_count;
    unsigned cursor; /* the next one to send */
    size_t stride;
    size_t id_offset;
    unsigned qos;

    uint64_t left; /* messages to send yet */
    uint64_t sent;
    uint64_t acked; /* PUBACK or PUBCOMP, or known from a PINGRESP */

    /* QoS 1 and 2 */
    unsigned window;
    unsigned in_flight;
    unsigned free_head; /* identifiers are used in turn: free_ids is a ring of `window` */
    uint16_t *free_ids;
    uint8_t *id_states;
    uint64_t *due_ns_of; /* by identifier; for latency */

    /* QoS 0 that nobody receives: a PINGRESP shows how far the broker has got. */
    bool pings;
    uint64_t ping_covers; /* `sent` when the last PINGREQ left */
    bool ping_waits;

    /* A schedule: 0, or the time between two messages. */
    uint64_t interval_ns;
    uint64_t due_ns;
};

/* Builds packets for `topic_count` topics "<prefix>/<first + i>". */
void publisher_init(struct publisher *publisher, struct engine *engine, struct client *client,
                    struct group *group, const char *prefix, unsigned first, unsigned topic_count);
void publisher_fini(struct publisher *publisher);

/* Once the server's Receive Maximum is known. */
void publisher_ready(struct publisher *publisher, struct engine *engine);

/* Writes at most `room` messages, fewer if window, schedule or socket say so. */
unsigned publisher_send(struct publisher *publisher, struct engine *engine, unsigned room);

/* A PUBACK, PUBREC, PUBCOMP or PINGRESP came. */
void publisher_answer(struct publisher *publisher, struct engine *engine,
                      const struct wire_frame *frame);

/* Everything sent is known to have arrived at the broker. */
bool publisher_settled(const struct publisher *publisher);

#endif
