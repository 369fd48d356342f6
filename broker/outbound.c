#include "broker/outbound.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/inflight.h"
#include "broker/permission.h"
#include "broker/session.h"
#include "broker/transition.h"
#include "fsm/machines.h"

enum {
    INFLIGHT_MAX = 32768,     /* half of all identifiers: a free one is found quickly */
    INFLIGHT_LARGE_MAX = 100, /* beyond so many in flight large messages wait */
    LARGE_BYTES = 16 * 1024,
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

uint64_t outbound_undelivered(const struct outbound *outbound)
{
    uint64_t count = outbound_count(outbound) - outbound->inflight_count;
    for (uint32_t i = 0; i < outbound->inflight_capacity; i++)
        count += outbound->inflight[i].message != NULL;
    return count;
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
    drop_message(worker, session, reason, entry->message);
    settle_row(worker, session, entry->owed, entry->message->stored.number);
    message_drop(entry->message, 1);
    identifiers_fini(&entry->identifiers);
}

static bool expired(const struct worker *worker, const struct message *message)
{
#ifdef SEEDED_BUG_EXPIRED_DELIVERED
    return false;
#endif
    return message_expired(message, worker->store_now_ms);
}

/* Whether it may be told of the message now: what was sent once is sent again without being asked
 * for. A Client that is away is asked about when it is back. */
static bool may_receive(const struct session *session, const struct message *message)
{
    return permission_to_receive(session->connection, message->stored.topic);
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

/* Whether the window is open for it [MQTT-4.9.0-2] [MQTT-3.3.4-9]. What is in flight stays in
 * memory until its Client acknowledges it, however little of that there is. */
static inline bool may_start(const struct session *session, const struct message *message)
{
    uint32_t inflight = session->outbound.inflight_count;
    bool many = inflight >= INFLIGHT_LARGE_MAX;
#ifdef SEEDED_BUG_LARGE_WINDOW
    many = false;
#endif
    return session->connection->send_quota > 0 && inflight < INFLIGHT_MAX &&
           (!many || message_bytes(message) <= LARGE_BYTES);
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

/* The two machines have these actions in common, by number too: QoS 2 has two more. */
#define IN_COMMON(action)                                                                          \
    _Static_assert((int)OUTBOUND_QOS1_ACTION_##action == (int)OUTBOUND_QOS2_ACTION_##action,       \
                   "one action, one number")
IN_COMMON(ASSIGN);
IN_COMMON(TAKE_QUOTA);
IN_COMMON(FREE_QUOTA);
IN_COMMON(PUBLISH);
IN_COMMON(PUBLISH_DUP);
IN_COMMON(SETTLE);
#undef IN_COMMON

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
    drop_message(worker, session, DROP_TOO_LARGE, exchange->message);
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
        transition_step(worker, session, machine_of(exchange), &exchange->state, event,
                        exchange->packet_identifier);
    _Static_assert((int)OUTBOUND_QOS1_EVENT_SEND == (int)OUTBOUND_QOS2_EVENT_SEND, "both are SEND");
    if (event == OUTBOUND_QOS1_EVENT_SEND)
        recorder_name_topic(worker, session, exchange->message->stored.topic);
    bool settled = false;
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case OUTBOUND_QOS2_ACTION_ASSIGN:
            assign(worker, session, exchange);
            break;
        case OUTBOUND_QOS2_ACTION_TAKE_QUOTA:
            quota_take(session, exchange);
            break;
        case OUTBOUND_QOS2_ACTION_FREE_QUOTA:
            quota_free(session, exchange);
            break;
        case OUTBOUND_QOS2_ACTION_PUBLISH:
        case OUTBOUND_QOS2_ACTION_PUBLISH_DUP:
            if (!send_exchange(worker, session, exchange,
                               row->steps[i] == OUTBOUND_QOS2_ACTION_PUBLISH_DUP))
                return;
            break;
        case OUTBOUND_QOS2_ACTION_RECORD_PUBREC:
            record_pubrec(worker, session, exchange);
            break;
        case OUTBOUND_QOS2_ACTION_PUBREL:
            connection_send_acknowledgement(session->connection, PACKET_PUBREL,
                                            exchange->packet_identifier, 0, NULL);
            exchange->sent_ms = (uint32_t)worker->now_ms;
            break;
        case OUTBOUND_QOS2_ACTION_SETTLE:
            settle_row(worker, session, exchange->owed, exchange->number);
            settled = true;
            break;
        }
    }
    if (settled)
        inflight_free(&session->outbound, exchange);
}

/* Starts the exchange of a message whose turn has come. */
static void start_exchange(struct worker *worker, struct session *session, struct queued *entry)
{
    struct inflight *exchange = inflight_begin(&session->outbound);
    exchange->message = entry->message;
    exchange->identifiers = entry->identifiers;
    exchange->number = entry->message->stored.number;
    exchange->qos = entry->qos;
    exchange->retain = entry->retain;
    exchange->owed = entry->owed;
    exchange->group = entry->group;
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
    drop_message(worker, session, DROP_TOO_LARGE, exchange->message);
    exchange_event(worker, session, exchange, drop_event(exchange));
}

static void pump_resends(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    while (outbound->resend_next < outbound->resend_count && outbound_can_send(session) &&
           session->connection->send_quota > 0) {
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

/* A retained message that waited for the socket at QoS 0 is overtaken by live ones, which do not
 * wait: when one of them has replaced it, it is not sent any more (rule 10). */
static bool outdated(const struct worker *worker, const struct queued *entry)
{
#ifdef SEEDED_BUG_RETAINED_OUTDATED
    return false;
#endif
    return entry->patient && !retained_is_current(entry->message);
}

static void send_qos0(struct worker *worker, struct session *session, struct queued *entry)
{
    if (!outdated(worker, entry) &&
        connection_send_publish(session->connection, entry->message, 0, false, entry->retain, 0,
                                &entry->identifiers) != SEND_OK)
        drop_message(worker, session, DROP_TOO_LARGE, entry->message);
    message_drop(entry->message, 1);
    identifiers_fini(&entry->identifiers);
}

/* Takes the oldest message out, and counts for how long it was owed: not of a retained message
 * that was asked for, which is older than the subscription. */
static struct queued take_head(struct worker *worker, struct outbound *outbound,
                               struct queue *queue)
{
    struct queued entry = queue_pop(queue);
    outbound_count_bytes(worker, outbound, entry.message, false);
    int64_t age_ms = worker->store_now_ms - entry.message->stored.received_at_ms;
#ifdef SEEDED_BUG_AGE_OF_RETAINED
    entry.patient = false;
#endif
    if (!entry.patient)
        distribution_add(&worker->counters.queue_age,
                         age_ms > 0 ? (uint64_t)age_ms / COUNTERS_AGE_MS : 0);
    return entry;
}

static void pump_queue(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    while (outbound->resend_count == 0 && outbound_can_send(session)) {
        struct queue *queue = oldest_queue(outbound);
        if (queue == NULL || queue->count == 0)
            break;
        struct queued *head = queue_at(queue, 0);
        if (expired(worker, head->message)) { /* [MQTT-3.3.2-5] */
            outbound_drop_head(worker, session, queue, DROP_EXPIRED);
            continue;
        }
#ifndef SEEDED_BUG_QUEUED_RIGHT_KEPT
        if (!may_receive(session, head->message)) {
            outbound_drop_head(worker, session, queue, DROP_NO_LONGER_AUTHORISED);
            continue;
        }
#endif
        if (head->qos == 0) {
            struct queued entry = take_head(worker, outbound, queue);
            outbound->qos0_count--;
            send_qos0(worker, session, &entry);
            continue;
        }
        if (!may_start(session, head->message))
            break;
        struct queued entry = take_head(worker, outbound, queue);
        start_exchange(worker, session, &entry);
    }
}

void outbound_pump(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    if (!outbound_can_send(session)) {
        outbound_update_room(worker, session);
        return;
    }
    pump_resends(worker, session);
    pump_queue(worker, session);
    if (outbound->inflight_count == 0) /* behind what takes its place */
        inflight_fini(outbound);
    if (outbound->paged.count < OUTBOUND_PAGE_MESSAGES / 4 &&
        (outbound->stored_count > 0 || outbound->numbers.count > 0))
        outbound_load(worker, session);
    outbound_update_room(worker, session);
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

/* DUP 0, and forgotten [MQTT-4.3.1-1]. */
static void deliver_qos0(struct worker *worker, struct session *session,
                         const struct message *message, struct delivery *delivery)
{
    struct connection *connection = session->connection;
    if (connection == NULL || connection->state != CONNECTION_STATE_CONNECTED)
        return;
    if (connection_backlog(connection) > worker->broker->config->mqtt.max_outgoing_buffer) {
        drop_message(worker, session, DROP_SLOW_CONSUMER, message);
        return;
    }
    if (expired(worker, message))
        drop_message(worker, session, DROP_EXPIRED, message);
    else if (connection_send_publish(connection, message, 0, false, delivery->retain, 0,
                                     &delivery->identifiers) != SEND_OK)
        drop_message(worker, session, DROP_TOO_LARGE, message);
}

void outbound_drop_head(struct worker *worker, struct session *session, struct queue *queue,
                        enum drop_reason reason)
{
    struct outbound *outbound = &session->outbound;
    struct queued entry = queue_pop(queue);
    outbound_count_bytes(worker, outbound, entry.message, false);
    outbound->qos0_count -= entry.qos == 0;
    queued_drop(worker, session, &entry, expired(worker, entry.message) ? DROP_EXPIRED : reason);
}

/* A publisher has got no room in the queue. What has expired in it makes some for the next. */
static void refuse(struct worker *worker, struct session *session, const struct message *message,
                   enum drop_reason reason)
{
    struct outbound *outbound = &session->outbound;
    drop_message(worker, session, reason, message);
    while (outbound->queue.count > 0 && expired(worker, queue_at(&outbound->queue, 0)->message))
        outbound_drop_head(worker, session, &outbound->queue, DROP_EXPIRED);
    outbound_update_room(worker, session);
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

/* A filter may match more than its Client may read: that is not for it, and is counted for the
 * broker alone. */
static void withhold(struct worker *worker, struct session *session, const struct message *message,
                     struct delivery *delivery)
{
    drop_unnamed(worker, DROP_NOT_READABLE);
    recorder_add(worker, session, RECORDER_DROP, DROP_NOT_READABLE, 0, 0);
    recorder_name_topic(worker, session, message->stored.topic);
    settle_row(worker, session, delivery->owed, message->stored.number);
    identifiers_fini(&delivery->identifiers);
}

/* What was promised room is never dropped for want of it: that was the publisher's to see. */
static void deliver(struct worker *worker, struct session *session, struct message *message,
                    struct delivery *delivery)
{
    struct outbound *outbound = &session->outbound;
#ifndef SEEDED_BUG_MAY_RECEIVE_ALL
    if (session->connection != NULL && !may_receive(session, message)) {
        withhold(worker, session, message, delivery);
        return;
    }
#endif
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
    if (idle && outbound_can_send(session) && may_start(session, message) &&
        !expired(worker, message)) {
        start_exchange(worker, session, &entry);
        return;
    }
    if (expired(worker, message)) {
        queued_drop(worker, session, &entry, DROP_EXPIRED);
        return;
    }
#ifdef SEEDED_BUG_PROMISED_AND_DROPPED
    outbound_update_room(worker, session);
    if (delivery->qos > 0 && (session_facts(session) & SESSION_FACT_FULL) != 0) {
        queued_drop(worker, session, &entry, DROP_QUEUE_FULL);
        return;
    }
#endif
    queue_push(&outbound->queue, &entry);
    outbound_count_bytes(worker, outbound, message, true);
    outbound->qos0_count += delivery->qos == 0;
    if (worker->broker->config->mqtt.queue_full_policy == QUEUE_FULL_DROP_OLDEST)
        outbound_trim(worker, session);
    else
        outbound_update_room(worker, session);
    if (worker->queued_bytes > worker->broker->queue_memory_bytes)
        outbound_page_out(worker, session);
}

void outbound_deliver(struct worker *worker, struct session *session, struct message *message,
                      struct delivery *delivery)
{
    if (delivery->refused) {
        refuse(worker, session, message, (enum drop_reason)delivery->refused_for);
        identifiers_fini(&delivery->identifiers);
        return;
    }
    deliver(worker, session, message, delivery);
    if (!delivery->reserved)
        return;
    outbound_update_room(worker, session); /* first: it is either in the queue or reserved */
    room_give_back(&session->room, message_bytes(message));
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
    if (reason_code >= 0x80 && type != PACKET_PUBCOMP)
        drop_one(worker, session, DROP_CLIENT_REFUSED);
    if (type == PACKET_PUBACK)
        exchange_event(worker, session, exchange, OUTBOUND_QOS1_EVENT_PUBACK);
    else if (type == PACKET_PUBCOMP)
        exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_PUBCOMP);
    else
        exchange_event(worker, session, exchange,
                       reason_code < 0x80 ? OUTBOUND_QOS2_EVENT_PUBREC
                                          : OUTBOUND_QOS2_EVENT_PUBREC_ERROR);
}

void outbound_stored(struct worker *worker, struct session *session, uint16_t packet_identifier)
{
    struct inflight *exchange = inflight_find(&session->outbound, packet_identifier);
    CHECK(exchange != NULL);
    exchange_event(worker, session, exchange, OUTBOUND_QOS2_EVENT_STORED);
    outbound_pump(worker, session);
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

/* All that has an identifier, in the order in which it was sent first [MQTT-4.6.0-6]. Returns how
 * many; `*out` is the caller's, NULL for none. */
static uint32_t exchanges_in_order(const struct outbound *outbound, struct resend_order **out)
{
    *out = NULL;
    if (outbound->inflight_count == 0)
        return 0;
    uint32_t count = 0;
    *out = memory_take(outbound->inflight_count * sizeof **out);
    for (uint32_t i = 0; i < outbound->inflight_capacity; i++) {
        const struct inflight *exchange = &outbound->inflight[i];
        if (exchange->packet_identifier != 0)
            (*out)[count++] =
                (struct resend_order){exchange->sequence, exchange->packet_identifier};
    }
    qsort(*out, count, sizeof **out, by_sequence);
    return count;
}

void outbound_resend_due(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    uint32_t interval_ms = worker->broker->config->sqlite.resend_interval_ms;
    struct resend_order *order;
    uint32_t count = exchanges_in_order(outbound, &order);
    for (uint32_t i = 0; outbound_can_send(session) && i < count; i++) {
        struct inflight *exchange = inflight_find(outbound, order[i].packet_identifier);
        if (exchange != NULL && (uint32_t)worker->now_ms - exchange->sent_ms >= interval_ms)
            exchange_event(worker, session, exchange,
                           exchange->qos == 2 ? (uint8_t)OUTBOUND_QOS2_EVENT_RESEND_DUE
                                              : (uint8_t)OUTBOUND_QOS1_EVENT_RESEND_DUE);
    }
    free(order);
}

/* ---- Shared subscriptions ---- */

static bool of_group(uint32_t group, uint32_t wanted)
{
    return group != 0 && (wanted == 0 || group == wanted);
}

void outbound_leave_group(struct worker *worker, struct session *session, uint32_t group, bool ends)
{
    struct outbound *outbound = &session->outbound;
    /* Oldest first; QoS 2 begun is never given to another [MQTT-4.8.2-5], and its own member gets
     * it on return [MQTT-4.8.2-4]. */
    for (uint32_t i = 0; ends && i < outbound->inflight_capacity; i++) {
        struct inflight *exchange = &outbound->inflight[i];
        if (exchange->packet_identifier != 0 && exchange->qos == 1 &&
            of_group(exchange->group, group) &&
            dispatch_move(worker, session, exchange->message, exchange->group, exchange->owed)) {
            exchange->owed = false;
            message_drop(exchange->message, 1);
            exchange->message = NULL;
        }
    }
    for (uint32_t left = outbound->queue.count; left > 0; left--) {
        struct queued entry = queue_pop(&outbound->queue);
        if (of_group(entry.group, group) &&
            dispatch_move(worker, session, entry.message, entry.group, entry.owed)) {
            outbound_count_bytes(worker, outbound, entry.message, false);
            message_drop(entry.message, 1);
            identifiers_fini(&entry.identifiers);
        } else {
            queue_push(&outbound->queue, &entry);
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
            queue_push(&outbound->queue, &entry);
            continue;
        }
        outbound_count_bytes(worker, outbound, entry.message, false);
        queued_drop(worker, session, &entry, DROP_CLIENT_GONE);
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
        transition_step(worker, session, machine_of(exchange), &exchange->state,
                        exchange->qos == 2 ? (uint8_t)OUTBOUND_QOS2_EVENT_CONNECTION_LOST
                                           : (uint8_t)OUTBOUND_QOS1_EVENT_CONNECTION_LOST,
                        exchange->packet_identifier);
    }
    if (outbound->inflight_count == 0)
        inflight_fini(outbound);
    free(outbound->resend);
    outbound->resend = NULL;
    outbound->resend_count = outbound->resend_next = 0;
    outbound_update_room(worker, session); /* of what the last input had acknowledged */
}

void outbound_resume(struct worker *worker, struct session *session)
{
    struct outbound *outbound = &session->outbound;
    update_quota_fact(session);
    struct resend_order *order;
    uint32_t count = exchanges_in_order(outbound, &order);
    if (count > 0)
        outbound->resend = memory_take(count * sizeof *outbound->resend);
    outbound->resend_next = 0;
    for (uint32_t i = 0; i < count; i++) {
        outbound->resend[i] = order[i].packet_identifier;
        struct inflight *exchange = inflight_find(outbound, order[i].packet_identifier);
        /* PUBRELs [MQTT-4.4.0-1] do not wait for quota [MQTT-3.3.4-10] [MQTT-4.9.0-3]. */
        if (exchange->qos == 2)
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
    outbound_no_longer_near_full(worker, outbound);
    worker->queued_bytes -= memory_of(&outbound->paged) + memory_of(&outbound->queue);
    queue_fini(&outbound->paged);
    queue_fini(&outbound->queue);
    number_queue_fini(&outbound->numbers);
    for (uint32_t i = 0; i < outbound->inflight_capacity; i++) {
        if (outbound->inflight[i].message != NULL)
            message_drop(outbound->inflight[i].message, 1);
        identifiers_fini(&outbound->inflight[i].identifiers);
    }
    inflight_fini(outbound);
    free(outbound->resend);
    *outbound = (struct outbound){0};
}
