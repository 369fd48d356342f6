#include "broker/outbound.h"

#include <stdlib.h>

#include "base/check.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/inflight.h"
#include "broker/session.h"
#include "fsm/machines.h"

enum {
    INFLIGHT_MAX = 32768, /* half of all identifiers: a free one is found quickly */
    UNSTORED_BYTES = 16 * 1024 * 1024,
    OUTPUT_HIGH = 256 * 1024, /* queued messages wait above this much unsent output */
};

/* ---- The queue ---- */

/* Where the oldest messages in memory are; NULL when older ones are in the store only. */
static struct queue *oldest_queue(struct outbound *outbound)
{
    if (outbound->paged.count > 0)
        return &outbound->paged;
    return outbound->stored_count > 0 || outbound->numbers.count > 0 ? NULL : &outbound->queue;
}

uint64_t outbound_count(const struct outbound *outbound)
{
    return outbound->stored_count + outbound->paged.count + outbound->numbers.count +
           outbound->queue.count + outbound->inflight_count;
}

/* ---- Sending ---- */

static void settle_row(struct worker *worker, const struct session *session, bool owed,
                       uint64_t number)
{
    if (owed)
        store_batch_settled(worker_batch(worker), session->incarnation, number);
}

static void queued_drop(struct worker *worker, struct session *session, struct queued *entry,
                        enum drop_reason reason)
{
    worker_drop(worker, session, reason);
    settle_row(worker, session, entry->owed, entry->message->stored.number);
    message_drop(entry->message, 1);
    identifiers_fini(&entry->identifiers);
}

static bool expired(const struct worker *worker, const struct message *message)
{
    return message_expired(message, worker->store_now_ms);
}

/* What is queued is counted by session, for its limit, and what of it is in memory by worker. */
void outbound_count_bytes(struct worker *worker, struct outbound *outbound,
                          const struct message *message, bool more)
{
    uint64_t bytes = message_bytes(message);
    if (more)
        outbound->queued_bytes += bytes;
    else
        outbound->queued_bytes -= bytes;
    worker->queued_bytes += more ? message_memory(message) : -message_memory(message);
}

static void update_quota_fact(struct session *session)
{
    session_set_fact(session, SESSION_FACT_QUOTA,
                     session->connection != NULL && session->connection->send_quota > 0);
}

static void wait_for_store(struct worker *worker, struct session *session,
                           const struct inflight *exchange)
{
    struct waiting_entry entry = {
        .lsn = worker_lsn(worker),
        .session = session,
        .incarnation = session->incarnation,
        .connection_serial = session->connection->serial,
        .packet_identifier = exchange->packet_identifier,
        .kind = WAITING_OUTBOUND_STORED,
    };
    session->connection->waiting++;
    waiting_push(worker, &entry);
}

static const struct fsm_machine *machine_of(const struct inflight *exchange)
{
    return exchange->qos == 2 ? &outbound_qos2_machine : &outbound_qos1_machine;
}

/* The two machines share these steps; their action constants differ. */
enum step {
    STEP_ASSIGN,
    STEP_TAKE,
    STEP_FREE,
    STEP_PUBLISH,
    STEP_DUP,
    STEP_RECORD,
    STEP_PUBREL,
    STEP_SETTLE
};

static enum step step_of(const struct inflight *exchange, uint8_t action)
{
    static const uint8_t qos1[] = {
        [OUTBOUND_QOS1_ACTION_ASSIGN] = STEP_ASSIGN,
        [OUTBOUND_QOS1_ACTION_TAKE_QUOTA] = STEP_TAKE,
        [OUTBOUND_QOS1_ACTION_FREE_QUOTA] = STEP_FREE,
        [OUTBOUND_QOS1_ACTION_PUBLISH] = STEP_PUBLISH,
        [OUTBOUND_QOS1_ACTION_PUBLISH_DUP] = STEP_DUP,
        [OUTBOUND_QOS1_ACTION_SETTLE] = STEP_SETTLE,
    };
    static const uint8_t qos2[] = {
        [OUTBOUND_QOS2_ACTION_ASSIGN] = STEP_ASSIGN,
        [OUTBOUND_QOS2_ACTION_TAKE_QUOTA] = STEP_TAKE,
        [OUTBOUND_QOS2_ACTION_FREE_QUOTA] = STEP_FREE,
        [OUTBOUND_QOS2_ACTION_PUBLISH] = STEP_PUBLISH,
        [OUTBOUND_QOS2_ACTION_PUBLISH_DUP] = STEP_DUP,
        [OUTBOUND_QOS2_ACTION_RECORD_PUBREC] = STEP_RECORD,
        [OUTBOUND_QOS2_ACTION_PUBREL] = STEP_PUBREL,
        [OUTBOUND_QOS2_ACTION_SETTLE] = STEP_SETTLE,
    };
    return exchange->qos == 2 ? qos2[action] : qos1[action];
}

static void exchange_event(struct worker *worker, struct session *session,
                           struct inflight *exchange, uint8_t event);

static uint8_t drop_event(const struct inflight *exchange)
{
    return exchange->qos == 2 ? (uint8_t)OUTBOUND_QOS2_EVENT_DROP
                              : (uint8_t)OUTBOUND_QOS1_EVENT_DROP;
}

static void quota_take(struct session *session, struct inflight *exchange)
{
    CHECK(session->connection->send_quota > 0);
    session->connection->send_quota--;
    exchange->counted = true;
    if (session->connection->send_quota == 0)
        update_quota_fact(session);
}

static void quota_free(struct session *session, struct inflight *exchange)
{
    if (exchange->counted && session->connection != NULL) {
        exchange->counted = false;
        if (session->connection->send_quota++ == 0)
            update_quota_fact(session);
    }
}

/* True when the PUBLISH was sent; false when it was dropped, and the exchange may be gone. */
static bool send_exchange(struct worker *worker, struct session *session, struct inflight *exchange,
                          bool dup)
{
    enum send_result sent = connection_send_publish(
        session->connection, exchange->message, exchange->qos, dup, exchange->retain,
        exchange->packet_identifier, &exchange->identifiers);
    if (sent == SEND_OK) {
        exchange->sent_ms = (uint32_t)worker->now_ms;
        return true;
    }
    worker_drop(worker, session, DROP_TOO_LARGE);
    exchange_event(worker, session, exchange, drop_event(exchange));
    return false;
}

static void record_pubrec(struct worker *worker, struct session *session, struct inflight *exchange)
{
    if (exchange->message != NULL) {
        message_drop(exchange->message, 1);
        exchange->message = NULL;
    }
    if (exchange->owed) {
        store_batch_released(worker_batch(worker), session->incarnation, exchange->number);
        wait_for_store(worker, session, exchange);
    } else {
        exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_STORED);
    }
}

static void assign(struct worker *worker, struct session *session, struct inflight *exchange)
{
    struct outbound *outbound = &session->outbound;
    exchange->sequence = outbound->next_sequence++;
    if (exchange->owed)
        store_batch_sent_at_qos(worker_batch(worker), session->incarnation, exchange->number,
                                exchange->qos, exchange->packet_identifier, exchange->sequence);
}

/* Steps the exchange and carries its actions out. The exchange may be gone afterwards. */
static void exchange_event(struct worker *worker, struct session *session,
                           struct inflight *exchange, uint8_t event)
{
    const struct fsm_row *row =
        fsm_step(machine_of(exchange), &exchange->state, event, session_subject(session));
    bool settled = false;
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (step_of(exchange, row->steps[i])) {
        case STEP_ASSIGN:
            assign(worker, session, exchange);
            break;
        case STEP_TAKE:
            quota_take(session, exchange);
            break;
        case STEP_FREE:
            quota_free(session, exchange);
            break;
        case STEP_PUBLISH:
        case STEP_DUP:
            if (!send_exchange(worker, session, exchange,
                               step_of(exchange, row->steps[i]) == STEP_DUP))
                return;
            break;
        case STEP_RECORD:
            record_pubrec(worker, session, exchange);
            break;
        case STEP_PUBREL:
            connection_send_acknowledgement(session->connection, PACKET_PUBREL,
                                            exchange->packet_identifier, 0, NULL);
            exchange->sent_ms = (uint32_t)worker->now_ms;
            break;
        case STEP_SETTLE:
            settle_row(worker, session, exchange->owed, exchange->number);
            settled = true;
            break;
        }
    }
    if (settled)
        inflight_free(&session->outbound, exchange);
}

/* Starts the exchange of a message whose turn has come. False: no memory. */
static bool start_exchange(struct worker *worker, struct session *session, struct queued *entry)
{
    struct outbound *outbound = &session->outbound;
    uint32_t slot = inflight_take(outbound);
    if (slot == INFLIGHT_NO_SLOT)
        return false;
    struct inflight *exchange = &outbound->inflight[slot];
    *exchange = (struct inflight){
        .message = entry->message,
        .identifiers = entry->identifiers,
        .number = entry->message->stored.number,
        .packet_identifier = inflight_unused_identifier(outbound),
        .qos = entry->qos,
        .retain = entry->retain,
        .owed = entry->owed,
        .group = entry->group,
    };
    if (pid_map_put(&outbound->by_identifier, exchange->packet_identifier, slot) != STATUS_OK) {
        exchange->message = NULL;
        exchange->identifiers = (struct identifiers){0};
        inflight_free(outbound, exchange);
        return false;
    }
    if (exchange->qos == 2) {
        bool owed = exchange->owed;
        exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_SEND);
#ifdef SEEDED_BUG_QOS2_PUBLISH_EARLY
        owed = false;
#endif
        if (owed)
            wait_for_store(worker, session, exchange);
        else
            exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_STORED);
    } else {
        exchange_event(worker, session, exchange, OUTBOUND_QOS1_EVENT_SEND);
    }
    return true;
}

bool outbound_can_send(const struct session *session)
{
    const struct connection *connection = session->connection;
    return connection != NULL && connection->state == CONNECTION_STATE_CONNECTED &&
           connection_backlog(connection) < OUTPUT_HIGH;
}

static void resend(struct worker *worker, struct session *session, struct inflight *exchange)
{
    bool qos2 = exchange->qos == 2;
    if (exchange->state != (qos2 ? (uint8_t)OUTBOUND_QOS2_STATE_UNACKNOWLEDGED
                                 : (uint8_t)OUTBOUND_QOS1_STATE_UNACKNOWLEDGED))
        return; /* acknowledged before we came to it, or released */
#ifdef SEEDED_BUG_EXPIRED_IN_FLIGHT
    if (expired(worker, exchange->message)) {
        exchange_event(worker, session, exchange, drop_event(exchange));
        return;
    }
#endif
    if (connection_publish_fits(session->connection, exchange->message, exchange->qos,
                                &exchange->identifiers)) {
        exchange_event(worker, session, exchange,
                       qos2 ? (uint8_t)OUTBOUND_QOS2_EVENT_SEND
                            : (uint8_t)OUTBOUND_QOS1_EVENT_SEND);
        return;
    }
    worker_drop(worker, session, DROP_TOO_LARGE);
    exchange_event(worker, session, exchange, drop_event(exchange));
}

static void pump_resends(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    while (outbound->resend_next < outbound->resend_count && outbound_can_send(session) &&
           session->connection->send_quota > 0) {
        /* Slots move when the table grows and are reused when it shrinks: by identifier, then. */
        uint16_t packet_identifier = (uint16_t)outbound->resend[outbound->resend_next++];
        struct inflight *exchange = inflight_find(outbound, packet_identifier);
        if (exchange == NULL)
            continue; /* acknowledged meanwhile */
        resend(worker, session, exchange);
    }
    if (outbound->resend_next == outbound->resend_count && outbound->resend != NULL) {
        free(outbound->resend);
        outbound->resend = NULL;
        outbound->resend_count = outbound->resend_next = 0;
    }
}

void outbound_update_full(const struct worker *worker, struct session *session)
{
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    const struct outbound *outbound = &session->outbound;
    uint64_t bytes = mqtt->max_queued_bytes;
    if (bytes == 0 && !session_is_stored(session)) /* nothing of it can leave memory (rule 24) */
        bytes = UNSTORED_BYTES;
    bool full =
        (mqtt->max_queued_messages > 0 && outbound_count(outbound) >= mqtt->max_queued_messages) ||
        (bytes > 0 && outbound->queued_bytes >= bytes);
    if (full != ((session_facts(session) & SESSION_FACT_FULL) != 0))
        session_set_fact(session, SESSION_FACT_FULL, full);
}

/* A retained message that waited for the socket at QoS 0 is overtaken by live ones, which do not
 * wait: when one of them has replaced it, it is not sent any more (rule 10). */
static bool outdated(const struct worker *worker, const struct queued *entry)
{
#ifdef SEEDED_BUG_RETAINED_OUTDATED
    return false;
#endif
    return entry->patient && !retained_is_current(worker->broker->retained, entry->message);
}

static void send_qos0(struct worker *worker, struct session *session, struct queued *entry)
{
    if (!outdated(worker, entry) &&
        connection_send_publish(session->connection, entry->message, 0, false, entry->retain, 0,
                                &entry->identifiers) != SEND_OK)
        worker_drop(worker, session, DROP_TOO_LARGE);
    message_drop(entry->message, 1);
    identifiers_fini(&entry->identifiers);
}

void outbound_pump(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    if (!outbound_can_send(session))
        return;
    pump_resends(worker, session);
    while (outbound->resend_count == 0 && outbound_can_send(session)) {
        struct queue *queue = oldest_queue(outbound);
        if (queue == NULL || queue->count == 0)
            break;
        struct queued *head = queue_at(queue, 0);
        if (expired(worker, head->message)) { /* [MQTT-3.3.2-5] */
            struct queued entry = queue_pop(queue);
            outbound_count_bytes(worker, outbound, entry.message, false);
            outbound->qos0_count -= entry.qos == 0;
            queued_drop(worker, session, &entry, DROP_EXPIRED);
            continue;
        }
        if (head->qos == 0) {
            struct queued entry = queue_pop(queue);
            outbound_count_bytes(worker, outbound, entry.message, false);
            outbound->qos0_count--;
            send_qos0(worker, session, &entry);
            continue;
        }
        if (session->connection->send_quota == 0 || /* [MQTT-4.9.0-2] */
            outbound->inflight_count >= INFLIGHT_MAX)
            break;
        struct queued entry = queue_pop(queue);
        outbound_count_bytes(worker, outbound, entry.message, false);
        if (!start_exchange(worker, session, &entry)) {
            queued_drop(worker, session, &entry, DROP_NO_MEMORY);
            break;
        }
    }
    if (outbound->paged.count < OUTBOUND_PAGE_MESSAGES / 4 &&
        (outbound->stored_count > 0 || outbound->numbers.count > 0))
        outbound_load(worker, session);
    outbound_update_full(worker, session);
}

/* ---- Deliveries ---- */

/* Not kept for a Client that is away, unless an option says so (5.0 section 4.1); then in memory
 * only. */
static bool keeps_qos0(const struct worker *worker, const struct session *session)
{
    return worker->broker->config->mqtt.queue_qos0_messages && session_is_stored(session) &&
           (session->connection == NULL ||
            session->connection->state != CONNECTION_STATE_CONNECTED);
}

static void deliver_qos0(struct worker *worker, struct session *session,
                         const struct message *message, struct delivery *delivery)
{
    struct connection *connection = session->connection;
    if (connection == NULL || connection->state != CONNECTION_STATE_CONNECTED)
        return;
    if (connection_backlog(connection) > worker->broker->config->mqtt.max_outgoing_buffer) {
        worker_drop(worker, session, DROP_SLOW_CONSUMER);
        return;
    }
    if (expired(worker, message))
        worker_drop(worker, session, DROP_EXPIRED);
    else if (connection_send_publish(connection, message, 0, false, delivery->retain, 0,
                                     &delivery->identifiers) != SEND_OK)
        worker_drop(worker, session, DROP_TOO_LARGE);
}

/* A publisher has seen no room in the queue. What has expired in it makes some for the next. */
static void refuse(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    worker_drop(worker, session, DROP_QUEUE_FULL);
    for (uint32_t left = outbound->queue.count; left > 0; left--) {
        if (!expired(worker, queue_at(&outbound->queue, 0)->message))
            break;
        struct queued entry = queue_pop(&outbound->queue);
        outbound_count_bytes(worker, outbound, entry.message, false);
        outbound->qos0_count -= entry.qos == 0;
        queued_drop(worker, session, &entry, DROP_EXPIRED);
    }
    outbound_update_full(worker, session);
}

/* A connected Client has more to come than its socket takes now. The count is bounded, because a
 * Client may ask for the same retained messages again and again. */
static bool must_wait(const struct worker *worker, const struct session *session)
{
    const struct outbound *outbound = &session->outbound;
    uint64_t limit = (uint64_t)worker->broker->config->mqtt.max_queued_messages +
                     retained_count(worker->broker->retained);
    return session->connection != NULL &&
           session->connection->state == CONNECTION_STATE_CONNECTED &&
           (outbound->queue.count > 0 || !outbound_can_send(session)) &&
           outbound->queue.count < limit;
}

void outbound_deliver(struct worker *worker, struct session *session, struct message *message,
                      struct delivery *delivery)
{
    struct outbound *outbound = &session->outbound;
    if (delivery->refused) {
        refuse(worker, session);
        identifiers_fini(&delivery->identifiers);
        return;
    }
    if (delivery->qos == 0 && !keeps_qos0(worker, session) &&
        !(delivery->patient && must_wait(worker, session))) {
        deliver_qos0(worker, session, message, delivery);
        identifiers_fini(&delivery->identifiers);
        return;
    }
    struct queued entry = {message,          delivery->identifiers, delivery->group,  delivery->qos,
                           delivery->retain, delivery->owed,        delivery->patient};
    message_hold(message, 1);
    bool idle = outbound->resend_count == 0 && outbound->paged.count == 0 &&
                oldest_queue(outbound) != NULL && outbound->queue.count == 0;
    if (idle && outbound_can_send(session) && session->connection->send_quota > 0 &&
        outbound->inflight_count < INFLIGHT_MAX && !expired(worker, message)) {
        if (start_exchange(worker, session, &entry))
            return;
    }
    outbound_update_full(worker, session);
    if (expired(worker, message)) {
        queued_drop(worker, session, &entry, DROP_EXPIRED);
        return;
    }
    if ((delivery->qos > 0 && (session_facts(session) & SESSION_FACT_FULL) != 0) ||
        queue_push(&outbound->queue, &entry) != STATUS_OK) {
        queued_drop(worker, session, &entry, DROP_QUEUE_FULL);
        return;
    }
    outbound_count_bytes(worker, outbound, message, true);
    outbound->qos0_count += delivery->qos == 0;
    outbound_update_full(worker, session);
    if (worker->queued_bytes > worker->broker->queue_memory_bytes)
        outbound_page_out(worker, session);
}

/* ---- What the Client says ---- */

void outbound_acknowledged(struct worker *worker, struct session *session, enum packet_type type,
                           uint16_t packet_identifier, uint8_t reason_code)
{
    struct inflight *exchange = inflight_find(&session->outbound, packet_identifier);
    if (exchange == NULL) {
        /* A QoS 2 sender that has forgotten answers PUBREC so that the receiver can forget, too. */
        if (type == PACKET_PUBREC && reason_code < 0x80)
            connection_send_acknowledgement(session->connection, PACKET_PUBREL, packet_identifier,
                                            REASON_PACKET_IDENTIFIER_NOT_FOUND, NULL);
        return;
    }
    if ((exchange->qos == 1) != (type == PACKET_PUBACK)) {
        connection_event(session->connection, CONNECTION_EVENT_MALFORMED, REASON_PROTOCOL_ERROR,
                         "MQTT-4.3.3-3", "acknowledgement does not fit the QoS of its PUBLISH");
        return;
    }
    if (type == PACKET_PUBACK)
        exchange_event(worker, session, exchange, OUTBOUND_QOS1_EVENT_PUBACK);
    else if (type == PACKET_PUBCOMP)
        exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_PUBCOMP);
    else
        exchange_event(worker, session, exchange,
                       reason_code < 0x80 ? OUTBOUND_QOS2_EVENT_PUBREC
                                          : OUTBOUND_QOS2_EVENT_PUBREC_ERROR);
    outbound_pump(worker, session);
}

void outbound_stored(struct worker *worker, struct session *session, uint16_t packet_identifier)
{
    struct inflight *exchange = inflight_find(&session->outbound, packet_identifier);
    CHECK(exchange != NULL);
    exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_STORED);
    outbound_pump(worker, session);
}

void outbound_resend_due(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    uint32_t interval_ms = worker->broker->config->sqlite.resend_interval_ms;
    for (uint32_t i = 0; outbound_can_send(session) && i < outbound->inflight_capacity; i++) {
        struct inflight *exchange = &outbound->inflight[i];
        if (exchange->packet_identifier != 0 &&
            (uint32_t)worker->now_ms - exchange->sent_ms >= interval_ms)
            exchange_event(worker, session, exchange,
                           exchange->qos == 2 ? (uint8_t)OUTBOUND_QOS2_EVENT_RESEND_DUE
                                              : (uint8_t)OUTBOUND_QOS1_EVENT_RESEND_DUE);
    }
}

/* ---- Shared subscriptions ---- */

static bool of_group(uint32_t group, uint32_t wanted)
{
    return group != 0 && (wanted == 0 || group == wanted);
}

void outbound_leave_group(struct worker *worker, struct session *session, uint32_t group, bool ends)
{
    struct outbound *outbound = &session->outbound;
    /* Oldest first; QoS 2 begun is never given to another [MQTT-4.8.2-5]. */
    for (uint32_t i = 0; ends && i < outbound->inflight_capacity; i++) {
        struct inflight *exchange = &outbound->inflight[i];
        if (exchange->packet_identifier != 0 && exchange->qos == 1 &&
            of_group(exchange->group, group) &&
            dispatch_move(worker, session, exchange->message, exchange->group, exchange->owed))
            exchange->owed = false;
    }
    for (uint32_t left = outbound->queue.count; left > 0; left--) {
        struct queued entry = queue_pop(&outbound->queue);
        if (of_group(entry.group, group) &&
            dispatch_move(worker, session, entry.message, entry.group, entry.owed)) {
            outbound_count_bytes(worker, outbound, entry.message, false);
            message_drop(entry.message, 1);
            identifiers_fini(&entry.identifiers);
        } else {
            CHECK(queue_push(&outbound->queue, &entry) == STATUS_OK);
        }
    }
}

/* ---- Connections come and go ---- */

/* QoS 0 that waited for the socket does not wait for the Client. */
static void drop_qos0(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    if (outbound->qos0_count == 0 || worker->broker->config->mqtt.queue_qos0_messages)
        return;
    for (uint32_t left = outbound->queue.count; left > 0; left--) {
        struct queued entry = queue_pop(&outbound->queue);
        if (entry.qos > 0) {
            CHECK(queue_push(&outbound->queue, &entry) == STATUS_OK);
            continue;
        }
        outbound_count_bytes(worker, outbound, entry.message, false);
        message_drop(entry.message, 1);
        identifiers_fini(&entry.identifiers);
    }
    outbound->qos0_count = 0;
}

void outbound_connection_lost(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    drop_qos0(worker, session);
    for (uint32_t i = 0; i < outbound->inflight_capacity; i++) {
        struct inflight *exchange = &outbound->inflight[i];
        if (exchange->packet_identifier == 0)
            continue;
        exchange->counted = false;
        fsm_step(machine_of(exchange), &exchange->state,
                 exchange->qos == 2 ? (uint8_t)OUTBOUND_QOS2_EVENT_CONNECTION_LOST
                                    : (uint8_t)OUTBOUND_QOS1_EVENT_CONNECTION_LOST,
                 session_subject(session));
    }
    free(outbound->resend);
    outbound->resend = NULL;
    outbound->resend_count = outbound->resend_next = 0;
}

struct resend_order {
    uint64_t sequence;
    uint16_t packet_identifier;
};

static int by_sequence(const void *a, const void *b)
{
    const struct resend_order *x = a, *y = b;
#ifdef SEEDED_BUG_RESEND_OUT_OF_ORDER
    x = b, y = a;
#endif
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

void outbound_resume(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    update_quota_fact(session);
    uint32_t count = 0;
    struct resend_order *order = NULL;
    if (outbound->inflight_count > 0) {
        order = malloc(outbound->inflight_count * sizeof *order);
        outbound->resend = malloc(outbound->inflight_count * sizeof *outbound->resend);
        CHECK(order != NULL && outbound->resend != NULL);
        for (uint32_t i = 0; i < outbound->inflight_capacity; i++) {
            if (outbound->inflight[i].packet_identifier != 0)
                order[count++] = (struct resend_order){outbound->inflight[i].sequence,
                                                       outbound->inflight[i].packet_identifier};
        }
        qsort(order, count, sizeof *order, by_sequence);
    }
    outbound->resend_next = 0;
    for (uint32_t i = 0; i < count; i++) {
        outbound->resend[i] = order[i].packet_identifier;
        struct inflight *exchange = inflight_find(outbound, order[i].packet_identifier);
        if (exchange->qos == 2) /* PUBRELs do not wait for the quota [MQTT-3.3.4-10] */
            exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_RESUME);
    }
    outbound->resend_count = count;
    free(order);
    outbound_pump(worker, session);
}

static uint64_t memory_of(const struct queue *queue)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < queue->count; i++)
        bytes += message_memory(queue_at(queue, i)->message);
    return bytes;
}

void outbound_fini(struct worker *worker, struct outbound *outbound)
{
    worker->queued_bytes -= memory_of(&outbound->paged) + memory_of(&outbound->queue);
    queue_fini(&outbound->paged);
    queue_fini(&outbound->queue);
    number_queue_fini(&outbound->numbers);
    for (uint32_t i = 0; i < outbound->inflight_capacity; i++) {
        if (outbound->inflight[i].message != NULL)
            message_drop(outbound->inflight[i].message, 1);
        identifiers_fini(&outbound->inflight[i].identifiers);
    }
    free(outbound->inflight);
    free(outbound->resend);
    pid_map_fini(&outbound->by_identifier);
    *outbound = (struct outbound){.inflight_free = INFLIGHT_NO_SLOT};
}
