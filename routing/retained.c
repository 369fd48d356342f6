/* A tree of topic levels with children that can be walked, so that a filter visits no more than
 * what it matches.
 *
 * A node's state is one word: a message, or "none since number N", so that the higher number wins
 * by compare-and-swap. A removal leaves its number behind, because a setter with a lower one may
 * still be under way on another worker; the last removals are kept, in a ring, and a node goes when
 * its removal leaves the ring. GONE closes a node for setters that found it before it went. */
#include "routing/retained.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "routing/pointer_list.h"
#include "routing/reclaim.h"
#include "routing/topic_table.h"

enum { REMOVALS_KEPT = 16384 };

/* A state is a message's address, or N << 1 | 1. */
enum { NEVER = 1 };
static const uint64_t GONE = UINT64_MAX;

struct place {
    struct topic_node node;
    _Atomic uint64_t state;
    struct pointer_list children; /* places */
    uint32_t queued;              /* times in the ring; writer's */
    uint8_t name[];               /* one level */
};

struct retained {
    pthread_mutex_t lock;
    _Atomic uint64_t count;
    struct place **removals; /* a ring, grown as needed */
    uint32_t removal_first, removal_count, removal_capacity, removal_limit;
    struct topic_table table;
    struct place root; /* last: it ends in its name, which is empty */
};

static bool is_message(uint64_t state)
{
    return (state & 1) == 0;
}

static struct message *message_of(uint64_t state)
{
    return (struct message *)(uintptr_t)state;
}

static uint64_t number_of(uint64_t state)
{
    return is_message(state) ? message_of(state)->stored.number : state >> 1;
}

static struct place *place_of(const struct topic_node *node)
{
    return (struct place *)(uintptr_t)node;
}

struct retained *retained_new(const struct hash_key *key)
{
    struct retained *retained = calloc(1, sizeof *retained);
    if (retained == NULL)
        return NULL;
    retained->removal_limit = REMOVALS_KEPT;
    pthread_mutex_init(&retained->lock, NULL);
    topic_table_init(&retained->table, key, offsetof(struct place, name));
    retained->root.node.hash = retained->table.key.secret[0];
    atomic_init(&retained->root.state, NEVER);
    return retained;
}

static void free_place_and_message(struct topic_node *node)
{
    struct place *place = place_of(node);
    uint64_t state = atomic_load_explicit(&place->state, memory_order_acquire);
    if (is_message(state))
        message_drop(message_of(state), 1);
    pointer_list_fini(&place->children);
    free(place);
}

void retained_free(struct retained *retained)
{
    if (retained == NULL)
        return;
    topic_table_fini(&retained->table, free_place_and_message);
    pointer_list_fini(&retained->root.children);
    pthread_mutex_destroy(&retained->lock);
    free(retained->removals);
    free(retained);
}

uint64_t retained_count(const struct retained *retained)
{
    return atomic_load_explicit(&retained->count, memory_order_relaxed);
}

/* ---- Places ---- */

static struct place *child_of(const struct retained *retained, const struct place *place,
                              struct bytes level)
{
    return place_of(topic_table_find(&retained->table, &place->node, level,
                                     topic_hash(&retained->table.key, level)));
}

static struct place *find(const struct retained *retained, struct bytes topic)
{
    const struct place *place = &retained->root;
    struct bytes level;
    bool more;
    do {
        more = topic_next_level(&topic, &level);
        place = child_of(retained, place, level);
    } while (more && place != NULL);
    return (struct place *)(uintptr_t)place;
}

static void set_slot(void *item, uint32_t slot)
{
    ((struct place *)item)->node.slot = slot;
}

/* Removes places that say nothing, from `place` upwards. Under the lock. */
static void prune(struct retained *retained, struct place *place)
{
    while (place != &retained->root && place->queued == 0 && pointer_list_empty(&place->children)) {
        uint64_t state = atomic_load_explicit(&place->state, memory_order_relaxed);
        if (is_message(state) ||
            !atomic_compare_exchange_strong_explicit(&place->state, &state, GONE,
                                                     memory_order_acq_rel, memory_order_relaxed))
            return;
        struct place *parent = place_of(place->node.parent);
        topic_table_remove(&retained->table, &place->node);
        pointer_list_remove(&parent->children, place->node.slot, set_slot);
        reclaim_defer(free, place);
        place = parent;
    }
}

static struct place *attach_new(struct retained *retained, struct place *parent, struct bytes level)
{
    struct place *place = malloc(sizeof *place + level.size);
    if (place == NULL)
        return NULL;
    memset(place, 0, sizeof *place);
    place->node.parent = &parent->node;
    place->node.name_size = (uint16_t)level.size;
    atomic_init(&place->state, NEVER);
    put_bytes(place->name, level);
    if (topic_table_insert(&retained->table, &place->node) != STATUS_OK) {
        free(place);
        return NULL;
    }
    if (pointer_list_add(&parent->children, place, set_slot) != STATUS_OK) {
        topic_table_remove(&retained->table, &place->node);
        reclaim_defer(free, place);
        return NULL;
    }
    return place;
}

/* Under the lock. NULL: no memory, nothing is left behind. */
static struct place *find_or_make(struct retained *retained, struct bytes topic)
{
    struct place *place = &retained->root;
    struct bytes level;
    bool more;
    do {
        more = topic_next_level(&topic, &level);
        struct place *child = child_of(retained, place, level);
        if (child == NULL)
            child = attach_new(retained, place, level);
        if (child == NULL) {
            prune(retained, place);
            return NULL;
        }
        place = child;
    } while (more);
    return place;
}

/* ---- Setting ---- */

enum outcome { DONE, CLOSED };

static void drop(void *message)
{
    message_drop(message, 1);
}

/* Replaces the state unless a higher number is there. A message's reference goes with it. */
static enum outcome decide(struct retained *retained, struct place *place, uint64_t state,
                           uint64_t number, bool *out_won)
{
    uint64_t before = atomic_load_explicit(&place->state, memory_order_acquire);
    do {
        *out_won = false;
        if (before == GONE)
            return CLOSED;
        if (number_of(before) > number)
            return DONE;
    } while (!atomic_compare_exchange_weak_explicit(&place->state, &before, state,
                                                    memory_order_acq_rel, memory_order_acquire));
    *out_won = true;
    if (is_message(before))
        reclaim_defer(drop, message_of(before));
    if (is_message(state) && !is_message(before))
        atomic_fetch_add_explicit(&retained->count, 1, memory_order_relaxed);
    if (!is_message(state) && is_message(before))
        atomic_fetch_sub_explicit(&retained->count, 1, memory_order_relaxed);
    return DONE;
}

static enum status set_message(struct retained *retained, struct message *message)
{
    uint64_t state = (uintptr_t)message, number = message->stored.number;
    bool won = false;
    CHECK(is_message(state));
    message_hold(message, 1);
    struct place *place = find(retained, message->stored.topic);
    if (place == NULL || decide(retained, place, state, number, &won) == CLOSED) {
        pthread_mutex_lock(&retained->lock);
        place = find_or_make(retained, message->stored.topic);
        enum outcome outcome = DONE;
        if (place != NULL)
            outcome = decide(retained, place, state, number, &won);
        pthread_mutex_unlock(&retained->lock);
        CHECK(outcome == DONE); /* nothing closes a place but the holder of the lock */
    }
    if (!won)
        message_drop(message, 1);
    return place != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static struct place **removal_at(const struct retained *retained, uint32_t i)
{
    return &retained->removals[(retained->removal_first + i) % retained->removal_capacity];
}

static void forget_oldest_removal(struct retained *retained)
{
    struct place *oldest = *removal_at(retained, 0);
    retained->removal_first = (retained->removal_first + 1) % retained->removal_capacity;
    retained->removal_count--;
    oldest->queued--;
    prune(retained, oldest);
}

static enum status make_room_for_removal(struct retained *retained)
{
    while (retained->removal_count >= retained->removal_limit)
        forget_oldest_removal(retained);
    if (retained->removal_count < retained->removal_capacity)
        return STATUS_OK;
    uint32_t capacity = retained->removal_capacity == 0 ? 64 : retained->removal_capacity * 2;
    struct place **removals = malloc(capacity * sizeof *removals);
    if (removals == NULL)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < retained->removal_count; i++)
        removals[i] = *removal_at(retained, i);
    free(retained->removals);
    retained->removals = removals;
    retained->removal_first = 0;
    retained->removal_capacity = capacity;
    return STATUS_OK;
}

void retained_limit_removals(struct retained *retained, uint32_t limit)
{
    CHECK(limit > 0);
    pthread_mutex_lock(&retained->lock);
    retained->removal_limit = limit;
    pthread_mutex_unlock(&retained->lock);
}

static enum status set_removal(struct retained *retained, const struct message *message)
{
    uint64_t number = message->stored.number;
    CHECK(number < GONE >> 1);
    pthread_mutex_lock(&retained->lock);
    enum status status = make_room_for_removal(retained);
    struct place *place =
        status == STATUS_OK ? find_or_make(retained, message->stored.topic) : NULL;
    if (place == NULL) {
        status = STATUS_NO_MEMORY;
    } else {
        uint64_t state = number << 1 | 1;
        bool won;
        CHECK(decide(retained, place, state, number, &won) == DONE);
        if (won) {
            retained->removal_count++;
            *removal_at(retained, retained->removal_count - 1) = place;
            place->queued++;
        }
    }
    pthread_mutex_unlock(&retained->lock);
    return status;
}

enum status retained_set(struct retained *retained, struct message *message)
{
    if (message->stored.payload.size == 0)
        return set_removal(retained, message);
    return set_message(retained, message);
}

/* ---- One topic ---- */

static uint64_t state_of(const struct retained *retained, struct bytes topic)
{
    const struct place *place = find(retained, topic);
    return place != NULL ? atomic_load_explicit(&place->state, memory_order_acquire) : NEVER;
}

bool retained_is_current(const struct retained *retained, const struct message *message)
{
    return state_of(retained, message->stored.topic) == (uintptr_t)message;
}

uint64_t retained_number(const struct retained *retained, struct bytes topic)
{
    uint64_t state = state_of(retained, topic);
    return state != GONE ? number_of(state) : 0;
}

/* ---- Matching ---- */

/* A place whose children are being walked. */
struct walk {
    struct pointer_view children;
    uint32_t next;
    struct bytes rest; /* of the filter, for the children; "#" goes on as it is */
};

struct walker {
    const struct retained *retained;
    void (*visit)(void *context, struct message *message);
    void *context;
    struct walk *stack;
    uint32_t count, capacity;
    struct walk first[16];
};

static void visit_place(struct walker *walker, const struct place *place)
{
    uint64_t state = atomic_load_explicit(&place->state, memory_order_acquire);
    if (is_message(state))
        walker->visit(walker->context, message_of(state));
}

static void push(struct walker *walker, const struct place *place, struct bytes rest)
{
    struct walk walk = {.children = pointer_list_view(&place->children), .rest = rest};
    if (walk.children.count == 0)
        return;
    if (walker->count == walker->capacity) {
        size_t size = walker->capacity * sizeof *walker->stack;
        struct walk *stack = malloc(2 * size);
        if (stack == NULL) {
            log_line(LOG_ERROR, "out of memory: some retained messages were not sent to a new "
                                "subscription");
            return;
        }
        memcpy(stack, walker->stack, size);
        if (walker->stack != walker->first)
            free(walker->stack);
        walker->stack = stack;
        walker->capacity *= 2;
    }
    walker->stack[walker->count++] = walk;
}

/* Goes down by literal levels as far as they reach, then leaves the rest to the stack. */
static void descend(struct walker *walker, const struct place *place, struct bytes filter)
{
    for (;;) {
        struct bytes rest = filter, level;
        bool more = topic_next_level(&rest, &level);
        if (topic_level_is(level, '#')) {
            if (place != &walker->retained->root) /* "sport/#" matches "sport" */
                visit_place(walker, place);
            push(walker, place, filter);
            return;
        }
        if (topic_level_is(level, '+')) {
            push(walker, place, filter);
            return;
        }
        place = child_of(walker->retained, place, level);
        if (place == NULL)
            return;
        if (!more) {
            visit_place(walker, place);
            return;
        }
        filter = rest;
    }
}

/* One child of a place that a wildcard stands for. */
static void step(struct walker *walker, const struct place *child, struct bytes filter)
{
    struct bytes rest = filter, level;
    bool more = topic_next_level(&rest, &level);
    if (topic_level_is(level, '#')) {
        visit_place(walker, child);
        push(walker, child, filter);
    } else if (!more) {
        visit_place(walker, child);
    } else {
        descend(walker, child, rest);
    }
}

static const struct place *only_child(const struct place *place)
{
    struct pointer_view view = pointer_list_view(&place->children);
    return view.array == NULL ? view.only : NULL;
}

static void prefetch_message(const struct place *place)
{
    uint64_t state = atomic_load_explicit(&place->state, memory_order_relaxed);
    if (!is_message(state))
        return;
    __builtin_prefetch(message_of(state));
    __builtin_prefetch((const char *)message_of(state) + 64);
}

/* Fetches what later turns of a walk over many children will touch, each from what an earlier one
 * has fetched: the child; its message and its only child; that one's message. Halves the time of a
 * walk over a million topics. */
static void look_ahead(const struct walk *walk)
{
    enum { CHILD = 12, BELOW = 8, BELOW_MESSAGE = 4 };
    if (walk->children.array == NULL || walk->next + CHILD >= walk->children.count)
        return;
    const struct place *place = pointer_view_at(&walk->children, walk->next + CHILD);
    if (place != NULL) {
        __builtin_prefetch(place);
        __builtin_prefetch(&place->children);
    }
    if (!topic_level_is(walk->rest, '#'))
        return; /* not all that is below is visited */
    place = pointer_view_at(&walk->children, walk->next + BELOW);
    if (place != NULL) {
        prefetch_message(place);
        __builtin_prefetch(only_child(place));
    }
    place = pointer_view_at(&walk->children, walk->next + BELOW_MESSAGE);
    place = place != NULL ? only_child(place) : NULL;
    if (place != NULL)
        prefetch_message(place);
}

void retained_match(struct retained *retained, struct bytes filter,
                    void (*visit)(void *context, struct message *message), void *context)
{
    struct walker walker = {
        .retained = retained,
        .visit = visit,
        .context = context,
        .capacity = sizeof walker.first / sizeof walker.first[0],
    };
    walker.stack = walker.first;
    descend(&walker, &retained->root, filter);
    while (walker.count > 0) {
        struct walk *top = &walker.stack[walker.count - 1];
        if (top->next == top->children.count) {
            walker.count--;
            continue;
        }
        look_ahead(top);
        const struct place *child = pointer_view_at(&top->children, top->next++);
        if (child == NULL)
            continue;
        /* No leading wildcard matches a topic that begins with $ [MQTT-4.7.2-1]. */
        if (child->node.parent == &retained->root.node && child->node.name_size > 0 &&
            child->name[0] == '$')
            continue;
        step(&walker, child, top->rest);
    }
    if (walker.stack != walker.first)
        free(walker.stack);
}
