/* What comes to a client: held against the specification, told to the ledger, answered. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim/client_state.h"
#include "sim/task.h"

static unsigned number_of(struct text payload)
{
    unsigned number = 0;
    for (size_t i = 1; i < payload.size && payload.data[i] != ' '; i++)
        number = number * 10 + (payload.data[i] - '0');
    return payload.size > 1 && payload.data[0] == 'm' ? number : 0;
}

static struct incoming *incoming_of(struct client *client, uint16_t id)
{
    struct incoming *unused = NULL;
    for (unsigned i = 0; i < EXCHANGES; i++) {
        if (client->incoming[i].used && client->incoming[i].id == id)
            return &client->incoming[i];
        if (!client->incoming[i].used && unused == NULL)
            unused = &client->incoming[i];
    }
    CHECK(unused != NULL);
    *unused = (struct incoming){0};
    return unused;
}

static void check_receive_maximum(const struct client *client)
{
    unsigned count = 0;
    for (unsigned i = 0; i < EXCHANGES; i++)
        count += client->incoming[i].used && client->incoming[i].counts;
    if (client->version == VERSION_5 && count > client->how.receive_maximum)
        ledger_fail("c%u: %u messages in flight, and Receive Maximum is %u [MQTT-3.3.4-9]",
                    client->number, count, client->how.receive_maximum);
}

/* Its topic, whether by name or by alias. */
static void topic_of(struct client *client, const struct packet *packet, char *out, size_t size)
{
    snprintf(out, size, "%.*s", (int)packet->topic.size, (const char *)packet->topic.data);
    const struct property *alias = property_find(&packet->properties, TOPIC_ALIAS);
    if (alias == NULL)
        return;
    if (alias->number == 0 || alias->number > client->how.topic_alias_maximum)
        ledger_fail("c%u: Topic Alias %u, and Topic Alias Maximum is %u [MQTT-3.1.2-26]",
                    client->number, alias->number, client->how.topic_alias_maximum);
    char *known = client->broker_topics[alias->number];
    if (packet->topic.size > 0)
        snprintf(known, sizeof client->broker_topics[0], "%s", out);
    else if (known[0] != '\0')
        snprintf(out, size, "%s", known);
    else
        ledger_fail("c%u: Topic Alias %u says nothing on this connection [MQTT-3.3.2-7]",
                    client->number, alias->number);
}

static void got_publish(struct client *client, const struct packet *packet)
{
    char topic[32];
    unsigned message = number_of(packet->payload);
    topic_of(client, packet, topic, sizeof topic);
    if (packet->payload.size == 0)
        message = 0;
    struct ledger_delivery delivery = {
        .message = message,
        .topic = topic,
        .qos = packet->qos,
        .dup = packet->dup,
        .retain = packet->retain,
        .v5 = client->version == VERSION_5,
        .has_expiry = property_find(&packet->properties, MESSAGE_EXPIRY_INTERVAL) != NULL,
        .expiry_s = property_number(&packet->properties, MESSAGE_EXPIRY_INTERVAL, 0),
    };
    bool again = false;
    if (packet->qos > 0) {
        struct incoming *incoming = incoming_of(client, packet->packet_id);
        again = incoming->used;
        if (again && incoming->message != message)
            ledger_fail("c%u: identifier %u is of m%u, and comes with m%u", client->number,
                        packet->packet_id, incoming->message, message);
        if (again && incoming->counts && (client->version == VERSION_5 || !client->customs->resent))
            ledger_fail("c%u: m%u is sent again on one connection [MQTT-4.4.0-1]", client->number,
                        message);
        if (again && !packet->dup)
            ledger_fail("c%u: m%u is sent again with DUP 0 [MQTT-3.3.1-1]", client->number,
                        message);
        *incoming = (struct incoming){.used = true,
                                      .id = packet->packet_id,
                                      .message = message,
                                      .qos = packet->qos,
                                      .retain = packet->retain,
                                      .counts = true};
        check_receive_maximum(client);
        bool refuses = client->version == VERSION_5 && client->how.refuses && message % 3 == 0;
        client_answer(client, packet->qos == 1 ? PUBACK : PUBREC, packet->packet_id,
                      refuses ? UNSPECIFIED_ERROR : 0);
    }
    if (packet->payload.size > 0) /* one without payload has no number */
        ledger_delivered(client->number, &delivery, again);
}

static void got_pubrel(struct client *client, const struct packet *packet)
{
    client_answer(client, PUBCOMP, packet->packet_id, 0);
}

/* The first answer to a PUBLISH of this connection: in the order of the PUBLISHes. */
static void check_turn(struct client *client, uint16_t id)
{
    if (client->order_count == 0 || client->order[0] != id)
        ledger_fail("c%u: identifier %u is answered out of turn [MQTT-4.6.0-2]", client->number,
                    id);
    memmove(client->order, client->order + 1, --client->order_count * sizeof client->order[0]);
}

static void got_answer(struct client *client, const struct packet *packet)
{
    struct outgoing *outgoing = client_outgoing(client, packet->packet_id);
    bool refused = packet->reason_code >= 0x80;
    if (packet->type == PUBCOMP) {
        if (outgoing == NULL || !outgoing->released)
            ledger_fail("c%u: PUBCOMP %u answers nothing", client->number, packet->packet_id);
        client_outgoing_remove(client, outgoing);
        return;
    }
    unsigned qos = packet->type == PUBACK ? 1 : 2;
    if (packet->type == PUBREC && outgoing != NULL && outgoing->released &&
        client->version != VERSION_5)
        return; /* to what was sent again meanwhile: PUBREL is on its way */
    if (outgoing == NULL || !outgoing->sent_here || outgoing->released || outgoing->is.qos != qos)
        ledger_fail("c%u: %s %u answers nothing", client->number, packet_name(packet->type),
                    packet->packet_id);
    check_turn(client, packet->packet_id);
    if (refused && !client->excused &&
        (packet->reason_code != QUOTA_EXCEEDED || !client->customs->limited))
        ledger_fail("c%u: m%u is refused with 0x%02x, and nothing was wrong", client->number,
                    outgoing->message, packet->reason_code);
    bool told = client->version == VERSION_5;
    bool partly = told && property_find(&packet->properties, REASON_STRING) != NULL;
    ledger_acknowledged(outgoing->message, refused  ? LEDGER_REFUSED
                                           : partly ? LEDGER_PARTLY
                                           : told   ? LEDGER_FOR_ALL
                                                    : LEDGER_TAKEN);
    if (qos == 1 || refused) {
        client_outgoing_remove(client, outgoing);
        return;
    }
    outgoing->released = true;
    client_send_packet(client, &(struct packet){.type = PUBREL, .packet_id = packet->packet_id});
}

static void got_connack(struct client *client, const struct packet *packet)
{
    if (client->link != LINK_CONNECTING)
        ledger_fail("c%u: a second CONNACK", client->number);
    if (packet->reason_code != 0) {
        if (!client->excused)
            ledger_fail("c%u: CONNECT is refused with 0x%02x", client->number, packet->reason_code);
        return;
    }
    client->link = LINK_UP;
    client->clean_first = false;
    client->broker_receive_maximum =
        property_number(&packet->properties, RECEIVE_MAXIMUM, UINT16_MAX);
    client->broker_aliases = property_number(&packet->properties, TOPIC_ALIAS_MAXIMUM, 0);
    client->ping_at_us = task_now_us() + (uint64_t)client->how.keep_alive_s * 500000;
    if (!ledger_connected(client->number, packet->session_present, client->how.clean,
                          client->how.expiry_s)) {
        client_forget_state(client);
        if (packet->session_present) { /* of a session without a state [MQTT-3.2.2-4] */
            client_leave(client, CLIENT_CLOSES);
            client->clean_first = true;
            return;
        }
    }
    for (unsigned i = 0; i < client->outgoing_count; i++)
        client->outgoing[i].sent_here = false;
    client_resend_all(client);
}

static void got_suback(struct client *client, const struct packet *packet)
{
    for (unsigned i = 0; i < 16; i++) {
        struct asking *asking = &client->asking[i];
        if (asking->id != packet->packet_id)
            continue;
        if (asking->unsubscribe)
            ledger_unsubscribed(client->number, asking->filter, asking->asked);
        else
            ledger_subscribed(client->number, asking->subscription,
                              packet->reason_codes.size != 1 || packet->reason_codes.data[0] > 2);
        asking->id = 0;
        return;
    }
    ledger_fail("c%u: %s %u answers nothing", client->number, packet_name(packet->type),
                packet->packet_id);
}

static void got(struct client *client, const struct packet *packet)
{
    char text[256];
    ledger_note("c%u <- %s", client->number,
                packet_describe(packet, client->version, text, sizeof text));
    client->packets += packet->type != PINGRESP;
    client->took |= UINT32_C(1) << packet->type;
    if (client->link == LINK_LEAVING)
        return; /* its DISCONNECT is on its way: not taken any more */
    if (client->link == LINK_CONNECTING && packet->type != CONNACK && packet->type != DISCONNECT)
        ledger_fail("c%u: %s before CONNACK [MQTT-3.2.0-1]", client->number,
                    packet_name(packet->type));
    switch (packet->type) {
    case CONNACK:
        got_connack(client, packet);
        return;
    case PUBLISH:
        got_publish(client, packet);
        return;
    case PUBACK:
    case PUBREC:
    case PUBCOMP:
        got_answer(client, packet);
        return;
    case PUBREL:
        got_pubrel(client, packet);
        return;
    case SUBACK:
    case UNSUBACK:
        got_suback(client, packet);
        return;
    case DISCONNECT:
        if (!client->excused)
            ledger_fail("c%u: DISCONNECT 0x%02x, and nothing was wrong", client->number,
                        packet->reason_code);
        return;
    default:
        return;
    }
}

static void take_packets(struct client *client)
{
    size_t at = 0;
    while (client->link != LINK_NONE) {
        struct packet packet = {0};
        struct packet_fault fault = {0};
        size_t used = 0;
        size_t size = packet_size(client->input + at, client->input_size - at);
        if (size == 0 || size > client->input_size - at)
            break;
        enum read_result result = packet_read(client->input + at, client->input_size - at,
                                              client->version, true, &packet, &used, &fault);
        if (result != READ_PACKET)
            ledger_fail("c%u: what comes is malformed: %s [%s]", client->number, fault.what,
                        fault.statement != NULL ? fault.statement : "");
        if (client->version == VERSION_5 && client->how.maximum_packet_size > 0 &&
            used > client->how.maximum_packet_size)
            ledger_fail("c%u: %s of %zu bytes, and Maximum Packet Size is %u [MQTT-3.1.2-24]",
                        client->number, packet_name(packet.type), used,
                        client->how.maximum_packet_size);
        got(client, &packet);
        at += used;
    }
    if (client->link == LINK_NONE)
        return;
    memmove(client->input, client->input + at, client->input_size - at);
    client->input_size -= at;
}

void client_receive(struct client *client)
{
    while (client->link != LINK_NONE) {
        long size = net_receive(client->net, client->input + client->input_size,
                                INPUT - client->input_size);
        if (size == NET_AGAIN)
            return;
        if (size < 0) {
            client_broker_closed(client, size == NET_RESET);
            return;
        }
        client->input_size += (size_t)size;
        take_packets(client);
    }
}
