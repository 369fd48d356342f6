#include "storage/tally.h"

#include <stdlib.h>

#include "base/check.h"
#include "storage/statement.h"
#include "storage/varint.h"

enum {
    ROW_BYTES = 8,            /* what a row costs beside its data, about */
    REPLACE_BYTES = 64 << 10, /* beyond what the sum takes: soon read, and seldom */
};

void tally_init(struct tally *tally)
{
    *tally = (struct tally){0};
    table_init(&tally->counts, false);
}

void tally_fini(struct tally *tally)
{
    table_fini(&tally->counts);
    buffer_fini(&tally->changes);
}

uint64_t tally_of(const struct tally *tally, uint64_t incarnation)
{
    const uint64_t *count = table_find(&tally->counts, incarnation);
    return count != NULL ? *count : 0;
}

/* ---- Bytes ---- */

static uint64_t fold_sign(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unfold_sign(uint64_t value)
{
    return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

void tally_add(struct tally *tally, uint64_t incarnation, int64_t by)
{
    struct buffer *changes = &tally->changes;
    if (by == 0)
        return;
    buffer_take(changes, 2 * VARINT_MAX);
    uint8_t *p = changes->data + changes->size;
    p = put_varint(p, fold_sign((int64_t)(incarnation - tally->last)));
    p = put_varint(p, fold_sign(by));
    changes->size = (size_t)(p - changes->data);
    tally->last = incarnation;
}

/* False: no counts that ever were. */
static bool apply(struct table *counts, struct bytes changes)
{
    struct cursor cursor = cursor_of(changes);
    uint64_t incarnation = 0;
    while (left(&cursor) > 0) {
        incarnation += (uint64_t)unfold_sign(take_varint(&cursor));
        int64_t by = unfold_sign(take_varint(&cursor));
        if (cursor.failed || incarnation == 0)
            return false;
        uint64_t *count = table_put(counts, incarnation);
        *count += (uint64_t)by;
        if (*count > INT64_MAX)
            return false;
        if (*count == 0)
            table_remove(counts, incarnation);
    }
    return true;
}

/* ---- The table ---- */

int tally_load(struct tally *tally, sqlite3 *db)
{
    sqlite3_stmt *s;
    TRY_SQL(sqlite3_prepare_v2(db, "SELECT data FROM tally ORDER BY id", -1, &s, NULL));
    bool sound = true;
    while (sound && sqlite3_step(s) == SQLITE_ROW) {
        struct bytes data = statement_bytes(s, 0);
        sound = !statement_lacks(s, 0) && apply(&tally->counts, data);
        tally->written_bytes += ROW_BYTES + data.size;
    }
    int rc = sqlite3_finalize(s);
    return rc != SQLITE_OK ? rc : sound ? SQLITE_OK : SQLITE_CORRUPT;
}

/* Whether no count falls below nothing: then segments and counts do not belong together, and what
 * is wrong is not written over. */
static bool fits(const struct tally *tally)
{
    struct cursor cursor = cursor_of(bytes_of(tally->changes.data, tally->changes.size));
    uint64_t incarnation = 0, last = 0, count = 0;
    while (left(&cursor) > 0) {
        incarnation += (uint64_t)unfold_sign(take_varint(&cursor));
        if (incarnation != last)
            count = tally_of(tally, incarnation);
        last = incarnation;
        count += (uint64_t)unfold_sign(take_varint(&cursor));
        if (count > INT64_MAX)
            return false;
    }
    return true;
}

static int insert(sqlite3_stmt *put, const struct buffer *data)
{
    statement_bind_bytes(put, 1, bytes_of(data->data, data->size));
    return statement_run(put);
}

static void tell_all(const struct tally *tally, struct tally *out)
{
    for (size_t i = 0; i < tally->counts.capacity; i++) {
        if (tally->counts.keys[i] != 0)
            tally_add(out, tally->counts.keys[i], (int64_t)tally->counts.values[i]);
    }
}

/* Puts what was committed into one row. What this transaction changes comes behind it. */
static int replace(struct tally *tally, sqlite3_stmt *put, sqlite3_stmt *clear)
{
    struct tally sum;
    tally_init(&sum);
    tell_all(tally, &sum);
    int rc = statement_run(clear);
    if (rc == SQLITE_OK && sum.changes.size > 0)
        rc = insert(put, &sum.changes);
    tally->summed_bytes = sum.changes.size;
    tally->replacing = true;
    tally_fini(&sum);
    return rc;
}

int tally_write(struct tally *tally, sqlite3_stmt *put, sqlite3_stmt *clear)
{
    if (tally->changes.size == 0)
        return SQLITE_OK;
    if (!fits(tally))
        return SQLITE_CORRUPT;
    if (tally->written_bytes > REPLACE_BYTES + tally->summed_bytes)
        TRY_SQL(replace(tally, put, clear));
    return insert(put, &tally->changes);
}

void tally_end(struct tally *tally, bool committed)
{
    if (committed && tally->replacing)
        tally->written_bytes = 0;
    if (committed && tally->changes.size > 0) {
        tally->written_bytes += ROW_BYTES + tally->changes.size;
        CHECK(apply(&tally->counts, bytes_of(tally->changes.data, tally->changes.size)));
    }
    tally->replacing = false;
    tally->changes.size = 0;
    tally->last = 0;
}

/* ---- Anew ---- */

static int add_all(sqlite3 *db, const char *sql, struct tally *tally, int sign)
{
    sqlite3_stmt *s;
    TRY_SQL(sqlite3_prepare_v2(db, sql, -1, &s, NULL));
    while (sqlite3_step(s) == SQLITE_ROW)
        tally_add(tally, statement_u64(s, 0), sign * sqlite3_column_int64(s, 1));
    return sqlite3_finalize(s);
}

static int put_sum(sqlite3 *db, struct tally *tally)
{
    sqlite3_stmt *put = NULL, *clear = NULL;
    int rc = sqlite3_prepare_v2(db, "INSERT INTO tally(data) VALUES(?1)", -1, &put, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "DELETE FROM tally", -1, &clear, NULL);
    if (rc == SQLITE_OK)
        rc = replace(tally, put, clear);
    sqlite3_finalize(put);
    sqlite3_finalize(clear);
    return rc;
}

int tally_recount(sqlite3 *db)
{
    struct tally tally;
    tally_init(&tally);
    int rc = add_all(db,
                     "SELECT incarnation, sum(count) FROM segment INDEXED BY segment_of"
                     " GROUP BY period, incarnation",
                     &tally, 1);
    if (rc == SQLITE_OK)
        rc = add_all(db, "SELECT incarnation, settled FROM progress", &tally, -1);
    if (rc == SQLITE_OK && !apply(&tally.counts, bytes_of(tally.changes.data, tally.changes.size)))
        rc = SQLITE_CORRUPT;
    if (rc == SQLITE_OK)
        rc = put_sum(db, &tally);
    tally_fini(&tally);
    return rc;
}
