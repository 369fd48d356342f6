/* A session's messages between memory and the store: bodies leave, and are read back in pages. */

#include "broker/outbound.h"

#include <stdlib.h>

#include "base/check.h"
#include "broker/connection.h"
#include "broker/inflight.h"
#include "broker/session.h"
#include "fsm/machines.h"

enum { PAGE_BYTES = 256 * 1024 };

/* ---- Paging out ---- */

/* Under `flush` what counts as durable may not have reached the store yet: a read sees what this
 * worker had submitted before, and all that has a lower number. */
static bool can_be_read_back(const struct worker *worker, uint64_t number)
{
    if (worker->broker->config->sqlite.durability != STORE_DURABILITY_FLUSH)
        return true;
    uint64_t submitted = worker->batch != NULL ? worker->last_lsn - 1 : worker->last_lsn;
    return number >> STORE_NUMBER_BITS <= submitted;
}

/* Lets go of the bodies that the disk has, oldest first; their numbers stay, in order. A Client
 * that is reading keeps what it is about to get. */
void outbound_page_out(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    if (worker->broker->config->sqlite.durability == STORE_DURABILITY_NONE)
        return;
    bool scarce = worker->queued_bytes > 4 * worker->broker->queue_memory_bytes;
    uint32_t keep = outbound_can_send(session) && !scarce ? OUTBOUND_PAGE_MESSAGES : 0;
    while (outbound->queue.count > keep) {
        const struct queued *head = queue_at(&outbound->queue, 0);
        uint64_t number = head->message->stored.number;
        if (!head->owed || !can_be_read_back(worker, number) ||
            number >> STORE_NUMBER_BITS >= worker_open_lsn(worker) ||
            !worker_is_durable(worker, number >> STORE_NUMBER_BITS) ||
            number_queue_push(&outbound->numbers, number) != STATUS_OK)
            return;
        struct queued entry = queue_pop(&outbound->queue);
        outbound_count_bytes(worker, outbound, entry.message, false);
        outbound->queued_bytes += message_bytes(entry.message); /* still queued */
        message_drop(entry.message, 1);
        identifiers_fini(&entry.identifiers);
    }
}

/* ---- The state of an earlier run ---- */

void outbound_load(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    if (outbound->reading)
        return;
    struct store_read *read = calloc(1, sizeof *read);
    if (read == NULL)
        return; /* asked for again by the next pump */
    uint64_t *numbers = NULL;
    uint32_t number_count = 0;
    if (outbound->stored_count == 0 && !session->unloaded) {
        numbers = malloc(OUTBOUND_PAGE_MESSAGES * sizeof *numbers);
        if (numbers == NULL) {
            free(read);
            return;
        }
        number_count = number_queue_peek(&outbound->numbers, numbers, OUTBOUND_PAGE_MESSAGES);
    }
    *read = (struct store_read){
        .numbers = numbers,
        .number_count = number_count,
        .worker = worker->index,
        .incarnation = session->incarnation,
        .resume = session->unloaded,
        .after = outbound->stored_after,
        .until = worker->broker->first_number - 1,
        .limit = OUTBOUND_PAGE_MESSAGES,
        .limit_bytes = PAGE_BYTES,
        .context = session,
    };
    outbound->reading = true;
    store_read_submit(worker->broker->store, read);
}

static void load_inflight(struct session *session, const struct store_row *row)
{
    struct outbound *outbound = &session->outbound;
    uint32_t slot = inflight_take(outbound);
    CHECK(slot != INFLIGHT_NO_SLOT);
    struct inflight *exchange = &outbound->inflight[slot];
    bool released = row->state == STORE_OUTBOUND_RELEASED;
    *exchange = (struct inflight){
        .message = released ? NULL : message_copy(&row->message),
        .identifiers =
            identifiers_copy(row->subscription_identifiers, row->subscription_identifier_count),
        .number = row->message.number,
        .sequence = row->sequence,
        .packet_identifier = row->packet_identifier,
        .qos = row->qos,
        .retain = row->retain,
        .owed = true,
    };
    CHECK(released || exchange->message != NULL);
    if (row->qos == 2)
        exchange->state = released ? (uint8_t)OUTBOUND_QOS2_STATE_UNRELEASED
                                   : (uint8_t)OUTBOUND_QOS2_STATE_UNACKNOWLEDGED;
    else
        exchange->state = OUTBOUND_QOS1_STATE_UNACKNOWLEDGED;
    if (row->sequence >= outbound->next_sequence)
        outbound->next_sequence = row->sequence + 1;
    if (row->packet_identifier > outbound->last_identifier)
        outbound->last_identifier = row->packet_identifier;
    CHECK(pid_map_put(&outbound->by_identifier, row->packet_identifier, slot) == STATUS_OK);
}

static void load_queued(struct worker *worker, struct session *session, const struct store_row *row,
                        bool of_this_run)
{
    struct outbound *outbound = &session->outbound;
    struct queued entry = {
        .message = message_copy(&row->message),
        .identifiers =
            identifiers_copy(row->subscription_identifiers, row->subscription_identifier_count),
        .qos = row->qos,
        .retain = row->retain,
        .owed = true,
    };
    CHECK(entry.message != NULL && queue_push(&outbound->paged, &entry) == STATUS_OK);
    outbound_count_bytes(worker, outbound, entry.message, true);
    if (of_this_run) /* its bytes were counted when it came */
        outbound->queued_bytes -= message_bytes(entry.message);
    else
        outbound->stored_after = row->message.number;
}

/* What was asked for by number has come, or, where the database was damaged, is gone. */
static void account_numbers(struct worker *worker, struct session *session,
                            const struct store_read *read)
{
    number_queue_skip(&session->outbound.numbers, read->number_count);
    if (read->row_count == read->number_count)
        return;
    log_line(LOG_ERROR, "client \"%s\": %u of its stored messages cannot be found",
             session_name(session), read->number_count - read->row_count);
    for (uint32_t i = read->row_count; i < read->number_count; i++)
        worker_drop(worker, session, DROP_STORE_DAMAGED);
}

void outbound_loaded(struct worker *worker, struct store_read *read)
{
    struct session *session = read->context;
    if (session->incarnation != read->incarnation)
        goto out; /* ended meanwhile */
    struct outbound *outbound = &session->outbound;
    outbound->reading = false;
    if (read->status != STATUS_OK) {
        log_line(LOG_ERROR, "client \"%s\": its stored messages cannot be read: %s",
                 session_name(session), status_text(read->status));
        if (session->connection != NULL)
            connection_event(session->connection, CONNECTION_EVENT_STOPPED,
                             REASON_SERVER_UNAVAILABLE, "5.0 section 4.13.2",
                             "stored session cannot be read");
        goto out;
    }
    for (uint32_t i = 0; i < read->row_count; i++) {
        if (read->rows[i].state == STORE_OUTBOUND_QUEUED)
            load_queued(worker, session, &read->rows[i], read->numbers != NULL);
        else
            load_inflight(session, &read->rows[i]);
    }
    if (read->numbers != NULL) {
        account_numbers(worker, session, read);
    } else {
        uint64_t left =
            outbound->stored_count > read->row_count ? outbound->stored_count - read->row_count : 1;
        outbound->stored_count = read->more ? left : 0;
    }
    for (uint32_t i = 0; i < read->inbound_count; i++)
        CHECK(pid_map_put(&session->inbound, read->inbound_packet_identifiers[i],
                          INBOUND_QOS2_STATE_HELD) == STATUS_OK);
    bool first = session->unloaded;
    session->unloaded = false;
    if (first && session->connection != NULL &&
        session->connection->state == CONNECTION_STATE_RESUMING)
        connect_resume_step(session->connection);
    else
        outbound_pump(worker, session);
out:
    store_read_fini(read);
    free((void *)read->numbers);
    free(read);
}
