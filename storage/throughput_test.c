/* How fast QoS 1 messages to offline sessions become durable, beside a bare SQLite loop of the same
 * batch size, with a row for each message and each time it is owed, in the same run. The everyday
 * run is short and only proves that it works; STORE_BENCH_MESSAGES=1000000 measures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/store_testing.h"

enum { SESSIONS = 100, PER_BATCH = 50 };

static unsigned messages = 20000;
static char payload[100];

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static void append(struct store_batch *batch, uint64_t incarnation, bool urgent,
                   struct store_message *message)
{
    struct store_owed owed = {.incarnation = incarnation, .qos = 1};
    *message = (struct store_message){
        .qos = 1,
        .received_at_ms = 1700000000000,
        .publisher = incarnation,
        .topic = bytes_of("plant/line/7/temp", 17),
        .payload = bytes_of(payload, sizeof payload),
    };
    struct store_publish publish = {
        .message = message, .owed = &owed, .owed_count = 1, .urgent = urgent};
    store_batch_message(batch, &publish);
}

static void open_with_sessions(struct fixture *fixture)
{
    fixture_init(fixture);
    fixture->options.flush_interval_ms = 100;
    fixture->options.flush_mem_threshold = 1000;
    fixture_open(fixture);
    for (uint64_t i = 1; i <= SESSIONS; i++)
        fixture_session(fixture->store, i + (UINT64_C(1) << 32), "s");
}

/* At most `window` messages wait for the disk at a time. */
static double publish_all(struct fixture *fixture, unsigned window)
{
    struct store *store = fixture->store;
    struct store_message message;
    unsigned batches = window / PER_BATCH;
    uint64_t *lsns = calloc(batches, sizeof *lsns);
    double from = now_s();
    for (unsigned done = 0, batch_index = 0; done < messages; done += PER_BATCH, batch_index++) {
        uint64_t *slot = &lsns[batch_index % batches];
        while (store_durable(store) < *slot)
            usleep(50);
        store_reclaim(store, 0);
        struct store_batch *batch = store_batch_open(store, 0);
        for (unsigned i = 0; i < PER_BATCH; i++)
            append(batch, (UINT64_C(1) << 32) + 1 + (done + i) % SESSIONS, true, &message);
        *slot = store_batch_lsn(batch);
        store_submit(store, batch);
    }
    for (unsigned i = 0; i < batches; i++)
        assert_true(fixture_wait_durable(store, lsns[i], 10000));
    free(lsns);
    return (double)messages / (now_s() - from);
}

static double bare_sqlite(const char *directory, unsigned per_commit)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *message, *owed;
    snprintf(path, sizeof path, "%s/bare.db", directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=0;"
                     "PRAGMA cache_size=-32768;"
                     "CREATE TABLE message(number INTEGER PRIMARY KEY, topic BLOB, payload BLOB);"
                     "CREATE TABLE owed(session INTEGER, seq INTEGER, message INTEGER,"
                     " PRIMARY KEY(session, seq)) WITHOUT ROWID",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_prepare_v2(db, "INSERT INTO message VALUES(?,?,?)", -1, &message, NULL);
    sqlite3_prepare_v2(db, "INSERT INTO owed VALUES(?,?,?)", -1, &owed, NULL);
    double from = now_s();
    for (unsigned done = 0; done < messages; done += per_commit) {
        sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
        for (unsigned i = done; i < done + per_commit; i++) {
            sqlite3_bind_int64(message, 1, i + 1);
            sqlite3_bind_blob(message, 2, "plant/line/7/temp", 17, SQLITE_STATIC);
            sqlite3_bind_blob(message, 3, payload, sizeof payload, SQLITE_STATIC);
            sqlite3_step(message);
            sqlite3_reset(message);
            sqlite3_bind_int64(owed, 1, i % SESSIONS);
            sqlite3_bind_int64(owed, 2, i);
            sqlite3_bind_int64(owed, 3, i + 1);
            sqlite3_step(owed);
            sqlite3_reset(owed);
        }
        assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    }
    double rate = (double)messages / (now_s() - from);
    sqlite3_finalize(message);
    sqlite3_finalize(owed);
    sqlite3_close(db);
    return rate;
}

static void publishing_to_offline_sessions(void **state)
{
    static const unsigned windows[] = {2000, 4000, 20000};
    for (unsigned i = 0; i < 3; i++) {
        struct fixture fixture;
        open_with_sessions(&fixture);
        double cpu = cpu_s();
        double rate = publish_all(&fixture, windows[i]);
        cpu = cpu_s() - cpu;
        struct store_statistics statistics;
        store_statistics(fixture.store, &statistics);
        double bare = bare_sqlite(fixture.directory, windows[i] / 2);
        print_message("%u waiting: %.0f messages/s in commits of %.0f, %.2f us CPU each; "
                      "bare SQLite in commits of %u: %.0f\n",
                      windows[i], rate, (double)messages / (double)statistics.commits,
                      cpu * 1e6 / messages, windows[i] / 2, bare);
        fixture_fini(&fixture);
    }
}

/* Connected subscribers that acknowledge in time: nothing reaches the disk. */
static void publishing_to_sessions_that_acknowledge(void **state)
{
    struct fixture fixture;
    open_with_sessions(&fixture);
    fixture.options.commit_delay_us = 1000000;
    struct store *store = fixture.store;
    struct store_statistics before, after;
    fixture_wait_durable(store, store_first_lsn(store) + SESSIONS, 5000);
    store_statistics(store, &before);
    double cpu = cpu_s(), from = now_s();
    uint64_t numbers[PER_BATCH] = {0}, lsn = 0;
    for (unsigned done = 0; done < messages; done += PER_BATCH) {
        store_reclaim(store, 0);
        struct store_batch *batch = store_batch_open(store, 0);
        for (unsigned i = 0; i < PER_BATCH; i++) {
            struct store_message message;
            uint64_t incarnation = (UINT64_C(1) << 32) + 1 + (done + i) % SESSIONS;
            if (numbers[i] != 0)
                store_batch_settled(
                    batch, (UINT64_C(1) << 32) + 1 + (done - PER_BATCH + i) % SESSIONS, numbers[i]);
            append(batch, incarnation, false, &message);
            store_batch_sent_at_qos(batch, incarnation, message.number, 1, (uint16_t)(i + 1),
                                    done + i);
            numbers[i] = message.number;
        }
        lsn = store_batch_lsn(batch);
        store_submit(store, batch);
        while (store_durable(store) + 100 < lsn) /* windows of publishers */
            usleep(50);
    }
    double seconds = now_s() - from;
    cpu = cpu_s() - cpu;
    assert_true(fixture_wait_durable(store, lsn, 5000));
    store_statistics(store, &after);
    print_message("acknowledged in time: %.0f messages/s, %.2f us CPU each, %u commits\n",
                  messages / seconds, cpu * 1e6 / messages,
                  (unsigned)(after.commits - before.commits));
    fixture_fini(&fixture);
}

int main(void)
{
    const char *wanted = getenv("STORE_BENCH_MESSAGES");
    if (wanted != NULL)
        messages = (unsigned)atoi(wanted) / 20000 * 20000;
    log_threshold = LOG_WARNING;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishing_to_offline_sessions),
        cmocka_unit_test(publishing_to_sessions_that_acknowledge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
