#include "storage/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

enum { ORDINARY = 16 * 1024 - 64, ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity;
    size_t used;
    alignas(ALIGNMENT) uint8_t data[];
};

void *arena_try(struct arena *arena, size_t size)
{
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < size) {
        size_t capacity = size > ORDINARY ? size : ORDINARY;
        struct arena_chunk *more = malloc(sizeof *more + capacity);
        if (more == NULL)
            return NULL;
        more->capacity = capacity;
        more->used = 0;
        if (chunk != NULL && capacity > ORDINARY) { /* keep filling the one in use */
            more->next = chunk->next;
            chunk->next = more;
        } else {
            more->next = chunk;
            arena->chunks = more;
        }
        chunk = more;
    }
    void *taken = chunk->data + chunk->used;
    chunk->used += size;
    arena->bytes += size;
    return taken;
}

void *arena_take(struct arena *arena, size_t size)
{
    void *taken = arena_try(arena, size);
    if (taken == NULL) {
        memory_use_reserve();
        taken = arena_try(arena, size);
    }
    CHECK(taken != NULL);
    return taken;
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
    if (bytes.size == 0)
        return (struct bytes){NULL, 0};
    uint8_t *copy = arena_take(arena, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return bytes_of(copy, bytes.size);
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = NULL;
    for (struct arena_chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        if (kept == NULL && chunk->capacity == ORDINARY) {
            kept = chunk;
            kept->next = NULL;
            kept->used = 0;
        } else {
            free(chunk);
        }
    }
    arena->chunks = kept;
    arena->bytes = 0;
}

void arena_fini(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    *arena = (struct arena){0};
}
