#include "routing/topic_index.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/index_testing.h"
#include "routing/reclaim.h"

static const struct hash_key KEY = {0x0123456789abcdef, 0xfedcba9876543210};

static struct topic_index *make_index(void)
{
    struct topic_index *index = topic_index_new(&KEY);
    assert_non_null(index);
    return index;
}

/* Sessions are opaque: numbers do, as multiples of 16 they look like addresses. */
static void *session_of(uintptr_t number)
{
    return (void *)(number * 16);
}

static uintptr_t number_of(const void *session)
{
    return (uintptr_t)session / 16;
}

static struct topic_index_entry *add_shared(struct topic_index *index, const char *share_name,
                                            const char *filter, struct subscriber subscriber)
{
    struct topic_index_entry *entry;
    uint64_t version;
    assert_int_equal(topic_index_add(index, bytes_of_text(share_name), bytes_of_text(filter),
                                     &subscriber, &entry, &version),
                     STATUS_OK);
    return entry;
}

static struct topic_index_entry *add(struct topic_index *index, const char *filter,
                                     uintptr_t number)
{
    return add_shared(index, "", filter,
                      (struct subscriber){.session = session_of(number), .incarnation = 1});
}

static const struct route *find(struct route_cache *cache, const char *topic)
{
    const struct route *route = route_find(cache, bytes_of_text(topic));
    assert_non_null(route);
    return route;
}

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

/* ---- What matches: 5.0 section 4.7, and what follows from its rules ---- */

static const struct {
    const char *filter, *topic;
    bool matches;
} PAIRS[] = {
    /* 4.7.1.2 */
    {"sport/tennis/player1/#", "sport/tennis/player1", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    {"sport/#", "sport", true},
    {"sport/#", "sports", false},
    {"#", "sport/tennis/player1", true},
    {"#", "/", true},
    {"sport/tennis/#", "sport/golf/x", false},
    {"sport/tennis/#", "sport", false},
    /* 4.7.1.3 */
    {"sport/tennis/+", "sport/tennis/player1", true},
    {"sport/tennis/+", "sport/tennis/player2", true},
    {"sport/tennis/+", "sport/tennis/player1/ranking", false},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"+", "sport", true},
    {"+/tennis/#", "sport/tennis", true},
    {"+/tennis/#", "sport/tennis/player1", true},
    {"+/tennis/#", "sport/golf", false},
    {"sport/+/player1", "sport/tennis/player1", true},
    {"sport/+/player1", "sport//player1", true},
    {"sport/+/player1", "sport/player1", false},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"+", "/finance", false},
    {"+/+/+", "/finance", false},
    {"/", "/", true},
    {"+/+", "/", true},
    {"+/", "/", true},
    {"+", "/", false},
    /* 4.7.2 */
    {"#", "$SYS/broker", false},
    {"#", "$x", false},
    {"+", "$x", false},
    {"+/monitor/Clients", "$SYS/monitor/Clients", false},
    {"+/#", "$SYS/monitor/Clients", false},
    {"$SYS/#", "$SYS/monitor/Clients", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    {"$SYS/+/Clients", "$SYS/monitor/Clients", true},
    {"a/#", "a/$b", true},
    {"a/+", "a/$b", true},
    {"+/$b", "a/$b", true},
    /* 4.7.3 */
    {"ACCOUNTS", "Accounts", false},
    {"Accounts payable", "Accounts payable", true},
    {"/finance", "finance", false},
    {"finance", "/finance", false},
    {"finance/", "finance", false},
    {"a//b", "a/b", false},
    {"a//b", "a//b", true},
    {"a/+/b", "a//b", true},
    {"a/#", "a/", true},
    {"a/#", "a//", true},
    {"a/b", "a/b/c", false},
    {"a/b/c", "a/b", false},
    {"a/+/#", "a", false},
    {"a/+/#", "a/b", true},
    {"\xc3\xa9t\xc3\xa9/+", "\xc3\xa9t\xc3\xa9/\xe2\x98\x80", true},
};

enum { PAIR_COUNT = sizeof PAIRS / sizeof PAIRS[0] };

static void examples_of_the_specification_match_alone(void **state)
{
    for (unsigned i = 0; i < PAIR_COUNT; i++) {
        struct topic_index *index = make_index();
        struct route_cache *cache = route_cache_new(index, 16);
        add(index, PAIRS[i].filter, 7);
        const struct route *route = find(cache, PAIRS[i].topic);
        if (route->target_count != PAIRS[i].matches)
            fail_msg("%s, %s", PAIRS[i].filter, PAIRS[i].topic);
        route_cache_free(cache);
        topic_index_free(index);
    }
}

static void examples_of_the_specification_match_together(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 256);
    for (unsigned i = 0; i < PAIR_COUNT; i++)
        add(index, PAIRS[i].filter, i + 1);
    for (unsigned i = 0; i < PAIR_COUNT; i++) {
        const struct route *route = find(cache, PAIRS[i].topic);
        bool matched = false;
        for (uint32_t j = 0; j < route->target_count; j++)
            matched = matched || number_of(route->targets[j].session) == i + 1;
        if (matched != PAIRS[i].matches)
            fail_msg("%s, %s", PAIRS[i].filter, PAIRS[i].topic);
    }
    route_cache_free(cache);
    topic_index_free(index);
}

static void topic_of_the_greatest_length_and_depth_is_matched(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    static char slashes[65536];
    memset(slashes, '/', 65535);
    add(index, slashes, 1);
    add(index, "#", 2);
    add(index, "/+/#", 3);
    assert_int_equal(find(cache, slashes)->target_count, 3);
    slashes[65534] = '#'; /* splits the first all the way down */
    add(index, slashes, 4);
    slashes[65534] = '/';
    assert_int_equal(find(cache, slashes)->target_count, 4);
    slashes[65534] = '\0';
    assert_int_equal(find(cache, slashes)->target_count, 3);
    route_cache_free(cache);
    topic_index_free(index);
}

/* ---- Overlapping subscriptions ---- */

static void overlapping_subscriptions_become_one_target(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    struct subscriber s = {.session = session_of(1), .incarnation = 9, .home = 3};
    s.options = 0;
    s.subscription_identifier = 11;
    add_shared(index, "", "a/#", s);
    s.options = 2;
    s.subscription_identifier = 12;
    add_shared(index, "", "a/+", s);
    s.options = 1 | 0x08;
    s.subscription_identifier = 0;
    add_shared(index, "", "a/b", s);
    s.subscription_identifier = 12;
    add_shared(index, "", "+/b", s);
    s.incarnation = 10; /* another session in the same memory */
    add_shared(index, "", "+/+", s);

    const struct route *route = find(cache, "a/b");
    assert_int_equal(route->target_count, 2);
    assert_int_equal(route->targets[0].incarnation, 9);
    assert_int_equal(route->targets[0].home, 3);
    assert_int_equal(route->targets[0].qos, 2);
    assert_true(route->targets[0].retain_as_published);
    assert_false(route->targets[0].has_no_local);
    assert_int_equal(route->targets[0].subscription_identifier_count, 3);
    const uint32_t expected[] = {11, 12, 12};
    assert_memory_equal(route->targets[0].subscription_identifiers, expected, sizeof expected);
    assert_int_equal(route->targets[1].incarnation, 10);
    assert_int_equal(route->targets[1].qos, 1);

    route = find(cache, "a/c");
    assert_int_equal(route->targets[0].qos, 2);
    assert_false(route->targets[0].retain_as_published);
    route_cache_free(cache);
    topic_index_free(index);
}

static void targets_are_sorted_by_home_then_session(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    for (uint32_t i = 0; i < 1000; i++)
        add_shared(index, "",
                   i % 3 == 0   ? "t/#"
                   : i % 3 == 1 ? "t/+"
                                : "t/t",
                   (struct subscriber){.session = session_of(1 + i * 7919 % 1000),
                                       .incarnation = 1,
                                       .home = (uint16_t)(i % 5)});
    const struct route *route = find(cache, "t/t");
    assert_int_equal(route->target_count, 1000);
    for (uint32_t i = 1; i < 1000; i++) {
        const struct route_target *a = &route->targets[i - 1], *b = &route->targets[i];
        assert_true(a->home < b->home || (a->home == b->home && a->session < b->session));
    }
    route_cache_free(cache);
    topic_index_free(index);
}

static void no_local_takes_its_subscriptions_from_the_publisher(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    struct subscriber s = {.session = session_of(2), .incarnation = 1};
    s.options = 2 | 0x04 | 0x08;
    s.subscription_identifier = 21;
    add_shared(index, "", "n/#", s);
    s.options = 1;
    s.subscription_identifier = 22;
    add_shared(index, "", "n/+", s);
    s.session = session_of(3);
    s.options = 1 | 0x04;
    add_shared(index, "", "n/x", s);
    s.session = session_of(1);
    s.options = 1;
    add_shared(index, "", "n/x", s);

    const struct route *route = find(cache, "n/x");
    assert_int_equal(route->target_count, 3);
    struct route_target left;
    assert_false(route->targets[0].has_no_local);
    assert_true(route_target_without_no_local(cache, route, &route->targets[0], &left));
    assert_memory_equal(&left, &route->targets[0], sizeof left);

    assert_true(route->targets[1].has_no_local);
    assert_int_equal(route->targets[1].qos, 2);
    assert_int_equal(route->targets[1].subscription_identifier_count, 2);
    assert_true(route_target_without_no_local(cache, route, &route->targets[1], &left));
    assert_ptr_equal(left.session, session_of(2));
    assert_int_equal(left.qos, 1);
    assert_false(left.retain_as_published);
    assert_int_equal(left.subscription_identifier_count, 1);
    assert_int_equal(left.subscription_identifiers[0], 22);

    assert_true(route->targets[2].has_no_local);
    assert_false(route_target_without_no_local(cache, route, &route->targets[2], &left));
    route_cache_free(cache);
    topic_index_free(index);
}

/* ---- Shared subscriptions ---- */

static void shared_subscriptions_are_groups_beside_the_targets(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    struct topic_index_entry *entries[6];
    struct subscriber s = {.incarnation = 1, .options = 1, .subscription_identifier = 5, .home = 2};
    const char *const names[] = {"blue", "blue", "red", "blue", "blue", "blue"};
    const char *const filters[] = {"a/+/c", "a/+/c", "a/+/c", "a/#", "a/+", "x/y"};
    for (unsigned i = 0; i < 6; i++) {
        s.session = session_of(i + 1);
        entries[i] = add_shared(index, names[i], filters[i], s);
    }
    struct topic_index_entry *plain = add(index, "a/+/c", 1);
    assert_int_equal(topic_index_count(index), 7);

    const struct route *route = find(cache, "a/b/c");
    assert_int_equal(route->target_count, 1);
    assert_int_equal(route->group_count, 3);
    unsigned members = 0, twos = 0;
    for (unsigned i = 0; i < route->group_count; i++) {
        members += route->groups[i].count;
        twos += route->groups[i].count == 2;
        if (route->groups[i].count == 2) {
            assert_ptr_equal(route->groups[i].members[0].session, session_of(1));
            assert_ptr_equal(route->groups[i].members[1].session, session_of(2));
            assert_int_equal(route->groups[i].members[1].subscription_identifier, 5);
            assert_int_equal(route->groups[i].members[1].home, 2);
            assert_int_equal(route->groups[i].members[1].options, 1);
        }
    }
    assert_int_equal(members, 4);
    assert_int_equal(twos, 1);

    topic_index_remove(index, entries[0]);
    topic_index_remove(index, entries[1]);
    route = find(cache, "a/b/c");
    assert_int_equal(route->group_count, 2);
    topic_index_remove(index, plain);
    for (unsigned i = 2; i < 6; i++)
        topic_index_remove(index, entries[i]);
    route = find(cache, "a/b/c");
    assert_int_equal(route->group_count + route->target_count, 0);
    assert_int_equal(topic_index_count(index), 0);
    route_cache_free(cache);
    topic_index_free(index);
}

static void shared_and_plain_subscriptions_split_each_other(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    struct subscriber s = {.session = session_of(9), .incarnation = 1};
    add(index, "a/b/c/d", 1);
    add_shared(index, "g", "a/b/c/d", s);
    add(index, "a/b/c/d", 2);
    add_shared(index, "g", "q/+/#", s);
    add(index, "q/+/#", 1);
    add(index, "q/+", 2);
    const struct route *route = find(cache, "a/b/c/d");
    assert_int_equal(route->target_count, 2);
    assert_int_equal(route->group_count, 1);
    route = find(cache, "q/r");
    assert_int_equal(route->target_count, 2);
    assert_int_equal(route->group_count, 1);
    route = find(cache, "a/b/c");
    assert_int_equal(route->target_count + route->group_count, 0);
    route_cache_free(cache);
    topic_index_free(index);
}

/* ---- Changes ---- */

static void change_shows_in_the_next_route_and_raises_the_version(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    struct topic_index_entry *entry = add(index, "a", 1);
    const struct route *route = find(cache, "a");
    assert_int_equal(route->targets[0].qos, 0);
    assert_int_equal(route->targets[0].subscription_identifier_count, 0);
    uint64_t version = topic_index_version(index);
    topic_index_change(index, entry, 2 | 0x04, 268435455);
    assert_true(topic_index_version(index) > version);
    route = find(cache, "a");
    assert_int_equal(route->targets[0].qos, 2);
    assert_true(route->targets[0].has_no_local);
    assert_int_equal(route->targets[0].subscription_identifiers[0], 268435455);
    version = topic_index_version(index);
    topic_index_remove(index, entry);
    assert_true(topic_index_version(index) > version);
    assert_int_equal(find(cache, "a")->target_count, 0);
    route_cache_free(cache);
    topic_index_free(index);
}

static void unchanged_index_gives_the_remembered_route(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    add(index, "a", 1);
    const struct route *route = find(cache, "a");
    find(cache, "b");
    assert_ptr_equal(find(cache, "a"), route);
    route_cache_free(cache);
    topic_index_free(index);
}

static void more_topics_than_the_capacity_are_still_right(void **state)
{
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 1);
    add(index, "t/7", 1);
    add(index, "t/+", 2);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 100; i++) {
            char topic[16];
            snprintf(topic, sizeof topic, "t/%u", i);
            assert_int_equal(find(cache, topic)->target_count, i == 7 ? 2 : 1);
        }
    route_cache_free(cache);
    topic_index_free(index);
}

/* ---- Against an independent matcher, on random filters and changes ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    return index_testing_draw(&random_state, below);
}

static void random_name(char *out, bool wildcards)
{
    static const char *const levels[] = {"a", "b", "c", "", "ab", "$", "$SYS", "longer than eight"};
    unsigned count = 1 + draw(5);
    out[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            strcat(out, "/");
        if (wildcards && draw(4) == 0)
            strcat(out, "+");
        else if (wildcards && i + 1 == count && draw(3) == 0)
            strcat(out, "#");
        else
            strcat(out, levels[draw(draw(2) ? 3 : 8)]);
    }
    if (out[0] == '\0')
        strcpy(out, "/");
}

struct model_entry {
    char filter[128], share_name[4];
    uintptr_t session;
    uint8_t options;
    uint32_t identifier;
    struct topic_index_entry *entry;
};

enum { MODEL_MAX = 400, MODEL_SESSIONS = 40 };

static unsigned check_topic(const struct model_entry *model, unsigned count, const char *topic,
                            struct route_cache *cache)
{
    struct {
        unsigned matches, qos, rap, nl, identifiers, sum, members;
    } expected[MODEL_SESSIONS + 1] = {0}, got[MODEL_SESSIONS + 1] = {0};
    unsigned targets = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!index_testing_match(model[i].filter, topic))
            continue;
        unsigned s = (unsigned)model[i].session, qos = model[i].options & 3u;
        if (model[i].share_name[0] != '\0') {
            expected[s].members++;
            continue;
        }
        targets += expected[s].matches++ == 0;
        expected[s].qos = qos > expected[s].qos ? qos : expected[s].qos;
        expected[s].rap |= model[i].options & 0x08u;
        expected[s].nl |= model[i].options & 0x04u;
        expected[s].identifiers += model[i].identifier != 0;
        expected[s].sum += model[i].identifier;
    }
    const struct route *route = find(cache, topic);
    assert_int_equal(route->target_count, targets);
    for (unsigned i = 0; i < route->target_count; i++) {
        const struct route_target *target = &route->targets[i];
        unsigned s = (unsigned)number_of(target->session), sum = 0;
        for (unsigned j = 0; j < target->subscription_identifier_count; j++)
            sum += target->subscription_identifiers[j];
        assert_int_equal(got[s].matches++, 0);
        assert_int_equal(target->home, s % 4);
        assert_int_equal(target->qos, expected[s].qos);
        assert_int_equal(target->retain_as_published, expected[s].rap != 0);
        assert_int_equal(target->has_no_local, expected[s].nl != 0);
        assert_int_equal(target->subscription_identifier_count, expected[s].identifiers);
        assert_int_equal(sum, expected[s].sum);
    }
    for (unsigned i = 0; i < route->group_count; i++)
        for (unsigned j = 0; j < route->groups[i].count; j++)
            got[number_of(route->groups[i].members[j].session)].members++;
    for (unsigned s = 0; s <= MODEL_SESSIONS; s++)
        assert_int_equal(got[s].members, expected[s].members);
    return targets;
}

static void random_changes_agree_with_brute_force(void **state)
{
    static struct model_entry model[MODEL_MAX];
    unsigned matched = 0;
    for (unsigned seed = 1; seed <= 20; seed++) {
        random_state = seed;
        struct topic_index *index = make_index();
        struct route_cache *cache = route_cache_new(index, 64);
        unsigned count = 0;
        for (unsigned turn = 0; turn < 3000; turn++) {
            bool growing = turn / 500 % 2 == 0;
            unsigned what = draw(10);
            if (what < (growing ? 6u : 2u) && count < MODEL_MAX) {
                struct model_entry *m = &model[count];
                memset(m, 0, sizeof *m);
                random_name(m->filter, true);
                if (draw(4) == 0)
                    m->share_name[0] = (char)('p' + draw(3));
                m->session = 1 + draw(MODEL_SESSIONS);
                m->options = (uint8_t)draw(16);
                m->identifier = draw(2) ? draw(1000) : 0;
                m->entry = add_shared(index, m->share_name, m->filter,
                                      (struct subscriber){.session = session_of(m->session),
                                                          .incarnation = 1,
                                                          .subscription_identifier = m->identifier,
                                                          .home = m->session % 4,
                                                          .options = m->options});
                count++;
            } else if (what < 8 && count > 0) {
                unsigned i = draw(count);
                topic_index_remove(index, model[i].entry);
                model[i] = model[--count];
            } else if (count > 0) {
                struct model_entry *m = &model[draw(count)];
                m->options = (uint8_t)draw(16);
                m->identifier = draw(1000);
                topic_index_change(index, m->entry, m->options, m->identifier);
            }
            assert_int_equal(topic_index_count(index), count);
            char topic[128];
            random_name(topic, false);
            matched += check_topic(model, count, topic, cache);
            if (turn % 64 == 0)
                reclaim_quiescent();
        }
        while (count > 0)
            topic_index_remove(index, model[--count].entry);
        check_topic(model, 0, "a/b", cache);
        route_cache_free(cache);
        topic_index_free(index);
    }
    assert_true(matched > 100000); /* the test does test something */
}

/* ---- Size ---- */

static void hundred_thousand_subscribers_of_one_filter_come_and_go(void **state)
{
    enum { COUNT = 100000 };
    struct topic_index *index = make_index();
    struct route_cache *cache = route_cache_new(index, 16);
    struct topic_index_entry **entries = calloc(COUNT, sizeof *entries);
    double start = index_testing_seconds();
    for (uint32_t i = 0; i < COUNT; i++)
        entries[i] = add(index, "all/of/us", i + 1);
    double added = index_testing_seconds();
    assert_int_equal(find(cache, "all/of/us")->target_count, COUNT);
    double found = index_testing_seconds();
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * 7919 % COUNT);
        topic_index_remove(index, entries[at]);
        if (i % 1000 == 0)
            reclaim_quiescent();
    }
    double removed = index_testing_seconds();
    assert_int_equal(find(cache, "all/of/us")->target_count, 0);
    print_message("100,000 of one filter: add %.0f ms, route %.1f ms, remove %.0f ms\n",
                  (added - start) * 1e3, (found - added) * 1e3, (removed - found) * 1e3);
    assert_true(removed - start < 20); /* quadratic would take minutes */
    free(entries);
    route_cache_free(cache);
    topic_index_free(index);
}

static void device_filter(uint32_t i, char *out, size_t size)
{
    if (i % 2 == 0)
        snprintf(out, size, "fleet/site%u/device%u/command", i % 100, i);
    else if (i % 4 == 1)
        snprintf(out, size, "fleet/+/device%u/#", i);
    else
        snprintf(out, size, "fleet/site%u/device%u/+/set", i % 100, i);
}

static void memory_per_subscription_is_bounded(void **state)
{
    const char *wanted = getenv("TOPIC_INDEX_BENCH");
    uint32_t count = wanted != NULL ? 1000000 : 50000;
    struct topic_index *index = make_index();
    struct topic_index_entry **entries = calloc(count, sizeof *entries);
    reclaim_barrier();
    size_t before, after;
    bool measured = index_testing_heap(&before);
    for (uint32_t i = 0; i < count; i++) {
        char filter[64];
        device_filter(i, filter, sizeof filter);
        entries[i] = add(index, filter, i + 1);
        if (i % 1024 == 0)
            reclaim_quiescent();
    }
    reclaim_barrier();
    if (measured && index_testing_heap(&after)) {
        double each = (double)(after - before) / count;
        print_message("%u subscriptions, half with wildcards: %.0f bytes each\n", count, each);
        assert_true(each > 50 && each < 200);
    }
    for (uint32_t i = 0; i < count; i++)
        topic_index_remove(index, entries[i]);
    reclaim_barrier();
    if (measured && index_testing_heap(&after))
        assert_true(after < before + 256 * 1024); /* empty nodes are gone */
    free(entries);
    topic_index_free(index);
}

static void nodes_in_between_go_with_the_last_filter_below_them(void **state)
{
    enum { COUNT = 5000 };
    struct topic_index *index = make_index();
    struct topic_index_entry *entries[4];
    reclaim_barrier();
    size_t before, after;
    bool measured = index_testing_heap(&before);
    for (unsigned i = 0; i < COUNT; i++) {
        static const char *const below[] = {"x/y/z", "x/y/z/+", "x/y/#", "q"};
        for (unsigned j = 0; j < 4; j++) {
            char filter[64];
            snprintf(filter, sizeof filter, "top/%u/%s", i, below[j]);
            entries[j] = add_shared(index, j == 3 ? "group" : "", filter,
                                    (struct subscriber){.session = session_of(1)});
        }
        for (unsigned j = 0; j < 4; j++)
            topic_index_remove(index, entries[(i + j) % 4]);
        reclaim_quiescent();
    }
    reclaim_barrier();
    if (measured && index_testing_heap(&after))
        assert_true(after < before + 64 * 1024);
    topic_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_specification_match_alone),
        cmocka_unit_test(examples_of_the_specification_match_together),
        cmocka_unit_test(topic_of_the_greatest_length_and_depth_is_matched),
        cmocka_unit_test(overlapping_subscriptions_become_one_target),
        cmocka_unit_test(targets_are_sorted_by_home_then_session),
        cmocka_unit_test(no_local_takes_its_subscriptions_from_the_publisher),
        cmocka_unit_test(shared_subscriptions_are_groups_beside_the_targets),
        cmocka_unit_test(shared_and_plain_subscriptions_split_each_other),
        cmocka_unit_test(change_shows_in_the_next_route_and_raises_the_version),
        cmocka_unit_test(unchanged_index_gives_the_remembered_route),
        cmocka_unit_test(more_topics_than_the_capacity_are_still_right),
        cmocka_unit_test(random_changes_agree_with_brute_force),
        cmocka_unit_test(hundred_thousand_subscribers_of_one_filter_come_and_go),
        cmocka_unit_test(nodes_in_between_go_with_the_last_filter_below_them),
        cmocka_unit_test(memory_per_subscription_is_bounded),
    };
    return cmocka_run_group_tests_name("routing/topic_index", tests, setup, teardown);
}
