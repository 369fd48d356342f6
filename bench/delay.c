#include "bench/delay.h"

#include <stdlib.h>

#include "base/check.h"

void delay_fini(struct delay *delay)
{
    free(delay->ring);
}

static void grow(struct delay *delay)
{
    size_t capacity = delay->capacity > 0 ? delay->capacity * 2 : 1024;
    struct delayed_ack *ring = calloc(capacity, sizeof *ring);
    CHECK(ring != NULL);
    for (size_t i = 0; i < delay->count; i++)
        ring[i] = delay->ring[(delay->head + i) & (delay->capacity - 1)];
    free(delay->ring);
    delay->ring = ring;
    delay->capacity = capacity;
    delay->head = 0;
}

void delay_push(struct delay *delay, uint64_t due_ns, struct delayed_ack ack)
{
    if (delay->count == delay->capacity)
        grow(delay);
    ack.due_ns = due_ns;
    delay->ring[(delay->head + delay->count++) & (delay->capacity - 1)] = ack;
}

struct delayed_ack delay_pop(struct delay *delay)
{
    CHECK(delay->count > 0);
    struct delayed_ack ack = delay->ring[delay->head];
    delay->head = (delay->head + 1) & (delay->capacity - 1);
    delay->count--;
    return ack;
}

uint64_t delay_next_ns(const struct delay *delay)
{
    return delay->count > 0 ? delay->ring[delay->head].due_ns : UINT64_MAX;
}

struct client *delay_next_client(const struct delay *delay)
{
    return delay->count > 0 ? delay->ring[delay->head].client : NULL;
}
