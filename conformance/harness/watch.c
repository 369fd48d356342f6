#include "conformance/harness/watch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct watch_id {
    /* What the client sent with it, and what the server answered. */
    uint32_t publishes_1, publishes_2, pubrels, pubacks, pubcomps;
    /* What the server sent with it. */
    uint8_t delivering; /* the QoS of its PUBLISH that is not acknowledged; 0: none */
    bool delivered;     /* a PUBLISH was received with it on this connection */
    bool pubrec_sent;
};

struct watch_owed {
    enum packet_type type;
    uint16_t packet_id;
    unsigned codes;
    struct watch_owed *next;
};

static void *zeroed(struct watch *watch, size_t size)
{
    return memset(arena_alloc(watch->arena, size), 0, size);
}

static struct watch_id *id_of(struct watch *watch, uint16_t packet_id)
{
    struct watch_id **page = &watch->ids[packet_id >> 8];
    if (!*page)
        *page = zeroed(watch, 256 * sizeof **page);
    return &(*page)[packet_id & 255];
}

void watch_init(struct watch *watch, struct arena *arena, enum version version)
{
    *watch = (struct watch){.arena = arena,
                            .version = version,
                            .maximum_packet_size = UINT32_MAX,
                            .receive_maximum = UINT16_MAX,
                            .problem_information = true};
}

void watch_blur(struct watch *watch)
{
    watch->blurred = true;
}

/* ---- What the client sends ---- */

static void sent_connect(struct watch *watch, const struct packet *packet)
{
    const struct properties *properties = &packet->properties;
    if (watch->connect_seen) {
        watch_blur(watch); /* a second one: the server has to close */
        return;
    }
    watch->connect_seen = true;
    watch->clean_start = packet->clean_start;
    watch->client_id_empty = packet->client_id.size == 0;
    watch->maximum_packet_size = property_number(properties, MAXIMUM_PACKET_SIZE, UINT32_MAX);
    watch->receive_maximum = (uint16_t)property_number(properties, RECEIVE_MAXIMUM, UINT16_MAX);
    watch->topic_alias_maximum = (uint16_t)property_number(properties, TOPIC_ALIAS_MAXIMUM, 0);
    watch->problem_information = property_number(properties, REQUEST_PROBLEM_INFORMATION, 1);
    watch->response_information = property_number(properties, REQUEST_RESPONSE_INFORMATION, 0);
    if (watch->topic_alias_maximum > 0)
        watch->aliases = zeroed(watch, (watch->topic_alias_maximum + 1u) * sizeof *watch->aliases);
    const struct property *method = property_find(properties, AUTHENTICATION_METHOD);
    if (method) {
        uint8_t *copy = arena_alloc(watch->arena, method->text.size + 1);
        memcpy(copy, method->text.data, method->text.size);
        watch->authentication_method = (struct text){copy, method->text.size};
    }
}

static void owe(struct watch *watch, enum packet_type type, const struct packet *packet)
{
    struct watch_owed *owed = zeroed(watch, sizeof *owed);
    *owed = (struct watch_owed){.type = type,
                                .packet_id = packet->packet_id,
                                .codes = packet->filter_count + packet->more_filters};
    struct watch_owed **last = &watch->owed;
    while (*last)
        last = &(*last)->next;
    *last = owed;
}

static void finish_delivery(struct watch *watch, struct watch_id *id)
{
    if (id->delivering) {
        id->delivering = 0;
        watch->outstanding--;
    } else {
        watch->slack++;
    }
}

static void sent_acknowledgement(struct watch *watch, const struct packet *packet)
{
    struct watch_id *id = id_of(watch, packet->packet_id);
    switch (packet->type) {
    case PUBREC:
        id->pubrec_sent = true;
        if (packet->reason_code >= 0x80)
            finish_delivery(watch, id);
        break;
    case PUBACK:
    case PUBCOMP:
        finish_delivery(watch, id);
        break;
    default:
        id->pubrels++;
    }
}

void watch_sent(struct watch *watch, const struct packet *packet)
{
    switch (packet->type) {
    case CONNECT:
        sent_connect(watch, packet);
        break;
    case PUBLISH:
        if (packet->qos == 1)
            id_of(watch, packet->packet_id)->publishes_1++;
        else if (packet->qos == 2)
            id_of(watch, packet->packet_id)->publishes_2++;
        break;
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP:
        sent_acknowledgement(watch, packet);
        break;
    case SUBSCRIBE:
        owe(watch, SUBACK, packet);
        break;
    case UNSUBSCRIBE:
        owe(watch, UNSUBACK, packet);
        break;
    case PINGREQ:
        watch->pings++;
        break;
    default:
        break;
    }
}

/* ---- What the server sends ---- */

/* Notes a fault; the statement of the version watched, NULL: not one of that version, no fault. */
static bool wrong(const struct watch *watch, struct packet_fault *fault, const char *v5,
                  const char *v311, const char *format, ...) __attribute__((format(printf, 5, 6)));

static bool wrong(const struct watch *watch, struct packet_fault *fault, const char *v5,
                  const char *v311, const char *format, ...)
{
    const char *statement = watch->version == VERSION_5 ? v5 : v311;
    if (!statement)
        return true;
    *fault = (struct packet_fault){.statement = statement};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->what, sizeof fault->what, format, arguments);
    va_end(arguments);
    return false;
}

/* Whether an identifier that is not known here may be one from before. */
static bool certain(const struct watch *watch)
{
    return !watch->blurred && !watch->resumed;
}

bool watch_size(const struct watch *watch, size_t size, struct packet_fault *fault)
{
    if (size == SIZE_MAX || size <= watch->maximum_packet_size)
        return true;
    return wrong(watch, fault, "MQTT-3.1.2-24", NULL,
                 "a packet of %zu bytes, with Maximum Packet Size %u", size,
                 watch->maximum_packet_size);
}

static bool check_authentication(struct watch *watch, const struct packet *packet,
                                 struct packet_fault *fault)
{
    const struct property *method = property_find(&packet->properties, AUTHENTICATION_METHOD);
    if (watch->blurred || !watch->connect_seen)
        return true;
    if (!watch->authentication_method.data && (packet->type == AUTH || method))
        return wrong(watch, fault, "MQTT-4.12.0-6", NULL,
                     "the CONNECT had no Authentication Method");
    if (!watch->authentication_method.data || packet->reason_code >= 0x80)
        return true;
    /* An AUTH without code and properties is Success, section 3.15.2.1 says. */
    if (packet->type == AUTH && packet->properties.count == 0)
        return true;
    if (!method || !text_equal(method->text, watch->authentication_method))
        return wrong(watch, fault, "MQTT-4.12.0-5", NULL,
                     "the Authentication Method is not that of the CONNECT");
    return true;
}

static bool accepted(struct watch *watch, const struct packet *packet, struct packet_fault *fault)
{
    const struct property *assigned =
        property_find(&packet->properties, ASSIGNED_CLIENT_IDENTIFIER);
    watch->state = WATCH_ACCEPTED;
    watch->resumed = packet->session_present;
    if (watch->blurred || !watch->connect_seen)
        return true;
    if (watch->clean_start && packet->session_present)
        return wrong(watch, fault, "MQTT-3.2.2-2", "MQTT-3.2.2-1", "Clean %s was 1",
                     watch->version == VERSION_5 ? "Start" : "Session");
    if (watch->client_id_empty && (!assigned || assigned->text.size == 0))
        return wrong(watch, fault, "MQTT-3.2.2-16", NULL,
                     "the CONNECT had an empty Client Identifier and none is assigned");
    return true;
}

static bool received_connack(struct watch *watch, const struct packet *packet,
                             struct packet_fault *fault)
{
    bool response = property_find(&packet->properties, RESPONSE_INFORMATION);
    if (watch->state != WATCH_BEFORE_CONNACK)
        return wrong(watch, fault, "MQTT-3.2.0-2", "3.1.1 section 3.2", "it is the second CONNACK");
    if (response && !watch->response_information && watch->connect_seen && !watch->blurred)
        return wrong(watch, fault, "MQTT-3.1.2-28", NULL,
                     "Request Response Information was not 1 in the CONNECT");
    if (!check_authentication(watch, packet, fault))
        return false;
    if (packet->reason_code == 0)
        return accepted(watch, packet, fault);
    watch->state = WATCH_REFUSED;
    return true;
}

static bool resolve_alias(struct watch *watch, struct packet *packet, struct packet_fault *fault)
{
    const struct property *property = property_find(&packet->properties, TOPIC_ALIAS);
    if (!property || watch->blurred || !watch->connect_seen)
        return true;
    uint32_t alias = property->number;
    if (alias > watch->topic_alias_maximum)
        return wrong(watch, fault, watch->topic_alias_maximum ? "MQTT-3.3.2-11" : "MQTT-3.1.2-27",
                     NULL, "Topic Alias %u with Topic Alias Maximum %u", alias,
                     watch->topic_alias_maximum);
    struct text *topic = &watch->aliases[alias];
    if (packet->topic.size > 0) {
        *topic = packet->topic; /* of the packet's copy, which lives as long as this */
        return true;
    }
    if (!topic->data)
        return wrong(watch, fault, "5.0 section 3.3.4", NULL,
                     "Topic Alias %u stands for no topic on this connection", alias);
    packet->topic = *topic;
    packet->topic_from_alias = true;
    return true;
}

static bool check_packet_id(struct watch *watch, const struct packet *packet,
                            const struct watch_id *id, struct packet_fault *fault)
{
    if (id->delivering && !packet->dup)
        return wrong(watch, fault, "MQTT-2.2.1-4", "MQTT-2.3.1-4",
                     "Packet Identifier %u is in use by a message not yet acknowledged",
                     packet->packet_id);
    if (id->delivering) /* 3.1.1 leaves it to the server when to send again */
        return wrong(watch, fault, "MQTT-4.4.0-1", NULL,
                     "it was sent on this connection already, and is sent again on no other "
                     "occasion than a reconnect");
    if (packet->dup && !id->delivered && certain(watch))
        return wrong(watch, fault, "MQTT-3.3.1-3", "MQTT-3.3.1-3",
                     "DUP is set and it can't be a repetition: the session is new");
    return true;
}

static bool received_publish(struct watch *watch, struct packet *packet, struct packet_fault *fault)
{
    if (!resolve_alias(watch, packet, fault))
        return false;
    if (packet->qos == 0)
        return true;
    struct watch_id *id = id_of(watch, packet->packet_id);
    if (!check_packet_id(watch, packet, id, fault))
        return false;
    if (!id->delivering)
        watch->outstanding++;
    id->delivering = packet->qos;
    id->delivered = true;
    if (!watch->blurred && watch->outstanding > watch->receive_maximum + watch->slack)
        return wrong(watch, fault, "MQTT-3.3.4-9", NULL,
                     "%u messages are not acknowledged, with Receive Maximum %u",
                     watch->outstanding, watch->receive_maximum);
    return true;
}

/* What answers a PUBLISH that the client never sent, or sent with another QoS. */
static bool unknown_answer(struct watch *watch, const struct packet *packet, bool other_qos,
                           struct packet_fault *fault)
{
    if (other_qos)
        return wrong(watch, fault, "MQTT-3.3.4-1", "MQTT-3.3.4-1",
                     "the PUBLISH with Packet Identifier %u had another QoS", packet->packet_id);
    return wrong(watch, fault, "MQTT-2.2.1-5", "MQTT-2.3.1-6",
                 "nothing with Packet Identifier %u waits for it", packet->packet_id);
}

static bool received_puback(struct watch *watch, const struct packet *packet,
                            struct packet_fault *fault)
{
    struct watch_id *id = id_of(watch, packet->packet_id);
    if (++id->pubacks > id->publishes_1 && certain(watch))
        return unknown_answer(watch, packet, !id->publishes_1 && id->publishes_2, fault);
    return true;
}

static bool received_pubrec(struct watch *watch, const struct packet *packet,
                            struct packet_fault *fault)
{
    struct watch_id *id = id_of(watch, packet->packet_id);
    if (!id->publishes_2 && certain(watch))
        return unknown_answer(watch, packet, id->publishes_1, fault);
    return true;
}

static bool received_pubcomp(struct watch *watch, const struct packet *packet,
                             struct packet_fault *fault)
{
    struct watch_id *id = id_of(watch, packet->packet_id);
    if (++id->pubcomps > id->pubrels && certain(watch))
        return wrong(watch, fault, "MQTT-2.2.1-5", "3.1.1 section 3.7",
                     "no PUBREL with Packet Identifier %u waits for it", packet->packet_id);
    return true;
}

static bool received_pubrel(struct watch *watch, const struct packet *packet,
                            struct packet_fault *fault)
{
    struct watch_id *id = id_of(watch, packet->packet_id);
    if (id->pubrec_sent || !certain(watch))
        return true;
    if (id->delivering == 2)
        return wrong(watch, fault, "MQTT-4.3.3-3", "MQTT-4.3.3-1",
                     "the message was not acknowledged with PUBREC yet");
    return wrong(watch, fault, "MQTT-2.2.1-5", "MQTT-2.3.1-6",
                 "no message of QoS 2 with Packet Identifier %u is under way", packet->packet_id);
}

static bool received_suback(struct watch *watch, const struct packet *packet,
                            struct packet_fault *fault)
{
    bool suback = packet->type == SUBACK;
    struct watch_owed **at = &watch->owed;
    while (*at && ((*at)->type != packet->type || (*at)->packet_id != packet->packet_id))
        at = &(*at)->next;
    if (!*at) {
        if (watch->blurred)
            return true;
        return wrong(watch, fault, suback ? "MQTT-3.8.4-2" : "MQTT-3.10.4-5",
                     suback ? "MQTT-3.8.4-2" : "MQTT-3.10.4-4",
                     "no %s with Packet Identifier %u waits for it",
                     suback ? "SUBSCRIBE" : "UNSUBSCRIBE", packet->packet_id);
    }
    unsigned codes = (*at)->codes;
    *at = (*at)->next;
    if ((suback || watch->version == VERSION_5) && packet->reason_codes.size != codes)
        return wrong(watch, fault, suback ? "MQTT-3.8.4-6" : "MQTT-3.11.3-2", "MQTT-3.8.4-5",
                     "%zu codes for %u Topic Filters", packet->reason_codes.size, codes);
    return true;
}

static bool received_disconnect(struct watch *watch, struct packet_fault *fault)
{
    if (watch->state == WATCH_BEFORE_CONNACK)
        return wrong(watch, fault, "MQTT-3.14.0-1", "3.1.1 section 3.14",
                     "it had sent no CONNACK before");
    watch->state = WATCH_DISCONNECTED;
    return true;
}

/* Whether any packet, or this one, may come at all. */
static bool check_state(struct watch *watch, const struct packet *packet,
                        struct packet_fault *fault)
{
    if (watch->state == WATCH_DISCONNECTED)
        return wrong(watch, fault, "MQTT-3.14.4-1", NULL, "it had sent DISCONNECT before");
    if (watch->state == WATCH_REFUSED && packet->type != CONNACK)
        return wrong(watch, fault, "MQTT-3.2.2-7", "MQTT-3.2.2-5",
                     "it had refused the connection before");
    if (watch->state == WATCH_BEFORE_CONNACK && packet->type != CONNACK && packet->type != AUTH &&
        packet->type != DISCONNECT)
        return wrong(watch, fault, "MQTT-3.2.0-1", "MQTT-3.2.0-1", "it had sent no CONNACK before");
    return true;
}

static bool check_problem_information(const struct watch *watch, const struct packet *packet,
                                      struct packet_fault *fault)
{
    if (watch->problem_information || packet->type == PUBLISH || packet->type == CONNACK ||
        packet->type == DISCONNECT)
        return true;
    if (!property_find(&packet->properties, REASON_STRING) &&
        !property_find(&packet->properties, USER_PROPERTY))
        return true;
    return wrong(watch, fault, "MQTT-3.1.2-29", NULL,
                 "Request Problem Information was 0 in the CONNECT");
}

bool watch_received(struct watch *watch, struct packet *packet, struct packet_fault *fault)
{
    if (!check_state(watch, packet, fault) || !check_problem_information(watch, packet, fault))
        return false;
    switch (packet->type) {
    case CONNACK:
        return received_connack(watch, packet, fault);
    case PUBLISH:
        return received_publish(watch, packet, fault);
    case PUBACK:
        return received_puback(watch, packet, fault);
    case PUBREC:
        return received_pubrec(watch, packet, fault);
    case PUBREL:
        return received_pubrel(watch, packet, fault);
    case PUBCOMP:
        return received_pubcomp(watch, packet, fault);
    case SUBACK:
    case UNSUBACK:
        return received_suback(watch, packet, fault);
    case AUTH:
        return check_authentication(watch, packet, fault);
    case DISCONNECT:
        return received_disconnect(watch, fault);
    case PINGRESP:
        if (watch->pings == 0 && !watch->blurred)
            return wrong(watch, fault, "5.0 section 3.13", "3.1.1 section 3.13",
                         "no PINGREQ waits for it");
        watch->pings -= watch->pings > 0;
        return true;
    default:
        return true;
    }
}
