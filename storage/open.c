/* Opening a database: is it ours, is it whole, what is in it. */
#include "storage/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "storage/clock.h"
#include "storage/statement.h"

/* ---- Looking at everything that a start rests on ---- */

/* Reads every row, so that damage shows now and not under a running broker. */
static int scan(sqlite3 *db, const char *sql, int (*visit)(struct store *, sqlite3_stmt *),
                struct store *store)
{
    sqlite3_stmt *s;
    TRY_SQL(sqlite3_prepare_v2(db, sql, -1, &s, NULL));
    int found = SQLITE_OK;
    while (found == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        found = visit(store, s);
    int end = sqlite3_finalize(s);
    return found != SQLITE_OK ? found : end;
}

/* Every column of it. */
static int found_row(struct store *store, sqlite3_stmt *s)
{
    (void)store;
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        if (statement_lacks(s, i))
            return sqlite3_errcode(sqlite3_db_handle(s));
    }
    return SQLITE_OK;
}

static int found_session(struct store *store, sqlite3_stmt *s)
{
    pending_add_live(&store->engine.pending, statement_u64(s, 0));
    return roster_add_session(&store->roster, s);
}

static int found_subscription(struct store *store, sqlite3_stmt *s)
{
    return roster_add_subscription(&store->roster, s);
}

/* Incarnations without a session are at their end, noted in `ended` or not. */
static void end_those_without_session(struct store *store)
{
    const struct table *counts = &store->engine.writer.owed.tally.counts;
    for (size_t i = 0; i < counts->capacity; i++) {
        uint64_t incarnation = counts->keys[i];
        if (incarnation != 0 && !table_has(&store->engine.pending.live, incarnation))
            writer_add_ended(&store->engine.writer, incarnation);
    }
}

/* A small database is checked page by page, a large one where a start has to look anyway; what else
 * is damaged there is met later and salvaged at the next start. */
static int check_if_small(sqlite3 *db)
{
    enum { SMALL_PAGES = 16384 }; /* 64 MB: some 100 ms */
    sqlite3_stmt *s;
    TRY_SQL(sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &s, NULL));
    bool small = sqlite3_step(s) == SQLITE_ROW && sqlite3_column_int64(s, 0) <= SMALL_PAGES;
    TRY_SQL(sqlite3_finalize(s));
    if (!small)
        return SQLITE_OK;
    TRY_SQL(sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL));
    int rc = sqlite3_step(s);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : "";
    bool damaged = rc == SQLITE_ROW && said != NULL && strcmp(said, "ok") != 0;
    if (damaged)
        log_line(LOG_WARNING, "store: %s", said);
    int end = sqlite3_finalize(s);
    return damaged ? SQLITE_CORRUPT : end;
}

static int scan_all(struct store *store, sqlite3 *db)
{
    TRY_SQL(check_if_small(db));
    TRY_SQL(scan(db, "SELECT * FROM session ORDER BY incarnation", found_session, store));
    TRY_SQL(scan(db, "SELECT * FROM subscription ORDER BY incarnation", found_subscription, store));
    TRY_SQL(scan(db, "SELECT * FROM inbound", found_row, store));
    TRY_SQL(scan(db, "SELECT * FROM retained", found_row, store));
    TRY_SQL(
        scan(db, "SELECT topic FROM retained ORDER BY topic", found_row, store)); /* the index */
    TRY_SQL(scan(db, "SELECT * FROM ended", found_row, store));
    TRY_SQL(scan(db, "SELECT min(number), max(number) FROM message", found_row, store));
    TRY_SQL(scan(db, "SELECT * FROM progress", found_row, store));
    TRY_SQL(tally_load(&store->engine.writer.owed.tally, db));
    end_those_without_session(store);
    return SQLITE_OK;
}

/* ---- One attempt ---- */

static void forget_scan(struct store *store)
{
    writer_fini(&store->engine.writer);
    pending_fini(&store->engine.pending);
    pending_init(&store->engine.pending);
    roster_fini(&store->roster);
}

static void compare_with_side_file(struct store *store)
{
    uint64_t side = directory_read_lsn(&store->directory);
    store->first_lsn = store->meta.lsn;
    if (side <= store->meta.lsn)
        return;
    log_line(LOG_ERROR,
             "store: the database in \"%s\" ends at LSN %" PRIu64 ", but %" PRIu64
             " had been committed: the last %" PRIu64
             " batches are gone; the write-ahead log was cut or removed, or an old copy put back",
             store->directory.path, store->meta.lsn, side, side - store->meta.lsn);
    store->first_lsn = side; /* numbers that were given out are not given again */
}

/* Everything but the decision what to do about damage. A SQLite code. */
static int try_open(struct store *store, sqlite3 *db, bool *too_new)
{
    const char *path = store->directory.database;
    int version;
    TRY_SQL(schema_user_version(db, &version));
    if (version > SCHEMA_VERSION) {
        *too_new = true;
        return SQLITE_OK;
    }
    TRY_SQL(schema_migrate(db, SCHEMA_VERSION));
    TRY_SQL(schema_read_meta(db, &store->meta));
    /* What the log holds may be known to the page cache only. Copy it, synced, before anything
     * rests on it. */
    int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if ((rc & 0xff) == SQLITE_BUSY)
        log_line(LOG_WARNING,
                 "store: another program reads the database in \"%s\"; its "
                 "write-ahead log could not be copied yet",
                 store->directory.path);
    else if (rc != SQLITE_OK)
        return rc;
    writer_init(&store->engine.writer, path, store->options.secure_delete, &store->meta, 0);
    TRY_SQL(scan_all(store, db));
    writer_measure(&store->engine.writer, db);

    compare_with_side_file(store);
    store->now_base = clock_store_base(&store->meta);
    struct schema_meta *meta = &store->meta;
    meta->boot++;
    meta->lsn = store->first_lsn;
    clock_source->boot_id(meta->boot_id);
    meta->boot_ms = clock_source->boot_ms();
    meta->store_ms = store->now_base + meta->boot_ms;
    meta->wall_ms = clock_source->wall_ms();
    TRY_SQL(schema_write_meta(db, meta));
    store->engine.writer.meta = *meta;
    store->engine.writer.store_base_ms = store->now_base;
    return SQLITE_OK;
}

static enum status attempt(struct store *store, char *why, size_t why_size, bool *too_new)
{
    sqlite3 *db = NULL;
    int rc =
        schema_connect(store->directory.database, SCHEMA_WRITER, store->options.secure_delete, &db);
    if (rc == SQLITE_OK)
        rc = try_open(store, db, too_new);
    if (rc != SQLITE_OK) {
        snprintf(why, why_size, "%s",
                 db != NULL && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db)
                                                                : sqlite3_errstr(rc));
        forget_scan(store);
    }
    if (rc != SQLITE_OK || *too_new) /* leave it as it is */
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (rc == SQLITE_OK && !*too_new) {
        enum status status = checkpoint_init(&store->checkpointer, store->directory.database);
        schema_disconnect(db);
        if (status != STATUS_OK) {
            checkpoint_fini(&store->checkpointer);
            forget_scan(store);
        }
        return status;
    }
    schema_disconnect(db);
    return schema_is_damage(rc) ? STATUS_CORRUPT : schema_status(rc);
}

static enum status refuse_newer(const struct store *store, char *error, size_t error_size)
{
    snprintf(error, error_size,
             "the store in \"%s\" was written by a newer release (schema %" PRId64
             ", this one knows %d); it was not touched",
             store->directory.path, schema_peek_version(store->directory.database), SCHEMA_VERSION);
    return STATUS_TOO_NEW;
}

enum status open_database(struct store *store, char *error, size_t error_size)
{
    struct directory *directory = &store->directory;
    char why[160] = "damage was met while running";
    bool too_new = false;
    TRY(directory_open(directory, store->options.directory, error, error_size));
    TRY(salvage_resume(directory));
    if (schema_peek_version(directory->database) > SCHEMA_VERSION)
        return refuse_newer(store, error, error_size);
    enum status status = STATUS_CORRUPT;
    if (!directory_marked_damaged(directory))
        status = attempt(store, why, sizeof why, &too_new);
    if (status == STATUS_CORRUPT) {
        TRY(salvage_database(directory, why, error, error_size));
        directory_unmark_damaged(directory);
        status = attempt(store, why, sizeof why, &too_new);
    }
    if (too_new)
        return refuse_newer(store, error, error_size);
    if (status != STATUS_OK) {
        snprintf(error, error_size, "the store in \"%s\" cannot be opened: %s: %s", directory->path,
                 status_text(status), why);
        return status;
    }
    directory_write_lsn(directory, store->meta.lsn);
    directory_sync(directory);
    directory_note_opened(directory);
    reader_init(&store->reader, directory->database);
    return STATUS_OK;
}

/* ---- Loading ---- */

static int load_retained(const struct store_visitor *visitor, sqlite3 *db)
{
    sqlite3_stmt *s;
    int rc;
    TRY_SQL(sqlite3_prepare_v2(
        db,
        "SELECT number, qos, retain, expiry_interval_s, received_at_ms, publisher, topic,"
        " properties, payload FROM retained ORDER BY number",
        -1, &s, NULL));
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct store_message message = {.number = statement_u64(s, 0)};
        statement_message(s, 1, &message);
        if (visitor->retained != NULL)
            visitor->retained(visitor->context, &message);
    }
    int end = sqlite3_finalize(s);
    return rc == SQLITE_DONE ? SQLITE_OK : end;
}

enum status open_load(struct store *store, const struct store_visitor *visitor)
{
    sqlite3 *db;
    roster_visit(&store->roster, &store->engine.writer.owed.tally, visitor);
    roster_fini(&store->roster);
    int rc = schema_connect(store->directory.database, SCHEMA_READER, false, &db);
    if (rc == SQLITE_OK)
        rc = load_retained(visitor, db);
    if (rc != SQLITE_OK)
        log_line(LOG_ERROR, "store: loading failed: %s",
                 db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    schema_disconnect(db);
    return schema_status(rc);
}
