#include "storage/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

enum { FEWEST = 16, LARGE = 4096 };

void table_init(struct table *table, bool is_set)
{
    *table = (struct table){.is_set = is_set};
}

void table_fini(struct table *table)
{
    free(table->keys);
    free(table->values);
    table_init(table, table->is_set);
}

void table_clear(struct table *table)
{
    if (table->count == 0)
        return;
    /* After a burst, do not pay for its size for ever. */
    if (table->capacity > LARGE && table->count < table->capacity / 16) {
        table_fini(table);
        return;
    }
    memset(table->keys, 0, table->capacity * sizeof *table->keys);
    table->count = 0;
}

/* The slot of the key, or the free one where it belongs. */
static size_t slot_of(const struct table *table, uint64_t key)
{
    size_t mask = table->capacity - 1;
    size_t slot = table_mix(key) & mask;
    while (table->keys[slot] != 0 && table->keys[slot] != key)
        slot = (slot + 1) & mask;
    return slot;
}

bool table_has(const struct table *table, uint64_t key)
{
    return table->count > 0 && table->keys[slot_of(table, key)] == key;
}

uint64_t *table_find(const struct table *table, uint64_t key)
{
    if (table->count == 0)
        return NULL;
    size_t slot = slot_of(table, key);
    return table->keys[slot] == key ? &table->values[slot] : NULL;
}

static void grow(struct table *table)
{
    struct table old = *table;
    table->capacity = old.capacity == 0 ? FEWEST : old.capacity * 2;
    table->keys = memory_take_zeroed(table->capacity, sizeof *table->keys);
    if (!table->is_set)
        table->values = memory_take(table->capacity * sizeof *table->values);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.keys[i] == 0)
            continue;
        size_t slot = slot_of(table, old.keys[i]);
        table->keys[slot] = old.keys[i];
        if (!table->is_set)
            table->values[slot] = old.values[i];
    }
    free(old.keys);
    free(old.values);
}

uint64_t *table_put(struct table *table, uint64_t key)
{
    CHECK(key != 0);
    if (table->count * 3 >= table->capacity * 2)
        grow(table);
    size_t slot = slot_of(table, key);
    if (table->keys[slot] == 0) {
        table->keys[slot] = key;
        table->count++;
        if (!table->is_set)
            table->values[slot] = 0;
    }
    return table->is_set ? NULL : &table->values[slot];
}

bool table_remove(struct table *table, uint64_t key)
{
    if (table->count == 0)
        return false;
    size_t mask = table->capacity - 1;
    size_t hole = slot_of(table, key);
    if (table->keys[hole] != key)
        return false;
    /* Close the gap: move back whatever probed over it. */
    for (size_t at = (hole + 1) & mask; table->keys[at] != 0; at = (at + 1) & mask) {
        size_t home = table_mix(table->keys[at]) & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        table->keys[hole] = table->keys[at];
        if (!table->is_set)
            table->values[hole] = table->values[at];
        hole = at;
    }
    table->keys[hole] = 0;
    table->count--;
    return true;
}
