#include "storage/schema.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "storage/migrate.h"
#include "storage/tally.h"

/* Step i takes version i to i + 1. A step that has been released is never changed: to change the
 * schema, add one. A new database climbs all of them, so that its first page, where the tables
 * begin, is that of an old one. Columns of a message are those of struct store_message, of a
 * session those of struct store_session; empty byte strings are NULL. */
static const char *const migrations[SCHEMA_VERSION] = {
    [0] = "CREATE TABLE meta("
          "  id INTEGER PRIMARY KEY CHECK(id = 1),"
          "  boot INTEGER NOT NULL, lsn INTEGER NOT NULL, messages INTEGER NOT NULL,"
          "  boot_id TEXT NOT NULL, boot_ms INTEGER NOT NULL, store_ms INTEGER NOT NULL,"
          "  wall_ms INTEGER NOT NULL);"
          "INSERT INTO meta VALUES(1, 0, 0, 0, '', 0, 0, 0);"
          "CREATE TABLE session("
          "  incarnation INTEGER PRIMARY KEY,"
          "  client_identifier BLOB, owner BLOB, version INTEGER NOT NULL,"
          "  expiry_interval_s INTEGER NOT NULL, connected INTEGER NOT NULL,"
          "  disconnected_at_ms INTEGER NOT NULL, will_due_ms INTEGER NOT NULL,"
          "  will_qos INTEGER," /* NULL: no will */
          "  will_retain INTEGER, will_delay_interval_s INTEGER,"
          "  will_message_expiry_interval_s INTEGER," /* NULL: none */
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
          "  owed INTEGER NOT NULL," /* rows of `owed` with this number */
          "  qos INTEGER NOT NULL, retain INTEGER NOT NULL,"
          "  expiry_interval_s INTEGER," /* NULL: none */
          "  received_at_ms INTEGER NOT NULL, publisher INTEGER NOT NULL,"
          "  topic BLOB, properties BLOB, payload BLOB);"
          "CREATE TABLE owed("
          "  incarnation INTEGER NOT NULL, number INTEGER NOT NULL,"
          "  qos INTEGER NOT NULL, retain INTEGER NOT NULL, state INTEGER NOT NULL,"
          "  packet_identifier INTEGER NOT NULL, sequence INTEGER NOT NULL,"
          "  subscription_identifiers BLOB," /* 4 bytes each, big endian */
          "  PRIMARY KEY(incarnation, number)) WITHOUT ROWID;"
          /* Finds what is in flight without walking the backlog; queued rows are not in it. */
          "CREATE INDEX owed_in_flight ON owed(incarnation, sequence) WHERE state <> 0;"
          "CREATE TABLE retained("
          "  id INTEGER PRIMARY KEY, topic BLOB NOT NULL UNIQUE, number INTEGER NOT NULL,"
          "  qos INTEGER NOT NULL, retain INTEGER NOT NULL, expiry_interval_s INTEGER,"
          "  received_at_ms INTEGER NOT NULL, publisher INTEGER NOT NULL,"
          "  properties BLOB, payload BLOB);"
          /* Incarnations that are over and have a backlog to delete. */
          "CREATE TABLE ended(incarnation INTEGER PRIMARY KEY);",
    /* What sessions are owed in segments (segment.h) in place of a row of `owed` each; and `owed`
     * of a message counts the entries that need it. One that lies in an entry has no row. */
    [1] = "CREATE TABLE segment("
          "  id INTEGER PRIMARY KEY,"
          "  period INTEGER NOT NULL," /* a number that none of its period is below */
          "  incarnation INTEGER NOT NULL, first INTEGER NOT NULL," /* its first message's number */
          "  count INTEGER NOT NULL,"                               /* of entries */
          "  shared INTEGER NOT NULL," /* of them, those with a row of `message` */
          "  directory BLOB NOT NULL, data BLOB NOT NULL);"
          /* By time before session: a flush for a thousand sessions then touches the few pages of
           * the period, and not one for each session. A message's period is the last that begins at
           * or before its number, because whatever is flushed later has greater numbers. */
          "CREATE UNIQUE INDEX segment_of ON segment(period, incarnation, first, count);"
          /* What has become of a segment's entries; no row: all are queued. */
          "CREATE TABLE progress("
          "  incarnation INTEGER NOT NULL, first INTEGER NOT NULL,"
          "  settled INTEGER NOT NULL, in_flight INTEGER NOT NULL," /* entries */
          "  data BLOB NOT NULL,"
          "  PRIMARY KEY(incarnation, first)) WITHOUT ROWID;",
    /* How many entries each session is owed: tally.h. */
    [2] = "CREATE TABLE tally(id INTEGER PRIMARY KEY, data BLOB NOT NULL);",
};

/* What SQL alone does not do of a step, behind it and in its transaction. */
static int (*const conversions[SCHEMA_VERSION])(sqlite3 *db) = {
    [1] = migrate_to_segments,
    [2] = tally_recount,
};

static void configure(void)
{
    /* Its statistics are a global lock around each allocation. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int pragma(sqlite3 *db, const char *name, long value)
{
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA %s=%ld", name, value);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* Of a new file; means nothing to an old one. It takes the lock of who writes, even then. */
static int shape(sqlite3 *db)
{
    int rc = pragma(db, "page_size", SCHEMA_PAGE_SIZE);
    return rc == SQLITE_OK ? pragma(db, "auto_vacuum", 2) : rc; /* incremental */
}

static const struct {
    const char *name;
    long value[3]; /* by role */
} pragmas[] = {
    {"cache_size", {-32 * 1024, -8 * 1024, -1024}}, /* KiB */
    {"temp_store", {2, 2, 2}},                      /* memory */
    {"cell_size_check", {1, 1, 1}},
    {"wal_autocheckpoint", {0, 0, 0}},
    {"journal_size_limit", {16 << 20, 16 << 20, 16 << 20}},
#ifdef SEEDED_BUG_FSYNC_SKIPPED
    {"synchronous", {0, 0, 0}},
#else
    {"synchronous", {2, 2, 2}}, /* FULL: each commit is synced */
#endif
};

int schema_connect(const char *path, enum schema_role role, bool secure_delete, sqlite3 **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    *out = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (role == SCHEMA_WRITER)
        flags |= SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, out, flags, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3 *db = *out;
    sqlite3_busy_timeout(db, 5000);
#ifndef SEEDED_BUG_READER_WAITS_FOR_WRITER
    if (role == SCHEMA_WRITER)
#endif
        rc = shape(db);
    for (size_t i = 0; i < sizeof pragmas / sizeof pragmas[0] && rc == SQLITE_OK; i++)
        rc = pragma(db, pragmas[i].name, pragmas[i].value[role]);
    if (rc == SQLITE_OK)
        rc = pragma(db, "secure_delete", secure_delete);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
    /* Read something, so that the log is open too: see "When a commit fails" in
     * docs/ordering.md. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    return rc;
}

void schema_disconnect(sqlite3 *db)
{
    sqlite3_close_v2(db);
}

int64_t schema_peek_version(const char *path)
{
    uint8_t header[100];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = pread(fd, header, sizeof header, 0);
    close(fd);
    if (size != sizeof header || memcmp(header, "SQLite format 3", 16) != 0)
        return -1;
    return (int64_t)get_u32(header + 60);
}

static int query_int(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : end == SQLITE_OK ? SQLITE_CORRUPT : end;
}

int schema_user_version(sqlite3 *db, int *out)
{
    int64_t version = 0;
    int rc = query_int(db, "PRAGMA user_version", &version);
    *out = (int)version;
    return rc;
}

int schema_migrate(sqlite3 *db, int wanted)
{
    int version;
    int rc = schema_user_version(db, &version);
    if (rc == SQLITE_OK && version == 0) {
        int64_t tables = 0;
        rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
        if (rc == SQLITE_OK && tables > 0)
            return SQLITE_NOTADB; /* somebody else's */
    }
    for (; rc == SQLITE_OK && version < wanted; version++) {
        rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(db, migrations[version], NULL, NULL, NULL);
        if (rc == SQLITE_OK && conversions[version] != NULL)
            rc = conversions[version](db);
        if (rc == SQLITE_OK)
            rc = pragma(db, "application_id", SCHEMA_APPLICATION);
        if (rc == SQLITE_OK)
            rc = pragma(db, "user_version", version + 1);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

int schema_read_meta(sqlite3 *db, struct schema_meta *out)
{
    *out = (struct schema_meta){0};
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(
        db,
        "SELECT boot, lsn, messages, boot_id, boot_ms, store_ms, wall_ms FROM meta WHERE id = 1",
        -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        out->boot = (uint32_t)sqlite3_column_int64(statement, 0);
        out->lsn = (uint64_t)sqlite3_column_int64(statement, 1);
        out->messages = (uint64_t)sqlite3_column_int64(statement, 2);
        const char *boot_id = (const char *)sqlite3_column_text(statement, 3);
        snprintf(out->boot_id, sizeof out->boot_id, "%s", boot_id != NULL ? boot_id : "");
        out->boot_ms = sqlite3_column_int64(statement, 4);
        out->store_ms = sqlite3_column_int64(statement, 5);
        out->wall_ms = sqlite3_column_int64(statement, 6);
    }
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : end == SQLITE_OK ? SQLITE_CORRUPT : end;
}

int schema_write_meta(sqlite3 *db, const struct schema_meta *meta)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(
        db,
        "INSERT OR REPLACE INTO meta(id, boot, lsn, messages, boot_id, boot_ms, store_ms, wall_ms)"
        " VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_int64(statement, 1, meta->boot);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)meta->lsn);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)meta->messages);
    sqlite3_bind_text(statement, 4, meta->boot_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 5, meta->boot_ms);
    sqlite3_bind_int64(statement, 6, meta->store_ms);
    sqlite3_bind_int64(statement, 7, meta->wall_ms);
    sqlite3_step(statement);
    return sqlite3_finalize(statement);
}

bool schema_is_damage(int code)
{
    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return true;
    case SQLITE_ERROR: /* "no such table": the schema is not ours, or its page is not */
        return true;
    case SQLITE_IOERR: /* a file shorter than its header says */
        return code == SQLITE_IOERR_SHORT_READ;
    default:
        return false;
    }
}

enum status schema_status(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return STATUS_OK;
    case SQLITE_NOMEM:
        return STATUS_NO_MEMORY;
    case SQLITE_FULL:
        return STATUS_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STATUS_LOCKED;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return STATUS_DENIED;
    default:
        return schema_is_damage(code) ? STATUS_CORRUPT : STATUS_IO;
    }
}
