/* Memory that is given back all at once. */
#ifndef CONFORMANCE_ARENA_H
#define CONFORMANCE_ARENA_H

#include <stddef.h>

struct arena_block;

/* Zeroed is empty. */
struct arena {
    struct arena_block *blocks;
    size_t used; /* of the first block */
};

void *arena_alloc(struct arena *arena, size_t size); /* not zeroed; aligned for everything */
void arena_free(struct arena *arena);

#endif
