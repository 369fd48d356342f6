/* The nodes of a tree of topic levels, found by (parent, level).
 *
 * All children of all nodes of one tree share this table, so that a node with a million children
 * costs no more than a million nodes with one. It is open addressing in 256 shards; the slots carry
 * 16 bits of the hash beside the pointer, so that a probe seldom touches a wrong node. A shard
 * grows by copying, and a growing shard stalls its writer for 1/256th of the whole.
 *
 * Finding takes no lock (readers: online, routing/reclaim.h). The writer is whoever holds the lock
 * of the tree. Nodes belong to the tree: it frees what it removed, by reclaim_defer(). */
#ifndef BROKER_TOPIC_TABLE_H
#define BROKER_TOPIC_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "routing/topic_hash.h"

/* The head of every node. `name` is one level, or in a leaf one level or more ("temperature",
 * "+/state/#"): the first of them is what the node is found by. */
struct topic_node {
    struct topic_node *parent;
    uint64_t hash;
    union {
        uint32_t children; /* writer's */
        uint32_t slot;     /* in a list of the parent's; writer's */
    };
    uint16_t name_size;
    _Atomic uint8_t flags; /* the tree's */
};

enum { TOPIC_TABLE_SHARDS = 256 };

struct topic_table_slots;

struct topic_table {
    struct topic_hash_key key;
    size_t name_offset; /* where a node's name stands */
    struct {
        _Atomic(struct topic_table_slots *) slots;
        uint32_t used; /* with the removed */
        uint32_t live;
    } shards[TOPIC_TABLE_SHARDS];
};

void topic_table_init(struct topic_table *table, const struct hash_key *key, size_t name_offset);
/* Calls `visit` for every node, which may free it; then frees the table. No readers. */
void topic_table_fini(struct topic_table *table, void (*visit)(struct topic_node *node));

/* Calls `visit` for the nodes in the next `slots` slots from `*cursor` on (0: the first), and moves
 * it; at the end to 0. Online readers; a shard that grows meanwhile may hide nodes from one round.
 */
void topic_table_walk(const struct topic_table *table, uint64_t *cursor, uint32_t slots,
                      void (*visit)(void *context, struct topic_node *node), void *context);

static inline struct bytes topic_table_name(const struct topic_table *table,
                                            const struct topic_node *node)
{
    return bytes_of((const uint8_t *)node + table->name_offset, node->name_size);
}

/* `level_hash` is topic_hash(level). */
struct topic_node *topic_table_find(const struct topic_table *table,
                                    const struct topic_node *parent, struct bytes level,
                                    uint64_t level_hash);

/* Makes a node visible; its parent and name are set, its hash is set here. */
enum status MUST_USE topic_table_insert(struct topic_table *table, struct topic_node *node);
/* Puts a node of the same parent and first level in the place of another. */
void topic_table_replace(struct topic_table *table, struct topic_node *before,
                         struct topic_node *after);
void topic_table_remove(struct topic_table *table, struct topic_node *node);

/* Cuts the first level off `rest`; false when it was the last one. */
static inline bool topic_next_level(struct bytes *rest, struct bytes *out)
{
    size_t i = 0;
    while (i < rest->size && rest->data[i] != '/')
        i++;
    *out = bytes_of(rest->data, i);
    if (i == rest->size)
        return false;
    *rest = bytes_of(rest->data + i + 1, rest->size - i - 1);
    return true;
}

static inline bool topic_level_is(struct bytes level, char c)
{
    return level.size == 1 && level.data[0] == (uint8_t)c;
}

/* Whether a valid filter matches a topic, without the rule for `$`. */
bool topic_levels_match(struct bytes filter, struct bytes topic);

#endif
