/* The storage thread: see "docs/ordering.md". */
#include "storage/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/clock.h"

enum {
    NAP_US = 150,       /* the shortest nap between two batches that are not urgent */
    PATIENCE = 10,      /* times commit_delay, at most */
    ANSWERS = 4,        /* times what acknowledgements take */
    IN_VAIN = 32,       /* of that, so much less with each flush that they did not spare */
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
    pthread_mutex_init(&engine->lock, NULL);
    pending_init(&engine->pending);
}

void engine_fini(struct store *store)
{
    struct engine *engine = &store->engine;
    pending_fini(&engine->pending);
    if (store->has_file)
        writer_fini(&engine->writer);
    free(engine->window);
    pthread_mutex_destroy(&engine->lock);
}

/* ---- Batches in ---- */

static void window_grow(struct engine *engine)
{
    size_t capacity = engine->window_capacity == 0 ? 64 : engine->window_capacity * 2;
    struct store_batch **window = memory_take_zeroed(capacity, sizeof(struct store_batch *));
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

/* Takes what workers have submitted. */
static bool collect_batches(struct store *store, uint64_t now_us)
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
            (void)now_us;
            window_put(engine, batch);
#endif
            batch = next;
        }
    }
    return any;
}

/* And applies whatever is next in order. */
static bool take_batches(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    bool any = collect_batches(store, now_us);
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
    uint64_t durable = 0, messages = 0, bytes = 0;
    for (struct store_batch *batch; (batch = pending_pop(pending)) != NULL;) {
        durable = batch->lsn;
        messages += batch->message_count;
        bytes += batch_bytes(batch);
        *last = batch;
        last = &batch->next;
    }
    if (first == NULL)
        return;
    if (!store->engine.gave_up)
        atomic_store_explicit(&store->durable, durable, memory_order_release);
    bool relieved =
        backlog_take(&store->backlog, messages, bytes, store->options.flush_mem_threshold);
    while (first != NULL) {
        struct store_batch *batch = first;
        first = batch->next;
        struct store_worker *worker = &store->workers[batch->worker];
        worker->touched = true;
        inbox_push(&worker->reclaimed, batch); /* the worker's from here */
    }
    for (unsigned i = 0; i < store->options.workers; i++) {
        if (!store->workers[i].touched && !relieved)
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
    COPY(used_bytes, engine->writer.used_bytes);
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

/* Committed, but the next start would not find it: nobody is told that it is durable. Nothing is
 * added to the pending set until the files are back, so that it stays what was committed. */
static void flush_displaced(struct store *store, uint64_t now_us)
{
    enum { LOOK_AGAIN_US = 100000 };
    struct engine *engine = &store->engine;
    if (engine->failing_since_us == 0) {
        engine->failing_since_us = now_us;
        engine->failures = 0;
    }
    engine->failures++;
    if (!engine->displaced || now_us - engine->said_at_us >= SAY_AGAIN_US) {
        engine->said_at_us = now_us;
        log_line(
            LOG_ERROR,
            "store: \"%s\" was deleted, moved away or replaced while this broker runs: what is "
            "written to it will not be found again. Nothing is acknowledged that waits for the "
            "store, and new QoS 1 and 2 messages are refused, until it is back where it was; "
            "until this broker is stopped its files can be copied from /proc/%ld/fd",
            engine->writer.error, (long)getpid());
    }
    engine->displaced = true;
    engine->retry_at_us = now_us + LOOK_AGAIN_US;
    atomic_store(&store->health, STORE_HEALTH_STALLED);
}

static void flushed(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    engine->last_flush_us = now_us;
    flush_worked(store, now_us);
    directory_write_lsn(&store->directory, engine->writer.meta.lsn);
    if (!engine->pending.urgent)
        engine->answers_took_us -= engine->answers_took_us / IN_VAIN;
    pending_written(&engine->pending);
    engine->reads_want_flush = false;
}

static bool in_place(struct store *store)
{
#ifdef SEEDED_BUG_DELETED_UNNOTICED
    return true;
#endif
    struct engine *engine = &store->engine;
    return directory_in_place(&store->directory, engine->writer.error, sizeof engine->writer.error);
}

static void flush(struct store *store, uint32_t slice)
{
    struct engine *engine = &store->engine;
    uint64_t began_us = clock_source->monotonic_us();
    enum status status = writer_flush(&engine->writer, &engine->pending, slice);
    uint64_t now_us = clock_source->monotonic_us();
    engine->flush_took_us += ((int64_t)(now_us - began_us) - engine->flush_took_us) / 4;
    if (status == STATUS_OK) {
        distribution_add(&engine->commit_us, now_us - began_us);
        distribution_add(&engine->commit_rows, engine->writer.rows);
    }
    if (status != STATUS_OK)
        flush_failed(store, status, now_us);
    else if (!in_place(store))
        flush_displaced(store, now_us);
    else
        flushed(store, now_us);
}

/* Looks again whether the files are back. */
static bool still_displaced(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    if (!engine->displaced || now_us < engine->retry_at_us)
        return engine->displaced;
    if (!in_place(store)) {
        flush_displaced(store, now_us);
        return true;
    }
    engine->displaced = false;
    flushed(store, now_us);
    publish_durable(store); /* now: what waited for the files has not waited for acknowledgements */
    return false;
}

/* How long a batch waits for its acknowledgements. Whoever they do not come for has waited in vain,
 * and the longer a commit takes, the less that matters beside it, and the more it is worth to be
 * spared one: so at least as long as commits have taken. And where much is in flight, and
 * acknowledgements come, but later, a flush would write what they are about to cancel, and hold up
 * those behind it: so some times as long as they have taken. Who stops answering is waited for less
 * and less. */
static uint64_t patience_us(const struct engine *engine, const struct store_options *options)
{
    uint64_t most_us = (uint64_t)options->commit_delay_us * PATIENCE;
    uint64_t us = (uint64_t)engine->flush_took_us;
    uint64_t answers_us = (uint64_t)engine->answers_took_us * ANSWERS;
    us = answers_us > us ? answers_us : us;
    us = us > options->commit_delay_us ? us : options->commit_delay_us;
    return us < most_us ? us : most_us;
}

/* Behind a message that is not settled all others wait, and take memory, whether or not they are
 * still to be written. Under `commit` that one is written before long. */
static bool is_behind(const struct store *store)
{
    return store->options.durability != STORE_DURABILITY_COMMIT &&
           backlog_is_due(&store->backlog, store->options.flush_mem_threshold);
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
    const struct store_batch *oldest = pending_oldest(pending);
    if (!pending_empty(pending)) {
        uint64_t since_us = pending->change_count > 0 ? pending->changed_us : UINT64_MAX;
        if (oldest != NULL && oldest->applied_us < since_us)
            since_us = oldest->applied_us;
        uint64_t at = since_us + (uint64_t)options->flush_interval_ms * 1000;
        *at_us = at < *at_us ? at : *at_us;
        if (pending->dirty_messages > 0 && pending->dirty_messages >= options->flush_mem_threshold)
            *at_us = 0;
        if (pending->pool.bytes >= BACKLOG_FLUSH_BYTES || is_behind(store))
            *at_us = 0;
    }
    if (options->durability == STORE_DURABILITY_COMMIT && !pending_empty(pending)) {
        if (pending->urgent)
            *at_us = 0;
        uint64_t wait_us = patience_us(engine, options);
        if (oldest != NULL && oldest->applied_us + wait_us < *at_us)
            *at_us = oldest->applied_us + wait_us;
    }
    /* Deleted in slices when all is idle, which under load it never is. */
    if (writer_has_ended(&engine->writer)) {
        uint64_t at = engine->last_flush_us + (uint64_t)options->flush_interval_ms * 1000;
        *at_us = at < *at_us ? at : *at_us;
    }
    if (*at_us < engine->retry_at_us)
        *at_us = engine->retry_at_us;
    return *at_us <= now_us;
}

/* ---- Reads on their way to the reader ---- */

/* What is settled or owed in memory only, of what is asked for, is brought to disk before the
 * reader looks. Whoever reads on behind what it has read has no need of that: a backlog drains
 * without a commit for each page of it. */
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
        if (!wait && pending_concerns(&engine->pending, read)) {
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
    memory_begin_thread();
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
#ifdef SEEDED_BUG_CHECKPOINT_STALLS
        checkpoint_wait(&store->checkpointer);
#endif
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
    if (engine->failing_since_us != 0) {
        /* What failed is not owed any more. But only a commit shows that the disk works again, and
         * a store that is stalled refuses what would bring one. */
        if (now_us >= engine->retry_at_us)
            flush(store, SLICE_IDLE);
        return engine->failing_since_us != 0 ? engine->retry_at_us : now_us;
    }
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
        /* While there are flushes, such as those of a backlog that is being drained, what would be
         * moved may go soon, and what is free may be needed. */
        bool quiet = now_us - engine->last_flush_us >= UPKEEP_US;
        engine->upkeep_at_us = now_us + (quiet ? UPKEEP_US / 100 : UPKEEP_US);
        return engine->upkeep_at_us;
    }
    checkpoint_ask(&store->checkpointer);
    engine->last_flush_us = 0; /* all is done until the next flush */
    return UINT64_MAX;
}

/* ---- What workers do themselves ---- */

/* Applies what has been submitted, and hands back what nothing unwritten rests on any more. */
static bool absorb(struct store *store, uint64_t now_us)
{
    struct engine *engine = &store->engine;
    const struct store_batch *oldest = pending_oldest(&engine->pending);
    uint64_t waited_us = oldest != NULL ? now_us - oldest->applied_us : 0;
    bool any = take_batches(store, now_us);
#ifdef SEEDED_BUG_ACK_BEFORE_COMMIT
    atomic_store(&store->durable, store->engine.pending.applied_lsn);
#endif
    publish_durable(store);
    if (oldest != NULL && oldest != pending_oldest(&engine->pending)) /* the worker's again */
        engine->answers_took_us += ((int64_t)waited_us - engine->answers_took_us) / 8;
    return any;
}

static bool has_batches(struct store *store)
{
    for (unsigned i = 0; i < store->options.workers; i++) {
        if (!inbox_empty(&store->workers[i].submitted))
            return true;
    }
    return false;
}

bool engine_apply(struct store *store)
{
    struct engine *engine = &store->engine;
    bool due = false;
    /* Whoever has the lock looks again behind it for what was submitted by those who were refused.
     * If that is ever missed, the storage thread finds it after its nap. */
    do {
        if (pthread_mutex_trylock(&engine->lock) != 0)
            return due;
        uint64_t now_us = clock_source->monotonic_us(), at_us;
        bool able = !engine->displaced;
        if (able && absorb(store, now_us)) {
            engine->applied_by_workers = true;
            count(store);
            due = flush_due(store, now_us, &at_us) || due;
        }
        pthread_mutex_unlock(&engine->lock);
        if (!able)
            return true;
    } while (has_batches(store));
    return due;
}

/* ---- The loop ---- */

/* While batches come, their workers apply them. Nobody is to pay for waking us then, as long as we
 * look in time for the first that is due. But one that others wait for must be seen at once. */
static uint64_t longest_nap_us(const struct store_options *options)
{
    uint64_t us = options->durability == STORE_DURABILITY_COMMIT
                      ? options->commit_delay_us
                      : (uint64_t)options->flush_interval_ms * 1000;
    return us > NAP_US ? us : NAP_US;
}

uint64_t engine_step(struct store *store, bool *nap)
{
    struct engine *engine = &store->engine;
    uint64_t now_us = clock_source->monotonic_us();
    if (still_displaced(store, now_us)) {
        collect_batches(store, now_us);
        forward_reads(store);
        count(store);
        return engine->retry_at_us - now_us;
    }
    bool any = absorb(store, now_us) || engine->applied_by_workers;
    engine->applied_by_workers = false;
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
    *nap = any && engine->window_count == 0 && engine->waiting == NULL;
    uint64_t rest_us = at_us == UINT64_MAX ? UINT64_MAX : at_us > now_us ? at_us - now_us : 0;
    uint64_t longest_us = longest_nap_us(&store->options);
    return *nap && rest_us > longest_us ? longest_us : rest_us;
}

static bool has_work(struct store *store)
{
    return has_batches(store) || !reader_queue_empty(&store->requests) ||
           atomic_load(&store->stopping);
}

void *engine_main(void *argument)
{
    struct store *store = argument;
    struct wake *wake = &store->engine.wake;
    memory_begin_thread();
    while (!atomic_load(&store->stopping)) {
        bool nap = false;
        pthread_mutex_lock(&store->engine.lock);
        uint64_t rest_us = engine_step(store, &nap);
        enum wake_state state = nap ? WAKE_NAPPING : WAKE_ASLEEP;
#ifndef SEEDED_BUG_SLEEP_UNANNOUNCED
        /* Within the lock: what a worker applies behind this step is not in an inbox for
         * has_work() to see, so that worker has to see the sleeper. */
        if (rest_us > 0)
            wake_announce(wake, state);
#endif
        pthread_mutex_unlock(&store->engine.lock);
        if (rest_us == 0)
            continue;
#ifdef SEEDED_BUG_SLEEP_UNANNOUNCED
        usleep(1000);
        wake_announce(wake, state);
#endif
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
    engine->retry_at_us = 0;
    bool displaced = still_displaced(store, clock_source->monotonic_us());
    take_stragglers(store);
    for (int attempt = 0; attempt < FINISH_ATTEMPTS && !displaced; attempt++) {
        bool moved = engine->pending.applied_lsn > engine->writer.meta.lsn;
        if (pending_empty(&engine->pending) && !moved)
            break;
        flush(store, SLICE_IDLE);
        if (engine->failing_since_us == 0 || engine->displaced)
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
