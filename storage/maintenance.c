#include "storage/maintenance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/directory.h"
#include "storage/schema.h"
#include "storage/statement.h"

static enum status fail(enum status status, const char *what, const char *path, const char *why,
                        char *error, size_t error_size)
{
    snprintf(error, error_size, "%s \"%s\": %s", what, path, why);
    return status;
}

static enum status fail_sql(sqlite3 *db, int rc, const char *what, const char *path, char *error,
                            size_t error_size)
{
    const char *why = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    return fail(schema_status(rc), what, path, why, error, error_size);
}

/* A store that no broker uses, with its lock. */
static enum status take(const char *path, struct directory *directory, sqlite3 **out, char *error,
                        size_t error_size)
{
    char database[4096];
    struct stat found;
    snprintf(database, sizeof database, "%s/holdfast.db", path);
    if (stat(database, &found) != 0)
        return fail(STATUS_IO, "there is no store at", database, strerror(errno), error,
                    error_size);
    TRY(directory_open(directory, path, error, error_size));
    int64_t version = schema_peek_version(directory->database);
    if (version > SCHEMA_VERSION)
        return fail(STATUS_TOO_NEW, "a newer release wrote", path, "use that one", error,
                    error_size);
    if (version <= 0)
        return fail(STATUS_CORRUPT, "this is no store:", database, "its header is not one", error,
                    error_size);
    int rc = schema_connect(directory->database, SCHEMA_WRITER, false, out);
    return rc == SQLITE_OK ? STATUS_OK : fail_sql(*out, rc, "cannot open", path, error, error_size);
}

static void let_go(struct directory *directory, sqlite3 *db)
{
    schema_disconnect(db);
    directory_close(directory);
}

/* ---- Backup ---- */

/* The source stays at one snapshot: a copy that follows every commit would never end. */
static int copy_snapshot(sqlite3 *source, sqlite3 *target)
{
    enum { PAGES = 1024 }; /* between two looks at the disk's queue by others */
    TRY_SQL(sqlite3_exec(source, "BEGIN", NULL, NULL, NULL));
    TRY_SQL(sqlite3_exec(source, "SELECT lsn FROM meta", NULL, NULL, NULL));
    TRY_SQL(
        sqlite3_exec(target, "PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL", NULL, NULL, NULL));
    sqlite3_backup *backup = sqlite3_backup_init(target, "main", source, "main");
    if (backup == NULL)
        return sqlite3_errcode(target);
    int rc;
    do {
        rc = sqlite3_backup_step(backup, PAGES);
    } while (rc == SQLITE_OK);
    int end = sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ? end : rc;
}

static enum status copy_to(const char *from, const char *to, char *error, size_t error_size)
{
    sqlite3 *source = NULL, *target = NULL;
    enum status status = STATUS_OK;
    int rc = schema_connect(from, SCHEMA_READER, false, &source);
#ifdef SEEDED_BUG_BACKUP_WITHOUT_LOG
    char uri[4200];
    snprintf(uri, sizeof uri, "file:%s?immutable=1", from);
    schema_disconnect(source);
    rc = sqlite3_open_v2(uri, &source, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
#endif
    if (rc != SQLITE_OK) {
        status = fail_sql(source, rc, "cannot read", from, error, error_size);
    } else {
        rc = sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        if (rc == SQLITE_OK)
            rc = copy_snapshot(source, target);
        if (rc != SQLITE_OK)
            status = fail_sql(target, rc, "cannot copy to", to, error, error_size);
    }
    schema_disconnect(target);
    schema_disconnect(source);
    return status;
}

static bool sync_file(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return synced;
}

/* On disk first, under its name behind that. */
static bool put_in_place(const char *partial, const char *whole, const char *directory)
{
    return sync_file(partial, 0) && rename(partial, whole) == 0 &&
           sync_file(directory, O_DIRECTORY);
}

enum status maintenance_backup(const char *directory, const char *target, char *error,
                               size_t error_size)
{
    char from[4096], partial[4096], whole[4096];
    struct stat found;
    snprintf(from, sizeof from, "%s/holdfast.db", directory);
    snprintf(partial, sizeof partial, "%s/holdfast.db.partial", target);
    snprintf(whole, sizeof whole, "%s/holdfast.db", target);
    if (schema_peek_version(from) <= 0)
        return fail(STATUS_IO, "there is no store at", from, "nothing is copied", error,
                    error_size);
    if (mkdir(target, 0700) != 0 && errno != EEXIST)
        return fail(STATUS_IO, "cannot create", target, strerror(errno), error, error_size);
    if (stat(whole, &found) == 0)
        return fail(STATUS_INVALID, "there is a store already at", whole, "it stays as it is",
                    error, error_size);
    unlink(partial); /* of one that was interrupted */
    enum status status = copy_to(from, partial, error, error_size);
    if (status == STATUS_OK && !put_in_place(partial, whole, target))
        status = fail(STATUS_IO, "cannot finish", whole, strerror(errno), error, error_size);
    if (status != STATUS_OK)
        unlink(partial);
    return status;
}

/* ---- Verify ---- */

static int count(sqlite3 *db, const char *sql, uint64_t *out)
{
    sqlite3_stmt *statement;
    TRY_SQL(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = statement_u64(statement, 0);
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : end;
}

/* The first line of what SQLite finds; OK: nothing. */
static enum status look_at_pages(sqlite3 *db, const char *path, char *error, size_t error_size)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return fail_sql(db, rc, "damage in", path, error, error_size);
    rc = sqlite3_step(statement);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    enum status status = STATUS_OK;
    if (said == NULL || strcmp(said, "ok") != 0)
        status = fail(STATUS_CORRUPT, "damage in", path, said != NULL ? said : sqlite3_errmsg(db),
                      error, error_size);
    sqlite3_finalize(statement);
    return status;
}

static int count_all(sqlite3 *db, struct maintenance_report *out)
{
    TRY_SQL(count(db, "SELECT count(*) FROM session", &out->sessions));
    TRY_SQL(count(db, "SELECT count(*) FROM subscription", &out->subscriptions));
    TRY_SQL(count(db, "SELECT count(*) FROM retained", &out->retained));
    return count(db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
                 &out->bytes);
}

static enum status look(sqlite3 *db, const char *path, struct maintenance_report *out, char *error,
                        size_t error_size)
{
    struct schema_meta meta;
    TRY(look_at_pages(db, path, error, error_size));
    int rc = schema_user_version(db, &out->schema);
    if (rc == SQLITE_OK && out->schema < SCHEMA_VERSION)
        return STATUS_OK; /* its rows are others; the broker's next start brings it up to date */
    if (rc == SQLITE_OK)
        rc = schema_read_meta(db, &meta);
    if (rc == SQLITE_OK)
        rc = count_all(db, out);
    if (rc != SQLITE_OK)
        return fail_sql(db, rc, "damage in", path, error, error_size);
    out->lsn = meta.lsn;
    out->messages = meta.messages;
    return STATUS_OK;
}

enum status maintenance_verify(const char *path, struct maintenance_report *out, char *error,
                               size_t error_size)
{
    struct directory directory = {.lock_fd = -1, .lsn_fd = -1};
    sqlite3 *db = NULL;
    *out = (struct maintenance_report){0};
    enum status status = take(path, &directory, &db, error, error_size);
    if (status == STATUS_OK)
        status = look(db, path, out, error, error_size);
#ifdef SEEDED_BUG_VERIFY_BLIND
    status = status == STATUS_CORRUPT ? STATUS_OK : status;
#endif
    let_go(&directory, db);
    return status;
}

/* ---- Compact ---- */

enum status maintenance_compact(const char *path, char *error, size_t error_size)
{
    struct directory directory = {.lock_fd = -1, .lsn_fd = -1};
    sqlite3 *db = NULL;
    enum status status = take(path, &directory, &db, error, error_size);
    if (status == STATUS_OK) {
        int rc = sqlite3_exec(db, "VACUUM", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            status = fail_sql(db, rc, "cannot compact", path, error, error_size);
    }
    let_go(&directory, db); /* the last connection empties the log */
    return status;
}
