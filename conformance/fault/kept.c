#include "conformance/fault/kept.h"

#include <stdlib.h>
#include <string.h>

struct kept *kept_new(const void *data, size_t size, bool from_server)
{
    struct kept *kept = malloc(sizeof *kept + size);
    if (!kept)
        abort();
    *kept = (struct kept){.from_server = from_server, .size = size};
    memcpy(kept->bytes, data, size);
    return kept;
}

void queue_push(struct queue *queue, struct kept *kept)
{
    kept->next = NULL;
    if (queue->last)
        queue->last->next = kept;
    else
        queue->first = kept;
    queue->last = kept;
    queue->count++;
}

void queue_push_front(struct queue *queue, struct kept *kept)
{
    kept->next = queue->first;
    queue->first = kept;
    if (!queue->last)
        queue->last = kept;
    queue->count++;
}

struct kept *queue_pop(struct queue *queue)
{
    struct kept *kept = queue->first;
    if (!kept)
        return NULL;
    queue->first = kept->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    return kept;
}

void queue_clear(struct queue *queue)
{
    for (struct kept *kept; (kept = queue_pop(queue));)
        free(kept);
}

void id_set_add(struct id_set *set, uint16_t id)
{
    if (id_set_has(set, id))
        return;
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? 2 * set->capacity : 8;
        set->ids = realloc(set->ids, set->capacity * sizeof *set->ids);
        if (!set->ids)
            abort();
    }
    set->ids[set->count++] = id;
}

bool id_set_has(const struct id_set *set, uint16_t id)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->ids[i] == id)
            return true;
    }
    return false;
}

bool id_set_remove(struct id_set *set, uint16_t id)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (set->ids[i] == id) {
            set->ids[i] = set->ids[--set->count];
            return true;
        }
    }
    return false;
}

void id_set_clear(struct id_set *set)
{
    free(set->ids);
    *set = (struct id_set){0};
}
