/* Readers against writers, for ThreadSanitizer above all. Every subscription has two
 * counters, raised before and after it is added or removed: while both are equal a route either
 * must or must not hold it; where it was added meanwhile, the versions say. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/index_testing.h"
#include "routing/reclaim.h"
#include "routing/topic_index.h"

enum { WRITERS = 2, READERS = 2, PER_WRITER = 96, COUNT = WRITERS * PER_WRITER };

static const struct hash_key KEY = {1, 2};

/* Few names, so that they split, join, share and empty each other's nodes all the time. */
static const struct {
    const char *share_name, *filter;
} SHAPES[] = {
    {"", "a/b/c"},  {"", "a/b/d"},  {"", "a/+/c"}, {"", "a/#"},       {"", "#"},   {"", "+/b/#"},
    {"g", "a/b/c"}, {"h", "a/+/c"}, {"g", "a/b"},  {"", "a/b/c/d/e"}, {"", "a/b"}, {"", "x/y/z"},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };

static const char *const TOPICS[] = {"a/b/c", "a/b/d", "a/b", "a", "a/b/c/d/e", "x/y/z", "x/b/z"};
enum { TOPIC_COUNT = sizeof TOPICS / sizeof TOPICS[0] };

static bool matches(unsigned shape, unsigned topic)
{
    static const char *const table[SHAPE_COUNT] = {
        /* by the order of TOPICS */
        "1000000", "0100000", "1000000", "1111100", "1111111", "1110101",
        "1000000", "1000000", "0010000", "0000100", "0010000", "0000010",
    };
    return table[shape][topic] == '1';
}

static struct topic_index *tested_index;
static _Atomic uint64_t presence[COUNT]; /* raised before each addition and removal; odd: there */
static _Atomic uint64_t settled[COUNT];  /* raised after it */
static _Atomic uint64_t made[COUNT];     /* the version that its addition made */
static _Atomic int writers_left;
static _Atomic uint64_t seen_meanwhile; /* what was added while a reader looked */
static _Atomic int readers_behind;      /* have not seen enough */

/* However seldom a busy machine lets readers run: writers go on until they have. */
static bool readers_have_enough(void)
{
    return atomic_load(&readers_behind) == 0 && atomic_load(&seen_meanwhile) > 0;
}

/* The identifier says what the options are, so that half a change would show. */
static uint32_t identifier_for(uint8_t options)
{
    return 1000u + options;
}

/* Many names at once, so that tables grow and shrink under the readers. */
static void add_and_remove_many(unsigned writer)
{
    enum { MANY = 4000 };
    static struct topic_index_entry *entries[WRITERS][MANY];
    for (unsigned i = 0; i < MANY; i++) {
        char filter[32];
        snprintf(filter, sizeof filter, "many/%u/%u", writer, i);
        struct subscriber s = {.session = (void *)16, .incarnation = 1};
        uint64_t version;
        if (topic_index_add(tested_index, bytes_of(NULL, 0), bytes_of_text(filter), &s,
                            &entries[writer][i], &version) != STATUS_OK)
            abort();
    }
    for (unsigned i = 0; i < MANY; i++)
        topic_index_remove(tested_index, entries[writer][i]);
}

static void *write_all_the_time(void *context)
{
    unsigned writer = (unsigned)(uintptr_t)context;
    uint64_t random = writer + 1;
    struct topic_index_entry *entries[PER_WRITER] = {0};
    reclaim_thread_register();
    for (unsigned turn = 0; turn < 30000 || !readers_have_enough(); turn++) {
        unsigned k = index_testing_draw(&random, PER_WRITER), i = writer * PER_WRITER + k;
        unsigned shape = i % SHAPE_COUNT;
        uint8_t options = (uint8_t)index_testing_draw(&random, 3);
        uint64_t value = atomic_load(&presence[i]);
        if (entries[k] == NULL) {
            struct subscriber s = {.session = (void *)(uintptr_t)((i + 1) * 16u),
                                   .incarnation = i + 1,
                                   .subscription_identifier = identifier_for(options),
                                   .home = (uint16_t)(i % 3),
                                   .options = options};
            uint64_t version;
            atomic_store(&presence[i], value + 1);
            if (topic_index_add(tested_index, bytes_of_text(SHAPES[shape].share_name),
                                bytes_of_text(SHAPES[shape].filter), &s, &entries[k],
                                &version) != STATUS_OK)
                abort();
            atomic_store(&made[i], version);
            atomic_store(&settled[i], value + 1);
        } else if (index_testing_draw(&random, 3) == 0) {
            topic_index_change(tested_index, entries[k], options, identifier_for(options));
        } else {
            atomic_store(&presence[i], value + 1);
            topic_index_remove(tested_index, entries[k]);
            entries[k] = NULL;
            atomic_store(&settled[i], value + 1);
        }
        reclaim_quiescent();
        if (turn % 4096 == 0)
            add_and_remove_many(writer);
    }
    for (unsigned k = 0; k < PER_WRITER; k++) {
        unsigned i = writer * PER_WRITER + k;
        atomic_fetch_add(&presence[i], 1);
        if (entries[k] != NULL)
            topic_index_remove(tested_index, entries[k]);
    }
    atomic_fetch_sub(&writers_left, 1);
    reclaim_thread_unregister();
    return NULL;
}

static void see(bool *seen, const void *session, uint64_t incarnation, uint16_t home)
{
    unsigned i = (unsigned)((uintptr_t)session / 16 - 1);
    if (i >= COUNT || incarnation != i + 1 || home != i % 3 || seen[i])
        abort();
    seen[i] = true;
}

static void check_route(const struct route *route, bool *seen)
{
    for (uint32_t j = 0; j < route->target_count; j++) {
        const struct route_target *t = &route->targets[j];
        see(seen, t->session, t->incarnation, t->home);
        if (t->subscription_identifier_count != 1 ||
            t->subscription_identifiers[0] != identifier_for(t->qos))
            abort();
    }
    for (uint32_t g = 0; g < route->group_count; g++)
        for (uint32_t j = 0; j < route->groups[g].count; j++) {
            const struct subscriber *s = &route->groups[g].members[j];
            see(seen, s->session, s->incarnation, s->home);
            if (s->subscription_identifier != identifier_for(s->options))
                abort();
        }
}

/* What has been added since the reader looked is in the route if its version says so. */
static bool added_meanwhile(unsigned i, uint64_t before, uint64_t *out_version)
{
    if (before % 2 == 1 || atomic_load(&presence[i]) != before + 1)
        return false;
    while (atomic_load(&settled[i]) == before) {
        if (atomic_load(&writers_left) < WRITERS)
            return false; /* at its end a writer settles nothing */
    }
    *out_version = atomic_load(&made[i]);
    return atomic_load(&presence[i]) == before + 1;
}

static void *read_all_the_time(void *context)
{
    enum { ENOUGH = 10000 };
    uint64_t random = 77 + (uint64_t)(uintptr_t)context, certain = 0;
    bool enough = false;
    struct route_cache *cache = route_cache_new(tested_index, 4);
    reclaim_thread_register();
    while (atomic_load(&writers_left) > 0) {
        unsigned topic = index_testing_draw(&random, TOPIC_COUNT);
        uint64_t before[COUNT];
        bool seen[COUNT] = {false};
        for (unsigned i = 0; i < COUNT; i++)
            before[i] = atomic_load(&settled[i]);
        const struct route *route = route_find(cache, bytes_of_text(TOPICS[topic]));
        check_route(route, seen);
        for (unsigned i = 0; i < COUNT; i++) {
            uint64_t version;
            if (added_meanwhile(i, before[i], &version)) {
                atomic_fetch_add(&seen_meanwhile, 1);
                if (seen[i] != (version <= route->version && matches(i % SHAPE_COUNT, topic)))
                    abort();
            }
            if (atomic_load(&presence[i]) != before[i])
                continue; /* a change was under way */
            certain++;
            bool expected = before[i] % 2 == 1 && matches(i % SHAPE_COUNT, topic);
            if (seen[i] != expected)
                abort();
        }
        if (!enough && certain > ENOUGH) {
            enough = true;
            atomic_fetch_sub(&readers_behind, 1);
        }
        if (index_testing_draw(&random, 64) == 0) {
            reclaim_offline();
            reclaim_online();
        } else {
            reclaim_quiescent();
        }
    }
    route_cache_free(cache);
    reclaim_thread_unregister();
    return NULL;
}

static void routes_are_right_while_subscriptions_change(void **state)
{
    tested_index = topic_index_new(&KEY);
    atomic_store(&writers_left, WRITERS);
    atomic_store(&readers_behind, READERS);
    pthread_t writers[WRITERS], readers[READERS];
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, (void *)i), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_all_the_time, (void *)i), 0);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_true(readers_have_enough());
    assert_int_equal(topic_index_count(tested_index), 0);
    topic_index_free(tested_index);
    reclaim_barrier();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_are_right_while_subscriptions_change),
    };
    return cmocka_run_group_tests_name("routing/topic_index stress", tests, NULL, NULL);
}
