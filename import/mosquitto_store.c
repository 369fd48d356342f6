#include "import/mosquitto_store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/memory.h"
#include "protocol/topic.h"
#include "storage/store.h"
#include "transfer/offline.h"

enum {
    OWNER_SIZE = UINT16_MAX + 8,
    NEVER = UINT32_MAX, /* of an expiry interval */
};

struct target {
    const struct mosquitto_db *db;
    struct store *store;
    struct store_batch *batch;
    struct mosquitto_report *report;
    int64_t now_ms; /* store time */
    int64_t wall_s;
    uint64_t *incarnations;  /* by client; 0: its session is over */
    size_t *order;           /* deliveries, by message and then as they stood */
    uint64_t *numbers;       /* by delivery; 0: it is left out, or still to come */
    struct store_owed *owed; /* room for every client */
    size_t *copies;          /* by client: the last copy that it was owed */
    size_t copy_count;
};

/* ---- Batches ---- */

static struct store_batch *batch_of(struct target *target)
{
    if (store_batch_full(target->batch)) {
        store_submit(target->store, target->batch);
        target->batch = store_batch_open(target->store, 0);
    }
    return target->batch;
}

/* ---- Sessions ---- */

/* Holdfast's name for whoever gives this user name, and no certificate: broker/connect.c. */
static struct bytes owner_of(const struct mosquitto_client *client, uint8_t *memory)
{
    if (client->user_name.size == 0)
        return bytes_of(NULL, 0);
    memcpy(memory, "\0u:", 3);
    put_bytes(memory + 3, client->user_name);
    return bytes_of(memory, 3 + client->user_name.size);
}

/* How long ago its connection ended; -1: its session has ended, too. */
static int64_t away_for_s(const struct target *target, const struct mosquitto_client *client)
{
    if (client->expiry_interval_s == 0)
        return -1;
    if (client->expiry_interval_s == NEVER || client->expires_at_s <= 0)
        return 0;
    int64_t left_s = client->expires_at_s - target->wall_s;
    if (left_s <= 0)
        return -1;
    return left_s < client->expiry_interval_s ? client->expiry_interval_s - left_s : 0;
}

static void write_session(struct target *target, size_t index)
{
    static uint8_t memory[OWNER_SIZE];
    const struct mosquitto_client *client = &target->db->clients[index];
    int64_t away_s = away_for_s(target, client);
    if (away_s < 0) {
        target->report->over++;
        return;
    }
    uint64_t incarnation = (uint64_t)store_boot(target->store) << 32 | (index + 1);
    struct store_session session = {
        .incarnation = incarnation,
        .client_identifier = client->identifier,
        .owner = owner_of(client, memory),
        /* mosquitto does not say; clients before MQTT 5 have sessions for ever or none. */
        .version = client->expiry_interval_s == NEVER ? 4 : 5,
        .expiry_interval_s = client->expiry_interval_s,
        .disconnected_at_ms = target->now_ms - away_s * 1000,
    };
    target->incarnations[index] = incarnation;
    store_batch_session(batch_of(target), &session);
    target->report->sessions++;
}

static void write_subscription(struct target *target, const struct mosquitto_subscription *from)
{
    uint64_t incarnation = target->incarnations[from->client];
    struct store_subscription subscription = {
        .topic_filter = from->filter, .options = from->options, .identifier = from->identifier};
    if (incarnation == 0)
        return;
    store_batch_subscribe(batch_of(target), incarnation, &subscription);
    target->report->subscriptions++;
}

/* ---- Messages ---- */

static bool is_expired(const struct target *target, const struct mosquitto_message *message)
{
    return message->expires_at_s > 0 && message->expires_at_s <= target->wall_s;
}

static struct store_message stored(const struct target *target,
                                   const struct mosquitto_message *message)
{
    struct store_message out = {
        .qos = message->qos,
        .retain = message->retain,
        .received_at_ms = target->now_ms,
        .topic = message->topic,
        .properties = message->properties,
        .payload = message->payload,
    };
    if (message->expires_at_s > 0) {
        int64_t left_s = message->expires_at_s - target->wall_s;
        out.has_expiry = true;
        out.expiry_interval_s = left_s < 0 ? 0 : left_s < NEVER ? (uint32_t)left_s : NEVER;
    }
    return out;
}

/* What a session is owed, once in one copy of a message. */
static struct store_owed *add_owed(struct target *target, size_t client, uint32_t *count)
{
    struct store_owed *owed = &target->owed[(*count)++];
    target->copies[client] = target->copy_count;
    *owed = (struct store_owed){.incarnation = target->incarnations[client]};
    return owed;
}

static struct store_owed *find_owed(struct target *target, size_t client, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (target->owed[i].incarnation == target->incarnations[client])
            return &target->owed[i];
    }
    CHECK(false);
}

static void publish(struct target *target, const struct mosquitto_message *from,
                    const struct mosquitto_delivery *held, uint32_t owed_count, bool retains)
{
    struct store_message message = stored(target, from);
    bool deletes = from->payload.size == 0;
    struct store_publish publish = {
        .message = &message,
        .owed = target->owed,
        .owed_count = owed_count,
        .inbound_incarnation = held != NULL ? target->incarnations[held->client] : 0,
        .inbound_packet_identifier = held != NULL ? held->packet_identifier : 0,
        .retained = !retains  ? STORE_RETAINED_NONE
                    : deletes ? STORE_RETAINED_DELETE
                              : STORE_RETAINED_SET,
        .urgent = true,
    };
    store_batch_message(batch_of(target), &publish);
    target->report->owed += owed_count;
    target->report->retained += retains && !deletes;
}

/* mosquitto publishes a QoS 2 message when its PUBREL comes, Holdfast before its PUBREC: one that
 * is between the two goes to whom it is for now, and its Packet Identifier stays in use. */
static void write_held(struct target *target, const struct mosquitto_message *message,
                       const struct mosquitto_delivery *held)
{
#ifdef SEEDED_BUG_IMPORT_HELD_FORGOTTEN
    return;
#endif
    const struct mosquitto_db *db = target->db;
    uint32_t count = 0;
    target->copy_count++;
    for (size_t i = 0; i < db->subscription_count; i++) {
        const struct mosquitto_subscription *to = &db->subscriptions[i];
        bool no_local = (to->options & 0x04) != 0, as_published = (to->options & 0x08) != 0;
        uint8_t qos = to->options & 0x03;
        if (target->incarnations[to->client] == 0 || qos == 0 || message->qos == 0 ||
            (no_local && to->client == held->client) ||
            !topic_filter_matches(to->filter, message->topic))
            continue;
        struct store_owed *owed = target->copies[to->client] == target->copy_count
                                      ? find_owed(target, to->client, count)
                                      : add_owed(target, to->client, &count);
        qos = qos < message->qos ? qos : message->qos;
        if (qos <= owed->qos)
            continue;
        owed->qos = qos;
        owed->retain = as_published && message->retain;
        owed->subscription_identifiers = &to->identifier;
        owed->subscription_identifier_count = to->identifier != 0;
    }
    publish(target, message, held, count, message->retain);
}

/* Whether somebody is still owed this; counts what is left out. */
static bool is_wanted(struct target *target, const struct mosquitto_delivery *delivery,
                      const struct mosquitto_message *message)
{
    if (target->incarnations[delivery->client] == 0)
        return false;
    if (delivery->qos == 0) {
        target->report->qos_0++;
        return false;
    }
    /* An exchange that has begun is brought to its end: rule 15. */
    if (message == NULL ||
        (is_expired(target, message) && !mosquitto_delivery_is_in_flight(delivery))) {
        target->report->expired++;
        return false;
    }
    return true;
}

/* One copy for all sessions; a session that is owed it twice has the second from a copy of its own.
 * `order` are its deliveries. */
static void write_message(struct target *target, const struct mosquitto_message *message,
                          const size_t *order, size_t order_count)
{
    bool retains = message->is_retained && !is_expired(target, message);
    size_t left = order_count;
    do {
        uint32_t count = 0;
        target->copy_count++;
        for (size_t i = 0; i < order_count; i++) {
            const struct mosquitto_delivery *to = &target->db->deliveries[order[i]];
            if (target->numbers[order[i]] != 0 || target->copies[to->client] == target->copy_count)
                continue;
            struct store_owed *owed = add_owed(target, to->client, &count);
            owed->qos = to->qos;
            owed->retain = to->retain;
            owed->subscription_identifiers = &to->identifier;
            owed->subscription_identifier_count = to->identifier != 0;
            /* Nothing gets into the batch before publish() does. */
            target->numbers[order[i]] = store_batch_next_number(batch_of(target));
        }
        if (count > 0 || retains)
            publish(target, message, NULL, count, retains);
        retains = false;
        left -= count;
    } while (left > 0);
}

/* All that the database says about one message; `order` as above, of everybody. */
static void write_with_deliveries(struct target *target, const struct mosquitto_message *message,
                                  size_t *order, size_t order_count)
{
    size_t kept = 0;
    for (size_t i = 0; i < order_count; i++) {
        const struct mosquitto_delivery *delivery = &target->db->deliveries[order[i]];
        if (delivery->from_client && delivery->state != MOSQUITTO_STATE_RESEND_PUBCOMP)
            write_held(target, message, delivery);
        else if (!delivery->from_client && is_wanted(target, delivery, message))
            order[kept++] = order[i];
    }
    write_message(target, message, order, kept);
}

static const struct mosquitto_db *sorted_db; /* qsort() hands nothing through */

static int by_message(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    uint64_t left_id = sorted_db->deliveries[left].message;
    uint64_t right_id = sorted_db->deliveries[right].message;
    return left_id != right_id ? (left_id > right_id) - (left_id < right_id)
                               : (left > right) - (left < right);
}

static void write_messages(struct target *target)
{
    const struct mosquitto_db *db = target->db;
    size_t at = 0;
    for (size_t i = 0; i < db->delivery_count; i++)
        target->order[i] = i;
    sorted_db = db;
    qsort(target->order, db->delivery_count, sizeof *target->order, by_message);
    for (size_t i = 0; i < db->message_count; i++) {
        const struct mosquitto_message *message = &db->messages[i];
        while (at < db->delivery_count && db->deliveries[target->order[at]].message < message->id)
            is_wanted(target, &db->deliveries[target->order[at++]], NULL);
        size_t first = at;
        while (at < db->delivery_count && db->deliveries[target->order[at]].message == message->id)
            at++;
        write_with_deliveries(target, message, target->order + first, at - first);
    }
    while (at < db->delivery_count)
        is_wanted(target, &db->deliveries[target->order[at++]], NULL);
}

/* In each session's order, which is that of the file. */
static void write_exchanges(struct target *target)
{
    for (size_t i = 0; i < target->db->delivery_count; i++) {
        const struct mosquitto_delivery *delivery = &target->db->deliveries[i];
        uint64_t incarnation = target->incarnations[delivery->client];
        if (target->numbers[i] == 0 || !mosquitto_delivery_is_in_flight(delivery))
            continue;
#ifdef SEEDED_BUG_IMPORT_BEGUN_ANEW
        continue;
#endif
        store_batch_sent_at_qos(batch_of(target), incarnation, target->numbers[i], delivery->qos,
                                delivery->packet_identifier, i + 1);
        if (delivery->state == MOSQUITTO_STATE_RESEND_PUBREL ||
            delivery->state == MOSQUITTO_STATE_WAIT_FOR_PUBCOMP)
            store_batch_released(batch_of(target), incarnation, target->numbers[i]);
    }
}

/* ---- All ---- */

static enum status fill(void *context, struct offline *offline, uint64_t *out_lsn, char *error,
                        size_t error_size)
{
    (void)error;
    (void)error_size;
    struct target *target = context;
    const struct mosquitto_db *db = target->db;
    size_t clients = db->client_count + 1, deliveries = db->delivery_count + 1;
    target->store = offline->store;
    target->now_ms = offline_now_ms(offline);
    target->wall_s = time(NULL);
    target->incarnations = memory_take_zeroed(clients, sizeof *target->incarnations);
    target->copies = memory_take_zeroed(clients, sizeof *target->copies);
    target->owed = memory_take_zeroed(clients, sizeof *target->owed);
    target->order = memory_take_zeroed(deliveries, sizeof *target->order);
    target->numbers = memory_take_zeroed(deliveries, sizeof *target->numbers);
    target->batch = store_batch_open(target->store, 0);
    for (size_t i = 0; i < db->client_count; i++)
        write_session(target, i);
    for (size_t i = 0; i < db->subscription_count; i++)
        write_subscription(target, &db->subscriptions[i]);
    write_messages(target);
    write_exchanges(target);
    *out_lsn = store_batch_lsn(target->batch);
    store_submit(target->store, target->batch);
    free(target->incarnations);
    free(target->copies);
    free(target->owed);
    free(target->order);
    free(target->numbers);
    return STATUS_OK;
}

enum status mosquitto_store_write(const struct mosquitto_db *db, const char *directory,
                                  struct mosquitto_report *out, char *error, size_t error_size)
{
    struct target target = {.db = db, .report = out};
    struct offline_filler filler = {.context = &target, .fill = fill};
    *out = (struct mosquitto_report){0};
    return offline_write(directory, &filler, error, error_size);
}
