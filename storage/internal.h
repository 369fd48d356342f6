/* The store itself: what its parts share. */
#ifndef STORAGE_INTERNAL_H
#define STORAGE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/backlog.h"
#include "storage/batch.h"
#include "storage/directory.h"
#include "storage/inbox.h"
#include "storage/pending.h"
#include "storage/reader.h"
#include "storage/roster.h"
#include "storage/store.h"
#include "storage/table.h"
#include "storage/wake.h"
#include "storage/writer.h"

/* What one worker and the store hand each other. */
struct store_worker {
    struct inbox submitted;
    struct inbox reclaimed;
    struct reader_queue answered;
    /* The worker's own: */
    struct store_batch *free;
    unsigned free_count;
    uint64_t last_submitted; /* LSN */
    /* Under the engine's lock: */
    bool touched; /* to be notified */
};

/* Merges batches, decides when to flush, survives a failing disk. The storage thread's, and between
 * its steps a worker's that has submitted a batch: whoever holds the lock. */
struct engine {
    struct wake wake;
    pthread_mutex_t lock;
    bool applied_by_workers; /* since the last step */
    struct pending pending;
    struct writer writer;
    /* Submitted batches that wait for one before them: window[lsn & (capacity - 1)]. */
    struct store_batch **window;
    size_t window_capacity;
    size_t window_count;
    uint64_t next_lsn;          /* to apply */
    struct store_read *waiting; /* reads that need something applied or written first */
    bool reads_want_flush;
    int64_t flush_took_us;                      /* of late */
    int64_t answers_took_us;                    /* of late: until all of a batch was settled */
    struct distribution commit_us, commit_rows; /* of those that worked */
    /* A failing disk: */
    uint64_t failing_since_us; /* 0: it works */
    uint64_t retry_at_us;
    uint64_t backoff_us;
    uint64_t said_at_us;
    uint64_t failures;
    bool displaced; /* committed, but to files that are not in place: not durable until they are */
    bool gave_up;   /* at close: what is handed back is not durable */
    /* Upkeep: */
    uint32_t checkpoint_asked_pages; /* length of the log when a checkpoint was last asked for */
    uint32_t checkpoint_forced_pages;
    uint64_t upkeep_at_us;
    uint64_t last_flush_us;
};

/* Copies the write-ahead log into the database beside the commits. */
struct checkpointer {
    const char *path;
    sqlite3 *db; /* open as long as the store: docs/ordering.md, "When a commit fails" */
    pthread_mutex_t mutex;
    pthread_cond_t asked_cond, done_cond;
    bool asked;
    bool running;
    bool closed;
};

struct store {
    struct store_options options;
    struct store_worker *workers;
    bool has_file; /* not STORE_DURABILITY_NONE */
    struct directory directory;
    struct schema_meta meta; /* as this run found and raised it */
    uint64_t first_lsn;
    int64_t now_base;
    struct roster roster; /* until store_load */

    struct engine engine;
    struct reader reader;
    struct reader_queue requests; /* to the storage thread */
    struct reader_queue readable; /* on to the reader */
    struct checkpointer checkpointer;
    pthread_t storage_thread, reader_thread, checkpoint_thread;
    bool started;

    _Alignas(64) _Atomic uint64_t next_lsn;
    _Alignas(64) _Atomic uint64_t durable;
    /* Of batches that have been submitted and not handed back: backlog.h. */
    _Alignas(64) struct backlog backlog;
    _Atomic uint32_t health;
    _Atomic bool stopping;
    struct {
        _Atomic uint64_t commits, rows_written, messages_cancelled, dirty_messages, failed_commits,
            messages, used_bytes;
    } statistics;
};

/* open.c: opens, checks, migrates or salvages the database; fills meta, first_lsn, now_base,
 * the pending set's live sessions and the writer. */
enum status MUST_USE open_database(struct store *store, char *error, size_t error_size);
enum status MUST_USE open_load(struct store *store, const struct store_visitor *visitor);

/* engine.c */
void engine_init(struct store *store);
void engine_fini(struct store *store);
/* Does what can be done now. Returns for how long there is nothing to do, in microseconds: 0 =
 * call again at once, UINT64_MAX = until woken. `*nap`: only urgent work need wake it. A stepped
 * runtime calls this in place of the storage thread. */
uint64_t engine_step(struct store *store, bool *nap);
void *engine_main(void *store);
/* On a worker that has submitted a batch: applies it there, while it is warm, unless the storage
 * thread is at work; then that does it behind its flush. Does not block. Returns whether a flush is
 * due, so that the storage thread is to be woken. */
bool engine_apply(struct store *store);
/* At close, in place of the thread: writes what is left, with bounded patience. */
void engine_finish(struct store *store);
/* Answers one read if there is one. What the reader thread does. */
void engine_answer(struct store *store, struct store_read *read);
void *engine_reader_main(void *store);

/* checkpoint.c */
enum status MUST_USE checkpoint_init(struct checkpointer *checkpointer, const char *path);
void checkpoint_fini(struct checkpointer *checkpointer);
void checkpoint_ask(struct checkpointer *checkpointer);
bool checkpoint_running(struct checkpointer *checkpointer);
/* Until it is at rest. */
void checkpoint_wait(struct checkpointer *checkpointer);
void checkpoint_close(struct checkpointer *checkpointer);
void *checkpoint_main(void *checkpointer);

/* salvage.c: replaces the database in the directory by one with what reads of it. `why` is what was
 * wrong. */
enum status MUST_USE salvage_database(struct directory *directory, const char *why, char *error,
                                      size_t error_size);
/* Finishes a salvage that was interrupted between its renames. */
enum status MUST_USE salvage_resume(struct directory *directory);

#endif
