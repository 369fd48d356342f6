/* A hash table from non-zero 64-bit keys to 64-bit values, open addressing. For keys that we
 * make ourselves (incarnations, message numbers); a peer cannot choose them. One thread at a
 * time. Memory that cannot be had ends the process. */
#ifndef STORAGE_TABLE_H
#define STORAGE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    uint64_t *keys;   /* 0: free */
    uint64_t *values; /* NULL in a set */
    size_t capacity;  /* a power of two, or 0 */
    size_t count;
    bool is_set;
};

static inline uint64_t table_mix(uint64_t key)
{
    key ^= key >> 32;
    key *= UINT64_C(0x9E3779B97F4A7C15);
    return key ^ key >> 29;
}

void table_init(struct table *table, bool is_set);
void table_fini(struct table *table);
void table_clear(struct table *table);
bool table_has(const struct table *table, uint64_t key);
/* Where the key's value is, or NULL. Valid until the next put or remove. */
uint64_t *table_find(const struct table *table, uint64_t key);
/* The key's value, made as 0 when missing. In a set: NULL. */
uint64_t *table_put(struct table *table, uint64_t key);
bool table_remove(struct table *table, uint64_t key);

#endif
