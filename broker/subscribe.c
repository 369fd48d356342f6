/* SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11). SUBACK and UNSUBACK leave when the change is durable;
 * the index has it before that (rule 5), and before retained messages are read (rule 10). */

#include <stdlib.h>

#include "base/check.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/publish.h"
#include "broker/session.h"
#include "protocol/topic.h"

enum { OPTION_QOS = 3, OPTION_NO_LOCAL = 4, OPTION_RETAIN_AS_PUBLISHED = 8 };

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
                                 uint8_t options, uint32_t identifier, struct subscription **out)
{
    size_t offset;
    struct topic_filter filter = topic_filter_parse(text, true, &offset);
    if (filter.kind == TOPIC_FILTER_INVALID)
        return STATUS_INVALID;
    struct subscription *subscription = malloc(sizeof *subscription + text.size);
    if (subscription == NULL)
        return STATUS_NO_MEMORY;
    subscription->identifier = identifier;
    subscription->options = options;
    subscription->wants_retained = false;
    subscription->filter_size = (uint16_t)text.size;
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
                                         &subscription->entry);
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

/* ---- Retained messages for a new subscription ---- */

struct retained_visit {
    int64_t store_now_ms;
    struct message **found;
    uint32_t count, capacity;
};

static void visit_retained(void *context, struct message *message)
{
    struct retained_visit *visit = context;
    if (visit->count == visit->capacity) {
        uint32_t capacity = visit->capacity > 0 ? visit->capacity * 2 : 16;
        struct message **found = realloc(visit->found, capacity * sizeof(struct message *));
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
    visit->found[visit->count++] = message;
}

/* In the order in which they were published. */
static int by_number(const void *a, const void *b)
{
    uint64_t x = (*(struct message *const *)a)->stored.number;
    uint64_t y = (*(struct message *const *)b)->stored.number;
    return x < y ? -1 : x > y;
}

/* Many filters in one SUBSCRIBE may ask for the same again and again. */
static bool may_take(const struct session *session, uint8_t qos)
{
    return qos == 0 || ((session_facts(session) & SESSION_FACT_FULL) == 0 &&
                        !worker_is_overloaded(session->connection->worker));
}

static void send_retained(struct worker *worker, struct session *session, struct bytes filter,
                          uint8_t qos, uint32_t identifier)
{
    struct retained_visit visit = {.store_now_ms = worker->store_now_ms};
    retained_match(worker->broker->retained, filter, visit_retained, &visit);
    if (visit.count > 1)
        qsort(visit.found, visit.count, sizeof(struct message *), by_number);
    for (uint32_t i = 0; i < visit.count; i++) {
        /* Sent because of the subscription: RETAIN is 1 whatever Retain As Published says
         * (5.0 section 3.3.1.3). */
        if (may_take(session, qos))
            dispatch_retained_to(worker, session, visit.found[i], qos, true, identifier);
        else
            worker_drop(worker, session, DROP_QUEUE_FULL);
        message_drop(visit.found[i], 1);
    }
    free(visit.found);
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

/* One Topic Filter; returns its Reason Code. `*out_change` is set when there is something to wait
 * for. */
static uint8_t subscribe_one(struct connection *connection,
                             const struct subscription_request *request, uint32_t identifier,
                             bool *out_changed)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    size_t offset;
    struct topic_filter filter = topic_filter_parse(request->topic_filter, true, &offset);
    if (filter.kind == TOPIC_FILTER_INVALID ||
        (request->topic_filter.size >= TOPIC_LEVELS_MAX &&
         topic_levels(request->topic_filter) > TOPIC_LEVELS_MAX))
        return failure(connection, REASON_TOPIC_FILTER_INVALID);
    uint8_t max_qos = (uint8_t)worker->broker->config->mqtt.max_qos;
    uint8_t qos = request->maximum_qos < max_qos ? request->maximum_qos : max_qos;
    uint8_t options = options_of(request, qos);
    struct subscription *subscription =
        session_subscription(session, &worker->broker->key, request->topic_filter);
    bool existed = subscription != NULL;
#ifdef SEEDED_BUG_RETAINED_BEFORE_INDEX
    send_retained(worker, session, filter.filter, qos, identifier);
    for (volatile int i = 0; i < 2000000; i++)
        continue;
#endif
    if (existed) { /* [MQTT-3.8.4-3] */
        subscription->options = options;
        subscription->identifier = identifier;
        topic_index_change(worker->broker->index, subscription->entry, options, identifier);
    } else if (at_subscription_limit(worker, session)) {
        return failure(connection, REASON_QUOTA_EXCEEDED);
    } else if (subscription_restore(worker, session, request->topic_filter, options, identifier,
                                    &subscription) != STATUS_OK) {
        return failure(connection, REASON_UNSPECIFIED_ERROR);
    }
    if (session_is_stored(session)) {
        record_subscription(worker, session, subscription);
        *out_changed = true;
    }
    /* Shared subscriptions get no retained messages: 5.0 section 4.8.2. */
    bool wanted = request->retain_handling == 0 || (request->retain_handling == 1 && !existed);
#ifdef SEEDED_BUG_RETAINED_BEFORE_INDEX
    wanted = false;
#endif
    if (wanted && filter.kind == TOPIC_FILTER_PLAIN)
        send_retained(worker, session, filter.filter, qos, identifier);
    return qos;
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
    struct waiting_bytes *bytes = malloc(sizeof *bytes + size);
    CHECK(bytes != NULL);
    bytes->size = (uint32_t)size;
    packet_encode((enum mqtt_version)connection->version, packet, bytes->bytes, size);
    struct waiting_entry entry = {
        .lsn = lsn > 0 ? lsn : waiting_last_lsn(&worker->waiting),
        .session = connection->session,
        .incarnation = connection->session->incarnation,
        .data = bytes,
        .connection_serial = connection->serial,
        .kind = WAITING_BYTES,
    };
    connection->waiting++;
    waiting_push(worker, &entry);
}

/* Once for each subscription, however often its filter stands in the packet. */
static void send_all_retained(struct connection *connection, const struct subscribe *subscribe)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    struct subscription_request request;
    size_t cursor = 0;
    while (subscribe_next(subscribe, (enum mqtt_version)connection->version, &cursor, &request)) {
        struct subscription *subscription =
            session_subscription(session, &worker->broker->key, request.topic_filter);
        if (subscription == NULL || !subscription->wants_retained)
            continue;
        subscription->wants_retained = false;
        send_retained(worker, session, request.topic_filter, subscription->options & OPTION_QOS,
                      subscription->identifier);
    }
}

void subscribe_handle(struct connection *connection, const struct subscribe *subscribe)
{
    struct worker *worker = connection->worker;
    uint8_t *codes = malloc(subscribe->count);
    if (codes == NULL) {
        connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "out of memory");
        return;
    }
    uint32_t identifier =
        connection->version == MQTT_VERSION_5 &&
                properties_has(&subscribe->properties, PROPERTY_SUBSCRIPTION_IDENTIFIER)
            ? subscribe->properties.subscription_identifier
            : 0;
    struct subscription_request request;
    size_t cursor = 0;
    uint32_t count = 0;
    bool changed = false;
    while (subscribe_next(subscribe, (enum mqtt_version)connection->version, &cursor, &request)) {
        codes[count++] = subscribe_one(connection, &request, identifier, &changed);
    }
    send_all_retained(connection, subscribe);
    struct packet suback = {.type = PACKET_SUBACK};
    suback.suback.packet_identifier = subscribe->packet_identifier;
    suback.suback.properties.present = 0;
    suback.suback.reason_codes = bytes_of(codes, count);
    uint64_t lsn = changed ? worker_lsn(worker) : 0;
#ifdef SEEDED_BUG_SUBACK_EARLY
    lsn = 0;
#endif
    send_behind(connection, &suback, lsn);
    free(codes);
}

/* ---- UNSUBSCRIBE ---- */

void unsubscribe_handle(struct connection *connection, const struct unsubscribe *unsubscribe)
{
    struct worker *worker = connection->worker;
    struct session *session = connection->session;
    uint8_t *codes = malloc(unsubscribe->count);
    if (codes == NULL) {
        connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "out of memory");
        return;
    }
    struct bytes filter;
    size_t cursor = 0;
    uint32_t count = 0;
    bool changed = false;
    while (unsubscribe_next(unsubscribe, &cursor, &filter)) {
        struct subscription *subscription =
            session_subscription(session, &worker->broker->key, filter);
        size_t offset;
        if (subscription == NULL) {
            bool valid = topic_filter_parse(filter, true, &offset).kind != TOPIC_FILTER_INVALID;
            codes[count++] = valid ? REASON_NO_SUBSCRIPTION_EXISTED : REASON_TOPIC_FILTER_INVALID;
            continue;
        }
        topic_index_remove(worker->broker->index, subscription->entry);
        if (session_is_stored(session)) {
            store_batch_unsubscribe(worker_batch(worker), session->incarnation, filter);
            changed = true;
        }
        session_subscription_remove(session, &worker->broker->key, subscription);
        codes[count++] = REASON_SUCCESS;
        if (topic_filter_parse(filter, true, &offset).kind == TOPIC_FILTER_SHARED)
            outbound_leave_group(worker, session, shared_group(worker, filter), false);
    }
    struct packet unsuback = {.type = PACKET_UNSUBACK};
    unsuback.unsuback.packet_identifier = unsubscribe->packet_identifier;
    unsuback.unsuback.properties.present = 0;
    unsuback.unsuback.reason_codes = bytes_of(codes, count);
    uint64_t lsn = changed ? worker_lsn(worker) : 0;
#ifdef SEEDED_BUG_UNSUBACK_EARLY
    lsn = 0;
#endif
    send_behind(connection, &unsuback, lsn);
    free(codes);
}
