/* The store as a worker sees it, on a real file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/history_testing.h"
#include "storage/schema.h"
#include "storage/store_testing.h"

enum { SOON_MS = 5000 };

static struct fixture fixture;
static struct store *store;

static int set_up(void **state)
{
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
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

/* For what becomes true soon after the durable number has moved. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        for (int await_ms_ = 0; await_ms_ < SOON_MS && !(condition); await_ms_++)                  \
            usleep(1000);                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static struct store_statistics statistics(void)
{
    struct store_statistics now;
    store_statistics(store, &now);
    return now;
}

static void wait_durable(uint64_t lsn)
{
    assert_true(fixture_wait_durable(store, lsn, SOON_MS));
}

/* Whether the file holds such a fact now. */
static bool dump_has(const char *text)
{
    char path[128];
    fixture_path(&fixture, "holdfast.db", path);
    char *dump = history_dump_database(path);
    bool has = strstr(dump, text) != NULL;
    free(dump);
    return has;
}

/* ---- What is stored comes back ---- */

struct seen {
    unsigned sessions, subscriptions, retained;
    struct store_session session;
    struct store_subscription subscription;
    uint64_t backlog;
    uint64_t subscription_of;
    char topic[32];
};

static void see_session(void *context, const struct store_session *session, uint64_t backlog)
{
    struct seen *seen = context;
    seen->sessions++;
    seen->session = *session;
    seen->backlog = backlog;
    assert_true(bytes_equal(session->client_identifier, bytes_of_text("sensor-7")));
    assert_true(bytes_equal(session->owner, bytes_of_text("user:anna")));
    assert_true(bytes_equal(session->will.topic, bytes_of_text("gone/sensor-7")));
    assert_true(bytes_equal(session->will.payload, bytes_of_text("gone")));
    assert_int_equal(session->will.properties.size, 0);
}

static void see_subscription(void *context, uint64_t incarnation,
                             const struct store_subscription *subscription)
{
    struct seen *seen = context;
    assert_int_equal(seen->session.incarnation, incarnation);
    seen->subscriptions++;
    seen->subscription = *subscription;
    assert_true(bytes_equal(subscription->topic_filter, bytes_of_text("$share/g/a/+")));
}

static void see_retained(void *context, const struct store_message *message)
{
    struct seen *seen = context;
    seen->retained++;
    snprintf(seen->topic, sizeof seen->topic, "%.*s", (int)message->topic.size,
             (const char *)message->topic.data);
    assert_true(message->has_expiry);
    assert_int_equal(message->expiry_interval_s, 77);
    assert_int_equal(message->received_at_ms, 123456789);
    assert_int_equal(message->publisher, 9);
}

static uint64_t retain(struct store_batch *batch, const char *topic, bool set)
{
    struct store_message message = {
        .qos = 1,
        .retain = true,
        .has_expiry = true,
        .expiry_interval_s = 77,
        .received_at_ms = 123456789,
        .publisher = 9,
        .topic = bytes_of_text(topic),
        .payload = bytes_of_text(set ? "kept" : ""),
    };
    struct store_publish publish = {.message = &message,
                                    .retained = set ? STORE_RETAINED_SET : STORE_RETAINED_DELETE};
    store_batch_message(batch, &publish);
    return message.number;
}

static void sessions_subscriptions_wills_and_retained_messages_come_back(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    assert_int_equal(store_boot(store), 1);
    struct store_batch *batch = store_batch_open(store, 0);
    struct store_session session = {
        .incarnation = 0x100000007,
        .client_identifier = bytes_of_text("sensor-7"),
        .owner = bytes_of_text("user:anna"),
        .version = 5,
        .expiry_interval_s = UINT32_MAX,
        .connected = false,
        .disconnected_at_ms = 1700000000123,
        .will_due_ms = 1700000001123,
        .will = {.present = true,
                 .qos = 2,
                 .retain = true,
                 .delay_interval_s = 10,
                 .has_message_expiry = true,
                 .message_expiry_interval_s = 0,
                 .topic = bytes_of_text("gone/sensor-7"),
                 .payload = bytes_of_text("gone")},
    };
    struct store_subscription subscription = {
        .topic_filter = bytes_of_text("$share/g/a/+"), .options = 0x2e, .identifier = 268435455};
    store_batch_session(batch, &session);
    store_batch_subscribe(batch, session.incarnation, &subscription);
    struct store_subscription another = {.topic_filter = bytes_of_text("b")};
    store_batch_subscribe(batch, session.incarnation, &another);
    store_batch_unsubscribe(batch, session.incarnation, another.topic_filter);
    retain(batch, "t/1", true);
    retain(batch, "t/2", true);
    retain(batch, "t/1", false);
    uint64_t replaced = retain(batch, "t/2", true);
    retain(batch, "t/2", true);
    store_batch_retained_expire(batch, bytes_of_text("t/2"), replaced);
    uint64_t expired = retain(batch, "t/3", true);
    store_batch_retained_expire(batch, bytes_of_text("t/3"), expired);
    fixture_append(batch, session.incarnation, 1, 1, false, "x");
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    wait_durable(lsn);
    fixture_close(&fixture);

    struct seen seen = {0};
    struct store_visitor visitor = {&seen, see_session, see_subscription, see_retained};
    assert_int_equal(store_open(&fixture.options, &fixture.store, fixture.error, 256), STATUS_OK);
    store = fixture.store;
    assert_int_equal(store_load(store, &visitor), STATUS_OK);
    assert_int_equal(store_boot(store), 2);
    assert_true(store_first_lsn(store) >= lsn);
    assert_int_equal(seen.sessions, 1);
    assert_int_equal(seen.backlog, 1);
    assert_int_equal(seen.session.incarnation, session.incarnation);
    assert_int_equal(seen.session.version, 5);
    assert_int_equal(seen.session.expiry_interval_s, UINT32_MAX);
    assert_false(seen.session.connected);
    assert_true(seen.session.disconnected_at_ms == 1700000000123);
    assert_true(seen.session.will_due_ms == 1700000001123);
    assert_true(seen.session.will.present);
    assert_int_equal(seen.session.will.qos, 2);
    assert_true(seen.session.will.retain);
    assert_int_equal(seen.session.will.delay_interval_s, 10);
    assert_true(seen.session.will.has_message_expiry);
    assert_int_equal(seen.session.will.message_expiry_interval_s, 0);
    assert_int_equal(seen.subscriptions, 1);
    assert_int_equal(seen.subscription.options, 0x2e);
    assert_int_equal(seen.subscription.identifier, 268435455);
    assert_int_equal(seen.retained, 1);
    assert_string_equal(seen.topic, "t/2");
}

static void messages_come_back_with_everything_they_had(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    struct store_batch *batch = store_batch_open(store, 0);
    uint32_t identifiers[100];
    for (uint32_t i = 0; i < 100; i++)
        identifiers[i] = i * 2684354 + 1;
    struct store_owed owed = {.incarnation = 1,
                              .qos = 2,
                              .retain = true,
                              .subscription_identifiers = identifiers,
                              .subscription_identifier_count = 100};
    struct store_message message = {
        .qos = 2,
        .retain = true,
        .has_expiry = true,
        .expiry_interval_s = UINT32_MAX,
        .received_at_ms = -5,
        .publisher = 0x500000001,
        .topic = bytes_of_text("a/b"),
        .properties = bytes_of_text("\x01\x01"),
        .payload = bytes_of("\0\xff", 2),
    };
    struct store_publish publish = {
        .message = &message, .owed = &owed, .owed_count = 1, .urgent = true};
    store_batch_message(batch, &publish);
    store_submit(store, batch);
    reopen();
    struct store_read read = fixture_read(store, 1, false);
    assert_int_equal(read.row_count, 1);
    assert_false(read.more);
    const struct store_row *row = &read.rows[0];
    assert_true(row->message.number == message.number);
    assert_int_equal(row->message.qos, 2);
    assert_true(row->message.retain);
    assert_true(row->message.has_expiry);
    assert_int_equal(row->message.expiry_interval_s, UINT32_MAX);
    assert_true(row->message.received_at_ms == -5);
    assert_true(row->message.publisher == 0x500000001);
    assert_true(bytes_equal(row->message.topic, message.topic));
    assert_true(bytes_equal(row->message.properties, message.properties));
    assert_true(bytes_equal(row->message.payload, message.payload));
    assert_int_equal(row->qos, 2);
    assert_true(row->retain);
    assert_int_equal(row->state, STORE_OUTBOUND_QUEUED);
    assert_int_equal(row->subscription_identifier_count, 100);
    assert_memory_equal(row->subscription_identifiers, identifiers, sizeof identifiers);
    store_read_fini(&read);
}

/* ---- Cancellation ---- */

static void what_is_settled_before_its_flush_is_never_written(void **state)
{
    fixture.options.commit_delay_us = 60000000;
    fixture_open(&fixture);
    store = fixture.store;
    wait_durable(fixture_session(store, 1, "a"));
    AWAIT(statistics().commits == 1);
    uint64_t number;
    uint64_t published = fixture_publish(store, 1, 1, 1, false, "x", &number);
    usleep(20000);
    assert_true(store_durable(store) < published);
    uint64_t settled = fixture_settled(store, 1, number);
    wait_durable(settled);
    AWAIT(statistics().messages_cancelled == 1);
    assert_int_equal(statistics().commits, 1);
    assert_int_equal(statistics().dirty_messages, 0);
}

static void what_is_not_settled_is_written_after_commit_delay(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    uint64_t published = fixture_publish(store, 1, 1, 1, false, "x", NULL);
    wait_durable(published);
    assert_int_equal(fixture_owed(&fixture), 1);
}

static void one_settles_and_the_other_keeps_the_body(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    fixture_session(store, 2, "b");
    uint64_t number;
    wait_durable(fixture_publish(store, 1, 2, 1, true, "x", &number));
    fixture_settled(store, 1, number);
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 0);
    store_read_fini(&read);
    read = fixture_read(store, 2, true);
    assert_int_equal(read.row_count, 1);
    assert_true(bytes_equal(read.rows[0].message.payload, bytes_of_text("x")));
    store_read_fini(&read);
    fixture_settled(store, 2, number);
    read = fixture_read(store, 2, true);
    assert_int_equal(read.row_count, 0);
    store_read_fini(&read);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 0);
    AWAIT(statistics().messages == 0);
}

/* A settled row is weak: it waits for the interval, and holds nobody back. */
static void settled_rows_do_not_hold_back_the_durable_number(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    uint64_t number;
    wait_durable(fixture_publish(store, 1, 1, 1, true, "x", &number));
    wait_durable(fixture_settled(store, 1, number));
    assert_int_equal(fixture_owed(&fixture), 1);
    reopen();
    assert_int_equal(fixture_owed(&fixture), 0);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 0);
}

/* ---- States of an outbound message ---- */

static void outbound_states_come_back_in_the_order_of_sending(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    uint64_t n[4];
    for (int i = 0; i < 4; i++)
        fixture_publish(store, 1, 1, 2, true, "body", &n[i]);
    fixture_sent(store, 1, n[2], 2, 12, 1);
    fixture_sent(store, 1, n[0], 2, 11, 2);
    wait_durable(fixture_released(store, 1, n[2]));
    reopen();
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 4);
    assert_true(read.rows[0].message.number == n[2]);
    assert_int_equal(read.rows[0].state, STORE_OUTBOUND_RELEASED);
    assert_int_equal(read.rows[0].packet_identifier, 12);
    assert_int_equal(read.rows[0].message.payload.size, 0);
    assert_true(read.rows[1].message.number == n[0]);
    assert_int_equal(read.rows[1].state, STORE_OUTBOUND_SENT);
    assert_int_equal(read.rows[1].packet_identifier, 11);
    assert_int_equal(read.rows[1].sequence, 2);
    assert_int_equal(read.rows[1].message.payload.size, 4);
    assert_true(read.rows[2].message.number == n[1]);
    assert_true(read.rows[3].message.number == n[3]);
    store_read_fini(&read);
    read = fixture_read(store, 1, false);
    assert_int_equal(read.row_count, 2);
    store_read_fini(&read);
    wait_durable(fixture_released(store, 1, n[0]));
    fixture_settled(store, 1, n[2]);
    fixture_settled(store, 1, n[0]);
    read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 2);
    store_read_fini(&read);
}

static void an_identifier_of_qos_2_is_durable_before_it_is_used(void **state)
{
    fixture.options.commit_delay_us = 60000000;
    fixture_open(&fixture);
    store = fixture.store;
    wait_durable(fixture_session(store, 1, "a"));
    uint64_t number;
    fixture_publish(store, 1, 1, 2, false, "x", &number);
    wait_durable(fixture_sent(store, 1, number, 2, 7, 1));
    assert_true(dump_has(" state 1 as 7 sequence 1 "));
    wait_durable(fixture_released(store, 1, number));
    assert_true(dump_has(" state 2 as 7 sequence 1 "));
}

static void inbound_identifiers_are_durable_and_erased(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    wait_durable(fixture_session(store, 1, "a"));
    struct store_batch *batch = store_batch_open(store, 0);
    struct store_message message = {.qos = 2, .topic = bytes_of_text("t")};
    struct store_publish publish = {
        .message = &message, .inbound_incarnation = 1, .inbound_packet_identifier = 65535};
    store_batch_message(batch, &publish);
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    wait_durable(lsn);
    assert_int_equal(fixture_query(&fixture, "SELECT packet_identifier FROM inbound"), 65535);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 0);
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.inbound_count, 1);
    assert_int_equal(read.inbound_packet_identifiers[0], 65535);
    store_read_fini(&read);
    batch = store_batch_open(store, 0);
    store_batch_inbound_erase(batch, 1, 65535);
    lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    wait_durable(lsn);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM inbound"), 0);
}

/* ---- Reading ---- */

static void a_backlog_is_read_in_pages(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    uint64_t numbers[10], last = 0;
    for (int i = 0; i < 10; i++)
        last = fixture_publish(store, 1, 1, 1, true, "0123456", &numbers[i]);
    wait_durable(last);
    struct store_read read = {.incarnation = 1,
                              .after = numbers[0],
                              .until = numbers[8],
                              .limit = 3,
                              .limit_bytes = 1000};
    fixture_await(store, &read);
    assert_int_equal(read.row_count, 3);
    assert_true(read.more);
    for (int i = 0; i < 3; i++)
        assert_true(read.rows[i].message.number == numbers[1 + i]);
    store_read_fini(&read);

    read = (struct store_read){.incarnation = 1,
                               .after = numbers[3],
                               .until = numbers[8],
                               .limit = 100,
                               .limit_bytes = 20}; /* two of ten bytes */
    fixture_await(store, &read);
    assert_int_equal(read.row_count, 2);
    assert_true(read.more);
    store_read_fini(&read);

    read = (struct store_read){.incarnation = 1,
                               .after = numbers[5],
                               .until = numbers[8],
                               .limit = 3,
                               .limit_bytes = 1000};
    fixture_await(store, &read);
    assert_int_equal(read.row_count, 3);
    assert_false(read.more);
    store_read_fini(&read);

    read = (struct store_read){
        .incarnation = 1, .until = UINT64_MAX, .limit = 3, .limit_bytes = 1}; /* at least one */
    fixture_await(store, &read);
    assert_int_equal(read.row_count, 1);
    store_read_fini(&read);

    uint64_t some[] = {numbers[7], 1, numbers[2]};
    read = (struct store_read){.incarnation = 1, .numbers = some, .number_count = 3};
    fixture_await(store, &read);
    assert_int_equal(read.row_count, 2);
    assert_true(read.rows[0].message.number == numbers[7]);
    assert_true(read.rows[1].message.number == numbers[2]);
    store_read_fini(&read);
}

static void a_read_does_not_see_what_is_settled_in_memory_only(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    uint64_t number;
    wait_durable(fixture_publish(store, 1, 1, 1, true, "x", &number));
    fixture_settled(store, 1, number);
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 0);
    store_read_fini(&read);
}

/* ---- Ending ---- */

static void an_ended_session_is_gone_and_so_is_what_comes_late(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    fixture_session(store, 2, "b");
    fixture_subscribe(store, 1, "x");
    for (int i = 0; i < 300; i++)
        fixture_publish(store, 1, 2, 1, true, "x", NULL);
    uint64_t number;
    wait_durable(fixture_publish(store, 1, 1, 1, true, "x", &number));
    fixture_publish(store, 1, 1, 1, true, "pending", NULL);
    wait_durable(fixture_end(store, 1));
    fixture_settled(store, 1, number);
    wait_durable(fixture_publish(store, 1, 1, 1, true, "late", NULL));
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM session"), 1);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM subscription"), 0);
    AWAIT(fixture_query(&fixture, "SELECT count(*) FROM ended") == 0);
    assert_int_equal(fixture_owed(&fixture), 300);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 300);
    assert_int_equal(fixture_query(&fixture, "SELECT sum(owed) FROM message"), 300);
}

static void rows_without_a_session_are_not_seen_and_are_deleted(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    for (int i = 0; i < 10; i++)
        fixture_publish(store, 1, 1, 1, true, "x", NULL);
    fixture_close(&fixture);
    fixture_exec(&fixture, "DELETE FROM session");
    fixture_open(&fixture);
    store = fixture.store;
    AWAIT(fixture_owed(&fixture) == 0);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 0);
}

/* ---- Order ---- */

static void nothing_is_durable_behind_a_batch_that_is_still_open(void **state)
{
    fixture.options.workers = 2;
    fixture_open(&fixture);
    store = fixture.store;
    wait_durable(fixture_session(store, 1, "a"));
    struct store_batch *open = store_batch_open(store, 1);
    uint64_t later = fixture_publish(store, 1, 1, 1, true, "x", NULL);
    usleep(30000);
    assert_true(store_durable(store) < store_batch_lsn(open));
    assert_int_equal(fixture_owed(&fixture), 0);
    store_submit(store, open);
    wait_durable(later);
}

/* Each batch is submitted as the storage thread is done with the one before: while it is about to
 * sleep. It would next look by itself, for its upkeep, after a second. */
static void a_batch_wakes_who_is_about_to_sleep(void **state)
{
    enum { ROUNDS = 50, WITHOUT_BEING_WOKEN_MS = 900 };
    fixture_open(&fixture);
    store = fixture.store;
    wait_durable(fixture_session(store, 1, "a"));
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t lsn = fixture_publish(store, 1, 1, 1, true, "x", NULL);
        assert_true(fixture_wait_durable(store, lsn, WITHOUT_BEING_WOKEN_MS));
    }
}

static void only_workers_with_something_durable_are_notified(void **state)
{
    fixture.options.workers = 3;
    fixture_open(&fixture);
    store = fixture.store;
    wait_durable(fixture_session(store, 1, "a"));
    AWAIT(atomic_load(&fixture.notified[0]) == 1);
    uint32_t before = 1;
    struct store_batch *batch = store_batch_open(store, 2);
    fixture_append(batch, 1, 1, 1, true, "x");
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    wait_durable(lsn);
    AWAIT(atomic_load(&fixture.notified[2]) == 1);
    assert_int_equal(atomic_load(&fixture.notified[0]), before);
    assert_int_equal(atomic_load(&fixture.notified[1]), 0);
}

static void cookies_are_released_on_the_workers_thread_once(void **state)
{
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    struct store_batch *batch = store_batch_open(store, 0);
    struct store_owed owed = {.incarnation = 1, .qos = 1};
    for (int i = 0; i < 5; i++) {
        struct store_message *message = calloc(1, sizeof *message);
        message->topic = bytes_of_text("t");
        struct store_publish publish = {
            .message = message, .owed = &owed, .owed_count = 1, .urgent = true, .cookie = message};
        store_batch_message(batch, &publish);
    }
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    wait_durable(lsn);
    AWAIT(atomic_load(&fixture.notified[0]) > 0);
    assert_int_equal(atomic_load(&fixture.released), 0);
    AWAIT((store_reclaim(store, 0), atomic_load(&fixture.released) == 5));
    store_reclaim(store, 0);
    assert_int_equal(atomic_load(&fixture.released), 5);
}

/* ---- flush and none ---- */

static void under_flush_everything_is_durable_at_once_and_reads_see_it(void **state)
{
    fixture.options.durability = STORE_DURABILITY_FLUSH;
    fixture_open(&fixture);
    store = fixture.store;
    assert_true(store_durable(store) == UINT64_MAX);
    fixture_session(store, 1, "a");
    fixture_publish(store, 1, 1, 1, true, "x", NULL);
    usleep(20000);
    assert_int_equal(statistics().commits, 0);
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 1);
    store_read_fini(&read);
}

static void under_flush_the_threshold_starts_a_flush(void **state)
{
    fixture.options.durability = STORE_DURABILITY_FLUSH;
    fixture.options.flush_mem_threshold = 5;
    fixture_open(&fixture);
    store = fixture.store;
    fixture_session(store, 1, "a");
    for (int i = 0; i < 5; i++)
        fixture_publish(store, 1, 1, 1, true, "x", NULL);
    AWAIT(statistics().commits == 1);
    assert_int_equal(fixture_owed(&fixture), 5);
}

static void without_durability_there_is_no_file(void **state)
{
    fixture.options.durability = STORE_DURABILITY_NONE;
    fixture.options.directory = NULL;
    fixture_open(&fixture);
    store = fixture.store;
    assert_true(store_durable(store) == UINT64_MAX);
    assert_int_equal(store_boot(store), 1);
    fixture_session(store, 1, "a");
    struct store_message *message = calloc(1, sizeof *message);
    struct store_owed owed = {.incarnation = 1, .qos = 1};
    struct store_publish publish = {
        .message = message, .owed = &owed, .owed_count = 1, .cookie = message};
    struct store_batch *batch = store_batch_open(store, 0);
    store_batch_message(batch, &publish);
    store_submit(store, batch);
    store_reclaim(store, 0);
    assert_int_equal(atomic_load(&fixture.released), 1);
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 0);
    store_read_fini(&read);
    char path[128];
    fixture_path(&fixture, "holdfast.db", path);
    assert_int_equal(access(path, F_OK), -1);
}

static void whoever_only_reads_never_waits_for_who_writes(void **state)
{
    char path[128];
    sqlite3 *writing, *other;
    fixture_open(&fixture);
    fixture_close(&fixture);
    fixture_path(&fixture, "holdfast.db", path);
    assert_int_equal(schema_connect(path, SCHEMA_WRITER, false, &writing), SQLITE_OK);
    assert_int_equal(sqlite3_exec(writing, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    const enum schema_role roles[] = {SCHEMA_READER, SCHEMA_CHECKPOINTER};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        assert_int_equal(schema_connect(path, roles[i], false, &other), SQLITE_OK);
        schema_disconnect(other);
    }
    schema_disconnect(writing);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sessions_subscriptions_wills_and_retained_messages_come_back),
        TEST(messages_come_back_with_everything_they_had),
        TEST(what_is_settled_before_its_flush_is_never_written),
        TEST(what_is_not_settled_is_written_after_commit_delay),
        TEST(one_settles_and_the_other_keeps_the_body),
        TEST(settled_rows_do_not_hold_back_the_durable_number),
        TEST(outbound_states_come_back_in_the_order_of_sending),
        TEST(an_identifier_of_qos_2_is_durable_before_it_is_used),
        TEST(inbound_identifiers_are_durable_and_erased),
        TEST(a_backlog_is_read_in_pages),
        TEST(a_read_does_not_see_what_is_settled_in_memory_only),
        TEST(an_ended_session_is_gone_and_so_is_what_comes_late),
        TEST(rows_without_a_session_are_not_seen_and_are_deleted),
        TEST(nothing_is_durable_behind_a_batch_that_is_still_open),
        TEST(a_batch_wakes_who_is_about_to_sleep),
        TEST(only_workers_with_something_durable_are_notified),
        TEST(cookies_are_released_on_the_workers_thread_once),
        TEST(under_flush_everything_is_durable_at_once_and_reads_see_it),
        TEST(under_flush_the_threshold_starts_a_flush),
        TEST(without_durability_there_is_no_file),
        TEST(whoever_only_reads_never_waits_for_who_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
