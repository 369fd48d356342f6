#include "storage/salvage.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/tally.h"

enum { NAMED_SESSIONS = 100 }; /* incomplete ones that get a log line of their own */

/* ---- Walking a table that has holes ---- */

/* Every column, or a large value that lies on a bad page makes the row unreadable. */
static bool row_reads(sqlite3_stmt *s)
{
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        if (sqlite3_column_type(s, i) == SQLITE_BLOB && sqlite3_column_blob(s, i) == NULL)
            return false;
    }
    return true;
}

static int begin(struct salvage_walk *walk, int64_t after)
{
    sqlite3_reset(walk->select);
    if (sqlite3_bind_parameter_count(walk->select) == 2) {
        sqlite3_bind_int64(walk->select, 1, (sqlite3_int64)walk->incarnation);
        sqlite3_bind_int64(walk->select, 2, after);
    } else {
        sqlite3_bind_int64(walk->select, 1, after);
    }
    int rc = sqlite3_step(walk->select);
    return rc == SQLITE_ROW && !row_reads(walk->select) ? SQLITE_CORRUPT : rc;
}

/* The smallest key behind `bad` from which the table reads again. The table behaves like "does not
 * read" up to some key and "reads" from there on, so: double the step, then halve the interval. */
static bool find_readable(struct salvage_walk *walk, int64_t bad, int64_t *out)
{
    int64_t fails = bad, reads = 0;
    for (int64_t step = 1; reads == 0; step *= 2) {
        int64_t at = bad > INT64_MAX - step ? INT64_MAX : bad + step;
        int rc = begin(walk, at);
        if (rc == SQLITE_ROW || rc == SQLITE_DONE)
            reads = at;
        else
            fails = at;
        if (reads == 0 && (at == INT64_MAX || step > INT64_MAX / 2))
            return false;
    }
    while (reads - fails > 1) {
        int64_t middle = fails + (reads - fails) / 2;
        int rc = begin(walk, middle);
        if (rc == SQLITE_ROW || rc == SQLITE_DONE)
            reads = middle;
        else
            fails = middle;
    }
    *out = reads;
    return true;
}

void salvage_walk(struct salvage_walk *walk)
{
    int64_t after = 0;
    if (walk->select == NULL) { /* the table is not even in the schema */
        walk->gaps++;
        return;
    }
    for (;;) {
        int rc = begin(walk, after);
        while (rc == SQLITE_ROW) {
            if (!row_reads(walk->select))
                break;
            after = sqlite3_column_int64(walk->select, 0);
            walk->copy(walk);
            walk->copied++;
            if (walk->salvage->error != SQLITE_OK)
                return;
            rc = sqlite3_step(walk->select);
        }
        if (rc == SQLITE_DONE)
            break;
        walk->gaps++;
        walk->salvage->gaps++;
        walk->gap_from = after;
        if (!find_readable(walk, after, &after)) {
            walk->gap_to = INT64_MAX;
            break;
        }
        walk->gap_to = after + 1;
    }
    sqlite3_reset(walk->select);
}

sqlite3_stmt *salvage_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        log_line(LOG_WARNING, "store: salvage: %s", sqlite3_errmsg(db));
        return NULL;
    }
    return statement;
}

void salvage_insert(struct salvage *salvage, sqlite3_stmt *insert)
{
    sqlite3_step(insert);
    int rc = sqlite3_reset(insert);
    if (rc != SQLITE_OK &&
        (rc & 0xff) != SQLITE_CONSTRAINT) /* a row that nobody could have written */
        salvage->error = rc;
}

void salvage_copy_columns(struct salvage_walk *walk)
{
    for (int i = 0; i < sqlite3_column_count(walk->select); i++)
        sqlite3_bind_value(walk->insert, i + 1, sqlite3_column_value(walk->select, i));
    salvage_insert(walk->salvage, walk->insert);
}

static void copy_message(struct salvage_walk *walk)
{
    uint64_t number = (uint64_t)sqlite3_column_int64(walk->select, 0);
    if (number > walk->salvage->youngest_number)
        walk->salvage->youngest_number = number;
    salvage_copy_columns(walk);
}

static void copy_session(struct salvage_walk *walk)
{
    uint64_t incarnation = (uint64_t)sqlite3_column_int64(walk->select, 0);
    struct salvage *salvage = walk->salvage;
    table_put(&salvage->sessions, incarnation);
    if (incarnation > salvage->youngest_incarnation)
        salvage->youngest_incarnation = incarnation;
    salvage_copy_columns(walk);
}

/* Version 1. Columns: number, incarnation, qos, retain, state, packet_identifier, sequence,
 * identifiers. */
static void copy_owed(struct salvage_walk *walk)
{
    struct salvage *salvage = walk->salvage;
    salvage_copy_columns(walk);
    if (salvage->error != SQLITE_OK || sqlite3_changes(salvage->to) == 1)
        return;
    /* The body is gone. A QoS 2 exchange that has begun is closed by PUBREL before its
     * identifier is used again; everything else is lost. */
    bool begun =
        sqlite3_column_int(walk->select, 2) == 2 && sqlite3_column_int(walk->select, 4) != 0;
    if (begun) {
        sqlite3_bind_int(walk->insert, 5, 2);
        sqlite3_bind_int(walk->insert, 9, 1); /* needs no body */
        salvage_insert(walk->salvage, walk->insert);
        sqlite3_bind_int(walk->insert, 9, 0);
    }
    if (sqlite3_column_int(walk->select, 4) != 2) {
        salvage->lost_owed++;
        walk->gaps++;
    }
}

/* ---- Tables ---- */

void salvage_report_gaps(const struct salvage_walk *walk, const char *table)
{
    if (walk->gaps > 0)
        log_line(LOG_ERROR,
                 "store: salvage: table %s has %" PRIu64 " unreadable ranges; the last is between "
                 "keys %" PRId64 " and %" PRId64,
                 table, walk->gaps, walk->gap_from, walk->gap_to);
}

static uint64_t whole_table(struct salvage *salvage, const char *name, const char *select,
                            const char *into, void (*copy)(struct salvage_walk *))
{
    struct salvage_walk walk = {
        .salvage = salvage,
        .select = salvage_prepare(salvage->from, select),
        .insert = salvage_prepare(salvage->to, into),
        .copy = copy,
    };
    salvage_walk(&walk);
    salvage_report_gaps(&walk, name);
    sqlite3_finalize(walk.select);
    sqlite3_finalize(walk.insert);
    return walk.copied;
}

/* Filters are not numbers, so holes are approached from both ends only. Returns whether all
 * read. */
static bool copy_subscriptions(struct salvage *salvage, sqlite3_stmt *const ways[2],
                               sqlite3_stmt *into, uint64_t incarnation)
{
    for (int way = 0; way < 2; way++) {
        sqlite3_stmt *select = ways[way];
        if (select == NULL)
            return false;
        int rc;
        sqlite3_bind_int64(select, 1, (sqlite3_int64)incarnation);
        while ((rc = sqlite3_step(select)) == SQLITE_ROW && row_reads(select)) {
            for (int i = 0; i < 4; i++)
                sqlite3_bind_value(into, i + 1, sqlite3_column_value(select, i));
            sqlite3_step(into);
            int failed = sqlite3_reset(into);
            if (failed != SQLITE_OK && (failed & 0xff) != SQLITE_CONSTRAINT)
                salvage->error = failed;
            salvage->saved_subscriptions += (uint64_t)sqlite3_changes(salvage->to);
        }
        sqlite3_reset(select);
        if (rc == SQLITE_DONE)
            return way == 0;
    }
    return false;
}

void salvage_name_incomplete(struct salvage *salvage, uint64_t incarnation, const char *what)
{
    if (salvage->incomplete++ >= NAMED_SESSIONS)
        return;
    char name[128] = "?";
    sqlite3_stmt *s = salvage_prepare(
        salvage->to, "SELECT client_identifier FROM session WHERE incarnation = ?1");
    sqlite3_bind_int64(s, 1, (sqlite3_int64)incarnation);
    if (sqlite3_step(s) == SQLITE_ROW)
        log_text(sqlite3_column_blob(s, 0), (unsigned long)sqlite3_column_bytes(s, 0), name,
                 sizeof name);
    sqlite3_finalize(s);
    log_line(LOG_ERROR, "store: salvage: session of client \"%s\" has lost %s", name, what);
}

/* What version 1 has in place of segments. */
static void copy_all_owed(struct salvage *salvage)
{
    struct salvage_walk owed = {
        .salvage = salvage,
        .select = salvage_prepare(salvage->from,
                                  "SELECT number, incarnation, qos, retain, state,"
                                  " packet_identifier, sequence, subscription_identifiers FROM owed"
                                  " WHERE incarnation = ?1 AND number > ?2 ORDER BY number"),
        .insert = salvage_prepare(
            salvage->to, "INSERT INTO owed SELECT ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8"
                         " WHERE ?9 = 1 OR EXISTS(SELECT 1 FROM message WHERE number = ?1)"),
        .copy = copy_owed,
    };
    sqlite3_bind_int(owed.insert, 9, 0);
    for (size_t i = 0; i < salvage->sessions.capacity && salvage->error == SQLITE_OK; i++) {
        owed.incarnation = salvage->sessions.keys[i];
        owed.gaps = 0;
        if (owed.incarnation == 0)
            continue;
        salvage_walk(&owed);
        if (owed.gaps > 0)
            salvage_name_incomplete(salvage, owed.incarnation, "messages");
    }
    salvage->saved_owed = owed.copied - salvage->lost_owed;
    sqlite3_finalize(owed.select);
    sqlite3_finalize(owed.insert);
}

static void copy_of_sessions(struct salvage *salvage)
{
    struct salvage_walk inbound = {
        .salvage = salvage,
        .select =
            salvage_prepare(salvage->from, "SELECT packet_identifier, incarnation FROM inbound"
                                           " WHERE incarnation = ?1 AND packet_identifier > ?2"
                                           " ORDER BY packet_identifier"),
        .insert = salvage_prepare(salvage->to, "INSERT INTO inbound VALUES(?2, ?1)"),
        .copy = salvage_copy_columns,
    };
    sqlite3_stmt *ways[] = {
        salvage_prepare(salvage->from,
                        "SELECT * FROM subscription WHERE incarnation = ?1 ORDER BY topic_filter"),
        salvage_prepare(
            salvage->from,
            "SELECT * FROM subscription WHERE incarnation = ?1 ORDER BY topic_filter DESC"),
    };
    sqlite3_stmt *into =
        salvage_prepare(salvage->to, "INSERT INTO subscription VALUES(?1, ?2, ?3, ?4)");
    for (size_t i = 0; i < salvage->sessions.capacity && salvage->error == SQLITE_OK; i++) {
        uint64_t incarnation = salvage->sessions.keys[i];
        if (incarnation == 0)
            continue;
        if (!copy_subscriptions(salvage, ways, into, incarnation))
            salvage_name_incomplete(salvage, incarnation, "subscriptions");
        inbound.incarnation = incarnation;
        inbound.gaps = 0;
        salvage_walk(&inbound);
        if (inbound.gaps > 0)
            salvage_name_incomplete(
                salvage, incarnation,
                "identifiers of incoming QoS 2 messages; one may be delivered twice");
    }
    sqlite3_finalize(inbound.select);
    sqlite3_finalize(inbound.insert);
    sqlite3_finalize(ways[0]);
    sqlite3_finalize(ways[1]);
    sqlite3_finalize(into);
}

/* ---- Putting it together ---- */

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* What is not known is taken high enough: numbers are never given twice. */
static int write_meta(struct salvage *salvage, uint64_t side_lsn)
{
    struct schema_meta meta;
    if (schema_read_meta(salvage->from, &meta) != SQLITE_OK)
        meta = (struct schema_meta){0};
    uint64_t seen_lsn = salvage->youngest_number >> 16;
    uint32_t seen_boot = (uint32_t)(salvage->youngest_incarnation >> 32);
    meta.lsn = meta.lsn > seen_lsn ? meta.lsn : seen_lsn;
    meta.lsn = meta.lsn > side_lsn ? meta.lsn : side_lsn;
    meta.boot = meta.boot > seen_boot ? meta.boot : seen_boot;
    meta.messages = salvage->saved_messages;
    return schema_write_meta(salvage->to, &meta);
}

/* Bodies that nobody is owed go. */
static int count_bodies(struct salvage *salvage)
{
    int rc = SQLITE_OK;
    if (salvage->version == 1)
        rc = exec(salvage->to,
                  "UPDATE message SET owed = counted.owed FROM"
                  " (SELECT number, count(*) AS owed FROM owed GROUP BY number) AS counted"
                  " WHERE message.number = counted.number");
    if (rc == SQLITE_OK)
        rc = exec(salvage->to, "DELETE FROM message WHERE owed = 0");
    if (rc == SQLITE_OK)
        salvage->saved_messages -= (uint64_t)sqlite3_changes(salvage->to);
    return rc;
}

int salvage_rows(struct salvage *salvage, uint64_t side_lsn)
{
    table_init(&salvage->sessions, true);
    int rc = exec(salvage->to, "BEGIN IMMEDIATE");
    if (rc != SQLITE_OK)
        return rc;
    salvage->saved_sessions = whole_table(
        salvage, "session", "SELECT * FROM session WHERE incarnation > ?1 ORDER BY incarnation",
        "INSERT INTO session VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
        " ?15)",
        copy_session);
    salvage->saved_messages = whole_table(
        salvage, "message",
        "SELECT number, 0, qos, retain, expiry_interval_s, received_at_ms, publisher, topic,"
        " properties, payload FROM message WHERE number > ?1 ORDER BY number",
        "INSERT INTO message VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)", copy_message);
    salvage->saved_retained = whole_table(
        salvage, "retained",
        "SELECT id, topic, number, qos, retain, expiry_interval_s, received_at_ms, publisher,"
        " properties, payload FROM retained WHERE id > ?1 ORDER BY id",
        "INSERT INTO retained VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        salvage_copy_columns);
    if (salvage->error == SQLITE_OK)
        copy_of_sessions(salvage);
    if (salvage->error == SQLITE_OK)
        (salvage->version == 1 ? copy_all_owed : salvage_segments)(salvage);
    rc = salvage->error;
    if (rc == SQLITE_OK)
        rc = count_bodies(salvage);
    if (rc == SQLITE_OK && salvage->version >= 3)
        rc = tally_recount(salvage->to);
    if (rc == SQLITE_OK)
        rc = write_meta(salvage, side_lsn);
    if (rc == SQLITE_OK)
        rc = exec(salvage->to, "COMMIT");
    if (rc != SQLITE_OK)
        exec(salvage->to, "ROLLBACK");
    table_fini(&salvage->sessions);
    return rc;
}
