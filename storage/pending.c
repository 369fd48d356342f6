#include "storage/pending.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

enum { FEWEST_BUCKETS = 1024 };

void pending_init(struct pending *pending)
{
    *pending = (struct pending){0};
    table_init(&pending->live, true);
    table_init(&pending->sessions, false);
    list_init(&pending->messages);
    list_init(&pending->free_sessions);
    list_init(&pending->free_changes);
    pending->ops_last = &pending->ops;
    pending->youngest = &pending->oldest;
}

void pending_fini(struct pending *pending)
{
    CHECK(pending->oldest == NULL);
    table_fini(&pending->live);
    table_fini(&pending->sessions);
    arena_fini(&pending->pool);
    free(pending->buckets);
    pending->buckets = NULL;
}

void pending_add_live(struct pending *pending, uint64_t incarnation)
{
    table_put(&pending->live, incarnation);
    if (incarnation > pending->youngest_incarnation)
        pending->youngest_incarnation = incarnation;
}

bool pending_empty(const struct pending *pending)
{
    return pending->ops == NULL && pending->dirty_messages == 0 && pending->change_count == 0;
}

const struct store_batch *pending_oldest(const struct pending *pending)
{
    return pending->oldest;
}

void pending_anomaly(struct pending *pending, const char *what, uint64_t incarnation,
                     uint64_t number)
{
    pending->anomalies++;
    log_line(LOG_ERROR,
             "store: \"%s\" met no row of session incarnation %" PRIu64 ", message %" PRIu64
             "; a fault of this program, nothing was changed",
             what, incarnation, number);
#ifdef HOLDFAST_CHECKED
    CHECK(!"a change met no row");
#endif
}

/* ---- Rows by (incarnation, number) ---- */

static struct row **bucket_of(const struct pending *pending, uint64_t incarnation, uint64_t number)
{
    uint64_t hash = table_mix(number ^ table_mix(incarnation));
    return &pending->buckets[hash & (pending->bucket_count - 1)];
}

static struct row *row_find(const struct pending *pending, uint64_t incarnation, uint64_t number)
{
    if (pending->row_count == 0)
        return NULL;
    struct row *row = *bucket_of(pending, incarnation, number);
    while (row != NULL && (row->number != number || row->incarnation != incarnation))
        row = row->hash_next;
    return row;
}

static void rows_grow(struct pending *pending)
{
    struct row **old = pending->buckets;
    size_t old_count = pending->bucket_count;
    pending->bucket_count = old_count == 0 ? FEWEST_BUCKETS : old_count * 2;
    pending->buckets = memory_take_zeroed(pending->bucket_count, sizeof(struct row *));
    for (size_t i = 0; i < old_count; i++) {
        for (struct row *row = old[i], *next; row != NULL; row = next) {
            next = row->hash_next;
            struct row **bucket = bucket_of(pending, row->incarnation, row->number);
            row->hash_next = *bucket;
            *bucket = row;
        }
    }
    free(old);
}

static struct pending_session *session_put(struct pending *pending, uint64_t incarnation)
{
    uint64_t *slot = table_put(&pending->sessions, incarnation);
    if (*slot != 0)
        return (struct pending_session *)(uintptr_t)*slot;
    struct list *link = list_pop(&pending->free_sessions);
    struct pending_session *session = link != NULL
                                          ? CONTAINER_OF(link, struct pending_session, rows)
                                          : arena_take(&pending->pool, sizeof *session);
    session->incarnation = incarnation;
    list_init(&session->rows);
    list_init(&session->changes);
    session->last_change = 0;
    *slot = (uint64_t)(uintptr_t)session;
    return session;
}

static struct pending_session *session_find(const struct pending *pending, uint64_t incarnation)
{
    uint64_t *slot = table_find(&pending->sessions, incarnation);
    return slot == NULL ? NULL : (struct pending_session *)(uintptr_t)*slot;
}

/* From which number to which. */
static void range_of(const struct store_read *read, uint64_t *first, uint64_t *last)
{
    *first = read->after + 1;
    *last = read->until;
    for (uint32_t i = 0; read->numbers != NULL && i < read->number_count; i++) {
        uint64_t number = read->numbers[i];
        *first = i == 0 || number < *first ? number : *first;
        *last = i == 0 || number > *last ? number : *last;
    }
}

bool pending_concerns(const struct pending *pending, const struct store_read *read)
{
    /* An operation may be an inbound identifier; a flush is under way for it anyway. */
    if (read->resume)
        return pending->ops != NULL || table_has(&pending->sessions, read->incarnation);
    const struct pending_session *session = session_find(pending, read->incarnation);
    if (session == NULL)
        return false;
    uint64_t first, last;
    range_of(read, &first, &last);
#ifndef SEEDED_BUG_READ_BESIDE_CHANGES
    if (!list_empty(&session->changes) && session->last_change >= first)
        return true;
#endif
    return !list_empty(&session->rows) &&
           CONTAINER_OF(session->rows.next, struct row, session_link)->number <= last &&
           CONTAINER_OF(session->rows.prev, struct row, session_link)->number >= first;
}

static void session_drop_if_empty(struct pending *pending, struct pending_session *session)
{
    if (!list_empty(&session->rows) || !list_empty(&session->changes))
        return;
    table_remove(&pending->sessions, session->incarnation);
    list_append(&pending->free_sessions, &session->rows);
}

static void row_link(struct pending *pending, struct row *row)
{
    if (pending->row_count >= pending->bucket_count)
        rows_grow(pending);
    struct row **bucket = bucket_of(pending, row->incarnation, row->number);
    row->hash_next = *bucket;
    *bucket = row;
    pending->row_count++;
    struct pending_session *session = session_put(pending, row->incarnation);
    list_append(row->message != NULL ? &session->rows : &session->changes, &row->session_link);
    if (row->message == NULL && row->number > session->last_change)
        session->last_change = row->number;
}

static void row_unlink(struct pending *pending, struct row *row)
{
    struct row **at = bucket_of(pending, row->incarnation, row->number);
    while (*at != row)
        at = &(*at)->hash_next;
    *at = row->hash_next;
    pending->row_count--;
    list_remove(&row->session_link);
}

/* ---- Deltas ---- */

static void hold(struct pending *pending, struct store_batch *batch)
{
    batch->held = true;
    pending->any_held = true;
    pending->urgent = true;
}

static void let_go(struct pending *pending)
{
    for (struct store_batch *batch = pending->oldest; batch != NULL; batch = batch->next)
        batch->held = false;
    pending->any_held = false;
    pending->urgent = false;
}

static void push_op(struct pending *pending, struct store_batch *batch, struct delta *delta)
{
    *pending->ops_last = delta;
    pending->ops_last = &delta->op_next;
    hold(pending, batch);
}

static bool is_live(struct pending *pending, uint64_t incarnation)
{
#ifdef SEEDED_BUG_ENDED_FORGOTTEN
    return true;
#endif
    if (table_has(&pending->live, incarnation))
        return true;
    /* One that is younger than all we know has not ended: it was never stored. */
    if (incarnation > pending->youngest_incarnation)
        log_line(LOG_WARNING,
                 "store: a delta names session incarnation %" PRIu64
                 ", which was never stored; ignored",
                 incarnation);
    pending->ignored++;
    return false;
}

static void apply_publish(struct pending *pending, struct store_batch *batch,
                          struct delta_publish *publish)
{
    bool op = publish->retained != STORE_RETAINED_NONE;
    if (publish->inbound_incarnation != 0) {
        if (is_live(pending, publish->inbound_incarnation))
            op = true;
        else
            publish->inbound_incarnation = 0;
    }
    for (uint32_t i = 0; i < publish->row_count; i++) {
        struct row *row = &publish->rows[i];
        if (!is_live(pending, row->incarnation))
            continue;
        row->live = true;
        row_link(pending, row);
        publish->live_count++;
    }
    if (publish->live_count > 0) {
        batch->refs += publish->live_count;
        list_append(&pending->messages, &publish->link);
        pending->dirty_messages++;
        pending->urgent = pending->urgent || publish->urgent;
    }
    if (op)
        push_op(pending, batch, &publish->delta);
}

/* The row was settled before it was written: neither ever happened, as far as the file knows. */
static void cancel(struct pending *pending, struct row *row)
{
    struct delta_publish *publish = row->message;
    row_unlink(pending, row);
    row->live = false;
    publish->batch->refs--;
    if (--publish->live_count > 0)
        return;
    list_remove(&publish->link);
    pending->dirty_messages--;
    if (publish->retained != STORE_RETAINED_SET)
        pending->cancelled_messages++;
}

static struct row *change_of(struct pending *pending, const struct delta_row *delta,
                             const char *what)
{
    struct row *row = row_find(pending, delta->incarnation, delta->number);
    if (row != NULL) {
        if (row->settled) {
            pending_anomaly(pending, what, delta->incarnation, delta->number);
            return NULL;
        }
        return row;
    }
    if (!is_live(pending, delta->incarnation))
        return NULL;
    struct list *link = list_pop(&pending->free_changes);
    row = link != NULL ? CONTAINER_OF(link, struct row, session_link)
                       : arena_take(&pending->pool, sizeof *row);
    *row = (struct row){.incarnation = delta->incarnation, .number = delta->number};
    row_link(pending, row);
    pending->change_count++;
    return row;
}

static void apply_sent(struct pending *pending, struct store_batch *batch,
                       const struct delta_row *delta)
{
    struct row *row = change_of(pending, delta, "sent");
    if (row == NULL)
        return;
    row->sent = true;
    if (row->state != STORE_OUTBOUND_RELEASED)
        row->state = STORE_OUTBOUND_SENT;
    row->packet_identifier = delta->packet_identifier;
    row->sequence = delta->sequence;
#ifndef SEEDED_BUG_QOS2_SENT_WEAK
    /* Of a written row we know the QoS only if told; when in doubt, promise the more. */
    uint8_t qos = row->message != NULL ? row->qos : delta->qos;
    if (qos != 1)
        hold(pending, batch);
#endif
}

static void apply_released(struct pending *pending, struct store_batch *batch,
                           const struct delta_row *delta)
{
    struct row *row = change_of(pending, delta, "released");
    if (row == NULL)
        return;
    row->state = STORE_OUTBOUND_RELEASED;
    hold(pending, batch);
}

static void apply_settled(struct pending *pending, const struct delta_row *delta)
{
    struct row *row = change_of(pending, delta, "settled");
    if (row == NULL)
        return;
    if (row->message == NULL) {
        row->settled = true;
        return;
    }
    struct pending_session *session = session_find(pending, delta->incarnation);
    cancel(pending, row);
    session_drop_if_empty(pending, session);
}

static void apply_session_end(struct pending *pending, struct store_batch *batch,
                              struct delta_row *delta)
{
    if (!is_live(pending, delta->incarnation))
        return;
    struct pending_session *session = session_find(pending, delta->incarnation);
    if (session != NULL) {
        while (!list_empty(&session->rows))
            cancel(pending, CONTAINER_OF(session->rows.next, struct row, session_link));
        while (!list_empty(&session->changes)) {
            struct row *row = CONTAINER_OF(session->changes.next, struct row, session_link);
            row_unlink(pending, row);
            list_append(&pending->free_changes, &row->session_link);
            pending->change_count--;
        }
        session_drop_if_empty(pending, session);
    }
    table_remove(&pending->live, delta->incarnation);
    push_op(pending, batch, &delta->delta);
}

static uint64_t incarnation_of(const struct delta *delta)
{
    if (delta->type == DELTA_SUBSCRIBE || delta->type == DELTA_UNSUBSCRIBE)
        return ((const struct delta_subscription *)delta)->incarnation;
    return ((const struct delta_row *)delta)->incarnation;
}

static void apply(struct pending *pending, struct store_batch *batch, struct delta *delta)
{
    switch (delta->type) {
    case DELTA_PUBLISH:
        apply_publish(pending, batch, (struct delta_publish *)delta);
        return;
    case DELTA_SESSION:
        pending_add_live(pending, ((struct delta_session *)delta)->session.incarnation);
        push_op(pending, batch, delta);
        return;
    case DELTA_RETAINED_EXPIRE:
        push_op(pending, batch, delta);
        return;
    case DELTA_SESSION_END:
        apply_session_end(pending, batch, (struct delta_row *)delta);
        return;
    case DELTA_SUBSCRIBE:
    case DELTA_UNSUBSCRIBE:
    case DELTA_INBOUND_ERASE:
        if (is_live(pending, incarnation_of(delta)))
            push_op(pending, batch, delta);
        return;
    case DELTA_SENT:
        apply_sent(pending, batch, (struct delta_row *)delta);
        return;
    case DELTA_RELEASED:
        apply_released(pending, batch, (struct delta_row *)delta);
        return;
    case DELTA_SETTLED:
        apply_settled(pending, (struct delta_row *)delta);
        return;
    }
    CHECK(!"an unknown delta");
}

void pending_apply(struct pending *pending, struct store_batch *batch, uint64_t now_us)
{
    CHECK(batch->lsn > pending->applied_lsn);
    bool was_changed = pending->change_count > 0;
    batch->applied_us = now_us;
    batch->next = NULL;
    *pending->youngest = batch;
    pending->youngest = &batch->next;
    pending->applied_lsn = batch->lsn;
    for (struct delta *delta = batch->first, *next; delta != NULL; delta = next) {
        next = delta->next;
        apply(pending, batch, delta);
    }
    if (!was_changed)
        pending->changed_us = now_us;
    /* What some batch was held for may have been cancelled since. */
    if ((pending->any_held || pending->urgent) && pending_empty(pending))
        let_go(pending);
}

struct store_batch *pending_pop(struct pending *pending)
{
    struct store_batch *batch = pending->oldest;
    if (batch == NULL || batch->refs > 0 || batch->held)
        return NULL;
    pending->oldest = batch->next;
    if (pending->oldest == NULL)
        pending->youngest = &pending->oldest;
    batch->next = NULL;
    return batch;
}

/* Rows lie all over memory, and most of them have left the cache since they were applied. Where
 * they are many, all buckets are emptied sooner than theirs are found. */
static void buckets_clear(struct pending *pending)
{
    if (pending->row_count > pending->bucket_count / 32) {
        memset(pending->buckets, 0, pending->bucket_count * sizeof(struct row *));
        return;
    }
    for (size_t i = 0; i < pending->sessions.capacity; i++) {
        if (pending->sessions.keys[i] == 0)
            continue;
        struct pending_session *session =
            (struct pending_session *)(uintptr_t)pending->sessions.values[i];
        struct list *lists[] = {&session->rows, &session->changes};
        for (int which = 0; which < 2; which++) {
            struct list *link = lists[which]->next;
            for (; link != lists[which]; link = link->next) {
                struct row *row = CONTAINER_OF(link, struct row, session_link);
                *bucket_of(pending, row->incarnation, row->number) = NULL;
            }
        }
    }
}

void pending_written(struct pending *pending)
{
    buckets_clear(pending);
    pending->row_count = 0;
    table_clear(&pending->sessions);
    list_init(&pending->messages);
    pending->dirty_messages = 0;
    pending->change_count = 0;
    pending->ops = NULL;
    pending->ops_last = &pending->ops;
    list_init(&pending->free_sessions);
    list_init(&pending->free_changes);
    arena_reset(&pending->pool);
    for (struct store_batch *batch = pending->oldest; batch != NULL; batch = batch->next)
        batch->refs = 0;
    let_go(pending);
}

void pending_validate(const struct pending *pending)
{
    size_t rows = 0, changes = 0, messages = 0, live = 0, refs = 0;
    for (size_t i = 0; i < pending->sessions.capacity; i++) {
        if (pending->sessions.keys[i] == 0)
            continue;
        const struct pending_session *session =
            (const struct pending_session *)(uintptr_t)pending->sessions.values[i];
        CHECK(session->incarnation == pending->sessions.keys[i]);
        CHECK(!list_empty(&session->rows) || !list_empty(&session->changes));
        uint64_t last = 0;
        for (struct list *link = session->rows.next; link != &session->rows; link = link->next) {
            const struct row *row = CONTAINER_OF(link, struct row, session_link);
            CHECK(row->live && row->message != NULL && row->number > last);
            CHECK(row_find(pending, row->incarnation, row->number) == row);
            last = row->number;
            rows++;
        }
        for (struct list *link = session->changes.next; link != &session->changes;
             link = link->next) {
            const struct row *row = CONTAINER_OF(link, struct row, session_link);
            CHECK(row->message == NULL);
            changes++;
        }
    }
    for (struct list *link = pending->messages.next; link != &pending->messages;
         link = link->next) {
        const struct delta_publish *publish = CONTAINER_OF(link, struct delta_publish, link);
        CHECK(publish->live_count > 0);
        live += publish->live_count;
        messages++;
    }
    for (const struct store_batch *batch = pending->oldest; batch != NULL; batch = batch->next)
        refs += batch->refs;
    CHECK(rows == live && rows == refs);
    CHECK(changes == pending->change_count && rows + changes == pending->row_count);
    CHECK(messages == pending->dirty_messages);
}
