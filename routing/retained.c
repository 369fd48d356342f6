/* A tree of topic levels with children that can be walked, so that a filter visits no more than
 * what it matches.
 *
 * A node's state is one word: a message, or "none since number N", so that the higher number wins
 * by compare-and-swap. A removal leaves its number behind while setters that have claimed the topic
 * are under way, because theirs may be lower; the last of them takes the node away, and whoever
 * claims the topic from then on takes a number above it. GONE closes a node for those who found it
 * before it went. */
#include "routing/retained.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "routing/pointer_list.h"
#include "routing/reclaim.h"
#include "routing/topic_table.h"

/* A state is a message's address, or N << 1 | 1. */
enum { NEVER = 1 };
static const uint64_t GONE = UINT64_MAX;

struct place {
    struct topic_node node;
    _Atomic uint64_t state;
    _Atomic uint64_t claimed;     /* the highest number that is set here, or is going to be */
    struct pointer_list children; /* places */
    _Atomic uint32_t claims;      /* under way */
    uint8_t name[];               /* one level */
};

struct retained {
    pthread_mutex_t lock;
    _Atomic uint64_t count;
    _Atomic uint64_t client_count, client_bytes; /* without $SYS */
    _Atomic uint64_t expiring;
    _Atomic uint64_t passed; /* the highest number of a copy, or of a removal without a place */
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
    free(retained);
}

uint64_t retained_count(const struct retained *retained)
{
    return atomic_load_explicit(&retained->count, memory_order_relaxed);
}

struct retained_usage retained_usage(const struct retained *retained)
{
    return (struct retained_usage){
        .messages = atomic_load_explicit(&retained->client_count, memory_order_relaxed),
        .bytes = atomic_load_explicit(&retained->client_bytes, memory_order_relaxed),
    };
}

static void count(struct retained *retained, const struct message *message, bool more)
{
    static const char sys[] = "$SYS/";
    const struct bytes *topic = &message->stored.topic;
    uint64_t one = more ? 1 : UINT64_MAX, bytes = message_bytes(message);
    atomic_fetch_add_explicit(&retained->count, one, memory_order_relaxed);
    if (message->stored.has_expiry)
        atomic_fetch_add_explicit(&retained->expiring, one, memory_order_relaxed);
    if (topic->size >= sizeof sys - 1 && memcmp(topic->data, sys, sizeof sys - 1) == 0)
        return;
    atomic_fetch_add_explicit(&retained->client_count, one, memory_order_relaxed);
    atomic_fetch_add_explicit(&retained->client_bytes, more ? bytes : -bytes, memory_order_relaxed);
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

static void raise(_Atomic uint64_t *highest, uint64_t number)
{
    uint64_t before = atomic_load(highest);
    while (before < number && !atomic_compare_exchange_weak(highest, &before, number))
        continue;
}

/* Makes a place that has no message, and that nobody has a claim on, GONE. Under the lock.
 * Whoever claims raises `claims` and then looks at the state; this is the other way round. */
static bool close_place(struct retained *retained, struct place *place)
{
    uint64_t state = atomic_load(&place->state);
    if (state == GONE || is_message(state) ||
        !atomic_compare_exchange_strong(&place->state, &state, GONE))
        return false;
#ifndef SEEDED_BUG_CLAIM_FORGOTTEN
    if (atomic_load(&place->claims) > 0) {
        atomic_store(&place->state, state); /* who has found it GONE waits for the lock */
        return false;
    }
#endif
#ifndef SEEDED_BUG_REMOVAL_FORGOTTEN
    raise(&retained->passed, number_of(state));
#endif
    return true;
}

/* Removes places that say nothing, from `place` upwards. Under the lock. */
static void prune(struct retained *retained, struct place *place)
{
    while (place != &retained->root && pointer_list_empty(&place->children) &&
           close_place(retained, place)) {
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

static void mark(uint64_t state, bool current)
{
    if (is_message(state))
        atomic_store_explicit(&message_of(state)->current, current, memory_order_relaxed);
}

/* Replaces the state unless a higher number is there. A message's reference goes with it.
 *
 * Who is current is marked before the exchange. So whoever finds a higher number there, and tells
 * others of its own message, tells them behind the mark of what both replace. An exchange that
 * fails has found another state, and what was there before never comes back. */
static enum outcome decide(struct retained *retained, struct place *place, uint64_t state,
                           uint64_t number, bool *out_won)
{
    uint64_t before = atomic_load_explicit(&place->state, memory_order_acquire);
    mark(state, true);
    do {
        *out_won = false;
        if (before == GONE)
            return CLOSED;
        if (before == state)
            return DONE;
        if (number_of(before) > number) {
            mark(state, false);
            return DONE;
        }
        mark(before, false);
    } while (!atomic_compare_exchange_weak_explicit(&place->state, &before, state,
                                                    memory_order_acq_rel, memory_order_acquire));
    *out_won = true;
    if (is_message(state))
        count(retained, message_of(state), true);
    if (is_message(before)) {
        count(retained, message_of(before), false);
        reclaim_defer(drop, message_of(before));
    }
    return DONE;
}

/* The place of the topic, with this state or that of a higher number. NULL: no memory. */
static struct place *set_state(struct retained *retained, const struct message *message,
                               uint64_t state, bool *out_won)
{
    uint64_t number = message->stored.number;
    struct place *place = find(retained, message->stored.topic);
    if (place != NULL && decide(retained, place, state, number, out_won) == DONE)
        return place;
    pthread_mutex_lock(&retained->lock);
    place = find_or_make(retained, message->stored.topic);
    if (place != NULL) /* nothing closes it but the holder of the lock */
        CHECK(decide(retained, place, state, number, out_won) == DONE);
    pthread_mutex_unlock(&retained->lock);
    return place;
}

/* After the last claim, a place without a message goes. */
static void leave(struct retained *retained, struct place *place, bool claimed)
{
    uint32_t claims =
        claimed ? atomic_fetch_sub(&place->claims, 1) - 1 : atomic_load(&place->claims);
    if (claims > 0 || is_message(atomic_load(&place->state)))
        return;
    pthread_mutex_lock(&retained->lock);
    prune(retained, place);
    pthread_mutex_unlock(&retained->lock);
}

static enum status set_message(struct retained *retained, struct message *message, bool claimed)
{
    bool won = false;
    CHECK(is_message((uintptr_t)message));
    message_hold(message, 1);
    struct place *place = set_state(retained, message, (uintptr_t)message, &won);
    if (!won)
        message_drop(message, 1);
    if (place == NULL) {
        mark((uintptr_t)message, false);
        return STATUS_NO_MEMORY;
    }
    leave(retained, place, claimed);
    return STATUS_OK;
}

static enum status set_removal(struct retained *retained, const struct message *message,
                               bool claimed)
{
    uint64_t number = message->stored.number;
    bool won;
    CHECK(number < GONE >> 1);
    struct place *place = set_state(retained, message, number << 1 | 1, &won);
    if (place == NULL)
        return STATUS_NO_MEMORY;
    leave(retained, place, claimed);
    return STATUS_OK;
}

/* ---- Expiry ---- */

struct expiry {
    struct retained *retained;
    int64_t store_now_ms;
    void (*removed)(void *context, const struct message *message);
    void *context;
};

/* A removal with the message's own number: what has replaced it meanwhile has a higher one. */
static void expire_place(void *context, struct topic_node *node)
{
    struct expiry *expiry = context;
    uint64_t state = atomic_load_explicit(&place_of(node)->state, memory_order_acquire);
    if (!is_message(state) || !message_expired(message_of(state), expiry->store_now_ms))
        return;
    const struct message *message = message_of(state); /* stays until this thread is quiescent */
    if (set_removal(expiry->retained, message, false) == STATUS_OK)
        expiry->removed(expiry->context, message);
}

uint64_t retained_expiring(const struct retained *retained)
{
    return atomic_load_explicit(&retained->expiring, memory_order_relaxed);
}

void retained_expire(struct retained *retained, uint64_t *cursor, uint32_t places,
                     int64_t store_now_ms,
                     void (*removed)(void *context, const struct message *message), void *context)
{
    struct expiry expiry = {retained, store_now_ms, removed, context};
    topic_table_walk(&retained->table, cursor, places, expire_place, &expiry);
}

/* ---- All of them, in slices ---- */

struct slice {
    void (*visit)(void *context, struct message *message);
    void *context;
};

static void visit_in_slice(void *context, struct topic_node *node)
{
    const struct slice *slice = context;
    uint64_t state = atomic_load_explicit(&place_of(node)->state, memory_order_acquire);
    if (is_message(state))
        slice->visit(slice->context, message_of(state));
}

void retained_walk(const struct retained *retained, uint64_t *cursor, uint32_t places,
                   void (*visit)(void *context, struct message *message), void *context)
{
    struct slice slice = {visit, context};
    topic_table_walk(&retained->table, cursor, places, visit_in_slice, &slice);
}

/* ---- Claims and copies ---- */

/* Whoever claims raises `claimed` and then looks at `passed`; whoever copies raises `passed` and
 * then looks at `claimed`: sequentially consistent, so one of them at least sees the other. */

/* Has the topic's place stay until the message is set. Where there is no memory for a place there
 * is nothing that could be copied either. */
static struct place *take_place(struct retained *retained, struct bytes topic)
{
    struct place *place = find(retained, topic);
    if (place != NULL) {
        atomic_fetch_add(&place->claims, 1);
        if (atomic_load(&place->state) != GONE)
            return place;
        atomic_fetch_sub(&place->claims, 1);
    }
    pthread_mutex_lock(&retained->lock);
    place = find_or_make(retained, topic);
    if (place != NULL)
        atomic_fetch_add(&place->claims, 1);
    pthread_mutex_unlock(&retained->lock);
    return place;
}

bool retained_claim(struct retained *retained, struct message *message, uint64_t number)
{
    struct bytes topic = message->stored.topic;
    struct place *place = message->claimed ? find(retained, topic) : take_place(retained, topic);
    if (place != NULL) {
        message->claimed = true;
        raise(&place->claimed, number);
    }
#ifdef SEEDED_BUG_COPIES_IGNORED
    return true;
#endif
    return atomic_load(&retained->passed) < number;
}

bool retained_copy(struct retained *retained, const struct message *message, uint64_t number,
                   uint64_t *out_claimed)
{
    raise(&retained->passed, number);
    const struct place *place = find(retained, message->stored.topic);
    *out_claimed = place != NULL ? atomic_load(&place->claimed) : 0;
#ifdef SEEDED_BUG_CLAIMS_IGNORED
    return true;
#endif
    return *out_claimed <= message->stored.number;
}

enum status retained_set(struct retained *retained, struct message *message)
{
    bool claimed = message->claimed;
    message->claimed = false;
    if (message->stored.payload.size == 0)
        return set_removal(retained, message, claimed);
    return set_message(retained, message, claimed);
}

/* ---- One topic ---- */

static uint64_t state_of(const struct retained *retained, struct bytes topic)
{
    const struct place *place = find(retained, topic);
    return place != NULL ? atomic_load_explicit(&place->state, memory_order_acquire) : NEVER;
}

bool retained_has(const struct retained *retained, struct bytes topic)
{
    return is_message(state_of(retained, topic));
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
