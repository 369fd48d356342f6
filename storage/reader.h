/* Reads sessions' messages back, on a thread and a connection of its own. */
#ifndef STORAGE_READER_H
#define STORAGE_READER_H

#include <pthread.h>

#include "storage/schema.h"
#include "storage/store.h"

struct reader_queue { /* of struct store_read, by .next; those that resume a session first */
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct store_read *first;
    struct store_read **last;
    struct store_read **last_resume; /* behind it are those that are none */
    bool closed;
};

void reader_queue_init(struct reader_queue *queue);
void reader_queue_fini(struct reader_queue *queue);
void reader_queue_push(struct reader_queue *queue, struct store_read *read);
struct store_read *reader_queue_pop(struct reader_queue *queue); /* NULL: empty */
bool reader_queue_empty(struct reader_queue *queue);
/* Sleeps until there is one; NULL once closed and empty. */
struct store_read *reader_queue_wait(struct reader_queue *queue);
void reader_queue_close(struct reader_queue *queue);

enum reader_statement {
    READER_PERIOD,
    READER_FROM,
    READER_NEXT_PERIOD,
    READER_PROGRESS,
    READER_IN_FLIGHT,
    READER_BODY,
    READER_INBOUND,
    READER_STATEMENT_COUNT
};

struct reader {
    const char *path; /* borrowed */
    sqlite3 *db;
    sqlite3_stmt *statements[READER_STATEMENT_COUNT];
    bool damaged; /* met bytes that are not what was written */
};

void reader_init(struct reader *reader, const char *path);
void reader_fini(struct reader *reader);
/* Answers one request. `read->status` says how it went; what was read before a failure is given. */
void reader_answer(struct reader *reader, struct store_read *read);
void reader_free_answer(struct store_read *read);

#endif
