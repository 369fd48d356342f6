/* A tree of topic levels. A leaf may stand for several levels ("17/+/state"), so that a filter that
 * shares no more than its beginning with others costs one node; the leaf is split when another
 * filter needs a level of it. The members of a shared subscription hang in a child of the filter's
 * node that is named by the share name behind a byte that no UTF-8 string has.
 *
 * Invariant: a node with children has one level. */
#include "routing/topic_index.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/check.h"
#include "routing/pointer_list.h"
#include "routing/reclaim.h"
#include "routing/topic_changes.h"
#include "routing/topic_match.h"
#include "routing/topic_table.h"

enum { GROUP_MARK = 0xff };

/* Flags of a node, for readers: which wildcards are worth looking for below it. */
enum { HAS_PLUS = 1, HAS_HASH = 2 };

struct filter_node {
    struct topic_node node;
    struct pointer_list entries; /* of a group: its members */
    struct pointer_list groups;  /* filter nodes that are groups */
    uint8_t name[];
};

struct topic_index_entry {
    void *session;
    uint64_t incarnation;
    _Atomic uint64_t packed;  /* as in struct topic_match: one word, so never half changed */
    struct filter_node *node; /* writer's */
    uint32_t slot;            /* writer's */
    uint32_t group;           /* as in struct subscriber */
};

struct topic_index {
    alignas(64) _Atomic uint64_t version;
    _Atomic uint64_t begun; /* `version`, or the one that a change under way will make */
    alignas(64) pthread_mutex_t lock;
    _Atomic uint64_t count;
    uint64_t plus_hash, hash_hash; /* of the levels "+" and "#" */
    struct topic_table table;
    struct topic_changes changes;
    struct filter_node root; /* last: it ends in its name, which is empty */
};

static struct filter_node *filter_node_of(const struct topic_node *node)
{
    return (struct filter_node *)(uintptr_t)node;
}

struct topic_index *topic_index_new(const struct hash_key *key)
{
    struct topic_index *index = aligned_alloc(64, sizeof *index);
    if (index == NULL)
        return NULL;
    memset(index, 0, sizeof *index);
    atomic_init(&index->version, 1);
    atomic_init(&index->begun, 1);
    pthread_mutex_init(&index->lock, NULL);
    topic_table_init(&index->table, key, offsetof(struct filter_node, name));
    index->root.node.hash = index->table.key.secret[0];
    index->plus_hash = topic_hash(&index->table.key, bytes_of("+", 1));
    index->hash_hash = topic_hash(&index->table.key, bytes_of("#", 1));
    return index;
}

static void free_node_and_entries(struct topic_node *node)
{
    struct filter_node *filter = filter_node_of(node);
    struct pointer_view view = pointer_list_view(&filter->entries);
    for (uint32_t i = 0; i < view.count; i++)
        free(pointer_view_at(&view, i));
    pointer_list_fini(&filter->entries);
    pointer_list_fini(&filter->groups);
    free(filter);
}

void topic_index_free(struct topic_index *index)
{
    if (index == NULL)
        return;
    topic_table_fini(&index->table, free_node_and_entries);
    pthread_mutex_destroy(&index->lock);
    free(index);
}

uint64_t topic_index_version(const struct topic_index *index)
{
    return atomic_load_explicit(&index->version, memory_order_acquire);
}

uint64_t topic_index_begun(const struct topic_index *index)
{
    return atomic_load_explicit(&index->begun, memory_order_acquire);
}

void topic_index_hold(struct topic_index *index)
{
    pthread_mutex_lock(&index->lock);
}

void topic_index_release(struct topic_index *index)
{
    pthread_mutex_unlock(&index->lock);
}

uint64_t topic_index_count(const struct topic_index *index)
{
    return atomic_load_explicit(&index->count, memory_order_relaxed);
}

struct topic_hash_key topic_index_hash_key(const struct topic_index *index)
{
    return index->table.key;
}

/* ---- Changes, under the lock ---- */

static void place_entry(void *item, uint32_t slot)
{
    ((struct topic_index_entry *)item)->slot = slot;
}

static void place_group(void *item, uint32_t slot)
{
    ((struct filter_node *)item)->node.slot = slot;
}

static bool is_group(const struct filter_node *node)
{
    return node->node.name_size > 0 && node->name[0] == GROUP_MARK;
}

static uint8_t wildcard_flag(const struct filter_node *node)
{
    bool one_level =
        node->node.name_size == 1 || (node->node.name_size > 1 && node->name[1] == '/');
    if (one_level && node->name[0] == '+')
        return HAS_PLUS;
    return one_level && node->name[0] == '#' ? HAS_HASH : 0;
}

static void set_flags(struct filter_node *node, uint8_t flags)
{
    atomic_store_explicit(&node->node.flags, flags, memory_order_release);
}

static uint8_t flags_of(const struct filter_node *node)
{
    return atomic_load_explicit(&node->node.flags, memory_order_acquire);
}

static struct filter_node *node_new(struct filter_node *parent, struct bytes name)
{
    struct filter_node *node = malloc(sizeof *node + name.size);
    if (node == NULL)
        return NULL;
    memset(node, 0, sizeof *node);
    node->node.parent = &parent->node;
    node->node.name_size = (uint16_t)name.size;
    put_bytes(node->name, name);
    return node;
}

/* Makes a new child visible. */
static enum status attach(struct topic_index *index, struct filter_node *node)
{
    struct filter_node *parent = filter_node_of(node->node.parent);
    TRY(topic_table_insert(&index->table, &node->node));
    parent->node.children++;
    set_flags(parent, flags_of(parent) | wildcard_flag(node));
    return STATUS_OK;
}

/* How much of a leaf's name its nodes of one level take when `wanted` shares its beginning: whole
 * levels, and at least the last one stays with the leaf. The slash behind them is not counted. */
static size_t common_levels(struct bytes name, struct bytes wanted)
{
    size_t common = 0;
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '/' && (i == wanted.size || (i < wanted.size && wanted.data[i] == '/')))
            common = i;
        if (i >= wanted.size || name.data[i] != wanted.data[i])
            break;
    }
    return common;
}

/* Makes a chain of nodes of one level each for `levels`, the first of them not visible yet, and
 * `leaf_name` below it. NULL: no memory, nothing is left behind. */
static struct filter_node *make_chain(struct topic_index *index, const struct filter_node *before,
                                      struct bytes levels, struct bytes leaf_name,
                                      struct filter_node **out_leaf)
{
    struct bytes level;
    bool more = topic_next_level(&levels, &level);
    struct filter_node *top = node_new(filter_node_of(before->node.parent), level);
    if (top == NULL)
        return NULL;
    top->node.hash = before->node.hash; /* whose place it takes */
    struct filter_node *bottom = top;
    for (bool is_leaf = false; !is_leaf;) {
        is_leaf = !more;
        if (more)
            more = topic_next_level(&levels, &level);
        struct filter_node *node = node_new(bottom, is_leaf ? leaf_name : level);
        if (node == NULL || attach(index, node) != STATUS_OK) {
            free(node);
            break;
        }
        if (is_leaf) {
            *out_leaf = node;
            return top;
        }
        bottom = node;
    }
    while (bottom != top) {
        struct filter_node *parent = filter_node_of(bottom->node.parent);
        topic_table_remove(&index->table, &bottom->node);
        reclaim_defer(free, bottom); /* a probe may have come across it */
        bottom = parent;
    }
    free(top);
    return NULL;
}

/* Replaces a leaf of several levels by nodes of one level for what `wanted` shares with it, and a
 * leaf for the rest below them. A reader that has already come to the old leaf finds the same
 * subscriptions through it. Sets *out to the first of the new nodes. */
static enum status split(struct topic_index *index, struct filter_node *leaf, struct bytes wanted,
                         struct filter_node **out)
{
    CHECK(leaf->node.children == 0);
    struct bytes name = bytes_of(leaf->name, leaf->node.name_size);
    size_t common = common_levels(name, wanted);
    CHECK(common < name.size && name.data[common] == '/');
    struct filter_node *lower;
    struct filter_node *upper =
        make_chain(index, leaf, bytes_of(name.data, common),
                   bytes_of(name.data + common + 1, name.size - common - 1), &lower);
    if (upper == NULL)
        return STATUS_NO_MEMORY;
    atomic_store_explicit(&lower->entries.head,
                          atomic_load_explicit(&leaf->entries.head, memory_order_relaxed),
                          memory_order_release);
    struct pointer_view view = pointer_list_view(&lower->entries);
    for (uint32_t i = 0; i < view.count; i++) {
        struct topic_index_entry *entry = pointer_view_at(&view, i);
        if (entry != NULL)
            entry->node = lower;
    }
    topic_table_replace(&index->table, &leaf->node, &upper->node);
    reclaim_defer(free, leaf);
    *out = upper;
    return STATUS_OK;
}

/* Removes nodes that stand for nothing, from `node` upwards. */
static void prune(struct topic_index *index, struct filter_node *node)
{
    while (node != &index->root && pointer_list_empty(&node->entries) &&
           (is_group(node) || node->node.children == 0)) {
        struct filter_node *parent = filter_node_of(node->node.parent);
        topic_table_remove(&index->table, &node->node);
        parent->node.children--;
        if (is_group(node))
            pointer_list_remove(&parent->groups, node->node.slot, place_group);
        else
            set_flags(parent, flags_of(parent) & (uint8_t)~wildcard_flag(node));
        reclaim_defer(free, node);
        node = parent;
    }
}

static struct filter_node *child_of(const struct topic_index *index, const struct filter_node *node,
                                    struct bytes level)
{
    return filter_node_of(
        topic_table_find(&index->table, &node->node, level, topic_hash(&index->table.key, level)));
}

/* The node of a filter, made if need be. `alone`: a node of one level, that may have children. On
 * failure nothing is left behind. */
static enum status find_or_make(struct topic_index *index, struct bytes filter, bool alone,
                                struct filter_node **out)
{
    struct filter_node *node = &index->root;
    for (struct bytes rest = filter;;) {
        struct bytes whole = rest, level;
        bool more = topic_next_level(&rest, &level);
        struct filter_node *child = child_of(index, node, level);
        if (child == NULL) {
            child = node_new(node, alone ? level : whole);
            if (child == NULL || attach(index, child) != STATUS_OK) {
                free(child);
                prune(index, node);
                return STATUS_NO_MEMORY;
            }
        } else if (child->node.name_size > level.size &&
                   (alone || !bytes_equal(bytes_of(child->name, child->node.name_size), whole))) {
            TRY(split(index, child, whole, &child));
        }
        if (!more || child->node.name_size > level.size) {
            *out = child;
            return STATUS_OK;
        }
        node = child;
    }
}

/* The group of a share name below a filter's node, made if need be. */
static enum status find_or_make_group(struct topic_index *index, struct filter_node *filter,
                                      struct bytes share_name, struct filter_node **out)
{
    CHECK(share_name.size < UINT16_MAX);
    struct filter_node *group = malloc(sizeof *group + 1 + share_name.size);
    if (group == NULL)
        return STATUS_NO_MEMORY;
    memset(group, 0, sizeof *group);
    group->node.parent = &filter->node;
    group->node.name_size = (uint16_t)(1 + share_name.size);
    group->name[0] = GROUP_MARK;
    put_bytes(group->name + 1, share_name);

    *out = child_of(index, filter, bytes_of(group->name, group->node.name_size));
    if (*out != NULL) {
        free(group);
        return STATUS_OK;
    }
    if (pointer_list_add(&filter->groups, group, place_group) != STATUS_OK) {
        free(group);
        return STATUS_NO_MEMORY;
    }
    if (attach(index, group) != STATUS_OK) {
        pointer_list_remove(&filter->groups, group->node.slot, place_group);
        reclaim_defer(free, group);
        return STATUS_NO_MEMORY;
    }
    *out = group;
    return STATUS_OK;
}

static enum status add_entry(struct topic_index *index, struct bytes share_name,
                             struct bytes filter, struct topic_index_entry *entry)
{
    struct filter_node *node;
    bool shared = share_name.size > 0;
    TRY(find_or_make(index, filter, shared, &node));
    if (shared) {
        struct filter_node *parent = node;
        enum status status = find_or_make_group(index, parent, share_name, &node);
        if (status != STATUS_OK) {
            prune(index, parent);
            return status;
        }
    }
    entry->node = node;
    enum status status = pointer_list_add(&node->entries, entry, place_entry);
    if (status != STATUS_OK)
        prune(index, node);
    return status;
}

static uint64_t pack(uint16_t home, uint8_t options, uint32_t subscription_identifier)
{
    return (uint64_t)home << 48 | (uint64_t)options << 32 | subscription_identifier;
}

/* The filter of a node, or if it is long, at least its first TOPIC_CHANGE_FILTER bytes. Its memory
 * is the caller's: `room` is of twice that size. */
static struct bytes filter_of(const struct topic_index *index, const struct filter_node *node,
                              uint8_t *room)
{
    const struct filter_node
        *uppermost[TOPIC_CHANGE_FILTER + 1]; /* a level and its slash: 1 byte */
    unsigned depth = 0, size = 0;
    if (is_group(node))
        node = filter_node_of(node->node.parent);
    for (; node != &index->root; node = filter_node_of(node->node.parent))
        uppermost[depth++ % (TOPIC_CHANGE_FILTER + 1)] = node;
    for (unsigned levels = 0; depth > 0 && levels <= TOPIC_CHANGE_FILTER; levels++) {
        node = uppermost[--depth % (TOPIC_CHANGE_FILTER + 1)];
        size_t more = node->node.name_size;
        if (more > TOPIC_CHANGE_FILTER)
            more = TOPIC_CHANGE_FILTER;
        if (levels > 0)
            room[size++] = '/';
        put_bytes(room + size, bytes_of(node->name, more));
        size += (unsigned)more;
        if (size >= TOPIC_CHANGE_FILTER)
            break;
    }
    return bytes_of(room, size);
}

/* Around a change. A reader takes the version before it matches and looks behind it at what has
 * begun: who has seen anything of a change sees that it has begun, and by its filter whether it
 * matters. */
static uint64_t begin_change(struct topic_index *index, struct bytes filter)
{
    uint64_t version = atomic_load_explicit(&index->version, memory_order_relaxed) + 1;
    topic_changes_add(&index->changes, version, filter);
    atomic_store_explicit(&index->begun, version, memory_order_release);
    return version;
}

static void end_change(struct topic_index *index, uint64_t version)
{
    atomic_store_explicit(&index->version, version, memory_order_release);
}

bool topic_index_changes_concern(const struct topic_index *index, uint64_t from, uint64_t to,
                                 struct bytes topic)
{
    return topic_changes_concern(&index->changes, from, to, topic);
}

enum status topic_index_add(struct topic_index *index, struct bytes share_name, struct bytes filter,
                            const struct subscriber *subscriber, struct topic_index_entry **out,
                            uint64_t *out_version)
{
    struct topic_index_entry *entry = malloc(sizeof *entry);
    if (entry == NULL)
        return STATUS_NO_MEMORY;
    entry->session = subscriber->session;
    entry->incarnation = subscriber->incarnation;
    entry->group = subscriber->group;
    atomic_init(&entry->packed,
                pack(subscriber->home, subscriber->options, subscriber->subscription_identifier));

    pthread_mutex_lock(&index->lock);
    *out_version = begin_change(index, filter);
    enum status status = add_entry(index, share_name, filter, entry);
    if (status == STATUS_OK)
        atomic_fetch_add_explicit(&index->count, 1, memory_order_relaxed);
    end_change(index, *out_version);
    pthread_mutex_unlock(&index->lock);

    if (status != STATUS_OK) {
        free(entry);
        return status;
    }
    *out = entry;
    return STATUS_OK;
}

uint64_t topic_index_change(struct topic_index *index, struct topic_index_entry *entry,
                            uint8_t options, uint32_t subscription_identifier)
{
    uint8_t room[2 * TOPIC_CHANGE_FILTER];
    pthread_mutex_lock(&index->lock);
    uint64_t version = begin_change(index, filter_of(index, entry->node, room));
    uint64_t before = atomic_load_explicit(&entry->packed, memory_order_relaxed);
    uint16_t home = (uint16_t)(before >> 48);
    atomic_store_explicit(&entry->packed, pack(home, options, subscription_identifier),
                          memory_order_release);
    end_change(index, version);
    pthread_mutex_unlock(&index->lock);
    return version;
}

void topic_index_remove(struct topic_index *index, struct topic_index_entry *entry)
{
    pthread_mutex_lock(&index->lock);
    struct filter_node *node = entry->node;
    uint8_t room[2 * TOPIC_CHANGE_FILTER];
    uint64_t version = begin_change(index, filter_of(index, node, room));
    pointer_list_remove(&node->entries, entry->slot, place_entry);
    prune(index, node);
    reclaim_defer(free, entry);
    atomic_fetch_sub_explicit(&index->count, 1, memory_order_relaxed);
    end_change(index, version);
    pthread_mutex_unlock(&index->lock);
}

/* ---- Matching, without the lock ---- */

/* `items` with room for `more` behind `count`. NULL: no memory, and they are as they were. */
static void *grown(void *items, size_t item_size, uint32_t count, uint32_t *capacity, uint32_t more)
{
    if (more <= *capacity - count)
        return items;
    uint64_t wanted = *capacity < 16 ? 16 : (uint64_t)*capacity * 2;
    while (wanted < (uint64_t)count + more)
        wanted *= 2;
    void *out = wanted <= UINT32_MAX ? realloc(items, wanted * item_size) : NULL;
    if (out != NULL)
        *capacity = (uint32_t)wanted;
    return out;
}

/* `more` is not 0. */
#define MAKE_ROOM(items, count, capacity, more)                                                    \
    do {                                                                                           \
        void *grown_ = grown(items, sizeof *(items), count, &(capacity), more);                    \
        if (grown_ == NULL)                                                                        \
            return STATUS_NO_MEMORY;                                                               \
        (items) = grown_;                                                                          \
    } while (0)

static enum status collect_entries(const struct filter_node *node, struct topic_matches *out)
{
    struct pointer_view view = pointer_list_view(&node->entries);
    if (view.count == 0)
        return STATUS_OK;
    MAKE_ROOM(out->matches, out->match_count, out->match_capacity, view.count);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct topic_index_entry *entry = pointer_view_at(&view, i);
        if (entry != NULL)
            out->matches[out->match_count++] = (struct topic_match){
                .session = entry->session,
                .incarnation = entry->incarnation,
                .packed = atomic_load_explicit(&entry->packed, memory_order_acquire),
            };
    }
    return STATUS_OK;
}

static enum status collect_members(const struct filter_node *group, struct topic_matches *out)
{
    struct pointer_view view = pointer_list_view(&group->entries);
    uint32_t before = out->member_count;
    if (view.count == 0)
        return STATUS_OK;
    MAKE_ROOM(out->members, out->member_count, out->member_capacity, view.count);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct topic_index_entry *entry = pointer_view_at(&view, i);
        if (entry == NULL)
            continue;
        uint64_t packed = atomic_load_explicit(&entry->packed, memory_order_acquire);
        out->members[out->member_count++] = (struct subscriber){
            .session = entry->session,
            .incarnation = entry->incarnation,
            .subscription_identifier = (uint32_t)packed,
            .home = (uint16_t)(packed >> 48),
            .options = (uint8_t)(packed >> 32),
            .group = entry->group,
        };
    }
    if (out->member_count == before)
        return STATUS_OK;
    MAKE_ROOM(out->group_ends, out->group_count, out->group_capacity, 1);
    out->group_ends[out->group_count++] = out->member_count;
    return STATUS_OK;
}

static enum status collect(const struct filter_node *node, struct topic_matches *out)
{
    TRY(collect_entries(node, out));
    struct pointer_view groups = pointer_list_view(&node->groups);
    for (uint32_t i = 0; i < groups.count; i++) {
        const struct filter_node *group = pointer_view_at(&groups, i);
        if (group != NULL)
            TRY(collect_members(group, out));
    }
    return STATUS_OK;
}

static enum status collect_hash_below(const struct topic_index *index,
                                      const struct filter_node *node, struct topic_matches *out)
{
    if ((flags_of(node) & HAS_HASH) == 0)
        return STATUS_OK;
    const struct topic_node *child =
        topic_table_find(&index->table, &node->node, bytes_of("#", 1), index->hash_hash);
    return child != NULL ? collect(filter_node_of(child), out) : STATUS_OK;
}

struct step {
    struct bytes rest; /* of the topic, behind this level */
    bool last;         /* nothing is behind it */
    unsigned next;     /* which of the two node lists the next level works on */
};

/* A child found by this level: a leaf of several levels is decided at once. */
static enum status enter(const struct topic_node *found, size_t level_size, const struct step *step,
                         struct topic_matches *out)
{
    const struct filter_node *child = filter_node_of(found);
    if (child == NULL)
        return STATUS_OK;
    if (child->node.name_size == level_size) {
        unsigned next = step->next;
        MAKE_ROOM(out->nodes[next], out->node_count[next], out->node_capacity[next], 1);
        out->nodes[next][out->node_count[next]++] = &child->node;
        return STATUS_OK;
    }
    struct bytes filter =
        bytes_of(child->name + level_size + 1, child->node.name_size - level_size - 1);
    bool matches =
        step->last ? topic_level_is(filter, '#') : topic_levels_match(filter, step->rest);
    return matches ? collect_entries(child, out) : STATUS_OK;
}

enum status topic_index_match(const struct topic_index *index, struct bytes topic,
                              struct topic_matches *out)
{
    out->match_count = out->member_count = out->group_count = 0;
    out->node_count[0] = out->node_count[1] = 0;
    MAKE_ROOM(out->nodes[0], 0, out->node_capacity[0], 1);
    out->nodes[0][out->node_count[0]++] = &index->root.node;

    /* No leading wildcard matches a topic that begins with $ [MQTT-4.7.2-1]. */
    bool wildcards = topic.size == 0 || topic.data[0] != '$';
    struct step step = {.rest = topic, .next = 0};
    do {
        struct bytes level;
        unsigned now = step.next;
        step.next = 1 - now;
        step.last = !topic_next_level(&step.rest, &level);
        out->node_count[step.next] = 0;
        uint64_t level_hash = topic_hash(&index->table.key, level);
        for (uint32_t i = 0; i < out->node_count[now]; i++) {
            const struct filter_node *node = filter_node_of(out->nodes[now][i]);
            if (wildcards) {
                TRY(collect_hash_below(index, node, out));
                if ((flags_of(node) & HAS_PLUS) != 0)
                    TRY(enter(topic_table_find(&index->table, &node->node, bytes_of("+", 1),
                                               index->plus_hash),
                              1, &step, out));
            }
            TRY(enter(topic_table_find(&index->table, &node->node, level, level_hash), level.size,
                      &step, out));
        }
        wildcards = true;
    } while (!step.last && out->node_count[step.next] > 0);

    if (step.last) {
        for (uint32_t i = 0; i < out->node_count[step.next]; i++) {
            const struct filter_node *node = filter_node_of(out->nodes[step.next][i]);
            TRY(collect(node, out));
            TRY(collect_hash_below(index, node, out)); /* "sport/#" matches "sport" */
        }
    }
    return STATUS_OK;
}

void topic_matches_fini(struct topic_matches *matches)
{
    free(matches->matches);
    free(matches->members);
    free(matches->group_ends);
    free(matches->nodes[0]);
    free(matches->nodes[1]);
    memset(matches, 0, sizeof *matches);
}
