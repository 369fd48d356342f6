/* The public face: puts the parts together, and carries the calls that workers make. */
#include "storage/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/clock.h"
#include "storage/internal.h"

enum { FREE_BATCHES = 32 }; /* kept by each worker */

/* ---- Opening ---- */

static enum status open_without_file(struct store *store)
{
    store->meta.boot = 1;
    store->now_base = clock_store_base(&store->meta);
    store->engine.next_lsn = 1;
    return STATUS_OK;
}

static void free_store(struct store *store)
{
    for (unsigned i = 0; i < store->options.workers; i++)
        reader_queue_fini(&store->workers[i].answered);
    free(store->workers);
    reader_queue_fini(&store->requests);
    reader_queue_fini(&store->readable);
    roster_fini(&store->roster);
    free(store);
}

static void *zeroed(size_t size)
{
    void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
    CHECK(memory != NULL);
    return memset(memory, 0, size);
}

enum status store_open(const struct store_options *options, struct store **out, char *error,
                       size_t error_size)
{
    *out = NULL;
    error[0] = '\0';
    CHECK(options->workers > 0);
    struct store *store = zeroed(sizeof *store);
    store->options = *options;
    store->has_file = options->durability != STORE_DURABILITY_NONE;
    store->workers = zeroed(options->workers * sizeof *store->workers);
    for (unsigned i = 0; i < options->workers; i++)
        reader_queue_init(&store->workers[i].answered);
    reader_queue_init(&store->requests);
    reader_queue_init(&store->readable);
    engine_init(store);
    enum status status =
        store->has_file ? open_database(store, error, error_size) : open_without_file(store);
    if (status != STATUS_OK) {
        if (error[0] == '\0')
            snprintf(error, error_size, "the store in \"%s\" cannot be opened: %s",
                     options->directory, status_text(status));
        if (store->has_file)
            directory_close(&store->directory);
        store->has_file = false;
        engine_fini(store);
        free_store(store);
        return status;
    }
    store->engine.next_lsn = store->first_lsn + 1;
    store->engine.pending.applied_lsn = store->first_lsn;
    atomic_init(&store->next_lsn, store->first_lsn + 1);
    atomic_init(&store->durable, store->first_lsn);
    *out = store;
    return STATUS_OK;
}

enum status store_load(struct store *store, const struct store_visitor *visitor)
{
    CHECK(!store->started);
    return store->has_file ? open_load(store, visitor) : STATUS_OK;
}

uint32_t store_boot(const struct store *store)
{
    return store->meta.boot;
}

uint64_t store_first_lsn(const struct store *store)
{
    return store->first_lsn;
}

int64_t store_now_base(const struct store *store)
{
    return store->now_base;
}

/* ---- Threads ---- */

static enum status start_thread(pthread_t *thread, const char *name, void *(*main)(void *),
                                void *argument)
{
    /* Signals are for the process's main thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, main, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return STATUS_NO_MEMORY;
    pthread_setname_np(*thread, name);
    return STATUS_OK;
}

enum status store_start(struct store *store)
{
    CHECK(!store->started);
    store->started = true;
    if (!store->has_file)
        return STATUS_OK;
    TRY(start_thread(&store->storage_thread, "storage", engine_main, store));
    TRY(start_thread(&store->reader_thread, "storage-read", engine_reader_main, store));
    return start_thread(&store->checkpoint_thread, "storage-copy", checkpoint_main,
                        &store->checkpointer);
}

static void stop_threads(struct store *store)
{
    atomic_store(&store->stopping, true);
    wake_up(&store->engine.wake, true);
    reader_queue_close(&store->readable);
    checkpoint_close(&store->checkpointer);
    if (store->storage_thread != 0)
        pthread_join(store->storage_thread, NULL);
    if (store->reader_thread != 0)
        pthread_join(store->reader_thread, NULL);
    if (store->checkpoint_thread != 0)
        pthread_join(store->checkpoint_thread, NULL);
}

void store_close(struct store *store)
{
    if (store->has_file) {
        stop_threads(store);
        engine_finish(store);
        reader_fini(&store->reader);
        checkpoint_fini(&store->checkpointer);
    }
    for (unsigned i = 0; i < store->options.workers; i++) {
        struct store_worker *worker = &store->workers[i];
        store_reclaim(store, i);
        for (struct store_batch *batch = worker->free, *next; batch != NULL; batch = next) {
            next = batch->next;
            batch_free(batch);
        }
    }
    engine_fini(store);
    if (store->has_file)
        directory_close(&store->directory);
    free_store(store);
}

/* ---- Workers ---- */

struct store_batch *store_batch_open(struct store *store, unsigned worker)
{
    CHECK(worker < store->options.workers);
    struct store_worker *self = &store->workers[worker];
    struct store_batch *batch = self->free;
    if (batch != NULL) {
        self->free = batch->next;
        self->free_count--;
        batch->next = NULL;
    } else {
        batch = batch_new(store, worker);
    }
    batch->lsn = atomic_fetch_add(&store->next_lsn, 1);
    return batch;
}

void store_submit(struct store *store, struct store_batch *batch)
{
    struct store_worker *self = &store->workers[batch->worker];
    self->last_submitted = batch->lsn;
    if (!store->has_file) {
        unsigned worker = batch->worker;
        if (inbox_push(&self->reclaimed, batch) && store->options.notify != NULL)
            store->options.notify(store->options.context, worker);
        return;
    }
    backlog_add(&store->backlog, batch->message_count, batch_bytes(batch));
    bool urgent = batch->urgent && store->options.durability == STORE_DURABILITY_COMMIT;
    inbox_push(&self->submitted, batch); /* the engine's from here */
    bool due = engine_apply(store);
    wake_up(&store->engine.wake, urgent || due);
}

void store_reclaim(struct store *store, unsigned worker)
{
    struct store_worker *self = &store->workers[worker];
    struct store_batch *next;
    for (struct store_batch *batch = inbox_take(&self->reclaimed); batch != NULL; batch = next) {
        next = batch->next;
        batch_release(batch, store->options.release, store->options.context);
        if (self->free_count >= FREE_BATCHES) {
            batch_free(batch);
            continue;
        }
        batch_recycle(batch);
        batch->next = self->free;
        self->free = batch;
        self->free_count++;
    }
}

uint64_t store_durable(const struct store *store)
{
#ifndef SEEDED_BUG_FLUSH_UNBOUNDED
    if (store->options.durability != STORE_DURABILITY_COMMIT &&
        !backlog_lags(&store->backlog, store->options.flush_mem_threshold))
        return UINT64_MAX;
#else
    if (store->options.durability != STORE_DURABILITY_COMMIT)
        return UINT64_MAX;
#endif
    return atomic_load_explicit(&store->durable, memory_order_acquire);
}

bool store_is_full(const struct store *store)
{
    return backlog_is_full(&store->backlog);
}

enum store_health store_health(const struct store *store)
{
    return (enum store_health)atomic_load_explicit(&store->health, memory_order_relaxed);
}

static uint64_t size_of_file(const struct store *store, const char *name)
{
    struct stat found;
    char *file = directory_file(&store->directory, name);
    uint64_t size = stat(file, &found) == 0 ? (uint64_t)found.st_size : 0;
    free(file);
    return size;
}

void store_statistics(const struct store *store, struct store_statistics *out)
{
#define COPY(name) out->name = atomic_load_explicit(&store->statistics.name, memory_order_relaxed)
    COPY(commits);
    COPY(rows_written);
    COPY(messages_cancelled);
    COPY(dirty_messages);
    COPY(failed_commits);
    COPY(messages);
#undef COPY
    out->commit_us = out->sync_us = out->commit_rows = (struct distribution_reading){0};
    distribution_read(&store->engine.commit_us, &out->commit_us);
    distribution_read(&store->engine.writer.sync_us, &out->sync_us);
    distribution_read(&store->engine.commit_rows, &out->commit_rows);
    out->file_bytes = 0;
    if (store->has_file)
        out->file_bytes =
            size_of_file(store, "holdfast.db") + size_of_file(store, "holdfast.db-wal");
}

uint64_t store_messages(const struct store *store)
{
    return atomic_load_explicit(&store->statistics.messages, memory_order_relaxed) +
           atomic_load_explicit(&store->statistics.dirty_messages, memory_order_relaxed);
}

uint64_t store_bytes(const struct store *store)
{
    return atomic_load_explicit(&store->statistics.used_bytes, memory_order_relaxed);
}

/* ---- Reading back ---- */

/* All that this worker has submitted, and what it asks for by number: that another may have
 * submitted, and under `flush` nobody has applied it yet. A number that nobody has given out has
 * nothing to wait for. */
static uint64_t needs_of(const struct store_worker *self, const struct store_read *read,
                         uint64_t next_lsn)
{
    uint64_t needs = self->last_submitted;
#ifndef SEEDED_BUG_NUMBERS_NOT_NEEDED
    for (uint32_t i = 0; i < read->number_count; i++) {
        uint64_t lsn = store_number_lsn(read->numbers[i]);
        if (lsn > needs && lsn < next_lsn)
            needs = lsn;
    }
#endif
    return needs;
}

void store_read_submit(struct store *store, struct store_read *read)
{
    CHECK(read->worker < store->options.workers);
    struct store_worker *self = &store->workers[read->worker];
    read->memory = NULL;
    read->needs = needs_of(self, read, atomic_load(&store->next_lsn));
    if (store->has_file) {
        reader_queue_push(&store->requests, read);
        wake_up(&store->engine.wake, true);
        return;
    }
    unsigned worker = read->worker;
    read->status = STATUS_OK;
    read->rows = NULL;
    read->row_count = 0;
    read->more = false;
    read->inbound_packet_identifiers = NULL;
    read->inbound_count = 0;
    reader_queue_push(&self->answered, read);
    if (store->options.notify != NULL)
        store->options.notify(store->options.context, worker);
}

struct store_read *store_read_next(struct store *store, unsigned worker)
{
    return reader_queue_pop(&store->workers[worker].answered);
}

void store_read_fini(struct store_read *read)
{
    reader_free_answer(read);
}
