#include "storage/reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/arena.h"
#include "storage/segment.h"
#include "storage/statement.h"

/* ---- Queues ---- */

void reader_queue_init(struct reader_queue *queue)
{
    *queue = (struct reader_queue){0};
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->filled, NULL);
    queue->last = queue->last_resume = &queue->first;
}

void reader_queue_fini(struct reader_queue *queue)
{
    pthread_mutex_destroy(&queue->mutex);
    pthread_cond_destroy(&queue->filled);
}

/* Somebody's CONNACK waits for a session's first read: it goes before all others' pages. */
void reader_queue_push(struct reader_queue *queue, struct store_read *read)
{
    pthread_mutex_lock(&queue->mutex);
    bool first = read->resume;
#ifdef SEEDED_BUG_RESUME_BEHIND_PAGES
    first = false;
#endif
    struct store_read ***last = first ? &queue->last_resume : &queue->last;
    read->next = **last;
    **last = read;
    *last = &read->next;
    if (read->next == NULL)
        queue->last = &read->next;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

static struct store_read *pop_locked(struct reader_queue *queue)
{
    struct store_read *read = queue->first;
    if (read == NULL)
        return NULL;
    queue->first = read->next;
    if (queue->last == &read->next)
        queue->last = &queue->first;
    if (queue->last_resume == &read->next)
        queue->last_resume = &queue->first;
    read->next = NULL;
    return read;
}

struct store_read *reader_queue_pop(struct reader_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct store_read *read = pop_locked(queue);
    pthread_mutex_unlock(&queue->mutex);
    return read;
}

bool reader_queue_empty(struct reader_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool empty = queue->first == NULL;
    pthread_mutex_unlock(&queue->mutex);
    return empty;
}

struct store_read *reader_queue_wait(struct reader_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->first == NULL && !queue->closed)
        pthread_cond_wait(&queue->filled, &queue->mutex);
    struct store_read *read = pop_locked(queue);
    pthread_mutex_unlock(&queue->mutex);
    return read;
}

void reader_queue_close(struct reader_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->mutex);
}

/* ---- The connection ---- */

/* The period that this number's segment is of. */
#define PERIOD_OF(number) "(SELECT max(period) FROM segment WHERE period <= " number ")"

static const char *const texts[READER_STATEMENT_COUNT] = {
    /* The period of this number, and the next one. */
    [READER_PERIOD] = "SELECT " PERIOD_OF("?1") ", (SELECT min(period) FROM segment"
                                                " WHERE period > ?1)",
    /* Of one period, from the one that ?2 may lie in. */
    [READER_FROM] = "SELECT first, count, directory, data FROM segment WHERE incarnation = ?1"
                    " AND period = ?4 AND first <= ?3 AND first >= coalesce((SELECT max(first)"
                    " FROM segment WHERE period = ?4 AND incarnation = ?1 AND first <= ?2), 0)"
                    " ORDER BY first",
    /* ?2: or the one that this number is of. */
    [READER_NEXT_PERIOD] =
        "SELECT min(period) FROM segment WHERE period > ?1 AND period >= coalesce(" PERIOD_OF(
            "?2") ", 0)",
    /* Beside the segments, and not joined to them: most have none. */
    [READER_PROGRESS] = "SELECT first, data FROM progress WHERE incarnation = ?1 AND first >= ?2"
                        " ORDER BY first",
    [READER_IN_FLIGHT] = ("SELECT s.first, s.count, s.directory, s.data, p.data FROM progress AS p"
                          " LEFT JOIN segment AS s ON s.period = " PERIOD_OF(
                              "p.first") " AND s.incarnation = p.incarnation AND s.first = p.first"
                                         " WHERE p.incarnation = ?1 AND p.in_flight > 0"),
    [READER_BODY] = ("SELECT qos, retain, expiry_interval_s, received_at_ms, publisher, topic,"
                     " properties, payload FROM message WHERE number = ?1"),
    [READER_INBOUND] = "SELECT packet_identifier FROM inbound WHERE incarnation = ?1",
};

void reader_init(struct reader *reader, const char *path)
{
    *reader = (struct reader){.path = path};
}

static void disconnect(struct reader *reader)
{
    for (int i = 0; i < READER_STATEMENT_COUNT; i++) {
        sqlite3_finalize(reader->statements[i]);
        reader->statements[i] = NULL;
    }
    schema_disconnect(reader->db);
    reader->db = NULL;
}

void reader_fini(struct reader *reader)
{
    disconnect(reader);
}

static int connect_if_needed(struct reader *reader)
{
    if (reader->db != NULL)
        return SQLITE_OK;
    int rc = schema_connect(reader->path, SCHEMA_READER, false, &reader->db);
    for (int i = 0; i < READER_STATEMENT_COUNT && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(reader->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &reader->statements[i], NULL);
    return rc;
}

/* ---- One answer ---- */

struct answer {
    struct arena arena; /* segments, bytes, identifiers */
    struct store_row *rows;
    uint32_t row_count, row_capacity;
    uint16_t *inbound;
    uint32_t inbound_count, inbound_capacity;
    uint32_t in_flight_count; /* of the rows, the first */
    uint64_t bytes;           /* of topics, properties and payloads of the others */
};

/* A segment as the answer keeps it: rows point into its data. */
struct view {
    struct segment_directory directory;
    struct segment_progress progress;
    struct bytes data;
};

/* A statement that is followed as long as what is looked for ascends. */
struct walk {
    bool begun;
    bool at_row;
    uint64_t from; /* the last that was looked for */
};

/* What one request needs. */
struct task {
    struct reader *reader;
    struct answer *answer;
    uint64_t incarnation;
    struct view view;      /* valid while directory.count > 0 */
    struct walk progress;  /* READER_PROGRESS */
    struct walk segments;  /* READER_FROM, by number */
    uint64_t segments_end; /* the period that is behind the one it walks through */
};

/* Room for one more element, or false. */
static bool room(void *array_pointer, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    uint32_t more = *capacity == 0 ? 64 : *capacity * 2;
    void *grown = realloc(*(void **)array_pointer, more * size);
    if (grown == NULL)
        return false;
    *(void **)array_pointer = grown;
    *capacity = more;
    return true;
}

static bool copy(struct arena *arena, struct bytes *bytes)
{
    if (bytes->size == 0)
        return true;
    uint8_t *kept = arena_try(arena, bytes->size);
    if (kept == NULL)
        return false;
    memcpy(kept, bytes->data, bytes->size);
    bytes->data = kept;
    return true;
}

/* ---- Segments ---- */

/* What has become of the segment that begins so; empty: nothing. */
static enum status find_progress(struct task *task, uint64_t first, struct bytes *out)
{
    struct walk *walk = &task->progress;
    sqlite3_stmt *s = task->reader->statements[READER_PROGRESS];
    if (!walk->begun || first < walk->from) {
        TRY(schema_status(sqlite3_reset(s)));
        statement_bind_u64(s, 1, task->incarnation);
        statement_bind_u64(s, 2, first);
        walk->begun = true;
        walk->at_row = sqlite3_step(s) == SQLITE_ROW;
    }
    walk->from = first;
    while (walk->at_row && statement_u64(s, 0) < first)
        walk->at_row = sqlite3_step(s) == SQLITE_ROW;
    bool found = walk->at_row && statement_u64(s, 0) == first;
    *out = found ? statement_bytes(s, 1) : bytes_of(NULL, 0);
    return found && statement_lacks(s, 1) ? STATUS_CORRUPT : STATUS_OK;
}

static bool take_directory(struct view *view, sqlite3_stmt *s)
{
    if (!statement_lacks(s, 2) && segment_read_directory(statement_bytes(s, 2), statement_u64(s, 0),
                                                         statement_u64(s, 1), &view->directory))
        return true;
    view->directory.count = 0;
    return false;
}

static enum status take_rest(struct task *task, sqlite3_stmt *s, struct bytes progress)
{
    struct view *view = &task->view;
    view->data = statement_bytes(s, 3);
    bool sound = !statement_lacks(s, 3) &&
                 segment_read_progress(progress, &view->directory, &view->progress);
    if (sound && copy(&task->answer->arena, &view->data))
        return STATUS_OK;
    view->directory.count = 0;
    return sound ? STATUS_NO_MEMORY : STATUS_CORRUPT;
}

/* Behind take_directory(). */
static enum status take_with_progress(struct task *task, sqlite3_stmt *s)
{
    struct bytes progress;
    enum status status = find_progress(task, statement_u64(s, 0), &progress);
    if (status == STATUS_OK)
        return take_rest(task, s, progress);
    task->view.directory.count = 0;
    return status;
}

/* The statement's segment. */
static enum status take_segment(struct task *task, sqlite3_stmt *s)
{
    return take_directory(&task->view, s) ? take_with_progress(task, s) : STATUS_CORRUPT;
}

static enum status take_body(struct task *task, struct segment_entry *entry, bool *found)
{
    struct arena *arena = &task->answer->arena;
    struct store_message *message = &entry->message;
    sqlite3_stmt *s = task->reader->statements[READER_BODY];
    statement_bind_u64(s, 1, message->number);
    *found = sqlite3_step(s) == SQLITE_ROW;
    bool kept = true;
    if (*found) {
        statement_message(s, 0, message);
        *found = !statement_lacks(s, 5) && !statement_lacks(s, 6) && !statement_lacks(s, 7);
        kept = copy(arena, &message->topic) && copy(arena, &message->properties) &&
               copy(arena, &message->payload);
    }
    int rc = sqlite3_reset(s);
    return rc != SQLITE_OK ? schema_status(rc) : kept ? STATUS_OK : STATUS_NO_MEMORY;
}

static bool take_identifiers(struct arena *arena, struct bytes packed, struct store_row *row)
{
    uint32_t count = (uint32_t)(packed.size / 4);
    if (count == 0)
        return true;
    uint32_t *identifiers = arena_try(arena, count * sizeof *identifiers);
    if (identifiers == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        identifiers[i] = get_u32(packed.data + 4 * i);
    row->subscription_identifiers = identifiers;
    row->subscription_identifier_count = count;
    return true;
}

/* One that is damaged is left out: the others are not to wait for it. */
static void lost(struct task *task, uint64_t number)
{
    log_line(LOG_ERROR,
             "store: message %" PRIu64 ", owed to session incarnation %" PRIu64
             ", has no body that reads: it is lost",
             number, task->incarnation);
    task->reader->damaged = true;
}

/* The entry at this place, as the next row of the answer. */
static enum status take_row(struct task *task, uint32_t at)
{
    struct answer *answer = task->answer;
    const struct view *view = &task->view;
    struct segment_entry entry;
    bool found = segment_read_entry(&view->directory.slots[at], view->data, &entry);
    bool released = view->progress.state[at] == STORE_OUTBOUND_RELEASED;
    if (found && !released && entry.body == SEGMENT_BODY_SHARED)
        TRY(take_body(task, &entry, &found));
    if (!released && (!found || entry.body == SEGMENT_BODY_NONE)) {
        lost(task, entry.message.number);
        return STATUS_OK;
    }
    if (!room(&answer->rows, answer->row_count, &answer->row_capacity, sizeof *answer->rows))
        return STATUS_NO_MEMORY;
    struct store_row row = {
        .message = entry.message,
        .qos = entry.qos,
        .retain = entry.retain,
        .state = (enum store_outbound)view->progress.state[at],
        .packet_identifier = view->progress.packet_identifier[at],
        .sequence = view->progress.sequence[at],
    };
    if (released)
        row.message = (struct store_message){.number = entry.message.number};
    else if (!take_identifiers(&answer->arena, entry.subscription_identifiers, &row))
        return STATUS_NO_MEMORY;
    answer->bytes +=
        row.message.topic.size + row.message.properties.size + row.message.payload.size;
    answer->rows[answer->row_count++] = row;
    return STATUS_OK;
}

/* Resets the statement; what stopped it, if it was not us. */
static enum status finish(sqlite3_stmt *s, enum status status)
{
    int rc = sqlite3_reset(s);
    return status != STATUS_OK ? status : schema_status(rc);
}

/* Takes a row unless that would be more bytes than allowed; then `*over`, and it is left. */
static enum status take_within(struct task *task, uint32_t at, uint64_t limit_bytes, bool *over)
{
    struct answer *answer = task->answer;
    uint32_t rows = answer->row_count;
    uint64_t bytes = answer->bytes;
    TRY(take_row(task, at));
    *over = answer->bytes > limit_bytes;
    if (!*over)
        return STATUS_OK;
    answer->row_count = rows;
    answer->bytes = bytes;
    return STATUS_OK;
}

/* The rows of the view that were asked for, as far as the limits go. */
static enum status take_queued(struct task *task, struct store_read *read)
{
    const struct answer *answer = task->answer;
    const struct view *view = &task->view;
    for (uint32_t at = 0; at < view->directory.count && !read->more; at++) {
        uint64_t number = view->directory.slots[at].number;
        if (view->progress.state[at] != STORE_OUTBOUND_QUEUED || number <= read->after)
            continue;
        if (number > read->until)
            break;
        uint32_t taken = answer->row_count - answer->in_flight_count;
        if (taken >= read->limit)
            read->more = true;
        else
            TRY(take_within(task, at, taken > 0 ? read->limit_bytes : UINT64_MAX, &read->more));
    }
    return STATUS_OK;
}

static enum status answer_period(struct task *task, struct store_read *read, uint64_t period)
{
    sqlite3_stmt *s = task->reader->statements[READER_FROM];
    statement_bind_u64(s, 1, read->incarnation);
    statement_bind_u64(s, 2, read->after < INT64_MAX ? read->after + 1 : INT64_MAX);
    statement_bind_u64(s, 3, read->until > INT64_MAX ? INT64_MAX : read->until);
    statement_bind_u64(s, 4, period);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !read->more && sqlite3_step(s) == SQLITE_ROW) {
        status = take_segment(task, s);
        if (status == STATUS_OK)
            status = take_queued(task, read);
    }
    return finish(s, status);
}

/* Period by period: one behind the other in time, and so in number. */
static enum status answer_queued(struct task *task, struct store_read *read)
{
    sqlite3_stmt *s = task->reader->statements[READER_NEXT_PERIOD];
    uint64_t period = 0;
    while (!read->more) {
        statement_bind_u64(s, 1, period);
        statement_bind_u64(s, 2, read->after < INT64_MAX ? read->after + 1 : INT64_MAX);
        period = sqlite3_step(s) == SQLITE_ROW ? statement_u64(s, 0) : 0;
        TRY(finish(s, STATUS_OK));
        if (period == 0 || period > read->until)
            return STATUS_OK;
        TRY(answer_period(task, read, period));
    }
    return STATUS_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct store_row *x = a, *y = b;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence ? -1 : 1;
    return (x->message.number > y->message.number) - (x->message.number < y->message.number);
}

static enum status take_in_flight(struct task *task)
{
    for (uint32_t at = 0; at < task->view.directory.count; at++) {
        uint8_t state = task->view.progress.state[at];
        if (state == STORE_OUTBOUND_SENT || state == STORE_OUTBOUND_RELEASED)
            TRY(take_row(task, at));
    }
    return STATUS_OK;
}

static enum status answer_in_flight(struct task *task)
{
    struct answer *answer = task->answer;
    sqlite3_stmt *s = task->reader->statements[READER_IN_FLIGHT];
    statement_bind_u64(s, 1, task->incarnation);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
        bool sound = !statement_lacks(s, 4) && take_directory(&task->view, s);
        status = sound ? take_rest(task, s, statement_bytes(s, 4)) : STATUS_CORRUPT;
        if (status == STATUS_OK)
            status = take_in_flight(task);
    }
    if (answer->row_count > 0)
        qsort(answer->rows, answer->row_count, sizeof *answer->rows, compare_rows);
    answer->in_flight_count = answer->row_count;
    answer->bytes = 0;
    return finish(s, status);
}

static enum status answer_inbound(struct task *task)
{
    struct answer *answer = task->answer;
    enum status status = STATUS_OK;
    sqlite3_stmt *s = task->reader->statements[READER_INBOUND];
    statement_bind_u64(s, 1, task->incarnation);
    while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
        int64_t identifier = sqlite3_column_int64(s, 0);
        bool sound = identifier >= 1 && identifier <= UINT16_MAX;
#ifdef SEEDED_BUG_EXCHANGES_BELIEVED
        sound = true;
#endif
        if (!sound) {
            log_line(LOG_ERROR,
                     "store: an inbound Packet Identifier of session incarnation %" PRIu64
                     " is damaged (%" PRId64 "): it is forgotten",
                     task->incarnation, identifier);
            continue;
        }
        if (room(&answer->inbound, answer->inbound_count, &answer->inbound_capacity,
                 sizeof *answer->inbound))
            answer->inbound[answer->inbound_count++] = (uint16_t)identifier;
        else
            status = STATUS_NO_MEMORY;
    }
    return finish(s, status);
}

/* ---- By number ---- */

/* Goes to the segment that the number may lie in. */
static enum status begin_walk(struct task *task, uint64_t number)
{
    struct walk *walk = &task->segments;
    sqlite3_stmt *s = task->reader->statements[READER_PERIOD];
    statement_bind_u64(s, 1, number);
    bool found = sqlite3_step(s) == SQLITE_ROW;
    uint64_t period = found ? statement_u64(s, 0) : 0, next = found ? statement_u64(s, 1) : 0;
    TRY(schema_status(sqlite3_reset(s)));
    task->segments_end = next != 0 ? next : UINT64_MAX;
    s = task->reader->statements[READER_FROM];
    TRY(schema_status(sqlite3_reset(s)));
    statement_bind_u64(s, 1, task->incarnation);
    statement_bind_u64(s, 2, number);
    statement_bind_u64(s, 3, INT64_MAX);
    statement_bind_u64(s, 4, period);
    walk->begun = true;
    walk->at_row = sqlite3_step(s) == SQLITE_ROW;
    return STATUS_OK;
}

static bool in_view(const struct view *view, uint64_t number)
{
    const struct segment_directory *directory = &view->directory;
    return directory->count > 0 && number >= directory->slots[0].number &&
           number <= directory->slots[directory->count - 1].number;
}

/* Brings the segment with this number into view, if there is one. Numbers come in order, and so do
 * the segments of a period: mostly it is the next. */
static enum status view_number(struct task *task, uint64_t number)
{
    struct walk *walk = &task->segments;
    struct view *view = &task->view;
    sqlite3_stmt *s = task->reader->statements[READER_FROM];
    if (in_view(view, number))
        return STATUS_OK;
    view->directory.count = 0;
    if (!walk->begun || number < walk->from || number >= task->segments_end)
        TRY(begin_walk(task, number));
    walk->from = number;
    for (; walk->at_row; walk->at_row = sqlite3_step(s) == SQLITE_ROW) {
        if (statement_u64(s, 0) > number)
            return STATUS_OK;
        if (!take_directory(view, s))
            return STATUS_CORRUPT;
        if (in_view(view, number))
            return take_with_progress(task, s);
        view->directory.count = 0;
    }
    return STATUS_OK;
}

static enum status answer_numbers(struct task *task, struct store_read *read)
{
    uint64_t limit = read->limit_bytes > 0 ? read->limit_bytes : UINT64_MAX;
    for (uint32_t i = 0; i < read->number_count; i++) {
        TRY(view_number(task, read->numbers[i]));
        int at = segment_find(&task->view.directory, read->numbers[i]);
        if (at < 0 || task->view.progress.state[at] == SEGMENT_SETTLED)
            continue;
        TRY(take_within(task, (uint32_t)at, i > 0 ? limit : UINT64_MAX, &read->more));
        if (read->more)
            read->number_count = i;
    }
    return STATUS_OK;
}

static enum status answer_parts(struct task *task, struct store_read *read)
{
    if (read->numbers != NULL)
        return answer_numbers(task, read);
    if (read->resume) {
        TRY(answer_in_flight(task));
        TRY(answer_inbound(task));
    }
    return answer_queued(task, read);
}

/* One snapshot for all of it. */
static enum status answer_all(struct reader *reader, struct store_read *read, struct answer *answer)
{
    TRY(schema_status(connect_if_needed(reader)));
    TRY(schema_status(sqlite3_exec(reader->db, "BEGIN", NULL, NULL, NULL)));
    struct task task;
    task.reader = reader;
    task.answer = answer;
    task.incarnation = read->incarnation;
    task.view.directory.count = 0;
    task.progress.begun = false;
    task.segments.begun = false;
    enum status status = answer_parts(&task, read);
    status = finish(reader->statements[READER_FROM], status);
    status = finish(reader->statements[READER_PROGRESS], status);
    sqlite3_exec(reader->db, "COMMIT", NULL, NULL, NULL);
    return status;
}

void reader_answer(struct reader *reader, struct store_read *read)
{
    struct answer *answer = calloc(1, sizeof *answer);
    read->rows = NULL;
    read->row_count = 0;
    read->inbound_packet_identifiers = NULL;
    read->inbound_count = 0;
    read->more = false;
    read->memory = answer;
    if (answer == NULL) {
        read->status = STATUS_NO_MEMORY;
        return;
    }
    read->status = answer_all(reader, read, answer);
    read->rows = answer->rows;
    read->row_count = answer->row_count;
    read->inbound_packet_identifiers = answer->inbound;
    read->inbound_count = answer->inbound_count;
    if (read->status == STATUS_OK)
        return;
    log_line(LOG_ERROR, "store: reading back for session incarnation %" PRIu64 " failed: %s (%s)",
             read->incarnation, status_text(read->status),
             reader->db != NULL ? sqlite3_errmsg(reader->db) : "no connection");
    reader->damaged = reader->damaged || read->status == STATUS_CORRUPT;
    disconnect(reader); /* a connection that failed is not asked again */
}

void reader_free_answer(struct store_read *read)
{
    struct answer *answer = read->memory;
    if (answer == NULL)
        return;
    arena_fini(&answer->arena);
    free(answer->rows);
    free(answer->inbound);
    free(answer);
    read->memory = NULL;
    read->rows = NULL;
    read->inbound_packet_identifiers = NULL;
    read->row_count = 0;
    read->inbound_count = 0;
}
