#include "verbs/messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/list.h"
#include "broker/dispatch.h"
#include "broker/publish.h"
#include "broker/worker.h"
#include "protocol/packet.h"
#include "protocol/topic.h"
#include "routing/reclaim.h"
#include "routing/retained.h"

enum {
    PAGE_DEFAULT = 100,
    PAGE_MAX = 1000,
    PAYLOAD_SHOWN = 4096,       /* of a longer one the size alone */
    BYTES_A_PAGE = 1024 * 1024, /* of topics and payloads: each may take six when it is escaped */
    PLACES_A_PAGE = 1000000,    /* looked at on the asker's thread: some ten milliseconds */
    FORGOTTEN_AT_TURN = 64,
};

/* ---- Publishing ---- */

struct publication {
    struct errand errand;
    struct message **messages;
    size_t count;
    uint8_t reason; /* the first that is no success */
    uint64_t lsn;
    uint32_t sessions;
};

/* All on one worker, so that what one operator publishes stays in its order. */
static void publish(struct worker *worker, struct errand *errand)
{
    struct publication *publication = CONTAINER_OF(errand, struct publication, errand);
    for (size_t i = 0; i < publication->count; i++) {
        uint64_t lsn;
        uint32_t sessions;
        uint8_t reason = dispatch_for_operator(worker, publication->messages[i], &lsn, &sessions);
        if (lsn > publication->lsn)
            publication->lsn = lsn;
        publication->sessions += sessions;
        if (publication->reason == REASON_SUCCESS)
            publication->reason = reason;
    }
}

/* The payload as bytes: as text, or as base64. `*out_memory` is the caller's to free. */
static bool payload_of(struct verb_call *call, struct bytes *out, uint8_t **out_memory)
{
    struct bytes encoded;
    if (!verb_text(call, "payload", false, out) ||
        !verb_text(call, "payload_base64", false, &encoded))
        return false;
    if (encoded.data == NULL)
        return true;
    if (out->data != NULL)
        return verb_refuse(call, 400, "\"payload\" or \"payload_base64\": not both");
    *out_memory = malloc(encoded.size + 1);
    if (*out_memory == NULL)
        return verb_refuse(call, 503, "out of memory");
    size_t size;
    if (!base64_decode(encoded, *out_memory, encoded.size, &size))
        return verb_refuse(call, 400, "\"payload_base64\" is no base64");
    *out = bytes_of(*out_memory, size);
    return true;
}

static bool topic_of(struct verb_call *call, struct bytes *out)
{
    size_t offset;
    if (!verb_text(call, "topic", true, out))
        return false;
    if (out->size > UINT16_MAX || !topic_name_validate(*out, &offset) ||
        publish_topic_refusal(*out) != 0)
        return verb_refuse(call, 400, "\"topic\" is no Topic Name that can be published to");
    return true;
}

/* NULL: refused. */
static struct message *message_of(struct verb_call *call, struct bytes payload)
{
    struct bytes topic;
    uint64_t qos;
    bool retain;
    if (!topic_of(call, &topic) || !verb_number(call, "qos", 0, 2, 0, &qos) ||
        !verb_truth(call, "retain", &retain))
        return NULL;
    if (retain && !call->broker->config->mqtt.retain_available) {
        verb_refuse(call, 400, "\"retain\": retain_available = false");
        return NULL;
    }
    struct message *message = message_new(topic, bytes_of(NULL, 0), payload);
    if (message == NULL) {
        verb_refuse(call, 503, "out of memory");
        return NULL;
    }
    message->stored.qos = (uint8_t)qos;
    message->stored.retain = retain;
    return message;
}

void messages_publish(struct verb_call *call)
{
    uint8_t *memory = NULL;
    struct bytes payload;
    struct message *message =
        payload_of(call, &payload, &memory) ? message_of(call, payload) : NULL;
    free(memory);
    if (message == NULL)
        return;
    struct publication publication = {.errand = {.run = publish}, .messages = &message, .count = 1};
    errand_send(&call->broker->workers[0], &publication.errand);
    message_drop(message, 1);
    if (publication.reason != REASON_SUCCESS) {
        verb_refuse(call, 503, "refused: %s", reason_code_name(publication.reason));
        return;
    }
    call->result = json_pack("{s:I, s:b}", "sessions", (json_int_t)publication.sessions, "durable",
                             verb_await(call->broker, publication.lsn));
}

/* ---- Retained messages ---- */

struct page {
    struct bytes filter;
    json_t *messages;
    size_t bytes; /* of them */
    int64_t store_now_ms;
};

static void add_payload(json_t *out, struct bytes payload)
{
    size_t offset;
    if (payload.size > PAYLOAD_SHOWN)
        return;
    if (utf8_validate(payload, &offset)) {
        json_object_set_new(out, "payload", verb_json_text(payload));
        return;
    }
    char text[BASE64_SIZE(PAYLOAD_SHOWN) + 1];
    base64_encode(payload, text);
    json_object_set_new(out, "payload_base64", json_string(text));
}

static void add_retained(void *context, struct message *message)
{
    struct page *page = context;
    const struct store_message *stored = &message->stored;
    if (!topic_filter_matches(page->filter, stored->topic) ||
        message_expired(message, page->store_now_ms))
        return;
    json_t *one = json_pack("{s:o, s:i, s:I}", "topic", verb_json_text(stored->topic), "qos",
                            stored->qos, "size", (json_int_t)stored->payload.size);
    if (one != NULL)
        add_payload(one, stored->payload);
    page->bytes += stored->topic.size;
    page->bytes += stored->payload.size <= PAYLOAD_SHOWN ? stored->payload.size : 0;
    json_array_append_new(page->messages, one);
}

static bool parse_filter(struct verb_call *call, bool needed, struct bytes *out)
{
    size_t offset;
    if (!verb_text(call, "filter", needed, out))
        return false;
    if (out->size == 0 && !needed)
        *out = bytes_of_text("#");
    if (out->size > UINT16_MAX || !utf8_validate(*out, &offset) ||
        topic_filter_parse(*out, true, &offset).kind != TOPIC_FILTER_PLAIN)
        return verb_refuse(call, 400, "\"filter\" is no Topic Filter");
    return true;
}

static int64_t store_now_ms(const struct broker *broker)
{
    return broker->store_base_ms + (int64_t)broker_clock_ms();
}

void messages_retained(struct verb_call *call)
{
    struct page page = {.store_now_ms = store_now_ms(call->broker)};
    uint64_t limit, cursor;
    if (!parse_filter(call, false, &page.filter) ||
        !verb_number(call, "limit", 1, PAGE_MAX, PAGE_DEFAULT, &limit) ||
        !verb_number(call, "cursor", 0, INT64_MAX, 0, &cursor) ||
        (page.messages = json_array()) == NULL)
        return;
    reclaim_thread_register();
    for (unsigned i = 0;
         i < PLACES_A_PAGE && json_array_size(page.messages) < limit && page.bytes < BYTES_A_PAGE;
         i++) {
        retained_walk(call->broker->retained, &cursor, 1, add_retained, &page);
        if (cursor == 0)
            break;
        reclaim_quiescent();
    }
    reclaim_thread_unregister();
    char next[24];
    snprintf(next, sizeof next, "%" PRIu64, cursor);
    call->result =
        json_pack("{s:o, s:s*}", "messages", page.messages, "next", cursor != 0 ? next : NULL);
}

struct forgetting {
    struct bytes filter;
    struct message **messages; /* of no bytes: they take the place of those that are there */
    size_t count, limit;
    bool more, failed;
};

static void forget_one(void *context, struct message *message)
{
    struct forgetting *forgetting = context;
    forgetting->more = forgetting->count == forgetting->limit;
    if (forgetting->more || forgetting->failed)
        return;
    struct message *empty =
        message_new(message->stored.topic, bytes_of(NULL, 0), bytes_of(NULL, 0));
    forgetting->failed = empty == NULL;
    if (empty == NULL)
        return;
    empty->stored.qos = 1; /* it is owed to the store (rule 6) */
    empty->stored.retain = true;
    forgetting->messages[forgetting->count++] = empty;
}

/* As a client does it: subscribers get the empty message, too [MQTT-3.3.1-6]. */
void messages_forget(struct verb_call *call)
{
    struct message *messages[PAGE_MAX];
    struct forgetting found = {.messages = messages};
    uint64_t limit;
    if (!parse_filter(call, true, &found.filter) ||
        !verb_number(call, "limit", 1, PAGE_MAX, PAGE_MAX, &limit))
        return;
    found.limit = limit;
    reclaim_thread_register();
    retained_match(call->broker->retained, found.filter, forget_one, &found);
    reclaim_thread_unregister();
    struct publication publication = {.errand = {.run = publish}};
    for (size_t at = 0; at < found.count; at += publication.count) {
        publication.messages = messages + at;
        publication.count =
            found.count - at < FORGOTTEN_AT_TURN ? found.count - at : FORGOTTEN_AT_TURN;
        errand_send(&call->broker->workers[0], &publication.errand);
    }
    for (size_t i = 0; i < found.count; i++)
        message_drop(messages[i], 1);
    if (publication.reason != REASON_SUCCESS || found.failed) {
        verb_refuse(call, 503, "refused: %s",
                    found.failed ? "out of memory" : reason_code_name(publication.reason));
        return;
    }
    call->result = json_pack("{s:I, s:b, s:b}", "deleted", (json_int_t)found.count, "more",
                             found.more, "durable", verb_await(call->broker, publication.lsn));
}
