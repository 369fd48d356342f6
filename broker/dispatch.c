#include "broker/dispatch.h"

#include <stdlib.h>

#include "base/check.h"
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

static void collect_one(struct worker *worker, struct collection *found, struct session *session,
                        uint64_t incarnation, uint8_t qos, bool retain, uint32_t group,
                        const uint32_t *identifiers, uint32_t identifier_count)
{
    uint8_t facts = session_facts(session);
    bool refused = qos > 0 && (facts & SESSION_FACT_FULL) != 0;
    if (refused) {
        found->full++;
        found->refused++;
    }
    bool owed = qos > 0 && !refused && (facts & SESSION_FACT_STORED) != 0;
    if (qos == 0 && (facts & SESSION_FACT_CONNECTED) == 0 &&
        !(worker->broker->config->mqtt.queue_qos0_messages && (facts & SESSION_FACT_STORED) != 0))
        return;
    struct delivery *delivery = &worker->deliveries[found->count++];
    *delivery = (struct delivery){
        .session = session,
        .incarnation = incarnation,
        .identifiers = identifiers_copy(identifiers, identifier_count),
        .group = group,
        .qos = qos,
        .retain = retain,
        .owed = owed,
        .refused = refused,
    };
    if (!owed)
        return;
    worker->owed[found->owed_count++] = owed_of(delivery);
    if (qos == 2 || (facts & SESSION_FACT_CONNECTED) == 0)
        found->urgent = true;
}

/* A member of a shared subscription: one that can be sent to now, else one that is connected, else
 * one that is stored; from a random start, so that no counter is shared. */
static const struct subscriber *pick_member(struct worker *worker, const struct route_group *group,
                                            uint8_t message_qos)
{
    const struct subscriber *best = NULL;
    int best_rank = 0;
    uint32_t start = (uint32_t)(worker_random(worker) % group->count);
    for (uint32_t i = 0; i < group->count && best_rank < 3; i++) {
        const struct subscriber *member = &group->members[(start + i) % group->count];
        uint8_t facts = session_facts(member->session);
        if (message_qos == 0 || (member->options & 3) == 0)
            facts &= (uint8_t)~SESSION_FACT_FULL; /* does not concern QoS 0 */
        int rank = (facts & SESSION_FACT_FULL) != 0        ? 0
                   : (facts & SESSION_FACT_QUOTA) != 0     ? 3
                   : (facts & SESSION_FACT_CONNECTED) != 0 ? 2
                   : (facts & SESSION_FACT_STORED) != 0    ? 1
                                                           : 0;
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
    struct dispatch *extra = malloc(sizeof *extra + sizeof extra->deliveries[0]);
    CHECK(extra != NULL);
    *extra = (struct dispatch){.extras = found->extras, .count = 1};
    extra->deliveries[0] = worker->deliveries[--found->count];
    found->owed_count--;
    found->extras = extra;
}

static void collect_member(struct worker *worker, struct collection *found,
                           const struct route_group *group, const struct store_message *message)
{
    const struct subscriber *member = pick_member(worker, group, message->qos);
    if (member == NULL) { /* every member's queue is full */
        counter_add(&worker->counters.dropped[DROP_QUEUE_FULL], 1);
        found->full++;
        return;
    }
    uint8_t granted = member->options & 3;
    uint8_t qos = message->qos < granted ? message->qos : granted;
    bool owed_already = is_owed(worker, found, member->incarnation);
    uint32_t owed_before = found->owed_count;
    collect_one(worker, found, member->session, member->incarnation, qos,
                (member->options & 8) != 0 && message->retain, member->group,
                &member->subscription_identifier, member->subscription_identifier != 0);
    if (owed_already && found->owed_count > owed_before)
        set_apart(worker, found);
}

/* Fills the scratch with everyone the message is for. False: no memory. */
bool dispatch_collect(struct worker *worker, const struct store_message *message,
                      struct collection *out)
{
    *out = (struct collection){0};
    const struct route *route = route_find(worker->routes, message->topic);
    if (route == NULL || !scratch_reserve(worker, route->target_count + route->group_count))
        return false;
    out->version = route->version;
    for (uint32_t i = 0; i < route->target_count; i++) {
        const struct route_target *target = &route->targets[i];
        struct route_target mine;
        if (target->has_no_local && target->incarnation == message->publisher) {
            if (!route_target_without_no_local(worker->routes, route, target, &mine))
                continue; /* [MQTT-3.8.3-3] */
            target = &mine;
        }
        collect_one(worker, out, target->session, target->incarnation,
                    message->qos < target->qos ? message->qos : target->qos,
                    target->retain_as_published && message->retain, 0,
                    target->subscription_identifiers, target->subscription_identifier_count);
    }
    for (uint32_t i = 0; i < route->group_count; i++) {
        if (route->groups[i].count > 0)
            collect_member(worker, out, &route->groups[i], message);
    }
    return true;
}

void dispatch_abandon(struct worker *worker, struct collection *found)
{
    for (uint32_t i = 0; i < found->count; i++)
        identifiers_fini(&worker->deliveries[i].identifiers);
    dispatch_free(found->extras);
    *found = (struct collection){0};
}

/* ---- Recording and delivering ---- */

static enum store_retained retained_change(const struct store_message *message)
{
    if (!message->retain)
        return STORE_RETAINED_NONE;
    return message->payload.size > 0 ? STORE_RETAINED_SET : STORE_RETAINED_DELETE;
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
    store_batch_message(batch != NULL ? batch : worker_batch(worker), &publish);
    return true;
}

/* Further copies for sessions that are owed one already, in the batch of the first. */
static void record_extras(struct worker *worker, const struct message *message,
                          const struct collection *found)
{
    struct store_batch *batch = worker->batch;
    for (struct dispatch *extra = found->extras; extra != NULL; extra = extra->extras) {
        extra->message = message_copy(&message->stored);
        CHECK(extra->message != NULL);
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
            identifiers_fini(&delivery->identifiers); /* ended since it was routed */
            if (delivery->group != 0 && deliveries != worker->deliveries)
                dispatch_move(worker, NULL, message, delivery->group, false);
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

static bool delivered_to(const struct delivery *deliveries, uint32_t count, uint64_t incarnation)
{
    for (uint32_t i = 0; i < count; i++) {
        if (deliveries[i].incarnation == incarnation)
            return true;
    }
    return false;
}

/* While the message waited for the disk others have subscribed, and may have read the retained
 * messages: they get a copy recorded on its own. Returns the version of the index as of which
 * nobody is left out. */
static uint64_t deliver_missed(struct worker *worker, struct message *message,
                               const struct delivery *routed, uint32_t routed_count,
                               uint64_t version)
{
    struct collection found;
    if (!dispatch_collect(worker, &message->stored, &found))
        return version;
    dispatch_free(found.extras); /* shared subscriptions get no retained messages */
    found.extras = NULL;
    struct message *copy = message_copy(&message->stored);
    uint32_t kept = 0, owed = 0;
    for (uint32_t i = 0; i < found.count; i++) {
        struct delivery *delivery = &worker->deliveries[i];
        if (copy == NULL || delivery->group != 0 ||
            delivered_to(routed, routed_count, delivery->incarnation)) {
            identifiers_fini(&delivery->identifiers);
            continue;
        }
        worker->deliveries[kept] = *delivery;
        if (delivery->owed)
            worker->owed[owed++] = owed_of(&worker->deliveries[kept]);
        kept++;
    }
    if (copy == NULL)
        return version;
    found.count = kept;
    found.owed_count = owed;
    copy->stored.retain = false; /* the retained set has it already */
    dispatch_record(worker, copy, &found, 0, 0);
    copy->stored.retain = true;
    dispatch_run(worker, copy, worker->deliveries, kept);
    message_drop(copy, 1);
    return found.version;
}

/* Makes it the retained message of its topic, with the version of the index that tells subscribers
 * whether they get it live (rule 10, docs/ordering.md). One that is older than what the topic has
 * by now is nobody's retained message any more. */
static void retain(struct worker *worker, struct message *message, uint64_t version,
                   const struct delivery *routed, uint32_t routed_count)
{
    const struct broker *broker = worker->broker;
    bool waited = topic_index_version(broker->index) != version;
#ifdef SEEDED_BUG_MISSED_BY_RETAINED
    waited = false;
#endif
    if (waited && retained_number(broker->retained, message->stored.topic) < message->stored.number)
        version = deliver_missed(worker, message, routed, routed_count, version);
    message->routed_version = version;
    if (retained_set(broker->retained, message) != STATUS_OK)
        log_line(LOG_ERROR, "out of memory: a retained message is in the store only, until the "
                            "next start");
}

struct dispatch *dispatch_new(const struct worker *worker, struct message *message,
                              const struct collection *found)
{
    struct dispatch *dispatch =
        malloc(sizeof *dispatch + found->count * sizeof dispatch->deliveries[0]);
    CHECK(dispatch != NULL); /* it is recorded: forgetting it would lose it until a restart */
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
    if (message->stored.retain)
        retain(worker, message, dispatch->version, dispatch->deliveries, count);
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

void dispatch_message(struct worker *worker, struct message *message)
{
    struct collection found;
    if (!dispatch_collect(worker, &message->stored, &found)) {
        log_line(LOG_ERROR, "out of memory: a message is not delivered");
        return;
    }
    dispatch_record(worker, message, &found, 0, 0);
    dispatch_carry_out(worker, dispatch_new(worker, message, &found));
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
    struct message *copy = message_copy(&retained->stored);
    if (copy == NULL) {
        identifiers_fini(&delivery.identifiers);
        worker_drop(worker, session, DROP_QUEUE_FULL);
        return;
    }
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
    store_batch_message(worker_batch(worker), &publish);
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
    struct collection found = {0};
    for (uint32_t i = 0; i < route->group_count; i++) {
        if (route->groups[i].count > 0 && route->groups[i].members[0].group == group)
            collect_member(worker, &found, &route->groups[i], &message->stored);
    }
    struct message *copy = found.count > 0 ? message_copy(&message->stored) : NULL;
    if (copy == NULL) {
        if (found.count > 0)
            identifiers_fini(&worker->deliveries[0].identifiers);
        return false;
    }
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
