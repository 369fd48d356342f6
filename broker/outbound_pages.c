/* A session's messages between memory and the store: bodies leave, and are read back in pages. */

#include "broker/outbound.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/inflight.h"
#include "broker/session.h"
#include "fsm/machines.h"

/* CONNACK waits for the first page of a session, and behind a restart for those of all who come
 * back: it is a short one. */
enum { PAGE_BYTES = 256 * 1024, FIRST_PAGE_MESSAGES = 32, FIRST_PAGE_BYTES = 16 * 1024 };

/* ---- Paging out ---- */

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
        uint64_t lsn = store_number_lsn(number);
        if (!head->owed || lsn >= worker_open_lsn(worker) || !worker_is_durable(worker, lsn))
            return;
        number_queue_push(&outbound->numbers, number);
        struct queued entry = queue_pop(&outbound->queue);
        outbound_count_bytes(worker, outbound, entry.message, false);
        outbound->numbers_bytes += message_bytes(entry.message);
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
    struct store_read *read = memory_take_zeroed(1, sizeof *read);
    uint64_t *numbers = NULL;
    uint32_t number_count = 0;
    if (outbound->stored_count == 0 && !session->unloaded) {
        numbers = memory_take(OUTBOUND_PAGE_MESSAGES * sizeof *numbers);
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
        .limit = session->unloaded ? FIRST_PAGE_MESSAGES : OUTBOUND_PAGE_MESSAGES,
        .limit_bytes = session->unloaded ? FIRST_PAGE_BYTES : PAGE_BYTES,
        .context = session,
    };
    outbound->reading = true;
    store_read_submit(worker->broker->store, read);
}

static void load_inflight(struct session *session, const struct store_row *row)
{
    struct outbound *outbound = &session->outbound;
    struct inflight *exchange = inflight_restore(outbound, row->packet_identifier);
    bool released = row->state == STORE_OUTBOUND_RELEASED;
#ifdef SEEDED_BUG_PUBREL_FORGOTTEN
    if (released) {
        inflight_free(outbound, exchange);
        return;
    }
#endif
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
    if (row->qos == 2)
        exchange->state = released ? (uint8_t)OUTBOUND_QOS2_STATE_UNRELEASED
                                   : (uint8_t)OUTBOUND_QOS2_STATE_UNACKNOWLEDGED;
    else
        exchange->state = OUTBOUND_QOS1_STATE_UNACKNOWLEDGED;
    if (row->sequence >= outbound->next_sequence)
        outbound->next_sequence = row->sequence + 1;
    if (row->packet_identifier > outbound->last_identifier)
        outbound->last_identifier = row->packet_identifier;
}

/* Damage may have given an exchange no identifier, or another's. */
static bool has_identifier(const struct session *session, const struct store_row *row)
{
#ifdef SEEDED_BUG_EXCHANGES_BELIEVED
    return true;
#endif
    return row->packet_identifier != 0 &&
           inflight_find(&session->outbound, row->packet_identifier) == NULL;
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
    queue_push(&outbound->paged, &entry);
    outbound_count_bytes(worker, outbound, entry.message, true);
    uint64_t bytes = message_bytes(entry.message);
    if (of_this_run)
        outbound->numbers_bytes -=
            bytes < outbound->numbers_bytes ? bytes : outbound->numbers_bytes;
    else
        outbound->stored_after = row->message.number;
}

/* At QoS 1 it may come twice, and so it is sent anew. At QoS 2 nobody knows how far it has come. */
static void load_without_identifier(struct worker *worker, struct session *session,
                                    const struct store_row *row)
{
    bool again = row->qos == 1 && row->state == STORE_OUTBOUND_SENT;
    log_line(LOG_ERROR, "client \"%s\": a message in flight has a damaged Packet Identifier: %s",
             session_name(session), again ? "it is sent again" : "it is lost");
    if (again) {
        load_queued(worker, session, row, false);
        return;
    }
    drop_one(worker, session, DROP_STORE_DAMAGED);
    store_batch_settled(worker_batch(worker), session->incarnation, row->message.number);
}

static void load_inbound(struct session *session, uint16_t packet_identifier)
{
    if (pid_map_find(&session->inbound, packet_identifier) == NULL)
        pid_map_put(&session->inbound, packet_identifier, INBOUND_QOS2_STATE_HELD);
}

/* What was asked for by number has come, or, where the database was damaged, is gone. */
static void account_numbers(struct worker *worker, struct session *session,
                            const struct store_read *read)
{
    number_queue_skip(&session->outbound.numbers, read->number_count);
    if (session->outbound.numbers.count == 0)
        session->outbound.numbers_bytes = 0;
    if (read->row_count == read->number_count)
        return;
    log_line(LOG_ERROR, "client \"%s\": %u of its stored messages cannot be found",
             session_name(session), read->number_count - read->row_count);
    drop_many(worker, session, DROP_STORE_DAMAGED, read->number_count - read->row_count);
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
                             REASON_IMPLEMENTATION_SPECIFIC_ERROR, "5.0 section 4.13.2",
                             "stored session cannot be read");
        goto out;
    }
    if (outbound->trimming) {
        outbound_trimmed(worker, session, read);
        if (session->unloaded && session->connection != NULL)
            outbound_load(worker, session); /* its Client has come meanwhile */
        else
            outbound_pump(worker, session);
        goto out;
    }
#ifdef SEEDED_BUG_PAGED_OUT_OF_ORDER
    for (uint32_t i = 0, j = read->row_count; read->numbers != NULL && i + 1 < j; i++) {
        struct store_row row = read->rows[i];
        read->rows[i] = read->rows[--j];
        read->rows[j] = row;
    }
#endif
    for (uint32_t i = 0; i < read->row_count; i++) {
        const struct store_row *row = &read->rows[i];
        if (row->state == STORE_OUTBOUND_QUEUED)
            load_queued(worker, session, row, read->numbers != NULL);
        else if (has_identifier(session, row))
            load_inflight(session, row);
        else
            load_without_identifier(worker, session, row);
    }
    if (read->numbers != NULL) {
        account_numbers(worker, session, read);
    } else {
        uint64_t left =
            outbound->stored_count > read->row_count ? outbound->stored_count - read->row_count : 1;
        outbound->stored_count = read->more ? left : 0;
    }
    for (uint32_t i = 0; i < read->inbound_count; i++)
        load_inbound(session, read->inbound_packet_identifiers[i]);
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
