#include "capture/judge.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "capture/exchange.h"
#include "protocol/packet.h"

enum { SHEETS = 256, PER_SHEET = 256, PACKET_MAX = 16 << 20 };

/* A Packet Identifier of the Server's. */
struct out {
    struct exchange qos1, qos2;
    uint8_t
        strays; /* PUBRECs that may answer nothing; the Server may say so (5.0 section 3.6.2.1) */
    bool is_counted; /* against the Receive Maximum */
    bool is_released;
};

/* One of the Client's: answers that the Server owes. */
struct owed {
    struct exchange qos2;
    uint8_t puback, unsuback;
    uint16_t suback; /* SUBACK's number of Reason Codes, plus 1 */
};

/* Packet Identifiers, as many as one after another are likely to be in use. */
struct sheet_of_identifiers {
    struct out out[PER_SHEET];
    struct owed owed[PER_SHEET];
};

struct side {
    uint8_t *data;
    size_t size, capacity;
};

struct judge {
    struct room *room;
    enum judge_result result;
    char why[200], client_identifier[96];
    const char *statement;
    enum mqtt_version version;
    bool connect, has_method, connack, resumed, refused, disconnected;
    uint32_t in_flight, receive_maximum, maximum_packet_size, topic_alias_maximum, pings;
    uint64_t packets;
    struct side client, server;
    struct sheet_of_identifiers *sheets[SHEETS]; /* NULL: nothing was sent under them */
};

struct judge *judge_new(struct room *room)
{
    struct judge *judge = calloc(1, sizeof *judge);
    if (judge != NULL)
        judge->room = room;
    return judge;
}

static void drop_side(struct judge *judge, struct side *side)
{
    room_give(judge->room, side->capacity);
    free(side->data);
    *side = (struct side){0};
}

/* Gives back what grows: a judge that has come to its end needs none of it. */
static void drop_all(struct judge *judge)
{
    for (unsigned i = 0; i < SHEETS; i++) {
        if (judge->sheets[i] != NULL)
            room_give(judge->room, sizeof *judge->sheets[i]);
        free(judge->sheets[i]);
        judge->sheets[i] = NULL;
    }
    drop_side(judge, &judge->client);
    drop_side(judge, &judge->server);
}

void judge_free(struct judge *judge)
{
    if (judge == NULL)
        return;
    drop_all(judge);
    free(judge);
}

/* Is there a sheet for this Packet Identifier? Else it is made, if there is room. */
static bool has_sheet(struct judge *judge, uint16_t identifier)
{
    struct sheet_of_identifiers **sheet = &judge->sheets[identifier / PER_SHEET];
    if (*sheet != NULL)
        return true;
    if (!room_take(judge->room, sizeof **sheet))
        return false;
    *sheet = calloc(1, sizeof **sheet);
    if (*sheet == NULL)
        room_give(judge->room, sizeof **sheet);
    return *sheet != NULL;
}

/* take_packet() has made it. */
static struct sheet_of_identifiers *sheet_of(struct judge *judge, uint16_t identifier)
{
    struct sheet_of_identifiers *sheet = judge->sheets[identifier / PER_SHEET];
    CHECK(sheet != NULL);
    return sheet;
}

static struct out *out_of(struct judge *judge, uint16_t identifier)
{
    return &sheet_of(judge, identifier)->out[identifier % PER_SHEET];
}

static struct owed *owed_of(struct judge *judge, uint16_t identifier)
{
    return &sheet_of(judge, identifier)->owed[identifier % PER_SHEET];
}

struct judgement judge_say(const struct judge *judge)
{
    return (struct judgement){judge->result, judge->why, judge->statement, judge->client_identifier,
                              judge->packets};
}

__attribute__((format(printf, 2, 3))) static void leave_off(struct judge *judge, const char *format,
                                                            ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(judge->why, sizeof judge->why, format, arguments);
    va_end(arguments);
    judge->result = JUDGE_LEFT_OFF;
}

/* `v5` and `v3`: the statement in each version. */
__attribute__((format(printf, 4, 5))) static void blame(struct judge *judge, const char *v5,
                                                        const char *v3, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(judge->why, sizeof judge->why, format, arguments);
    va_end(arguments);
    judge->statement = judge->version == MQTT_VERSION_5 ? v5 : v3;
    judge->result = JUDGE_WRONG;
}

static bool is_5(const struct judge *judge)
{
    return judge->version == MQTT_VERSION_5;
}

/* ---- What the Client sends ---- */

static void take_connect(struct judge *judge, const struct connect *connect)
{
    const struct properties *properties = &connect->properties;
    if (judge->connect) {
        leave_off(judge, "a second CONNECT");
        return;
    }
    judge->connect = true;
    judge->version = connect->version;
    judge->receive_maximum = UINT16_MAX;
    judge->maximum_packet_size = UINT32_MAX;
    if (properties_has(properties, PROPERTY_RECEIVE_MAXIMUM))
        judge->receive_maximum = properties->receive_maximum;
    if (properties_has(properties, PROPERTY_MAXIMUM_PACKET_SIZE))
        judge->maximum_packet_size = properties->maximum_packet_size;
    if (properties_has(properties, PROPERTY_TOPIC_ALIAS_MAXIMUM))
        judge->topic_alias_maximum = properties->topic_alias_maximum;
    judge->has_method = properties_has(properties, PROPERTY_AUTHENTICATION_METHOD);
    log_text((const char *)connect->client_identifier.data, connect->client_identifier.size,
             judge->client_identifier, sizeof judge->client_identifier);
}

static void add(uint8_t *count)
{
    if (*count < UINT8_MAX)
        (*count)++;
}

static struct exchange_rules rules_of(const struct judge *judge, const struct fsm_machine *machine)
{
    return (struct exchange_rules){machine, judge->resumed, !is_5(judge)};
}

static void uncount(struct judge *judge, struct out *out)
{
    judge->in_flight -= out->is_counted;
    out->is_counted = false;
}

static void take_puback(struct judge *judge, uint16_t identifier)
{
    struct exchange_rules rules = rules_of(judge, &outbound_qos1_machine);
    if (exchange_take(&out_of(judge, identifier)->qos1, &rules, OUTBOUND_QOS1_EVENT_PUBACK))
        uncount(judge, out_of(judge, identifier));
}

static void take_of_qos2(struct judge *judge, uint16_t identifier, enum outbound_qos2_event event)
{
    struct exchange_rules rules = rules_of(judge, &outbound_qos2_machine);
    struct out *out = out_of(judge, identifier);
    bool may_be_free = (exchange_states(&out->qos2, &rules) & 1) != 0;
    if (event != OUTBOUND_QOS2_EVENT_PUBCOMP && may_be_free)
        add(&out->strays);
    if (exchange_take(&out->qos2, &rules, event))
        uncount(judge, out);
}

static void take_inbound(struct judge *judge, uint16_t identifier, enum inbound_qos2_event event)
{
    struct exchange_rules rules = rules_of(judge, &inbound_qos2_machine);
    exchange_take(&owed_of(judge, identifier)->qos2, &rules, event);
}

static void take_from_client(struct judge *judge, const struct packet *packet)
{
    uint16_t identifier = packet->acknowledgement.packet_identifier;
    switch (packet->type) {
    case PACKET_CONNECT:
        take_connect(judge, &packet->connect);
        break;
    case PACKET_PUBLISH:
        identifier = packet->publish.packet_identifier;
        if (packet->publish.qos == 1)
            add(&owed_of(judge, identifier)->puback);
        else if (packet->publish.qos == 2)
            take_inbound(judge, identifier, INBOUND_QOS2_EVENT_PUBLISH);
        break;
    case PACKET_PUBREL:
        take_inbound(judge, identifier, INBOUND_QOS2_EVENT_PUBREL);
        break;
    case PACKET_PUBACK:
        take_puback(judge, identifier);
        break;
    case PACKET_PUBREC:
        take_of_qos2(judge, identifier,
                     packet->acknowledgement.reason_code >= 0x80 ? OUTBOUND_QOS2_EVENT_PUBREC_ERROR
                                                                 : OUTBOUND_QOS2_EVENT_PUBREC);
        break;
    case PACKET_PUBCOMP:
        take_of_qos2(judge, identifier, OUTBOUND_QOS2_EVENT_PUBCOMP);
        break;
    case PACKET_SUBSCRIBE:
        owed_of(judge, packet->subscribe.packet_identifier)->suback =
            (uint16_t)(packet->subscribe.count < UINT16_MAX ? packet->subscribe.count + 1 : 0);
        break;
    case PACKET_UNSUBSCRIBE:
        add(&owed_of(judge, packet->unsubscribe.packet_identifier)->unsuback);
        break;
    case PACKET_PINGREQ:
        judge->pings++;
        break;
    default:
        break;
    }
}

/* ---- What the Server sends ---- */

static void check_connack(struct judge *judge, const struct connack *connack)
{
    if (judge->connack)
        blame(judge, "MQTT-3.2.0-2", "3.1.1 MQTT-3.2.0-1", "a second CONNACK");
    judge->connack = true;
    judge->refused = connack->reason_code != 0;
    judge->resumed = connack->session_present;
    if (!judge->refused &&
        properties_has(&connack->properties, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER))
        log_text((const char *)connack->properties.assigned_client_identifier.data,
                 connack->properties.assigned_client_identifier.size, judge->client_identifier,
                 sizeof judge->client_identifier);
}

static void check_alias(struct judge *judge, const struct publish *publish)
{
    if (!properties_has(&publish->properties, PROPERTY_TOPIC_ALIAS) ||
        publish->properties.topic_alias <= judge->topic_alias_maximum)
        return;
    blame(judge, judge->topic_alias_maximum > 0 ? "MQTT-3.1.2-26" : "MQTT-3.1.2-27", "",
          "PUBLISH with Topic Alias %u; the Client takes %" PRIu32, publish->properties.topic_alias,
          judge->topic_alias_maximum);
}

/* Why the table sends no such PUBLISH in any of `states`. */
static void blame_publish(struct judge *judge, const struct publish *publish, unsigned states)
{
    const struct out *out = out_of(judge, publish->packet_identifier);
    unsigned identifier = publish->packet_identifier;
    if (publish->qos == 2 && out->is_released)
        blame(judge, "MQTT-4.3.3-6", "3.1.1 MQTT-4.3.3-1",
              "outbound_qos2 %u: PUBLISH, QoS 2; PUBREC has come, PUBCOMP has not", identifier);
    else if (publish->dup && (states & 1) != 0)
        blame(judge, "MQTT-3.3.1-3", "3.1.1 MQTT-3.3.1-3",
              "outbound_qos%u %u: PUBLISH with DUP, in a Session that was not sent it before",
              publish->qos, identifier);
    else if (publish->dup && states != 0 && is_5(judge))
        blame(judge, "MQTT-4.4.0-1", "",
              "outbound_qos%u %u: PUBLISH a second time on one connection", publish->qos,
              identifier);
    else
        blame(judge, "MQTT-2.2.1-4", "3.1.1 MQTT-2.3.1-4",
              "outbound_qos%u %u: PUBLISH under a Packet Identifier that is in use", publish->qos,
              identifier);
}

static void count(struct judge *judge, const struct publish *publish)
{
    struct out *out = out_of(judge, publish->packet_identifier);
    judge->in_flight += !out->is_counted;
    out->is_counted = true;
    if (judge->in_flight > judge->receive_maximum && is_5(judge))
        blame(judge, "MQTT-3.3.4-9", "",
              "outbound_qos%u %u: %" PRIu32 " PUBLISHes in flight; Receive Maximum is %" PRIu32,
              publish->qos, publish->packet_identifier, judge->in_flight, judge->receive_maximum);
}

static void check_publish(struct judge *judge, const struct publish *publish)
{
    check_alias(judge, publish);
    if (publish->qos == 0)
        return;
    struct out *out = out_of(judge, publish->packet_identifier);
    struct exchange_rules qos1 = rules_of(judge, &outbound_qos1_machine);
    struct exchange_rules qos2 = rules_of(judge, &outbound_qos2_machine);
    bool is_1 = publish->qos == 1;
    struct exchange *own = is_1 ? &out->qos1 : &out->qos2;
    const struct exchange_rules *rules = is_1 ? &qos1 : &qos2;
    uint32_t action = is_1 ? 1u << (publish->dup ? OUTBOUND_QOS1_ACTION_PUBLISH_DUP
                                                 : OUTBOUND_QOS1_ACTION_PUBLISH)
                           : 1u << (publish->dup ? OUTBOUND_QOS2_ACTION_PUBLISH_DUP
                                                 : OUTBOUND_QOS2_ACTION_PUBLISH);
    unsigned other = exchange_states(is_1 ? &out->qos2 : &out->qos1, is_1 ? &qos2 : &qos1);
    if ((other & 1) == 0) {
        blame_publish(judge, publish, 0);
    } else if (!exchange_give(own, rules, action)) {
        blame_publish(judge, publish, exchange_states(own, rules));
    } else {
        out->is_released = false;
        count(judge, publish);
    }
}

static void check_pubrel(struct judge *judge, uint16_t identifier)
{
    struct out *out = out_of(judge, identifier);
    struct exchange_rules rules = rules_of(judge, &outbound_qos2_machine);
    if (exchange_give(&out->qos2, &rules, 1u << OUTBOUND_QOS2_ACTION_PUBREL))
        out->is_released = true;
    else if (out->strays > 0)
        out->strays--;
    else if (out->is_released)
        blame(judge, "MQTT-4.4.0-1", "", "outbound_qos2 %u: PUBREL a second time on one connection",
              identifier);
    else
        blame(judge, "MQTT-4.3.3-4", "3.1.1 MQTT-4.3.3-1",
              "outbound_qos2 %u: PUBREL; no PUBREC has come for it", identifier);
}

/* Which Reason Code answers what is the Server's choice, but for a PUBREC that begins an exchange.
 */
static void check_inbound(struct judge *judge, const struct packet *packet)
{
    const struct acknowledgement *answer = &packet->acknowledgement;
    struct exchange_rules rules = rules_of(judge, &inbound_qos2_machine);
    bool is_pubrec = packet->type == PACKET_PUBREC;
    uint32_t actions =
        is_pubrec ? 1u << INBOUND_QOS2_ACTION_PUBREC
                  : 1u << INBOUND_QOS2_ACTION_PUBCOMP | 1u << INBOUND_QOS2_ACTION_PUBCOMP_NOT_FOUND;
    if (is_pubrec && (answer->reason_code >= 0x80 || !is_5(judge)))
        actions |= 1u << INBOUND_QOS2_ACTION_PUBREC_REFUSED;
    if (!exchange_give(&owed_of(judge, answer->packet_identifier)->qos2, &rules, actions))
        blame(judge, is_pubrec ? "MQTT-2.2.1-5" : "MQTT-4.3.3-11",
              is_pubrec ? "3.1.1 MQTT-2.3.1-6" : "3.1.1 MQTT-4.3.3-2",
              "inbound_qos2 %u: %s answers nothing", answer->packet_identifier,
              packet_type_name(packet->type));
}

/* `owed` is answered. A Session that goes on may owe answers of its last connection. */
static void check_answer(struct judge *judge, uint8_t *owed, enum packet_type type,
                         uint16_t identifier, const char *v5, const char *v3)
{
    if (*owed > 0)
        (*owed)--;
    else if (!judge->resumed)
        blame(judge, v5, v3, "%s %u answers nothing", packet_type_name(type), identifier);
}

static void check_suback(struct judge *judge, const struct suback *suback)
{
    uint16_t *owed = &owed_of(judge, suback->packet_identifier)->suback;
    if (*owed == 0 && !judge->resumed)
        blame(judge, "MQTT-2.2.1-6", "3.1.1 MQTT-2.3.1-7", "SUBACK %u answers nothing",
              suback->packet_identifier);
    else if (*owed != 0 && suback->reason_codes.size + 1 != *owed)
        blame(judge, "MQTT-3.8.4-6", "3.1.1 MQTT-3.8.4-5",
              "SUBACK %u has %zu Reason Codes for %u Topic Filters", suback->packet_identifier,
              suback->reason_codes.size, *owed - 1u);
    *owed = 0;
}

static void check_order(struct judge *judge, enum packet_type type)
{
    const char *name = packet_type_name(type);
    if (judge->disconnected)
        blame(judge, "MQTT-3.14.4-1", "", "connection: %s behind DISCONNECT", name);
    else if (judge->refused)
        blame(judge, "MQTT-3.2.2-7", "3.1.1 MQTT-3.2.2-5",
              "connection: %s behind a CONNACK that refuses", name);
    else if (!judge->connack && type == PACKET_DISCONNECT)
        blame(judge, "MQTT-3.14.0-1", "", "connection: DISCONNECT before CONNACK");
    else if (!judge->connack && type != PACKET_CONNACK && type != PACKET_AUTH)
        blame(judge, "MQTT-3.2.0-1", "3.1.1 MQTT-3.2.0-1", "connection: %s before CONNACK", name);
    else if (type == PACKET_AUTH && !judge->has_method)
        blame(judge, "MQTT-4.12.0-6", "",
              "authentication: AUTH; CONNECT has no Authentication Method");
}

static void take_from_server(struct judge *judge, const struct packet *packet, size_t size)
{
    uint16_t identifier = packet->acknowledgement.packet_identifier;
    check_order(judge, packet->type);
    if (size > judge->maximum_packet_size)
        blame(judge, "MQTT-3.1.2-24", "", "%s of %zu bytes; the Client takes %" PRIu32,
              packet_type_name(packet->type), size, judge->maximum_packet_size);
    judge->packets++;
    if (judge->result != JUDGE_GOES_ON)
        return;
    switch (packet->type) {
    case PACKET_CONNACK:
        check_connack(judge, &packet->connack);
        break;
    case PACKET_PUBLISH:
        check_publish(judge, &packet->publish);
        break;
    case PACKET_SUBACK:
        check_suback(judge, &packet->suback);
        break;
    case PACKET_UNSUBACK:
        identifier = packet->unsuback.packet_identifier;
        check_answer(judge, &owed_of(judge, identifier)->unsuback, packet->type, identifier,
                     "MQTT-2.2.1-6", "3.1.1 MQTT-2.3.1-7");
        break;
    case PACKET_PUBACK:
        check_answer(judge, &owed_of(judge, identifier)->puback, packet->type, identifier,
                     "MQTT-2.2.1-5", "3.1.1 MQTT-2.3.1-6");
        break;
    case PACKET_PUBREL:
        check_pubrel(judge, identifier);
        break;
    case PACKET_PINGRESP:
        if (judge->pings == 0)
            blame(judge, "MQTT-3.12.4-1", "3.1.1 MQTT-3.12.4-1", "PINGRESP answers nothing");
        else
            judge->pings--;
        break;
    case PACKET_DISCONNECT:
        judge->disconnected = true;
        break;
    case PACKET_AUTH:
        break;
    default:
        check_inbound(judge, packet);
        break;
    }
}

/* ---- Bytes ---- */

static bool grow(struct judge *judge, struct side *side, size_t capacity)
{
    if (!room_take(judge->room, capacity - side->capacity))
        return false;
    uint8_t *data = realloc(side->data, capacity);
    if (data == NULL) {
        room_give(judge->room, capacity - side->capacity);
        return false;
    }
    side->data = data;
    side->capacity = capacity;
    return true;
}

static bool append(struct judge *judge, struct side *side, struct bytes bytes)
{
    if (side->size + bytes.size > side->capacity &&
        !grow(judge, side, (side->size + bytes.size) * 2))
        return false;
    if (bytes.size > 0)
        memcpy(side->data + side->size, bytes.data, bytes.size);
    side->size += bytes.size;
    return true;
}

static void refuse(struct judge *judge, bool from_server, const struct refusal *refusal)
{
    if (from_server)
        blame(judge, refusal->statement, refusal->statement, "%s", refusal->what);
    else if (!judge->connect)
        leave_off(judge, "it does not begin with a CONNECT");
    else
        leave_off(judge, "the Client breaks the protocol: %s [%s]", refusal->what,
                  refusal->statement);
}

/* Under which something is noted of it; 0: under none. */
static uint16_t identifier_of(const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_PUBLISH:
        return packet->publish.packet_identifier;
    case PACKET_SUBSCRIBE:
        return packet->subscribe.packet_identifier;
    case PACKET_SUBACK:
        return packet->suback.packet_identifier;
    case PACKET_UNSUBSCRIBE:
        return packet->unsubscribe.packet_identifier;
    case PACKET_UNSUBACK:
        return packet->unsuback.packet_identifier;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return packet->acknowledgement.packet_identifier;
    default:
        return 0;
    }
}

/* The size of the packet at `bytes`, 0 if it is not whole yet or nothing is judged any more. */
static size_t take_packet(struct judge *judge, bool from_server, struct bytes bytes)
{
    struct frame_parser parser = {.mqtt_31 = judge->version == MQTT_VERSION_31};
    struct refusal refusal = {0};
    struct packet packet;
    size_t header = 0;
    enum frame_result result =
        frame_parser_feed(&parser, !from_server, bytes.data, bytes.size, &header, &refusal);
    size_t size = header + parser.remaining_length;
    if (result == FRAME_REFUSED) {
        refusal_cite(&refusal, judge->version > 0 ? judge->version : MQTT_VERSION_5);
        refuse(judge, from_server, &refusal);
    }
    if (result == FRAME_HEADER && size > PACKET_MAX)
        leave_off(judge, "a packet is larger than 16 MiB");
    if (result != FRAME_HEADER || size > PACKET_MAX || size > bytes.size)
        return 0;
    if (!packet_decode(judge->version, !from_server, bytes.data, size, header, &packet, &refusal)) {
        refuse(judge, from_server, &refusal);
        return 0;
    }
    uint16_t identifier = identifier_of(&packet);
    if (identifier > 0 && !has_sheet(judge, identifier)) {
        judge->result = JUDGE_NO_ROOM;
        return 0;
    }
    if (from_server)
        take_from_server(judge, &packet, size);
    else
        take_from_client(judge, &packet);
    return size;
}

void judge_feed(struct judge *judge, bool from_server, struct bytes bytes)
{
    struct side *side = from_server ? &judge->server : &judge->client;
    size_t at = 0, size;
    if (judge->result != JUDGE_GOES_ON)
        return;
    if (from_server && !judge->connect) {
        leave_off(judge, "the Server speaks first, or answers what is no CONNECT");
        return;
    }
    if (!append(judge, side, bytes)) {
        judge->result = JUDGE_NO_ROOM;
        drop_all(judge);
        return;
    }
    while (judge->result == JUDGE_GOES_ON && at < side->size &&
           (size = take_packet(judge, from_server, bytes_of(side->data + at, side->size - at))) > 0)
        at += size;
    if (judge->result != JUDGE_GOES_ON) {
        drop_all(judge);
        return;
    }
    side->size -= at;
    if (at > 0 && side->size > 0)
        memmove(side->data, side->data + at, side->size);
}
