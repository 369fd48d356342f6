/* The cache of routes: what it may remember and how much. With TOPIC_INDEX_BENCH set it also prints
 * what finding a route costs. */
#include "routing/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/index_testing.h"
#include "routing/reclaim.h"
#include "routing/topic_index.h"

static const struct hash_key KEY = {5, 6};

static int setup(void **state)
{
    reclaim_thread_register();
    return 0;
}

static int teardown(void **state)
{
    reclaim_barrier();
    reclaim_thread_unregister();
    return 0;
}

static struct topic_index_entry *add(struct topic_index *index, const char *filter,
                                     uintptr_t number)
{
    struct subscriber s = {.session = (void *)(number * 16), .incarnation = number};
    struct topic_index_entry *entry;
    uint64_t version;
    assert_int_equal(
        topic_index_add(index, bytes_of(NULL, 0), bytes_of_text(filter), &s, &entry, &version),
        STATUS_OK);
    return entry;
}

static const struct route *find(struct route_cache *cache, const char *topic)
{
    const struct route *route = route_find(cache, bytes_of_text(topic));
    assert_non_null(route);
    return route;
}

static void routes_to_many_do_not_grow_memory_without_bound(void **state)
{
    struct topic_index *index = topic_index_new(&KEY);
    struct route_cache *cache = route_cache_new(index, 1024);
    for (uintptr_t i = 1; i <= 2000; i++)
        add(index, "many/#", i);
    size_t before, now, most = 0;
    bool measured = index_testing_heap(&before);
    for (unsigned i = 0; i < 1000; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "many/%u", i);
        assert_int_equal(find(cache, topic)->target_count, 2000);
        if (measured && index_testing_heap(&now) && now > most)
            most = now;
    }
    if (measured)
        assert_true(most < before + (16 << 20)); /* all of them: 80 MB */
    route_cache_free(cache);
    topic_index_free(index);
}

static void route_larger_than_the_cache_is_remembered(void **state)
{
    struct topic_index *index = topic_index_new(&KEY);
    struct route_cache *cache = route_cache_new(index, 1);
    for (uintptr_t i = 1; i <= 300000; i++)
        add(index, "huge", i);
    const struct route *route = find(cache, "huge");
    assert_int_equal(route->target_count, 300000);
    assert_ptr_equal(find(cache, "huge"), route);
    route_cache_free(cache);
    topic_index_free(index);
}

static void route_outlives_changes_that_do_not_concern_it(void **state)
{
    struct topic_index *index = topic_index_new(&KEY);
    struct route_cache *cache = route_cache_new(index, 16);
    add(index, "a/b", 1);
    const struct route *route = find(cache, "a/b");
    static const char *const others[] = {"a/c", "a", "a/b/c", "a/b/+", "+", "+/c/#", "b/#"};
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        topic_index_remove(index, add(index, others[i], 2));
    assert_ptr_equal(find(cache, "a/b"), route);
    static const char *const same[] = {"a/b", "a/+", "+/+", "#", "a/#", "a/b/#", "+/b"};
    for (unsigned i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct topic_index_entry *entry = add(index, same[i], 2);
        assert_int_equal(find(cache, "a/b")->target_count, 2);
        topic_index_change(index, entry, 2, 0);
        assert_int_equal(find(cache, "a/b")->targets[1].qos, 2);
        topic_index_remove(index, entry);
        assert_int_equal(find(cache, "a/b")->target_count, 1);
    }
    route_cache_free(cache);
    topic_index_free(index);
}

static void route_tells_the_version_it_is_of(void **state)
{
    struct topic_index *index = topic_index_new(&KEY);
    struct route_cache *cache = route_cache_new(index, 16);
    struct subscriber s = {.session = (void *)16, .incarnation = 1};
    struct topic_index_entry *entry;
    uint64_t version;
    uint64_t before = find(cache, "a/b")->version;
    assert_int_equal(
        topic_index_add(index, bytes_of(NULL, 0), bytes_of_text("a/+"), &s, &entry, &version),
        STATUS_OK);
    assert_true(before < version);
    assert_int_equal(find(cache, "a/b")->version, version);
    add(index, "c", 2);
    assert_int_equal(find(cache, "a/b")->version, version + 1); /* kept, and right for that too */
    assert_int_equal(topic_index_change(index, entry, 1, 0), version + 2);
    assert_int_equal(find(cache, "a/b")->version, version + 2);
    route_cache_free(cache);
    topic_index_free(index);
}

static void change_that_is_no_longer_remembered_is_noticed(void **state)
{
    /* Large enough to be checked against more changes than are kept. */
    enum { SUBSCRIBERS = 2500 };
    for (unsigned changes = 1000; changes < 1050; changes += 2) {
        struct topic_index *index = topic_index_new(&KEY);
        struct route_cache *cache = route_cache_new(index, 16);
        for (uintptr_t i = 1; i <= SUBSCRIBERS; i++)
            add(index, "a/b", i);
        const struct route *route = find(cache, "a/b");
        for (unsigned i = 0; i < 400; i++)
            topic_index_remove(index, add(index, "c/d", 2));
        assert_ptr_equal(find(cache, "a/b"), route);
        add(index, "a/b", SUBSCRIBERS + 1);
        for (unsigned i = 0; i < changes; i += 2)
            topic_index_remove(index, add(index, "c/d", 2));
        assert_int_equal(find(cache, "a/b")->target_count, SUBSCRIBERS + 1);
        route_cache_free(cache);
        topic_index_free(index);
        reclaim_quiescent();
    }
}

static void change_of_a_long_or_deep_filter_is_noticed(void **state)
{
    struct topic_index *index = topic_index_new(&KEY);
    struct route_cache *cache = route_cache_new(index, 16);
    for (unsigned size = 1; size < 300; size++) {
        char wide[300], deep[300], mixed[300];
        memset(wide, 'x', size);
        memset(deep, '/', size);
        for (unsigned i = 0; i < size; i++)
            mixed[i] = i % 7 == 3 ? '/' : 'y';
        wide[size] = deep[size] = mixed[size] = '\0';
        const char *const all[] = {wide, deep, mixed};
        for (unsigned i = 0; i < 3; i++) {
            find(cache, all[i]);
            struct topic_index_entry *entry = add(index, all[i], 1);
            /* Another one makes nodes of the first one's levels. */
            struct topic_index_entry *other = add(index, i == 1 ? "///////#" : "+/#", 2);
            uint32_t both = find(cache, all[i])->target_count;
            topic_index_change(index, entry, 1, 0);
            assert_int_equal(find(cache, all[i])->targets[0].qos, 1);
            topic_index_remove(index, entry);
            assert_int_equal(find(cache, all[i])->target_count, both - 1);
            topic_index_remove(index, other);
            assert_int_equal(find(cache, all[i])->target_count, 0);
        }
    }
    route_cache_free(cache);
    topic_index_free(index);
}

/* ---- What it costs ---- */

static void print_cost(const char *what, double start, unsigned count)
{
    print_message("  %-48s %7.1f ns\n", what, (index_testing_seconds() - start) * 1e9 / count);
}

enum { TOPICS = 1000 };
static char topics[TOPICS][40];

static void find_often(struct topic_index *index, uint32_t capacity, unsigned spread,
                       unsigned count, const char *what)
{
    struct route_cache *cache = route_cache_new(index, capacity);
    uint64_t targets = 0;
    for (unsigned i = 0; i < spread; i++)
        find(cache, topics[i]);
    double start = index_testing_seconds();
    for (unsigned i = 0; i < count; i++) {
        const char *topic = topics[i % spread];
        targets += route_find(cache, bytes_of(topic, 30))->target_count;
    }
    print_cost(what, start, count);
    assert_true(targets >= count);
    route_cache_free(cache);
}

static void bench(uint32_t subscriptions)
{
    struct topic_index *index = topic_index_new(&KEY);
    /* Ten match each topic; the others share its beginning with it. */
    static const char *const matching[] = {"#",
                                           "fleet/#",
                                           "fleet/+/+/state",
                                           "+/+/+/state",
                                           "+/site0042/#",
                                           "fleet/site0042/#",
                                           "fleet/site0042/+/state",
                                           "fleet/+/+/+",
                                           "fleet/site0042/+/+",
                                           "+/+/+/+"};
    for (uintptr_t i = 0; i < 10; i++)
        add(index, matching[i], i + 1);
    for (uint32_t i = 10; i < subscriptions; i++) {
        char filter[64];
        snprintf(filter, sizeof filter,
                 i % 2 ? "fleet/site%04u/other%u/state" : "fleet/+/other%u/#", i % 100, i);
        add(index, filter, i + 1);
        if (i % 64 == 0)
            reclaim_quiescent();
    }
    for (unsigned i = 0; i < TOPICS; i++)
        snprintf(topics[i], sizeof topics[i], "fleet/site0042/device%03u/state", i);
    print_message("%u subscriptions, ten match, topics of %zu bytes:\n", subscriptions,
                  strlen(topics[0]));
    find_often(index, 4096, 1, 20000000, "remembered, one topic");
    find_often(index, 4096, TOPICS, 20000000, "remembered, 1,000 topics");
    find_often(index, 1, TOPICS, 1000000, "matched anew");

    struct route_cache *cache = route_cache_new(index, 4096);
    double start = index_testing_seconds();
    for (unsigned i = 0; i < 200000; i++) {
        topic_index_remove(index, add(index, "fleet/site0042/another/state", 1));
        if (i % 64 == 0)
            reclaim_quiescent();
    }
    print_cost("subscribe or unsubscribe", start, 400000);
    double finding = 0;
    for (unsigned i = 0; i < 200000; i++) {
        add(index, "fleet/site0042/another/state", i);
        if (i % 8 == 0) {
            double before = index_testing_seconds();
            find(cache, topics[0]);
            finding += index_testing_seconds() - before;
        }
        if (i % 64 == 0)
            reclaim_quiescent();
    }
    print_cost("found after 8 changes that do not concern it", index_testing_seconds() - finding,
               25000);
    route_cache_free(cache);
    topic_index_free(index);
}

static void cost_does_not_depend_on_what_does_not_match(void **state)
{
    if (getenv("TOPIC_INDEX_BENCH") == NULL)
        skip(); /* takes half a minute */
    bench(10);
    bench(1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_to_many_do_not_grow_memory_without_bound),
        cmocka_unit_test(route_larger_than_the_cache_is_remembered),
        cmocka_unit_test(route_outlives_changes_that_do_not_concern_it),
        cmocka_unit_test(route_tells_the_version_it_is_of),
        cmocka_unit_test(change_that_is_no_longer_remembered_is_noticed),
        cmocka_unit_test(change_of_a_long_or_deep_filter_is_noticed),
        cmocka_unit_test(cost_does_not_depend_on_what_does_not_match),
    };
    return cmocka_run_group_tests_name("routing/route", tests, setup, teardown);
}
