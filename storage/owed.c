#include "storage/owed.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/statement.h"
#include "storage/writer.h"

enum {
    PERIOD_SEGMENTS = 8192, /* some hundred pages of the index */
};

void owed_init(struct owed *owed)
{
    *owed = (struct owed){0};
    table_init(&owed->fewer, false);
    tally_init(&owed->tally);
}

void owed_fini(struct owed *owed)
{
    table_fini(&owed->fewer);
    tally_fini(&owed->tally);
    segment_fini(&owed->builder);
    buffer_fini(&owed->identifiers);
    free(owed->numbers);
    free(owed->changes);
    free(owed->periods);
}

void owed_end(struct owed *owed, bool committed)
{
    if (!committed)
        owed->period = 0; /* the next one begins anew: always right, and rare */
    table_clear(&owed->fewer);
    tally_end(&owed->tally, committed);
    owed->segment.open = false;
    segment_reset(&owed->builder);
}

static int damaged(uint64_t incarnation, uint64_t first)
{
    log_line(LOG_ERROR,
             "store: the segment of session incarnation %" PRIu64 " that begins with message"
             " %" PRIu64 " does not read",
             incarnation, first);
    return SQLITE_CORRUPT;
}

/* ---- Scratch ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t sorted_keys(struct owed *owed, const struct table *table)
{
    if (table->count > owed->number_capacity) {
        owed->number_capacity = table->count * 2;
        owed->numbers = memory_resize(owed->numbers, owed->number_capacity * sizeof *owed->numbers);
    }
    size_t count = 0;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->keys[i] != 0)
            owed->numbers[count++] = table->keys[i];
    }
    if (count > 0)
        qsort(owed->numbers, count, sizeof *owed->numbers, compare_u64);
    return count;
}

static int compare_rows(const void *a, const void *b)
{
    uint64_t x = (*(const struct row *const *)a)->number;
    uint64_t y = (*(const struct row *const *)b)->number;
    return (x > y) - (x < y);
}

/* A session's changes by number: mostly they came so. */
static size_t sorted_changes(struct owed *owed, const struct pending_session *session)
{
    size_t count = 0;
    bool sorted = true;
    for (struct list *link = session->changes.next; link != &session->changes; link = link->next) {
        if (count == owed->change_capacity) {
            owed->change_capacity = count == 0 ? 256 : count * 2;
            owed->changes =
                memory_resize(owed->changes, owed->change_capacity * sizeof *owed->changes);
        }
        const struct row *row = CONTAINER_OF(link, struct row, session_link);
        sorted = sorted && (count == 0 || owed->changes[count - 1]->number < row->number);
        owed->changes[count++] = row;
    }
    if (!sorted)
        qsort(owed->changes, count, sizeof *owed->changes, compare_rows);
    return count;
}

/* ---- Periods ---- */

static void add_period(struct owed *owed, uint64_t period)
{
    if (owed->periods_count > 0 && period <= owed->periods[owed->periods_count - 1])
        return; /* begun before, by a transaction that failed */
    if (owed->periods_count == owed->periods_capacity) {
        owed->periods_capacity = owed->periods_capacity == 0 ? 64 : owed->periods_capacity * 2;
        owed->periods = realloc(owed->periods, owed->periods_capacity * sizeof *owed->periods);
        CHECK(owed->periods != NULL);
    }
    owed->periods[owed->periods_count++] = period;
}

/* The period behind `*period`; 0 when there is none. */
static int next_period(struct writer *writer, uint64_t *period)
{
    sqlite3_stmt *s = writer->statements[WRITER_PERIOD_NEXT];
    statement_bind_u64(s, 1, *period);
    *period = sqlite3_step(s) == SQLITE_ROW ? statement_u64(s, 0) : 0;
    return sqlite3_reset(s);
}

static int know_periods(struct writer *writer)
{
    struct owed *owed = &writer->owed;
    uint64_t period = 0;
    if (owed->periods_known)
        return SQLITE_OK;
    owed->periods_count = 0;
    for (;;) {
        TRY_SQL(next_period(writer, &period));
        if (period == 0)
            break;
        add_period(owed, period);
    }
    owed->periods_known = true;
    return SQLITE_OK;
}

/* The period that this number's segment is of; 0: none. */
static uint64_t period_of(const struct owed *owed, uint64_t number)
{
    size_t low = 0, high = owed->periods_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (owed->periods[middle] <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? owed->periods[low - 1] : 0;
}

/* ---- Bodies that are shared ---- */

static void fewer(struct writer *writer, uint64_t number)
{
#ifdef SEEDED_BUG_SHARED_NOT_COUNTED
    return;
#endif
    ++*table_put(&writer->owed.fewer, number);
}

/* A body whose last entries go goes with one statement; only others need the second. */
static int count_down(struct writer *writer)
{
    struct owed *owed = &writer->owed;
    size_t count = sorted_keys(owed, &owed->fewer);
    for (size_t i = 0; i < count; i++) {
        uint64_t number = owed->numbers[i];
        uint64_t by = *table_find(&owed->fewer, number);
        sqlite3_stmt *s = writer->statements[WRITER_MESSAGE_FREE];
        statement_bind_u64(s, 1, number);
        statement_bind_u64(s, 2, by);
        TRY_SQL(statement_run(s));
        if (sqlite3_changes(writer->db) == 1) {
            writer->meta.messages--;
            continue;
        }
        s = writer->statements[WRITER_MESSAGE_LESS];
        statement_bind_u64(s, 1, number);
        statement_bind_u64(s, 2, by);
        TRY_SQL(statement_run(s));
    }
    return SQLITE_OK;
}

int owed_write_counts(struct writer *writer)
{
    TRY_SQL(count_down(writer));
    return tally_write(&writer->owed.tally, writer->statements[WRITER_TALLY_PUT],
                       writer->statements[WRITER_TALLY_CLEAR]);
}

/* Owed to one session, a message lies in that session's segment. */
static bool is_inline(const struct delta_publish *publish)
{
    return publish->live_count == 1 && segment_is_small(publish->message);
}

static int write_bodies(struct writer *writer, const struct pending *pending)
{
    sqlite3_stmt *s = writer->statements[WRITER_MESSAGE_PUT];
    for (struct list *link = pending->messages.next; link != &pending->messages;
         link = link->next) {
        const struct delta_publish *publish = CONTAINER_OF(link, struct delta_publish, link);
        if (is_inline(publish))
            continue;
        statement_bind_u64(s, 1, publish->number);
        statement_bind_message(s, 2, publish->message);
#ifdef SEEDED_BUG_REFCOUNT_OFF_BY_ONE
        statement_bind_u64(s, 10, publish->live_count > 1 ? publish->live_count - 1 : 1);
#else
        statement_bind_u64(s, 10, publish->live_count);
#endif
        TRY_SQL(statement_run(s));
        writer->rows++;
        writer->meta.messages++;
    }
    return SQLITE_OK;
}

/* ---- Changes of what is in the database ---- */

static int write_progress(struct writer *writer, uint64_t incarnation,
                          const struct segment_directory *directory,
                          const struct segment_progress *progress)
{
    uint8_t data[SEGMENT_PROGRESS_MAX];
    size_t size = segment_write_progress(directory, progress, data);
    sqlite3_stmt *s = writer->statements[WRITER_PROGRESS_PUT];
    statement_bind_u64(s, 1, incarnation);
    statement_bind_u64(s, 2, directory->slots[0].number);
    statement_bind_u64(s, 3, progress->settled);
    statement_bind_u64(s, 4, progress->in_flight);
    statement_bind_bytes(s, 5, bytes_of(data, size));
    writer->rows++;
    return statement_run(s);
}

static int delete_segment(struct writer *writer, const struct owed_segment *segment)
{
    sqlite3_stmt *s = writer->statements[WRITER_SEGMENT_DELETE];
    sqlite3_bind_int64(s, 1, segment->id);
    TRY_SQL(statement_run(s));
    writer->rows++;
    if (!segment->has_progress)
        return SQLITE_OK;
    s = writer->statements[WRITER_PROGRESS_DELETE];
    statement_bind_u64(s, 1, segment->incarnation);
    statement_bind_u64(s, 2, segment->first);
    writer->rows++;
    return statement_run(s);
}

/* A segment is never rewritten: what has become of its entries stands beside it, and it goes with
 * the last of them. */
static int close_segment(struct writer *writer)
{
    struct owed_segment *segment = &writer->owed.segment;
    if (!segment->open)
        return SQLITE_OK;
    segment->open = false;
    uint32_t settled = segment->progress.settled;
#ifdef SEEDED_BUG_SEGMENT_DELETED_EARLY
    settled += segment->directory.count > 1;
#endif
    if (settled >= segment->directory.count)
        return delete_segment(writer, segment);
#ifdef SEEDED_BUG_PROGRESS_FORGOTTEN
    return SQLITE_OK;
#endif
    return write_progress(writer, segment->incarnation, &segment->directory, &segment->progress);
}

static int read_segment(struct owed_segment *segment, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_ROW)
        return SQLITE_OK; /* or what the reset says */
    segment->id = sqlite3_column_int64(s, 0);
    segment->first = statement_u64(s, 1);
    struct bytes progress = statement_bytes(s, 4);
    segment->has_progress = progress.size > 0;
    if (!segment_read_directory(statement_bytes(s, 3), segment->first, statement_u64(s, 2),
                                &segment->directory) ||
        !segment_read_progress(progress, &segment->directory, &segment->progress))
        return damaged(segment->incarnation, segment->first);
    segment->open = true;
    return SQLITE_OK;
}

/* Opens the segment that may have this message's entry: of those which begin at or before it, the
 * last. Segments of a session do not overlap, because a flush takes all that there is. */
static int open_segment(struct writer *writer, uint64_t incarnation, uint64_t number)
{
    struct owed_segment *segment = &writer->owed.segment;
    if (segment->open && segment->incarnation == incarnation && segment->first <= number &&
        number <= segment->directory.slots[segment->directory.count - 1].number)
        return SQLITE_OK;
    TRY_SQL(close_segment(writer));
    sqlite3_stmt *s = writer->statements[WRITER_SEGMENT_FIND];
    statement_bind_u64(s, 1, incarnation);
    statement_bind_u64(s, 2, number);
    statement_bind_u64(s, 3, period_of(&writer->owed, number));
    segment->incarnation = incarnation;
    int rc = read_segment(segment, s);
    int end = sqlite3_reset(s);
    return rc != SQLITE_OK ? rc : end;
}

static void settle(struct writer *writer, struct owed_segment *segment, int at)
{
    const struct segment_slot *slot = &segment->directory.slots[at];
    segment_set_state(&segment->progress, at, SEGMENT_SETTLED);
#ifndef SEEDED_BUG_SETTLED_NOT_COUNTED
    writer->owed.more--;
#endif
    if (slot->body == SEGMENT_BODY_SHARED)
        fewer(writer, slot->number);
    else
        writer->meta.messages--;
}

static void note_sent(struct segment_progress *progress, int at, const struct row *row)
{
    segment_set_state(progress, at, row->state);
    if (!row->sent)
        return;
    progress->packet_identifier[at] = row->packet_identifier;
    progress->sequence[at] = row->sequence;
}

static int write_change(struct writer *writer, struct pending *pending, const struct row *row)
{
#ifdef SEEDED_BUG_SETTLED_LOST
    if (row->settled)
        return SQLITE_OK;
#endif
    struct owed_segment *segment = &writer->owed.segment;
    TRY_SQL(open_segment(writer, row->incarnation, row->number));
    int at = segment->open ? segment_find(&segment->directory, row->number) : -1;
    if (at < 0 || segment->progress.state[at] == SEGMENT_SETTLED)
        pending_anomaly(pending,
                        row->settled ? "settled"
                        : row->sent  ? "sent"
                                     : "released",
                        row->incarnation, row->number);
    else if (row->settled)
        settle(writer, segment, at);
    else
        note_sent(&segment->progress, at, row);
    return SQLITE_OK;
}

/* Each segment that is touched is read and written once, however many of its entries change. */
static int write_changes(struct writer *writer, struct pending *pending,
                         const struct pending_session *session)
{
    size_t count = sorted_changes(&writer->owed, session);
    for (size_t i = 0; i < count; i++)
        TRY_SQL(write_change(writer, pending, writer->owed.changes[i]));
    return close_segment(writer);
}

/* ---- What is new ---- */

static struct bytes pack_identifiers(struct buffer *buffer, const struct row *row)
{
    size_t size = row->subscription_identifier_count * sizeof(uint32_t);
    buffer->size = 0;
    buffer_take(buffer, size);
    for (uint32_t i = 0; i < row->subscription_identifier_count; i++)
        put_u32(buffer->data + 4 * i, row->subscription_identifiers[i]);
    return bytes_of(buffer->data, size);
}

/* Writes what has been gathered, and beside it what is in flight of it already. */
static int write_segment(struct writer *writer, uint64_t incarnation)
{
    struct owed *owed = &writer->owed;
    struct segment_builder *builder = &owed->builder;
    if (builder->count == 0)
        return SQLITE_OK;
    struct bytes directory = bytes_of(builder->directory, builder->directory_size);
    sqlite3_stmt *s = writer->statements[WRITER_SEGMENT_PUT];
    statement_bind_u64(s, 1, owed->period);
    statement_bind_u64(s, 2, incarnation);
    statement_bind_u64(s, 3, builder->first);
    statement_bind_u64(s, 4, builder->count);
    statement_bind_u64(s, 5, builder->shared);
    statement_bind_bytes(s, 6, directory);
    statement_bind_bytes(s, 7, bytes_of(builder->data.data, builder->data.size));
    TRY_SQL(statement_run(s));
    writer->rows++;
    owed->period_count++;
    writer->meta.messages += builder->count - builder->shared;
    if (owed->built.in_flight > 0) {
        CHECK(segment_read_directory(directory, builder->first, builder->count,
                                     &owed->segment.directory));
        TRY_SQL(write_progress(writer, incarnation, &owed->segment.directory, &owed->built));
        memset(&owed->built, 0, sizeof owed->built);
    }
    segment_reset(builder);
    return SQLITE_OK;
}

static int write_row(struct writer *writer, const struct row *row)
{
    struct owed *owed = &writer->owed;
    struct segment_entry entry = {
        .body = is_inline(row->message) ? SEGMENT_BODY_INLINE : SEGMENT_BODY_SHARED,
        .qos = row->qos,
        .retain = row->retain,
        .subscription_identifiers = pack_identifiers(&owed->identifiers, row),
        .message = *row->message->message,
    };
    entry.message.number = row->number;
    if (!segment_add(&owed->builder, &entry)) {
        TRY_SQL(write_segment(writer, row->incarnation));
        CHECK(segment_add(&owed->builder, &entry));
    }
    if (row->state != STORE_OUTBOUND_QUEUED)
        note_sent(&owed->built, (int)owed->builder.count - 1, row);
    owed->more++;
    return SQLITE_OK;
}

/* A session's rows and messages were written by turns that lie apart, and have left the cache:
 * those that come next are asked for while this one is packed. */
static void ask_ahead(const struct list *link, const struct list *end)
{
    const struct list *next = link->next;
    if (next == end)
        return;
    const char *after = (const char *)next->next;
    __builtin_prefetch(after);
    __builtin_prefetch(after - 64); /* what its row is of */
    const struct row *row = CONTAINER_OF(next, struct row, session_link);
    const char *message = (const char *)row->message->message;
    __builtin_prefetch(message);
    __builtin_prefetch(message + 64);
    __builtin_prefetch(message + 128);
}

static int write_rows(struct writer *writer, const struct pending_session *session)
{
    const struct list *end = &session->rows;
    for (const struct list *link = end->next; link != end; link = link->next) {
        ask_ahead(link, end);
        TRY_SQL(write_row(writer, CONTAINER_OF(link, struct row, session_link)));
    }
    return write_segment(writer, session->incarnation);
}

/* A flush belongs to one period, and a new one begins with the smallest number of its flush: all
 * that was flushed before is smaller. */
static void choose_period(struct owed *owed, const struct pending *pending)
{
    if (list_empty(&pending->messages))
        return;
    if (owed->period != 0 && owed->period_count < PERIOD_SEGMENTS)
        return;
    owed->period = CONTAINER_OF(pending->messages.next, struct delta_publish, link)->number;
    owed->period_count = 0;
    add_period(owed, owed->period);
}

/* Session by session, so that the index of segments is touched in its own order. */
int owed_write(struct writer *writer, struct pending *pending)
{
    struct owed *owed = &writer->owed;
    memset(&owed->built, 0, sizeof owed->built);
    TRY_SQL(know_periods(writer));
    choose_period(owed, pending);
    TRY_SQL(write_bodies(writer, pending));
    size_t count = sorted_keys(owed, &pending->sessions);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = *table_find(&pending->sessions, owed->numbers[i]);
        const struct pending_session *session = (const struct pending_session *)(uintptr_t)at;
        owed->more = 0;
        TRY_SQL(write_changes(writer, pending, session));
        TRY_SQL(write_rows(writer, session));
        tally_add(&owed->tally, session->incarnation, owed->more);
    }
    return SQLITE_OK;
}

/* ---- What ended sessions were owed ---- */

/* The statement's segment, which is about to go. */
static int read_doomed(struct owed_segment *segment, sqlite3_stmt *s)
{
    struct bytes progress = statement_bytes(s, 6);
    segment->id = sqlite3_column_int64(s, 0);
    segment->first = statement_u64(s, 1);
    segment->has_progress = progress.size > 0;
    return segment_read_directory(statement_bytes(s, 5), segment->first, statement_u64(s, 2),
                                  &segment->directory) &&
                   segment_read_progress(progress, &segment->directory, &segment->progress)
               ? SQLITE_OK
               : damaged(segment->incarnation, segment->first);
}

/* Deletes the first segment of a period that the session has, and lowers `*budget` by what it cost;
 * `*found`: there was one. */
static int delete_one(struct writer *writer, uint64_t incarnation, uint64_t period,
                      uint32_t *budget, bool *found)
{
    struct owed_segment *segment = &writer->owed.segment;
    sqlite3_stmt *s = writer->statements[WRITER_SEGMENT_SLICE];
    statement_bind_u64(s, 1, incarnation);
    statement_bind_u64(s, 2, period);
    segment->incarnation = incarnation;
    *found = sqlite3_step(s) == SQLITE_ROW;
    uint64_t cost = *found ? 1 + statement_u64(s, 3) + statement_u64(s, 4) / SCHEMA_PAGE_SIZE : 0;
    int rc = *found ? read_doomed(segment, s) : SQLITE_OK;
    int end = sqlite3_reset(s);
    TRY_SQL(rc != SQLITE_OK ? rc : end);
    *budget = cost < *budget ? *budget - (uint32_t)cost : 0;
    if (!*found)
        return SQLITE_OK;
    writer->owed.more = 0;
    for (uint32_t at = 0; at < segment->directory.count; at++) {
        if (segment->progress.state[at] != SEGMENT_SETTLED)
            settle(writer, segment, (int)at);
    }
    tally_add(&writer->owed.tally, incarnation, writer->owed.more);
    return delete_segment(writer, segment);
}

static int delete_some(struct writer *writer, uint64_t incarnation, uint32_t *budget)
{
    uint64_t period = 0;
    for (;;) {
        TRY_SQL(next_period(writer, &period));
        if (period == 0)
            return SQLITE_OK;
        for (bool found = true; found && *budget > 0;)
            TRY_SQL(delete_one(writer, incarnation, period, budget, &found));
        if (*budget == 0)
            return SQLITE_OK;
    }
}

int owed_delete_slice(struct writer *writer, uint32_t budget, size_t *done)
{
    const struct writer_ended *ended = &writer->ended;
#ifdef SEEDED_BUG_ENDED_AT_ONCE
    budget = UINT32_MAX;
#endif
    while (budget > 0 && *done < ended->count) {
        uint64_t incarnation = ended->incarnations[ended->first + *done];
        TRY_SQL(delete_some(writer, incarnation, &budget));
        if (budget == 0)
            return SQLITE_OK;
        sqlite3_stmt *s = writer->statements[WRITER_ENDED_DELETE];
        statement_bind_u64(s, 1, incarnation);
        TRY_SQL(statement_run(s));
        ++*done;
        budget--;
    }
    return SQLITE_OK;
}
