#include "storage/batch.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

enum {
    NUMBERS = 1 << STORE_NUMBER_BITS,
    LARGE_MESSAGES = 8192,
    LARGE_ARENA = 1 << 20,
    LARGE_BYTES = 8 << 20,
};

struct store_batch *batch_new(struct store *store, unsigned worker)
{
    struct store_batch *batch = memory_take_zeroed(1, sizeof *batch);
    batch->store = store;
    batch->worker = worker;
    batch->last = &batch->first;
    return batch;
}

void batch_release(struct store_batch *batch, void (*release)(void *context, void *cookie),
                   void *context)
{
    struct delta_publish *next;
    for (struct delta_publish *publish = batch->publishes; publish != NULL; publish = next) {
        next = publish->batch_next;
        if (publish->cookie != NULL && release != NULL)
            release(context, publish->cookie);
    }
    batch->publishes = NULL;
}

void batch_recycle(struct store_batch *batch)
{
    struct arena arena = batch->arena;
    arena_reset(&arena);
    *batch = (struct store_batch){.store = batch->store, .worker = batch->worker, .arena = arena};
    batch->last = &batch->first;
}

void batch_free(struct store_batch *batch)
{
    arena_fini(&batch->arena);
    free(batch);
}

uint64_t store_batch_lsn(const struct store_batch *batch)
{
    return batch->lsn;
}

bool store_batch_full(const struct store_batch *batch)
{
    return batch->message_count >= LARGE_MESSAGES || batch->arena.bytes >= LARGE_ARENA ||
           batch->message_bytes >= LARGE_BYTES;
}

static void *append(struct store_batch *batch, enum delta_type type, size_t size)
{
    struct delta *delta = arena_take(&batch->arena, size);
    delta->next = NULL;
    delta->op_next = NULL;
    delta->type = type;
    *batch->last = delta;
    batch->last = &delta->next;
    return delta;
}

static struct delta_row *append_row(struct store_batch *batch, enum delta_type type,
                                    uint64_t incarnation, uint64_t number)
{
    struct delta_row *row = append(batch, type, sizeof *row);
    CHECK(incarnation != 0);
    row->incarnation = incarnation;
    row->number = number;
    row->sequence = 0;
    row->packet_identifier = 0;
    row->qos = 0;
    return row;
}

void store_batch_session(struct store_batch *batch, const struct store_session *session)
{
    struct arena *arena = &batch->arena;
    struct delta_session *delta = append(batch, DELTA_SESSION, sizeof *delta);
    CHECK(session->incarnation != 0);
    delta->session = *session;
    delta->session.client_identifier = arena_copy(arena, session->client_identifier);
    delta->session.owner = arena_copy(arena, session->owner);
    if (session->will.present) {
        delta->session.will.topic = arena_copy(arena, session->will.topic);
        delta->session.will.properties = arena_copy(arena, session->will.properties);
        delta->session.will.payload = arena_copy(arena, session->will.payload);
    } else {
        delta->session.will = (struct store_will){.present = false};
    }
    batch->urgent = true;
}

void store_batch_session_end(struct store_batch *batch, uint64_t incarnation)
{
    append_row(batch, DELTA_SESSION_END, incarnation, 0);
    batch->urgent = true;
}

void store_batch_subscribe(struct store_batch *batch, uint64_t incarnation,
                           const struct store_subscription *subscription)
{
    struct delta_subscription *delta = append(batch, DELTA_SUBSCRIBE, sizeof *delta);
    delta->incarnation = incarnation;
    delta->subscription = *subscription;
    delta->subscription.topic_filter = arena_copy(&batch->arena, subscription->topic_filter);
    batch->urgent = true;
}

void store_batch_unsubscribe(struct store_batch *batch, uint64_t incarnation,
                             struct bytes topic_filter)
{
    struct delta_subscription *delta = append(batch, DELTA_UNSUBSCRIBE, sizeof *delta);
    delta->incarnation = incarnation;
    delta->subscription =
        (struct store_subscription){.topic_filter = arena_copy(&batch->arena, topic_filter)};
    batch->urgent = true;
}

/* A message whose owner asks for no cookie may be gone before the disk has it: keep a copy. */
static const struct store_message *copy_message(struct arena *arena,
                                                const struct store_message *message)
{
    struct store_message *copy = arena_take(arena, sizeof *copy);
    *copy = *message;
    copy->topic = arena_copy(arena, message->topic);
    copy->properties = arena_copy(arena, message->properties);
    copy->payload = arena_copy(arena, message->payload);
    return copy;
}

static void init_row(struct row *row, struct delta_publish *publish, const struct store_owed *owed,
                     struct arena *arena)
{
    CHECK(owed->incarnation != 0 && (owed->qos == 1 || owed->qos == 2));
    *row = (struct row){
        .incarnation = owed->incarnation,
        .number = publish->number,
        .message = publish,
        .state = STORE_OUTBOUND_QUEUED,
        .qos = owed->qos,
        .retain = owed->retain,
        .subscription_identifier_count = owed->subscription_identifier_count,
    };
    if (owed->subscription_identifier_count > 0) {
        size_t size = owed->subscription_identifier_count * sizeof(uint32_t);
        row->subscription_identifiers = (const uint32_t *)(const void *)arena_copy(
                                            arena, bytes_of(owed->subscription_identifiers, size))
                                            .data;
    }
}

uint64_t store_batch_next_number(const struct store_batch *batch)
{
    return batch->lsn << STORE_NUMBER_BITS | batch->message_count;
}

uint64_t store_number_lsn(uint64_t number)
{
    return number >> STORE_NUMBER_BITS;
}

void store_batch_message(struct store_batch *batch, const struct store_publish *publish)
{
    struct store_message *message = publish->message;
    CHECK(batch->message_count < NUMBERS);
    message->number = store_batch_next_number(batch);
    batch->message_count++;
    batch->message_bytes += message->topic.size + message->properties.size + message->payload.size;

    struct delta_publish *delta =
        append(batch, DELTA_PUBLISH, sizeof *delta + publish->owed_count * sizeof *delta->rows);
    delta->batch = batch;
    list_init(&delta->link);
    delta->cookie = publish->cookie;
    delta->number = message->number;
    delta->inbound_incarnation = publish->inbound_incarnation;
    delta->inbound_packet_identifier = publish->inbound_packet_identifier;
    delta->retained = (uint8_t)publish->retained;
    delta->urgent = publish->urgent || publish->inbound_incarnation != 0 ||
                    publish->retained != STORE_RETAINED_NONE;
    delta->batch_next = batch->publishes;
    batch->publishes = delta;
    delta->live_count = 0;
    delta->row_count = publish->owed_count;
    for (uint32_t i = 0; i < publish->owed_count; i++)
        init_row(&delta->rows[i], delta, &publish->owed[i], &batch->arena);
    delta->message = publish->cookie != NULL ? message : copy_message(&batch->arena, message);
    batch->urgent = batch->urgent || delta->urgent;
}

void store_batch_sent_at_qos(struct store_batch *batch, uint64_t incarnation, uint64_t number,
                             uint8_t qos, uint16_t packet_identifier, uint64_t sequence)
{
    struct delta_row *row = append_row(batch, DELTA_SENT, incarnation, number);
    row->packet_identifier = packet_identifier;
    row->sequence = sequence;
    row->qos = qos;
    if (qos != 1)
        batch->urgent = true;
}

void store_batch_sent(struct store_batch *batch, uint64_t incarnation, uint64_t number,
                      uint16_t packet_identifier, uint64_t sequence)
{
    store_batch_sent_at_qos(batch, incarnation, number, 0, packet_identifier, sequence);
}

void store_batch_released(struct store_batch *batch, uint64_t incarnation, uint64_t number)
{
    append_row(batch, DELTA_RELEASED, incarnation, number);
    batch->urgent = true;
}

void store_batch_settled(struct store_batch *batch, uint64_t incarnation, uint64_t number)
{
    append_row(batch, DELTA_SETTLED, incarnation, number);
}

void store_batch_retained_expire(struct store_batch *batch, struct bytes topic, uint64_t number)
{
    struct delta_retained *delta = append(batch, DELTA_RETAINED_EXPIRE, sizeof *delta);
    delta->topic = arena_copy(&batch->arena, topic);
    delta->number = number;
}

void store_batch_inbound_erase(struct store_batch *batch, uint64_t incarnation,
                               uint16_t packet_identifier)
{
    struct delta_row *row = append_row(batch, DELTA_INBOUND_ERASE, incarnation, 0);
    row->packet_identifier = packet_identifier;
    batch->urgent = true;
}
