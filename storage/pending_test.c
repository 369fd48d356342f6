/* The write-behind cache alone: what cancels, what holds the durable number back, what is
 * urgent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage/history_testing.h"
#include "storage/pending.h"
#include "storage/store_testing.h"

static struct pending pending;
static uint64_t lsn;
static unsigned popped;

static int set_up(void **state)
{
    pending_init(&pending);
    for (uint64_t i = 1; i <= 3; i++)
        pending_add_live(&pending, i);
    lsn = 0;
    popped = 0;
    return 0;
}

/* Pops all that can be popped; the LSN of the last, or 0. */
static uint64_t pop(void)
{
    uint64_t last = 0;
    for (struct store_batch *batch; (batch = pending_pop(&pending)) != NULL; popped++) {
        assert_true(batch->lsn > last);
        last = batch->lsn;
        batch_free(batch);
    }
    return last;
}

static int tear_down(void **state)
{
    pending_written(&pending);
    pop();
    pending_fini(&pending);
    return 0;
}

static struct store_batch *open_batch(void)
{
    struct store_batch *batch = batch_new(NULL, 0);
    batch->lsn = ++lsn;
    return batch;
}

static void apply(struct store_batch *batch)
{
    pending_apply(&pending, batch, lsn * 10);
    pending_validate(&pending);
}

static uint64_t publish(uint32_t count, uint8_t qos, bool urgent)
{
    struct store_batch *batch = open_batch();
    uint64_t number = fixture_append(batch, 1, count, qos, urgent, "x");
    apply(batch);
    return number;
}

static void settle(uint64_t incarnation, uint64_t number)
{
    struct store_batch *batch = open_batch();
    store_batch_settled(batch, incarnation, number);
    apply(batch);
}

static void an_owed_message_holds_its_batch_until_all_have_settled(void **state)
{
    uint64_t number = publish(3, 1, false);
    assert_false(pending.urgent);
    assert_int_equal(pending.dirty_messages, 1);
    settle(1, number);
    settle(3, number);
    assert_int_equal(pop(), 0);
    settle(2, number);
    assert_int_equal(pop(), lsn);
    assert_true(pending_empty(&pending));
    assert_int_equal(pending.cancelled_messages, 1);
    assert_int_equal(pending.sessions.count, 0);
}

static void batches_are_popped_in_order_only(void **state)
{
    uint64_t first = publish(1, 1, false);
    uint64_t second = publish(1, 1, false);
    settle(1, second);
    assert_int_equal(pop(), 0);
    settle(1, first);
    assert_int_equal(pop(), lsn);
}

static void settling_a_written_row_is_weak(void **state)
{
    settle(1, 77);
    assert_int_equal(pop(), lsn);
    assert_false(pending_empty(&pending));
    assert_false(pending.urgent);
}

static bool concerns_resumption(uint64_t incarnation)
{
    struct store_read read = {.incarnation = incarnation, .resume = true, .until = UINT64_MAX};
    return pending_concerns(&pending, &read);
}

static bool concerns_page(uint64_t after, uint64_t until)
{
    struct store_read read = {.incarnation = 1, .after = after, .until = until};
    return pending_concerns(&pending, &read);
}

static void who_reads_on_behind_a_change_does_not_wait_for_it(void **state)
{
    settle(1, 77);
    settle(1, 70);
    assert_true(concerns_resumption(1));
    assert_false(concerns_resumption(2));
    assert_true(concerns_page(0, 1000));
    assert_true(concerns_page(76, 1000));
    assert_false(concerns_page(77, 1000));
    uint64_t numbers[] = {79, 77};
    struct store_read read = {.incarnation = 1, .numbers = numbers, .number_count = 1};
    assert_false(pending_concerns(&pending, &read));
    read.number_count = 2;
    assert_true(pending_concerns(&pending, &read));
    pending_written(&pending);
    settle(1, 5);
    assert_false(concerns_page(5, 1000));
}

static void who_reads_what_is_not_written_waits_for_it(void **state)
{
    uint64_t first = publish(1, 1, false);
    uint64_t last = publish(1, 1, false);
    assert_false(concerns_page(0, first - 1));
    assert_true(concerns_page(0, first));
    assert_true(concerns_page(last - 1, UINT64_MAX));
    assert_false(concerns_page(last, UINT64_MAX));
    struct store_read read = {.incarnation = 1, .numbers = &last, .number_count = 1};
    assert_true(pending_concerns(&pending, &read));
    read.incarnation = 2;
    assert_false(pending_concerns(&pending, &read));
}

static void sending_at_qos_1_is_weak_and_at_qos_2_is_not(void **state)
{
    struct store_batch *batch = open_batch();
    store_batch_sent_at_qos(batch, 1, 77, 1, 5, 1);
    apply(batch);
    assert_int_equal(pop(), lsn);
    assert_false(pending.urgent);
    batch = open_batch();
    store_batch_sent(batch, 1, 78, 6, 2); /* not told: the safe side */
    apply(batch);
    assert_int_equal(pop(), 0);
    assert_true(pending.urgent);
    pending_written(&pending);
    assert_int_equal(pop(), lsn);
    uint64_t number = publish(1, 1, false);
    batch = open_batch();
    store_batch_sent(batch, 1, number, 7, 3); /* known from the pending row */
    apply(batch);
    assert_false(pending.urgent);
    settle(1, number);
    assert_int_equal(pop(), lsn);
}

static void what_was_held_for_a_cancelled_row_is_let_go(void **state)
{
    uint64_t number = publish(1, 2, false);
    struct store_batch *batch = open_batch();
    store_batch_sent_at_qos(batch, 1, number, 2, 5, 1);
    store_batch_released(batch, 1, number);
    apply(batch);
    assert_true(pending.urgent);
    assert_int_equal(pop(), 0);
    settle(1, number);
    assert_int_equal(pop(), lsn);
    assert_false(pending.urgent);
}

static void everything_else_waits_for_a_commit(void **state)
{
    struct store_session session = {.incarnation = 9};
    struct store_subscription subscription = {.topic_filter = bytes_of_text("a")};
    for (int which = 0; which < 6; which++) {
        struct store_batch *batch = open_batch();
        switch (which) {
        case 0:
            store_batch_session(batch, &session);
            break;
        case 1:
            store_batch_subscribe(batch, 9, &subscription);
            break;
        case 2:
            store_batch_unsubscribe(batch, 9, subscription.topic_filter);
            break;
        case 3:
            store_batch_inbound_erase(batch, 9, 1);
            break;
        case 4:
            store_batch_released(batch, 9, 77);
            break;
        default:
            store_batch_session_end(batch, 9);
            break;
        }
        assert_true(batch->urgent);
        apply(batch);
        assert_true(pending.urgent);
        assert_int_equal(pop(), 0);
        pending_written(&pending);
        assert_int_equal(pop(), lsn);
        assert_true(pending_empty(&pending));
    }
}

static void a_retained_change_is_written_though_nobody_is_owed_it(void **state)
{
    struct store_batch *batch = open_batch();
    struct store_message message = {.topic = bytes_of_text("a")};
    struct store_publish publish = {.message = &message, .retained = STORE_RETAINED_SET};
    store_batch_message(batch, &publish);
    apply(batch);
    assert_true(pending.urgent);
    assert_false(pending_empty(&pending));
    assert_int_equal(pop(), 0);
}

static void a_publish_owed_to_nobody_is_nothing(void **state)
{
    publish(0, 1, true);
    assert_true(pending_empty(&pending));
    assert_false(pending.urgent);
    assert_int_equal(pop(), lsn);
}

static void an_end_cancels_and_later_deltas_are_ignored(void **state)
{
    uint64_t number = publish(2, 1, false);
    settle(1, 77); /* a written row */
    struct store_batch *batch = open_batch();
    store_batch_session_end(batch, 1);
    store_batch_settled(batch, 1, number);
    store_batch_settled(batch, 1, 78);
    store_batch_sent(batch, 1, 79, 1, 1);
    fixture_append(batch, 1, 1, 1, true, "late");
    apply(batch);
    assert_int_equal(pending.row_count, 1); /* the other session's */
    assert_int_equal(pending.change_count, 0);
    assert_int_equal(pending.dirty_messages, 1);
    assert_int_equal(pending.anomalies, 0);
    assert_int_equal(pending.ignored, 4);
    pending_written(&pending);
    assert_int_equal(pop(), lsn);
}

static void many_rows_survive_growth_and_cancel(void **state)
{
    enum { MANY = 5000 };
    static uint64_t numbers[MANY];
    struct store_batch *batch = open_batch();
    for (int i = 0; i < MANY; i++)
        numbers[i] = fixture_append(batch, 1, 3, 1, false, "x");
    apply(batch);
    assert_int_equal(pending.row_count, 3 * MANY);
    batch = open_batch();
    for (int i = MANY - 1; i >= 0; i--)
        store_batch_settled(batch, 1 + (uint64_t)(i % 3), numbers[i]);
    apply(batch);
    assert_int_equal(pending.row_count, 2 * MANY);
    pending_written(&pending);
    assert_int_equal(pending.row_count, 0);
    pop();
    publish(3, 1, false);
    assert_int_equal(pending.row_count, 3);
}

/* Whatever happens, the invariants hold and every batch comes out. */
static void random_histories_keep_the_invariants(void **state)
{
    static struct history history;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        tear_down(NULL);
        set_up(NULL);
        history_init(&history, seed);
        for (unsigned i = 0; i < 300; i++) {
            struct store_batch *batch = open_batch();
            history_step(&history, batch->lsn, batch);
            apply(batch);
            pop();
            if (history_random(&history, 10) == 0) {
                pending_written(&pending);
                pending_validate(&pending);
                pop();
                assert_null(pending_oldest(&pending));
            }
        }
        assert_int_equal(pending.anomalies, 0);
        pending_written(&pending);
        pop();
        assert_int_equal(popped, 300);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_owed_message_holds_its_batch_until_all_have_settled),
        TEST(batches_are_popped_in_order_only),
        TEST(settling_a_written_row_is_weak),
        TEST(who_reads_on_behind_a_change_does_not_wait_for_it),
        TEST(who_reads_what_is_not_written_waits_for_it),
        TEST(sending_at_qos_1_is_weak_and_at_qos_2_is_not),
        TEST(what_was_held_for_a_cancelled_row_is_let_go),
        TEST(everything_else_waits_for_a_commit),
        TEST(a_retained_change_is_written_though_nobody_is_owed_it),
        TEST(a_publish_owed_to_nobody_is_nothing),
        TEST(an_end_cancels_and_later_deltas_are_ignored),
        TEST(many_rows_survive_growth_and_cancel),
        TEST(random_histories_keep_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
