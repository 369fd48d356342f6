/* Memory that is given back all at once. All zero is a valid empty arena. One thread at a time. */
#ifndef STORAGE_ARENA_H
#define STORAGE_ARENA_H

#include <stddef.h>

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* the one in use first */
    size_t bytes;               /* handed out since the last reset */
};

/* Aligned for any object. NULL when there is no memory. */
void *arena_try(struct arena *arena, size_t size);
/* The same, but memory that cannot be had ends the process. */
void *arena_take(struct arena *arena, size_t size);
struct bytes arena_copy(struct arena *arena, struct bytes bytes);
/* Everything taken is void; one chunk of ordinary size stays for the next use. */
void arena_reset(struct arena *arena);
void arena_fini(struct arena *arena);

#endif
