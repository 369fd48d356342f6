#include "broker/waiting.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/publish.h"
#include "broker/session.h"

static struct waiting_entry *entry_at(struct waiting *waiting, uint32_t index)
{
    return &waiting->entries[(waiting->head + index) & (waiting->capacity - 1)];
}

static bool has_dispatch(const struct waiting_entry *entry)
{
    return entry->kind == WAITING_INBOUND_STORED || entry->kind == WAITING_WILL;
}

void waiting_push(struct worker *worker, const struct waiting_entry *entry)
{
    struct waiting *waiting = &worker->waiting;
    if (waiting->count == waiting->capacity) {
        uint32_t capacity = waiting->capacity > 0 ? waiting->capacity * 2 : 256;
        struct waiting_entry *entries = memory_take(capacity * sizeof *entries);
        for (uint32_t i = 0; i < waiting->count; i++)
            entries[i] = *entry_at(waiting, i);
        free(waiting->entries);
        waiting->entries = entries;
        waiting->capacity = capacity;
        waiting->head = 0;
    }
    CHECK(waiting->count == 0 || entry_at(waiting, waiting->count - 1)->lsn <= entry->lsn);
    *entry_at(waiting, waiting->count++) = *entry;
    if (has_dispatch(entry) && ((const struct dispatch *)entry->data)->message->stored.retain)
        waiting->retained = waiting->released + waiting->count;
}

static void carry_out(struct worker *worker, struct waiting_entry *entry)
{
    struct session *session = entry->session;
    bool lives = session->incarnation == entry->incarnation;
    struct connection *connection = lives ? session->connection : NULL;
    if (connection != NULL && connection->serial != entry->connection_serial)
        connection = NULL;
    if (connection != NULL)
        connection->waiting--;
    switch ((enum waiting_kind)entry->kind) {
    case WAITING_ACKNOWLEDGEMENT:
        if (connection != NULL)
            publish_acknowledge_now(connection, (enum packet_type)entry->packet_type,
                                    entry->packet_identifier, entry->reason_code);
        break;
    case WAITING_INBOUND_STORED:
        publish_inbound_stored(worker, lives ? session : NULL, connection, entry->packet_identifier,
                               entry->reason_code, entry->data);
        break;
    case WAITING_INBOUND_ERASED:
        if (lives)
            publish_inbound_erased(worker, session, connection, entry->packet_identifier);
        break;
    case WAITING_OUTBOUND_STORED:
        if (connection != NULL)
            outbound_stored(worker, session, entry->packet_identifier);
        break;
    case WAITING_BYTES: {
        struct waiting_bytes *bytes = entry->data;
        if (connection != NULL)
            connection_send_bytes(connection, bytes->bytes, bytes->size);
        free(bytes);
        break;
    }
    case WAITING_RESUMED:
        if (connection != NULL)
            connect_resume_step(connection);
        return;
    case WAITING_WILL:
        dispatch_carry_out(worker, entry->data);
        return;
    }
    if (connection != NULL && !connection->closed)
        connection_continue(connection);
}

bool waiting_is_due(const struct worker *worker)
{
    const struct waiting *waiting = &worker->waiting;
    return waiting->count > 0 &&
           waiting->entries[waiting->head].lsn <= store_durable(worker->broker->store);
}

void waiting_release(struct worker *worker)
{
    struct waiting *waiting = &worker->waiting;
    if (waiting->count == 0)
        return;
    uint64_t durable = store_durable(worker->broker->store);
#ifdef SEEDED_BUG_ACKNOWLEDGE_EARLY
    durable = UINT64_MAX;
#endif
    /* Under `flush` everything submitted counts as durable; the open batch does not yet. */
    if (worker->batch != NULL && durable >= worker->last_lsn)
        durable = worker->last_lsn - 1;
    while (waiting->count > 0 && entry_at(waiting, 0)->lsn <= durable) {
        struct waiting_entry entry = *entry_at(waiting, 0);
        waiting->head = (waiting->head + 1) & (waiting->capacity - 1);
        waiting->count--;
        waiting->released++;
        waiting->releasing = entry.lsn;
        carry_out(worker, &entry);
    }
    waiting->releasing = 0;
    worker_answer_rounds(worker);
    if (waiting->count == 0 && waiting->capacity > 4096) {
        free(waiting->entries);
        waiting->entries = NULL;
        waiting->capacity = waiting->head = 0;
    }
}

void waiting_fini(struct worker *worker)
{
    struct waiting *waiting = &worker->waiting;
    for (uint32_t i = 0; i < waiting->count; i++) {
        struct waiting_entry *entry = entry_at(waiting, i);
        if (has_dispatch(entry))
            dispatch_free(entry->data);
        else
            free(entry->data);
    }
    free(waiting->entries);
    *waiting = (struct waiting){0};
}
