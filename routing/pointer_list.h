/* A list of pointers that readers walk without locks while one writer adds and removes.
 *
 * A list of one is the bare pointer, so most lists cost no memory. A longer one is an array with
 * append in place: an entry is written before the count that covers it. A removal leaves NULL
 * behind; when half is dead, the rest is copied and the old array freed by reclaim_defer(). So
 * adding and removing are O(1) amortised however long the list is. Items are told when their slot
 * changes, and give it back to be removed.
 *
 * The writer is whoever holds the lock of the structure around it. Readers are registered with
 * routing/reclaim.h and online. Items are aligned to 2 at least. */
#ifndef BROKER_POINTER_LIST_H
#define BROKER_POINTER_LIST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct pointer_array {
    uint32_t capacity, live;
    _Atomic uint32_t count;
    _Atomic(void *) slots[];
};

struct pointer_list {        /* all zero: empty */
    _Atomic(uintptr_t) head; /* 0, the only item, or an array | 1 */
};

/* Tells an item its slot. */
typedef void pointer_list_place(void *item, uint32_t slot);

enum status MUST_USE pointer_list_add(struct pointer_list *list, void *item,
                                      pointer_list_place *place);
void pointer_list_remove(struct pointer_list *list, uint32_t slot, pointer_list_place *place);
/* Frees the array at once: no readers. */
void pointer_list_fini(struct pointer_list *list);

static inline int pointer_list_empty(const struct pointer_list *list)
{
    return atomic_load_explicit(&list->head, memory_order_relaxed) == 0;
}

/* What a reader sees: at least all items whose adding happened before, and possibly NULLs. */
struct pointer_view {
    void *only;
    const struct pointer_array *array; /* NULL: `only` */
    uint32_t count;
};

static inline struct pointer_view pointer_list_view(const struct pointer_list *list)
{
    uintptr_t head = atomic_load_explicit(&list->head, memory_order_acquire);
    if (head == 0)
        return (struct pointer_view){.count = 0};
    if ((head & 1) == 0)
        return (struct pointer_view){.only = (void *)head, .count = 1};
    const struct pointer_array *array = (const struct pointer_array *)(head - 1);
    return (struct pointer_view){
        .array = array,
        .count = atomic_load_explicit(&array->count, memory_order_acquire),
    };
}

/* NULL: was removed. */
static inline void *pointer_view_at(const struct pointer_view *view, uint32_t i)
{
    if (view->array == NULL)
        return view->only;
    return atomic_load_explicit(&view->array->slots[i], memory_order_acquire);
}

#endif
