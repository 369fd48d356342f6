#include "broker/session.h"

#include <stdlib.h>

#include "base/check.h"
#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/permission.h"
#include "broker/transition.h"

/* Of a size that allocators have: nothing is lost between slabs. */
enum { SLAB_SIZE = 64 * 1024, SLAB_SESSIONS = SLAB_SIZE / sizeof(struct session) };

/* ---- Memory: slabs that are never unmapped ---- */

static struct session *slot_take(struct worker *worker)
{
    struct list *node = list_pop(&worker->free_sessions);
    if (node != NULL)
        return CONTAINER_OF(node, struct session, list);
    struct session **slabs =
        realloc(worker->slabs, (worker->slab_count + 1) * sizeof(struct session *));
    if (slabs == NULL)
        return NULL;
    worker->slabs = slabs;
    struct session *slab = malloc(SLAB_SIZE);
    if (slab == NULL)
        return NULL;
    slabs[worker->slab_count++] = slab;
    memset(slab, 0, sizeof *slab * SLAB_SESSIONS);
    for (unsigned i = 0; i < SLAB_SESSIONS; i++)
        slab[i].home = (uint16_t)worker->index;
    for (unsigned i = 1; i < SLAB_SESSIONS; i++)
        list_append(&worker->free_sessions, &slab[i].list);
    return &slab[0];
}

bool session_at(const struct worker *worker, uint64_t place, const struct session **out)
{
    if (place >= (uint64_t)worker->slab_count * SLAB_SESSIONS)
        return false;
    const struct session *session = &worker->slabs[place / SLAB_SESSIONS][place % SLAB_SESSIONS];
    *out = session->incarnation != 0 ? session : NULL;
    return true;
}

void session_slabs_free(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->slab_count; i++)
        free(worker->slabs[i]);
    free(worker->slabs);
}

/* Who it is and who made it, in one piece of memory. */
static bool copy_names(struct session *session, struct bytes client_identifier, struct bytes owner)
{
    uint8_t *copy = malloc(client_identifier.size + owner.size + 1);
    if (copy == NULL)
        return false;
    put_bytes(copy, client_identifier);
    put_bytes(copy + client_identifier.size, owner);
    session->client_identifier = bytes_of(copy, client_identifier.size);
    session->owner = bytes_of(copy + client_identifier.size, owner.size);
    return true;
}

/* ---- The table ---- */

/* What there is of a Client is found by its identifier alone [MQTT-3.1.3-2]. */
struct session *session_find(struct worker *worker, struct bytes client_identifier)
{
    const struct session_table *table = &worker->sessions;
    if (table->capacity == 0)
        return NULL;
    uint64_t hash =
        hash_bytes(&worker->broker->key, client_identifier.data, client_identifier.size);
    struct session *session = table->buckets[hash & (table->capacity - 1)];
    while (session != NULL &&
           !(session->hash == hash && bytes_equal(session->client_identifier, client_identifier)))
        session = session->bucket_next;
    return session;
}

static bool table_grow(struct session_table *table)
{
    uint32_t capacity = table->capacity > 0 ? table->capacity * 2 : 64;
    struct session **buckets = calloc(capacity, sizeof *buckets);
    if (buckets == NULL)
        return false;
    for (uint32_t i = 0; i < table->capacity; i++) {
        for (struct session *at = table->buckets[i], *next; at != NULL; at = next) {
            next = at->bucket_next;
            at->bucket_next = buckets[at->hash & (capacity - 1)];
            buckets[at->hash & (capacity - 1)] = at;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->capacity = capacity;
    return true;
}

static bool table_add(struct session_table *table, struct session *session)
{
    if (table->count >= table->capacity && !table_grow(table))
        return false;
    struct session **bucket = &table->buckets[session->hash & (table->capacity - 1)];
    session->bucket_next = *bucket;
    *bucket = session;
    table->count++;
    return true;
}

static void table_remove(struct session_table *table, struct session *session)
{
    struct session **at = &table->buckets[session->hash & (table->capacity - 1)];
    while (*at != session)
        at = &(*at)->bucket_next;
    *at = session->bucket_next;
    table->count--;
}

/* ---- Timers ---- */

uint64_t session_boot_ms(const struct worker *worker, int64_t store_ms)
{
    int64_t boot = store_ms - worker->broker->store_base_ms;
    return boot > 0 ? (uint64_t)boot : 0;
}

static void session_event(struct worker *worker, struct session *session, uint8_t event);
static void will_event(struct worker *worker, struct session *session, uint8_t event);

static void expiry_fired(struct worker *worker, struct worker_timer *timer)
{
    struct session *session = CONTAINER_OF(timer, struct session, expiry_timer);
    log_line(LOG_INFO, "client \"%s\": session expired after %u s [MQTT-4.1.0-2]",
             session_name(session), session->expiry_interval_s);
    session_event(worker, session, SESSION_EVENT_EXPIRED); /* [MQTT-4.1.0-2] */
}

static void will_fired(struct worker *worker, struct worker_timer *timer)
{
    const struct session_will *will = CONTAINER_OF(timer, struct session_will, timer);
    will_event(worker, will->session, WILL_EVENT_DUE);
}

/* ---- New and gone ---- */

void session_set_stored(struct worker *worker, struct session *session, bool stored)
{
    if (stored == session_is_stored(session))
        return;
    session_set_fact(session, SESSION_FACT_STORED, stored);
    atomic_fetch_add_explicit(&worker->broker->stored_sessions, stored ? 1 : UINT64_MAX,
                              memory_order_relaxed);
}

struct session *session_new(struct worker *worker, struct bytes client_identifier,
                            struct bytes owner, uint64_t incarnation)
{
    struct session *session = slot_take(worker);
    if (session == NULL)
        return NULL;
    /* `facts` may be read by publishers that still hold a route to the slot's last session. */
    uint8_t *past_room = (uint8_t *)&session->room + sizeof session->room;
    memset(past_room, 0, (size_t)((uint8_t *)(session + 1) - past_room));
    session_set_facts(session, 0);
    list_init(&session->list);
    session->bucket_next = NULL;
    session->incarnation = incarnation;
    worker_timer_init(&session->expiry_timer, expiry_fired);
    session->hash =
        hash_bytes(&worker->broker->key, client_identifier.data, client_identifier.size);
    if (!copy_names(session, client_identifier, owner) || !table_add(&worker->sessions, session)) {
        free((void *)session->client_identifier.data);
        session->incarnation = 0;
        list_append(&worker->free_sessions, &session->list);
        return NULL;
    }
    counter_set(&worker->counters.sessions, worker->sessions.count);
    return session;
}

static void subscriptions_fini(struct worker *worker, struct session *session)
{
    for (uint32_t i = 0; i < session->subscription_capacity; i++) {
        struct subscription *subscription = session->subscriptions[i];
        if (subscription == NULL)
            continue;
        subscription_end(worker, subscription);
    }
    free(session->subscriptions);
    session->subscriptions = NULL;
    session->subscription_capacity = session->subscription_count = 0;
}

void session_forget(struct worker *worker, struct session *session)
{
    worker_timer_cancel(worker, &session->expiry_timer);
    list_remove(&session->list);
    subscriptions_fini(worker, session);
    drop_fini(worker, session);
    outbound_fini(worker, &session->outbound);
    pid_map_fini(&session->inbound);
    session_will_free(worker, session->will);
    session->will = NULL;
    table_remove(&worker->sessions, session);
    counter_set(&worker->counters.sessions, worker->sessions.count);
    free((void *)session->client_identifier.data);
    session->incarnation = 0;
    session_set_stored(worker, session, false);
    session_set_facts(session, 0);
    list_append(&worker->free_sessions, &session->list);
}

/* Discards the Session State. The will machine has had SESSION_ENDED. */
static void session_end(struct worker *worker, struct session *session)
{
    subscriptions_fini(worker, session);
    outbound_leave_group(worker, session, 0, true);
    if (session->has_row) {
        store_batch_session_end(worker_batch(worker), session->incarnation);
        worker->last_end_lsn = worker_lsn(worker);
    }
    uint64_t lost = outbound_undelivered(&session->outbound);
    if (lost > 0)
        drop_many(worker, session, DROP_SESSION_ENDED, lost);
    session_forget(worker, session);
}

/* ---- The store's row ---- */

void session_write(struct session *session, struct store_batch *batch)
{
    struct store_session row = {
        .incarnation = session->incarnation,
        .client_identifier = session->client_identifier,
        .owner = session->owner,
        .version = session->version,
        .expiry_interval_s = session->expiry_interval_s,
        .connected = session->connection != NULL,
        .disconnected_at_ms = session->disconnected_at_ms,
        .will_due_ms = session->will != NULL ? session->will->due_ms : 0,
    };
    if (session->will != NULL) {
        const struct store_message *will = &session->will->message->stored;
        row.will = (struct store_will){
            .present = true,
            .qos = will->qos,
            .retain = will->retain,
            .delay_interval_s = session->will->delay_interval_s,
            .has_message_expiry = will->has_expiry,
            .message_expiry_interval_s = will->expiry_interval_s,
            .topic = will->topic,
            .properties = will->properties,
            .payload = will->payload,
        };
    }
    store_batch_session(batch, &row);
    session->has_row = true;
}

/* ---- The will machine ---- */

struct session_will *session_will_new(struct message *message, uint32_t delay_interval_s)
{
    struct session_will *will = malloc(sizeof *will);
    if (will == NULL)
        return NULL;
    *will = (struct session_will){.message = message, .delay_interval_s = delay_interval_s};
    worker_timer_init(&will->timer, will_fired);
    return will;
}

void session_will_free(struct worker *worker, struct session_will *will)
{
    if (will == NULL)
        return;
    worker_timer_cancel(worker, &will->timer);
    message_drop(will->message, 1);
    free(will);
}

void session_set_will(struct session *session, struct session_will *will)
{
    CHECK(session->will == NULL);
    session->will = will;
    if (will != NULL)
        will->session = session;
}

static void will_publish(struct worker *worker, struct session *session)
{
    struct session_will *will = session->will;
    struct message *message = will->message;
    session->will = NULL;
    message->stored.received_at_ms = worker->store_now_ms;
    message->stored.publisher = session->incarnation;
    if (!dispatch_may_retain(worker, &message->stored)) {
        message->stored.retain = false;
        drop_one(worker, session, DROP_NOT_RETAINED);
    }
    dispatch_will(worker, session, message);
    session_will_free(worker, will);
}

static void will_event(struct worker *worker, struct session *session, uint8_t event)
{
    const struct fsm_row *row =
        transition_step(worker, session, &will_machine, &session->will_state, event, 0);
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case WILL_ACTION_KEEP: /* session_connect puts it in place */
            break;
        case WILL_ACTION_PUBLISH:
            will_publish(worker, session);
            break;
        case WILL_ACTION_FORGET:
            session_will_free(worker, session->will); /* NULL behind PUBLISH */
            session->will = NULL;
            break;
        case WILL_ACTION_ARM_DELAY:
            session->will->due_ms =
                session->disconnected_at_ms + (int64_t)session->will->delay_interval_s * 1000;
            worker_timer_set(worker, &session->will->timer,
                             session_boot_ms(worker, session->will->due_ms));
            break;
        case WILL_ACTION_CANCEL_DELAY:
            worker_timer_cancel(worker, &session->will->timer);
            break;
        }
    }
}

/* ---- The session machine ---- */

static uint8_t closed_event(const struct session *session)
{
    if (session->expiry_interval_s == 0)
        return SESSION_EVENT_CLOSED_ENDS;
    return session->expiry_interval_s == UINT32_MAX ? SESSION_EVENT_CLOSED_STAYS
                                                    : SESSION_EVENT_CLOSED_WAITS;
}

/* The session may be gone afterwards. */
static void session_event(struct worker *worker, struct session *session, uint8_t event)
{
    const struct fsm_row *row =
        transition_step(worker, session, &session_machine, &session->state, event, 0);
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case SESSION_ACTION_CREATE: /* session_connect's */
        case SESSION_ACTION_RESUME:
            break;
        case SESSION_ACTION_END:
            will_event(worker, session, WILL_EVENT_SESSION_ENDED);
            session_end(worker, session);
            return;
        case SESSION_ACTION_ARM_EXPIRY:
            worker_timer_set(
                worker, &session->expiry_timer,
                session_boot_ms(worker, session->disconnected_at_ms +
                                            (int64_t)session->expiry_interval_s * 1000));
            break;
        case SESSION_ACTION_CANCEL_EXPIRY:
            worker_timer_cancel(worker, &session->expiry_timer);
            break;
        }
    }
}

/* NULL: no memory. */
static struct message *will_message(const struct connect *connect)
{
    const struct will *will = &connect->will;
    uint8_t *forwardable = malloc(will->properties.raw.size + 1);
    if (forwardable == NULL)
        return NULL;
    size_t size = connect->version == MQTT_VERSION_5
                      ? properties_forwardable(will->properties.raw, forwardable)
                      : 0;
    struct message *message = message_new(will->topic, bytes_of(forwardable, size), will->payload);
    free(forwardable);
    if (message == NULL)
        return NULL;
    message->stored.qos = will->qos;
    message->stored.retain = will->retain; /* [MQTT-3.1.2-14] [MQTT-3.1.2-15] */
    if (connect->version == MQTT_VERSION_5 &&
        properties_has(&will->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        message->stored.has_expiry = true;
        message->stored.expiry_interval_s = will->properties.message_expiry_interval_s;
    }
    return message;
}

static struct session_will *will_of(const struct connect *connect)
{
    bool delayed = connect->version == MQTT_VERSION_5 &&
                   properties_has(&connect->will.properties, PROPERTY_WILL_DELAY_INTERVAL);
    struct message *message = will_message(connect);
    if (message == NULL)
        return NULL;
    struct session_will *will =
        session_will_new(message, delayed ? connect->will.properties.will_delay_interval_s : 0);
    if (will == NULL)
        message_drop(message, 1);
    return will;
}

struct session *session_connect(struct worker *worker, struct session *session,
                                const struct connect *connect, struct bytes client_identifier,
                                struct bytes owner, uint32_t expiry_interval_s, bool *out_present)
{
    struct session_will *will = NULL;
    if (connect->has_will && (will = will_of(connect)) == NULL)
        return NULL;
    uint8_t event =
        connect->clean_start ? SESSION_EVENT_CONNECT_CLEAN : SESSION_EVENT_CONNECT_RESUME;
    if (session != NULL && connect->clean_start) {
        /* END and CREATE of one row are two sessions here: the old one's memory goes back. */
        session_event(worker, session, event);
        session = NULL;
    }
    *out_present = session != NULL;
    if (session == NULL) {
        session =
            session_new(worker, client_identifier, owner, broker_new_incarnation(worker->broker));
        if (session == NULL) {
            session_will_free(worker, will);
            return NULL;
        }
    }
    session_event(worker, session, event);
    will_event(worker, session,
               will != NULL ? WILL_EVENT_CONNECT_WITH_WILL : WILL_EVENT_CONNECT_WITHOUT_WILL);
    session_set_will(session, will);
    session->version = (uint8_t)connect->version;
    session->expiry_interval_s = expiry_interval_s;
    /* What was stored stays so until it ends, even if that is with this connection: what it is owed
     * from before and what comes now go the same way, and so in order. */
    session_set_stored(worker, session,
                       expiry_interval_s > 0 || (*out_present && session_is_stored(session)));
    outbound_update_room(worker, session);
    return session;
}

/* The right to publish it may have been withdrawn since CONNECT. */
static bool may_have_will(const struct session *session)
{
#ifdef SEEDED_BUG_WILL_RIGHT_KEPT
    return true;
#endif
    return session->will == NULL || session->connection == NULL ||
           permission_to_publish(session->connection, session->will->message->stored.topic);
}

void session_disconnected(struct worker *worker, struct session *session, bool normally)
{
    if (!normally && !may_have_will(session)) {
        drop_one(worker, session, DROP_NOT_AUTHORISED);
        normally = true;
    }
    session->connection = NULL;
    session_set_fact(session, SESSION_FACT_CONNECTED, false);
    session_set_fact(session, SESSION_FACT_QUOTA, false);
    session->disconnected_at_ms = worker->store_now_ms;
    outbound_connection_lost(worker, session);
    if (normally)
        will_event(worker, session, WILL_EVENT_DISCONNECT_NORMAL);
    else
        will_event(worker, session,
                   session->will != NULL && session->will->delay_interval_s > 0
                       ? WILL_EVENT_CLOSED_DELAYED
                       : WILL_EVENT_CLOSED_NOW);
    if (session->expiry_interval_s > 0)
        session_write(session, worker_batch(worker));
    session_event(worker, session, closed_event(session));
}

void session_discard(struct worker *worker, struct session *session)
{
    CHECK(session->connection == NULL);
    log_line(LOG_NOTICE, "client \"%s\": session ended by an operator", session_name(session));
    worker_timer_cancel(worker, &session->expiry_timer);
    session_event(worker, session, SESSION_EVENT_EXPIRED);
}

void session_suspended(struct worker *worker, struct session *session)
{
    session->connection = NULL;
    session_set_fact(session, SESSION_FACT_CONNECTED, false);
    session_set_fact(session, SESSION_FACT_QUOTA, false);
    outbound_connection_lost(worker, session);
}

void session_restart(struct worker *worker, struct session *session, bool was_connected)
{
#ifdef SEEDED_BUG_RESTART_IS_NO_DISCONNECT
    was_connected = false;
#endif
    if (was_connected) {
        session->state = SESSION_STATE_CONNECTED;
        session->will_state = session->will != NULL ? WILL_STATE_ARMED : WILL_STATE_NONE;
        session_disconnected(worker, session, false);
        return;
    }
#ifdef SEEDED_BUG_EXPIRY_RESTARTED
    session->disconnected_at_ms = worker->store_now_ms;
#endif
    session->state = SESSION_STATE_DISCONNECTED;
    if (session->will != NULL) {
        session->will_state = WILL_STATE_DELAYED;
        worker_timer_set(worker, &session->will->timer,
                         session_boot_ms(worker, session->will->due_ms));
    }
    if (session->expiry_interval_s != UINT32_MAX)
        worker_timer_set(worker, &session->expiry_timer,
                         session_boot_ms(worker, session->disconnected_at_ms +
                                                     (int64_t)session->expiry_interval_s * 1000));
}

/* ---- Subscriptions by filter ---- */

static uint32_t subscription_slot(const struct session *session, const struct hash_key *key,
                                  struct bytes filter)
{
    uint32_t mask = session->subscription_capacity - 1;
    uint32_t slot = (uint32_t)hash_bytes(key, filter.data, filter.size) & mask;
    while (session->subscriptions[slot] != NULL &&
           !bytes_equal(bytes_of(session->subscriptions[slot]->filter,
                                 session->subscriptions[slot]->filter_size),
                        filter))
        slot = (slot + 1) & mask;
    return slot;
}

struct subscription *session_subscription(const struct session *session, const struct hash_key *key,
                                          struct bytes filter)
{
    if (session->subscription_count == 0)
        return NULL;
    return session->subscriptions[subscription_slot(session, key, filter)];
}

static enum status subscriptions_resize(struct session *session, const struct hash_key *key,
                                        uint32_t capacity)
{
    struct session wider = {.subscription_capacity = capacity};
    wider.subscriptions = calloc(capacity, sizeof(struct subscription *));
    if (wider.subscriptions == NULL)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < session->subscription_capacity; i++) {
        struct subscription *at = session->subscriptions[i];
        if (at != NULL)
            wider.subscriptions[subscription_slot(&wider, key,
                                                  bytes_of(at->filter, at->filter_size))] = at;
    }
    free(session->subscriptions);
    session->subscriptions = wider.subscriptions;
    session->subscription_capacity = capacity;
    return STATUS_OK;
}

enum status session_subscription_add(struct session *session, const struct hash_key *key,
                                     struct subscription *subscription)
{
    if ((session->subscription_count + 1) * 4 > session->subscription_capacity * 3)
        TRY(subscriptions_resize(
            session, key,
            session->subscription_capacity > 0 ? session->subscription_capacity * 2 : 2));
    struct bytes filter = bytes_of(subscription->filter, subscription->filter_size);
    session->subscriptions[subscription_slot(session, key, filter)] = subscription;
    session->subscription_count++;
    return STATUS_OK;
}

void session_subscription_remove(struct session *session, const struct hash_key *key,
                                 const struct subscription *subscription)
{
    uint32_t mask = session->subscription_capacity - 1;
    struct bytes filter = bytes_of(subscription->filter, subscription->filter_size);
    uint32_t hole = subscription_slot(session, key, filter);
    CHECK(session->subscriptions[hole] == subscription);
    for (uint32_t at = (hole + 1) & mask; session->subscriptions[at] != NULL;
         at = (at + 1) & mask) {
        const struct subscription *other = session->subscriptions[at];
        uint32_t home = (uint32_t)hash_bytes(key, other->filter, other->filter_size) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            session->subscriptions[hole] = session->subscriptions[at];
            hole = at;
        }
    }
    session->subscriptions[hole] = NULL;
    session->subscription_count--;
}

const char *session_name(const struct session *session)
{
    static _Thread_local char name[160];
    return log_text(session->client_identifier.data, session->client_identifier.size, name,
                    sizeof name);
}
