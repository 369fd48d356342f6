#include "storage/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/clock.h"
#include "storage/statement.h"

static const char *const texts[] = {
#define X(name, sql) sql,
    WRITER_STATEMENTS(X)
#undef X
};

/* ---- The connection ---- */

void writer_init(struct writer *writer, const char *path, bool secure_delete,
                 const struct schema_meta *meta, int64_t store_base_ms)
{
    *writer = (struct writer){
        .path = path,
        .secure_delete = secure_delete,
        .meta = *meta,
        .store_base_ms = store_base_ms,
    };
    owed_init(&writer->owed);
}

static void disconnect(struct writer *writer)
{
    for (int i = 0; i < WRITER_STATEMENT_COUNT; i++) {
        sqlite3_finalize(writer->statements[i]);
        writer->statements[i] = NULL;
    }
    schema_disconnect(writer->db);
    writer->db = NULL;
}

void writer_fini(struct writer *writer)
{
    disconnect(writer);
    owed_fini(&writer->owed);
    free(writer->ended.incarnations);
    free(writer->newly_ended.incarnations);
}

static int log_grew(void *context, sqlite3 *db, const char *name, int pages)
{
    ((struct writer *)context)->log_pages = (uint32_t)pages;
    return SQLITE_OK;
}

static int connect_if_needed(struct writer *writer)
{
    if (writer->db != NULL)
        return SQLITE_OK;
    TRY_SQL(schema_connect(writer->path, SCHEMA_WRITER, writer->secure_delete, &writer->db));
    for (int i = 0; i < WRITER_STATEMENT_COUNT; i++)
        TRY_SQL(sqlite3_prepare_v3(writer->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                   &writer->statements[i], NULL));
    sqlite3_wal_hook(writer->db, log_grew, writer);
    struct schema_meta found;
    TRY_SQL(schema_read_meta(writer->db, &found));
    if (found.lsn != writer->meta.lsn) {
        log_line(LOG_ERROR,
                 "store: the database stands at LSN %" PRIu64 ", not at %" PRIu64
                 " where it was left; is something else writing to it?",
                 found.lsn, writer->meta.lsn);
        CHECK(found.lsn == writer->meta.lsn);
    }
    return SQLITE_OK;
}

/* ---- Statements ---- */

static sqlite3_stmt *use(struct writer *writer, enum writer_statement which)
{
    return writer->statements[which];
}

static int run_for(struct writer *writer, enum writer_statement which, uint64_t incarnation)
{
    statement_bind_u64(use(writer, which), 1, incarnation);
    return statement_run(use(writer, which));
}

/* ---- Sessions that have ended ---- */

static void ended_push(struct writer_ended *ended, uint64_t incarnation)
{
    if (ended->first + ended->count == ended->capacity) {
        if (ended->first > ended->count) {
            memmove(ended->incarnations, ended->incarnations + ended->first,
                    ended->count * sizeof *ended->incarnations);
            ended->first = 0;
        } else {
            ended->capacity = ended->capacity == 0 ? 64 : ended->capacity * 2;
            ended->incarnations =
                memory_resize(ended->incarnations, ended->capacity * sizeof *ended->incarnations);
        }
    }
    ended->incarnations[ended->first + ended->count++] = incarnation;
}

void writer_add_ended(struct writer *writer, uint64_t incarnation)
{
    ended_push(&writer->ended, incarnation);
}

bool writer_has_ended(const struct writer *writer)
{
    return writer->ended.count > 0;
}

/* ---- Operations, in order ---- */

static int write_session(struct writer *writer, const struct store_session *session)
{
    const struct store_will *will = &session->will;
    sqlite3_stmt *s = use(writer, WRITER_SESSION_PUT);
    statement_bind_u64(s, 1, session->incarnation);
    statement_bind_bytes(s, 2, session->client_identifier);
    statement_bind_bytes(s, 3, session->owner);
    sqlite3_bind_int(s, 4, session->version);
    sqlite3_bind_int64(s, 5, session->expiry_interval_s);
    sqlite3_bind_int(s, 6, session->connected);
    sqlite3_bind_int64(s, 7, session->disconnected_at_ms);
    sqlite3_bind_int64(s, 8, session->will_due_ms);
    for (int i = 9; i <= 15; i++)
        sqlite3_bind_null(s, i);
    if (will->present) {
        sqlite3_bind_int(s, 9, will->qos);
        sqlite3_bind_int(s, 10, will->retain);
        sqlite3_bind_int64(s, 11, will->delay_interval_s);
        if (will->has_message_expiry)
            sqlite3_bind_int64(s, 12, will->message_expiry_interval_s);
        statement_bind_bytes(s, 13, will->topic);
        statement_bind_bytes(s, 14, will->properties);
        statement_bind_bytes(s, 15, will->payload);
    }
    return statement_run(s);
}

static int write_session_end(struct writer *writer, uint64_t incarnation)
{
    TRY_SQL(run_for(writer, WRITER_SESSION_DELETE, incarnation));
    TRY_SQL(run_for(writer, WRITER_SUBSCRIPTIONS_DELETE, incarnation));
    TRY_SQL(run_for(writer, WRITER_INBOUNDS_DELETE, incarnation));
    if (tally_of(&writer->owed.tally, incarnation) == 0)
        return SQLITE_OK;
    ended_push(&writer->newly_ended, incarnation);
    return run_for(writer, WRITER_ENDED_PUT, incarnation);
}

static int write_subscription(struct writer *writer, const struct delta_subscription *delta)
{
    bool put = delta->delta.type == DELTA_SUBSCRIBE;
    sqlite3_stmt *s = use(writer, put ? WRITER_SUBSCRIPTION_PUT : WRITER_SUBSCRIPTION_DELETE);
    statement_bind_u64(s, 1, delta->incarnation);
    statement_bind_bytes(s, 2, delta->subscription.topic_filter);
    if (put) {
        sqlite3_bind_int(s, 3, delta->subscription.options);
        sqlite3_bind_int64(s, 4, delta->subscription.identifier);
    }
    return statement_run(s);
}

static int write_inbound(struct writer *writer, enum writer_statement which, uint64_t incarnation,
                         uint16_t packet_identifier)
{
    sqlite3_stmt *s = use(writer, which);
    statement_bind_u64(s, 1, incarnation);
    sqlite3_bind_int(s, 2, packet_identifier);
    return statement_run(s);
}

static int write_publish_op(struct writer *writer, const struct delta_publish *publish)
{
#ifndef SEEDED_BUG_INBOUND_FORGOTTEN
    if (publish->inbound_incarnation != 0)
        TRY_SQL(write_inbound(writer, WRITER_INBOUND_PUT, publish->inbound_incarnation,
                              publish->inbound_packet_identifier));
#endif
    if (publish->retained == STORE_RETAINED_SET) {
        sqlite3_stmt *s = use(writer, WRITER_RETAINED_PUT);
        statement_bind_u64(s, 1, publish->number);
        statement_bind_message(s, 2, publish->message);
        return statement_run(s);
    }
    if (publish->retained == STORE_RETAINED_DELETE) {
        sqlite3_stmt *s = use(writer, WRITER_RETAINED_DELETE);
        statement_bind_bytes(s, 1, publish->message->topic);
        return statement_run(s);
    }
    return SQLITE_OK;
}

static int write_retained_expire(struct writer *writer, const struct delta_retained *delta)
{
    sqlite3_stmt *s = use(writer, WRITER_RETAINED_EXPIRE);
    statement_bind_bytes(s, 1, delta->topic);
    statement_bind_u64(s, 2, delta->number);
    return statement_run(s);
}

static int write_op(struct writer *writer, const struct delta *delta)
{
    const struct delta_row *row = (const struct delta_row *)delta;
    switch (delta->type) {
    case DELTA_PUBLISH:
        return write_publish_op(writer, (const struct delta_publish *)delta);
    case DELTA_SESSION:
        return write_session(writer, &((const struct delta_session *)delta)->session);
    case DELTA_SESSION_END:
        return write_session_end(writer, row->incarnation);
    case DELTA_SUBSCRIBE:
    case DELTA_UNSUBSCRIBE:
        return write_subscription(writer, (const struct delta_subscription *)delta);
    case DELTA_INBOUND_ERASE:
        return write_inbound(writer, WRITER_INBOUND_DELETE, row->incarnation,
                             row->packet_identifier);
    case DELTA_RETAINED_EXPIRE:
        return write_retained_expire(writer, (const struct delta_retained *)delta);
    case DELTA_SENT:
    case DELTA_RELEASED:
    case DELTA_SETTLED:
        break; /* rows, not operations */
    }
    CHECK(!"not an operation");
}

/* ---- The transaction ---- */

static int write_meta(struct writer *writer, uint64_t lsn)
{
    struct schema_meta *meta = &writer->meta;
    meta->lsn = lsn;
    meta->boot_ms = clock_source->boot_ms();
    meta->store_ms = writer->store_base_ms + meta->boot_ms;
    meta->wall_ms = clock_source->wall_ms();
    sqlite3_stmt *s = use(writer, WRITER_META);
    statement_bind_u64(s, 1, meta->lsn);
    statement_bind_u64(s, 2, meta->messages);
    sqlite3_bind_text(s, 3, meta->boot_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, meta->boot_ms);
    sqlite3_bind_int64(s, 5, meta->store_ms);
    sqlite3_bind_int64(s, 6, meta->wall_ms);
    return statement_run(s);
}

static int count_pages(sqlite3_stmt *s, uint64_t *out)
{
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = statement_u64(s, 0);
    int end = sqlite3_reset(s);
    return rc == SQLITE_ROW ? SQLITE_OK : end;
}

static int measure(struct writer *writer, uint64_t *out_bytes)
{
    uint64_t pages = 0, free_pages = 0;
    TRY_SQL(count_pages(use(writer, WRITER_PAGES), &pages));
    TRY_SQL(count_pages(use(writer, WRITER_FREE_PAGES), &free_pages));
    *out_bytes = (pages - free_pages) * SCHEMA_PAGE_SIZE;
    return SQLITE_OK;
}

static int write_all(struct writer *writer, struct pending *pending, uint32_t slice,
                     size_t *slices_done, uint64_t *used_bytes)
{
    TRY_SQL(connect_if_needed(writer));
    TRY_SQL(statement_run(use(writer, WRITER_BEGIN)));
    for (const struct delta *op = pending->ops; op != NULL; op = op->op_next) {
        TRY_SQL(write_op(writer, op));
        writer->rows++;
    }
#ifdef SEEDED_BUG_TWO_TRANSACTIONS
    TRY_SQL(statement_run(use(writer, WRITER_COMMIT)));
    TRY_SQL(statement_run(use(writer, WRITER_BEGIN)));
#endif
    TRY_SQL(owed_write(writer, pending));
    TRY_SQL(owed_delete_slice(writer, slice, slices_done));
    TRY_SQL(owed_write_counts(writer));
    uint64_t lsn =
        pending->applied_lsn > writer->meta.lsn ? pending->applied_lsn : writer->meta.lsn;
    TRY_SQL(write_meta(writer, lsn));
    TRY_SQL(measure(writer, used_bytes));
    uint64_t began_us = clock_source->monotonic_us();
    int rc = statement_run(use(writer, WRITER_COMMIT));
    distribution_add(&writer->sync_us, clock_source->monotonic_us() - began_us);
    return rc;
}

static void note_error(struct writer *writer, int rc)
{
    bool told = writer->db != NULL && sqlite3_extended_errcode(writer->db) == rc;
    snprintf(writer->error, sizeof writer->error, "%s (SQLite %d)",
             told ? sqlite3_errmsg(writer->db) : sqlite3_errstr(rc), rc);
    CHECK((rc & 0xff) !=
          SQLITE_CONSTRAINT); /* a duplicate row: our own bug, and it would not go away */
}

enum status writer_flush(struct writer *writer, struct pending *pending, uint32_t slice)
{
    struct schema_meta before = writer->meta;
    size_t slices_done = 0;
    uint64_t used_bytes = 0;
    writer->rows = 0;
    writer->newly_ended.count = 0;
    int rc = write_all(writer, pending, slice, &slices_done, &used_bytes);
    owed_end(&writer->owed, rc == SQLITE_OK);
    if (rc != SQLITE_OK) {
        note_error(writer, rc);
        writer->meta = before;
        writer->failed_commits++;
        if (writer->db != NULL && !sqlite3_get_autocommit(writer->db))
            statement_run(use(writer, WRITER_ROLLBACK));
        bool ready = writer->statements[WRITER_STATEMENT_COUNT - 1] != NULL;
        if (!ready || ((rc & 0xff) != SQLITE_FULL && (rc & 0xff) != SQLITE_BUSY))
            disconnect(writer);
#ifdef SEEDED_BUG_FAILED_COMMIT_DROPPED
        return STATUS_OK;
#endif
        return schema_status(rc);
    }
    writer->ended.first += slices_done;
    writer->ended.count -= slices_done;
    for (size_t i = 0; i < writer->newly_ended.count; i++)
        writer_add_ended(writer, writer->newly_ended.incarnations[i]);
    writer->used_bytes = used_bytes;
    writer->commits++;
    writer->rows_written += writer->rows;
    return STATUS_OK;
}

/* ---- Upkeep ---- */

static int64_t pragma_value(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        return 0;
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return value;
}

void writer_measure(struct writer *writer, sqlite3 *db)
{
    int64_t pages = pragma_value(db, "PRAGMA page_count");
    writer->used_bytes =
        (uint64_t)(pages - pragma_value(db, "PRAGMA freelist_count")) * SCHEMA_PAGE_SIZE;
}

bool writer_vacuum(struct writer *writer, uint32_t pages)
{
    enum { ROOM = 2048 }; /* free pages that are no trouble: they will be used again */
    if (writer->db == NULL)
        return false;
    int64_t free_pages = pragma_value(writer->db, "PRAGMA freelist_count");
    int64_t all_pages = pragma_value(writer->db, "PRAGMA page_count");
    if (free_pages < ROOM || free_pages < all_pages / 4)
        return false;
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%" PRIu32 ")", pages);
    return sqlite3_exec(writer->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

void writer_checkpoint(struct writer *writer)
{
#ifdef SEEDED_BUG_LOG_KEPT
    return;
#endif
    if (writer->db == NULL)
        return;
    int rc = sqlite3_wal_checkpoint_v2(writer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        log_line(LOG_WARNING, "store: a checkpoint failed: %s; it will be repeated",
                 sqlite3_errmsg(writer->db));
}
