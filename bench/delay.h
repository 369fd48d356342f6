/* Answers that are on their way for a while: first in, first out, because all take as long. */
#ifndef BENCH_DELAY_H
#define BENCH_DELAY_H

#include <stddef.h>
#include <stdint.h>

#include "bench/wire.h"

struct client;

struct delayed_ack {
    struct client *client;
    uint64_t due_ns;
    enum wire_type type;
    uint16_t id;
};

struct delay { /* all zero is empty */
    struct delayed_ack *ring;
    size_t head, count, capacity; /* capacity: a power of two, or 0 */
};

void delay_fini(struct delay *delay);
void delay_push(struct delay *delay, uint64_t due_ns, struct delayed_ack ack);
/* There must be one. */
struct delayed_ack delay_pop(struct delay *delay);
/* UINT64_MAX and NULL when there is none. */
uint64_t delay_next_ns(const struct delay *delay);
struct client *delay_next_client(const struct delay *delay);

#endif
