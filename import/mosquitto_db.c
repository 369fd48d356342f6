#include "import/mosquitto_db.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "protocol/packet.h"
#include "protocol/topic.h"

enum {
    HEADER_SIZE = 15 + 4 + 4, /* magic, an unused sum, version */
    CHUNK_HEADER_SIZE = 8,
    PAYLOAD_MAX = 268435455,
};

enum chunk {
    CHUNK_CONFIGURATION = 1,
    CHUNK_MESSAGE = 2,
    CHUNK_DELIVERY = 3,
    CHUNK_RETAINED = 4,
    CHUNK_SUBSCRIPTION = 5,
    CHUNK_CLIENT = 6,
};

static const uint8_t magic[15] = "\0\xb5\0mosquitto db";

struct reader {
    struct bytes text;
    size_t at;        /* of the chunk that is read */
    const uint8_t *p; /* in its body */
    size_t left;      /* of it */
    bool failed;      /* more was wanted than is left */
    uint32_t version;
    struct mosquitto_db *db;
    uint64_t *retained; /* ids */
    size_t retained_count;
    char *error;
    size_t error_size;
};

static enum status damaged(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum status damaged(struct reader *reader, const char *format, ...)
{
    char why[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    snprintf(reader->error, reader->error_size, "byte %zu: %s", reader->at, why);
    return STATUS_CORRUPT;
}

/* ---- Fields ---- */

static struct bytes take(struct reader *reader, size_t size)
{
    if (size > reader->left) {
        reader->failed = true;
        return bytes_of(NULL, 0);
    }
    struct bytes field = bytes_of(reader->p, size);
    reader->p += size;
    reader->left -= size;
    return field;
}

static uint8_t take_u8(struct reader *reader)
{
    struct bytes field = take(reader, 1);
    return field.size == 1 ? field.data[0] : 0;
}

static uint16_t take_u16(struct reader *reader)
{
    struct bytes field = take(reader, 2);
    return field.size == 2 ? get_u16(field.data) : 0;
}

static uint32_t take_u32(struct reader *reader)
{
    struct bytes field = take(reader, 4);
    return field.size == 4 ? get_u32(field.data) : 0;
}

/* Little endian. */
static uint64_t take_u64(struct reader *reader)
{
    struct bytes field = take(reader, 8);
    uint64_t value = 0;
    for (size_t i = field.size; i > 0; i--)
        value = value << 8 | field.data[i - 1];
    return value;
}

#define APPEND(array, count) append((void **)&(array), &(count), sizeof *(array))

/* The new, zeroed element. Grows by doubling, at powers of two. */
static void *append(void **array, size_t *count, size_t size)
{
    if ((*count & (*count - 1)) == 0)
        *array = memory_resize(*array, (*count == 0 ? 1 : *count * 2) * size);
    void *element = (char *)*array + (*count)++ * size;
    memset(element, 0, size);
    return element;
}

/* ---- Chunks ---- */

static bool is_text(struct bytes text)
{
    size_t offset;
    return text.size > 0 && text.size <= UINT16_MAX && utf8_validate(text, &offset);
}

static enum status read_configuration(struct reader *reader)
{
    take_u64(reader); /* the last id */
    reader->db->was_stopped = take_u8(reader) != 0;
    uint8_t id_size = take_u8(reader);
    if (reader->failed || id_size != 8)
        return damaged(reader, "a machine wrote this whose numbers are others");
    return STATUS_OK;
}

/* What is of one hop alone. */
static uint32_t not_stored(void)
{
    return 1u << PROPERTY_TOPIC_ALIAS | 1u << PROPERTY_SUBSCRIPTION_IDENTIFIER |
           1u << PROPERTY_MESSAGE_EXPIRY_INTERVAL;
}

/* Properties as mosquitto wrote them, with their length: what a PUBLISH with this topic may have.
 */
static enum status read_properties(struct reader *reader, struct mosquitto_message *message)
{
    struct bytes raw = take(reader, reader->left);
    size_t body = 2 + message->topic.size + (raw.size > 0 ? raw.size : 1);
    uint8_t *frame = memory_take(body + 5), *at = frame;
    struct publish publish;
    struct refusal refusal;
    *at++ = 0x30;
    for (size_t rest = body; rest > 0; rest >>= 7)
        *at++ = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    size_t header_size = (size_t)(at - frame);
    at = put_u16(at, (uint16_t)message->topic.size);
    at = put_bytes(at, message->topic);
    at = put_bytes(at, raw.size > 0 ? raw : bytes_of("", 1));
    bool valid = body <= PAYLOAD_MAX &&
                 publish_decode(MQTT_VERSION_5, true, frame, (size_t)(at - frame), header_size,
                                &publish, &refusal) &&
                 publish.payload.size == 0 && (publish.properties.present & not_stored()) == 0;
    size_t size = valid ? publish.properties.raw.size : 0;
    if (size > 0) /* they are the last of the chunk */
        message->properties = bytes_of(raw.data + raw.size - size, size);
    free(frame);
    return valid ? STATUS_OK : damaged(reader, "a message's topic or properties are none");
}

static enum status read_message(struct reader *reader)
{
    struct mosquitto_message *message = APPEND(reader->db->messages, reader->db->message_count);
    message->id = take_u64(reader);
    message->expires_at_s = (int64_t)take_u64(reader);
    size_t payload_size = take_u32(reader);
    take_u16(reader); /* the Packet Identifier that it came with */
    size_t source_size = take_u16(reader), user_size = take_u16(reader);
    size_t topic_size = take_u16(reader);
    take_u16(reader); /* the port that it came to */
    message->qos = take_u8(reader);
    message->retain = take_u8(reader) != 0;
    take(reader, source_size);
    take(reader, user_size);
    message->topic = take(reader, topic_size);
    message->payload = take(reader, payload_size);
    if (reader->failed || payload_size > PAYLOAD_MAX || message->qos > 2)
        return damaged(reader, "a message is not whole");
    return read_properties(reader, message);
}

/* All that mosquitto writes behind a delivery: none, or its length and one property. */
static bool read_identifier(struct bytes raw, uint32_t *out)
{
    size_t at = 2;
    unsigned shift = 0;
    *out = 0;
    if (raw.size == 0 || (raw.size == 1 && raw.data[0] == 0))
        return true;
    if (raw.size < 3 || raw.size > 6 || raw.data[0] != raw.size - 1 || raw.data[1] != 0x0b)
        return false;
    do {
        *out |= (uint32_t)(raw.data[at] & 0x7f) << shift;
        shift += 7;
    } while ((raw.data[at++] & 0x80) != 0 && at < raw.size);
    return at == raw.size && (raw.data[at - 1] & 0x80) == 0 && *out != 0;
}

/* A Packet Identifier where the state needs one, and QoS 2 where only that has the state. */
static bool is_possible(const struct mosquitto_delivery *delivery)
{
    switch (delivery->state) {
    case MOSQUITTO_STATE_RESEND_PUBREL:
    case MOSQUITTO_STATE_WAIT_FOR_PUBREL:
    case MOSQUITTO_STATE_RESEND_PUBCOMP:
    case MOSQUITTO_STATE_WAIT_FOR_PUBCOMP:
    case MOSQUITTO_STATE_SEND_PUBREC:
        return delivery->qos == 2 && delivery->packet_identifier != 0;
    default:
        return delivery->state > 0 && delivery->state <= MOSQUITTO_STATE_QUEUED;
    }
}

static enum status read_delivery(struct reader *reader)
{
    struct mosquitto_delivery *delivery =
        APPEND(reader->db->deliveries, reader->db->delivery_count);
    delivery->message = take_u64(reader);
    delivery->packet_identifier = take_u16(reader);
    size_t client_size = take_u16(reader);
    delivery->qos = take_u8(reader);
    delivery->state = take_u8(reader);
    uint8_t flags = take_u8(reader);
    delivery->retain = (flags & 0xf0) != 0;
    delivery->was_sent = (flags & 0x0f) != 0;
    delivery->from_client = take_u8(reader) == 0;
    delivery->client_identifier = take(reader, client_size);
    if (reader->failed || delivery->qos > 2 || !is_possible(delivery) ||
        !read_identifier(take(reader, reader->left), &delivery->identifier))
        return damaged(reader, "what a client is owed is not whole");
    return STATUS_OK;
}

static enum status read_subscription(struct reader *reader)
{
    struct mosquitto_subscription *subscription =
        APPEND(reader->db->subscriptions, reader->db->subscription_count);
    subscription->identifier = take_u32(reader);
    size_t client_size = take_u16(reader), filter_size = take_u16(reader);
    uint8_t qos = take_u8(reader), options = take_u8(reader);
    take_u16(reader); /* padding */
    subscription->client_identifier = take(reader, client_size);
    subscription->filter = take(reader, filter_size);
    subscription->options = (uint8_t)(qos | (options & 0x0c)); /* No Local, Retain As Published */
    size_t offset;
    if (reader->failed || qos > 2 || !is_text(subscription->filter) ||
        topic_filter_parse(subscription->filter, true, &offset).kind == TOPIC_FILTER_INVALID)
        return damaged(reader, "a subscription is not whole");
    return STATUS_OK;
}

static enum status read_client(struct reader *reader)
{
    struct mosquitto_client *client = APPEND(reader->db->clients, reader->db->client_count);
    size_t user_size = 0;
    client->expires_at_s = (int64_t)take_u64(reader);
    client->expiry_interval_s = take_u32(reader);
    take_u16(reader); /* the last Packet Identifier */
    size_t identifier_size = take_u16(reader);
    if (reader->version == 6) {
        take_u16(reader); /* the port that it came to */
        user_size = take_u16(reader);
        take_u32(reader); /* padding */
    }
    client->identifier = take(reader, identifier_size);
    client->user_name = take(reader, user_size);
    if (reader->failed || !is_text(client->identifier) ||
        (user_size > 0 && !is_text(client->user_name)))
        return damaged(reader, "a session is not whole");
    return STATUS_OK;
}

static enum status read_retained(struct reader *reader)
{
    uint64_t *id = APPEND(reader->retained, reader->retained_count);
    *id = take_u64(reader);
    return reader->failed ? damaged(reader, "a retained message is not whole") : STATUS_OK;
}

static enum status read_body(struct reader *reader, uint32_t chunk)
{
    switch (chunk) {
    case CHUNK_CONFIGURATION:
        return read_configuration(reader);
    case CHUNK_MESSAGE:
        return read_message(reader);
    case CHUNK_DELIVERY:
        return read_delivery(reader);
    case CHUNK_RETAINED:
        return read_retained(reader);
    case CHUNK_SUBSCRIPTION:
        return read_subscription(reader);
    case CHUNK_CLIENT:
        return read_client(reader);
    default:
        return damaged(reader, "there is no chunk of kind %u", chunk);
    }
}

/* The chunk that begins at `at`. */
static enum status read_chunk(struct reader *reader)
{
    reader->p = reader->text.data + reader->at;
    reader->left = reader->text.size - reader->at;
    uint32_t chunk = take_u32(reader), size = take_u32(reader);
    if (reader->failed || size > reader->left)
        return damaged(reader, "the file ends in the middle of a chunk");
    reader->left = size;
    TRY(read_body(reader, chunk));
    if (chunk != CHUNK_CONFIGURATION && reader->left > 0)
        return damaged(reader, "a chunk is longer than what is in it");
    reader->at += CHUNK_HEADER_SIZE + size;
    return STATUS_OK;
}

/* ---- What belongs together ---- */

static int compare_bytes(struct bytes a, struct bytes b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_identifier(const void *a, const void *b)
{
    return compare_bytes(((const struct mosquitto_client *)a)->identifier,
                         ((const struct mosquitto_client *)b)->identifier);
}

static int by_id(const void *a, const void *b)
{
    uint64_t left = ((const struct mosquitto_message *)a)->id;
    uint64_t right = ((const struct mosquitto_message *)b)->id;
    return (left > right) - (left < right);
}

bool mosquitto_delivery_is_in_flight(const struct mosquitto_delivery *delivery)
{
    switch (delivery->state) {
    case MOSQUITTO_STATE_QUEUED:
        return false;
    case MOSQUITTO_STATE_PUBLISH_QOS_1:
    case MOSQUITTO_STATE_PUBLISH_QOS_2:
        return delivery->packet_identifier != 0 && delivery->was_sent;
    default:
        return delivery->packet_identifier != 0;
    }
}

const struct mosquitto_message *mosquitto_db_message(const struct mosquitto_db *db, uint64_t id)
{
    struct mosquitto_message wanted = {.id = id};
    return db->message_count == 0
               ? NULL
               : bsearch(&wanted, db->messages, db->message_count, sizeof wanted, by_id);
}

static enum status find_client(struct reader *reader, struct bytes identifier, size_t *out)
{
    struct mosquitto_db *db = reader->db;
    struct mosquitto_client wanted = {.identifier = identifier};
    const struct mosquitto_client *found = NULL;
    if (identifier.size > 0 && db->client_count > 0)
        found = bsearch(&wanted, db->clients, db->client_count, sizeof wanted, by_identifier);
    if (found == NULL)
        return damaged(reader, "a session is missing of which there are subscriptions or messages");
    *out = (size_t)(found - db->clients);
    return STATUS_OK;
}

/* In order, and each once. */
static enum status sort(struct reader *reader)
{
    struct mosquitto_db *db = reader->db;
    if (db->client_count > 0)
        qsort(db->clients, db->client_count, sizeof *db->clients, by_identifier);
    if (db->message_count > 0)
        qsort(db->messages, db->message_count, sizeof *db->messages, by_id);
    for (size_t i = 1; i < db->client_count; i++) {
        if (by_identifier(&db->clients[i - 1], &db->clients[i]) == 0)
            return damaged(reader, "a session is there twice");
    }
    for (size_t i = 1; i < db->message_count; i++) {
        if (db->messages[i - 1].id == db->messages[i].id)
            return damaged(reader, "a message is there twice");
    }
    return STATUS_OK;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* No session uses a Packet Identifier for two exchanges of one direction. */
static enum status check_packet_identifiers(struct reader *reader)
{
    const struct mosquitto_db *db = reader->db;
    uint64_t *keys = memory_take((db->delivery_count + 1) * sizeof *keys);
    size_t count = 0;
    for (size_t i = 0; i < db->delivery_count; i++) {
        const struct mosquitto_delivery *delivery = &db->deliveries[i];
        if (mosquitto_delivery_is_in_flight(delivery))
            keys[count++] = (uint64_t)delivery->client << 17 |
                            (uint64_t)delivery->from_client << 16 | delivery->packet_identifier;
    }
    qsort(keys, count, sizeof *keys, by_value);
    bool unique = true;
    for (size_t i = 1; i < count; i++)
        unique = unique && keys[i - 1] != keys[i];
    free(keys);
    return unique ? STATUS_OK : damaged(reader, "a session has a Packet Identifier twice");
}

static enum status connect_all(struct reader *reader)
{
    struct mosquitto_db *db = reader->db;
    TRY(sort(reader));
    for (size_t i = 0; i < db->delivery_count; i++)
        TRY(find_client(reader, db->deliveries[i].client_identifier, &db->deliveries[i].client));
    for (size_t i = 0; i < db->subscription_count; i++)
        TRY(find_client(reader, db->subscriptions[i].client_identifier,
                        &db->subscriptions[i].client));
    for (size_t i = 0; i < reader->retained_count; i++) {
        const struct mosquitto_message *found = mosquitto_db_message(db, reader->retained[i]);
        if (found == NULL)
            return damaged(reader, "a retained message is missing");
        db->messages[found - db->messages].is_retained = true;
    }
    return check_packet_identifiers(reader);
}

/* ---- All ---- */

static enum status read_all(struct reader *reader)
{
    if (reader->text.size < HEADER_SIZE || memcmp(reader->text.data, magic, sizeof magic) != 0)
        return damaged(reader, "this is no database of mosquitto's");
    reader->version = get_u32(reader->text.data + HEADER_SIZE - 4);
    if (reader->version != 5 && reader->version != 6)
        return damaged(reader, "its format is %u; 5 and 6 can be read, of mosquitto 1.6 to 2.0",
                       reader->version);
    reader->at = HEADER_SIZE;
    if (reader->text.size == HEADER_SIZE)
        return damaged(reader, "the file ends behind its header");
    while (reader->at < reader->text.size)
        TRY(read_chunk(reader));
    return connect_all(reader);
}

enum status mosquitto_db_read(struct bytes text, struct mosquitto_db *out, char *error,
                              size_t error_size)
{
    struct reader reader = {.text = text, .db = out, .error = error, .error_size = error_size};
    *out = (struct mosquitto_db){0};
    enum status status = read_all(&reader);
    free(reader.retained);
    return status;
}

void mosquitto_db_fini(struct mosquitto_db *db)
{
    free(db->clients);
    free(db->messages);
    free(db->deliveries);
    free(db->subscriptions);
}
