#include "routing/pointer_list.h"

#include <stdlib.h>

#include "base/check.h"
#include "routing/reclaim.h"

static struct pointer_array *array_of(const struct pointer_list *list)
{
    uintptr_t head = atomic_load_explicit(&list->head, memory_order_relaxed);
    return (head & 1) != 0 ? (struct pointer_array *)(head - 1) : NULL;
}

static void publish(struct pointer_list *list, uintptr_t head)
{
    atomic_store_explicit(&list->head, head, memory_order_release);
}

/* Sizes of 2^n bytes, header included. */
static uint32_t capacity_for(uint32_t count)
{
    uint32_t capacity = 2;
    while (capacity < count)
        capacity = capacity * 2 + 2;
    return capacity;
}

static struct pointer_array *array_new(uint32_t capacity)
{
    _Static_assert(offsetof(struct pointer_array, slots) == 2 * sizeof(void *),
                   "the header takes two slots' room");
    struct pointer_array *array = malloc(sizeof *array + capacity * sizeof array->slots[0]);
    if (array == NULL)
        return NULL;
    array->capacity = capacity;
    array->live = 0;
    atomic_init(&array->count, 0);
    return array;
}

static void append(struct pointer_array *array, void *item, pointer_list_place *place)
{
    uint32_t count = atomic_load_explicit(&array->count, memory_order_relaxed);
    place(item, count);
    atomic_store_explicit(&array->slots[count], item, memory_order_release);
    atomic_store_explicit(&array->count, count + 1, memory_order_release);
    array->live++;
}

/* Copies what is alive and makes the copy the list. NULL: no memory, nothing changed. */
static struct pointer_array *rebuild(struct pointer_list *list, struct pointer_array *before,
                                     uint32_t capacity, pointer_list_place *place)
{
    struct pointer_array *after = array_new(capacity);
    if (after == NULL)
        return NULL;
    uint32_t count = atomic_load_explicit(&before->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        void *item = atomic_load_explicit(&before->slots[i], memory_order_relaxed);
        if (item != NULL)
            append(after, item, place);
    }
    CHECK(after->live == before->live);
    publish(list, (uintptr_t)after | 1);
    reclaim_defer(free, before);
    return after;
}

enum status pointer_list_add(struct pointer_list *list, void *item, pointer_list_place *place)
{
    uintptr_t head = atomic_load_explicit(&list->head, memory_order_relaxed);
    if (head == 0) {
        place(item, 0);
        publish(list, (uintptr_t)item);
        return STATUS_OK;
    }
    struct pointer_array *array = array_of(list);
    if (array == NULL) {
        array = array_new(capacity_for(2));
        if (array == NULL)
            return STATUS_NO_MEMORY;
        append(array, (void *)head, place);
        append(array, item, place);
        publish(list, (uintptr_t)array | 1);
        return STATUS_OK;
    }
    if (atomic_load_explicit(&array->count, memory_order_relaxed) == array->capacity) {
        uint32_t live = array->live;
        array = rebuild(list, array, capacity_for(live + live / 2 + 1), place);
        if (array == NULL)
            return STATUS_NO_MEMORY;
    }
    append(array, item, place);
    return STATUS_OK;
}

static void collapse(struct pointer_list *list, struct pointer_array *array,
                     pointer_list_place *place)
{
    for (uint32_t i = 0;; i++) {
        void *item = atomic_load_explicit(&array->slots[i], memory_order_relaxed);
        if (item != NULL) {
            place(item, 0);
            publish(list, (uintptr_t)item);
            reclaim_defer(free, array);
            return;
        }
    }
}

void pointer_list_remove(struct pointer_list *list, uint32_t slot, pointer_list_place *place)
{
    struct pointer_array *array = array_of(list);
    if (array == NULL) {
        CHECK(slot == 0 && !pointer_list_empty(list));
        publish(list, 0);
        return;
    }
    uint32_t count = atomic_load_explicit(&array->count, memory_order_relaxed);
    CHECK(slot < count);
    CHECK(atomic_load_explicit(&array->slots[slot], memory_order_relaxed) != NULL);
    atomic_store_explicit(&array->slots[slot], NULL, memory_order_release);
    array->live--;
    if (array->live == 1)
        collapse(list, array, place);
    else if (array->live < count / 2)
        /* Without memory the dead stay until there is some. */
        (void)rebuild(list, array, capacity_for(array->live + array->live / 2 + 1), place);
}

void pointer_list_fini(struct pointer_list *list)
{
    free(array_of(list));
    atomic_store_explicit(&list->head, 0, memory_order_relaxed);
}
