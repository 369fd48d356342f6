/* A database of each earlier schema: what was in it is there afterwards, in its order and state;
 * and a migration that does not come to its end leaves it as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/fault_testing.h"
#include "storage/history_testing.h"
#include "storage/schema.h"
#include "storage/store_testing.h"

/* As schema 1 was: the ladder's first step, kept here so that it cannot change unseen. */
static const char version_1[] =
    "PRAGMA page_size=4096; PRAGMA auto_vacuum=2; PRAGMA journal_mode=WAL;"
    "CREATE TABLE meta("
    "  id INTEGER PRIMARY KEY CHECK(id = 1),"
    "  boot INTEGER NOT NULL, lsn INTEGER NOT NULL, messages INTEGER NOT NULL,"
    "  boot_id TEXT NOT NULL, boot_ms INTEGER NOT NULL, store_ms INTEGER NOT NULL,"
    "  wall_ms INTEGER NOT NULL);"
    "CREATE TABLE session("
    "  incarnation INTEGER PRIMARY KEY,"
    "  client_identifier BLOB, owner BLOB, version INTEGER NOT NULL,"
    "  expiry_interval_s INTEGER NOT NULL, connected INTEGER NOT NULL,"
    "  disconnected_at_ms INTEGER NOT NULL, will_due_ms INTEGER NOT NULL,"
    "  will_qos INTEGER,"
    "  will_retain INTEGER, will_delay_interval_s INTEGER,"
    "  will_message_expiry_interval_s INTEGER,"
    "  will_topic BLOB, will_properties BLOB, will_payload BLOB);"
    "CREATE TABLE subscription("
    "  incarnation INTEGER NOT NULL, topic_filter BLOB NOT NULL,"
    "  options INTEGER NOT NULL, identifier INTEGER NOT NULL,"
    "  PRIMARY KEY(incarnation, topic_filter)) WITHOUT ROWID;"
    "CREATE TABLE inbound("
    "  incarnation INTEGER NOT NULL, packet_identifier INTEGER NOT NULL,"
    "  PRIMARY KEY(incarnation, packet_identifier)) WITHOUT ROWID;"
    "CREATE TABLE message("
    "  number INTEGER PRIMARY KEY,"
    "  owed INTEGER NOT NULL,"
    "  qos INTEGER NOT NULL, retain INTEGER NOT NULL,"
    "  expiry_interval_s INTEGER,"
    "  received_at_ms INTEGER NOT NULL, publisher INTEGER NOT NULL,"
    "  topic BLOB, properties BLOB, payload BLOB);"
    "CREATE TABLE owed("
    "  incarnation INTEGER NOT NULL, number INTEGER NOT NULL,"
    "  qos INTEGER NOT NULL, retain INTEGER NOT NULL, state INTEGER NOT NULL,"
    "  packet_identifier INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    "  subscription_identifiers BLOB,"
    "  PRIMARY KEY(incarnation, number)) WITHOUT ROWID;"
    "CREATE INDEX owed_in_flight ON owed(incarnation, sequence) WHERE state <> 0;"
    "CREATE TABLE retained("
    "  id INTEGER PRIMARY KEY, topic BLOB NOT NULL UNIQUE, number INTEGER NOT NULL,"
    "  qos INTEGER NOT NULL, retain INTEGER NOT NULL, expiry_interval_s INTEGER,"
    "  received_at_ms INTEGER NOT NULL, publisher INTEGER NOT NULL,"
    "  properties BLOB, payload BLOB);"
    "CREATE TABLE ended(incarnation INTEGER PRIMARY KEY);"
    "PRAGMA application_id=1215261796; PRAGMA user_version=1;";

/* Sessions 1 and 2; session 3 has ended. Session 1 is owed 1000 messages of its own, the tenth in
 * flight, the twentieth released; every hundredth is owed to 2 and 3 as well, and one is large. */
static const char contents[] =
    "INSERT INTO meta VALUES(1, 7, 5000, 1000, 'boot', 1, 2, 3);"
    "INSERT INTO session VALUES(1, 'one', 'anna', 5, 3600, 0, 0, 0, NULL, NULL, NULL, NULL, NULL,"
    " NULL, NULL), (2, 'two', NULL, 4, 60, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);"
    "INSERT INTO ended VALUES(3);"
    "INSERT INTO subscription VALUES(1, 'a/#', 2, 0);"
    "INSERT INTO inbound VALUES(2, 77);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    " INSERT INTO message SELECT i * 65536, CASE WHEN i % 100 = 0 THEN 3 ELSE 1 END, 2, i % 2,"
    " CASE WHEN i % 3 = 0 THEN i END, -i, 9, CAST('a/' || i AS BLOB), NULL,"
    " CASE WHEN i = 555 THEN zeroblob(5000) ELSE CAST('p' || i AS BLOB) END FROM n;"
    "INSERT INTO owed SELECT 1, number, 1 + number / 65536 % 2, 1, 0, 0, 0,"
    " CASE WHEN number / 65536 = 7 THEN x'0000000100000002' END FROM message;"
    "INSERT INTO owed SELECT 2, number, 1, 0, 0, 0, 0, NULL FROM message WHERE owed = 3;"
    "INSERT INTO owed SELECT 3, number, 1, 0, 0, 0, 0, NULL FROM message WHERE owed = 3;"
    "UPDATE owed SET qos = 2, state = 1, packet_identifier = 4, sequence = 8"
    " WHERE incarnation = 1 AND number = 10 * 65536;"
    "UPDATE owed SET qos = 2, state = 2, packet_identifier = 5, sequence = 6"
    " WHERE incarnation = 1 AND number = 20 * 65536;";

static struct fixture fixture;

static int set_up(void **state)
{
    log_threshold = LOG_ERROR;
    fixture_init(&fixture);
    fixture_exec(&fixture, version_1);
    fixture_exec(&fixture, contents);
    return 0;
}

static int tear_down(void **state)
{
    fixture_mute(false);
    fixture_fini(&fixture);
    return 0;
}

static void assert_row(const struct store_row *row, uint64_t i)
{
    char text[16];
    assert_true(row->message.number == i * 65536);
    snprintf(text, sizeof text, "a/%u", (unsigned)i);
    assert_true(bytes_equal(row->message.topic, bytes_of_text(text)));
    snprintf(text, sizeof text, "p%u", (unsigned)i);
    if (i == 555)
        assert_int_equal(row->message.payload.size, 5000);
    else
        assert_true(bytes_equal(row->message.payload, bytes_of_text(text)));
    assert_int_equal(row->message.qos, 2);
    assert_int_equal(row->message.retain, i % 2);
    assert_int_equal(row->message.has_expiry, i % 3 == 0);
    assert_int_equal(row->message.expiry_interval_s, i % 3 == 0 ? i : 0);
    assert_true(row->message.received_at_ms == -(int64_t)i);
    assert_int_equal(row->message.publisher, 9);
    assert_int_equal(row->subscription_identifier_count, row->retain && i == 7 ? 2 : 0);
}

static void assert_first_session(struct store *store)
{
    struct store_read read = fixture_read(store, 1, true);
    assert_int_equal(read.row_count, 1000);
    assert_true(read.rows[0].message.number == 20 * 65536);
    assert_int_equal(read.rows[0].state, STORE_OUTBOUND_RELEASED);
    assert_int_equal(read.rows[0].packet_identifier, 5);
    assert_int_equal(read.rows[0].sequence, 6);
    assert_int_equal(read.rows[1].state, STORE_OUTBOUND_SENT);
    assert_int_equal(read.rows[1].packet_identifier, 4);
    assert_int_equal(read.rows[1].sequence, 8);
    assert_row(&read.rows[1], 10);
    uint64_t i = 1;
    for (uint32_t at = 2; at < read.row_count; at++, i++) {
        while (i == 10 || i == 20)
            i++;
        assert_int_equal(read.rows[at].state, STORE_OUTBOUND_QUEUED);
        assert_int_equal(read.rows[at].qos, 1 + i % 2);
        assert_row(&read.rows[at], i);
    }
    store_read_fini(&read);
}

static void assert_second_session(struct store *store)
{
    struct store_read read = fixture_read(store, 2, true);
    assert_int_equal(read.row_count, 10);
    assert_int_equal(read.inbound_count, 1);
    for (uint32_t i = 0; i < 10; i++)
        assert_row(&read.rows[i], 100 * (i + 1));
    store_read_fini(&read);
}

static void await_ended(void)
{
    for (int i = 0; i < 5000 && fixture_query(&fixture, "SELECT count(*) FROM ended") > 0; i++)
        usleep(1000);
}

static void what_version_1_had_is_there(void **state)
{
    fixture_open(&fixture);
    assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), SCHEMA_VERSION);
    assert_int_equal(store_boot(fixture.store), 8);
    assert_int_equal(store_first_lsn(fixture.store), 5000);
    assert_first_session(fixture.store);
    assert_second_session(fixture.store);
    await_ended();
    assert_int_equal(fixture_messages(&fixture), 1000);
    assert_int_equal(fixture_owed(&fixture), 1010);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 11);
    assert_int_equal(fixture_query(&fixture, "SELECT sum(owed) FROM message"), 21);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM sqlite_schema"
                                             " WHERE name LIKE 'owed%'"),
                     0);
}

/* And goes on as one that was never older. */
static void everything_can_be_settled_afterwards(void **state)
{
    fixture_open(&fixture);
    struct store_batch *batch = store_batch_open(fixture.store, 0);
    for (uint64_t i = 1; i <= 1000; i++)
        store_batch_settled(batch, 1, i * 65536);
    for (uint64_t i = 100; i <= 1000; i += 100)
        store_batch_settled(batch, 2, i * 65536);
    store_submit(fixture.store, batch);
    await_ended();
    fixture_close(&fixture);
    fixture_open(&fixture);
    assert_int_equal(fixture_messages(&fixture), 0);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM segment"), 0);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM progress"), 0);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 0);
}

/* The layout of the first page is that of a new database: what a salvage may borrow. */
static void a_migrated_database_has_its_tables_where_a_new_one_has_them(void **state)
{
    static const char sql[] = "SELECT sum(rootpage * 31 * length(name)) FROM sqlite_schema";
    fixture_open(&fixture);
    int64_t migrated = fixture_query(&fixture, sql);
    struct fixture another;
    fixture_init(&another);
    fixture_open(&another);
    assert_int_equal(fixture_query(&another, sql), migrated);
    fixture_fini(&another);
}

static enum status try_open(void)
{
    enum status status =
        store_open(&fixture.options, &fixture.store, fixture.error, sizeof fixture.error);
    if (status != STATUS_OK)
        fixture.store = NULL;
    return status;
}

static void a_disk_that_is_full_leaves_version_1(void **state)
{
    fault_install(fixture.directory);
    fault_fill_disk(true);
    fixture_mute(true);
    assert_int_equal(try_open(), STATUS_FULL);
    fault_fill_disk(false);
    fixture_mute(false);
    assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), 1);
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM owed"), 1020);
    fixture_open(&fixture);
    assert_first_session(fixture.store);
    fixture_close(&fixture);
    fault_uninstall();
}

static void open_and_vanish(void)
{
    if (try_open() != STATUS_OK)
        _exit(1);
    kill(getpid(), SIGKILL);
}

static void a_kill_in_the_middle_leaves_a_whole_version(void **state)
{
    unsigned old = 0;
    for (unsigned turn = 0; turn < 40; turn++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            open_and_vanish();
        usleep(turn * 500);
        kill(child, SIGKILL);
        int how;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        int64_t version = fixture_query(&fixture, "PRAGMA user_version");
        if (version == 1) {
            assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM owed"), 1020);
            assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM message"), 1000);
            old++;
            continue;
        }
        assert_int_equal(fixture_owed(&fixture), 1020);
        if (version == SCHEMA_VERSION)
            break;
        assert_int_equal(version, 2);
    }
    print_message("killed %u times before the migration was committed\n", old);
    assert_true(old > 0);
    fixture_open(&fixture);
    assert_first_session(fixture.store);
    assert_second_session(fixture.store);
}

/* ---- Damage ---- */

static void corrupt(size_t offset, size_t size)
{
    char path[128];
    fixture_exec(&fixture, "PRAGMA wal_checkpoint(TRUNCATE)");
    fixture_path(&fixture, "holdfast.db", path);
    uint8_t rubbish[4096];
    memset(rubbish, 0xee, sizeof rubbish);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, rubbish, size, (off_t)offset) == (ssize_t)size);
    close(fd);
}

static void write_side_file(const char *text)
{
    char path[128];
    fixture_path(&fixture, "holdfast.lsn", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* The first page does not say what version it was; the side file, which had no version then, does.
 */
static void a_header_of_version_1_that_is_damaged_costs_nothing(void **state)
{
    write_side_file("00000000000000005000\n");
    corrupt(0, 100);
    fixture_mute(true);
    fixture_open(&fixture);
    fixture_mute(false);
    assert_first_session(fixture.store);
    assert_second_session(fixture.store);
    assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), SCHEMA_VERSION);
    assert_int_equal(fixture_messages(&fixture), 1000);
}

static void a_damaged_page_of_version_1_costs_little(void **state)
{
    fixture_exec(&fixture, "PRAGMA wal_checkpoint(TRUNCATE)");
    int64_t pages = fixture_query(&fixture, "PRAGMA page_count");
    corrupt((size_t)(pages / 2) * 4096, 4096);
    fixture_mute(true);
    fixture_open(&fixture);
    assert_true(fixture_said("not salvaged"));
    fixture_mute(false);
    struct store_read read = fixture_read(fixture.store, 1, true);
    assert_true(read.row_count > 700 && read.row_count < 1000);
    store_read_fini(&read);
    fixture_messages(&fixture);
}

/* ---- Version 2 ---- */

/* It had no counts. */
static void make_version_2(void)
{
    fixture_exec(&fixture, "DROP TABLE tally; PRAGMA user_version=2");
}

static void count_backlog(void *context, const struct store_session *session, uint64_t backlog)
{
    ((uint64_t *)context)[session->incarnation] = backlog;
}

static void what_version_2_owed_is_counted(void **state)
{
    uint64_t counted[3] = {0};
    struct store_visitor visitor = {.context = counted, .session = count_backlog};
    fixture_open(&fixture);
    await_ended();
    struct store_batch *batch = store_batch_open(fixture.store, 0);
    for (uint64_t i = 30; i < 40; i++)
        store_batch_settled(batch, 1, i * 65536);
    store_submit(fixture.store, batch);
    fixture_close(&fixture);
    make_version_2();
    assert_int_equal(fixture_query(&fixture, "SELECT sum(settled) FROM progress"), 10);
    assert_int_equal(try_open(), STATUS_OK);
    assert_int_equal(store_load(fixture.store, &visitor), STATUS_OK);
    assert_int_equal(counted[1], 990);
    assert_int_equal(counted[2], 10);
    assert_int_equal(store_start(fixture.store), STATUS_OK);
    assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), SCHEMA_VERSION);
    assert_int_equal(fixture_messages(&fixture), 990);
    assert_second_session(fixture.store);
}

static void a_damaged_database_of_version_2_is_salvaged_and_counted(void **state)
{
    fixture_open(&fixture);
    await_ended();
    fixture_close(&fixture);
    make_version_2();
    corrupt(0, 100);
    write_side_file("00000000000000005000 schema 002\n");
    fixture_mute(true);
    fixture_open(&fixture);
    fixture_mute(false);
    assert_first_session(fixture.store);
    assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), SCHEMA_VERSION);
    assert_int_equal(fixture_messages(&fixture), 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_version_1_had_is_there),
        TEST(everything_can_be_settled_afterwards),
        TEST(a_migrated_database_has_its_tables_where_a_new_one_has_them),
        TEST(a_disk_that_is_full_leaves_version_1),
        TEST(a_kill_in_the_middle_leaves_a_whole_version),
        TEST(a_header_of_version_1_that_is_damaged_costs_nothing),
        TEST(a_damaged_page_of_version_1_costs_little),
        TEST(what_version_2_owed_is_counted),
        TEST(a_damaged_database_of_version_2_is_salvaged_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
