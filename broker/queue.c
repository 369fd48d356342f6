#include "broker/queue.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

static void queue_release(struct queue *queue)
{
    free(queue->entries);
    *queue = (struct queue){0};
}

/* First in, first out: the order of a topic [MQTT-4.6.0-5] [MQTT-4.6.0-6]. */
void queue_push(struct queue *queue, const struct queued *entry)
{
    if (queue->count == queue->capacity) {
        uint32_t capacity = queue->capacity > 0 ? queue->capacity * 2 : 4;
        struct queued *entries = memory_take(capacity * sizeof *entries);
        for (uint32_t i = 0; i < queue->count; i++)
            entries[i] = *queue_at(queue, i);
        free(queue->entries);
        queue->entries = entries;
        queue->capacity = capacity;
        queue->head = 0;
    }
    *queue_at(queue, queue->count++) = *entry;
}

struct queued queue_pop(struct queue *queue)
{
    CHECK(queue->count > 0);
    struct queued entry = *queue_at(queue, 0);
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    if (--queue->count == 0)
        queue_release(queue);
    return entry;
}

void queue_fini(struct queue *queue)
{
    while (queue->count > 0) {
        struct queued entry = queue_pop(queue);
        message_drop(entry.message, 1);
        identifiers_fini(&entry.identifiers);
    }
    queue_release(queue);
}

void number_queue_push(struct number_queue *queue, uint64_t number)
{
    if (queue->count == queue->capacity) {
        uint32_t capacity = queue->capacity > 0 ? queue->capacity * 2 : 64;
        uint64_t *numbers = memory_take(capacity * sizeof *numbers);
        number_queue_peek(queue, numbers, queue->count);
        free(queue->numbers);
        queue->numbers = numbers;
        queue->capacity = capacity;
        queue->head = 0;
    }
    queue->numbers[(queue->head + queue->count++) & (queue->capacity - 1)] = number;
}

uint32_t number_queue_peek(const struct number_queue *queue, uint64_t *out, uint32_t limit)
{
    uint32_t count = queue->count < limit ? queue->count : limit;
    for (uint32_t i = 0; i < count; i++)
        out[i] = queue->numbers[(queue->head + i) & (queue->capacity - 1)];
    return count;
}

void number_queue_skip(struct number_queue *queue, uint32_t count)
{
    CHECK(count <= queue->count);
    queue->count -= count;
    if (queue->count == 0)
        number_queue_fini(queue);
    else
        queue->head = (queue->head + count) & (queue->capacity - 1);
}

void number_queue_fini(struct number_queue *queue)
{
    free(queue->numbers);
    *queue = (struct number_queue){0};
}
