/* Databases that are damaged, newer, locked or not there: what the operator is told, and that
 * the store starts with what reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/history_testing.h"
#include "storage/schema.h"
#include "storage/store_testing.h"

enum { SESSIONS = 20, MESSAGES = 400, PAGE = 4096 };

static struct fixture fixture;

static int set_up(void **state)
{
    log_threshold = LOG_WARNING;
    fixture_init(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    fixture_mute(false);
    fixture_fini(&fixture);
    return 0;
}

/* ---- Files ---- */

static void path_of(const char *name, char out[128])
{
    fixture_path(&fixture, name, out);
}

static uint8_t *read_file(const char *path, size_t *size)
{
    struct stat found;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &found) == 0);
    uint8_t *bytes = malloc((size_t)found.st_size + 1);
    CHECK(bytes != NULL && read(fd, bytes, (size_t)found.st_size) == found.st_size);
    close(fd);
    *size = (size_t)found.st_size;
    return bytes;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* Files in the store's directory whose name begins so. */
static unsigned count_files(const char *prefix)
{
    unsigned count = 0;
    DIR *directory = opendir(fixture.directory);
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(directory);
    return count;
}

/* ---- A store with something in it ---- */

static void fill(void)
{
    char text[64];
    fixture_open(&fixture);
    struct store_batch *batch = store_batch_open(fixture.store, 0);
    for (uint64_t i = 1; i <= SESSIONS; i++) {
        snprintf(text, sizeof text, "client-%02u", (unsigned)i);
        struct store_session session = {.incarnation = i, .client_identifier = bytes_of_text(text)};
        struct store_subscription subscription = {.topic_filter = bytes_of_text("a/+")};
        store_batch_session(batch, &session);
        store_batch_subscribe(batch, i, &subscription);
    }
    for (unsigned i = 0; i < MESSAGES; i++) {
        char body[128];
        snprintf(body, sizeof body, "body-%04u %0100u", i, i);
        fixture_append(batch, 1 + i % SESSIONS, i % 10 == 0 && i % SESSIONS < 10 ? 5 : 1, 1, true,
                       body);
    }
    store_submit(fixture.store, batch);
    fixture_close(&fixture);
}

struct found {
    unsigned sessions, subscriptions;
    uint64_t backlog, incarnations[SESSIONS];
};

static void found_session(void *context, const struct store_session *session, uint64_t backlog)
{
    struct found *found = context;
    assert_true(found->sessions < SESSIONS);
    found->incarnations[found->sessions++] = session->incarnation;
    found->backlog += backlog;
}

static void found_subscription(void *context, uint64_t incarnation,
                               const struct store_subscription *subscription)
{
    ((struct found *)context)->subscriptions++;
}

/* Opens, counts, starts, and reads every session's messages. Returns how many came. */
static uint64_t open_and_read(struct found *found, enum status *worst)
{
    struct store_visitor visitor = {found, found_session, found_subscription, NULL};
    uint64_t rows = 0;
    *found = (struct found){0};
    *worst = STATUS_OK;
    assert_int_equal(
        store_open(&fixture.options, &fixture.store, fixture.error, sizeof fixture.error),
        STATUS_OK);
    assert_int_equal(store_load(fixture.store, &visitor), STATUS_OK);
    assert_int_equal(store_start(fixture.store), STATUS_OK);
    for (unsigned i = 0; i < found->sessions; i++) {
        struct store_read read = {.incarnation = found->incarnations[i],
                                  .resume = true,
                                  .until = UINT64_MAX,
                                  .limit = 100000,
                                  .limit_bytes = UINT64_MAX};
        fixture_await(fixture.store, &read);
        if (read.status != STATUS_OK)
            *worst = read.status;
        rows += read.row_count;
        for (uint32_t k = 0; k < read.row_count; k++)
            assert_memory_equal(read.rows[k].message.payload.data, "body-", 5);
        store_read_fini(&read);
    }
    return rows;
}

static void assert_consistent(void)
{
    assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM pragma_integrity_check"
                                             " WHERE integrity_check <> 'ok'"),
                     0);
    fixture_messages(&fixture); /* are counted rightly */
    char path[128];
    path_of("holdfast.db", path);
    char *dump = history_dump_database(path);
    assert_null(strstr(dump, " counts "));
    assert_null(strstr(dump, "without a body"));
    assert_null(strstr(dump, "nothing"));
    free(dump);
}

/* ---- Damage ---- */

static uint64_t everything(void)
{
    struct found found;
    enum status worst;
    uint64_t rows = open_and_read(&found, &worst);
    assert_int_equal(found.sessions, SESSIONS);
    assert_int_equal(found.subscriptions, SESSIONS);
    assert_int_equal(worst, STATUS_OK);
    assert_int_equal(found.backlog, rows);
    fixture_close(&fixture);
    return rows;
}

static void a_corrupt_header_costs_nothing(void **state)
{
    char path[128];
    size_t size;
    fill();
    uint64_t rows = everything();
    path_of("holdfast.db", path);
    uint8_t *bytes = read_file(path, &size);
    memset(bytes, 0xee, 100);
    write_file(path, bytes, size);
    free(bytes);
    fixture_mute(true);
    assert_int_equal(everything(), rows);
    assert_true(fixture_said("is damaged"));
    assert_true(fixture_said("salvaged 20 sessions, 20 subscriptions, 400 messages"));
    assert_false(fixture_said("not salvaged"));
    fixture_mute(false);
    assert_true(count_files("holdfast.db.damaged-2") >= 1);
    assert_int_equal(count_files("holdfast.db.salv"), 0);
    fixture_open(&fixture);
    assert_true(store_boot(fixture.store) > 2); /* not forgotten either */
    assert_consistent();
}

static void a_file_that_is_no_database_is_set_aside(void **state)
{
    char path[128];
    path_of("holdfast.db", path);
    write_file(path, "this is a letter to my aunt", 27);
    fixture_mute(true);
    fixture_open(&fixture);
    assert_true(fixture_said("is damaged"));
    assert_int_equal(count_files("holdfast.db.damaged-2"), 1);
    assert_true(fixture_wait_durable(fixture.store, fixture_session(fixture.store, 1, "a"), 5000));
}

static void somebody_elses_database_is_set_aside(void **state)
{
    fixture_exec(&fixture, "CREATE TABLE recipes(name); INSERT INTO recipes VALUES('soup')");
    fixture_mute(true);
    fixture_open(&fixture);
    assert_true(count_files("holdfast.db.damaged-2") >= 1);
}

static void an_empty_file_becomes_a_database(void **state)
{
    char path[128];
    path_of("holdfast.db", path);
    write_file(path, "", 0);
    fixture_open(&fixture);
    assert_int_equal(store_boot(fixture.store), 1);
    assert_int_equal(count_files("holdfast.db.damaged-"), 0);
    assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), SCHEMA_VERSION);
}

/* The page that holds this body: the last with these bytes, because one that became an inner page
 * still has what it had. */
static size_t page_with(const uint8_t *bytes, size_t size, const char *text)
{
    const uint8_t *at = NULL, *from = bytes;
    while ((from = memmem(from, size - (size_t)(from - bytes), text, strlen(text))) != NULL)
        at = from++;
    CHECK(at != NULL);
    return (size_t)(at - bytes) / PAGE;
}

static void corrupt_page_with(const char *body, unsigned most_lost)
{
    char path[128];
    size_t size;
    struct found found;
    enum status worst = STATUS_OK;
    fill();
    uint64_t before = everything();
    path_of("holdfast.db", path);
    uint8_t *bytes = read_file(path, &size);
    off_t page = (off_t)page_with(bytes, size, body) * PAGE;
    /* Under the running store; it is met when a session is read, and salvaged at the next start. */
    fixture_mute(true);
    fixture_open(&fixture);
    int fd = open(path, O_WRONLY);
    memset(bytes, 0xee, PAGE);
    assert_int_equal(pwrite(fd, bytes, PAGE, page), PAGE);
    close(fd);
    free(bytes);
    for (uint64_t i = 1; i <= SESSIONS; i++) {
        struct store_read read = {
            .incarnation = i, .until = UINT64_MAX, .limit = 1000, .limit_bytes = 1000000};
        fixture_await(fixture.store, &read);
        worst = read.status != STATUS_OK ? read.status : worst;
        store_read_fini(&read);
    }
    assert_int_equal(worst, STATUS_CORRUPT);
    fixture_close(&fixture);
    assert_int_equal(count_files("holdfast.damaged"), 1);
    uint64_t rows = open_and_read(&found, &worst);
    assert_int_equal(worst, STATUS_OK);
    assert_int_equal(found.sessions, SESSIONS);
    assert_int_equal(found.backlog, rows);
    assert_true(rows < before && rows + most_lost >= before);
    assert_true(fixture_said("session of client \"client-"));
    assert_true(fixture_said("has lost messages"));
    assert_int_equal(count_files("holdfast.damaged"), 0);
    assert_consistent();
}

/* Of some three sessions, twenty to forty messages each. */
static void a_corrupt_page_of_segments_costs_those_and_names_the_sessions(void **state)
{
    corrupt_page_with("body-0201", 120);
}

/* A page holds some thirty, each owed to five sessions. */
static void a_corrupt_page_of_bodies_costs_those_and_names_the_sessions(void **state)
{
    corrupt_page_with("body-0200", 150);
}

/* ---- Damage inside of segments ---- */

/* A session with this many messages in one segment, QoS 2, of some 200 bytes. */
static void fill_segment(unsigned messages, uint64_t numbers[])
{
    fixture_open(&fixture);
    fixture_session(fixture.store, 1, "client-01");
    struct store_batch *batch = store_batch_open(fixture.store, 0);
    for (unsigned i = 0; i < messages; i++) {
        char body[256];
        snprintf(body, sizeof body, "body-%04u %0200u", i, i);
        numbers[i] = fixture_append(batch, 1, 1, 2, true, body);
    }
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(fixture.store, batch);
    assert_true(fixture_wait_durable(fixture.store, lsn, 5000));
}

static void mark_damaged(void)
{
    char path[128];
    path_of("holdfast.damaged", path);
    write_file(path, "", 0);
}

static void an_overflow_page_costs_what_lies_behind_it(void **state)
{
    char path[128];
    size_t size;
    uint64_t numbers[200];
    fill_segment(200, numbers);
    fixture_close(&fixture);
    path_of("holdfast.db", path);
    uint8_t *bytes = read_file(path, &size);
    memset(bytes + page_with(bytes, size, "body-0150") * PAGE, 0xee, PAGE);
    write_file(path, bytes, size);
    free(bytes);
    fixture_mute(true);
    fixture_open(&fixture);
    assert_true(fixture_said("session of client \"client-01\" has lost messages"));
    struct store_read read = fixture_read(fixture.store, 1, true);
    assert_true(read.row_count > 120 && read.row_count < 152);
    for (uint32_t i = 0; i < read.row_count; i++)
        assert_true(read.rows[i].message.number == numbers[i]);
    store_read_fini(&read);
    assert_consistent();
}

static void a_damaged_entry_costs_no_other(void **state)
{
    uint64_t numbers[10];
    fill_segment(10, numbers);
    fixture_close(&fixture);
    fixture_exec(&fixture, "UPDATE segment SET data = x'ff' || substr(data, 2)");
    /* While running it is left out, and said; */
    fixture_mute(true);
    fixture_open(&fixture);
    struct store_read read = fixture_read(fixture.store, 1, true);
    assert_int_equal(read.row_count, 9);
    assert_true(read.rows[0].message.number == numbers[1]);
    store_read_fini(&read);
    assert_true(fixture_said("has no body that reads: it is lost"));
    fixture_close(&fixture);
    /* and the next start salvages the others. */
    fixture_open(&fixture);
    assert_true(fixture_said("9 messages owed 9 times"));
    assert_true(fixture_said("session of client \"client-01\" has lost messages"));
    read = fixture_read(fixture.store, 1, true);
    assert_int_equal(read.row_count, 9);
    store_read_fini(&read);
    assert_consistent();
}

/* Its identifiers are not used again before PUBREL has closed them. */
static void an_exchange_whose_segment_is_gone_can_be_closed(void **state)
{
    uint64_t numbers[10];
    fill_segment(10, numbers);
    fixture_sent(fixture.store, 1, numbers[4], 2, 7, 1);
    fixture_sent(fixture.store, 1, numbers[2], 2, 8, 2);
    fixture_settled(fixture.store, 1, numbers[9]);
    fixture_released(fixture.store, 1, numbers[4]);
    fixture_close(&fixture);
    fixture_exec(&fixture, "UPDATE segment SET directory = x'ff'");
    mark_damaged();
    fixture_mute(true);
    fixture_open(&fixture);
    assert_true(fixture_said("9 times a message was owed is lost"));
    struct store_read read = fixture_read(fixture.store, 1, true);
    assert_int_equal(read.row_count, 2);
    assert_true(read.rows[0].message.number == numbers[4]);
    assert_int_equal(read.rows[0].packet_identifier, 7);
    assert_true(read.rows[1].message.number == numbers[2]);
    assert_int_equal(read.rows[1].packet_identifier, 8);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(read.rows[i].state, STORE_OUTBOUND_RELEASED);
        assert_int_equal(read.rows[i].qos, 2);
        fixture_settled(fixture.store, 1, read.rows[i].message.number);
    }
    store_read_fini(&read);
    read = fixture_read(fixture.store, 1, true);
    assert_int_equal(read.row_count, 0);
    store_read_fini(&read);
    assert_int_equal(fixture_messages(&fixture), 0);
}

static void progress_that_is_gone_lets_messages_come_twice_and_says_so(void **state)
{
    uint64_t numbers[10];
    fill_segment(10, numbers);
    fixture_settled(fixture.store, 1, numbers[3]);
    fixture_close(&fixture);
    fixture_exec(&fixture, "UPDATE progress SET data = x'00'");
    mark_damaged();
    fixture_mute(true);
    fixture_open(&fixture);
    assert_true(fixture_said("has lost what it had acknowledged; some messages may come twice"));
    struct store_read read = fixture_read(fixture.store, 1, true);
    assert_int_equal(read.row_count, 10);
    store_read_fini(&read);
    assert_consistent();
}

/* Whatever page is hit: the store starts, and then holds something consistent. */
static void found_times(void *context, const struct store_session *session, uint64_t backlog)
{
    assert_true(session->disconnected_at_ms >= 0 && session->will_due_ms >= 0);
    assert_true(session->disconnected_at_ms <= STORE_TIME_MAX_MS);
    assert_true(session->will_due_ms <= STORE_TIME_MAX_MS);
    ++*(unsigned *)context;
}

static void times_that_cannot_be_are_not_calculated_with(void **state)
{
    char path[128];
    unsigned sessions = 0;
    struct store_visitor visitor = {.context = &sessions, .session = found_times};
    sqlite3 *db;
    fill();
    path_of("holdfast.db", path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE session SET disconnected_at_ms = 9223372036854775807,"
                                  " will_due_ms = -9223372036854775807 WHERE incarnation % 2;"
                                  "UPDATE session SET will_due_ms = 9223372036854775807,"
                                  " disconnected_at_ms = -1 WHERE NOT incarnation % 2",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(
        store_open(&fixture.options, &fixture.store, fixture.error, sizeof fixture.error),
        STATUS_OK);
    assert_int_equal(store_load(fixture.store, &visitor), STATUS_OK);
    assert_int_equal(sessions, SESSIONS);
}

static void it_starts_whatever_page_is_corrupt(void **state)
{
    char path[128];
    size_t size;
    struct found found;
    enum status worst;
    fill();
    uint64_t all = everything();
    path_of("holdfast.db", path);
    uint8_t *bytes = read_file(path, &size);
    uint64_t sum = 0, runs = 0;
    fixture_mute(true);
    for (size_t page = 0; page < size / PAGE; page += 2) {
        uint8_t *hit = malloc(size);
        assert_non_null(hit);
        memcpy(hit, bytes, size);
        for (size_t i = 0; i < PAGE; i++)
            hit[page * PAGE + i] = (uint8_t)(i * 7 + page);
        write_file(path, hit, size);
        free(hit);
        open_and_read(&found, &worst);
        fixture_close(&fixture);
        uint64_t rows = open_and_read(&found, &worst);
        assert_int_equal(worst, STATUS_OK);
        assert_int_equal(found.backlog, rows);
        assert_true(rows <= all);
        assert_consistent();
        fixture_close(&fixture);
        sum += rows;
        runs++;
    }
    free(bytes);
    assert_true(sum * 10 > all * runs * 8); /* on average little is lost */
}

static void a_shortened_database_gives_what_is_left(void **state)
{
    char path[128];
    struct stat found_size;
    struct found found;
    enum status worst;
    fill();
    path_of("holdfast.db", path);
    assert_int_equal(stat(path, &found_size), 0);
    assert_int_equal(truncate(path, found_size.st_size / 2 / PAGE * PAGE), 0);
    fixture_mute(true);
    open_and_read(&found, &worst);
    fixture_close(&fixture);
    uint64_t rows = open_and_read(&found, &worst);
    assert_int_equal(worst, STATUS_OK);
    assert_int_equal(found.backlog, rows);
    assert_consistent();
}

/* A child fills the log and vanishes without closing. */
static void fill_and_vanish(unsigned batches)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fixture_open(&fixture);
        fixture_session(fixture.store, 1, "a");
        for (unsigned i = 0; i < batches; i++) {
            uint64_t lsn = fixture_publish(fixture.store, 1, 1, 1, true, "body-x", NULL);
            CHECK(fixture_wait_durable(fixture.store, lsn, 5000));
        }
        usleep(20000); /* the side file is written behind the commit */
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void a_log_that_was_cut_is_noticed(void **state)
{
    char path[128];
    struct stat found_size;
    struct found found;
    enum status worst;
    fill_and_vanish(40);
    path_of("holdfast.db-wal", path);
    assert_int_equal(stat(path, &found_size), 0);
    assert_int_equal(truncate(path, found_size.st_size / 2), 0);
    fixture_mute(true);
    uint64_t rows = open_and_read(&found, &worst);
    assert_true(rows > 0 && rows < 40);
    assert_true(fixture_said("batches are gone"));
    assert_true(store_first_lsn(fixture.store) >= 41); /* numbers are not given again */
    fixture_close(&fixture);
    fixture_mute(false);
    fixture_mute(true);
    fixture_open(&fixture);
    assert_false(fixture_said("batches are gone")); /* said once */
}

static void a_log_that_is_whole_is_not_complained_of(void **state)
{
    struct found found;
    enum status worst;
    fill_and_vanish(40);
    fixture_mute(true);
    assert_int_equal(open_and_read(&found, &worst), 40);
    assert_false(fixture_said("store:"));
}

static void a_salvage_that_was_interrupted_is_finished(void **state)
{
    char path[128], salvaged[128], log[128];
    fill();
    uint64_t rows = everything();
    path_of("holdfast.db", path);
    path_of("holdfast.db.salvaged", salvaged);
    path_of("holdfast.db-wal", log);
    assert_int_equal(rename(path, salvaged), 0);
    write_file(path, "damaged", 7);
    write_file(log, "a log that belongs to the damaged one", 37);
    fixture_mute(true);
    assert_int_equal(everything(), rows);
    assert_int_equal(count_files("holdfast.db.salvaged"), 0);
    assert_int_equal(count_files("holdfast.db.damaged-2"), 2);
}

/* ---- Refusals ---- */

static void a_newer_schema_is_refused_and_not_touched(void **state)
{
    char path[128];
    size_t before_size, after_size;
    fill();
    fixture_exec(&fixture, "PRAGMA journal_mode=DELETE; PRAGMA user_version=99");
    path_of("holdfast.db", path);
    uint8_t *before = read_file(path, &before_size);
    assert_int_equal(
        store_open(&fixture.options, &fixture.store, fixture.error, sizeof fixture.error),
        STATUS_TOO_NEW);
    assert_non_null(strstr(fixture.error, "newer release (schema 99"));
    uint8_t *after = read_file(path, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, after_size);
    assert_int_equal(count_files("holdfast.db-"), 0);
    free(before);
    free(after);
}

static void two_processes_do_not_share_a_store(void **state)
{
    struct store *second;
    fixture_open(&fixture);
    assert_int_equal(store_open(&fixture.options, &second, fixture.error, sizeof fixture.error),
                     STATUS_LOCKED);
    assert_non_null(strstr(fixture.error, "in use by another process, pid "));
    assert_non_null(strstr(fixture.error, fixture.directory));
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    char path[128];
    path_of("file", path);
    write_file(path, "", 0);
    path_of("file/store", path);
    fixture.options.directory = path;
    assert_int_equal(
        store_open(&fixture.options, &fixture.store, fixture.error, sizeof fixture.error),
        STATUS_DENIED);
    assert_non_null(strstr(fixture.error, path));
}

static void a_missing_directory_is_made(void **state)
{
    char path[128];
    path_of("a/b/store/", path);
    fixture.options.directory = path;
    fixture_open(&fixture);
    path_of("a/b/store/holdfast.db", path);
    assert_int_equal(access(path, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_corrupt_header_costs_nothing),
        TEST(a_file_that_is_no_database_is_set_aside),
        TEST(somebody_elses_database_is_set_aside),
        TEST(an_empty_file_becomes_a_database),
        TEST(a_corrupt_page_of_segments_costs_those_and_names_the_sessions),
        TEST(a_corrupt_page_of_bodies_costs_those_and_names_the_sessions),
        TEST(an_overflow_page_costs_what_lies_behind_it),
        TEST(a_damaged_entry_costs_no_other),
        TEST(an_exchange_whose_segment_is_gone_can_be_closed),
        TEST(progress_that_is_gone_lets_messages_come_twice_and_says_so),
        TEST(times_that_cannot_be_are_not_calculated_with),
        TEST(it_starts_whatever_page_is_corrupt),
        TEST(a_shortened_database_gives_what_is_left),
        TEST(a_log_that_was_cut_is_noticed),
        TEST(a_log_that_is_whole_is_not_complained_of),
        TEST(a_salvage_that_was_interrupted_is_finished),
        TEST(a_newer_schema_is_refused_and_not_touched),
        TEST(two_processes_do_not_share_a_store),
        TEST(a_directory_that_cannot_be_made_is_named),
        TEST(a_missing_directory_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
