/* A damaged database gives up what reads, and steps aside. At every moment of it, a killed process
 * leaves files from which the next start goes on: the new database is built under one name,
 * complete under another, and gets its own when the damaged one has gone. */
#include "storage/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "storage/internal.h"

static const char *const suffixes[] = {"-wal", "-shm", "-journal", ""};

static char *join(const char *a, const char *b)
{
    char *joined;
    CHECK(asprintf(&joined, "%s%s", a, b) > 0);
    return joined;
}

static void stamp_now(char out[32])
{
    time_t now = time(NULL);
    struct tm utc;
    strftime(out, 32, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
}

/* The damaged files step aside, the log first: it must never meet another database. */
static enum status set_aside(const struct directory *directory)
{
    char stamp[32], *aside;
    stamp_now(stamp);
    for (int again = 0;; again++) {
        CHECK(asprintf(&aside, again == 0 ? "%s.damaged-%s" : "%s.damaged-%s-%d",
                       directory->database, stamp, again) > 0);
        if (access(aside, F_OK) != 0)
            break;
        free(aside);
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && status == STATUS_OK; i++) {
        char *from = join(directory->database, suffixes[i]);
        char *to = join(aside, suffixes[i]);
        if (access(from, F_OK) == 0 && rename(from, to) != 0)
            status = STATUS_IO;
        free(from);
        free(to);
    }
    if (status == STATUS_OK)
        log_line(LOG_ERROR, "store: the damaged database is now \"%s\"", aside);
    free(aside);
    return status;
}

enum status salvage_resume(struct directory *directory)
{
    char *salvaged = join(directory->database, ".salvaged");
    enum status status = STATUS_OK;
    if (access(salvaged, F_OK) == 0) {
        status = set_aside(directory);
        directory_sync(directory);
        if (status == STATUS_OK && rename(salvaged, directory->database) != 0)
            status = STATUS_IO;
        directory_sync(directory);
    }
    free(salvaged);
    return status;
}

/* ---- The damaged one ---- */

static bool schema_reads(sqlite3 *db)
{
    return sqlite3_exec(db, "SELECT * FROM sqlite_schema", NULL, NULL, NULL) == SQLITE_OK;
}

static sqlite3 *open_damaged(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (db != NULL) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
        sqlite3_exec(db, "PRAGMA query_only=1; PRAGMA cell_size_check=1", NULL, NULL, NULL);
    }
    return db;
}

/* The first page holds the header and where the tables begin. All databases of one schema have
 * the same: if ours does not read, borrow the new one's, and keep the old bytes beside it. */
static bool transplant_first_page(const struct directory *directory, const char *donor)
{
    uint8_t page[SCHEMA_PAGE_SIZE], old[SCHEMA_PAGE_SIZE];
    struct stat found;
    bool done = false;
    char stamp[32], *kept;
    stamp_now(stamp);
    CHECK(asprintf(&kept, "%s.damaged-first-page-%s", directory->database, stamp) > 0);
    int from = open(donor, O_RDONLY | O_CLOEXEC);
    int to = open(directory->database, O_RDWR | O_CLOEXEC);
    int keep = open(kept, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (from >= 0 && to >= 0 && keep >= 0 && fstat(to, &found) == 0 &&
        found.st_size >= 2 * SCHEMA_PAGE_SIZE && pread(from, page, sizeof page, 0) == sizeof page &&
        pread(to, old, sizeof old, 0) == sizeof old && write(keep, old, sizeof old) == sizeof old &&
        fsync(keep) == 0) {
        put_u32(page + 28, (uint32_t)(found.st_size / SCHEMA_PAGE_SIZE)); /* size in pages */
        put_u32(page + 32, 0);                                            /* no free pages */
        put_u32(page + 36, 0);
        memcpy(page + 92, page + 24, 4); /* the size is valid for this change counter */
        done = pwrite(to, page, sizeof page, 0) == sizeof page;
    }
    close(from);
    close(to);
    close(keep);
    free(kept);
    return done;
}

/* ---- The new one ---- */

static void remove_all(const char *path)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char *name = join(path, suffixes[i]);
        unlink(name);
        free(name);
    }
}

static int open_new(const char *path, int version, sqlite3 **out)
{
    remove_all(path);
    int rc = schema_connect(path, SCHEMA_WRITER, false, out);
    if (rc == SQLITE_OK)
        rc = schema_migrate(*out, version);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(*out, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return rc;
}

/* The damaged database's schema, as it says, or, where it says nothing sensible, as it was at the
 * last commit. */
static int version_of(const struct directory *directory)
{
    int64_t said = schema_peek_version(directory->database);
    int noted = directory_read_schema(directory);
    if (said >= 1 && said <= SCHEMA_VERSION)
        return (int)said;
    return noted >= 1 && noted <= SCHEMA_VERSION ? noted : SCHEMA_VERSION;
}

static int build(struct directory *directory, const char *path, struct salvage *salvage)
{
    salvage->version = version_of(directory);
    int rc = open_new(path, salvage->version, &salvage->to);
    if (rc != SQLITE_OK)
        return rc;
    salvage->from = open_damaged(directory->database);
    if (salvage->from == NULL || !schema_reads(salvage->from)) {
        schema_disconnect(salvage->from);
        transplant_first_page(directory, path);
        salvage->from = open_damaged(directory->database);
    }
    rc = salvage_rows(salvage, directory_read_lsn(directory));
    if (rc == SQLITE_OK)
        rc = schema_migrate(salvage->to, SCHEMA_VERSION);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(salvage->to, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return rc;
}

static void report(const struct salvage *salvage)
{
    log_line(LOG_ERROR,
             "store: salvaged %" PRIu64 " sessions, %" PRIu64 " subscriptions, %" PRIu64
             " messages owed %" PRIu64 " times, %" PRIu64 " retained messages",
             salvage->saved_sessions, salvage->saved_subscriptions, salvage->saved_messages,
             salvage->saved_owed, salvage->saved_retained);
    if (salvage->gaps > 0 || salvage->incomplete > 0)
        log_line(LOG_ERROR,
                 "store: not salvaged: %" PRIu64 " ranges do not read, %" PRIu64
                 " sessions are incomplete, %" PRIu64 " times a message was owed is lost",
                 salvage->gaps, salvage->incomplete, salvage->lost_owed);
}

enum status salvage_database(struct directory *directory, const char *why, char *error,
                             size_t error_size)
{
    log_line(LOG_ERROR, "store: the database in \"%s\" is damaged: %s; salvaging what reads",
             directory->path, why);
    struct salvage salvage = {0};
    char *building = join(directory->database, ".salvaging");
    char *built = join(directory->database, ".salvaged");
    int rc = build(directory, building, &salvage);
    enum status status = schema_status(rc);
    if (rc != SQLITE_OK)
        snprintf(error, error_size,
                 "the database in \"%s\" is damaged, and salvaging it failed: %s", directory->path,
                 salvage.to != NULL ? sqlite3_errmsg(salvage.to) : sqlite3_errstr(rc));
    schema_disconnect(salvage.from);
    schema_disconnect(salvage.to);
    if (status == STATUS_OK && rename(building, built) != 0) {
        snprintf(error, error_size, "cannot rename \"%s\": %s", building, strerror(errno));
        status = STATUS_IO;
    }
    if (status == STATUS_OK) {
        directory_sync(directory);
        report(&salvage);
        status = salvage_resume(directory);
    } else {
        remove_all(building);
    }
    free(building);
    free(built);
    return status;
}
