#include "broker/dispatch.h"
#include "broker/permission.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/recorder.h"
#include "broker/session.h"

/* ---- Routing: who gets it ---- */

static bool scratch_reserve(struct worker *worker, uint32_t count)
{
    if (count <= worker->delivery_capacity)
        return true;
    uint32_t capacity = worker->delivery_capacity > 0 ? worker->delivery_capacity : 64;
    while (capacity < count)
        capacity *= 2;
    struct delivery *deliveries = realloc(worker->deliveries, capacity * sizeof *deliveries);
    if (deliveries == NULL)
        return false;
    worker->deliveries = deliveries;
    struct store_owed *owed = realloc(worker->owed, capacity * sizeof *owed);
    if (owed == NULL)
        return false;
    worker->owed = owed;
    worker->delivery_capacity = capacity;
    return true;
}

/* What the store is told of a delivery in the scratch; points into it. */
static struct store_owed owed_of(const struct delivery *delivery)
{
    return (struct store_owed){
        .incarnation = delivery->incarnation,
        .qos = delivery->qos,
        .retain = delivery->retain,
        .subscription_identifiers = identifiers_values(&delivery->identifiers),
        .subscription_identifier_count = delivery->identifiers.count,
    };
}

static uint64_t size_of(const struct store_message *message)
{
    return message->topic.size + message->properties.size + message->payload.size;
}

bool dispatch_store_has_room(const struct worker *worker)
{
    return worker->store_free_messages > 0 && worker->store_free_bytes > 0;
}

/* Whether the session has room for it (rule 22). Near a limit it is taken here, before anything is
 * recorded or promised. */
static void ask_for_room(const struct worker *worker, struct delivery *delivery, uint8_t facts,
                         const struct store_message *message)
{
    if ((facts & (SESSION_FACT_NEAR | SESSION_FACT_GREEDY)) == 0 ||
        worker->broker->config->mqtt.queue_full_policy == QUEUE_FULL_DROP_OLDEST)
        return; /* drop_oldest: its home makes room */
#ifdef SEEDED_BUG_PROMISED_AND_DROPPED
    delivery->refused = (facts & SESSION_FACT_FULL) != 0;
    delivery->refused_for = DROP_QUEUE_FULL;
    return;
#endif
    bool scarce = worker->store_scarce && dispatch_store_has_room(worker);
    if ((facts & SESSION_FACT_GREEDY) != 0 && scarce) { /* nothing left: nobody's are taken */
        delivery->refused = true;
        delivery->refused_for = DROP_STORE_FULL;
    } else if ((facts & SESSION_FACT_NEAR) != 0) {
        delivery->reserved = room_take(&delivery->session->room, size_of(message));
        delivery->refused = !delivery->reserved;
        delivery->refused_for = DROP_QUEUE_FULL;
    }
}

/* Nobody is to get it: neither what it has copied nor the room it has taken is needed. */
static void delivery_fini(struct delivery *delivery, const struct store_message *message)
{
    if (delivery->reserved)
        room_give_back(&delivery->session->room, size_of(message));
    identifiers_fini(&delivery->identifiers);
}

/* Whose share of the message is `wanted`, without its identifiers. */
static void collect_one(struct worker *worker, struct collection *found,
                        const struct store_message *message, const struct delivery *wanted,
                        const uint32_t *identifiers, uint32_t identifier_count)
{
    uint8_t facts = session_facts(wanted->session);
    if (wanted->qos == 0 && (facts & SESSION_FACT_CONNECTED) == 0 &&
        !(worker->broker->config->mqtt.queue_qos0_messages && (facts & SESSION_FACT_STORED) != 0))
        return;
    struct delivery *delivery = &worker->deliveries[found->count++];
    *delivery = *wanted;
    delivery->identifiers = identifiers_copy(identifiers, identifier_count);
    if (wanted->qos == 0)
        return;
    if (!found->moves)
        ask_for_room(worker, delivery, facts, message);
    if (delivery->refused) {
        found->refused++;
        return;
    }
    if ((facts & SESSION_FACT_STORED) == 0)
        return;
    delivery->owed = true; /* [MQTT-4.5.0-1] */
    worker->owed[found->owed_count++] = owed_of(delivery);
    if (wanted->qos == 2 || (facts & SESSION_FACT_CONNECTED) == 0)
        found->urgent = true;
}

/* A member of a shared subscription: one that can be sent to now, else one that is connected, else
 * one that is stored, and one with room before any without; from a random start, so that no counter
 * is shared. NULL: nobody is there or comes back. */
static const struct subscriber *pick_member(struct worker *worker, const struct route_group *group,
                                            uint8_t message_qos)
{
    enum { BEST = 6, WITHOUT_ROOM = 3 };
    const struct subscriber *best = NULL;
    int best_rank = 0;
    uint32_t start = (uint32_t)(worker_random(worker) % group->count);
    for (uint32_t i = 0; i < group->count && best_rank < BEST; i++) {
        const struct subscriber *member = &group->members[(start + i) % group->count];
        const struct session *session = member->session;
        uint8_t facts = session_facts(session);
        int rank = (facts & SESSION_FACT_QUOTA) != 0       ? BEST
                   : (facts & SESSION_FACT_CONNECTED) != 0 ? BEST - 1
                   : (facts & SESSION_FACT_STORED) != 0    ? BEST - 2
                                                           : 0;
        bool full = (facts & SESSION_FACT_NEAR) != 0 && !room_is_left(&session->room);
        if (rank > 0 && full && message_qos > 0 && (member->options & 3) > 0)
            rank -= WITHOUT_ROOM;
        if (rank > best_rank) {
            best = member;
            best_rank = rank;
        }
    }
    return best;
}

static bool is_owed(const struct worker *worker, const struct collection *found,
                    uint64_t incarnation)
{
    for (uint32_t i = 0; i < found->owed_count; i++) {
        if (worker->owed[i].incarnation == incarnation)
            return true;
    }
    return false;
}

/* The session is owed the message by another subscription already, and a row is one session's share
 * of one number: what was just collected for it gets a number of its own. */
static void set_apart(struct worker *worker, struct collection *found)
{
    struct dispatch *extra = memory_take(sizeof *extra + sizeof extra->deliveries[0]);
    *extra = (struct dispatch){.extras = found->extras, .count = 1};
    extra->deliveries[0] = worker->deliveries[--found->count];
    found->owed_count--;
    found->extras = extra;
}

static void collect_member(struct worker *worker, struct collection *found,
                           const struct route_group *group, const struct store_message *message)
{
    const struct subscriber *member = pick_member(worker, group, message->qos);
    if (member == NULL)
        return;
    uint8_t granted = member->options & 3;
    /* A copy of its own, at its QoS [MQTT-4.8.2-3], with its identifier [MQTT-3.3.4-5]. */
    struct delivery wanted = {
        .session = member->session,
        .incarnation = member->incarnation,
        .group = member->group,
        .qos = message->qos < granted ? message->qos : granted,
        .retain = (member->options & 8) != 0 && message->retain,
    };
    bool owed_already = is_owed(worker, found, member->incarnation);
    uint32_t owed_before = found->owed_count;
    collect_one(worker, found, message, &wanted, &member->subscription_identifier,
                member->subscription_identifier != 0);
    if (owed_already && found->owed_count > owed_before)
        set_apart(worker, found);
}

/* The publisher's own session, which lives here. */
static void note_no_local(struct worker *worker, const struct session *publisher,
                          const struct store_message *message)
{
    recorder_add(worker, publisher, RECORDER_NO_LOCAL, 0, 0, 0);
    recorder_name_topic(worker, publisher, message->topic);
}

/* Fills the scratch with everyone the message is for. False: no memory. */
bool dispatch_collect(struct worker *worker, const struct store_message *message,
                      struct collection *out)
{
    *out = (struct collection){0};
    const struct route *route = route_find(worker->routes, message->topic); /* [MQTT-3.3.2-3] */
    if (route == NULL || !scratch_reserve(worker, route->target_count + route->group_count))
        return false;
    out->version = route->version;
    for (uint32_t i = 0; i < route->target_count; i++) {
        const struct route_target *target = &route->targets[i];
        struct route_target mine;
        if (target->has_no_local && target->incarnation == message->publisher) {
            if (!route_target_without_no_local(worker->routes, route, target, &mine)) {
                note_no_local(worker, target->session, message);
                continue; /* [MQTT-3.8.3-3] */
            }
            target = &mine;
        }
        /* QoS [MQTT-3.8.4-8] [MQTT-3.3.4-2], RETAIN [MQTT-3.3.1-12] [MQTT-3.3.1-13], identifiers
         * [MQTT-3.3.4-3] [MQTT-3.3.4-4]. */
        struct delivery wanted = {
            .session = target->session,
            .incarnation = target->incarnation,
            .qos = message->qos < target->qos ? message->qos : target->qos,
            .retain = target->retain_as_published && message->retain,
        };
        collect_one(worker, out, message, &wanted, target->subscription_identifiers,
                    target->subscription_identifier_count);
    }
    for (uint32_t i = 0; i < route->group_count; i++) {
        if (route->groups[i].count > 0)
            collect_member(worker, out, &route->groups[i], message);
    }
    return true;
}

static void abandon_extras(struct collection *found, const struct store_message *message)
{
    for (struct dispatch *extra = found->extras; extra != NULL; extra = extra->extras) {
        delivery_fini(&extra->deliveries[0], message);
        extra->count = 0;
    }
    dispatch_free(found->extras);
    found->extras = NULL;
}

void dispatch_abandon(struct worker *worker, struct message *message, struct collection *found)
{
    uint32_t refused = 0;
    for (uint32_t i = 0; i < found->count; i++) {
        if (worker->deliveries[i].refused)
            worker->deliveries[refused++] = worker->deliveries[i];
        else
            delivery_fini(&worker->deliveries[i], &message->stored);
    }
    abandon_extras(found, &message->stored);
    dispatch_run(worker, message, worker->deliveries, refused);
    *found = (struct collection){0};
}

/* ---- Recording and delivering ---- */

static enum store_retained retained_change(const struct store_message *message)
{
    if (!message->retain)
        return STORE_RETAINED_NONE;
    /* [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] */
    return message->payload.size > 0 ? STORE_RETAINED_SET : STORE_RETAINED_DELETE;
}

/* The batch for a message that is to be retained: with a number above those of all copies that have
 * been made of what it replaces, so that a restart does not turn them round. */
static struct store_batch *claim(struct worker *worker, struct message *message)
{
    struct retained *retained = worker->broker->retained;
    struct store_batch *batch = worker_batch(worker);
    while (!retained_claim(retained, message, store_batch_next_number(batch))) {
        worker_submit(worker);
        batch = worker_batch(worker);
    }
    return batch;
}

/* One publish, one delta, in `batch` or in the turn's. True when there was something to record. */
static bool record_in(struct store_batch *batch, struct worker *worker, struct message *message,
                      const struct collection *found, uint64_t inbound_incarnation,
                      uint16_t packet_identifier)
{
    enum store_retained retained = retained_change(&message->stored);
    if (found->owed_count == 0 && inbound_incarnation == 0 && retained == STORE_RETAINED_NONE)
        return false;
    struct store_publish publish = {
        .message = &message->stored,
        .owed = worker->owed,
        .owed_count = found->owed_count,
        .inbound_incarnation = inbound_incarnation,
        .inbound_packet_identifier = packet_identifier,
        .retained = retained,
        .urgent = found->urgent || inbound_incarnation != 0 || retained != STORE_RETAINED_NONE,
        .cookie = message,
    };
#ifdef SEEDED_BUG_NEVER_URGENT
    publish.urgent = false;
#endif
#ifdef SEEDED_BUG_ALWAYS_URGENT
    publish.urgent = true;
#endif
    message_hold(message, 1); /* until the store has written it */
    worker_recorded(worker, message);
    if (batch == NULL)
        batch = retained != STORE_RETAINED_NONE ? claim(worker, message) : worker_batch(worker);
    store_batch_message(batch, &publish);
    return true;
}

/* Further copies for sessions that are owed one already, in the batch of the first. */
static void record_extras(struct worker *worker, const struct message *message,
                          const struct collection *found)
{
    struct store_batch *batch = worker->batch;
    for (struct dispatch *extra = found->extras; extra != NULL; extra = extra->extras) {
        extra->message = message_copy(&message->stored);
        extra->message->stored.retain = false; /* the retained set gets the first */
        worker->owed[0] = owed_of(&extra->deliveries[0]);
        struct collection one = {.count = 1, .owed_count = 1, .urgent = found->urgent};
        record_in(batch, worker, extra->message, &one, 0, 0);
    }
}

bool dispatch_record(struct worker *worker, struct message *message, const struct collection *found,
                     uint64_t inbound_incarnation, uint16_t packet_identifier)
{
    bool recorded = record_in(NULL, worker, message, found, inbound_incarnation, packet_identifier);
    record_extras(worker, message, found);
    return recorded;
}

void dispatch_deliver(struct worker *worker, struct message *message, struct delivery *deliveries,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct delivery *delivery = &deliveries[i];
#ifndef SEEDED_BUG_SUCCESSOR_DELIVERY
        if (delivery->session->incarnation != delivery->incarnation) {
            delivery_fini(delivery, &message->stored); /* ended since it was routed */
#ifndef SEEDED_BUG_REFUSED_MOVED
            if (delivery->refused)
                continue; /* its publisher was told, and may publish it again */
#endif
            bool moved = delivery->group != 0 && deliveries != worker->deliveries &&
                         dispatch_move(worker, NULL, message, delivery->group, false);
            if (!moved && delivery->qos > 0)
                drop_unnamed(worker, DROP_SESSION_ENDED);
            continue;
        }
#endif
        outbound_deliver(worker, delivery->session, message, delivery);
    }
}

void dispatch_run(struct worker *worker, struct message *message, struct delivery *deliveries,
                  uint32_t count)
{
    for (uint32_t from = 0, to; from < count; from = to) {
        unsigned home = deliveries[from].session->home;
        for (to = from + 1; to < count && deliveries[to].session->home == home; to++)
            continue;
        if (home == worker->index)
            dispatch_deliver(worker, message, deliveries + from, to - from);
        else
            worker_post(worker, home, message, deliveries + from, to - from);
    }
}

void dispatch_free(struct dispatch *dispatch)
{
    while (dispatch != NULL) {
        struct dispatch *next = dispatch->extras;
        for (uint32_t i = 0; i < dispatch->count; i++)
            identifiers_fini(&dispatch->deliveries[i].identifiers);
        if (dispatch->message != NULL)
            message_drop(dispatch->message, 1);
        free(dispatch);
        dispatch = next;
    }
}

/* Makes it the retained message of its topic, with the version of the index that tells subscribers
 * whether they get it live (rule 10, docs/ordering.md). */
static void retain(struct worker *worker, struct message *message, uint64_t version)
{
    message->routed_version = version;
    enum status status = retained_set(worker->broker->retained, message);
    if (status != STATUS_OK) {
        memory_use_reserve();
        status = retained_set(worker->broker->retained, message);
    }
    if (status != STATUS_OK)
        log_line(LOG_ERROR, "out of memory: a retained message is in the store only, until the "
                            "next start");
}

struct dispatch *dispatch_new(const struct worker *worker, struct message *message,
                              const struct collection *found)
{
    struct dispatch *dispatch =
        memory_take(sizeof *dispatch + found->count * sizeof dispatch->deliveries[0]);
    message_hold(message, 1);
    dispatch->message = message;
    dispatch->version = found->version;
    dispatch->extras = found->extras;
    dispatch->count = found->count;
    if (found->count > 0)
        memcpy(dispatch->deliveries, worker->deliveries,
               found->count * sizeof dispatch->deliveries[0]);
    return dispatch;
}

/* Delivers what has been recorded, and retains it where it says so. Takes the dispatch. */
void dispatch_carry_out(struct worker *worker, struct dispatch *dispatch)
{
    struct message *message = dispatch->message;
    uint32_t count = dispatch->count;
    dispatch->count = 0; /* the identifiers go with the deliveries */
    dispatch_run(worker, message, dispatch->deliveries, count);
    if (message->stored.retain) /* [MQTT-3.3.1-8] */
        retain(worker, message, dispatch->version);
    dispatch_extras(worker, dispatch->extras);
    dispatch->extras = NULL;
    dispatch_free(dispatch);
}

void dispatch_extras(struct worker *worker, struct dispatch *extras)
{
    while (extras != NULL) {
        struct dispatch *extra = extras;
        extras = extra->extras;
        extra->extras = NULL;
        dispatch_carry_out(worker, extra);
    }
}

bool dispatch_may_retain(const struct worker *worker, const struct store_message *message)
{
    const struct config_mqtt *mqtt = &worker->broker->config->mqtt;
    if (!message->retain || message->payload.size == 0 ||
        (mqtt->max_retained_messages == 0 && mqtt->max_retained_bytes == 0))
        return true;
    const struct retained *retained = worker->broker->retained;
    struct retained_usage usage = retained_usage(retained);
    bool full =
        (mqtt->max_retained_messages > 0 && usage.messages >= mqtt->max_retained_messages) ||
        (mqtt->max_retained_bytes > 0 && usage.bytes >= mqtt->max_retained_bytes);
    return !full || retained_has(retained, message->topic);
}

/* In the batch of the message, however full: a kill finds the Will Message published and forgotten,
 * or neither [MQTT-3.1.2-10]. */
static void record_forgotten(struct worker *worker, struct session *session)
{
#ifdef SEEDED_BUG_WILL_KEPT
    worker_submit(worker);
#endif
    session_write(session, worker->batch != NULL ? worker->batch : worker_batch(worker));
}

/* Nobody gets it before it is forgotten: a kill would have it published again, and at QoS 0 it must
 * not come twice. */
static void carry_out_forgotten(struct worker *worker, struct session *session,
                                struct dispatch *dispatch)
{
    struct waiting_entry entry = {
        .lsn = worker_lsn(worker),
        .session = session,
        .incarnation = session->incarnation,
        .data = dispatch,
        .kind = WAITING_WILL,
    };
    waiting_push(worker, &entry);
}

void dispatch_will(struct worker *worker, struct session *session, struct message *message)
{
    struct collection found;
    bool collected = dispatch_collect(worker, &message->stored, &found);
    if (!collected) {
        memory_use_reserve();
        collected = dispatch_collect(worker, &message->stored, &found);
    }
    CHECK(collected); /* or it would be forgotten: the next start publishes it */
    dispatch_record(worker, message, &found, 0, 0);
    struct dispatch *dispatch = dispatch_new(worker, message, &found);
    if (session->has_row) {
        record_forgotten(worker, session);
#ifndef SEEDED_BUG_WILL_EARLY
        carry_out_forgotten(worker, session, dispatch);
        return;
#endif
    }
    dispatch_carry_out(worker, dispatch);
}

static uint8_t refusal_for_operator(const struct worker *worker, const struct message *message,
                                    const struct collection *found)
{
    const struct store_message *stored = &message->stored;
    bool stores = stored->qos > 0 && (found->owed_count > 0 || stored->retain);
    if (found->refused > 0 && stored->qos > 0 &&
        worker->broker->config->mqtt.queue_full_policy == QUEUE_FULL_REJECT)
        return REASON_QUOTA_EXCEEDED;
    if (stores && (!dispatch_store_has_room(worker) ||
                   store_health(worker->broker->store) != STORE_HEALTH_OK))
        return REASON_QUOTA_EXCEEDED;
    return dispatch_may_retain(worker, stored) ? REASON_SUCCESS : REASON_QUOTA_EXCEEDED;
}

uint8_t dispatch_for_operator(struct worker *worker, struct message *message, uint64_t *out_lsn,
                              uint32_t *out_count)
{
    struct collection found;
    *out_lsn = *out_count = 0;
    message->stored.received_at_ms = worker->store_now_ms;
    if (memory_is_low() || !dispatch_collect(worker, &message->stored, &found))
        return REASON_SERVER_BUSY;
    uint8_t reason = refusal_for_operator(worker, message, &found);
    if (reason != REASON_SUCCESS) {
        dispatch_abandon(worker, message, &found);
        return reason;
    }
    *out_count = found.count - found.refused;
    if (dispatch_record(worker, message, &found, 0, 0))
        *out_lsn = worker_lsn(worker);
    dispatch_carry_out(worker, dispatch_new(worker, message, &found));
    return REASON_SUCCESS;
}

void dispatch_volatile(struct worker *worker, struct message *message)
{
    struct collection found;
    if (!dispatch_collect(worker, &message->stored, &found))
        return;
    message->stored.number = ++worker->volatile_number; /* below all that the store gives out */
    dispatch_carry_out(worker, dispatch_new(worker, message, &found));
}

void dispatch_retained_to(struct worker *worker, struct session *session, struct message *retained,
                          uint8_t qos, bool retain, uint32_t subscription_identifier)
{
    if (session->connection != NULL &&
        !permission_to_receive(session->connection, retained->stored.topic)) {
        drop_unnamed(worker, DROP_NOT_READABLE);
        return;
    }
    if (qos > retained->stored.qos)
        qos = retained->stored.qos;
    struct delivery delivery = {
        .session = session,
        .incarnation = session->incarnation,
        .identifiers = identifiers_copy(&subscription_identifier, subscription_identifier != 0),
        .qos = qos,
        .retain = retain,
        .owed = qos > 0 && session_is_stored(session),
        .patient = true,
    };
    if (!delivery.owed) {
        outbound_deliver(worker, session, retained, &delivery);
        return;
    }
    /* What it is owed gets a number and a body of its own: the retained message may be replaced. */
    struct store_batch *batch = worker_batch(worker);
    uint64_t claimed;
    if (!retained_copy(worker->broker->retained, retained, store_batch_next_number(batch),
                       &claimed)) {
        /* What replaces it comes as a live one; what is recorded from here on says that it has been
         * asked for, and so stands behind that. */
        if (store_number_lsn(claimed) > store_batch_lsn(batch))
            worker_submit(worker);
        identifiers_fini(&delivery.identifiers);
        return;
    }
    struct message *copy = message_copy(&retained->stored);
    struct store_owed owed = {
        .incarnation = session->incarnation,
        .qos = qos,
        .retain = retain,
        .subscription_identifiers = &subscription_identifier,
        .subscription_identifier_count = subscription_identifier != 0,
    };
    struct store_publish publish = {
        .message = &copy->stored, .owed = &owed, .owed_count = 1, .urgent = true, .cookie = copy};
    message_hold(copy, 1);
    worker_recorded(worker, copy);
    store_batch_message(batch, &publish);
    outbound_deliver(worker, session, copy, &delivery);
    message_drop(copy, 1);
}

/* ---- Shared subscriptions that lose a member ---- */

bool dispatch_move(struct worker *worker, const struct session *from, struct message *message,
                   uint32_t group, bool owed)
{
    const struct route *route = route_find(worker->routes, message->stored.topic);
    if (route == NULL || !scratch_reserve(worker, 1))
        return false;
    struct collection found = {.moves = true};
    for (uint32_t i = 0; i < route->group_count; i++) {
        if (route->groups[i].count > 0 && route->groups[i].members[0].group == group)
            collect_member(worker, &found, &route->groups[i], &message->stored);
    }
    if (found.count == 0)
        return false;
    struct message *copy = message_copy(&message->stored);
    copy->stored.retain = false; /* the retained set has it already */
    /* One batch, so one transaction: it is owed to one of them, always. */
    struct store_batch *batch = worker_batch(worker);
    record_in(batch, worker, copy, &found, 0, 0);
    if (owed)
        store_batch_settled(batch, from->incarnation, message->stored.number);
    copy->stored.retain = message->stored.retain;
    dispatch_run(worker, copy, worker->deliveries, found.count);
    message_drop(copy, 1);
    return true;
}
