#include "conformance/fault/breach/order.h"

#include <stdlib.h>

enum { LONGEST_MS = 150 }; /* shorter than a case waits for silence */

void order_release(struct link *link)
{
    for (struct kept *kept; (kept = queue_pop(&link->memory.queue)); free(kept))
        link_to_client_bytes(link, kept->bytes, kept->size);
}

static void release_late(struct link *link, struct kept *number)
{
    if (link->memory.number == number->packet_id)
        order_release(link);
}

void order_swap(struct link *link, struct passing *passing, const void *source)
{
    struct memory *memory = &link->memory;
    if (memory->queue.first && memory->source != source)
        return;
    struct kept *kept = passing_keep(link, passing);
    drop(passing);
    if (memory->queue.first) {
        queue_push_front(&memory->queue, kept);
        order_release(link);
        return;
    }
    queue_push(&memory->queue, kept);
    memory->source = source;
    memory->number = (memory->number + 1) & 0xffff;
    struct kept *number = kept_new("", 0, false);
    number->packet_id = (uint16_t)memory->number;
    link_later(link, LONGEST_MS, release_late, number);
}
