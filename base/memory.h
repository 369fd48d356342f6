/* Memory that must be had: what is recorded as owed is not to be forgotten for want of a list
 * element. Everything else allocates with malloc and refuses its client when there is none.
 *
 * A reserve of address space is kept for it. When the system has no memory, the reserve is given
 * back and the allocation tried again, and from then on memory_is_low() says so, that nothing new
 * is taken in until the reserve could be had again. Where that is not enough the process ends as by
 * a kill, of which nothing is lost that was acknowledged (docs/failures.md). Any thread. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Takes the reserve; once, at the start. Without it the others just allocate. */
void memory_reserve(void);

/* The first thing that a thread does that is not a library's. The allocator makes ready for a
 * thread at its first allocation, and jemalloc 5.3 follows a null pointer where there is no memory
 * then. */
void memory_begin_thread(void);

/* As malloc, calloc and realloc, and never NULL. Freed with free(). */
void *memory_take(size_t size);
void *memory_take_zeroed(size_t count, size_t size);
void *memory_resize(void *old /* takes */, size_t size);

/* Gives the reserve back, where an allocation has failed that is to be tried again. */
void memory_use_reserve(void);
/* Whether the reserve is in use: refuse what is new. Tries to have it again. */
bool memory_is_low(void);

#endif
