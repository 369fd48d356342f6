#include "routing/topic_table.h"

#include <stdlib.h>

#include "base/check.h"
#include "routing/reclaim.h"

/* A slot is 0 (never used), REMOVED, or 16 bits of the hash above the node's address. */
enum { ADDRESS_BITS = 48, REMOVED = 1, SMALLEST = 8 };

struct topic_table_slots {
    uint32_t mask;
    _Atomic uint64_t slots[];
};

static unsigned shard_of(uint64_t hash)
{
    return hash >> 56;
}

static uint64_t tag_of(uint64_t hash)
{
    return hash >> 40 & 0xffff;
}

static uint64_t slot_of(const struct topic_node *node)
{
    uint64_t address = (uintptr_t)node;
    CHECK(address >> ADDRESS_BITS == 0);
    return tag_of(node->hash) << ADDRESS_BITS | address;
}

static struct topic_node *node_of(uint64_t slot)
{
    return (struct topic_node *)(uintptr_t)(slot & ((UINT64_C(1) << ADDRESS_BITS) - 1));
}

void topic_table_init(struct topic_table *table, const struct hash_key *key, size_t name_offset)
{
    memset(table, 0, sizeof *table);
    table->key = topic_hash_key_of(key);
    table->name_offset = name_offset;
}

void topic_table_fini(struct topic_table *table, void (*visit)(struct topic_node *node))
{
    for (unsigned shard = 0; shard < TOPIC_TABLE_SHARDS; shard++) {
        struct topic_table_slots *slots =
            atomic_load_explicit(&table->shards[shard].slots, memory_order_acquire);
        if (slots == NULL)
            continue;
        for (uint32_t i = 0; i <= slots->mask; i++) {
            uint64_t slot = atomic_load_explicit(&slots->slots[i], memory_order_acquire);
            if (slot > REMOVED)
                visit(node_of(slot));
        }
        free(slots);
    }
    memset(table->shards, 0, sizeof table->shards);
}

void topic_table_walk(const struct topic_table *table, uint64_t *cursor, uint32_t slots,
                      void (*visit)(void *context, struct topic_node *node), void *context)
{
    uint64_t shard = *cursor >> 32, at = *cursor & UINT32_MAX;
    for (; slots > 0 && shard < TOPIC_TABLE_SHARDS; slots--) {
        const struct topic_table_slots *those =
            atomic_load_explicit(&table->shards[shard].slots, memory_order_acquire);
        if (those == NULL || at > those->mask) {
            shard++;
            at = 0;
            continue;
        }
        uint64_t slot = atomic_load_explicit(&those->slots[at++], memory_order_acquire);
        if (slot > REMOVED)
            visit(context, node_of(slot));
    }
    *cursor = shard < TOPIC_TABLE_SHARDS ? shard << 32 | at : 0;
}

static bool is_child(const struct topic_table *table, const struct topic_node *node,
                     const struct topic_node *parent, uint64_t hash, struct bytes level)
{
    if (node->hash != hash || node->parent != parent || node->name_size < level.size)
        return false;
    const uint8_t *name = (const uint8_t *)node + table->name_offset;
    return (level.size == 0 || memcmp(name, level.data, level.size) == 0) &&
           (node->name_size == level.size || name[level.size] == '/');
}

struct topic_node *topic_table_find(const struct topic_table *table,
                                    const struct topic_node *parent, struct bytes level,
                                    uint64_t level_hash)
{
    uint64_t hash = topic_hash_below(&table->key, parent->hash, level_hash);
    const struct topic_table_slots *slots =
        atomic_load_explicit(&table->shards[shard_of(hash)].slots, memory_order_acquire);
    if (slots == NULL)
        return NULL;
    uint64_t tag = tag_of(hash);
    for (uint32_t i = hash & slots->mask;; i = (i + 1) & slots->mask) {
        uint64_t slot = atomic_load_explicit(&slots->slots[i], memory_order_acquire);
        if (slot == 0)
            return NULL;
        if (slot >> ADDRESS_BITS == tag && slot != REMOVED) {
            struct topic_node *node = node_of(slot);
            if (is_child(table, node, parent, hash, level))
                return node;
        }
    }
}

/* Where a new slot may go: the first that is free or was removed. */
static _Atomic uint64_t *free_slot(struct topic_table_slots *slots, uint64_t hash)
{
    for (uint32_t i = hash & slots->mask;; i = (i + 1) & slots->mask)
        if (atomic_load_explicit(&slots->slots[i], memory_order_relaxed) <= REMOVED)
            return &slots->slots[i];
}

static _Atomic uint64_t *slot_holding(struct topic_table *table, const struct topic_node *node)
{
    struct topic_table_slots *slots =
        atomic_load_explicit(&table->shards[shard_of(node->hash)].slots, memory_order_relaxed);
    CHECK(slots != NULL);
    uint64_t wanted = slot_of(node);
    for (uint32_t i = node->hash & slots->mask;; i = (i + 1) & slots->mask) {
        uint64_t slot = atomic_load_explicit(&slots->slots[i], memory_order_relaxed);
        CHECK(slot != 0);
        if (slot == wanted)
            return &slots->slots[i];
    }
}

/* Copies what is alive into a table that it fills by less than half. */
static enum status rebuild(struct topic_table *table, unsigned shard)
{
    uint32_t size = SMALLEST;
    while (size / 2 <= table->shards[shard].live)
        size *= 2;
    struct topic_table_slots *after = calloc(1, sizeof *after + size * sizeof after->slots[0]);
    if (after == NULL)
        return STATUS_NO_MEMORY;
    after->mask = size - 1;
    struct topic_table_slots *before =
        atomic_load_explicit(&table->shards[shard].slots, memory_order_relaxed);
    if (before != NULL) {
        for (uint32_t i = 0; i <= before->mask; i++) {
            uint64_t slot = atomic_load_explicit(&before->slots[i], memory_order_relaxed);
            if (slot > REMOVED)
                atomic_store_explicit(free_slot(after, node_of(slot)->hash), slot,
                                      memory_order_relaxed);
        }
        reclaim_defer(free, before);
    }
    table->shards[shard].used = table->shards[shard].live;
    atomic_store_explicit(&table->shards[shard].slots, after, memory_order_release);
    return STATUS_OK;
}

enum status topic_table_insert(struct topic_table *table, struct topic_node *node)
{
    struct bytes rest = topic_table_name(table, node), level;
    (void)topic_next_level(&rest, &level);
    node->hash = topic_hash_below(&table->key, node->parent->hash, topic_hash(&table->key, level));

    unsigned shard = shard_of(node->hash);
    struct topic_table_slots *slots =
        atomic_load_explicit(&table->shards[shard].slots, memory_order_relaxed);
    if (slots == NULL || table->shards[shard].used >= (slots->mask + 1) / 4 * 3) {
        TRY(rebuild(table, shard));
        slots = atomic_load_explicit(&table->shards[shard].slots, memory_order_relaxed);
    }
    _Atomic uint64_t *slot = free_slot(slots, node->hash);
    if (atomic_load_explicit(slot, memory_order_relaxed) == 0)
        table->shards[shard].used++;
    table->shards[shard].live++;
    atomic_store_explicit(slot, slot_of(node), memory_order_release);
    return STATUS_OK;
}

void topic_table_replace(struct topic_table *table, struct topic_node *before,
                         struct topic_node *after)
{
    after->hash = before->hash;
    atomic_store_explicit(slot_holding(table, before), slot_of(after), memory_order_release);
}

void topic_table_remove(struct topic_table *table, struct topic_node *node)
{
    unsigned shard = shard_of(node->hash);
    atomic_store_explicit(slot_holding(table, node), REMOVED, memory_order_release);
    table->shards[shard].live--;
    struct topic_table_slots *slots =
        atomic_load_explicit(&table->shards[shard].slots, memory_order_relaxed);
    if (table->shards[shard].live < (slots->mask + 1) / 8 && slots->mask >= SMALLEST)
        /* Without memory it stays large until there is some. */
        (void)rebuild(table, shard);
}

/* In a valid filter '+' and '#' are whole levels, so that bytes can be compared as they come. */
bool topic_levels_match(struct bytes filter, struct bytes topic)
{
    size_t t = 0;
    for (size_t f = 0; f < filter.size; f++) {
        if (filter.data[f] == '#')
            return true;
        if (filter.data[f] == '+') {
            while (t < topic.size && topic.data[t] != '/')
                t++;
        } else if (t < topic.size && filter.data[f] == topic.data[t]) {
            t++;
        } else {
            /* "sport/#" matches "sport" too */
            return t == topic.size && filter.size - f == 2 && filter.data[f] == '/' &&
                   filter.data[f + 1] == '#';
        }
    }
    return t == topic.size;
}
