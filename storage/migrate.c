#include "storage/migrate.h"

#include <inttypes.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/segment.h"
#include "storage/statement.h"

enum {
    READ_OWED,
    PUT_SEGMENT,
    PUT_PROGRESS,
    DELETE_BODY,
    STATEMENT_COUNT,
};

static const char *const texts[STATEMENT_COUNT] = {
    [READ_OWED] = ("SELECT o.incarnation, o.number, o.qos, o.retain, o.state, o.packet_identifier,"
                   " o.sequence, o.subscription_identifiers, m.owed, m.qos, m.retain,"
                   " m.expiry_interval_s, m.received_at_ms, m.publisher, m.topic, m.properties,"
                   " m.payload FROM owed AS o LEFT JOIN message AS m USING(number)"
                   " ORDER BY o.incarnation, o.number"),
    [PUT_SEGMENT] =
        ("INSERT INTO segment(period, incarnation, first, count, shared, directory, data)"
         " VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6)"),
    [PUT_PROGRESS] = "INSERT INTO progress VALUES(?1, ?2, 0, ?3, ?4)",
    [DELETE_BODY] = "DELETE FROM message WHERE number = ?1",
};

struct migration {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct segment_builder builder;
    struct segment_progress progress; /* of the builder's entries */
    uint64_t incarnation;             /* theirs */
    uint64_t rows, lost;
};

static int write_progress(struct migration *migration, struct bytes directory)
{
    const struct segment_builder *builder = &migration->builder;
    struct segment_directory read;
    uint8_t data[SEGMENT_PROGRESS_MAX];
    CHECK(segment_read_directory(directory, builder->first, builder->count, &read));
    size_t size = segment_write_progress(&read, &migration->progress, data);
    sqlite3_stmt *s = migration->statements[PUT_PROGRESS];
    statement_bind_u64(s, 1, migration->incarnation);
    statement_bind_u64(s, 2, builder->first);
    statement_bind_u64(s, 3, migration->progress.in_flight);
    statement_bind_bytes(s, 4, bytes_of(data, size));
    memset(&migration->progress, 0, sizeof migration->progress);
    return statement_run(s);
}

static int write_segment(struct migration *migration)
{
    struct segment_builder *builder = &migration->builder;
    if (builder->count == 0)
        return SQLITE_OK;
    struct bytes directory = bytes_of(builder->directory, builder->directory_size);
    sqlite3_stmt *s = migration->statements[PUT_SEGMENT];
    statement_bind_u64(s, 1, migration->incarnation);
    statement_bind_u64(s, 2, builder->first);
    statement_bind_u64(s, 3, builder->count);
    statement_bind_u64(s, 4, builder->shared);
    statement_bind_bytes(s, 5, directory);
    statement_bind_bytes(s, 6, bytes_of(builder->data.data, builder->data.size));
    TRY_SQL(statement_run(s));
    if (migration->progress.in_flight > 0)
        TRY_SQL(write_progress(migration, directory));
    segment_reset(builder);
    return SQLITE_OK;
}

/* Where the body of the row goes. False: there is none, and the message is lost. */
static bool body_of(struct migration *migration, sqlite3_stmt *row, struct segment_entry *entry)
{
    if (sqlite3_column_type(row, 8) == SQLITE_NULL) {
        entry->body = SEGMENT_BODY_NONE;
        return sqlite3_column_int(row, 4) == STORE_OUTBOUND_RELEASED;
    }
    statement_message(row, 9, &entry->message);
    bool alone = sqlite3_column_int64(row, 8) == 1;
    entry->body =
        alone && segment_is_small(&entry->message) ? SEGMENT_BODY_INLINE : SEGMENT_BODY_SHARED;
    return true;
}

static int delete_body(struct migration *migration, uint64_t number)
{
    sqlite3_stmt *s = migration->statements[DELETE_BODY];
    statement_bind_u64(s, 1, number);
    return statement_run(s);
}

static int convert_row(struct migration *migration, sqlite3_stmt *row)
{
    struct segment_builder *builder = &migration->builder;
    struct segment_progress *progress = &migration->progress;
    uint64_t incarnation = statement_u64(row, 0);
    struct segment_entry entry = {
        .message.number = statement_u64(row, 1),
        .qos = (uint8_t)sqlite3_column_int(row, 2),
        .retain = sqlite3_column_int(row, 3) != 0,
        .subscription_identifiers = statement_bytes(row, 7),
    };
    int state = sqlite3_column_int(row, 4);
    if ((entry.qos != 1 && entry.qos != 2) || state < 0 || state > STORE_OUTBOUND_RELEASED ||
        entry.subscription_identifiers.size % 4 != 0)
        return SQLITE_CORRUPT;
    if (!body_of(migration, row, &entry)) {
        migration->lost++;
        return SQLITE_OK;
    }
    if (incarnation != migration->incarnation)
        TRY_SQL(write_segment(migration));
    migration->incarnation = incarnation;
    if (!segment_add(builder, &entry)) {
        TRY_SQL(write_segment(migration));
        CHECK(segment_add(builder, &entry));
    }
    if (state != STORE_OUTBOUND_QUEUED) {
        int at = (int)builder->count - 1;
        segment_set_state(progress, at, (uint8_t)state);
        progress->packet_identifier[at] = (uint16_t)sqlite3_column_int(row, 5);
        progress->sequence[at] = statement_u64(row, 6);
    }
    migration->rows++;
    return entry.body == SEGMENT_BODY_INLINE ? delete_body(migration, entry.message.number)
                                             : SQLITE_OK;
}

static int convert_all(struct migration *migration)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        TRY_SQL(sqlite3_prepare_v2(migration->db, texts[i], -1, &migration->statements[i], NULL));
    sqlite3_stmt *row = migration->statements[READ_OWED];
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        rc = convert_row(migration, row);
    int end = sqlite3_reset(row);
    TRY_SQL(rc != SQLITE_OK ? rc : end);
    return write_segment(migration);
}

int migrate_to_segments(sqlite3 *db)
{
    struct migration migration = {.db = db};
    int rc = convert_all(&migration);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(migration.statements[i]);
    segment_fini(&migration.builder);
    TRY_SQL(rc);
    if (migration.rows > 0 || migration.lost > 0)
        log_line(LOG_NOTICE,
                 "store: the database is of an earlier release and was converted: what is owed"
                 " %" PRIu64 " times; %" PRIu64 " times the message's body was lost before",
                 migration.rows, migration.lost);
    return sqlite3_exec(db,
                        "DROP TABLE owed;"
                        "UPDATE meta SET messages = (SELECT count(*) - total(owed) FROM message)"
                        " + (SELECT total(count) FROM segment)",
                        NULL, NULL, NULL);
}
