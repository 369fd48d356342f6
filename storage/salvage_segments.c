/* What sessions are owed, out of a damaged database: segment by segment, of each the entries that
 * read, and of those that do not what must be known of a QoS 2 exchange. */
#include "storage/salvage.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/segment.h"
#include "storage/statement.h"

enum { READ_AT_ONCE = 4096 };

enum statement {
    TOLD_OF, /* progress that read */
    TOLD_TAKE,
    DONE_PUT,
    DONE_HAS,
    BODY_NEEDED,
    SEGMENT_PUT,
    PROGRESS_PUT,
    STATEMENT_COUNT,
};

static const char *const texts[STATEMENT_COUNT] = {
    [TOLD_OF] = "SELECT data, settled FROM told WHERE incarnation = ?1 AND first = ?2",
    [TOLD_TAKE] = "DELETE FROM told WHERE incarnation = ?1 AND first = ?2",
    [DONE_PUT] = "INSERT INTO done VALUES(?1, ?2)",
    [DONE_HAS] = "SELECT 1 FROM done WHERE incarnation = ?1 AND first = ?2",
    [BODY_NEEDED] = "UPDATE message SET owed = owed + 1 WHERE number = ?1",
    [SEGMENT_PUT] =
        ("INSERT INTO segment(period, incarnation, first, count, shared, directory, data)"
         " VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6)"),
    [PROGRESS_PUT] = "INSERT INTO progress VALUES(?1, ?2, 0, ?3, ?4)",
};

struct job {
    struct salvage *salvage;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    uint64_t incarnation; /* of the segment at hand */
    struct segment_directory directory;
    struct segment_progress progress;
    struct buffer data;
    /* What is saved of it: */
    struct segment_builder builder;
    struct segment_progress saved;
    struct table lost; /* incarnation -> times that a message was owed and is no longer */
    bool unread;       /* some segment did not read at all */
};

static void count_lost(struct job *job, uint64_t incarnation, uint64_t count)
{
    *table_put(&job->lost, incarnation) += count;
    job->salvage->lost_owed += count;
}

/* ---- What is saved ---- */

static void write_saved(struct job *job)
{
    struct segment_builder *builder = &job->builder;
    struct salvage *salvage = job->salvage;
    if (builder->count == 0)
        return;
    struct bytes directory = bytes_of(builder->directory, builder->directory_size);
    sqlite3_stmt *s = job->statements[SEGMENT_PUT];
    statement_bind_u64(s, 1, job->incarnation);
    statement_bind_u64(s, 2, builder->first);
    statement_bind_u64(s, 3, builder->count);
    statement_bind_u64(s, 4, builder->shared);
    statement_bind_bytes(s, 5, directory);
    statement_bind_bytes(s, 6, bytes_of(builder->data.data, builder->data.size));
    salvage_insert(salvage, s);
    salvage->saved_owed += builder->count;
    salvage->saved_messages += builder->count - builder->shared;
    if (job->saved.in_flight > 0) {
        uint8_t data[SEGMENT_PROGRESS_MAX];
        struct segment_directory read;
        CHECK(segment_read_directory(directory, builder->first, builder->count, &read));
        s = job->statements[PROGRESS_PUT];
        statement_bind_u64(s, 1, job->incarnation);
        statement_bind_u64(s, 2, builder->first);
        statement_bind_u64(s, 3, job->saved.in_flight);
        statement_bind_bytes(s, 4,
                             bytes_of(data, segment_write_progress(&read, &job->saved, data)));
        salvage_insert(salvage, s);
        memset(&job->saved, 0, sizeof job->saved);
    }
    segment_reset(builder);
}

static void save(struct job *job, const struct segment_entry *entry, uint8_t state,
                 uint16_t packet_identifier, uint64_t sequence)
{
    if (!segment_add(&job->builder, entry)) {
        write_saved(job);
        CHECK(segment_add(&job->builder, entry));
    }
    if (state == STORE_OUTBOUND_QUEUED)
        return;
    int at = (int)job->builder.count - 1;
    segment_set_state(&job->saved, at, state);
    job->saved.packet_identifier[at] = packet_identifier;
    job->saved.sequence[at] = sequence;
}

/* A QoS 2 exchange whose body is gone is closed by PUBREL before its identifier is used again. */
static void save_exchange(struct job *job, uint64_t number, uint16_t packet_identifier,
                          uint64_t sequence)
{
    struct segment_entry entry = {
        .body = SEGMENT_BODY_NONE, .qos = 2, .message = {.number = number}};
    save(job, &entry, STORE_OUTBOUND_RELEASED, packet_identifier, sequence);
}

static bool has_body(struct job *job, const struct segment_entry *entry)
{
    if (entry->body != SEGMENT_BODY_SHARED)
        return true;
    sqlite3_stmt *s = job->statements[BODY_NEEDED];
    statement_bind_u64(s, 1, entry->message.number);
    salvage_insert(job->salvage, s);
    return sqlite3_changes(job->salvage->to) == 1;
}

static void save_entry(struct job *job, uint32_t at)
{
    const struct segment_slot *slot = &job->directory.slots[at];
    const struct segment_progress *progress = &job->progress;
    struct segment_entry entry;
    uint8_t state = progress->state[at];
    if (state == SEGMENT_SETTLED)
        return;
    if (segment_read_entry(slot, bytes_of(job->data.data, job->data.size), &entry) &&
        has_body(job, &entry)) {
        save(job, &entry, state, progress->packet_identifier[at], progress->sequence[at]);
        return;
    }
    if (state != STORE_OUTBOUND_QUEUED && slot->qos == 2)
        save_exchange(job, slot->number, progress->packet_identifier[at], progress->sequence[at]);
    if (state != STORE_OUTBOUND_RELEASED)
        count_lost(job, job->incarnation, 1);
}

/* ---- Segments ---- */

/* As much as reads from its beginning. */
static void read_data(struct job *job, int64_t id)
{
    sqlite3_blob *blob;
    job->data.size = 0;
    if (sqlite3_blob_open(job->salvage->from, "main", "segment", "data", id, 0, &blob) ==
        SQLITE_OK) {
        size_t size = (size_t)sqlite3_blob_bytes(blob);
        CHECK(buffer_reserve(&job->data, size + 1) == STATUS_OK);
        while (job->data.size < size) {
            size_t rest = size - job->data.size;
            int part = (int)(rest < READ_AT_ONCE ? rest : READ_AT_ONCE);
            if (sqlite3_blob_read(blob, job->data.data + job->data.size, part,
                                  (int)job->data.size) != SQLITE_OK)
                break;
            job->data.size += (size_t)part;
        }
    }
    sqlite3_blob_close(blob);
}

static void run_for(struct job *job, enum statement which, uint64_t incarnation, uint64_t first)
{
    sqlite3_stmt *s = job->statements[which];
    statement_bind_u64(s, 1, incarnation);
    statement_bind_u64(s, 2, first);
    salvage_insert(job->salvage, s);
}

/* What has become of the segment's entries, as far as it is known. */
static void read_progress(struct job *job, uint64_t first)
{
    sqlite3_stmt *s = job->statements[TOLD_OF];
    statement_bind_u64(s, 1, job->incarnation);
    statement_bind_u64(s, 2, first);
    struct bytes data = {NULL, 0};
    if (sqlite3_step(s) == SQLITE_ROW)
        data = statement_bytes(s, 0);
    bool reads = segment_read_progress(data, &job->directory, &job->progress);
    sqlite3_reset(s);
    if (reads) {
        run_for(job, TOLD_TAKE, job->incarnation, first);
        return;
    }
    memset(&job->progress, 0, sizeof job->progress);
    salvage_name_incomplete(job->salvage, job->incarnation,
                            "what it had acknowledged; some messages may come twice");
}

/* Columns: id, incarnation, first, count, directory. */
static void copy_segment(struct salvage_walk *walk)
{
    struct job *job = walk->context;
    uint64_t incarnation = statement_u64(walk->select, 1), first = statement_u64(walk->select, 2);
    if (incarnation == 0 || !table_has(&walk->salvage->sessions, incarnation))
        return;
    if (!segment_read_directory(statement_bytes(walk->select, 4), first,
                                statement_u64(walk->select, 3), &job->directory)) {
        job->unread = true;
        walk->salvage->gaps++;
        return;
    }
    uint64_t youngest = job->directory.slots[job->directory.count - 1].number;
    if (youngest > walk->salvage->youngest_number)
        walk->salvage->youngest_number = youngest;
    job->incarnation = incarnation;
    run_for(job, DONE_PUT, incarnation, first);
    read_data(job, sqlite3_column_int64(walk->select, 0));
    read_progress(job, first);
    for (uint32_t at = 0; at < job->directory.count; at++)
        save_entry(job, at);
    write_saved(job);
}

/* The index, whose pages are others than the table's, says that there was this segment. */
static void look_for_segment(struct job *job, uint64_t incarnation, uint64_t first, uint64_t count)
{
    sqlite3_stmt *s = job->statements[DONE_HAS];
    statement_bind_u64(s, 1, incarnation);
    statement_bind_u64(s, 2, first);
    bool done = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_reset(s);
    if (done || incarnation == 0 || !table_has(&job->salvage->sessions, incarnation))
        return;
    run_for(job, DONE_PUT, incarnation, first); /* counted once */
    s = job->statements[TOLD_OF];
    statement_bind_u64(s, 1, incarnation);
    statement_bind_u64(s, 2, first);
    uint64_t settled = sqlite3_step(s) == SQLITE_ROW ? statement_u64(s, 1) : 0;
    sqlite3_reset(s);
    count_lost(job, incarnation, settled < count && count <= SEGMENT_ENTRIES ? count - settled : 1);
}

/* ---- Exchanges whose segment is gone ---- */

static bool save_orphan(void *context, const struct segment_exchange *exchange)
{
    struct job *job = context;
    if (exchange->qos == 2)
        save_exchange(job, exchange->number, exchange->packet_identifier, exchange->sequence);
    return true;
}

static void save_orphans(struct job *job)
{
    sqlite3_stmt *s =
        salvage_prepare(job->salvage->to, "SELECT incarnation, first, data FROM told");
    while (s != NULL && sqlite3_step(s) == SQLITE_ROW) {
        job->incarnation = statement_u64(s, 0);
        segment_each_exchange(statement_bytes(s, 2), statement_u64(s, 1), save_orphan, job);
        write_saved(job);
    }
    sqlite3_finalize(s);
}

/* ---- Putting it together ---- */

static void of_each_session(struct job *job, struct salvage_walk *walk, const char *what)
{
    struct salvage *salvage = job->salvage;
    for (size_t i = 0; i < salvage->sessions.capacity && salvage->error == SQLITE_OK; i++) {
        walk->incarnation = salvage->sessions.keys[i];
        walk->gaps = 0;
        if (walk->incarnation == 0)
            continue;
        salvage_walk(walk);
        if (walk->gaps > 0)
            salvage_name_incomplete(salvage, walk->incarnation, what);
    }
    sqlite3_finalize(walk->select);
    sqlite3_finalize(walk->insert);
}

static void read_all_progress(struct job *job)
{
    struct salvage_walk walk = {
        .salvage = job->salvage,
        .select = salvage_prepare(job->salvage->from,
                                  "SELECT first, incarnation, settled, data FROM progress"
                                  " WHERE incarnation = ?1 AND first > ?2 ORDER BY first"),
        .insert = salvage_prepare(job->salvage->to, "INSERT INTO told VALUES(?2, ?1, ?3, ?4)"),
        .copy = salvage_copy_columns,
    };
    of_each_session(job, &walk, "what it had acknowledged; some messages may come twice");
}

static void copy_all_segments(struct job *job)
{
    struct salvage_walk walk = {
        .salvage = job->salvage,
        .select =
            salvage_prepare(job->salvage->from, "SELECT id, incarnation, first, count, directory"
                                                " FROM segment WHERE id > ?1 ORDER BY id"),
        .copy = copy_segment,
        .context = job,
    };
    salvage_walk(&walk);
    salvage_report_gaps(&walk, "segment");
    job->unread = job->unread || walk.gaps > 0;
    sqlite3_finalize(walk.select);
}

/* From both ends up to a hole, if the index has one. */
static void look_for_the_others(struct job *job)
{
    static const char *const ways[] = {
        "SELECT incarnation, first, count FROM segment INDEXED BY segment_of"
        " ORDER BY period, incarnation, first, count",
        "SELECT incarnation, first, count FROM segment INDEXED BY segment_of"
        " ORDER BY period DESC, incarnation DESC, first DESC, count DESC",
    };
    for (int way = 0; way < 2; way++) {
        sqlite3_stmt *s = salvage_prepare(job->salvage->from, ways[way]);
        int rc = SQLITE_ERROR;
        while (s != NULL && (rc = sqlite3_step(s)) == SQLITE_ROW)
            look_for_segment(job, statement_u64(s, 0), statement_u64(s, 1), statement_u64(s, 2));
        sqlite3_finalize(s);
        if (rc == SQLITE_DONE)
            return;
    }
    log_line(LOG_ERROR, "store: salvage: the index of segments has a hole, too: sessions may have"
                        " lost messages that are not named");
}

static bool prepare_all(struct job *job)
{
    struct salvage *salvage = job->salvage;
    salvage->error = sqlite3_exec(salvage->to,
                                  "CREATE TEMP TABLE told(incarnation INTEGER, first INTEGER,"
                                  " settled INTEGER, data BLOB, PRIMARY KEY(incarnation, first))"
                                  " WITHOUT ROWID;"
                                  "CREATE TEMP TABLE done(incarnation INTEGER, first INTEGER,"
                                  " PRIMARY KEY(incarnation, first)) WITHOUT ROWID",
                                  NULL, NULL, NULL);
    for (int i = 0; i < STATEMENT_COUNT && salvage->error == SQLITE_OK; i++)
        salvage->error = sqlite3_prepare_v2(salvage->to, texts[i], -1, &job->statements[i], NULL);
    return salvage->error == SQLITE_OK;
}

void salvage_segments(struct salvage *salvage)
{
    struct job *job = calloc(1, sizeof *job);
    CHECK(job != NULL);
    job->salvage = salvage;
    table_init(&job->lost, false);
    if (prepare_all(job)) {
        read_all_progress(job);
        copy_all_segments(job);
        if (job->unread)
            look_for_the_others(job);
        save_orphans(job);
    }
    for (size_t i = 0; i < job->lost.capacity; i++) {
        if (job->lost.keys[i] != 0)
            salvage_name_incomplete(salvage, job->lost.keys[i], "messages");
    }
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(job->statements[i]);
    buffer_fini(&job->data);
    segment_fini(&job->builder);
    table_fini(&job->lost);
    free(job);
}
