#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base64.h"
#include "base/memory.h"
#include "transfer/offline.h"
#include "transfer/transfer.h"

enum { PAGE_MESSAGES = 1000, PAGE_BYTES = 4 << 20 };

struct session {
    uint64_t incarnation;
    char *identifier; /* bytes, to sort by */
    size_t identifier_size;
    json_t *line;
    json_t *subscriptions; /* an array of lines */
};

struct exporter {
    FILE *file;
    struct session *sessions;
    size_t session_count;
    json_t *retained; /* lines */
    size_t lines;
};

/* ---- Values ---- */

/* It must be had, as everything of this command. */
static json_t *had(json_t *value)
{
    if (value == NULL) {
        fputs("holdfast: out of memory\n", stderr);
        abort();
    }
    return value;
}

static void put(json_t *object, const char *name, json_t *value)
{
    had(json_object_set_new(object, name, had(value)) == 0 ? object : NULL);
}

static json_t *text_of(struct bytes bytes)
{
    return json_stringn((const char *)bytes.data, bytes.size);
}

static json_t *base64_of(struct bytes bytes)
{
    char *text = memory_take(BASE64_SIZE(bytes.size) + 1);
    base64_encode(bytes, text);
    json_t *value = json_string(text);
    free(text);
    return value;
}

/* {"NAME": value} */
static json_t *line_of(const char *name, json_t *value)
{
    json_t *line = had(json_object());
    put(line, name, value);
    return line;
}

static void put_message(json_t *object, struct bytes topic, struct bytes properties,
                        struct bytes payload)
{
    if (topic.size > 0)
        put(object, "topic", text_of(topic));
    if (properties.size > 0)
        put(object, "properties", base64_of(properties));
    put(object, "payload", base64_of(payload));
}

static json_t *message_of(const struct store_message *message)
{
    json_t *object = had(json_object());
    put(object, "qos", json_integer(message->qos));
    put(object, "retain", json_boolean(message->retain));
    if (message->has_expiry)
        put(object, "expiry_interval_s", json_integer(message->expiry_interval_s));
    put(object, "received_at_ms", json_integer(message->received_at_ms));
    put_message(object, message->topic, message->properties, message->payload);
    return object;
}

static json_t *will_of(const struct store_will *will)
{
    json_t *object = had(json_object());
    put(object, "qos", json_integer(will->qos));
    put(object, "retain", json_boolean(will->retain));
    put(object, "delay_interval_s", json_integer(will->delay_interval_s));
    if (will->has_message_expiry)
        put(object, "expiry_interval_s", json_integer(will->message_expiry_interval_s));
    put_message(object, will->topic, will->properties, will->payload);
    return object;
}

static json_t *session_of(const struct store_session *session)
{
    json_t *object = had(json_object());
    put(object, "client", text_of(session->client_identifier));
    put(object, "owner", base64_of(session->owner));
    put(object, "version", json_integer(session->version));
    put(object, "expiry_interval_s", json_integer(session->expiry_interval_s));
    put(object, "connected", json_boolean(session->connected));
    put(object, "disconnected_at_ms", json_integer(session->disconnected_at_ms));
    if (session->will.present) {
        put(object, "will_due_ms", json_integer(session->will_due_ms));
        put(object, "will", will_of(&session->will));
    }
    return object;
}

/* ---- What the store visits ---- */

static void on_session(void *context, const struct store_session *session, uint64_t backlog)
{
    (void)backlog;
    struct exporter *exporter = context;
    size_t count = exporter->session_count++, size = session->client_identifier.size;
    if ((count & (count - 1)) == 0)
        exporter->sessions = memory_resize(exporter->sessions, (count == 0 ? 1 : count * 2) *
                                                                   sizeof *exporter->sessions);
    struct session *kept = &exporter->sessions[count];
    *kept = (struct session){.incarnation = session->incarnation,
                             .identifier = memory_take(size + 1),
                             .identifier_size = size,
                             .line = line_of("session", session_of(session)),
                             .subscriptions = had(json_array())};
    put_bytes((uint8_t *)kept->identifier, session->client_identifier);
}

/* The store visits a session's behind it, by filter. */
static void on_subscription(void *context, uint64_t incarnation,
                            const struct store_subscription *subscription)
{
    (void)incarnation;
    struct exporter *exporter = context;
    json_t *object = had(json_object());
    put(object, "filter", text_of(subscription->topic_filter));
    put(object, "options", json_integer(subscription->options));
    put(object, "identifier", json_integer(subscription->identifier));
    json_array_append_new(exporter->sessions[exporter->session_count - 1].subscriptions,
                          line_of("subscription", object));
}

static void on_retained(void *context, const struct store_message *message)
{
    struct exporter *exporter = context;
    json_array_append_new(exporter->retained, line_of("retained", message_of(message)));
}

/* ---- Lines ---- */

static void print(struct exporter *exporter, json_t *line /* takes */)
{
    json_dumpf(line, exporter->file, JSON_COMPACT);
    fputc('\n', exporter->file);
    json_decref(line);
    exporter->lines++;
}

static const char *state_of(enum store_outbound state)
{
    return state == STORE_OUTBOUND_QUEUED ? "queued"
           : state == STORE_OUTBOUND_SENT ? "sent"
                                          : "released";
}

static void print_owed(struct exporter *exporter, const struct store_row *row)
{
    json_t *object = had(json_object()), *identifiers = had(json_array());
    put(object, "state", json_string(state_of(row->state)));
    put(object, "qos", json_integer(row->qos));
    put(object, "retain", json_boolean(row->retain));
    if (row->state != STORE_OUTBOUND_QUEUED)
        put(object, "packet_identifier", json_integer(row->packet_identifier));
    for (uint32_t i = 0; i < row->subscription_identifier_count; i++)
        json_array_append_new(identifiers, json_integer(row->subscription_identifiers[i]));
    put(object, "identifiers", identifiers);
    if (row->state != STORE_OUTBOUND_RELEASED) /* its body is not owed any more */
        put(object, "message", message_of(&row->message));
    print(exporter, line_of("owed", object));
}

static void print_inbound(struct exporter *exporter, const struct store_read *read)
{
    if (read->inbound_count == 0)
        return;
    json_t *identifiers = had(json_array());
    for (uint32_t i = 0; i < read->inbound_count; i++)
        json_array_append_new(identifiers, json_integer(read->inbound_packet_identifiers[i]));
    print(exporter, line_of("inbound", identifiers));
}

/* All that a session is owed, page by page. */
static enum status print_backlog(struct exporter *exporter, struct offline *offline,
                                 uint64_t incarnation)
{
    struct store_read read = {.incarnation = incarnation, .resume = true};
    uint64_t after = 0;
    bool more = true;
    while (more) {
        read.after = after;
        read.until = INT64_MAX;
        read.limit = PAGE_MESSAGES;
        read.limit_bytes = PAGE_BYTES;
        offline_read(offline, &read);
        enum status status = read.status;
        print_inbound(exporter, &read);
        for (uint32_t i = 0; i < read.row_count; i++) {
            print_owed(exporter, &read.rows[i]);
            if (read.rows[i].state == STORE_OUTBOUND_QUEUED)
                after = read.rows[i].message.number;
        }
        more = read.more;
        store_read_fini(&read);
        read = (struct store_read){.incarnation = incarnation};
        TRY(status);
    }
    return STATUS_OK;
}

static int by_identifier(const void *a, const void *b)
{
    const struct session *left = a, *right = b;
    size_t size = left->identifier_size < right->identifier_size ? left->identifier_size
                                                                 : right->identifier_size;
    int order = memcmp(left->identifier, right->identifier, size);
    if (order == 0)
        order = (left->identifier_size > right->identifier_size) -
                (left->identifier_size < right->identifier_size);
    return order != 0 ? order
                      : (left->incarnation > right->incarnation) -
                            (left->incarnation < right->incarnation);
}

static int by_topic(const void *a, const void *b)
{
    const json_t *left = json_object_get(*(json_t *const *)a, "retained");
    const json_t *right = json_object_get(*(json_t *const *)b, "retained");
    return strcmp(json_string_value(json_object_get(left, "topic")),
                  json_string_value(json_object_get(right, "topic")));
}

static void print_retained(struct exporter *exporter)
{
    size_t count = json_array_size(exporter->retained);
    json_t **lines = memory_take((count + 1) * sizeof *lines);
    for (size_t i = 0; i < count; i++)
        lines[i] = json_incref(json_array_get(exporter->retained, i));
    qsort(lines, count, sizeof *lines, by_topic);
    for (size_t i = 0; i < count; i++)
        print(exporter, lines[i]);
    free(lines);
}

static enum status print_all(struct exporter *exporter, struct offline *offline)
{
    size_t subscription;
    json_t *line;
    print(exporter, line_of("holdfast_store", json_integer(TRANSFER_VERSION)));
    if (exporter->session_count > 0)
        qsort(exporter->sessions, exporter->session_count, sizeof *exporter->sessions,
              by_identifier);
    for (size_t i = 0; i < exporter->session_count; i++) {
        struct session *session = &exporter->sessions[i];
        print(exporter, json_incref(session->line));
        json_array_foreach(session->subscriptions, subscription, line)
            print(exporter, json_incref(line));
        TRY(print_backlog(exporter, offline, session->incarnation));
    }
    print_retained(exporter);
    print(exporter, line_of("end", json_integer((json_int_t)exporter->lines)));
    return STATUS_OK;
}

static void fini(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->session_count; i++) {
        free(exporter->sessions[i].identifier);
        json_decref(exporter->sessions[i].line);
        json_decref(exporter->sessions[i].subscriptions);
    }
    free(exporter->sessions);
    json_decref(exporter->retained);
}

static bool is_there(const char *directory)
{
    char path[4096];
    struct stat found;
    snprintf(path, sizeof path, "%s/holdfast.db", directory);
    return stat(path, &found) == 0;
}

enum status transfer_export(const char *directory, FILE *file, char *error, size_t error_size)
{
    struct offline offline;
    struct exporter exporter = {.file = file, .retained = had(json_array())};
    struct store_visitor visitor = {.context = &exporter,
                                    .session = on_session,
                                    .subscription = on_subscription,
                                    .retained = on_retained};
    enum status status = STATUS_NOT_FOUND;
    if (is_there(directory)) /* opening one that is not would make it */
        status = offline_open(&offline, directory, &visitor, error, error_size);
    else
        snprintf(error, error_size, "there is no store in \"%.300s\"", directory);
    if (status == STATUS_OK) {
        status = print_all(&exporter, &offline);
        offline_close(&offline);
        if (status != STATUS_OK)
            snprintf(error, error_size, "the store in \"%.300s\" cannot be read: %s", directory,
                     status_text(status));
    }
    if (status == STATUS_OK && (fflush(file) != 0 || ferror(file))) {
        snprintf(error, error_size, "the export could not be written");
        status = STATUS_IO;
    }
    fini(&exporter);
    return status;
}
