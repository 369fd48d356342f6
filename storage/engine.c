/* The storage thread: see "docs/ordering.md". */
#include "storage/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/clock.h"

enum {
    NAP_US = 150,       /* batches that are not urgent are looked for so often */
    SLICE_BESIDE = 128, /* rows of ended sessions deleted in a transaction that others wait for */
    SLICE_IDLE = 1000,  /* and in one that nobody waits for */
    VACUUM_PAGES = 256, /* given back at a time */
    LOG_PAGES = 4096,   /* of the write-ahead log between checkpoints: 16 MB */
    LOG_PAGES_LONG = 16384,     /* 64 MB: finish a checkpoint between two commits */
    LOG_PAGES_TOO_LONG = 65536, /* 256 MB: let commits wait for that */
    UPKEEP_US = 1000000,
    BACKOFF_FIRST_US = 10000,
    BACKOFF_MOST_US = 1000000,
    SAY_AGAIN_US = 10000000, /* how often a failing disk is logged */
    FINISH_ATTEMPTS = 8,
};

void engine_init(struct store *store)
{
    struct engine *engine = &store->engine;
    wake_init(&engine->wake);
    pending_init(&engine->pending);
}

void engine_fini(struct store *store)
{
    struct engine *engine = &store->engine;
    pending_fini(&engine->pending);
    if (store->has_file)
        writer_fini(&engine->writer);
    free(engine->window);
}

/* ---- Batches in ---- */

static void window_grow(struct engine *engine)
{
    size_t capacity = engine->window_capacity == 0 ? 64 : engine->window_capacity * 2;
    struct store_batch **window = calloc(capacity, sizeof(struct store_batch *));
    CHECK(window != NULL);
    for (size_t i = 0; i < engine->window_capacity; i++) {
        struct store_batch *batch = engine->window[i];
        if (batch != NULL)
            window[batch->lsn & (capacity - 1)] = batch;
    }
    free(engine->window);
    engine->window = window;
    engine->window_capacity = capacity;
}

static void window_put(struct engine *engine, struct store_batch *batch)
{
    CHECK(batch->lsn >= engine->next_lsn);
    while (batch->lsn - engine->next_lsn >= engine->window_capacity)
        window_grow(engine);
    engine->window[batch->lsn & (engine->window_capacity - 1)] = batch;
    engine->window_count++;
}

static struct store_batch *window_take(struct engine *engine)
{
    if (engine->window_count == 0)
        return NULL;
    struct store_batch **slot = &engine->window[engine->next_lsn & (engine->window_capacity - 1)];
    struct store_batch *batch = *slot;
    if (batch == NULL)
        return NULL; /* opened, not submitted yet: all later ones wait */
    *slot = NULL;
    engine->window_count--;
    engine->next_lsn++;
    return batch;
}

/* Takes what workers have submitted and applies whatever is next in order. */
static bool take_batches(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    bool any = false;
    for (unsigned i = 0; i < store->options.workers; i++) {
        struct store_batch *batch = inbox_take(&store->workers[i].submitted);
        while (batch != NULL) {
            struct store_batch *next = batch->next;
            any = true;
#ifdef SEEDED_BUG_PREFIX_IGNORED
            (void)window_put;
            engine->pending.applied_lsn = batch->lsn - 1;
            pending_apply(&engine->pending, batch, now_us);
#else
            window_put(engine, batch);
#endif
            batch = next;
        }
    }
    for (struct store_batch *batch; (batch = window_take(engine)) != NULL;)
        pending_apply(&engine->pending, batch, now_us);
    return any;
}

/* ---- Durable out ---- */

/* Hands back the batches that nothing unwritten rests on, and says how far everything is
 * durable. */
static void publish_durable(struct store *store)
{
    struct pending *pending = &store->engine.pending;
    struct store_batch *first = NULL, **last = &first;
    uint64_t durable = 0;
    for (struct store_batch *batch; (batch = pending_pop(pending)) != NULL;) {
        durable = batch->lsn;
        *last = batch;
        last = &batch->next;
    }
    if (first == NULL)
        return;
    if (store->options.durability == STORE_DURABILITY_COMMIT && !store->engine.gave_up)
        atomic_store_explicit(&store->durable, durable, memory_order_release);
    while (first != NULL) {
        struct store_batch *batch = first;
        first = batch->next;
        struct store_worker *worker = &store->workers[batch->worker];
        worker->touched = true;
        inbox_push(&worker->reclaimed, batch); /* the worker's from here */
    }
    for (unsigned i = 0; i < store->options.workers; i++) {
        if (!store->workers[i].touched)
            continue;
        store->workers[i].touched = false;
        if (store->options.notify != NULL)
            store->options.notify(store->options.context, i);
    }
}

static void count(struct store *store)
{
    const struct engine *engine = &store->engine;
#define COPY(name, value)                                                                          \
    atomic_store_explicit(&store->statistics.name, value, memory_order_relaxed)
    COPY(commits, engine->writer.commits);
    COPY(rows_written, engine->writer.rows_written);
    COPY(messages_cancelled, engine->pending.cancelled_messages);
    COPY(dirty_messages, engine->pending.dirty_messages);
    COPY(failed_commits, engine->writer.failed_commits);
    COPY(messages, engine->writer.meta.messages);
#undef COPY
}

/* ---- Flushing ---- */

static void flush_failed(struct store *store, enum status status, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    if (engine->failing_since_us == 0) {
        engine->failing_since_us = now_us;
        engine->backoff_us = BACKOFF_FIRST_US;
        engine->failures = 0;
        engine->said_at_us = 0;
    }
    engine->failures++;
    if (engine->said_at_us == 0 || now_us - engine->said_at_us >= SAY_AGAIN_US) {
        engine->said_at_us = now_us;
        log_line(LOG_ERROR,
                 "store: commit failed (attempt %" PRIu64 "): %s: %s; nothing is acknowledged that "
                 "waits for it, and it will be written again",
                 engine->failures, status_text(status), engine->writer.error);
    }
    if (status == STATUS_CORRUPT)
        directory_mark_damaged(&store->directory);
    engine->retry_at_us = now_us + engine->backoff_us;
    engine->backoff_us =
        engine->backoff_us * 2 > BACKOFF_MOST_US ? BACKOFF_MOST_US : engine->backoff_us * 2;
}

static void flush_worked(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    if (engine->failing_since_us == 0)
        return;
    log_line(LOG_NOTICE, "store: commits work again after %" PRIu64 " ms and %" PRIu64 " failures",
             (now_us - engine->failing_since_us) / 1000, engine->failures);
    engine->failing_since_us = 0;
    engine->retry_at_us = 0;
    atomic_store(&store->health, STORE_HEALTH_OK);
}

static void check_health(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    if (engine->failing_since_us == 0 || atomic_load(&store->health) == STORE_HEALTH_STALLED)
        return;
    if (now_us - engine->failing_since_us < (uint64_t)store->options.disk_stall_limit_ms * 1000)
        return;
    atomic_store(&store->health, STORE_HEALTH_STALLED);
    log_line(LOG_ERROR,
             "store: commits have failed for %" PRIu32
             " ms: new QoS 1 and 2 messages are refused until the disk works again",
             store->options.disk_stall_limit_ms);
}

static void flush(struct store *store, uint32_t slice)
{
    struct engine *engine = &store->engine;
    enum status status = writer_flush(&engine->writer, &engine->pending, slice);
    uint64_t now_us = clock_source->monotonic_us();
    if (status != STATUS_OK) {
        flush_failed(store, status, now_us);
        count(store);
        return;
    }
    engine->last_flush_us = now_us;
    flush_worked(store, now_us);
    directory_write_lsn(&store->directory, engine->writer.meta.lsn);
    pending_written(&engine->pending);
    engine->reads_want_flush = false;
}

/* Whether a flush is to start now; else, when (`*at_us`). */
static bool flush_due(struct store *store, uint64_t now_us, uint64_t *at_us)
{
    const struct engine *engine = &store->engine;
    const struct pending *pending = &engine->pending;
    const struct store_options *options = &store->options;
    *at_us = UINT64_MAX;
    if (engine->reads_want_flush)
        *at_us = 0;
    if (!pending_empty(pending)) {
        uint64_t at = pending->since_us + (uint64_t)options->flush_interval_ms * 1000;
        *at_us = at < *at_us ? at : *at_us;
        if (pending->dirty_messages > 0 && pending->dirty_messages >= options->flush_mem_threshold)
            *at_us = 0;
    }
    if (options->durability == STORE_DURABILITY_COMMIT && !pending_empty(pending)) {
        if (pending->urgent)
            *at_us = 0;
        const struct store_batch *oldest = pending_oldest(pending);
        if (oldest != NULL && oldest->applied_us + options->commit_delay_us < *at_us)
            *at_us = oldest->applied_us + options->commit_delay_us;
    }
    if (*at_us < engine->retry_at_us)
        *at_us = engine->retry_at_us;
    return *at_us <= now_us;
}

/* ---- Reads on their way to the reader ---- */

/* What is settled or owed in memory only is brought to disk before the reader looks. */
static void forward_reads(struct store *store)
{
    struct engine *engine = &store->engine;
    struct store_read **at = &engine->waiting;
    while (*at != NULL)
        at = &(*at)->next;
    for (struct store_read *read; (read = reader_queue_pop(&store->requests)) != NULL;) {
        *at = read;
        at = &read->next;
    }
    for (at = &engine->waiting; *at != NULL;) {
        struct store_read *read = *at;
        bool wait = read->needs > engine->pending.applied_lsn;
#ifndef SEEDED_BUG_READ_STALE
        if (!wait && pending_concerns(&engine->pending, read->incarnation)) {
            engine->reads_want_flush = true;
            wait = true;
        }
#endif
        if (wait) {
            at = &read->next;
            continue;
        }
        *at = read->next;
        reader_queue_push(&store->readable, read);
    }
}

void engine_answer(struct store *store, struct store_read *read)
{
    unsigned worker = read->worker;
    reader_answer(&store->reader, read);
    if (store->reader.damaged) {
        store->reader.damaged = false;
        directory_mark_damaged(&store->directory);
    }
    reader_queue_push(&store->workers[worker].answered, read); /* the worker's from here */
    if (store->options.notify != NULL)
        store->options.notify(store->options.context, worker);
}

void *engine_reader_main(void *argument)
{
    struct store *store = argument;
    for (struct store_read *read; (read = reader_queue_wait(&store->readable)) != NULL;)
        engine_answer(store, read);
    return NULL;
}

/* ---- Upkeep ---- */

/* The log begins anew only when it has been copied to its end, and under steady load the
 * checkpointer, which never makes anyone wait, does not quite get there. So when the log is long,
 * the checkpointer finishes what it is at, and the rest is copied here, between two commits; when
 * it is far too long, because the disk does not keep up, commits wait for that. */
static void look_after_log(struct store *store)
{
    struct engine *engine = &store->engine;
    uint32_t pages = engine->writer.log_pages;
    if (pages < engine->checkpoint_asked_pages || pages < engine->checkpoint_forced_pages) {
        engine->checkpoint_asked_pages = 0; /* it began anew */
        engine->checkpoint_forced_pages = 0;
    }
    if (pages < LOG_PAGES_LONG) {
        if (pages < engine->checkpoint_asked_pages + LOG_PAGES)
            return;
        engine->checkpoint_asked_pages = pages;
        checkpoint_ask(&store->checkpointer);
        return;
    }
    if (pages < engine->checkpoint_forced_pages + LOG_PAGES)
        return; /* a reader holds on to it: not at every commit */
    if (checkpoint_running(&store->checkpointer)) {
        if (pages < LOG_PAGES_TOO_LONG)
            return;
        checkpoint_wait(&store->checkpointer);
    }
    engine->checkpoint_forced_pages = pages;
    writer_checkpoint(&engine->writer);
}

/* When nothing waits for the disk. Returns when to look again. */
static uint64_t idle(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    if (engine->failing_since_us != 0)
        return engine->retry_at_us;
    if (writer_has_ended(&engine->writer)) {
        flush(store, SLICE_IDLE);
        return now_us;
    }
    if (engine->last_flush_us == 0)
        return UINT64_MAX;
    if (engine->upkeep_at_us == 0)
        engine->upkeep_at_us = now_us + UPKEEP_US;
    if (now_us < engine->upkeep_at_us)
        return engine->upkeep_at_us;
    engine->upkeep_at_us = 0;
    if (writer_vacuum(&engine->writer, VACUUM_PAGES)) {
        engine->upkeep_at_us = now_us + UPKEEP_US / 100;
        return engine->upkeep_at_us;
    }
    checkpoint_ask(&store->checkpointer);
    engine->last_flush_us = 0; /* all is done until the next flush */
    return UINT64_MAX;
}

/* ---- The loop ---- */

uint64_t engine_step(struct store *store, bool *nap)
{
    struct engine *engine = &store->engine;
    uint64_t now_us = clock_source->monotonic_us();
    bool any = take_batches(store, now_us);
#ifdef SEEDED_BUG_ACK_BEFORE_COMMIT
    atomic_store(&store->durable, engine->pending.applied_lsn);
#endif
    publish_durable(store);
    forward_reads(store);
    uint64_t at_us;
    if (flush_due(store, now_us, &at_us)) {
        flush(store, SLICE_BESIDE);
        publish_durable(store);
        forward_reads(store);
        look_after_log(store);
        check_health(store, clock_source->monotonic_us());
        count(store);
        return 0;
    }
    check_health(store, now_us);
    count(store);
    if (!any && pending_oldest(&engine->pending) == NULL) {
        uint64_t upkeep_us = idle(store, now_us);
        publish_durable(store);
        at_us = upkeep_us < at_us ? upkeep_us : at_us;
    }
    if (engine->failing_since_us != 0) {
        uint64_t stalled_us =
            engine->failing_since_us + (uint64_t)store->options.disk_stall_limit_ms * 1000;
        if (stalled_us > now_us && stalled_us < at_us)
            at_us = stalled_us;
    }
    /* While batches come, look for them often and let nobody pay for waking us; but one that others
     * wait for must be seen at once. */
    *nap = any && engine->window_count == 0 && engine->waiting == NULL;
    uint64_t rest_us = at_us == UINT64_MAX ? UINT64_MAX : at_us > now_us ? at_us - now_us : 0;
    return *nap && rest_us > NAP_US ? NAP_US : rest_us;
}

static bool has_work(struct store *store)
{
    for (unsigned i = 0; i < store->options.workers; i++) {
        if (!inbox_empty(&store->workers[i].submitted))
            return true;
    }
    return !reader_queue_empty(&store->requests) || atomic_load(&store->stopping);
}

void *engine_main(void *argument)
{
    struct store *store = argument;
    struct wake *wake = &store->engine.wake;
    while (!atomic_load(&store->stopping)) {
        bool nap = false;
        uint64_t rest_us = engine_step(store, &nap);
        if (rest_us == 0)
            continue;
        enum wake_state state = nap ? WAKE_NAPPING : WAKE_ASLEEP;
        wake_announce(wake, state);
        if (has_work(store))
            wake_cancel(wake);
        else
            wake_sleep(wake, state, rest_us);
    }
    return NULL;
}

/* ---- The end ---- */

static void take_stragglers(struct store *store)
{
    struct engine *engine = &store->engine;
    uint64_t now_us = clock_source->monotonic_us();
    take_batches(store, now_us);
    if (engine->window_count == 0)
        return;
    log_line(LOG_ERROR, "store: a batch was opened and never submitted; %zu later ones follow it",
             engine->window_count);
    while (engine->window_count > 0) {
        struct store_batch *batch = window_take(engine);
        if (batch != NULL)
            pending_apply(&engine->pending, batch, now_us);
        else
            engine->next_lsn++;
    }
}

void engine_finish(struct store *store)
{
    struct engine *engine = &store->engine;
    take_stragglers(store);
    for (int attempt = 0; attempt < FINISH_ATTEMPTS; attempt++) {
        bool moved = engine->pending.applied_lsn > engine->writer.meta.lsn;
        if (pending_empty(&engine->pending) && !moved)
            break;
        flush(store, SLICE_IDLE);
        if (engine->failing_since_us == 0)
            break;
        usleep((useconds_t)engine->backoff_us / 4);
    }
    if (!pending_empty(&engine->pending)) {
        engine->gave_up = true;
        log_line(LOG_ERROR,
                 "store: the disk fails to the end: the last %" PRIu32
                 " messages and changes of sessions are lost%s",
                 engine->pending.dirty_messages,
                 store->options.durability == STORE_DURABILITY_COMMIT
                     ? "; none of them was acknowledged"
                     : "");
    }
    pending_written(&engine->pending);
    publish_durable(store);
    count(store);
}
