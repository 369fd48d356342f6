#include "storage/reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/arena.h"

/* ---- Queues ---- */

void reader_queue_init(struct reader_queue *queue)
{
    *queue = (struct reader_queue){0};
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->filled, NULL);
    queue->last = &queue->first;
}

void reader_queue_fini(struct reader_queue *queue)
{
    pthread_mutex_destroy(&queue->mutex);
    pthread_cond_destroy(&queue->filled);
}

void reader_queue_push(struct reader_queue *queue, struct store_read *read)
{
    read->next = NULL;
    pthread_mutex_lock(&queue->mutex);
    *queue->last = read;
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
    if (queue->first == NULL)
        queue->last = &queue->first;
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

#define COLUMNS                                                                                    \
    "SELECT o.number, o.qos, o.retain, o.state, o.packet_identifier, o.sequence,"                  \
    " o.subscription_identifiers, m.number, m.qos, m.retain, m.expiry_interval_s,"                 \
    " m.received_at_ms, m.publisher, m.topic, m.properties, m.payload"                             \
    " FROM owed AS o LEFT JOIN message AS m ON m.number = o.number WHERE o.incarnation = ?1 AND "

static const char *const texts[READER_STATEMENT_COUNT] = {
    [READER_QUEUED] = COLUMNS "o.number > ?2 AND o.number <= ?3 AND o.state = 0 ORDER BY o.number",
    [READER_IN_FLIGHT] = COLUMNS "o.state <> 0 ORDER BY o.sequence, o.number",
    [READER_ONE] = COLUMNS "o.number = ?2",
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
    struct arena arena; /* bytes, identifiers */
    struct store_row *rows;
    uint32_t row_count, row_capacity;
    uint16_t *inbound;
    uint32_t inbound_count, inbound_capacity;
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

static bool column_bytes(sqlite3_stmt *s, int column, struct arena *arena, struct bytes *out)
{
    size_t size = (size_t)sqlite3_column_bytes(s, column);
    *out = (struct bytes){NULL, 0};
    if (size == 0)
        return true;
    uint8_t *copy = arena_try(arena, size);
    if (copy == NULL)
        return false;
    memcpy(copy, sqlite3_column_blob(s, column), size);
    *out = bytes_of(copy, size);
    return true;
}

static bool take_identifiers(sqlite3_stmt *s, struct arena *arena, struct store_row *row)
{
    uint32_t count = (uint32_t)sqlite3_column_bytes(s, 6) / 4;
    if (count == 0)
        return true;
    uint32_t *identifiers = arena_try(arena, count * sizeof *identifiers);
    if (identifiers == NULL)
        return false;
    const uint8_t *packed = sqlite3_column_blob(s, 6);
    for (uint32_t i = 0; i < count; i++)
        identifiers[i] = get_u32(packed + 4 * i);
    row->subscription_identifiers = identifiers;
    row->subscription_identifier_count = count;
    return true;
}

static size_t size_of(sqlite3_stmt *s)
{
    return (size_t)sqlite3_column_bytes(s, 13) + (size_t)sqlite3_column_bytes(s, 14) +
           (size_t)sqlite3_column_bytes(s, 15);
}

/* The statement's current row. */
static enum status take_row(sqlite3_stmt *s, struct answer *answer, uint64_t incarnation,
                            bool *damaged)
{
    if (!room(&answer->rows, answer->row_count, &answer->row_capacity, sizeof *answer->rows))
        return STATUS_NO_MEMORY;
    struct store_row row = {
        .message.number = (uint64_t)sqlite3_column_int64(s, 0),
        .qos = (uint8_t)sqlite3_column_int(s, 1),
        .retain = sqlite3_column_int(s, 2) != 0,
        .state = (enum store_outbound)sqlite3_column_int(s, 3),
        .packet_identifier = (uint16_t)sqlite3_column_int(s, 4),
        .sequence = (uint64_t)sqlite3_column_int64(s, 5),
    };
    struct store_message *message = &row.message;
    if (row.state != STORE_OUTBOUND_RELEASED) {
        if (sqlite3_column_type(s, 7) == SQLITE_NULL) {
            log_line(LOG_ERROR,
                     "store: message %" PRIu64 ", owed to session incarnation %" PRIu64
                     ", has no body: it is lost",
                     message->number, incarnation);
            *damaged = true;
            return STATUS_OK; /* the others are not to wait for it */
        }
        message->qos = (uint8_t)sqlite3_column_int(s, 8);
        message->retain = sqlite3_column_int(s, 9) != 0;
        message->has_expiry = sqlite3_column_type(s, 10) != SQLITE_NULL;
        message->expiry_interval_s = (uint32_t)sqlite3_column_int64(s, 10);
        message->received_at_ms = sqlite3_column_int64(s, 11);
        message->publisher = (uint64_t)sqlite3_column_int64(s, 12);
        if (!column_bytes(s, 13, &answer->arena, &message->topic) ||
            !column_bytes(s, 14, &answer->arena, &message->properties) ||
            !column_bytes(s, 15, &answer->arena, &message->payload))
            return STATUS_NO_MEMORY;
    }
    if (!take_identifiers(s, &answer->arena, &row))
        return STATUS_NO_MEMORY;
    answer->rows[answer->row_count++] = row;
    return STATUS_OK;
}

/* Resets the statement; what stopped it, if it was not us. */
static enum status finish(sqlite3_stmt *s, enum status status)
{
    int rc = sqlite3_reset(s);
    return status != STATUS_OK ? status : schema_status(rc);
}

static enum status answer_queued(struct reader *reader, struct store_read *read,
                                 struct answer *answer)
{
    sqlite3_stmt *s = reader->statements[READER_QUEUED];
    uint64_t until = read->until > INT64_MAX ? INT64_MAX : read->until;
    uint64_t after = read->after > INT64_MAX ? INT64_MAX : read->after;
    sqlite3_bind_int64(s, 1, (sqlite3_int64)read->incarnation);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)after);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)until);
    enum status status = STATUS_OK;
    uint32_t count = 0;
    uint64_t bytes = 0;
    while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
        size_t size = size_of(s);
        if (count >= read->limit || (count > 0 && bytes + size > read->limit_bytes)) {
            read->more = true;
            break;
        }
        status = take_row(s, answer, read->incarnation, &reader->damaged);
        count++;
        bytes += size;
    }
    return finish(s, status);
}

static enum status answer_in_flight(struct reader *reader, const struct store_read *read,
                                    struct answer *answer)
{
    sqlite3_stmt *s = reader->statements[READER_IN_FLIGHT];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)read->incarnation);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW)
        status = take_row(s, answer, read->incarnation, &reader->damaged);
    TRY(finish(s, status));

    s = reader->statements[READER_INBOUND];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)read->incarnation);
    while (status == STATUS_OK && sqlite3_step(s) == SQLITE_ROW) {
        if (room(&answer->inbound, answer->inbound_count, &answer->inbound_capacity,
                 sizeof *answer->inbound))
            answer->inbound[answer->inbound_count++] = (uint16_t)sqlite3_column_int(s, 0);
        else
            status = STATUS_NO_MEMORY;
    }
    return finish(s, status);
}

static enum status answer_numbers(struct reader *reader, struct store_read *read,
                                  struct answer *answer)
{
    sqlite3_stmt *s = reader->statements[READER_ONE];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)read->incarnation);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < read->number_count; i++) {
        enum status status = STATUS_OK;
        sqlite3_bind_int64(s, 2, (sqlite3_int64)read->numbers[i]);
        if (sqlite3_step(s) == SQLITE_ROW) {
            bytes += size_of(s);
            if (i > 0 && read->limit_bytes > 0 && bytes > read->limit_bytes) {
                read->more = true;
                read->number_count = i;
                return finish(s, STATUS_OK);
            }
            status = take_row(s, answer, read->incarnation, &reader->damaged);
        }
        TRY(finish(s, status));
    }
    return STATUS_OK;
}

static enum status answer_all(struct reader *reader, struct store_read *read, struct answer *answer)
{
    TRY(schema_status(connect_if_needed(reader)));
    if (read->numbers != NULL)
        return answer_numbers(reader, read, answer);
    /* One snapshot for the parts. */
    TRY(schema_status(sqlite3_exec(reader->db, "BEGIN", NULL, NULL, NULL)));
    enum status status = STATUS_OK;
    if (read->resume)
        status = answer_in_flight(reader, read, answer);
    if (status == STATUS_OK)
        status = answer_queued(reader, read, answer);
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
