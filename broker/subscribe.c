/* SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11). SUBACK and UNSUBACK leave when the change is durable;
 * the index has it before that (rule 5).
 *
 * A SUBSCRIBE that wants retained messages has three steps (rule 10; docs/ordering.md has the
 * proof). It changes the index. Then it waits for a round of all workers, so that what was matched
 * without it has been retained, and what was matched before has arrived. Then it sends those of the
 * retained messages that were routed as of an older index: the others it gets live.
 *
 * The last step takes as many turns of the worker as it needs, so that nobody else waits for it,
 * and pauses while the disk is behind. It may take any time: what is retained meanwhile was routed
 * as of an index that has the subscription, and what that has replaced is not sent any more. */

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/permission.h"
#include "broker/publish.h"
#include "broker/session.h"
#include "protocol/topic.h"

enum { OPTION_QOS = 3, OPTION_NO_LOCAL = 4, OPTION_RETAIN_AS_PUBLISHED = 8 };

/* A turn of the worker spends this long on retained messages, and the rest of one walk over them:
 * whoever subscribes to many with many filters must not keep others waiting. */
enum { RETAINED_MS = 5, MESSAGES_AT_A_TIME = 64 };

static uint8_t options_of(const struct subscription_request *request, uint8_t qos)
{
    return (uint8_t)(qos | (request->no_local ? OPTION_NO_LOCAL : 0) |
                     (request->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0) |
                     request->retain_handling << 4);
}

static void record_subscription(struct worker *worker, const struct session *session,
                                const struct subscription *subscription)
{
    struct store_subscription row = {
        .topic_filter = bytes_of(subscription->filter, subscription->filter_size),
        .options = subscription->options,
        .identifier = subscription->identifier,
    };
    store_batch_subscribe(worker_batch(worker), session->incarnation, &row);
}

/* The number of a shared subscription: equal for all its members. */
static uint32_t shared_group(const struct worker *worker, struct bytes text)
{
    return (uint32_t)hash_bytes(&worker->broker->key, text.data, text.size) | 1;
}

enum status subscription_restore(struct worker *worker, struct session *session, struct bytes text,
                                 uint8_t options, uint32_t identifier, struct subscription **out,
                                 uint64_t *out_version)
{
    size_t offset;
    struct topic_filter filter = topic_filter_parse(text, true, &offset);
    if (filter.kind == TOPIC_FILTER_INVALID)
        return STATUS_INVALID;
    struct subscription *subscription = malloc(sizeof *subscription + text.size);
    if (subscription == NULL)
        return STATUS_NO_MEMORY;
    *subscription = (struct subscription){
        .identifier = identifier,
        .filter_size = (uint16_t)text.size,
        .options = options,
    };
    put_bytes(subscription->filter, text);
    struct subscriber subscriber = {
        .session = session,
        .incarnation = session->incarnation,
        .subscription_identifier = identifier,
        .home = session->home,
        .options = options,
        .group = shared_group(worker, text),
    };
    struct bytes share = filter.kind == TOPIC_FILTER_SHARED ? filter.share_name : bytes_of(NULL, 0);
    enum status status = topic_index_add(worker->broker->index, share, filter.filter, &subscriber,
                                         &subscription->entry, out_version);
    if (status != STATUS_OK) {
        free(subscription);
        return status;
    }
    status = session_subscription_add(session, &worker->broker->key, subscription);
    if (status != STATUS_OK) {
        topic_index_remove(worker->broker->index, subscription->entry);
        free(subscription);
        return status;
    }
    *out = subscription;
    return STATUS_OK;
}

void subscription_end(struct worker *worker, struct subscription *subscription)
{
    topic_index_remove(worker->broker->index, subscription->entry);
    subscription->entry = NULL;
    if (subscription->unanswered == 0)
        free(subscription);
}

/* ---- Retained messages for a new subscription ---- */

/* Sorted without a look at the messages, which lie all over memory. */
struct retained_found {
    uint64_t number;
    struct message *message; /* a reference */
};

struct retained_visit {
    int64_t store_now_ms;
    uint64_t version; /* of the index that has the subscription first */
    uint64_t not_of;  /* No Local: the incarnation whose own are left out; or 0 */
    struct retained_found *found;
    uint32_t count, capacity;
};

static void visit_retained(void *context, struct message *message)
{
    struct retained_visit *visit = context;
#ifndef SEEDED_BUG_RETAINED_AND_LIVE
    if (message->routed_version >= visit->version)
        return; /* it comes, or has come, as a live one */
#endif
    if (visit->not_of != 0 && message->stored.publisher == visit->not_of)
        return; /* [MQTT-3.8.3-3] */
    if (visit->count == visit->capacity) {
        uint32_t capacity = visit->capacity > 0 ? visit->capacity * 2 : 16;
        struct retained_found *found = realloc(visit->found, capacity * sizeof *found);
        if (found == NULL) {
            log_line(LOG_ERROR, "out of memory: a retained message is not sent");
            return;
        }
        visit->found = found;
        visit->capacity = capacity;
    }
    if (message_expired(message, visit->store_now_ms)) /* [MQTT-3.3.2-5] */
        return;
    message_hold(message, 1);
    visit->found[visit->count++] = (struct retained_found){message->stored.number, message};
}

/* In the order in which they were published. */
static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct retained_found *)a)->number;
    uint64_t y = ((const struct retained_found *)b)->number;
    return x < y ? -1 : x > y;
}

/* ---- Answers that wait ---- */

/* A SUBSCRIBE or UNSUBSCRIBE between its effect on the index and its answer. */
struct subscribing {
    struct list list; /* of the worker: by round, and then in turns with those of other sessions */
    struct subscribing *behind; /* the session's next, when its round is done, too */
    struct session *session;
    uint64_t incarnation;
    uint64_t round;
    uint64_t lsn; /* of what it has recorded; 0: nothing */
    uint32_t connection_serial;
    uint16_t packet_identifier;
    bool is_subscribe;
    bool answered;  /* before its retained messages, where nothing is stored */
    uint8_t *codes; /* of all filters, behind `entries` */
    uint32_t code_count;
    uint32_t entry_count;
    uint32_t entries_done;
    bool has_read; /* the retained messages for the next entry: */
    struct retained_found *found;
    uint32_t found_count, found_sent;
    struct subscribing_entry {
        struct subscription *subscription;
        uint64_t version; /* of the index that has it first; 0: wants no retained messages */
    } entries[];          /* what was granted */
};

/* With room for the codes of `count` filters and as many `entries`. NULL: no memory, and the
 * connection is being closed. */
static struct subscribing *subscribing_new(struct connection *connection,
                                           uint16_t packet_identifier, bool is_subscribe,
                                           uint32_t count)
{
    size_t entries = is_subscribe ? count : 0;
    struct subscribing *subscribing =
        malloc(sizeof *subscribing + entries * sizeof subscribing->entries[0] + count);
    if (subscribing == NULL) {
        connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "out of memory");
        return NULL;
    }
    *subscribing = (struct subscribing){
        .session = connection->session,
        .incarnation = connection->session->incarnation,
        .connection_serial = connection->serial,
        .packet_identifier = packet_identifier,
        .is_subscribe = is_subscribe,
        .codes = (uint8_t *)(subscribing->entries + entries),
    };
    return subscribing;
}

/* Sends an encoded packet, behind what this connection waits for. */
static void send_behind(struct connection *connection, const struct packet *packet, uint64_t lsn)
{
    if (lsn == 0 && connection->waiting == 0) {
        connection_send(connection, packet);
        return;
    }
    struct worker *worker = connection->worker;
    size_t size = packet_encode((enum mqtt_version)connection->version, packet, NULL, 0);
    struct waiting_bytes *bytes = memory_take(sizeof *bytes + size);
    bytes->size = (uint32_t)size;
    packet_encode((enum mqtt_version)connection->version, packet, bytes->bytes, size);
    uint64_t last = waiting_last_lsn(&worker->waiting);
    struct waiting_entry entry = {
        .lsn = lsn > last ? lsn : last,
        .session = connection->session,
        .incarnation = connection->session->incarnation,
        .data = bytes,
        .connection_serial = connection->serial,
        .kind = WAITING_BYTES,
    };
    connection->waiting++;
    waiting_push(worker, &entry);
}

static void send_answer(struct connection *connection, const struct subscribing *subscribing)
{
    struct bytes codes = bytes_of(subscribing->codes, subscribing->code_count);
    struct packet packet;
    if (subscribing->is_subscribe) {
        packet.type = PACKET_SUBACK;
        /* [MQTT-2.2.1-6] [MQTT-3.8.4-2] */
        packet.suback.packet_identifier = subscribing->packet_identifier;
        packet.suback.properties.present = 0;
        packet.suback.reason_codes = codes;
    } else {
        packet.type = PACKET_UNSUBACK;
        /* [MQTT-2.2.1-6] [MQTT-3.10.4-5] */
        packet.unsuback.packet_identifier = subscribing->packet_identifier;
        packet.unsuback.properties.present = 0;
        packet.unsuback.reason_codes = codes;
    }
    send_behind(connection, &packet, subscribing->lsn);
}

static void read_retained(struct worker *worker, struct subscribing *subscribing,
                          const struct subscribing_entry *entry)
{
    const struct subscription *subscription = entry->subscription;
    struct retained_visit visit = {
        .store_now_ms = worker->store_now_ms,
        .version = entry->version,
        .not_of =
            (subscription->options & OPTION_NO_LOCAL) != 0 ? subscribing->session->incarnation : 0,
    };
    retained_match(worker->broker->retained,
                   bytes_of(subscription->filter, subscription->filter_size), visit_retained,
                   &visit);
    if (visit.count > 1)
        qsort(visit.found, visit.count, sizeof visit.found[0], by_number);
    subscribing->has_read = true;
    subscribing->found = visit.found;
    subscribing->found_count = visit.count;
    subscribing->found_sent = 0;
}

static void forget_retained(struct subscribing *subscribing)
{
    for (uint32_t i = subscribing->found_sent; i < subscribing->found_count; i++)
        message_drop(subscribing->found[i].message, 1);
    free(subscribing->found);
    subscribing->found = NULL;
    subscribing->found_count = subscribing->found_sent = 0;
    subscribing->has_read = false;
}

/* Sent because of the subscription: RETAIN is 1 whatever Retain As Published says
 * (5.0 section 3.3.1.3, 3.1.1 [MQTT-3.3.1-8]). What has been replaced since it was read comes live.
 */
static void send_retained(struct worker *worker, struct session *session,
                          const struct subscription *subscription, struct message *message)
{
    uint8_t qos = subscription->options & OPTION_QOS;
    if (!retained_is_current(message))
        return;
    if (qos == 0 || message->stored.qos == 0 || (session_facts(session) & SESSION_FACT_FULL) == 0)
        dispatch_retained_to(worker, session, message, qos, true, subscription->identifier);
    else
        drop_one(worker, session, DROP_QUEUE_FULL);
}

enum progress { PROGRESS_DONE, PROGRESS_NEEDS_TIME, PROGRESS_NEEDS_DISK, PROGRESS_NEEDS_ROOM };

/* What a session that is not stored is to get has to stay in memory: the rest waits until the
 * Client has taken some, and leaves room for what comes live. */
static bool must_wait_for_client(const struct session *session)
{
#ifdef SEEDED_BUG_RETAINED_UNPACED
    return false;
#endif
    return !session_is_stored(session) && session->outbound.near_full;
}

/* What the next of them will touch. */
static void prefetch_found(const struct subscribing *subscribing)
{
    enum { AHEAD = 8 };
    if (subscribing->found_count - subscribing->found_sent <= AHEAD)
        return;
    const char *message = (const char *)subscribing->found[subscribing->found_sent + AHEAD].message;
    for (unsigned line = 0; line < 3; line++)
        __builtin_prefetch(message + 64 * line);
}

/* As many of the retained messages as there is time for, and room to record. */
static enum progress send_all_retained(struct worker *worker, struct subscribing *subscribing,
                                       const struct subscribing_entry *entry, uint64_t until_ms)
{
    struct session *session = subscribing->session;
    bool queued = (entry->subscription->options & OPTION_QOS) > 0;
    bool recorded = queued && session_is_stored(session);
    if (recorded && worker_is_overloaded(worker))
        return PROGRESS_NEEDS_DISK;
    if (!subscribing->has_read)
        read_retained(worker, subscribing, entry);
    while (subscribing->found_sent < subscribing->found_count) {
        if (recorded && worker_is_overloaded(worker))
            return PROGRESS_NEEDS_DISK;
        if (queued && must_wait_for_client(session))
            return PROGRESS_NEEDS_ROOM;
        if (subscribing->found_sent % MESSAGES_AT_A_TIME == MESSAGES_AT_A_TIME - 1 &&
            broker_clock_ms() >= until_ms)
            return PROGRESS_NEEDS_TIME;
        prefetch_found(subscribing);
        struct message *message = subscribing->found[subscribing->found_sent++].message;
        send_retained(worker, session, entry->subscription, message);
        message_drop(message, 1);
    }
    return PROGRESS_DONE;
}

/* What a subscription was granted for: its retained messages, and behind them, for a stored
 * session, its row. So a SUBACK promises both, and where the broker was killed before it, the
 * Client finds no subscription that would keep it from asking for them again. */
static enum progress complete(struct worker *worker, struct subscribing *subscribing,
                              const struct subscribing_entry *entry, uint64_t until_ms)
{
    if (entry->version > 0) {
        enum progress progress = send_all_retained(worker, subscribing, entry, until_ms);
        if (progress != PROGRESS_DONE)
            return progress;
    }
    if (!session_is_stored(subscribing->session))
        return PROGRESS_DONE;
    record_subscription(worker, subscribing->session, entry->subscription);
    entry->subscription->recorded = true;
    subscribing->lsn = worker_lsn(worker);
#ifdef SEEDED_BUG_SUBACK_EARLY
    subscribing->lsn = 0;
#endif
    return PROGRESS_DONE;
}

/* Sends SUBACK or UNSUBACK, if that was not done before. Returns the connection if it is still
 * there. */
static struct connection *answer(struct subscribing *subscribing)
{
    const struct session *session = subscribing->session;
    struct connection *connection =
        session->incarnation == subscribing->incarnation ? session->connection : NULL;
    if (connection != NULL && connection->serial != subscribing->connection_serial)
        connection = NULL;
    if (connection != NULL && !subscribing->answered) {
        subscribing->answered = true;
        connection->unanswered_filters -= subscribing->code_count;
        send_answer(connection, subscribing);
    }
    return connection;
}

/* The session may have ended, the Client may have gone or unsubscribed meanwhile. */
static enum progress complete_next(struct worker *worker, struct subscribing *subscribing,
                                   uint64_t until_ms)
{
    const struct subscribing_entry *entry = &subscribing->entries[subscribing->entries_done];
    struct subscription *subscription = entry->subscription;
    /* Either order is allowed (5.0 section 3.8.4); but many a Client looks for its SUBACK first. */
    if (!session_is_stored(subscribing->session))
        answer(subscribing);
    if (subscription->entry != NULL) {
        enum progress progress = complete(worker, subscribing, entry, until_ms);
        if (progress != PROGRESS_DONE)
            return progress;
    }
    forget_retained(subscribing);
    subscribing->entries_done++;
    if (--subscription->unanswered == 0 && subscription->entry == NULL)
        free(subscription);
    return PROGRESS_DONE;
}

/* Its round is done: it is answered in turns with others, behind what its session waits for. */
static void take_turns(struct worker *worker, struct subscribing *subscribing)
{
    struct session *session = subscribing->session;
    bool lives = session->incarnation == subscribing->incarnation;
    if (lives && session->last_subscribing != NULL)
        session->last_subscribing->behind = subscribing;
    else
        list_append(&worker->answering, &subscribing->list);
    if (lives)
        session->last_subscribing = subscribing;
}

/* Answers it at once, or when its round is done; never before an earlier one of this connection. */
static void answer_in_order(struct connection *connection, struct subscribing *subscribing,
                            bool needs_round)
{
    struct worker *worker = connection->worker;
    bool behind = connection->unanswered_filters > 0;
    connection->unanswered_filters += subscribing->code_count;
    if (!behind && !needs_round) {
        while (subscribing->entries_done < subscribing->entry_count)
            complete_next(worker, subscribing, 0);
        answer(subscribing);
        free(subscribing);
        return;
    }
#ifdef SEEDED_BUG_RETAINED_WITHOUT_ROUND
    needs_round = false;
#endif
    if (needs_round)
        subscribing->round = worker_round(worker);
    else if (!list_empty(&worker->subscribing))
        subscribing->round =
            CONTAINER_OF(worker->subscribing.prev, struct subscribing, list)->round;
    if (worker_round_is_done(worker, subscribing->round))
        take_turns(worker, subscribing);
    else
        list_append(&worker->subscribing, &subscribing->list);
}

void subscribe_round_done(struct worker *worker)
{
    while (!list_empty(&worker->subscribing)) {
        struct subscribing *first =
            CONTAINER_OF(worker->subscribing.next, struct subscribing, list);
        if (!worker_round_is_done(worker, first->round))
            return;
        list_remove(&first->list);
        take_turns(worker, first);
        worker->answers_left = true;
    }
}

/* Answers it, and lets the session's next have its turn. */
static void finish(struct worker *worker, struct subscribing *subscribing)
{
    struct session *session = subscribing->session;
    if (session->incarnation == subscribing->incarnation &&
        session->last_subscribing == subscribing)
        session->last_subscribing = NULL;
    if (subscribing->behind != NULL)
        list_append(&worker->answering, &subscribing->behind->list);
    struct connection *connection = answer(subscribing);
    free(subscribing);
    if (connection != NULL && !connection->closed)
        connection_continue(connection);
}

bool subscribe_go_on(struct worker *worker)
{
    uint64_t until_ms = broker_clock_ms() + RETAINED_MS;
    struct list *node = worker->answering.next;
    while (node != &worker->answering) {
        struct subscribing *subscribing = CONTAINER_OF(node, struct subscribing, list);
        enum progress progress = subscribing->entries_done < subscribing->entry_count
                                     ? complete_next(worker, subscribing, until_ms)
                                     : PROGRESS_DONE;
        if (progress == PROGRESS_NEEDS_TIME)
            return true;
        struct list *next = node->next;
        if (progress == PROGRESS_DONE) {
            /* To the end after each filter: then the next, and nobody waits for all of another's.
             * What has begun with one stays in front, so that few hold retained messages. */
            list_remove(node);
            if (subscribing->entries_done < subscribing->entry_count)
                list_append(&worker->answering, node);
            else
                finish(worker, subscribing);
            if (next == &worker->answering)
                next = worker->answering.next;
            if (broker_clock_ms() >= until_ms)
                return true;
        }
        node = next;
    }
    return false;
}

static void discard_all(struct list *subscribings)
{
    for (struct list *node; (node = list_pop(subscribings)) != NULL;) {
        struct subscribing *subscribing = CONTAINER_OF(node, struct subscribing, list);
        while (subscribing != NULL) {
            struct subscribing *behind = subscribing->behind;
            forget_retained(subscribing);
            for (uint32_t i = subscribing->entries_done; i < subscribing->entry_count; i++) {
                struct subscription *subscription = subscribing->entries[i].subscription;
                if (--subscription->unanswered == 0 && subscription->entry == NULL)
                    free(subscription);
            }
            free(subscribing);
            subscribing = behind;
        }
    }
}

void subscribe_discard(struct worker *worker)
{
    discard_all(&worker->subscribing);
    discard_all(&worker->answering);
}

/* ---- SUBSCRIBE ---- */

static uint8_t failure(const struct connection *connection, uint8_t reason_code)
{
    return connection->version == MQTT_VERSION_5 ? reason_code : 0x80;
}

static bool at_subscription_limit(const struct worker *worker, const struct session *session)
{
    uint32_t limit = worker->broker->config->mqtt.max_subscriptions_per_session;
    return limit > 0 && session->subscription_count >= limit;
}

/* Makes or replaces the subscription. Returns the Reason Code of what is wrong, or 0. */
static uint8_t change_index(struct connection *connection,
                            const struct subscription_request *request, uint8_t options,
                            uint32_t identifier, struct subscribing_entry *out)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    out->subscription = session_subscription(session, &worker->broker->key, request->topic_filter);
    if (out->subscription != NULL) { /* [MQTT-3.8.4-3] [MQTT-3.8.4-4] */
        out->subscription->options = options;
        out->subscription->identifier = identifier;
        out->version = topic_index_change(worker->broker->index, out->subscription->entry, options,
                                          identifier);
        return 0;
    }
    if (at_subscription_limit(worker, session))
        return REASON_QUOTA_EXCEEDED;
    if (subscription_restore(worker, session, request->topic_filter, options, identifier,
                             &out->subscription, &out->version) != STATUS_OK)
        return REASON_UNSPECIFIED_ERROR;
    return 0;
}

/* Whether it asks for retained messages; not for a shared one: 5.0 section 4.8.2. */
static bool wants_retained(const struct subscription_request *request,
                           const struct topic_filter *filter, bool existed)
{
    /* [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] */
    return filter->kind == TOPIC_FILTER_PLAIN &&
           (request->retain_handling == 0 || (request->retain_handling == 1 && !existed));
}

#ifdef SEEDED_BUG_RETAINED_BEFORE_INDEX
static void send_at_once(struct worker *worker, struct session *session, struct bytes filter,
                         uint8_t qos, uint32_t identifier)
{
    struct retained_visit visit = {.store_now_ms = worker->store_now_ms, .version = UINT64_MAX};
    retained_match(worker->broker->retained, filter, visit_retained, &visit);
    for (uint32_t i = 0; i < visit.count; i++) {
        dispatch_retained_to(worker, session, visit.found[i].message, qos, true, identifier);
        message_drop(visit.found[i].message, 1);
    }
    free(visit.found);
}
#endif

/* One Topic Filter; returns its Reason Code. */
static uint8_t subscribe_one(struct connection *connection,
                             const struct subscription_request *request, uint32_t identifier,
                             struct subscribing *subscribing)
{
    struct worker *worker = connection->worker;
    size_t offset;
    struct topic_filter filter = topic_filter_parse(request->topic_filter, true, &offset);
    if (filter.kind == TOPIC_FILTER_INVALID ||
        (request->topic_filter.size >= TOPIC_LEVELS_MAX &&
         topic_levels(request->topic_filter) > TOPIC_LEVELS_MAX))
        return failure(connection, REASON_TOPIC_FILTER_INVALID);
#ifndef SEEDED_BUG_MAY_SUBSCRIBE_ALL
    if (!permission_to_subscribe(connection, filter.filter)) {
        counter_add(&worker->counters.subscriptions_denied, 1);
        return failure(connection, REASON_NOT_AUTHORIZED);
    }
#endif
    uint8_t max_qos = (uint8_t)worker->broker->config->mqtt.max_qos;
    /* Less may be granted than asked for, but it is [MQTT-3.2.2-10] [MQTT-3.8.4-7]. */
    uint8_t qos = request->maximum_qos < max_qos ? request->maximum_qos : max_qos;
    bool existed = session_subscription(connection->session, &worker->broker->key,
                                        request->topic_filter) != NULL;
    bool wanted = wants_retained(request, &filter, existed);
#ifdef SEEDED_BUG_RETAINED_BEFORE_INDEX
    if (wanted)
        send_at_once(worker, connection->session, filter.filter, qos, identifier);
    usleep(2000);
    wanted = false;
#endif
    struct subscribing_entry *entry = &subscribing->entries[subscribing->entry_count];
    uint8_t wrong = change_index(connection, request, options_of(request, qos), identifier, entry);
    if (wrong != 0)
        return failure(connection, wrong);
    subscribing->entry_count++;
    entry->subscription->unanswered++;
    /* Once for each subscription, however often its filter stands in the packet: to walk a large
     * tree for each four bytes of it would be too cheap an attack. */
    if (!wanted || entry->subscription->wants_retained)
        entry->version = 0;
    else
        entry->subscription->wants_retained = true;
    return qos; /* [MQTT-3.8.4-7] */
}

void subscribe_handle(struct connection *connection, const struct subscribe *subscribe)
{
    struct subscribing *subscribing =
        subscribing_new(connection, subscribe->packet_identifier, true, subscribe->count);
    if (subscribing == NULL)
        return;
    uint32_t identifier =
        connection->version == MQTT_VERSION_5 &&
                properties_has(&subscribe->properties, PROPERTY_SUBSCRIPTION_IDENTIFIER)
            ? subscribe->properties.subscription_identifier
            : 0;
    struct subscription_request request;
    size_t cursor = 0;
    /* A code for each, in their order [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.9.3-1]. */
    while (subscribe_next(subscribe, (enum mqtt_version)connection->version, &cursor, &request))
        subscribing->codes[subscribing->code_count++] =
            subscribe_one(connection, &request, identifier, subscribing);
    bool needs_round = false;
    for (uint32_t i = 0; i < subscribing->entry_count; i++) {
        needs_round = needs_round || subscribing->entries[i].version > 0;
        subscribing->entries[i].subscription->wants_retained = false;
    }
    struct worker *worker = connection->worker;
    answer_in_order(connection, subscribing, needs_round); /* [MQTT-3.8.4-1] */
    if (broker_clock_ms() < worker->now_ms + RETAINED_MS)  /* as long as the turn is young */
        worker->answers_left = subscribe_go_on(worker);
}

/* ---- UNSUBSCRIBE ---- */

/* One Topic Filter; returns its Reason Code. */
static uint8_t unsubscribe_one(struct connection *connection, struct bytes filter,
                               struct subscribing *subscribing)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    size_t offset;
    struct topic_filter parsed = topic_filter_parse(filter, true, &offset);
    /* Found by its characters alone [MQTT-3.10.4-1]; answered, even if there is none
     * [MQTT-3.10.4-5]. */
    struct subscription *subscription = session_subscription(session, &worker->broker->key, filter);
    if (subscription == NULL)
        return parsed.kind != TOPIC_FILTER_INVALID ? REASON_NO_SUBSCRIPTION_EXISTED
                                                   : REASON_TOPIC_FILTER_INVALID;
    if (subscription->recorded) {
        store_batch_unsubscribe(worker_batch(worker), session->incarnation, filter);
        subscribing->lsn = worker_lsn(worker);
    }
    session_subscription_remove(session, &worker->broker->key, subscription);
    subscription_end(worker, subscription); /* [MQTT-3.10.4-2] */
    if (parsed.kind == TOPIC_FILTER_SHARED)
        outbound_leave_group(worker, session, shared_group(worker, filter), false);
    return REASON_SUCCESS;
}

void unsubscribe_handle(struct connection *connection, const struct unsubscribe *unsubscribe)
{
    struct subscribing *subscribing =
        subscribing_new(connection, unsubscribe->packet_identifier, false, unsubscribe->count);
    if (subscribing == NULL)
        return;
    struct bytes filter;
    size_t cursor = 0;
    /* A code for each, in their order [MQTT-3.10.4-6] [MQTT-3.11.3-1]. */
    while (unsubscribe_next(unsubscribe, &cursor, &filter))
        subscribing->codes[subscribing->code_count++] =
            unsubscribe_one(connection, filter, subscribing);
#ifdef SEEDED_BUG_UNSUBACK_EARLY
    subscribing->lsn = 0;
#endif
    answer_in_order(connection, subscribing, false); /* [MQTT-3.10.4-4] */
}
