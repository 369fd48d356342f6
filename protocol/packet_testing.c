#include "protocol/packet_testing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

/* ---- Text ---- */

__attribute__((format(printf, 2, 3))) static void print(struct buffer *out, const char *format, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    CHECK(size >= 0 && (size_t)size < sizeof line);
    CHECK(buffer_append(out, line, (size_t)size) == STATUS_OK);
}

static void print_text(struct buffer *out, struct bytes bytes)
{
    print(out, "\"");
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        print(out, plain ? "%c" : "\\x%02X", c);
    }
    print(out, "\"");
}

static void print_field(struct buffer *out, const char *prefix, const char *name,
                        struct bytes bytes)
{
    print(out, "%s%s = ", prefix, name);
    print_text(out, bytes);
    print(out, "\n");
}

static void print_number(struct buffer *out, const char *prefix, const char *name, uint32_t value)
{
    print(out, "%s%s = %u\n", prefix, name, value);
}

/* ---- Properties: the identifiers and types once more, by hand ---- */

static size_t varint_at(const uint8_t *p, uint32_t *out)
{
    size_t size = 0;

    *out = 0;
    do {
        *out |= (uint32_t)(p[size] & 0x7f) << 7 * size;
    } while (p[size++] & 0x80);
    return size;
}

static size_t raw_property_size(const uint8_t *p)
{
    uint32_t value;

    switch (*p) {
    case 0x01:
    case 0x17:
    case 0x19:
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2A:
        return 2;
    case 0x13:
    case 0x21:
    case 0x22:
    case 0x23:
        return 3;
    case 0x02:
    case 0x11:
    case 0x18:
    case 0x27:
        return 5;
    case 0x0B:
        return 1 + varint_at(p + 1, &value);
    case 0x26:
        return 5u + get_u16(p + 1) + get_u16(p + 3 + get_u16(p + 1));
    default:
        return 3u + get_u16(p + 1);
    }
}

/* The next property of `raw` with this identifier. */
static const uint8_t *raw_property_next(struct bytes raw, uint8_t identifier, size_t *cursor)
{
    while (*cursor < raw.size) {
        const uint8_t *p = raw.data + *cursor;
        *cursor += raw_property_size(p);
        if (*p == identifier)
            return p;
    }
    return NULL;
}

static void print_repeated(struct buffer *out, const char *prefix, struct bytes raw)
{
    struct bytes name, value;
    const uint8_t *p;

    for (size_t cursor = 0; (p = raw_property_next(raw, 0x0B, &cursor)) != NULL;) {
        uint32_t identifier;
        varint_at(p + 1, &identifier);
        print_number(out, prefix, "subscription_identifier", identifier);
    }
    for (size_t cursor = 0; properties_next_user_property(raw, &cursor, &name, &value);) {
        print(out, "%suser_property = ", prefix);
        print_text(out, name);
        print(out, ": ");
        print_text(out, value);
        print(out, "\n");
    }
}

#define NUMBER(PROPERTY, field)                                                                    \
    if (properties_has(properties, PROPERTY_##PROPERTY))                                           \
    print_number(out, prefix, #field, properties->field)
#define TEXT(PROPERTY, field)                                                                      \
    if (properties_has(properties, PROPERTY_##PROPERTY))                                           \
    print_field(out, prefix, #field, properties->field)

static void print_properties(struct buffer *out, const char *prefix,
                             const struct properties *properties)
{
    NUMBER(PAYLOAD_FORMAT_INDICATOR, payload_format_indicator);
    NUMBER(MESSAGE_EXPIRY_INTERVAL, message_expiry_interval_s);
    TEXT(CONTENT_TYPE, content_type);
    TEXT(RESPONSE_TOPIC, response_topic);
    TEXT(CORRELATION_DATA, correlation_data);
    NUMBER(SESSION_EXPIRY_INTERVAL, session_expiry_interval_s);
    TEXT(ASSIGNED_CLIENT_IDENTIFIER, assigned_client_identifier);
    NUMBER(SERVER_KEEP_ALIVE, server_keep_alive_s);
    TEXT(AUTHENTICATION_METHOD, authentication_method);
    TEXT(AUTHENTICATION_DATA, authentication_data);
    NUMBER(REQUEST_PROBLEM_INFORMATION, request_problem_information);
    NUMBER(WILL_DELAY_INTERVAL, will_delay_interval_s);
    NUMBER(REQUEST_RESPONSE_INFORMATION, request_response_information);
    TEXT(RESPONSE_INFORMATION, response_information);
    TEXT(SERVER_REFERENCE, server_reference);
    TEXT(REASON_STRING, reason_string);
    NUMBER(RECEIVE_MAXIMUM, receive_maximum);
    NUMBER(TOPIC_ALIAS_MAXIMUM, topic_alias_maximum);
    NUMBER(TOPIC_ALIAS, topic_alias);
    NUMBER(MAXIMUM_QOS, maximum_qos);
    NUMBER(RETAIN_AVAILABLE, retain_available);
    NUMBER(MAXIMUM_PACKET_SIZE, maximum_packet_size);
    NUMBER(WILDCARD_SUBSCRIPTION_AVAILABLE, wildcard_subscription_available);
    NUMBER(SUBSCRIPTION_IDENTIFIER_AVAILABLE, subscription_identifier_available);
    NUMBER(SHARED_SUBSCRIPTION_AVAILABLE, shared_subscription_available);
    print_repeated(out, prefix, properties->raw);
}

/* ---- Packets ---- */

static void print_reason(struct buffer *out, uint8_t code, const struct properties *properties)
{
    print(out, "reason_code = 0x%02X\n", code);
    print_properties(out, "", properties);
}

static void print_connect(struct buffer *out, const struct connect *connect)
{
    print(out, "version = %d\n", connect->version);
    print_number(out, "", "clean_start", connect->clean_start);
    print_number(out, "", "keep_alive_s", connect->keep_alive_s);
    print_properties(out, "", &connect->properties);
    print_field(out, "", "client_identifier", connect->client_identifier);
    if (connect->has_will) {
        print_number(out, "will.", "qos", connect->will.qos);
        print_number(out, "will.", "retain", connect->will.retain);
        print_properties(out, "will.", &connect->will.properties);
        print_field(out, "will.", "topic", connect->will.topic);
        print_field(out, "will.", "payload", connect->will.payload);
    }
    if (connect->has_user_name)
        print_field(out, "", "user_name", connect->user_name);
    if (connect->has_password)
        print_field(out, "", "password", connect->password);
}

static void print_publish(struct buffer *out, const struct publish *publish)
{
    print_number(out, "", "dup", publish->dup);
    print_number(out, "", "qos", publish->qos);
    print_number(out, "", "retain", publish->retain);
    print_number(out, "", "packet_identifier", publish->packet_identifier);
    print_field(out, "", "topic_name", publish->topic_name);
    print_properties(out, "", &publish->properties);
    print_field(out, "", "payload", publish->payload);
}

static void print_subscribe(struct buffer *out, enum mqtt_version version,
                            const struct subscribe *subscribe)
{
    struct subscription_request request;
    uint32_t count = 0;

    print_number(out, "", "packet_identifier", subscribe->packet_identifier);
    print_properties(out, "", &subscribe->properties);
    for (size_t cursor = 0; subscribe_next(subscribe, version, &cursor, &request); count++) {
        print_text(out, request.topic_filter);
        print(out, " qos = %u, no_local = %u, retain_as_published = %u, retain_handling = %u\n",
              request.maximum_qos, request.no_local, request.retain_as_published,
              request.retain_handling);
    }
    CHECK(count == subscribe->count);
}

static void print_unsubscribe(struct buffer *out, const struct unsubscribe *unsubscribe)
{
    struct bytes filter;
    uint32_t count = 0;

    print_number(out, "", "packet_identifier", unsubscribe->packet_identifier);
    print_properties(out, "", &unsubscribe->properties);
    for (size_t cursor = 0; unsubscribe_next(unsubscribe, &cursor, &filter); count++) {
        print_text(out, filter);
        print(out, "\n");
    }
    CHECK(count == unsubscribe->count);
}

static void print_suback(struct buffer *out, const struct suback *suback)
{
    print_number(out, "", "packet_identifier", suback->packet_identifier);
    print_properties(out, "", &suback->properties);
    for (size_t i = 0; i < suback->reason_codes.size; i++)
        print(out, "0x%02X\n", suback->reason_codes.data[i]);
}

static void print_body(struct buffer *out, enum mqtt_version version, const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_CONNECT:
        print_connect(out, &packet->connect);
        break;
    case PACKET_CONNACK:
        print_number(out, "", "session_present", packet->connack.session_present);
        print_reason(out, packet->connack.reason_code, &packet->connack.properties);
        break;
    case PACKET_PUBLISH:
        print_publish(out, &packet->publish);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        print_number(out, "", "packet_identifier", packet->acknowledgement.packet_identifier);
        print_reason(out, packet->acknowledgement.reason_code, &packet->acknowledgement.properties);
        break;
    case PACKET_SUBSCRIBE:
        print_subscribe(out, version, &packet->subscribe);
        break;
    case PACKET_UNSUBSCRIBE:
        print_unsubscribe(out, &packet->unsubscribe);
        break;
    case PACKET_SUBACK:
        print_suback(out, &packet->suback);
        break;
    case PACKET_UNSUBACK:
        print_suback(out, &packet->unsuback);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        break;
    case PACKET_DISCONNECT:
        print_reason(out, packet->disconnect.reason_code, &packet->disconnect.properties);
        break;
    case PACKET_AUTH:
        print_reason(out, packet->auth.reason_code, &packet->auth.properties);
        break;
    }
}

void packet_dump(enum mqtt_version version, const struct packet *packet, struct buffer *out)
{
    out->size = 0;
    print(out, "%s\n", packet_type_name(packet->type));
    print_body(out, version, packet);
    CHECK(buffer_append(out, "", 1) == STATUS_OK);
}

/* ---- Bytes ---- */

static struct properties *packet_properties(struct packet *packet)
{
    switch (packet->type) {
    case PACKET_CONNECT:
        return &packet->connect.properties;
    case PACKET_CONNACK:
        return &packet->connack.properties;
    case PACKET_PUBLISH:
        return &packet->publish.properties;
    case PACKET_SUBSCRIBE:
        return &packet->subscribe.properties;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return &packet->suback.properties;
    case PACKET_UNSUBSCRIBE:
        return &packet->unsubscribe.properties;
    case PACKET_DISCONNECT:
        return &packet->disconnect.properties;
    case PACKET_AUTH:
        return &packet->auth.properties;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return NULL;
    default:
        return &packet->acknowledgement.properties;
    }
}

/* Appends the User Properties of `raw` as they stand. */
static void collect_user_properties(struct bytes raw, struct buffer *out)
{
    const uint8_t *p;

    for (size_t cursor = 0; (p = raw_property_next(raw, 0x26, &cursor)) != NULL;)
        CHECK(buffer_append(out, p, raw_property_size(p)) == STATUS_OK);
}

static bool encode(enum mqtt_version version, const struct packet *packet, struct buffer *out)
{
    size_t size = packet_encode(version, packet, NULL, 0);

    if (size == SIZE_MAX)
        return false;
    out->size = 0;
    CHECK(buffer_reserve(out, size) == STATUS_OK);
    CHECK(packet_encode(version, packet, out->data, size) == size);
    out->size = size;
    return true;
}

bool packet_reencode(enum mqtt_version version, const struct packet *packet, struct buffer *out)
{
    struct packet copy = *packet;
    struct properties *properties = packet_properties(&copy);
    struct buffer users = {0}, will_users = {0};

    if (properties != NULL) {
        collect_user_properties(properties->raw, &users);
        properties->user_properties = bytes_of(users.data, users.size);
    }
    if (copy.type == PACKET_CONNECT && copy.connect.has_will) {
        collect_user_properties(copy.connect.will.properties.raw, &will_users);
        copy.connect.will.properties.user_properties = bytes_of(will_users.data, will_users.size);
    }

    bool done = encode(version, &copy, out);
    buffer_fini(&users);
    buffer_fini(&will_users);
    return done;
}

static size_t subscription_identifiers(struct bytes raw, uint32_t **out)
{
    size_t count = 0;
    const uint8_t *p;

    *out = calloc(raw.size + 1, sizeof **out);
    CHECK(*out != NULL);
    for (size_t cursor = 0; (p = raw_property_next(raw, 0x0B, &cursor)) != NULL; count++)
        varint_at(p + 1, *out + count);
    return count;
}

bool publish_reencode(enum mqtt_version version, const struct publish *publish, struct buffer *out)
{
    const struct properties *properties = &publish->properties;
    struct buffer forwarded = {0};
    uint32_t *identifiers;
    size_t packet_size;
    size_t count = subscription_identifiers(properties->raw, &identifiers);

    CHECK(buffer_reserve(&forwarded, properties->raw.size + 1) == STATUS_OK);
    forwarded.size = properties_forwardable(properties->raw, forwarded.data);

    struct publish_head head = {
        .dup = publish->dup,
        .retain = publish->retain,
        .qos = publish->qos,
        .packet_identifier = publish->packet_identifier,
        .topic_name = publish->topic_name,
        .payload_size = publish->payload.size,
        .properties = bytes_of(forwarded.data, forwarded.size),
        .subscription_identifiers = identifiers,
        .subscription_identifier_count = (uint32_t)count,
    };
    if (properties_has(properties, PROPERTY_TOPIC_ALIAS))
        head.topic_alias = properties->topic_alias;
    head.has_message_expiry_interval = properties_has(properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    if (head.has_message_expiry_interval)
        head.message_expiry_interval_s = properties->message_expiry_interval_s;

    size_t size = publish_head_encode(version, &head, NULL, 0, &packet_size);
    out->size = 0;
    if (size != SIZE_MAX) {
        CHECK(buffer_reserve(out, size) == STATUS_OK);
        CHECK(publish_head_encode(version, &head, out->data, size, &packet_size) == size);
        out->size = size;
        CHECK(buffer_append(out, publish->payload.data, publish->payload.size) == STATUS_OK);
        CHECK(out->size == packet_size);
    }
    free(identifiers);
    buffer_fini(&forwarded);
    return size != SIZE_MAX;
}
