#include <stdarg.h>
#include <stdio.h>

#include "conformance/wire/packet.h"

struct line {
    char *at;
    size_t left; /* with room for the NUL */
};

static void say(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(line->at, line->left, format, arguments);
    va_end(arguments);
    size_t size = written < 0 ? 0 : (size_t)written;
    if (size >= line->left)
        size = line->left ? line->left - 1 : 0;
    line->at += size;
    line->left -= size;
}

/* In quotes, at most `most` bytes of it; what is not printable ASCII as \xNN. UTF-8 beyond ASCII is
 * shown by its bytes, because its bytes are what tests are about. */
static void say_quoted(struct line *line, struct text text, size_t most)
{
    say(line, "\"");
    for (size_t i = 0; i < text.size && i < most; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            say(line, "\\%c", c);
        else if (c >= 0x20 && c < 0x7f)
            say(line, "%c", c);
        else
            say(line, "\\x%02x", c);
    }
    say(line, text.size > most ? "...\"" : "\"");
}

static void say_bytes(struct line *line, struct text bytes)
{
    say(line, "%zu byte%s", bytes.size, bytes.size == 1 ? "" : "s");
    if (bytes.size > 0) {
        say(line, " ");
        say_quoted(line, bytes, 40);
    }
}

static void say_property(struct line *line, const struct property *property)
{
    say(line, ", %s ", property_name(property->id));
    switch (property_type(property->id)) {
    case PROPERTY_BYTE:
    case PROPERTY_TWO_BYTES:
    case PROPERTY_FOUR_BYTES:
    case PROPERTY_VARIABLE_BYTE_INTEGER:
        say(line, "%u", property->number);
        break;
    case PROPERTY_STRING:
        say_quoted(line, property->text, 100);
        break;
    case PROPERTY_BINARY:
        say_bytes(line, property->text);
        break;
    case PROPERTY_STRING_PAIR:
        say_quoted(line, property->text, 60);
        say(line, " = ");
        say_quoted(line, property->value, 60);
        break;
    case PROPERTY_UNKNOWN:
        say(line, "0x%02X", property->id);
        break;
    }
}

static void say_properties(struct line *line, const struct properties *properties)
{
    for (unsigned i = 0; i < properties->count; i++)
        say_property(line, &properties->list[i]);
    if (properties->more)
        say(line, ", %u more properties", properties->more);
}

static void say_code(struct line *line, enum version version, enum packet_type type, uint8_t code)
{
    say(line, "0x%02X %s", code, reason_code_name(version, type, code));
}

static void say_connect(struct line *line, enum version version, const struct packet *packet)
{
    if (packet->protocol_name.data && !text_equal(packet->protocol_name, TEXT("MQTT"))) {
        say(line, " protocol ");
        say_quoted(line, packet->protocol_name, 40);
        say(line, ",");
    }
    unsigned level = packet->protocol_level ? packet->protocol_level : (unsigned)version;
    say(line, " level %u, client ", level);
    say_quoted(line, packet->client_id, 100);
    say(line, ", Clean %s %u", level == VERSION_311 ? "Session" : "Start", packet->clean_start);
    say(line, ", Keep Alive %u", packet->keep_alive_s);
    say_properties(line, &packet->properties);
    if (packet->will_topic.data) {
        say(line, ", Will QoS %u%s, topic ", packet->will_qos,
            packet->will_retain ? ", RETAIN" : "");
        say_quoted(line, packet->will_topic, 100);
        say(line, ", ");
        say_bytes(line, packet->will_payload);
        say_properties(line, &packet->will_properties);
    }
    if (packet->user_name.data) {
        say(line, ", User Name ");
        say_quoted(line, packet->user_name, 60);
    }
    if (packet->password.data) /* reports are passed around: it is not theirs to know */
        say(line, ", Password of %zu bytes", packet->password.size);
}

static void say_publish(struct line *line, const struct packet *packet)
{
    if (packet->qos > 0)
        say(line, " id %u,", packet->packet_id);
    say(line, " QoS %u%s%s, topic ", packet->qos, packet->dup ? ", DUP" : "",
        packet->retain ? ", RETAIN" : "");
    say_quoted(line, packet->topic, 100);
    if (packet->topic_from_alias)
        say(line, " (by alias)");
    say(line, ", ");
    say_bytes(line, packet->payload);
}

static void say_filters(struct line *line, enum version version, const struct packet *packet)
{
    static const char *const handling[] = {"", ", Retain Handling 1", ", Retain Handling 2",
                                           ", Retain Handling 3"};
    for (unsigned i = 0; i < packet->filter_count; i++) {
        const struct filter *filter = &packet->filters[i];
        say(line, ", ");
        say_quoted(line, filter->filter, 100);
        if (packet->type != SUBSCRIBE)
            continue;
        say(line, " QoS %u", filter->options & 3);
        if (filter->options & SUBSCRIBE_NO_LOCAL)
            say(line, ", No Local");
        if (filter->options & SUBSCRIBE_RETAIN_AS_PUBLISHED)
            say(line, ", Retain As Published");
        say(line, "%s", handling[filter->options >> 4 & 3]);
        if (filter->options & (version == VERSION_5 ? 0xC0 : 0xFC))
            say(line, ", options 0x%02X", filter->options);
    }
    if (packet->more_filters)
        say(line, ", %u more filters", packet->more_filters);
}

static void say_codes(struct line *line, enum version version, const struct packet *packet)
{
    for (size_t i = 0; i < packet->reason_codes.size && i < 40; i++) {
        say(line, ", ");
        say_code(line, version, packet->type, packet->reason_codes.data[i]);
    }
    if (packet->reason_codes.size > 40)
        say(line, ", %zu more codes", packet->reason_codes.size - 40);
}

/* All but the properties, which come last and alike. */
static void say_fields(struct line *line, enum version version, const struct packet *packet)
{
    switch (packet->type) {
    case CONNECT:
        say_connect(line, version, packet);
        break;
    case CONNACK:
        say(line, " ");
        say_code(line, version, CONNACK, packet->reason_code);
        say(line, ", Session Present %u", packet->session_present);
        break;
    case PUBLISH:
        say_publish(line, packet);
        break;
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP:
        say(line, " id %u", packet->packet_id);
        if (packet->reason_code != 0) {
            say(line, ", ");
            say_code(line, version, packet->type, packet->reason_code);
        }
        break;
    case SUBSCRIBE:
    case UNSUBSCRIBE:
        say(line, " id %u", packet->packet_id);
        say_filters(line, version, packet);
        break;
    case SUBACK:
    case UNSUBACK:
        say(line, " id %u", packet->packet_id);
        say_codes(line, version, packet);
        break;
    case DISCONNECT:
    case AUTH:
        if (version == VERSION_5) {
            say(line, " ");
            say_code(line, version, packet->type, packet->reason_code);
        }
        break;
    case PINGREQ:
    case PINGRESP:
        break;
    }
}

char *packet_describe(const struct packet *packet, enum version version, char *line, size_t size)
{
    struct line out = {line, size};
    if (size > 0)
        *line = '\0';
    say(&out, "%s", packet_name(packet->type));
    say_fields(&out, version, packet);
    if (packet->type != CONNECT)
        say_properties(&out, &packet->properties);
    return line;
}
