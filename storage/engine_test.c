/* When a flush starts and who applies what, on a clock of our own and without the store's threads:
 * the test is all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "storage/clock.h"
#include "storage/internal.h"
#include "storage/store_testing.h"

static struct fixture fixture;
static uint64_t now_us;
static uint64_t tick_us; /* what passes with each look at the clock, and so during a commit */

static uint64_t fake_monotonic_us(void)
{
    return now_us += tick_us;
}

static int64_t fake_ms(void)
{
    return 1000;
}

static void fake_boot_id(char out[40])
{
    snprintf(out, 40, "boot");
}

static const struct clock_source fake = {fake_monotonic_us, fake_ms, fake_ms, fake_boot_id};

static uint64_t step(void)
{
    bool nap;
    return engine_step(fixture.store, &nap);
}

/* Steps until there is nothing to do at once; for how long there is not. */
static uint64_t rest(void)
{
    for (int i = 0; i < 100; i++) {
        uint64_t rest_us = step();
        if (rest_us > 0)
            return rest_us;
    }
    fail();
    return 0;
}

static int set_up_for(unsigned workers, enum store_durability durability)
{
    struct store_visitor nothing = {.context = NULL};
    now_us = 1000000;
    tick_us = 0;
    clock_source = &fake;
    fixture_init(&fixture);
    fixture.options.workers = workers;
    fixture.options.durability = durability;
    fixture.options.commit_delay_us = 2000;
    assert_int_equal(
        store_open(&fixture.options, &fixture.store, fixture.error, sizeof fixture.error),
        STATUS_OK);
    assert_int_equal(store_load(fixture.store, &nothing), STATUS_OK);
    fixture_session(fixture.store, 1, "one");
    rest();
    return 0;
}

static int set_up(void **state)
{
    return set_up_for(1, STORE_DURABILITY_COMMIT);
}

static int set_up_two(void **state)
{
    return set_up_for(2, STORE_DURABILITY_COMMIT);
}

static int set_up_flush(void **state)
{
    return set_up_for(2, STORE_DURABILITY_FLUSH);
}

static int tear_down(void **state)
{
    fixture_fini(&fixture);
    clock_source = &clock_system;
    return 0;
}

static void what_cancels_out_needs_no_storage_thread(void **state)
{
    uint64_t number, lsn = fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
    assert_true(store_durable(fixture.store) < lsn);
    lsn = fixture_settled(fixture.store, 1, number);
    assert_true(store_durable(fixture.store) >= lsn);
    assert_int_equal(fixture_messages(&fixture), 0);
}

static void a_worker_does_not_wait_for_a_flush_under_way(void **state)
{
    uint64_t number, lsn = fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
    pthread_mutex_lock(&fixture.store->engine.lock); /* as the storage thread does for its step */
    lsn = fixture_settled(fixture.store, 1, number);
    assert_true(store_durable(fixture.store) < lsn);
    step();
    pthread_mutex_unlock(&fixture.store->engine.lock);
    assert_true(store_durable(fixture.store) >= lsn);
}

static void what_is_applied_while_the_files_are_away_waits_until_they_are_back(void **state)
{
    uint64_t number, lsn = fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
    fixture.store->engine.displaced = true;
    lsn = fixture_settled(fixture.store, 1, number);
    assert_true(store_durable(fixture.store) < lsn);
    fixture.store->engine.displaced = false;
    step();
    assert_true(store_durable(fixture.store) >= lsn);
}

/* Under `flush` a worker may ask for what another has submitted and nobody has applied yet. */
static void what_is_asked_for_by_number_is_applied_first(void **state)
{
    struct store *store = fixture.store;
    store->engine.displaced = true; /* so that nothing is applied */
    store->engine.retry_at_us = now_us + 1000000;
    struct store_batch *batch = store_batch_open(store, 1);
    uint64_t number = fixture_append(batch, 1, 1, 1, false, "x");
    store_submit(store, batch);
    struct store_read read = {.incarnation = 1, .numbers = &number, .number_count = 1};
    store_read_submit(store, &read);
    step();
    assert_true(reader_queue_empty(&store->readable));
    store->engine.displaced = false;
    store->engine.retry_at_us = 0;
    rest();
    assert_ptr_equal(reader_queue_pop(&store->readable), &read);
    engine_answer(store, &read);
    assert_ptr_equal(store_read_next(store, 0), &read);
    assert_int_equal(read.row_count, 1);
    store_read_fini(&read);
}

static void who_returns_is_read_for_before_those_who_read_on(void **state)
{
    struct store *store = fixture.store;
    struct store_read pages[] = {{.incarnation = 1, .limit = 10}, {.incarnation = 2, .limit = 10}};
    struct store_read returns[] = {{.incarnation = 3, .resume = true},
                                   {.incarnation = 4, .resume = true}};
    for (int i = 0; i < 2; i++) {
        store_read_submit(store, &pages[i]);
        store_read_submit(store, &returns[i]);
        rest();
    }
    assert_ptr_equal(reader_queue_pop(&store->readable), &returns[0]);
    assert_ptr_equal(reader_queue_pop(&store->readable), &returns[1]);
    assert_ptr_equal(reader_queue_pop(&store->readable), &pages[0]);
    store_read_submit(store, &returns[0]);
    rest();
    assert_ptr_equal(reader_queue_pop(&store->readable), &returns[0]);
    assert_ptr_equal(reader_queue_pop(&store->readable), &pages[1]);
    assert_null(reader_queue_pop(&store->readable));
    reader_queue_push(&store->readable, &pages[0]);
    assert_ptr_equal(reader_queue_pop(&store->readable), &pages[0]);
}

/* For how long a message waits for an acknowledgement that does not come. */
static uint64_t waited_us(void)
{
    uint64_t number;
    uint64_t lsn = fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
    uint64_t began_us = now_us;
    while (store_durable(fixture.store) < lsn)
        now_us += step(); /* 0 behind a flush */
    return now_us - began_us;
}

/* The same when commits take so long. */
static uint64_t patience_us(uint64_t commit_us)
{
    uint64_t number;
    tick_us = commit_us / 3; /* it is timed as a whole, and so is its COMMIT */
    for (int i = 0; i < 40; i++) {
        fixture_publish(fixture.store, 1, 1, 1, true, "x", &number);
        rest();
    }
    tick_us = 0;
    return waited_us();
}

static void a_message_waits_for_commit_delay_where_commits_are_quick(void **state)
{
    assert_int_equal(patience_us(100), 2000);
}

static void a_message_waits_as_long_as_commits_take(void **state)
{
    assert_in_range(patience_us(7000), 6900, 7000);
}

static void a_message_waits_for_ten_commit_delays_at_most(void **state)
{
    assert_int_equal(patience_us(900000), 20000);
}

/* Messages come and are settled after such a time, and there is always one that is not yet. */
static void come_and_go(unsigned count, uint64_t settled_after_us)
{
    uint64_t number, next;
    fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
    for (unsigned i = 0; i < count; i++) {
        rest();
        now_us += settled_after_us;
        fixture_publish(fixture.store, 1, 1, 1, false, "x", &next);
        fixture_settled(fixture.store, 1, number);
        number = next;
    }
    now_us += settled_after_us;
    fixture_settled(fixture.store, 1, number);
}

static void a_message_waits_four_times_as_long_as_acknowledgements_take(void **state)
{
    come_and_go(40, 1500);
    assert_in_range(waited_us(), 5900, 6000);
}

static void who_stops_answering_is_waited_for_less_and_less(void **state)
{
    for (unsigned i = 1; i < 30; i++)
        come_and_go(1, i * 400 < 4900 ? i * 400 : 4900);
    come_and_go(60, 4900);
    assert_in_range(waited_us(), 19000, 20000);
    for (unsigned i = 0; i < 100; i++)
        waited_us();
    assert_int_equal(waited_us(), 2000);
}

static void of_what_comes_and_goes_nothing_is_written(void **state)
{
    uint64_t commits = fixture.store->engine.writer.commits;
    fixture.store->options.flush_interval_ms = 100;
    come_and_go(1000, 1000);
    assert_int_equal(fixture.store->engine.writer.commits, commits);
}

static void what_is_settled_on_disk_is_written_beside_what_comes_and_goes(void **state)
{
    uint64_t number;
    fixture.store->options.flush_interval_ms = 100;
    fixture_publish(fixture.store, 1, 1, 1, true, "x", &number);
    rest();
    fixture_settled(fixture.store, 1, number);
    uint64_t commits = fixture.store->engine.writer.commits;
    come_and_go(98, 1000);
    assert_int_equal(fixture.store->engine.writer.commits, commits);
    come_and_go(3, 1000);
    assert_int_equal(fixture.store->engine.writer.commits, commits + 1);
}

static void what_has_ended_goes_beside_what_comes_and_goes(void **state)
{
    uint64_t number;
    fixture.store->options.flush_interval_ms = 100;
    fixture_session(fixture.store, 2, "two");
    for (int i = 0; i < 300; i++) { /* a row each */
        fixture_publish(fixture.store, 2, 1, 1, true, "x", &number);
        rest();
    }
    fixture_end(fixture.store, 2);
    step(); /* the end is written; of the rows, none is deleted yet */
    assert_true(writer_has_ended(&fixture.store->engine.writer));
    come_and_go(1000, 1000);
    assert_false(writer_has_ended(&fixture.store->engine.writer));
}

/* Submits messages while the storage thread is at work, and so does not take them in. */
static uint64_t publish_beside_a_flush(unsigned count, const char *payload)
{
    uint64_t number, lsn = 0;
    pthread_mutex_lock(&fixture.store->engine.lock);
    for (unsigned i = 0; i < count; i++)
        lsn = fixture_publish(fixture.store, 1, 1, 1, true, payload, &number);
    pthread_mutex_unlock(&fixture.store->engine.lock);
    return lsn;
}

static void under_flush_answers_wait_when_four_thresholds_are_unwritten(void **state)
{
    fixture.store->options.flush_mem_threshold = 5;
    publish_beside_a_flush(20, "x");
    assert_true(store_durable(fixture.store) == UINT64_MAX);
    uint64_t lsn = publish_beside_a_flush(1, "x");
    assert_true(store_durable(fixture.store) < lsn);
    fixture.notified[1] = 0;
    rest();
    assert_true(store_durable(fixture.store) == UINT64_MAX);
    assert_int_equal(fixture.notified[1], 1); /* whose batches these were not */
    assert_int_equal(fixture_messages(&fixture), 21);
}

static void a_backlog_of_many_bytes_is_written_before_its_time(void **state)
{
    static char payload[1 << 20];
    memset(payload, 'x', sizeof payload - 1);
    fixture.store->options.flush_mem_threshold = 1000;
    publish_beside_a_flush(17, payload);
    rest();
    assert_int_equal(fixture_messages(&fixture), 17);
}

static void what_is_settled_behind_one_that_is_not_is_not_kept_for_long(void **state)
{
    uint64_t number;
    fixture.store->options.flush_mem_threshold = 5;
    fixture_publish(fixture.store, 1, 1, 1, false, "stays", &number);
    for (int i = 0; i < 8; i++) {
        fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
        fixture_settled(fixture.store, 1, number);
        rest();
        assert_int_equal(fixture_messages(&fixture), 0);
    }
    fixture_publish(fixture.store, 1, 1, 1, false, "x", &number);
    rest();
    assert_int_equal(fixture_messages(&fixture), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_cancels_out_needs_no_storage_thread),
        TEST(a_worker_does_not_wait_for_a_flush_under_way),
        TEST(what_is_applied_while_the_files_are_away_waits_until_they_are_back),
        cmocka_unit_test_setup_teardown(what_is_asked_for_by_number_is_applied_first, set_up_two,
                                        tear_down),
        cmocka_unit_test_setup_teardown(under_flush_answers_wait_when_four_thresholds_are_unwritten,
                                        set_up_flush, tear_down),
        cmocka_unit_test_setup_teardown(a_backlog_of_many_bytes_is_written_before_its_time,
                                        set_up_flush, tear_down),
        cmocka_unit_test_setup_teardown(what_is_settled_behind_one_that_is_not_is_not_kept_for_long,
                                        set_up_flush, tear_down),
        TEST(who_returns_is_read_for_before_those_who_read_on),
        TEST(a_message_waits_for_commit_delay_where_commits_are_quick),
        TEST(a_message_waits_as_long_as_commits_take),
        TEST(a_message_waits_for_ten_commit_delays_at_most),
        TEST(a_message_waits_four_times_as_long_as_acknowledgements_take),
        TEST(who_stops_answering_is_waited_for_less_and_less),
        TEST(of_what_comes_and_goes_nothing_is_written),
        TEST(what_is_settled_on_disk_is_written_beside_what_comes_and_goes),
        TEST(what_has_ended_goes_beside_what_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
