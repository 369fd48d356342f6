/* What sessions are owed, on a real file: segments, their progress, and bodies that are shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/segment.h"
#include "storage/store_testing.h"

enum { SOON_MS = 5000, MANY = 600 };

static struct fixture fixture;
static struct store *store;
static uint64_t numbers[MANY];
static bool settled[MANY];

static int set_up(void **state)
{
    log_threshold = LOG_ERROR;
    memset(settled, 0, sizeof settled);
    fixture_init(&fixture);
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    fixture_session(store, 2, "b");
    fixture_session(store, 3, "c");
    return 0;
}

static int tear_down(void **state)
{
    fixture_fini(&fixture);
    return 0;
}

static void reopen(void)
{
    fixture_close(&fixture);
    fixture_open(&fixture);
    store = fixture.store;
}

static void submit(struct store_batch *batch)
{
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    assert_true(fixture_wait_durable(store, lsn, SOON_MS));
}

/* MANY messages in one flush to session 1, QoS 2. */
static void publish_many(void)
{
    struct store_batch *batch = store_batch_open(store, 0);
    for (unsigned i = 0; i < MANY; i++) {
        char payload[16];
        snprintf(payload, sizeof payload, "p%u", i);
        numbers[i] = fixture_append(batch, 1, 1, 2, true, payload);
    }
    submit(batch);
}

static void settle(struct store_batch *batch, unsigned which)
{
    store_batch_settled(batch, 1, numbers[which]);
    settled[which] = true;
}

static int64_t rows(const char *table)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    return fixture_query(&fixture, sql);
}

/* Session 1 gets what is not settled, in order, in pages. */
static void assert_left(uint32_t page)
{
    struct store_read read = {
        .incarnation = 1, .until = UINT64_MAX, .limit = page, .limit_bytes = UINT64_MAX};
    unsigned at = 0;
    do {
        fixture_await(store, &read);
        assert_int_equal(read.status, STATUS_OK);
        for (uint32_t i = 0; i < read.row_count; i++, at++) {
            while (at < MANY && settled[at])
                at++;
            assert_true(at < MANY);
            assert_true(read.rows[i].message.number == numbers[at]);
            char payload[16];
            snprintf(payload, sizeof payload, "p%u", at);
            assert_true(bytes_equal(read.rows[i].message.payload, bytes_of_text(payload)));
            read.after = numbers[at];
        }
        store_read_fini(&read);
    } while (read.more);
    while (at < MANY && settled[at])
        at++;
    assert_int_equal(at, MANY);
}

static void a_flush_is_a_few_rows_however_many_messages(void **state)
{
    publish_many();
    assert_int_equal(rows("segment"), (MANY + SEGMENT_ENTRIES - 1) / SEGMENT_ENTRIES);
    assert_int_equal(rows("message"), 0);
    assert_int_equal(rows("progress"), 0);
    assert_int_equal(fixture_owed(&fixture), MANY);
    assert_int_equal(fixture_messages(&fixture), MANY);
    assert_left(MANY);
    assert_left(7);
}

static void what_is_settled_stays_settled_and_the_rest_stays(void **state)
{
    uint64_t random = 12345;
    publish_many();
    for (unsigned left = MANY; left > 0;) {
        struct store_batch *batch = store_batch_open(store, 0);
        for (unsigned i = 0; i < 97 && left > 0; i++, left--) {
            unsigned which;
            do {
                random = random * 6364136223846793005u + 1442695040888963407u;
                which = (unsigned)(random >> 33) % MANY;
            } while (settled[which]);
            settle(batch, which);
        }
        submit(batch);
        reopen();
        assert_left(100);
        assert_int_equal(fixture_owed(&fixture), left);
        assert_int_equal(fixture_messages(&fixture), left);
        assert_true(rows("progress") <= rows("segment"));
    }
    assert_int_equal(rows("segment"), 0);
    assert_int_equal(rows("progress"), 0);
}

static void a_segment_goes_with_its_last_entry(void **state)
{
    publish_many();
    struct store_batch *batch = store_batch_open(store, 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (i != 3)
            settle(batch, i);
    }
    submit(batch);
    reopen();
    assert_int_equal(rows("segment"), 1);
    assert_left(10);
    batch = store_batch_open(store, 0);
    settle(batch, 3);
    submit(batch);
    reopen();
    assert_int_equal(rows("segment") + rows("progress"), 0);
}

/* Two of a segment's entries change in one flush, and one in the next. */
static void exchanges_and_acknowledgements_of_one_segment_do_not_disturb_each_other(void **state)
{
    publish_many();
    fixture_sent(store, 1, numbers[5], 2, 50, 2);
    fixture_sent(store, 1, numbers[300], 2, 51, 1);
    assert_true(fixture_wait_durable(store, fixture_released(store, 1, numbers[300]), SOON_MS));
    struct store_batch *batch = store_batch_open(store, 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 5 != 0)
            settle(batch, i);
    }
    submit(batch);
    assert_true(
        fixture_wait_durable(store, fixture_sent(store, 1, numbers[10], 2, 52, 3), SOON_MS));
    reopen();
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, MANY / 5);
    assert_true(read.rows[0].message.number == numbers[300]);
    assert_int_equal(read.rows[0].state, STORE_OUTBOUND_RELEASED);
    assert_int_equal(read.rows[0].packet_identifier, 51);
    assert_int_equal(read.rows[0].message.payload.size, 0);
    assert_true(read.rows[1].message.number == numbers[5]);
    assert_true(bytes_equal(read.rows[1].message.payload, bytes_of_text("p5")));
    assert_true(read.rows[2].message.number == numbers[10]);
    assert_int_equal(read.rows[2].sequence, 3);
    assert_true(read.rows[3].message.number == numbers[0]);
    assert_true(read.rows[4].message.number == numbers[15]);
    store_read_fini(&read);
    settled[5] = settled[10] = settled[300] = true; /* as far as what is queued goes */
    assert_left(50);
}

static void what_was_sent_before_its_first_flush_comes_back_so(void **state)
{
    struct store_batch *batch = store_batch_open(store, 0);
    uint64_t first = fixture_append(batch, 1, 1, 2, true, "first");
    uint64_t second = fixture_append(batch, 1, 1, 2, true, "second");
    store_batch_sent_at_qos(batch, 1, second, 2, 9, 4);
    submit(batch);
    reopen();
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 2);
    assert_true(read.rows[0].message.number == second);
    assert_int_equal(read.rows[0].packet_identifier, 9);
    assert_true(read.rows[1].message.number == first);
    store_read_fini(&read);
}

static void messages_are_found_by_number_in_any_order(void **state)
{
    publish_many();
    struct store_batch *batch = store_batch_open(store, 0);
    settle(batch, 400);
    submit(batch);
    uint64_t wanted[] = {numbers[599], numbers[0],   7,         numbers[300], numbers[400],
                         numbers[299], numbers[598], UINT64_MAX};
    struct store_read read = {.incarnation = 1, .numbers = wanted, .number_count = 8};
    fixture_await(store, &read);
    assert_int_equal(read.status, STATUS_OK);
    assert_int_equal(read.row_count, 5);
    static const unsigned expected[] = {599, 0, 300, 299, 598};
    for (unsigned i = 0; i < 5; i++)
        assert_true(read.rows[i].message.number == numbers[expected[i]]);
    store_read_fini(&read);
    read = (struct store_read){
        .incarnation = 1, .numbers = wanted, .number_count = 8, .limit_bytes = 13};
    fixture_await(store, &read); /* "a/bp599" and "a/bp0", then no room for "a/bp300" */
    assert_int_equal(read.row_count, 2);
    assert_true(read.more);
    assert_int_equal(read.number_count, 3);
    store_read_fini(&read);
}

static void only_bodies_that_are_shared_or_large_have_rows_and_go_with_the_last(void **state)
{
    static char large[SEGMENT_INLINE + 1];
    memset(large, 'x', SEGMENT_INLINE);
    struct store_batch *batch = store_batch_open(store, 0);
    uint64_t alone = fixture_append(batch, 1, 1, 1, true, large);
    uint64_t shared = fixture_append(batch, 1, 3, 1, true, "shared");
    fixture_append(batch, 1, 1, 1, true, "own");
    submit(batch);
    assert_int_equal(rows("message"), 2);
    assert_int_equal(fixture_query(&fixture, "SELECT sum(owed) FROM message"), 4);
    assert_int_equal(fixture_messages(&fixture), 3);
    for (uint64_t session = 1; session <= 3; session++) {
        assert_int_equal(rows("message"), session == 1 ? 2 : 1);
        struct store_read read = fixture_read(store, session, true);
        assert_int_equal(read.row_count, session == 1 ? 3 : 1);
        store_read_fini(&read);
        batch = store_batch_open(store, 0);
        if (session == 1)
            store_batch_settled(batch, 1, alone);
        store_batch_settled(batch, session, shared);
        submit(batch);
        reopen();
    }
    assert_int_equal(rows("message"), 0);
    assert_int_equal(fixture_messages(&fixture), 1);
}

static void the_end_of_a_session_takes_its_part_of_what_is_shared(void **state)
{
    struct store_batch *batch = store_batch_open(store, 0);
    for (unsigned i = 0; i < 300; i++)
        numbers[i] = fixture_append(batch, 1, 2, 2, true, "shared");
    fixture_append(batch, 1, 1, 2, true, "own");
    submit(batch);
    batch = store_batch_open(store, 0);
    for (unsigned i = 0; i < 100; i++)
        settle(batch, i);
    store_batch_sent_at_qos(batch, 1, numbers[200], 2, 9, 1);
    submit(batch);
    assert_true(fixture_wait_durable(store, fixture_end(store, 1), SOON_MS));
    for (int i = 0; i < SOON_MS && rows("ended") > 0; i++)
        usleep(1000);
    assert_int_equal(rows("ended"), 0);
    assert_int_equal(rows("progress"), 0);
    assert_int_equal(fixture_query(&fixture, "SELECT sum(owed) FROM message"), 300);
    assert_int_equal(fixture_query(&fixture, "SELECT max(owed) FROM message"), 1);
    assert_int_equal(fixture_owed(&fixture), 300);
    assert_int_equal(fixture_messages(&fixture), 300);
}

/* Each run begins a period of the index of its own. */
static void periods_are_one_behind_the_other(void **state)
{
    enum { RUNS = 6, EACH = MANY / RUNS };
    for (unsigned run = 0; run < RUNS; run++) {
        struct store_batch *batch = store_batch_open(store, 0);
        for (unsigned i = run * EACH; i < (run + 1) * EACH; i++) {
            char payload[16];
            snprintf(payload, sizeof payload, "p%u", i);
            numbers[i] = fixture_append(batch, 1, 1 + (i % 10 == 0), 2, true, payload);
        }
        submit(batch);
        reopen();
    }
    assert_int_equal(fixture_query(&fixture, "SELECT count(DISTINCT period) FROM segment"), RUNS);
    assert_left(MANY);
    assert_left(33);
    uint64_t wanted[] = {numbers[MANY - 1], numbers[0], numbers[EACH], numbers[EACH - 1]};
    struct store_read read = {.incarnation = 1, .numbers = wanted, .number_count = 4};
    fixture_await(store, &read);
    assert_int_equal(read.row_count, 4);
    store_read_fini(&read);
    fixture_sent(store, 1, numbers[3 * EACH], 2, 5, 2);
    assert_true(
        fixture_wait_durable(store, fixture_sent(store, 1, numbers[EACH], 2, 6, 1), SOON_MS));
    read = fixture_read(store, 1, true);
    assert_true(read.rows[0].message.number == numbers[EACH]);
    assert_true(read.rows[1].message.number == numbers[3 * EACH]);
    store_read_fini(&read);
    struct store_batch *batch = store_batch_open(store, 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 7 == 0 || i / EACH == 2) /* and one period as a whole */
            settle(batch, i);
    }
    submit(batch);
    reopen();
    settled[EACH] = settled[3 * EACH] = true; /* as far as what is queued goes */
    assert_left(33);
    assert_true(fixture_wait_durable(store, fixture_end(store, 1), SOON_MS));
    for (int i = 0; i < SOON_MS && rows("ended") > 0; i++)
        usleep(1000);
    assert_int_equal(fixture_owed(&fixture), MANY / 10);
    assert_int_equal(fixture_messages(&fixture), MANY / 10);
    assert_int_equal(fixture_query(&fixture, "SELECT count(DISTINCT incarnation) FROM segment"), 1);
}

static void settle_twice(void)
{
    fixture_open(&fixture);
    for (int i = 0; i < 2; i++) {
        fixture_settled(fixture.store, 1, numbers[0]);
        struct store_read read = fixture_read(fixture.store, 1, false); /* brings it to disk */
        store_read_fini(&read);
    }
}

/* Our own fault: a checked build stops, and changes nothing. */
static void a_change_that_meets_no_entry_stops_a_checked_build(void **state)
{
    publish_many();
    fixture_close(&fixture);
    fixture_mute(true);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        settle_twice();
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_false(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    assert_true(fixture_said("\"settled\" met no row of session incarnation 1"));
    fixture_mute(false);
    fixture_open(&fixture);
    assert_int_equal(fixture_owed(&fixture), MANY - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flush_is_a_few_rows_however_many_messages),
        TEST(what_is_settled_stays_settled_and_the_rest_stays),
        TEST(a_segment_goes_with_its_last_entry),
        TEST(exchanges_and_acknowledgements_of_one_segment_do_not_disturb_each_other),
        TEST(what_was_sent_before_its_first_flush_comes_back_so),
        TEST(messages_are_found_by_number_in_any_order),
        TEST(only_bodies_that_are_shared_or_large_have_rows_and_go_with_the_last),
        TEST(periods_are_one_behind_the_other),
        TEST(a_change_that_meets_no_entry_stops_a_checked_build),
        TEST(the_end_of_a_session_takes_its_part_of_what_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
