#include "conformance/wire/packet.h"

#include <string.h>

#include "conformance/wire/reader.h"
#include "conformance/wire/rule.h"

/* ---- What a server sends, and what both send ---- */

static bool read_reason_code(struct reader *reader)
{
    struct packet *packet = reader->packet;
    if (!reader_u8(reader, "Reason Code", &packet->reason_code))
        return false;
    if (rule_reason_code_allowed(packet->type, packet->reason_code, reader->from_server))
        return true;
    return reader_fault(reader, reader->at - 1, rule_reason_code_statement(VERSION_5, packet->type),
                        "0x%02X is no Reason Code that a %s sends in %s", packet->reason_code,
                        reader->from_server ? "server" : "client", packet_name(packet->type));
}

static bool read_connack(struct reader *reader)
{
    struct packet *packet = reader->packet;
    uint8_t flags;
    if (!reader_u8(reader, "Connect Acknowledge Flags", &flags))
        return false;
    if (flags & 0xFE)
        return reader_fault(reader, reader->at - 1,
                            reader_statement(reader, "MQTT-3.2.2-1", "3.1.1 section 3.2.2.1"),
                            "Connect Acknowledge Flags are 0x%02X: reserved bits are set", flags);
    packet->session_present = flags & 1;
    if (reader->version == VERSION_5) {
        if (!read_reason_code(reader))
            return false;
    } else {
        if (!reader_u8(reader, "Return Code", &packet->reason_code))
            return false;
        if (packet->reason_code > 5)
            return reader_fault(reader, reader->at - 1,
                                rule_reason_code_statement(VERSION_311, CONNACK),
                                "Return Code 0x%02X is reserved", packet->reason_code);
    }
    if (packet->session_present && packet->reason_code != 0)
        return reader_fault(reader, reader->at - 2,
                            reader_statement(reader, "MQTT-3.2.2-6", "MQTT-3.2.2-4"),
                            "Session Present is 1 with code 0x%02X", packet->reason_code);
    return reader->version != VERSION_5 || reader_properties(reader, CONNACK, &packet->properties);
}

static bool read_packet_id(struct reader *reader, const char *statement)
{
    struct packet *packet = reader->packet;
    if (!reader_u16(reader, "Packet Identifier", &packet->packet_id))
        return false;
    if (packet->packet_id == 0)
        return reader_fault(reader, reader->at - 2, statement, "%s with Packet Identifier 0",
                            packet_name(packet->type));
    return true;
}

static const char *new_packet_id_statement(const struct reader *reader)
{
    return reader_statement(reader, reader->from_server ? "MQTT-2.2.1-4" : "MQTT-2.2.1-3",
                            "MQTT-2.3.1-1");
}

static bool read_publish(struct reader *reader)
{
    struct packet *packet = reader->packet;
    const uint8_t *topic = reader->at;
    if (!reader_topic_name(reader, "Topic Name", "MQTT-3.3.2-2", &packet->topic))
        return false;
    if (packet->qos > 0 && !read_packet_id(reader, new_packet_id_statement(reader)))
        return false;
    if (reader->version == VERSION_5 && !reader_properties(reader, PUBLISH, &packet->properties))
        return false;
    if (packet->topic.size == 0 && !property_find(&packet->properties, TOPIC_ALIAS))
        return reader_fault(reader, topic, "MQTT-4.7.3-1", "the Topic Name is empty%s",
                            reader->version == VERSION_5 ? " and there is no Topic Alias" : "");
    packet->payload = (struct text){reader->at, reader_left(reader)};
    reader->at = reader->end;
    return true;
}

/* PUBACK, PUBREC, PUBREL, PUBCOMP. Both fields behind the identifier may be missing in 5.0. */
static bool read_acknowledgement(struct reader *reader)
{
    if (!read_packet_id(reader, reader_statement(reader, "MQTT-2.2.1-5", "MQTT-2.3.1-6")))
        return false;
    if (reader->version != VERSION_5 || reader_left(reader) == 0)
        return true;
    if (!read_reason_code(reader) || reader_left(reader) == 0)
        return reader->fault->statement == NULL;
    return reader_properties(reader, reader->packet->type, &reader->packet->properties);
}

static const char *no_code_statement(const struct reader *reader)
{
    return reader->packet->type == SUBACK ? reader_statement(reader, "MQTT-3.8.4-6", "MQTT-3.8.4-5")
                                          : "MQTT-3.11.3-2";
}

static bool read_codes(struct reader *reader)
{
    struct packet *packet = reader->packet;
    if (!read_packet_id(reader, reader_statement(reader, "MQTT-2.2.1-6", "MQTT-2.3.1-7")))
        return false;
    if (reader->version == VERSION_5) {
        if (!reader_properties(reader, packet->type, &packet->properties))
            return false;
    } else if (packet->type == UNSUBACK) {
        return true;
    }
    packet->reason_codes = (struct text){reader->at, reader_left(reader)};
    if (packet->reason_codes.size == 0)
        return reader_fault(reader, reader->at, no_code_statement(reader), "%s without any code",
                            packet_name(packet->type));
    for (; reader_left(reader) > 0; reader->at++) {
        uint8_t code = *reader->at;
        bool allowed = reader->version == VERSION_5
                           ? rule_reason_code_allowed(packet->type, code, true)
                           : code <= 2 || code == 0x80;
        if (!allowed)
            return reader_fault(reader, reader->at,
                                rule_reason_code_statement(reader->version, packet->type),
                                "0x%02X is no code of %s", code, packet_name(packet->type));
    }
    return true;
}

static bool read_disconnect(struct reader *reader)
{
    if (reader->version != VERSION_5 || reader_left(reader) == 0)
        return true;
    if (!read_reason_code(reader) || reader_left(reader) == 0)
        return reader->fault->statement == NULL;
    return reader_properties(reader, DISCONNECT, &reader->packet->properties);
}

static bool read_auth(struct reader *reader)
{
    if (reader_left(reader) == 0)
        return true;
    return read_reason_code(reader) && reader_properties(reader, AUTH, &reader->packet->properties);
}

/* ---- What a client sends ---- */

enum {
    FLAG_USER_NAME = 0x80,
    FLAG_PASSWORD = 0x40,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL = 0x04,
    FLAG_CLEAN_START = 0x02,
    FLAG_RESERVED = 0x01,
};

static bool check_connect_flags(struct reader *reader, uint8_t flags)
{
    const uint8_t *at = reader->at - 1;
    if (flags & FLAG_RESERVED)
        return reader_fault(reader, at, "MQTT-3.1.2-3", "the reserved Connect Flag is set");
    if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        return reader_fault(reader, at, reader_statement(reader, "MQTT-3.1.2-12", "MQTT-3.1.2-14"),
                            "Will QoS is 3");
    if (!(flags & FLAG_WILL) && flags & FLAG_WILL_QOS)
        return reader_fault(reader, at, reader_statement(reader, "MQTT-3.1.2-11", "MQTT-3.1.2-13"),
                            "a Will QoS without the Will Flag");
    if (!(flags & FLAG_WILL) && flags & FLAG_WILL_RETAIN)
        return reader_fault(reader, at, reader_statement(reader, "MQTT-3.1.2-13", "MQTT-3.1.2-15"),
                            "Will Retain without the Will Flag");
    if (reader->version == VERSION_311 && flags & FLAG_PASSWORD && !(flags & FLAG_USER_NAME))
        return reader_fault(reader, at, "MQTT-3.1.2-22", "a password without a user name");
    return true;
}

static bool read_connect_payload(struct reader *reader, uint8_t flags)
{
    struct packet *packet = reader->packet;
    if (!reader_string(reader, "Client Identifier", "MQTT-3.1.3-4", &packet->client_id))
        return false;
    if (reader->version == VERSION_311 && packet->client_id.size == 0 && !packet->clean_start)
        return reader_fault(reader, packet->client_id.data - 2, "MQTT-3.1.3-7",
                            "an empty Client Identifier with Clean Session 0");
    if (flags & FLAG_WILL) {
        packet->will_qos = (flags & FLAG_WILL_QOS) >> 3;
        packet->will_retain = flags & FLAG_WILL_RETAIN;
        if (reader->version == VERSION_5 &&
            !reader_properties(reader, RULE_WILL_PROPERTIES, &packet->will_properties))
            return false;
        if (!reader_topic_name(reader, "Will Topic", "MQTT-4.7.1-1", &packet->will_topic))
            return false;
        if (packet->will_topic.size == 0)
            return reader_fault(reader, reader->at - 2, "MQTT-4.7.3-1", "the Will Topic is empty");
        if (!reader_binary(reader, "Will Payload", &packet->will_payload))
            return false;
    }
    if (flags & FLAG_USER_NAME &&
        !reader_string(reader, "User Name",
                       reader_statement(reader, "MQTT-3.1.3-12", "MQTT-3.1.3-11"),
                       &packet->user_name))
        return false;
    return !(flags & FLAG_PASSWORD) || reader_binary(reader, "Password", &packet->password);
}

static bool read_connect(struct reader *reader)
{
    struct packet *packet = reader->packet;
    if (!reader_string(reader, "Protocol Name", NULL, &packet->protocol_name))
        return false;
    if (!text_equal(packet->protocol_name, TEXT("MQTT")))
        return reader_fault(reader, packet->protocol_name.data, "MQTT-3.1.2-1",
                            "the Protocol Name is not \"MQTT\"");
    if (!reader_u8(reader, "Protocol Level", &packet->protocol_level))
        return false;
    if (packet->protocol_level != VERSION_5 && packet->protocol_level != VERSION_311)
        return reader_fault(reader, reader->at - 1, "MQTT-3.1.2-2",
                            "Protocol Level %u is neither 4 nor 5", packet->protocol_level);
    reader->version = packet->protocol_level == VERSION_5 ? VERSION_5 : VERSION_311;

    uint8_t flags;
    if (!reader_u8(reader, "Connect Flags", &flags))
        return false;
    packet->clean_start = flags & FLAG_CLEAN_START;
    return check_connect_flags(reader, flags) &&
           reader_u16(reader, "Keep Alive", &packet->keep_alive_s) &&
           (reader->version != VERSION_5 ||
            reader_properties(reader, CONNECT, &packet->properties)) &&
           read_connect_payload(reader, flags);
}

static bool check_options(struct reader *reader, const struct filter *filter)
{
    uint8_t options = filter->options;
    const uint8_t *at = reader->at - 1;
    if (reader->version == VERSION_311)
        return options <= 2 || reader_fault(reader, at, "MQTT-3.8.3-4",
                                            "the Requested QoS byte is 0x%02X", options);
    if (options & 0xC0)
        return reader_fault(reader, at, "MQTT-3.8.3-5",
                            "Subscription Options 0x%02X: reserved bits are set", options);
    if ((options & 3) == 3)
        return reader_fault(reader, at, "5.0 section 3.8.3.1", "Maximum QoS 3 is asked for");
    if ((options & 0x30) == 0x30)
        return reader_fault(reader, at, "5.0 section 3.8.3.1", "Retain Handling is 3");
    if (options & SUBSCRIBE_NO_LOCAL && filter->filter.size >= 7 &&
        memcmp(filter->filter.data, "$share/", 7) == 0)
        return reader_fault(reader, at, "MQTT-3.8.3-4", "No Local on a Shared Subscription");
    return true;
}

/* 4.7.1: "#" is all of the last level, "+" all of its own. */
static bool check_filter(struct reader *reader, struct text filter)
{
    if (filter.size == 0)
        return reader_fault(reader, filter.data, "MQTT-4.7.3-1", "an empty Topic Filter");
    for (size_t i = 0; i < filter.size; i++) {
        bool begins = i == 0 || filter.data[i - 1] == '/';
        bool ends = i + 1 == filter.size || filter.data[i + 1] == '/';
        if (filter.data[i] == '#' && (!begins || i + 1 != filter.size))
            return reader_fault(reader, filter.data + i,
                                reader_statement(reader, "MQTT-4.7.1-1", "MQTT-4.7.1-2"),
                                "\"#\" is not alone in the filter's last level");
        if (filter.data[i] == '+' && (!begins || !ends))
            return reader_fault(reader, filter.data + i,
                                reader_statement(reader, "MQTT-4.7.1-2", "MQTT-4.7.1-3"),
                                "\"+\" is not alone in its level");
    }
    return true;
}

/* 4.8.2: $share/ShareName/filter. Of 3.1.1 it is an ordinary filter. */
static bool check_share(struct reader *reader, struct text filter)
{
    if (reader->version != VERSION_5 || filter.size < 7 || memcmp(filter.data, "$share/", 7) != 0)
        return true;
    const uint8_t *name = filter.data + 7;
    size_t left = filter.size - 7;
    const uint8_t *slash = left > 0 ? memchr(name, '/', left) : NULL;
    size_t name_size = slash ? (size_t)(slash - name) : left;
    if (name_size == 0)
        return reader_fault(reader, name, "MQTT-4.8.2-1", "the ShareName is empty");
    if (!slash || slash + 1 == filter.data + filter.size)
        return reader_fault(reader, name, "MQTT-4.8.2-2", "no Topic Filter follows the ShareName");
    for (size_t i = 0; i < name_size; i++) {
        if (name[i] == '+' || name[i] == '#')
            return reader_fault(reader, name + i, "MQTT-4.8.2-2", "the ShareName contains \"%c\"",
                                name[i]);
    }
    return true;
}

static bool read_filters(struct reader *reader)
{
    struct packet *packet = reader->packet;
    bool subscribe = packet->type == SUBSCRIBE;
    if (!read_packet_id(reader, reader_statement(reader, "MQTT-2.2.1-3", "MQTT-2.3.1-1")))
        return false;
    if (reader->version == VERSION_5 &&
        !reader_properties(reader, packet->type, &packet->properties))
        return false;
    if (reader_left(reader) == 0) /* the same two statements in both versions, but for one */
        return reader_fault(reader, reader->at,
                            !subscribe ? "MQTT-3.10.3-2"
                                       : reader_statement(reader, "MQTT-3.8.3-2", "MQTT-3.8.3-3"),
                            "%s without any Topic Filter", packet_name(packet->type));
    while (reader_left(reader) > 0) {
        struct filter filter = {0};
        if (!reader_string(reader, "Topic Filter", subscribe ? "MQTT-3.8.3-1" : "MQTT-3.10.3-1",
                           &filter.filter))
            return false;
        if (subscribe && !reader_u8(reader, "Subscription Options", &filter.options))
            return false;
        if (subscribe && !check_options(reader, &filter))
            return false;
        if (!check_share(reader, filter.filter) || !check_filter(reader, filter.filter))
            return false;
        if (packet->filter_count == FILTERS_MAX)
            packet->more_filters++;
        else
            packet->filters[packet->filter_count++] = filter;
    }
    return true;
}

/* ---- The fixed header ---- */

size_t packet_size(const uint8_t *data, size_t size)
{
    size_t remaining = 0;
    for (size_t i = 1; i < size && i <= 4; i++) {
        remaining |= (size_t)(data[i] & 0x7f) << (7 * (i - 1));
        if (!(data[i] & 0x80))
            return 1 + i + remaining;
        if (i == 4)
            return SIZE_MAX;
    }
    return 0;
}

static const char *flags_statement(const struct reader *reader)
{
    switch (reader->packet->type) {
    case PUBREL:
        return "MQTT-3.6.1-1";
    case SUBSCRIBE:
        return "MQTT-3.8.1-1";
    case UNSUBSCRIBE:
        return "MQTT-3.10.1-1";
    case DISCONNECT:
        return "MQTT-3.14.1-1";
    case AUTH:
        return "MQTT-3.15.1-1";
    default:
        return reader_statement(reader, "MQTT-2.1.3-1", "MQTT-2.2.2-1");
    }
}

static bool read_publish_flags(struct reader *reader, uint8_t flags)
{
    struct packet *packet = reader->packet;
    packet->dup = flags & 8;
    packet->qos = flags >> 1 & 3;
    packet->retain = flags & 1;
    if (packet->qos == 3)
        return reader_fault(reader, reader->start, "MQTT-3.3.1-4", "PUBLISH with QoS 3");
    if (packet->dup && packet->qos == 0)
        return reader_fault(reader, reader->start, "MQTT-3.3.1-2", "PUBLISH at QoS 0 with DUP");
    return true;
}

/* 5.0 Table 2-1, 3.1.1 Table 2.1: the direction of flow. */
static bool type_allowed(const struct reader *reader)
{
    switch (reader->packet->type) {
    case CONNECT:
    case SUBSCRIBE:
    case UNSUBSCRIBE:
    case PINGREQ:
        return !reader->from_server;
    case CONNACK:
    case SUBACK:
    case UNSUBACK:
    case PINGRESP:
        return reader->from_server;
    case DISCONNECT:
        return reader->version == VERSION_5 || !reader->from_server;
    case AUTH:
        return reader->version == VERSION_5;
    default:
        return (unsigned)reader->packet->type != 0;
    }
}

static bool read_first_byte(struct reader *reader)
{
    struct packet *packet = reader->packet;
    uint8_t byte = *reader->at;
    packet->type = byte >> 4;
    if (!type_allowed(reader))
        return reader_fault(reader, reader->start,
                            reader_statement(reader, "5.0 section 2.1.2", "3.1.1 section 2.2.1"),
                            "byte 0x%02X (%s) begins no packet that a %s sends", byte,
                            packet_name(packet->type), reader->from_server ? "server" : "client");
    if (packet->type == PUBLISH)
        return read_publish_flags(reader, byte & 15);
    bool two = packet->type == PUBREL || packet->type == SUBSCRIBE || packet->type == UNSUBSCRIBE;
    if ((byte & 15) != (two ? 2 : 0))
        return reader_fault(reader, reader->start, flags_statement(reader),
                            "%s with the reserved flags 0x%X", packet_name(packet->type),
                            byte & 15);
    return true;
}

static bool read_body(struct reader *reader)
{
    switch (reader->packet->type) {
    case CONNECT:
        return read_connect(reader);
    case CONNACK:
        return read_connack(reader);
    case PUBLISH:
        return read_publish(reader);
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP:
        return read_acknowledgement(reader);
    case SUBSCRIBE:
    case UNSUBSCRIBE:
        return read_filters(reader);
    case SUBACK:
    case UNSUBACK:
        return read_codes(reader);
    case DISCONNECT:
        return read_disconnect(reader);
    case AUTH:
        return read_auth(reader);
    case PINGREQ:
    case PINGRESP:
        break;
    }
    return true;
}

/* Where the body begins; NULL if the Remaining Length is wrong. */
static const uint8_t *read_remaining_length(struct reader *reader, size_t total)
{
    const uint8_t *at = reader->start + 1;
    if (total == SIZE_MAX) {
        reader_fault(reader, at,
                     reader_statement(reader, "5.0 section 2.1.4", "3.1.1 section 2.2.3"),
                     "the Remaining Length is longer than four bytes");
        return NULL;
    }
    while (*at & 0x80)
        at++;
    /* 3.1.1 does not ask for the shortest form. */
    if (reader->version == VERSION_5 && *at == 0 && at > reader->start + 1) {
        reader_fault(reader, reader->start + 1, "MQTT-1.5.5-1",
                     "the Remaining Length is not written in the fewest bytes possible");
        return NULL;
    }
    return at + 1;
}

enum read_result packet_read(const uint8_t *data, size_t size, enum version version,
                             bool from_server, struct packet *packet, size_t *used,
                             struct packet_fault *fault)
{
    *packet = (struct packet){0};
    *fault = (struct packet_fault){0};
    if (size == 0)
        return READ_MORE;
    struct reader reader = {.start = data,
                            .at = data,
                            .end = data + size,
                            .version = version,
                            .from_server = from_server,
                            .packet = packet,
                            .fault = fault};
    if (!read_first_byte(&reader))
        return READ_FAULT;
    size_t total = packet_size(data, size);
    if (total == 0)
        return READ_MORE;
    reader.at = read_remaining_length(&reader, total);
    if (!reader.at)
        return READ_FAULT;
    if (size < total)
        return READ_MORE;
    reader.end = data + total;
    if (!read_body(&reader) || !reader_end(&reader))
        return READ_FAULT;
    *used = total;
    return READ_PACKET;
}
