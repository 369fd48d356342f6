#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/memory.h"
#include "protocol/packet.h"
#include "protocol/topic.h"
#include "transfer/offline.h"
#include "transfer/transfer.h"

enum {
    IDENTIFIERS_MAX = 10000, /* as many as a session may have subscriptions, by default */
    IDENTIFIER_MAX = 268435455,
    IDENTIFIER_WORDS = (UINT16_MAX + 1) / 64,
};

struct importer {
    FILE *file;
    struct store *store;
    struct store_batch *batch;
    uint64_t incarnation;      /* of the session whose lines these are; 0: before the first */
    json_t *clients, *filters; /* sets of those there are: of all, and of that session */
    uint64_t sequence;
    uint64_t outbound[IDENTIFIER_WORDS], inbound[IDENTIFIER_WORDS]; /* in use: that session's */
    size_t line;
    bool ended;
    struct buffer properties, payload, owner; /* decoded, of this line */
    char *error;
    size_t error_size;
};

static enum status refuse(struct importer *importer, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status refuse(struct importer *importer, enum status status, const char *format, ...)
{
    char why[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    snprintf(importer->error, importer->error_size, "line %zu: %s", importer->line, why);
    return status;
}

/* ---- Fields ---- */

static enum status take_integer(struct importer *importer, const json_t *object, const char *name,
                                int64_t min, int64_t max, int64_t *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_integer_value(value);
    if (!json_is_integer(value) || *out < min || *out > max)
        return refuse(importer, STATUS_INVALID, "\"%s\" is missing, or no number of its kind",
                      name);
    return STATUS_OK;
}

static enum status take_bool(struct importer *importer, const json_t *object, const char *name,
                             bool *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return json_is_boolean(value)
               ? STATUS_OK
               : refuse(importer, STATUS_INVALID, "\"%s\" is missing, or no truth value", name);
}

static enum status take_text(struct importer *importer, const json_t *object, const char *name,
                             struct bytes *out)
{
    const json_t *value = json_object_get(object, name);
    *out = bytes_of(json_string_value(value), json_string_length(value));
    return json_is_string(value) && out->size <= UINT16_MAX
               ? STATUS_OK
               : refuse(importer, STATUS_INVALID, "\"%s\" is missing, or no text of its kind",
                        name);
}

/* Empty where it is missing. */
static enum status take_base64(struct importer *importer, const json_t *object, const char *name,
                               struct buffer *memory, struct bytes *out)
{
    const json_t *value = json_object_get(object, name);
    struct bytes text = bytes_of(json_string_value(value), json_string_length(value));
    *out = bytes_of(NULL, 0);
    if (value == NULL || (json_is_string(value) && text.size == 0))
        return STATUS_OK;
    memory->size = 0;
    buffer_take(memory, text.size);
    if (!json_is_string(value) ||
        !base64_decode(text, memory->data, memory->capacity, &memory->size))
        return refuse(importer, STATUS_INVALID, "\"%s\" is not base64", name);
    *out = bytes_of(memory->data, memory->size);
    return STATUS_OK;
}

static enum status take_expiry(struct importer *importer, const json_t *object, bool *out_has,
                               uint32_t *out)
{
    int64_t number = 0;
    *out_has = json_object_get(object, "expiry_interval_s") != NULL;
    if (*out_has)
        TRY(take_integer(importer, object, "expiry_interval_s", 0, UINT32_MAX, &number));
    *out = (uint32_t)number;
    return STATUS_OK;
}

static enum status take_qos(struct importer *importer, const json_t *object, int64_t min,
                            uint8_t *out)
{
    int64_t number;
    TRY(take_integer(importer, object, "qos", min, 2, &number));
    *out = (uint8_t)number;
    return STATUS_OK;
}

static enum status take_topic(struct importer *importer, const json_t *object, struct bytes *out)
{
    size_t offset;
    TRY(take_text(importer, object, "topic", out));
    return topic_name_validate(*out, &offset)
               ? STATUS_OK
               : refuse(importer, STATUS_INVALID, "\"topic\" is no Topic Name");
}

/* Whether a PUBLISH to this topic may have these properties, and none of them is of one hop alone:
 * they are sent as they stand. */
static bool may_have(struct bytes topic, struct bytes properties)
{
    const struct publish_head head = {.topic_name = topic, .properties = properties};
    size_t capacity = topic.size + properties.size + 16, header_size = 2, whole;
    uint8_t *frame = memory_take(capacity + properties.size);
    struct publish publish;
    struct refusal refusal;
    size_t size = publish_head_encode(MQTT_VERSION_5, &head, frame, capacity, &whole);
    while (header_size < size && (frame[header_size - 1] & 0x80) != 0)
        header_size++;
    bool may = size <= capacity &&
               publish_decode(MQTT_VERSION_5, true, frame, size, header_size, &publish, &refusal) &&
               properties_forwardable(publish.properties.raw, frame + capacity) == properties.size;
    free(frame);
    return may;
}

static enum status take_properties(struct importer *importer, const json_t *object,
                                   struct bytes topic, struct bytes *out)
{
    TRY(take_base64(importer, object, "properties", &importer->properties, out));
#ifdef SEEDED_BUG_TRANSFER_ANY_PROPERTIES
    return STATUS_OK;
#endif
    return out->size == 0 || may_have(topic, *out)
               ? STATUS_OK
               : refuse(importer, STATUS_INVALID, "\"properties\" are none of a message");
}

/* One of 1 to 65,535 that is not in use. */
static enum status take_packet_identifier(struct importer *importer, const json_t *value,
                                          uint64_t *used, uint16_t *out)
{
    int64_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > UINT16_MAX ||
        (used[number / 64] >> number % 64 & 1) != 0)
        return refuse(importer, STATUS_INVALID,
                      "a Packet Identifier is missing, none, or in use already");
    used[number / 64] |= UINT64_C(1) << number % 64;
    *out = (uint16_t)number;
    return STATUS_OK;
}

static enum status take_message(struct importer *importer, const json_t *object,
                                struct store_message *out)
{
    *out = (struct store_message){0};
    if (!json_is_object(object))
        return refuse(importer, STATUS_INVALID, "there is no message");
    TRY(take_qos(importer, object, 0, &out->qos));
    TRY(take_bool(importer, object, "retain", &out->retain));
    TRY(take_expiry(importer, object, &out->has_expiry, &out->expiry_interval_s));
    TRY(take_integer(importer, object, "received_at_ms", 0, STORE_TIME_MAX_MS,
                     &out->received_at_ms));
    TRY(take_topic(importer, object, &out->topic));
    TRY(take_properties(importer, object, out->topic, &out->properties));
    return take_base64(importer, object, "payload", &importer->payload, &out->payload);
}

/* Of one name there is one. It holds no U+0000, which neither a Client Identifier nor a filter may.
 */
static bool is_new(json_t *set, const char *name)
{
#ifndef SEEDED_BUG_TRANSFER_TWICE
    if (json_object_get(set, name) != NULL)
        return false;
#endif
    CHECK(json_object_set_new(set, name, json_true()) == 0);
    return true;
}

static struct store_batch *batch_of(struct importer *importer)
{
    if (store_batch_full(importer->batch)) {
        store_submit(importer->store, importer->batch);
        importer->batch = store_batch_open(importer->store, 0);
    }
    return importer->batch;
}

/* ---- Lines ---- */

static enum status take_will(struct importer *importer, const json_t *object,
                             struct store_will *out)
{
    int64_t delay_s;
    if (object == NULL)
        return STATUS_OK;
    out->present = true;
    TRY(take_qos(importer, object, 0, &out->qos));
    TRY(take_bool(importer, object, "retain", &out->retain));
    TRY(take_integer(importer, object, "delay_interval_s", 0, UINT32_MAX, &delay_s));
    out->delay_interval_s = (uint32_t)delay_s;
    TRY(take_expiry(importer, object, &out->has_message_expiry, &out->message_expiry_interval_s));
    TRY(take_topic(importer, object, &out->topic));
    TRY(take_properties(importer, object, out->topic, &out->properties));
    return take_base64(importer, object, "payload", &importer->payload, &out->payload);
}

static enum status take_session(struct importer *importer, const json_t *object)
{
    struct store_session session = {0};
    int64_t number;
    size_t offset;
    TRY(take_text(importer, object, "client", &session.client_identifier));
    if (session.client_identifier.size == 0 || !utf8_validate(session.client_identifier, &offset))
        return refuse(importer, STATUS_INVALID, "\"client\" is no Client Identifier");
    if (!is_new(importer->clients, (const char *)session.client_identifier.data))
        return refuse(importer, STATUS_INVALID, "there is a session of this \"client\" already");
    TRY(take_base64(importer, object, "owner", &importer->owner, &session.owner));
    TRY(take_integer(importer, object, "version", 3, 5, &number));
    session.version = (uint8_t)number;
    TRY(take_integer(importer, object, "expiry_interval_s", 0, UINT32_MAX, &number));
    session.expiry_interval_s = (uint32_t)number;
    TRY(take_bool(importer, object, "connected", &session.connected));
    TRY(take_integer(importer, object, "disconnected_at_ms", 0, STORE_TIME_MAX_MS,
                     &session.disconnected_at_ms));
    TRY(take_will(importer, json_object_get(object, "will"), &session.will));
    if (session.will.present)
        TRY(take_integer(importer, object, "will_due_ms", 0, STORE_TIME_MAX_MS,
                         &session.will_due_ms));
    if (importer->incarnation == 0)
        importer->incarnation = (uint64_t)store_boot(importer->store) << 32;
    session.incarnation = ++importer->incarnation;
    importer->sequence = 0;
    json_object_clear(importer->filters);
    memset(importer->outbound, 0, sizeof importer->outbound);
    memset(importer->inbound, 0, sizeof importer->inbound);
    store_batch_session(batch_of(importer), &session);
    return STATUS_OK;
}

static enum status take_subscription(struct importer *importer, const json_t *object)
{
    struct store_subscription subscription = {0};
    int64_t number;
    size_t offset;
    TRY(take_text(importer, object, "filter", &subscription.topic_filter));
    if (topic_filter_parse(subscription.topic_filter, true, &offset).kind == TOPIC_FILTER_INVALID)
        return refuse(importer, STATUS_INVALID, "\"filter\" is no Topic Filter");
    if (!is_new(importer->filters, (const char *)subscription.topic_filter.data))
        return refuse(importer, STATUS_INVALID, "the session has this \"filter\" already");
    TRY(take_integer(importer, object, "options", 0, 0x2e, &number));
    if ((number & 3) == 3)
        return refuse(importer, STATUS_INVALID, "\"options\" are none");
    subscription.options = (uint8_t)number;
    TRY(take_integer(importer, object, "identifier", 0, IDENTIFIER_MAX, &number));
    subscription.identifier = (uint32_t)number;
    store_batch_subscribe(batch_of(importer), importer->incarnation, &subscription);
    return STATUS_OK;
}

/* Identifiers are stored with a message; here with one that nobody is owed. */
static enum status take_inbound(struct importer *importer, const json_t *array)
{
    size_t index;
    const json_t *value;
    json_array_foreach(array, index, value)
    {
        uint16_t number;
        TRY(take_packet_identifier(importer, value, importer->inbound, &number));
        struct store_message message = {.qos = 2, .topic = bytes_of("-", 1)};
        struct store_publish publish = {.message = &message,
                                        .inbound_incarnation = importer->incarnation,
                                        .inbound_packet_identifier = number,
                                        .urgent = true};
        store_batch_message(batch_of(importer), &publish);
    }
    return STATUS_OK;
}

/* What has become of it behind its being owed: the state's name and the Packet Identifier. */
static enum status take_state(struct importer *importer, const json_t *object, uint8_t qos,
                              uint16_t *out_packet_identifier, bool *out_released)
{
    const char *state = json_string_value(json_object_get(object, "state"));
    *out_packet_identifier = 0;
    *out_released = state != NULL && strcmp(state, "released") == 0;
    if (state != NULL && strcmp(state, "queued") == 0)
        return STATUS_OK;
    if (state == NULL || (!*out_released && strcmp(state, "sent") != 0) ||
        (*out_released && qos != 2))
        return refuse(importer, STATUS_INVALID, "\"state\" is missing, or none");
    return take_packet_identifier(importer, json_object_get(object, "packet_identifier"),
                                  importer->outbound, out_packet_identifier);
}

static enum status take_identifiers(struct importer *importer, const json_t *array, uint32_t *out,
                                    uint32_t *out_count)
{
    size_t index;
    const json_t *value;
    *out_count = (uint32_t)json_array_size(array);
    if (!json_is_array(array) || *out_count > IDENTIFIERS_MAX)
        return refuse(importer, STATUS_INVALID, "\"identifiers\" is missing, or no list of them");
    json_array_foreach(array, index, value)
    {
        int64_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 1 || number > IDENTIFIER_MAX)
            return refuse(importer, STATUS_INVALID, "there is no such Subscription Identifier");
        out[index] = (uint32_t)number;
    }
    return STATUS_OK;
}

static enum status take_owed(struct importer *importer, const json_t *object)
{
    static uint32_t identifiers[IDENTIFIERS_MAX];
    struct store_message message = {.qos = 2, .topic = bytes_of("-", 1)}; /* of a released one */
    struct store_owed owed = {.incarnation = importer->incarnation,
                              .subscription_identifiers = identifiers};
    uint16_t packet_identifier;
    bool released;
    TRY(take_qos(importer, object, 1, &owed.qos));
    TRY(take_bool(importer, object, "retain", &owed.retain));
    TRY(take_state(importer, object, owed.qos, &packet_identifier, &released));
    TRY(take_identifiers(importer, json_object_get(object, "identifiers"), identifiers,
                         &owed.subscription_identifier_count));
    if (!released)
        TRY(take_message(importer, json_object_get(object, "message"), &message));
    struct store_publish publish = {
        .message = &message, .owed = &owed, .owed_count = 1, .urgent = true};
    store_batch_message(batch_of(importer), &publish);
#ifdef SEEDED_BUG_TRANSFER_QUEUED
    packet_identifier = 0;
    released = false;
#endif
    if (packet_identifier != 0)
        store_batch_sent_at_qos(batch_of(importer), importer->incarnation, message.number, owed.qos,
                                packet_identifier, ++importer->sequence);
    if (released)
        store_batch_released(batch_of(importer), importer->incarnation, message.number);
    return STATUS_OK;
}

static enum status take_retained(struct importer *importer, const json_t *object)
{
    struct store_message message;
    TRY(take_message(importer, object, &message));
    struct store_publish publish = {
        .message = &message, .retained = STORE_RETAINED_SET, .urgent = true};
    store_batch_message(batch_of(importer), &publish);
    return STATUS_OK;
}

static enum status take_end(struct importer *importer, const json_t *value)
{
    importer->ended = true;
    return json_integer_value(value) == (json_int_t)importer->line - 1
               ? STATUS_OK
               : refuse(importer, STATUS_INVALID, "lines are missing in front of this one");
}

static enum status take_first(struct importer *importer, const json_t *line)
{
    int64_t version = json_integer_value(json_object_get(line, "holdfast_store"));
    if (version <= 0)
        return refuse(importer, STATUS_INVALID, "this is no export of a store");
    if (version > TRANSFER_VERSION)
        return refuse(importer, STATUS_TOO_NEW,
                      "a newer release wrote this: its version is %lld, and %d is the last that is "
                      "known",
                      (long long)version, TRANSFER_VERSION);
    return STATUS_OK;
}

static enum status take_value(struct importer *importer, const char *name, const json_t *value)
{
    static const struct {
        const char *name;
        enum status (*take)(struct importer *importer, const json_t *value);
        bool of_session;
    } kinds[] = {
        {"session", take_session, false},   {"subscription", take_subscription, true},
        {"inbound", take_inbound, true},    {"owed", take_owed, true},
        {"retained", take_retained, false}, {"end", take_end, false},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) != 0)
            continue;
        if (kinds[i].of_session && importer->incarnation == 0)
            return refuse(importer, STATUS_INVALID, "there is no session that it could be of");
        return kinds[i].take(importer, value);
    }
    return refuse(importer, STATUS_INVALID, "\"%.50s\" is no kind of line", name);
}

static enum status take_line(struct importer *importer, const char *text, size_t size)
{
    json_error_t why;
    json_t *line = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    importer->line++;
    if (!json_is_object(line) || json_object_size(line) != 1 || importer->ended) {
        json_decref(line);
        return refuse(importer, STATUS_INVALID, "this is no line of an export");
    }
    void *only = json_object_iter(line);
    enum status status = importer->line == 1 ? take_first(importer, line)
                                             : take_value(importer, json_object_iter_key(only),
                                                          json_object_iter_value(only));
    json_decref(line);
    return status;
}

/* ---- All ---- */

static enum status fill(void *context, struct offline *offline, uint64_t *out_lsn, char *error,
                        size_t error_size)
{
    struct importer *importer = context;
    char *text = NULL;
    size_t capacity = 0;
    enum status status = STATUS_OK;
    importer->error = error;
    importer->error_size = error_size;
    importer->store = offline->store;
    importer->batch = store_batch_open(offline->store, 0);
    for (ssize_t size;
         status == STATUS_OK && (size = getline(&text, &capacity, importer->file)) > 0;)
        status = take_line(importer, text, (size_t)size);
    if (status == STATUS_OK && !importer->ended)
        status = refuse(importer, STATUS_INVALID, "the export ends here, and its end is missing");
#ifdef SEEDED_BUG_TRANSFER_CUT
    status = status == STATUS_INVALID ? STATUS_OK : status;
#endif
    *out_lsn = store_batch_lsn(importer->batch);
    store_submit(importer->store, importer->batch);
    free(text);
    return status;
}

enum status transfer_import(FILE *file, const char *directory, char *error, size_t error_size)
{
    struct importer importer = {.file = file, .clients = json_object(), .filters = json_object()};
    struct offline_filler filler = {.context = &importer, .fill = fill};
    enum status status = offline_write(directory, &filler, error, error_size);
    buffer_fini(&importer.properties);
    buffer_fini(&importer.payload);
    buffer_fini(&importer.owner);
    json_decref(importer.clients);
    json_decref(importer.filters);
    return status;
}
