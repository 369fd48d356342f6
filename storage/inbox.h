/* Hand-over between threads without locks: any thread pushes, one takes everything. Batches
 * carry their LSN, so the taker needs no order among workers, and a list that is swapped for an
 * empty one needs no protection against reuse. Sequentially consistent, so that it works with
 * wake.h; one exchange either way. */
#ifndef STORAGE_INBOX_H
#define STORAGE_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>

#include "storage/batch.h"

struct inbox {
    _Alignas(64) _Atomic(struct store_batch *) newest;
};

/* Returns whether it was empty. */
static inline bool inbox_push(struct inbox *inbox, struct store_batch *batch /* takes */)
{
    struct store_batch *newest = atomic_load_explicit(&inbox->newest, memory_order_relaxed);
    do {
        batch->next = newest;
    } while (!atomic_compare_exchange_weak(&inbox->newest, &newest, batch));
    return newest == NULL;
}

static inline bool inbox_empty(struct inbox *inbox)
{
    return atomic_load(&inbox->newest) == NULL;
}

/* Everything, oldest first. */
static inline struct store_batch *inbox_take(struct inbox *inbox)
{
    if (inbox_empty(inbox))
        return NULL;
    struct store_batch *batch = atomic_exchange(&inbox->newest, NULL);
    struct store_batch *oldest = NULL;
    while (batch != NULL) {
        struct store_batch *next = batch->next;
        batch->next = oldest;
        oldest = batch;
        batch = next;
    }
    return oldest;
}

#endif
