#include "storage/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/clock.h"

#define TRY_SQL(expr)                                                                              \
    do {                                                                                           \
        int try_rc_ = (expr);                                                                      \
        if (try_rc_ != SQLITE_OK)                                                                  \
            return try_rc_;                                                                        \
    } while (0)

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
    table_init(&writer->fewer, false);
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
    table_fini(&writer->fewer);
    free(writer->numbers);
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

static void bind_u64(sqlite3_stmt *statement, int index, uint64_t value)
{
    sqlite3_bind_int64(statement, index, (sqlite3_int64)value);
}

static void bind_bytes(sqlite3_stmt *statement, int index, struct bytes bytes)
{
    if (bytes.size == 0)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_blob64(statement, index, bytes.data, bytes.size, SQLITE_STATIC);
}

/* Runs a bound statement that gives no rows. */
static int run(sqlite3_stmt *statement)
{
    sqlite3_step(statement);
    return sqlite3_reset(statement);
}

static int run_for(struct writer *writer, enum writer_statement which, uint64_t incarnation)
{
    bind_u64(use(writer, which), 1, incarnation);
    return run(use(writer, which));
}

/* ---- Counting bodies down ---- */

static void fewer(struct writer *writer, uint64_t number)
{
    ++*table_put(&writer->fewer, number);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void reserve_numbers(struct writer *writer, size_t count)
{
    if (count <= writer->number_capacity)
        return;
    writer->numbers = realloc(writer->numbers, count * sizeof *writer->numbers);
    CHECK(writer->numbers != NULL);
    writer->number_capacity = count;
}

static size_t sorted_keys(struct writer *writer, const struct table *table)
{
    reserve_numbers(writer, table->count);
    size_t count = 0;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->keys[i] != 0)
            writer->numbers[count++] = table->keys[i];
    }
    if (count > 0)
        qsort(writer->numbers, count, sizeof *writer->numbers, compare_u64);
    return count;
}

/* A body that was owed to one session goes with one statement; only shared ones need the second. */
static int count_down_bodies(struct writer *writer)
{
    size_t count = sorted_keys(writer, &writer->fewer);
    for (size_t i = 0; i < count; i++) {
        uint64_t number = writer->numbers[i];
        uint64_t by = *table_find(&writer->fewer, number);
        sqlite3_stmt *statement = use(writer, WRITER_MESSAGE_FREE);
        bind_u64(statement, 1, number);
        bind_u64(statement, 2, by);
        TRY_SQL(run(statement));
        if (sqlite3_changes(writer->db) == 1) {
            writer->meta.messages--;
            continue;
        }
        statement = use(writer, WRITER_MESSAGE_LESS);
        bind_u64(statement, 1, number);
        bind_u64(statement, 2, by);
        TRY_SQL(run(statement));
    }
    return SQLITE_OK;
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
                realloc(ended->incarnations, ended->capacity * sizeof *ended->incarnations);
            CHECK(ended->incarnations != NULL);
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

/* Deletes up to `slice` owed rows; `*done` of the oldest ended incarnations have none left. */
static int delete_slice(struct writer *writer, uint32_t slice, size_t *done)
{
    const struct writer_ended *ended = &writer->ended;
    while (slice > 0 && *done < ended->count) {
        uint64_t incarnation = ended->incarnations[ended->first + *done];
        sqlite3_stmt *select = use(writer, WRITER_OWED_SLICE);
        bind_u64(select, 1, incarnation);
        bind_u64(select, 2, slice);
        uint32_t found = 0;
        uint64_t last = 0;
        while (sqlite3_step(select) == SQLITE_ROW) {
            last = (uint64_t)sqlite3_column_int64(select, 0);
            fewer(writer, last);
            found++;
        }
        TRY_SQL(sqlite3_reset(select));
        if (found > 0) {
            sqlite3_stmt *delete = use(writer, WRITER_OWED_UPTO);
            bind_u64(delete, 1, incarnation);
            bind_u64(delete, 2, last);
            TRY_SQL(run(delete));
            writer->rows += found;
        }
        if (found < slice) {
            TRY_SQL(run_for(writer, WRITER_ENDED_DELETE, incarnation));
            ++*done;
        }
        slice -= found;
    }
    return SQLITE_OK;
}

/* ---- Operations, in order ---- */

static int write_session(struct writer *writer, const struct store_session *session)
{
    const struct store_will *will = &session->will;
    sqlite3_stmt *s = use(writer, WRITER_SESSION_PUT);
    bind_u64(s, 1, session->incarnation);
    bind_bytes(s, 2, session->client_identifier);
    bind_bytes(s, 3, session->owner);
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
        bind_bytes(s, 13, will->topic);
        bind_bytes(s, 14, will->properties);
        bind_bytes(s, 15, will->payload);
    }
    return run(s);
}

static int write_session_end(struct writer *writer, uint64_t incarnation)
{
    TRY_SQL(run_for(writer, WRITER_SESSION_DELETE, incarnation));
    TRY_SQL(run_for(writer, WRITER_SUBSCRIPTIONS_DELETE, incarnation));
    TRY_SQL(run_for(writer, WRITER_INBOUNDS_DELETE, incarnation));
    sqlite3_stmt *any = use(writer, WRITER_OWED_ANY);
    bind_u64(any, 1, incarnation);
    bool backlog = sqlite3_step(any) == SQLITE_ROW;
    TRY_SQL(sqlite3_reset(any));
    if (!backlog)
        return SQLITE_OK;
    ended_push(&writer->newly_ended, incarnation);
    return run_for(writer, WRITER_ENDED_PUT, incarnation);
}

static int write_subscription(struct writer *writer, const struct delta_subscription *delta)
{
    bool put = delta->delta.type == DELTA_SUBSCRIBE;
    sqlite3_stmt *s = use(writer, put ? WRITER_SUBSCRIPTION_PUT : WRITER_SUBSCRIPTION_DELETE);
    bind_u64(s, 1, delta->incarnation);
    bind_bytes(s, 2, delta->subscription.topic_filter);
    if (put) {
        sqlite3_bind_int(s, 3, delta->subscription.options);
        sqlite3_bind_int64(s, 4, delta->subscription.identifier);
    }
    return run(s);
}

static int write_inbound(struct writer *writer, enum writer_statement which, uint64_t incarnation,
                         uint16_t packet_identifier)
{
    sqlite3_stmt *s = use(writer, which);
    bind_u64(s, 1, incarnation);
    sqlite3_bind_int(s, 2, packet_identifier);
    return run(s);
}

static void bind_message(sqlite3_stmt *s, uint64_t number, const struct store_message *message)
{
    bind_u64(s, 1, number);
    sqlite3_bind_int(s, 2, message->qos);
    sqlite3_bind_int(s, 3, message->retain);
    if (message->has_expiry)
        sqlite3_bind_int64(s, 4, message->expiry_interval_s);
    else
        sqlite3_bind_null(s, 4);
    sqlite3_bind_int64(s, 5, message->received_at_ms);
    bind_u64(s, 6, message->publisher);
    bind_bytes(s, 7, message->topic);
    bind_bytes(s, 8, message->properties);
    bind_bytes(s, 9, message->payload);
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
        bind_message(s, publish->number, publish->message);
        return run(s);
    }
    if (publish->retained == STORE_RETAINED_DELETE) {
        sqlite3_stmt *s = use(writer, WRITER_RETAINED_DELETE);
        bind_bytes(s, 1, publish->message->topic);
        return run(s);
    }
    return SQLITE_OK;
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
    case DELTA_SENT:
    case DELTA_RELEASED:
    case DELTA_SETTLED:
        break; /* rows, not operations */
    }
    CHECK(!"not an operation");
}

/* ---- Messages and owed rows ---- */

static int write_messages(struct writer *writer, const struct pending *pending)
{
    sqlite3_stmt *s = use(writer, WRITER_MESSAGE_PUT);
    for (struct list *link = pending->messages.next; link != &pending->messages;
         link = link->next) {
        const struct delta_publish *publish = CONTAINER_OF(link, struct delta_publish, link);
        bind_message(s, publish->number, publish->message);
#ifdef SEEDED_BUG_REFCOUNT_OFF_BY_ONE
        bind_u64(s, 10, publish->live_count > 1 ? publish->live_count - 1 : 1);
#else
        bind_u64(s, 10, publish->live_count);
#endif
        TRY_SQL(run(s));
        writer->rows++;
        writer->meta.messages++;
    }
    return SQLITE_OK;
}

static int write_row(struct writer *writer, const struct row *row)
{
    uint8_t packed[256];
    uint8_t *identifiers = packed;
    size_t size = row->subscription_identifier_count * sizeof(uint32_t);
    if (size > sizeof packed) {
        identifiers = malloc(size);
        CHECK(identifiers != NULL);
    }
    for (uint32_t i = 0; i < row->subscription_identifier_count; i++)
        put_u32(identifiers + 4 * i, row->subscription_identifiers[i]);
    sqlite3_stmt *s = use(writer, WRITER_OWED_PUT);
    bind_u64(s, 1, row->incarnation);
    bind_u64(s, 2, row->number);
    sqlite3_bind_int(s, 3, row->qos);
    sqlite3_bind_int(s, 4, row->retain);
    sqlite3_bind_int(s, 5, row->state);
    sqlite3_bind_int(s, 6, row->packet_identifier);
    bind_u64(s, 7, row->sequence);
    bind_bytes(s, 8, bytes_of(identifiers, size));
    int rc = run(s);
    if (identifiers != packed)
        free(identifiers);
    writer->rows++;
    return rc;
}

static int write_change(struct writer *writer, struct pending *pending, const struct row *row)
{
    const char *what = row->settled ? "settled" : row->sent ? "sent" : "released";
    sqlite3_stmt *s = use(writer, row->settled ? WRITER_OWED_DELETE
                                  : row->sent  ? WRITER_OWED_SENT
                                               : WRITER_OWED_RELEASED);
    bind_u64(s, 1, row->incarnation);
    bind_u64(s, 2, row->number);
    if (!row->settled && row->sent) {
        sqlite3_bind_int(s, 3, row->state);
        sqlite3_bind_int(s, 4, row->packet_identifier);
        bind_u64(s, 5, row->sequence);
    }
#ifdef SEEDED_BUG_SETTLED_LOST
    if (row->settled) {
        sqlite3_clear_bindings(s);
        return SQLITE_OK;
    }
#endif
    TRY_SQL(run(s));
    if (sqlite3_changes(writer->db) == 0)
        pending_anomaly(pending, what, row->incarnation, row->number);
    else if (row->settled)
        fewer(writer, row->number);
    writer->rows++;
    return SQLITE_OK;
}

/* Session by session, so that the tree of owed rows is touched in its own order. */
static int write_rows(struct writer *writer, struct pending *pending)
{
    size_t count = sorted_keys(writer, &pending->sessions);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = *table_find(&pending->sessions, writer->numbers[i]);
        const struct pending_session *session = (const struct pending_session *)(uintptr_t)at;
        for (struct list *link = session->changes.next; link != &session->changes;
             link = link->next)
            TRY_SQL(write_change(writer, pending, CONTAINER_OF(link, struct row, session_link)));
        for (struct list *link = session->rows.next; link != &session->rows; link = link->next)
            TRY_SQL(write_row(writer, CONTAINER_OF(link, struct row, session_link)));
    }
    return SQLITE_OK;
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
    bind_u64(s, 1, meta->lsn);
    bind_u64(s, 2, meta->messages);
    sqlite3_bind_text(s, 3, meta->boot_id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, meta->boot_ms);
    sqlite3_bind_int64(s, 5, meta->store_ms);
    sqlite3_bind_int64(s, 6, meta->wall_ms);
    return run(s);
}

static int write_all(struct writer *writer, struct pending *pending, uint32_t slice,
                     size_t *slices_done)
{
    TRY_SQL(connect_if_needed(writer));
    TRY_SQL(run(use(writer, WRITER_BEGIN)));
    for (const struct delta *op = pending->ops; op != NULL; op = op->op_next) {
        TRY_SQL(write_op(writer, op));
        writer->rows++;
    }
#ifdef SEEDED_BUG_TWO_TRANSACTIONS
    TRY_SQL(run(use(writer, WRITER_COMMIT)));
    TRY_SQL(run(use(writer, WRITER_BEGIN)));
#endif
    TRY_SQL(write_messages(writer, pending));
    TRY_SQL(write_rows(writer, pending));
    TRY_SQL(delete_slice(writer, slice, slices_done));
    TRY_SQL(count_down_bodies(writer));
    uint64_t lsn =
        pending->applied_lsn > writer->meta.lsn ? pending->applied_lsn : writer->meta.lsn;
    TRY_SQL(write_meta(writer, lsn));
    return run(use(writer, WRITER_COMMIT));
}

static void note_error(struct writer *writer, int rc)
{
    snprintf(writer->error, sizeof writer->error, "%s (SQLite %d)",
             writer->db != NULL ? sqlite3_errmsg(writer->db) : sqlite3_errstr(rc), rc);
    CHECK((rc & 0xff) !=
          SQLITE_CONSTRAINT); /* a duplicate row: our own bug, and it would not go away */
}

enum status writer_flush(struct writer *writer, struct pending *pending, uint32_t slice)
{
    struct schema_meta before = writer->meta;
    size_t slices_done = 0;
    writer->rows = 0;
    writer->newly_ended.count = 0;
    int rc = write_all(writer, pending, slice, &slices_done);
    table_clear(&writer->fewer);
    if (rc != SQLITE_OK) {
        note_error(writer, rc);
        writer->meta = before;
        writer->failed_commits++;
        if (writer->db != NULL && !sqlite3_get_autocommit(writer->db))
            run(use(writer, WRITER_ROLLBACK));
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
    if (writer->db == NULL)
        return;
    int rc = sqlite3_wal_checkpoint_v2(writer->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
        log_line(LOG_WARNING, "store: a checkpoint failed: %s; it will be repeated",
                 sqlite3_errmsg(writer->db));
}
