/* The rings of a session's queue: messages in memory, and the numbers of those whose bodies are in
 * the store only. One thread; empty costs no memory. */
#ifndef BROKER_QUEUE_H
#define BROKER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "broker/worker.h"

struct queued {
    struct message *message; /* one reference */
    struct identifiers identifiers;
    uint32_t group; /* as in struct delivery */
    uint8_t qos;
    bool retain;
    bool owed;    /* the store has a row */
    bool patient; /* as in struct delivery */
};

struct queue {
    struct queued *entries;
    uint32_t capacity, head, count;
};

static inline struct queued *queue_at(const struct queue *queue, uint32_t index)
{
    return &queue->entries[(queue->head + index) & (queue->capacity - 1)];
}

void queue_push(struct queue *queue, const struct queued *entry);
struct queued queue_pop(struct queue *queue); /* not empty; the references go to the caller */
void queue_fini(struct queue *queue);         /* drops the references of what is left */

struct number_queue {
    uint64_t *numbers;
    uint32_t capacity, head, count;
};

void number_queue_push(struct number_queue *queue, uint64_t number);
/* Copies up to `limit` numbers from the front; they stay. Returns how many. */
uint32_t number_queue_peek(const struct number_queue *queue, uint64_t *out, uint32_t limit);
void number_queue_skip(struct number_queue *queue, uint32_t count);
void number_queue_fini(struct number_queue *queue);

#endif
