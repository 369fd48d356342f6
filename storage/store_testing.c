#include "storage/store_testing.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "storage/tally.h"

static void notify(void *context, unsigned worker)
{
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->notified[worker], 1);
}

static void release(void *context, void *cookie)
{
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->released, 1);
    free(cookie);
}

void fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    const char *base = getenv("TMPDIR");
    snprintf(fixture->directory, sizeof fixture->directory, "%s/holdfast-store-XXXXXX",
             base != NULL && strlen(base) < 32 ? base : "/tmp");
    CHECK(mkdtemp(fixture->directory) != NULL);
    fixture->options = (struct store_options){
        .directory = fixture->directory,
        .durability = STORE_DURABILITY_COMMIT,
        .workers = 1,
        .flush_mem_threshold = 100000,
        .flush_interval_ms = 60000,
        .commit_delay_us = 2000,
        .disk_stall_limit_ms = 2000,
        .notify = notify,
        .context = fixture,
        .release = release,
    };
}

void fixture_open(struct fixture *fixture)
{
    struct store_visitor visitor = {.context = fixture};
    enum status status =
        store_open(&fixture->options, &fixture->store, fixture->error, sizeof fixture->error);
    if (status != STATUS_OK)
        fprintf(stderr, "store_open: %s\n", fixture->error);
    CHECK(status == STATUS_OK);
    CHECK(store_load(fixture->store, &visitor) == STATUS_OK);
    CHECK(store_start(fixture->store) == STATUS_OK);
}

void fixture_close(struct fixture *fixture)
{
    if (fixture->store != NULL)
        store_close(fixture->store);
    fixture->store = NULL;
}

void fixture_fini(struct fixture *fixture)
{
    fixture_close(fixture);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", fixture->directory);
    CHECK(system(command) == 0);
}

static int log_fd = -1;

void fixture_mute(bool mute)
{
    static int kept = -1;
    if (mute == (kept >= 0))
        return;
    if (mute) {
        if (log_fd < 0)
            log_fd = memfd_create("log", MFD_CLOEXEC);
        CHECK(log_fd >= 0 && ftruncate(log_fd, 0) == 0 && lseek(log_fd, 0, SEEK_SET) == 0);
        kept = dup(STDERR_FILENO);
        CHECK(kept >= 0 && dup2(log_fd, STDERR_FILENO) >= 0);
    } else {
        CHECK(dup2(kept, STDERR_FILENO) >= 0);
        close(kept);
        kept = -1;
    }
}

bool fixture_said(const char *text)
{
    static char log[1 << 16];
    ssize_t size = pread(log_fd, log, sizeof log - 1, 0);
    CHECK(size >= 0);
    log[size] = '\0';
    return strstr(log, text) != NULL;
}

void fixture_path(const struct fixture *fixture, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", fixture->directory, name);
}

bool fixture_wait_durable(struct store *store, uint64_t lsn, unsigned ms)
{
    for (unsigned i = 0; i < ms * 10; i++) {
        if (store_durable(store) >= lsn)
            return true;
        usleep(100);
    }
    return store_durable(store) >= lsn;
}

static uint64_t submit(struct store *store, struct store_batch *batch)
{
    uint64_t lsn = store_batch_lsn(batch);
    store_submit(store, batch);
    return lsn;
}

uint64_t fixture_session(struct store *store, uint64_t incarnation, const char *client_identifier)
{
    struct store_batch *batch = store_batch_open(store, 0);
    struct store_session session = {
        .incarnation = incarnation,
        .client_identifier = bytes_of_text(client_identifier),
        .version = 5,
        .expiry_interval_s = 3600,
        .connected = true,
    };
    store_batch_session(batch, &session);
    return submit(store, batch);
}

uint64_t fixture_end(struct store *store, uint64_t incarnation)
{
    struct store_batch *batch = store_batch_open(store, 0);
    store_batch_session_end(batch, incarnation);
    return submit(store, batch);
}

uint64_t fixture_subscribe(struct store *store, uint64_t incarnation, const char *filter)
{
    struct store_batch *batch = store_batch_open(store, 0);
    struct store_subscription subscription = {.topic_filter = bytes_of_text(filter), .options = 1};
    store_batch_subscribe(batch, incarnation, &subscription);
    return submit(store, batch);
}

uint64_t fixture_append(struct store_batch *batch, uint64_t first, uint32_t count, uint8_t qos,
                        bool urgent, const char *payload)
{
    struct store_owed owed[64];
    CHECK(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        owed[i] = (struct store_owed){.incarnation = first + i, .qos = qos};
    struct store_message message = {
        .qos = qos,
        .topic = bytes_of_text("a/b"),
        .payload = bytes_of_text(payload),
    };
    struct store_publish publish = {
        .message = &message, .owed = owed, .owed_count = count, .urgent = urgent};
    store_batch_message(batch, &publish);
    return message.number;
}

uint64_t fixture_publish(struct store *store, uint64_t first, uint32_t count, uint8_t qos,
                         bool urgent, const char *payload, uint64_t *number)
{
    struct store_batch *batch = store_batch_open(store, 0);
    uint64_t made = fixture_append(batch, first, count, qos, urgent, payload);
    if (number != NULL)
        *number = made;
    return submit(store, batch);
}

uint64_t fixture_sent(struct store *store, uint64_t incarnation, uint64_t number, uint8_t qos,
                      uint16_t packet_identifier, uint64_t sequence)
{
    struct store_batch *batch = store_batch_open(store, 0);
    store_batch_sent_at_qos(batch, incarnation, number, qos, packet_identifier, sequence);
    return submit(store, batch);
}

uint64_t fixture_released(struct store *store, uint64_t incarnation, uint64_t number)
{
    struct store_batch *batch = store_batch_open(store, 0);
    store_batch_released(batch, incarnation, number);
    return submit(store, batch);
}

uint64_t fixture_settled(struct store *store, uint64_t incarnation, uint64_t number)
{
    struct store_batch *batch = store_batch_open(store, 0);
    store_batch_settled(batch, incarnation, number);
    return submit(store, batch);
}

void fixture_await(struct store *store, struct store_read *read)
{
    store_read_submit(store, read);
    for (int i = 0; i < 100000; i++) {
        struct store_read *answered = store_read_next(store, read->worker);
        if (answered != NULL) {
            CHECK(answered == read);
            return;
        }
        usleep(100);
    }
    CHECK(!"a read was not answered in ten seconds");
}

struct store_read fixture_read(struct store *store, uint64_t incarnation, bool resume)
{
    struct store_read read = {
        .incarnation = incarnation,
        .resume = resume,
        .until = UINT64_MAX,
        .limit = 1000000,
        .limit_bytes = UINT64_MAX,
    };
    fixture_await(store, &read);
    CHECK(read.status == STATUS_OK);
    read.next = NULL;
    return read;
}

static sqlite3 *connect_to(const struct fixture *fixture)
{
    char path[128];
    sqlite3 *db;
    fixture_path(fixture, "holdfast.db", path);
    CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
          SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

void fixture_exec(const struct fixture *fixture, const char *sql)
{
    sqlite3 *db = connect_to(fixture);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
}

int64_t fixture_query(const struct fixture *fixture, const char *sql)
{
    sqlite3 *db = connect_to(fixture);
    sqlite3_stmt *statement;
    CHECK(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    if (sqlite3_step(statement) != SQLITE_ROW)
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
    CHECK(sqlite3_errcode(db) == SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

#define OWED "(SELECT total(count) FROM segment) - (SELECT total(settled) FROM progress)"

int64_t fixture_owed(const struct fixture *fixture)
{
    return fixture_query(fixture, "SELECT " OWED);
}

/* What is counted for each session is what there is. */
static void check_tally(const struct fixture *fixture)
{
    struct tally tally;
    size_t sessions = 0;
    sqlite3_stmt *s;
    sqlite3 *db = connect_to(fixture);
    tally_init(&tally);
    CHECK(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK);
    CHECK(tally_load(&tally, db) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(db,
                             "SELECT incarnation, sum(owed) FROM"
                             " (SELECT incarnation, count AS owed FROM segment UNION ALL"
                             " SELECT incarnation, -settled FROM progress) GROUP BY incarnation",
                             -1, &s, NULL) == SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; sessions++)
        CHECK((int64_t)tally_of(&tally, (uint64_t)sqlite3_column_int64(s, 0)) ==
              sqlite3_column_int64(s, 1));
    CHECK(sqlite3_finalize(s) == SQLITE_OK);
    CHECK(sessions == tally.counts.count);
    sqlite3_close(db);
    tally_fini(&tally);
}

/* Those with a row, and those that lie in an entry: the entries that no row counts. */
int64_t fixture_messages(const struct fixture *fixture)
{
    check_tally(fixture);
    int64_t messages =
        fixture_query(fixture, "SELECT count(*) - total(owed) + " OWED " FROM message");
    CHECK(messages == fixture_query(fixture, "SELECT messages FROM meta"));
    return messages;
}
