#include "routing/retained.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/index_testing.h"
#include "routing/reclaim.h"

static const struct hash_key KEY = {3, 4};

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

static void set(struct retained *retained, const char *topic, const char *payload, uint64_t number)
{
    struct message *message =
        message_new(bytes_of_text(topic), bytes_of(NULL, 0), bytes_of_text(payload));
    message->stored.number = number;
    assert_int_equal(retained_set(retained, message), STATUS_OK);
    message_drop(message, 1);
}

struct found {
    char text[4096]; /* "topic=payload;" sorted by nothing */
    unsigned count;
};

static void collect(void *context, struct message *message)
{
    struct found *found = context;
    size_t size = strlen(found->text);
    snprintf(found->text + size, sizeof found->text - size, "%.*s=%.*s;",
             (int)message->stored.topic.size, (const char *)message->stored.topic.data,
             (int)message->stored.payload.size, (const char *)message->stored.payload.data);
    found->count++;
}

static struct found match(struct retained *retained, const char *filter)
{
    struct found found = {.count = 0};
    retained_match(retained, bytes_of_text(filter), collect, &found);
    return found;
}

static void assert_found(struct retained *retained, const char *filter, const char *text)
{
    struct found found = match(retained, filter);
    assert_string_equal(found.text, text);
}

static void last_message_of_a_topic_is_kept(void **state)
{
    struct retained *retained = retained_new(&KEY);
    set(retained, "a/b", "one", 1);
    set(retained, "a/b", "two", 2);
    assert_found(retained, "a/b", "a/b=two;");
    assert_int_equal(retained_count(retained), 1);
    set(retained, "a/b", "", 3);
    assert_found(retained, "a/b", "");
    assert_int_equal(retained_count(retained), 0);
    set(retained, "a/b", "four", 4);
    assert_found(retained, "a/b", "a/b=four;");
    retained_free(retained);
}

/* Claims the topic; to be given to finish(). */
static struct message *begin(struct retained *retained, const char *topic, const char *payload,
                             uint64_t number)
{
    struct message *message =
        message_new(bytes_of_text(topic), bytes_of(NULL, 0), bytes_of_text(payload));
    assert_non_null(message);
    message->stored.number = number;
    assert_true(retained_claim(retained, message, number));
    return message;
}

static void finish(struct retained *retained, struct message *message)
{
    assert_int_equal(retained_set(retained, message), STATUS_OK);
    message_drop(message, 1);
}

static void higher_number_stays_whatever_comes_later(void **state)
{
    struct retained *retained = retained_new(&KEY);
    struct message *eighth = begin(retained, "t", "", 8);
    struct message *ninth = begin(retained, "t", "late", 9);
    struct message *nineteenth = begin(retained, "t", "late", 19);
    set(retained, "t", "new", 10);
    finish(retained, ninth);
    assert_found(retained, "t", "t=new;");
    finish(retained, eighth);
    assert_found(retained, "t", "t=new;");
    finish(retained, begin(retained, "t", "", 20));
    finish(retained, nineteenth);
    assert_found(retained, "t", "");
    /* Also where there was nothing to remove. */
    struct message *late = begin(retained, "u/v", "late", 29);
    finish(retained, begin(retained, "u/v", "", 30));
    finish(retained, late);
    assert_found(retained, "#", "");
    assert_int_equal(retained_count(retained), 0);
    finish(retained, begin(retained, "u/v", "new", 31));
    assert_found(retained, "#", "u/v=new;");
    retained_free(retained);
}

static void whoever_claims_behind_a_removal_takes_a_higher_number(void **state)
{
    struct retained *retained = retained_new(&KEY);
    struct message *message =
        message_new(bytes_of_text("a/b"), bytes_of(NULL, 0), bytes_of_text("late"));
    set(retained, "a/b", "x", 5);
    finish(retained, begin(retained, "a/b", "", 10));
    assert_false(retained_claim(retained, message, 9)); /* its place is gone */
    assert_true(retained_claim(retained, message, 11));
    message->stored.number = 11;
    finish(retained, message);
    assert_found(retained, "#", "a/b=late;");
    retained_free(retained);
}

static void count_removed(void *context, const struct message *message)
{
    (*(unsigned *)context)++;
}

static void expired_messages_go_and_those_that_replaced_them_stay(void **state)
{
    struct retained *retained = retained_new(&KEY);
    enum { TOPICS = 2000 };
    char topic[32];
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "a/%u", i);
        struct message *message =
            message_new(bytes_of_text(topic), bytes_of(NULL, 0), bytes_of_text("x"));
        message->stored.number = i + 1;
        message->stored.has_expiry = true;
        message->stored.expiry_interval_s = i % 2 == 0 ? 1 : 1000;
        assert_int_equal(retained_set(retained, message), STATUS_OK);
        message_drop(message, 1);
    }
    set(retained, "a/0", "replaced", TOPICS + 1);
    assert_int_equal(retained_expiring(retained), TOPICS - 1);
    assert_int_equal(retained_usage(retained).messages, TOPICS);
    uint64_t cursor = 0;
    unsigned removed = 0, before;
    do { /* what is moved by a removal may be missed, until the next round */
        before = removed;
        do {
            retained_expire(retained, &cursor, 100, 1000, count_removed, &removed);
            reclaim_quiescent();
        } while (cursor != 0);
    } while (removed > before);
    assert_int_equal(removed, TOPICS / 2 - 1);
    assert_int_equal(retained_expiring(retained), TOPICS / 2);
    assert_int_equal(retained_count(retained), TOPICS / 2 + 1);
    assert_int_equal(retained_usage(retained).messages, TOPICS / 2 + 1);
    assert_true(retained_has(retained, bytes_of_text("a/0")));
    assert_true(retained_has(retained, bytes_of_text("a/1")));
    assert_false(retained_has(retained, bytes_of_text("a/2")));
    set(retained, "a/2", "again", TOPICS + 2);
    assert_found(retained, "a/2", "a/2=again;");
    retained_free(retained);
}

static void topic_tells_which_message_it_has(void **state)
{
    struct retained *retained = retained_new(&KEY);
    struct bytes topic = bytes_of_text("a/b");
    struct message *message = message_new(topic, bytes_of(NULL, 0), bytes_of_text("x"));
    message->stored.number = 7;
    assert_false(retained_is_current(message));
    assert_int_equal(retained_set(retained, message), STATUS_OK);
    assert_true(retained_is_current(message));
    set(retained, "a/b", "", 8);
    assert_false(retained_is_current(message));
    set(retained, "a/b", "x", 9);
    assert_false(retained_is_current(message));
    assert_int_equal(retained_set(retained, message), STATUS_OK); /* too late */
    assert_false(retained_is_current(message));
    message_drop(message, 1);
    retained_free(retained);
}

static struct message *message_numbered(const char *topic, const char *payload, uint64_t number)
{
    struct message *message =
        message_new(bytes_of_text(topic), bytes_of(NULL, 0), bytes_of_text(payload));
    assert_non_null(message);
    message->stored.number = number;
    return message;
}

static void what_is_going_to_be_replaced_is_not_copied(void **state)
{
    struct retained *retained = retained_new(&KEY);
    struct message *first = message_numbered("a/b", "one", 10);
    struct message *second = message_numbered("a/b", "two", 20);
    uint64_t claimed;
    assert_true(retained_claim(retained, first, 10)); /* where there was no such topic */
    assert_int_equal(retained_set(retained, first), STATUS_OK);
    assert_true(retained_copy(retained, first, 11, &claimed));
    assert_true(retained_claim(retained, second, 20));
    assert_false(retained_copy(retained, first, 21, &claimed));
    assert_int_equal(claimed, 20);
    assert_int_equal(retained_set(retained, second), STATUS_OK);
    assert_true(retained_copy(retained, second, 22, &claimed));
    /* The claim of another topic is none of this one. */
    struct message *other = message_numbered("a", "x", 30);
    assert_true(retained_claim(retained, other, 30));
    assert_true(retained_copy(retained, second, 31, &claimed));
    message_drop(first, 1);
    message_drop(second, 1);
    message_drop(other, 1);
    retained_free(retained);
}

static void whoever_claims_takes_a_number_above_all_copies(void **state)
{
    struct retained *retained = retained_new(&KEY);
    struct message *first = message_numbered("a", "one", 10);
    struct message *second = message_numbered("a", "", 0);
    uint64_t claimed;
    assert_int_equal(retained_set(retained, first), STATUS_OK);
    assert_true(retained_copy(retained, first, 20, &claimed));
    assert_true(retained_copy(retained, first, 19, &claimed));
    assert_false(retained_claim(retained, second, 15));
    assert_true(retained_claim(retained, second, 21));
    message_drop(first, 1);
    message_drop(second, 1);
    retained_free(retained);
}

static void claim_outlives_a_removal(void **state)
{
    struct retained *retained = retained_new(&KEY);
    uint64_t claimed;
    set(retained, "a/b", "x", 5);
    struct message *first = begin(retained, "a", "one", 10);
    struct message *second = begin(retained, "a", "two", 11);
    set(retained, "a/b", "", 6); /* what is above it has nothing to say but the claims */
    message_hold(first, 1);
    finish(retained, first);
    assert_false(retained_copy(retained, first, 12, &claimed));
    assert_int_equal(claimed, 11);
    finish(retained, second);
    assert_found(retained, "#", "a=two;");
    message_drop(first, 1);
    retained_free(retained);
}

static void filters_find_what_they_match(void **state)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
    } pairs[] = {
        {"sport/#", "sport", true},
        {"sport/#", "sport/a/b/c", true},
        {"sport/#", "sports", false},
        {"#", "a", true},
        {"#", "/", true},
        {"#", "$SYS/a", false},
        {"+/a", "$SYS/a", false},
        {"+", "$x", false},
        {"$SYS/#", "$SYS/a", true},
        {"$SYS/+", "$SYS/a", true},
        {"$SYS/a", "$SYS/a", true},
        {"a/+", "a/$b", true},
        {"a/#", "a/$b", true},
        {"+/+", "/x", true},
        {"/+", "/x", true},
        {"+", "/x", false},
        {"a/+", "a", false},
        {"a/+", "a/", true},
        {"a/+/c", "a/b/c", true},
        {"a/+/c", "a/b/d", false},
        {"a/+/c", "a/b/c/d", false},
        {"+/b/#", "a/b", true},
        {"+/b/#", "a/b/c/d", true},
        {"+/+/#", "a", false},
        {"a/b", "a/b/c", false},
        {"a/b/c", "a/b", false},
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct retained *retained = retained_new(&KEY);
        set(retained, pairs[i].topic, "x", 1);
        if (match(retained, pairs[i].filter).count != pairs[i].matches)
            fail_msg("%s, %s", pairs[i].filter, pairs[i].topic);
        retained_free(retained);
    }
}

static void deepest_topic_is_kept_and_matched(void **state)
{
    static char topic[65536];
    memset(topic, '/', 65535);
    struct retained *retained = retained_new(&KEY);
    struct message *message =
        message_new(bytes_of(topic, 65535), bytes_of(NULL, 0), bytes_of_text("x"));
    message->stored.number = 1;
    assert_int_equal(retained_set(retained, message), STATUS_OK);
    message_drop(message, 1);
    struct found found = {.count = 0};
    retained_match(retained, bytes_of_text("#"), collect, &found);
    assert_int_equal(found.count, 1);
    found.count = 0;
    for (unsigned i = 0; i < 65535; i += 2)
        topic[i] = '+';
    retained_match(retained, bytes_of(topic, 65535), collect, &found);
    assert_int_equal(found.count, 0);
    retained_free(retained);
}

/* ---- Against brute force ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    return index_testing_draw(&random_state, below);
}

static void random_name(char *out, bool wildcards)
{
    static const char *const levels[] = {"a", "b", "", "$", "$SYS", "abc"};
    unsigned count = 1 + draw(4);
    out[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            strcat(out, "/");
        if (wildcards && i + 1 == count && draw(3) == 0)
            strcat(out, "#");
        else
            strcat(out, wildcards && draw(3) == 0 ? "+" : levels[draw(6)]);
    }
    if (out[0] == '\0')
        strcpy(out, "/");
}

enum { MODEL_MAX = 300 };
static struct {
    char topic[32];
    unsigned number;
    bool present;
} model[MODEL_MAX];

struct expectation {
    const char *filter;
    unsigned found, topics;
};

static void check_found(void *context, struct message *message)
{
    struct expectation *expectation = context;
    expectation->found++;
    for (unsigned i = 0; i < expectation->topics; i++)
        if (strlen(model[i].topic) == message->stored.topic.size &&
            memcmp(model[i].topic, message->stored.topic.data, message->stored.topic.size) == 0) {
            assert_true(model[i].present);
            assert_int_equal(model[i].number, message->stored.number);
            return;
        }
    fail();
}

static void random_sets_agree_with_brute_force(void **state)
{
    unsigned total = 0;
    for (unsigned seed = 1; seed <= 5; seed++) {
        random_state = seed;
        struct retained *retained = retained_new(&KEY);
        unsigned topics = 0, present = 0;
        for (unsigned number = 1; number < 3000; number++) {
            char name[32];
            random_name(name, false);
            unsigned i = 0;
            while (i < topics && strcmp(model[i].topic, name) != 0)
                i++;
            if (i == MODEL_MAX)
                continue;
            if (i == topics) {
                topics++;
                strcpy(model[i].topic, name);
                model[i].present = false;
                model[i].number = 0;
            }
            unsigned used = draw(4) == 0 && number > 50 ? number - 50 : number;
            bool empty = draw(3) == 0;
            struct message *message = message_new(bytes_of_text(name), bytes_of(NULL, 0),
                                                  bytes_of_text(empty ? "" : "x"));
            if (!retained_claim(retained, message, used)) {
                used = number;
                assert_true(retained_claim(retained, message, used));
            }
            message->stored.number = used;
            finish(retained, message);
            if (used >= model[i].number) {
                present += (unsigned)!empty - (unsigned)model[i].present;
                model[i].present = !empty;
                model[i].number = used;
            }
            assert_int_equal(retained_count(retained), present);

            char filter[32];
            random_name(filter, true);
            unsigned wanted = 0;
            for (unsigned j = 0; j < topics; j++)
                wanted += model[j].present && index_testing_match(filter, model[j].topic);
            struct expectation expectation = {.filter = filter, .topics = topics};
            retained_match(retained, bytes_of_text(filter), check_found, &expectation);
            assert_int_equal(expectation.found, wanted);
            total += wanted;
            if (number % 64 == 0)
                reclaim_quiescent();
        }
        retained_free(retained);
    }
    assert_true(total > 10000);
}

/* ---- Bounds and cost ---- */

static void removals_leave_nothing_behind(void **state)
{
    struct retained *retained = retained_new(&KEY);
    size_t before, after;
    bool measured = index_testing_heap(&before);
    char topic[64];
    for (uint32_t i = 1; i <= 60000; i++) {
        snprintf(topic, sizeof topic, "gone/%u/state", i);
        if (i % 2 == 0)
            set(retained, topic, "x", 2 * i - 1);
        set(retained, topic, "", 2 * i);
        if (i % 256 == 0)
            reclaim_quiescent();
    }
    reclaim_barrier();
    assert_int_equal(retained_count(retained), 0);
    assert_int_equal(match(retained, "#").count, 0);
    if (measured && index_testing_heap(&after))
        assert_true(after < before + (1 << 20));
    retained_free(retained);
}

static void count_one(void *context, struct message *message)
{
    *(uint64_t *)context += message->stored.payload.size;
}

static void cost_is_that_of_what_matches(void **state)
{
    uint32_t count = getenv("TOPIC_INDEX_BENCH") != NULL ? 1000000 : 20000;
    struct retained *retained = retained_new(&KEY);
    char topic[64];
    size_t before, after;
    (void)index_testing_heap(&before);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(topic, sizeof topic, "fleet/site%u/device%u/state", i % 100, i);
        set(retained, topic, "x", i + 1);
    }
    (void)index_testing_heap(&after);
    double start = index_testing_seconds();
    for (uint32_t i = 0; i < count; i++) {
        snprintf(topic, sizeof topic, "fleet/site%u/device%u/state", i % 100, i);
        set(retained, topic, "x", count + i + 1);
        if (i % 64 == 0)
            reclaim_quiescent();
    }
    double replaced = index_testing_seconds();
    uint64_t sum = 0;
    retained_match(retained, bytes_of_text("#"), count_one, &sum);
    double all = index_testing_seconds();
    assert_int_equal(sum, count);
    sum = 0;
    for (uint32_t i = 0; i < 10000; i++)
        retained_match(retained, bytes_of_text("fleet/+/device7/#"), count_one, &sum);
    double one = index_testing_seconds();
    assert_int_equal(sum, 10000);
    print_message("%u retained: %.0f bytes each with the message, replace %.0f ns, visit by # %.0f "
                  "ns each, fleet/+/device7/# %.0f ns\n",
                  count, (double)(after - before) / count, (replaced - start) * 1e9 / count,
                  (all - replaced) * 1e9 / count, (one - all) * 1e9 / 10000);
    retained_free(retained);
}

/* ---- Threads ---- */

enum { WRITERS = 3, TOPICS = 66, TURNS = 20000 };
static struct retained *tested;
static _Atomic uint64_t next_number;
static _Atomic int writers_left;
static _Atomic uint64_t highest[TOPICS]; /* number << 1 | present */

static void topic_name(unsigned i, char *out, size_t size)
{
    snprintf(out, size, "w/%u/%u", i % 8, i);
}

static void raise(_Atomic uint64_t *value, uint64_t to)
{
    uint64_t before = atomic_load(value);
    while (before < to && !atomic_compare_exchange_weak(value, &before, to))
        ;
}

static void check_message(void *context, struct message *message)
{
    unsigned *count = context;
    (*count)++;
    if (message->stored.payload.size != 7 || message->stored.topic.data[0] != 'w' ||
        memcmp(message->stored.payload.data, "payload", 7) != 0)
        abort();
}

static void hold_one(void *context, struct message *message)
{
    message_hold(message, 1);
    *(struct message **)context = message;
}

/* Whoever has set a message, or came too late with it, knows of what it was to replace. */
static void set_over_another(struct message *message)
{
    struct message *before = NULL;
    retained_match(tested, message->stored.topic, hold_one, &before);
    if (retained_set(tested, message) != STATUS_OK)
        abort();
    if (before == NULL)
        return;
    if (before->stored.number < message->stored.number && retained_is_current(before))
        abort();
    message_drop(before, 1);
}

static unsigned topic_count; /* that are used */
static bool own_topics;      /* each writer has its own, or all have all */

static void *set_all_the_time(void *context)
{
    unsigned writer = (unsigned)(uintptr_t)context;
    uint64_t random = writer + 1;
    reclaim_thread_register();
    for (unsigned turn = 0; turn < TURNS; turn++) {
        (void)index_testing_draw(&random, 1);
        unsigned i = (unsigned)(random >> 40) % topic_count;
        if (own_topics)
            i = writer; /* the fewer, the closer together */
        bool remove = (random >> 34 & 3) < (own_topics ? 2 : 1);
        char topic[32];
        topic_name(i, topic, sizeof topic);
        struct message *message = message_new(bytes_of_text(topic), bytes_of(NULL, 0),
                                              bytes_of_text(remove ? "" : "payload"));
        uint64_t number;
        do {
            number = atomic_fetch_add(&next_number, 1) + 1;
        } while (!retained_claim(tested, message, number));
        message->stored.number = number;
        if ((random >> 50 & 7) == 0)
            sched_yield(); /* be late */
        set_over_another(message);
        if (own_topics && retained_is_current(message) == remove)
            abort();
        message_drop(message, 1);
        raise(&highest[i], number << 1 | !remove);
        unsigned count = 0;
        if (own_topics)
            retained_match(tested, bytes_of_text(topic), check_message, &count);
        if (own_topics && count != !remove)
            abort();
        reclaim_quiescent();
    }
    atomic_fetch_sub(&writers_left, 1);
    reclaim_thread_unregister();
    return NULL;
}

static void *match_all_the_time(void *context)
{
    static const char *const filters[] = {"#", "w/+/5", "w/3/#", "+/+/+", "w/1/9"};
    reclaim_thread_register();
    for (unsigned i = 0; atomic_load(&writers_left) > 0; i++) {
        unsigned count = 0;
        retained_match(tested, bytes_of_text(filters[i % 5]), check_message, &count);
        if (count > TOPICS)
            abort();
        reclaim_quiescent();
    }
    reclaim_thread_unregister();
    return NULL;
}

static void assert_current(void *context, struct message *message)
{
    (void)context;
    assert_true(retained_is_current(message));
}

static void run_threads(void)
{
    for (unsigned i = 0; i < TOPICS; i++)
        atomic_store(&highest[i], 0);
    atomic_store(&writers_left, WRITERS);
    pthread_t writers[WRITERS], reader;
    assert_int_equal(pthread_create(&reader, NULL, match_all_the_time, NULL), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, set_all_the_time, (void *)i), 0);
    reclaim_offline();
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    pthread_join(reader, NULL);
    reclaim_online();
    unsigned present = 0;
    for (unsigned i = 0; i < TOPICS; i++) {
        char topic[32];
        topic_name(i, topic, sizeof topic);
        uint64_t number = atomic_load(&highest[i]);
        present += number & 1;
        assert_int_equal(match(tested, topic).count, number & 1);
        retained_match(tested, bytes_of_text(topic), assert_current, NULL);
    }
    assert_int_equal(retained_count(tested), present);
}

static void highest_number_stays_among_threads(void **state)
{
    tested = retained_new(&KEY);
    own_topics = false;
    topic_count = TOPICS;
    run_threads();
    retained_free(tested);
}

static void of_those_who_set_one_topic_each_knows_what_is_replaced(void **state)
{
    tested = retained_new(&KEY);
    own_topics = false;
    topic_count = 1;
    run_threads();
    retained_free(tested);
}

/* Every removal takes another topic's place out of the tree while its owner may be setting it. */
static void topics_that_are_forgotten_while_they_are_set_come_back(void **state)
{
    tested = retained_new(&KEY);
    own_topics = true;
    run_threads();
    retained_free(tested);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_message_of_a_topic_is_kept),
        cmocka_unit_test(higher_number_stays_whatever_comes_later),
        cmocka_unit_test(topic_tells_which_message_it_has),
        cmocka_unit_test(what_is_going_to_be_replaced_is_not_copied),
        cmocka_unit_test(whoever_claims_takes_a_number_above_all_copies),
        cmocka_unit_test(expired_messages_go_and_those_that_replaced_them_stay),
        cmocka_unit_test(claim_outlives_a_removal),
        cmocka_unit_test(whoever_claims_behind_a_removal_takes_a_higher_number),
        cmocka_unit_test(filters_find_what_they_match),
        cmocka_unit_test(deepest_topic_is_kept_and_matched),
        cmocka_unit_test(random_sets_agree_with_brute_force),
        cmocka_unit_test(removals_leave_nothing_behind),
        cmocka_unit_test(cost_is_that_of_what_matches),
        cmocka_unit_test(highest_number_stays_among_threads),
        cmocka_unit_test(of_those_who_set_one_topic_each_knows_what_is_replaced),
        cmocka_unit_test(topics_that_are_forgotten_while_they_are_set_come_back),
    };
    return cmocka_run_group_tests_name("routing/retained", tests, setup, teardown);
}
