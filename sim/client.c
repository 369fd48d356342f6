/* What a client sends, and how its connections begin and end. */
#include "sim/client_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim/task.h"

struct client *client_new(unsigned number, bool v5, const struct client_customs *customs)
{
    struct client *client = calloc(1, sizeof *client);
    CHECK(client != NULL);
    client->number = number;
    client->version = v5 ? VERSION_5 : VERSION_311;
    client->customs = customs;
    return client;
}

/* ---- Out ---- */

void client_send_packet(struct client *client, const struct packet *packet)
{
    char text[256];
    packet_write(&client->output, client->version, packet);
    ledger_note("c%u -> %s", client->number,
                packet_describe(packet, client->version, text, sizeof text));
}

static void flush(struct client *client)
{
    while (client->output_sent < client->output.size) {
        long sent = net_send(client->net, client->output.data + client->output_sent,
                             client->output.size - client->output_sent);
        if (sent <= 0)
            return; /* what is wrong shows when reading */
        client->output_sent += (size_t)sent;
    }
    client->output.size = client->output_sent = 0;
}

struct outgoing *client_outgoing(struct client *client, uint16_t id)
{
    for (unsigned i = 0; i < client->outgoing_count; i++) {
        if (client->outgoing[i].id == id && id != 0)
            return &client->outgoing[i];
    }
    return NULL;
}

void client_outgoing_remove(struct client *client, struct outgoing *outgoing)
{
    size_t at = (size_t)(outgoing - client->outgoing);
    client->outgoing_count--;
    memmove(outgoing, outgoing + 1, (client->outgoing_count - at) * sizeof *outgoing);
}

static bool id_in_use(const struct client *client, uint16_t id)
{
    for (unsigned i = 0; i < client->outgoing_count; i++) {
        if (client->outgoing[i].id == id)
            return true;
    }
    for (unsigned i = 0; i < 16; i++) {
        if (client->asking[i].id == id)
            return true;
    }
    return false;
}

/* The lowest one: so that each is used again soon. */
static uint16_t free_id(const struct client *client)
{
    uint16_t id = 1;
    while (id_in_use(client, id))
        id++;
    return id;
}

static bool is_awaited(const struct client *client, uint16_t id)
{
    for (unsigned i = 0; i < client->order_count; i++) {
        if (client->order[i] == id)
            return true;
    }
    return false;
}

/* Topics that end alike share an alias, so that it changes its meaning. */
static void use_alias(struct client *client, const char *topic, struct packet *packet)
{
    unsigned alias = 1 + (unsigned)(topic[strlen(topic) - 1] - 'a');
    if (!client->how.uses_aliases || alias > ALIASES || alias > client->broker_aliases)
        return;
    property_add(&packet->properties, TOPIC_ALIAS, alias);
    if (client->aliases[alias] != NULL && strcmp(client->aliases[alias], topic) == 0)
        packet->topic = TEXT("");
    client->aliases[alias] = topic;
}

static void send_publish(struct client *client, struct outgoing *outgoing, bool dup)
{
    char payload[160];
    const struct ledger_publish *is = &outgoing->is;
    struct packet packet = {.type = PUBLISH,
                            .dup = dup,
                            .retain = is->retain,
                            .qos = (uint8_t)is->qos,
                            .packet_id = outgoing->id,
                            .topic = text_of(is->topic)};
    snprintf(payload, sizeof payload, "m%u%*s", outgoing->message, is->big ? 100 : 0, "");
    if (!is->empty)
        packet.payload = text_of(payload);
    if (is->expiry_s > 0)
        property_add(&packet.properties, MESSAGE_EXPIRY_INTERVAL, is->expiry_s);
    if (client->version == VERSION_5)
        use_alias(client, is->topic, &packet);
    outgoing->sent_here = true;
    if (is->qos > 0 && !is_awaited(client, outgoing->id))
        client->order[client->order_count++] = outgoing->id;
    ledger_sent(outgoing->message);
    client_send_packet(client, &packet);
}

static unsigned in_flight(const struct client *client)
{
    unsigned count = 0;
    for (unsigned i = 0; i < client->outgoing_count; i++)
        count += client->outgoing[i].id != 0;
    return count;
}

/* What was published and not sent, as far as the broker's Receive Maximum goes. */
static void send_more(struct client *client)
{
    if (client->link != LINK_UP)
        return;
    for (unsigned i = 0; i < client->outgoing_count; i++) {
        struct outgoing *outgoing = &client->outgoing[i];
        if (outgoing->id != 0)
            continue;
        if (outgoing->is.qos == 0) {
            send_publish(client, outgoing, false);
            client_outgoing_remove(client, outgoing);
            i--;
            continue;
        }
        if (in_flight(client) >= client->broker_receive_maximum)
            return;
        outgoing->id = free_id(client);
        send_publish(client, outgoing, false);
    }
}

void client_resend_all(struct client *client)
{
    for (unsigned i = 0; i < client->outgoing_count; i++) {
        struct outgoing *outgoing = &client->outgoing[i];
        if (outgoing->id == 0)
            continue;
        if (outgoing->released)
            client_send_packet(client, &(struct packet){.type = PUBREL, .packet_id = outgoing->id});
        else
            send_publish(client, outgoing, true);
    }
}

/* Of the answers, all of one kind keep their order [MQTT-4.6.0-2] [MQTT-4.6.0-3]; some clients hold
 * back only those of QoS 2. */
static bool holds_back(const struct client *client, const struct answer *answer)
{
    return task_now_us() < client->hold_until_us &&
           (client->number % 2 == 0 || answer->type != PUBACK);
}

static void send_answers(struct client *client)
{
    unsigned held = 0;
    for (unsigned i = 0; i < client->answer_count && client->link == LINK_UP; i++) {
        struct answer *answer = &client->answers[i];
        if (holds_back(client, answer)) {
            client->answers[held++] = *answer;
            continue;
        }
        client_send_packet(client, &(struct packet){.type = answer->type,
                                                    .packet_id = answer->id,
                                                    .reason_code = answer->reason_code});
        for (unsigned at = 0; at < EXCHANGES; at++) {
            struct incoming *incoming = &client->incoming[at];
            if (!incoming->used || incoming->id != answer->id ||
                (answer->type == PUBREC && answer->reason_code < 0x80))
                continue;
            incoming->used = false; /* from here on the broker may use it again */
            if (answer->type == PUBREC)
                ledger_client_refused(client->number, incoming->message, incoming->retain);
        }
    }
    if (client->link == LINK_UP)
        client->answer_count = held;
}

/* While answers are held back, a broker that sends again for want of them fills the list: half of
 * it is for those that differ. */
static bool has_answer(const struct client *client, enum packet_type type, uint16_t id)
{
    for (unsigned i = 0; i < client->answer_count; i++) {
        if (client->answers[i].type == type && client->answers[i].id == id)
            return true;
    }
    return false;
}

void client_answer(struct client *client, enum packet_type type, uint16_t id, uint8_t reason_code)
{
    if (client->answer_count >= EXCHANGES / 2 && has_answer(client, type, id))
        return; /* one of them will do */
    CHECK(client->answer_count < EXCHANGES);
    client->answers[client->answer_count++] = (struct answer){type, id, reason_code};
}

/* ---- The connection's end ---- */

void client_forget_state(struct client *client)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < client->outgoing_count; i++) {
        struct outgoing *outgoing = &client->outgoing[i];
        if (outgoing->id != 0)
            ledger_abandoned(outgoing->message);
        else
            client->outgoing[kept++] = *outgoing;
    }
    client->outgoing_count = kept;
    memset(client->incoming, 0, sizeof client->incoming);
}

/* The connection is over; when the broker notices at the latest. */
static void over(struct client *client, uint64_t noticed_us, bool normally)
{
    ledger_left(client->number, noticed_us);
    if (client->will != 0 && client->link != LINK_NONE) {
        bool answered = client->link == LINK_UP;
        if (!normally)
            ledger_will_due(client->will, answered && client->how.will_delay_s == 0);
        client->will = 0;
    }
    client->link = LINK_NONE;
    client->net = NULL;
    client->input_size = client->output.size = client->output_sent = 0;
    client->answer_count = client->order_count = 0;
    memset(client->aliases, 0, sizeof client->aliases);
    memset(client->broker_topics, 0, sizeof client->broker_topics);
    memset(client->asking, 0, sizeof client->asking);
    for (unsigned i = 0; i < EXCHANGES; i++) {
        client->incoming[i].counts = false;
        if (client->incoming[i].used && client->incoming[i].qos == 1)
            client->incoming[i].used = false;
    }
}

static uint64_t notice_us(const struct client *client, enum client_leaving how)
{
    if (how != CLIENT_VANISHES)
        return task_now_us();
    if (client->how.keep_alive_s == 0)
        return UINT64_MAX;
    return task_now_us() + (uint64_t)client->how.keep_alive_s * 1500000;
}

void client_leave(struct client *client, enum client_leaving how)
{
    static const char *const words[] = {"closes", "resets", "vanishes"};
    if (client->link == LINK_NONE || client->link == LINK_CONNECTING)
        return; /* of two CONNECTs on their way nobody knows which one comes first */
    ledger_note("c%u %s", client->number, words[how]);
    if (how == CLIENT_CLOSES)
        net_close(client->net);
    else if (how == CLIENT_RESETS)
        net_reset(client->net);
    else
        net_vanish(client->net);
    over(client, notice_us(client, how), client->link == LINK_LEAVING);
}

void client_broker_closed(struct client *client, bool reset)
{
    if (client->link == LINK_LEAVING) {
        ledger_note("c%u <- %s", client->number, reset ? "reset" : "end");
        if (!reset && client->will != 0 && !client->excused)
            ledger_will_cancelled(client->will);
        net_close(client->net);
        over(client, task_now_us(), true);
        return;
    }
    if (!client->excused)
        ledger_fail("c%u: the broker closes the connection, and nothing was wrong", client->number);
    ledger_note("c%u <- the connection is %s", client->number, reset ? "reset" : "closed");
    net_close(client->net);
    over(client, task_now_us(), false);
}

void client_excuse(struct client *client)
{
    client->excused = true;
}

void client_broker_down(struct client *client)
{
    client->excused = true;
    if (client->link == LINK_UP)
        ledger_left(client->number, task_now_us());
}

/* ---- Its turn ---- */

bool client_ready(struct client *client, uint64_t *next_us)
{
    uint64_t now_us = task_now_us();
    if (client->link == LINK_NONE)
        return false;
    if (net_has_news(client->net) ||
        (client->output_sent < client->output.size && net_has_room(client->net)))
        return true;
    uint64_t at_us = UINT64_MAX;
    if (client->link == LINK_UP && client->answer_count > 0)
        at_us = client->hold_until_us;
    if (client->link == LINK_UP && client->how.keep_alive_s > 0 && client->ping_at_us < at_us)
        at_us = client->ping_at_us;
    if (client->link == LINK_LEAVING && client->leaving_until_us < at_us)
        at_us = client->leaving_until_us;
    if (at_us < *next_us)
        *next_us = at_us;
    return at_us <= now_us;
}

void client_step(struct client *client)
{
    if (client->link == LINK_NONE)
        return;
    client_receive(client);
    if (client->link == LINK_NONE)
        return;
    if (client->link == LINK_LEAVING && task_now_us() >= client->leaving_until_us) {
        client_leave(client, CLIENT_CLOSES);
        return;
    }
    if (client->link == LINK_UP && client->how.keep_alive_s > 0 &&
        task_now_us() >= client->ping_at_us) {
        client->ping_at_us = task_now_us() + (uint64_t)client->how.keep_alive_s * 500000;
        client_send_packet(client, &(struct packet){.type = PINGREQ});
    }
    send_answers(client);
    send_more(client);
    flush(client);
}

/* ---- What the plan asks for ---- */

static void send_connect(struct client *client)
{
    char name[8], payload[16];
    struct client_connect *how = &client->how;
    snprintf(name, sizeof name, "c%u", client->number);
    struct packet packet = {.type = CONNECT,
                            .clean_start = how->clean,
                            .keep_alive_s = how->keep_alive_s,
                            .client_id = text_of(name)};
    if (client->version == VERSION_5) {
        property_add(&packet.properties, SESSION_EXPIRY_INTERVAL, how->expiry_s);
        property_add(&packet.properties, RECEIVE_MAXIMUM, how->receive_maximum);
        if (how->maximum_packet_size > 0)
            property_add(&packet.properties, MAXIMUM_PACKET_SIZE, how->maximum_packet_size);
        if (how->topic_alias_maximum > 0)
            property_add(&packet.properties, TOPIC_ALIAS_MAXIMUM, how->topic_alias_maximum);
    }
    if (how->will_topic != NULL) {
        struct ledger_publish will = {.publisher = client->number,
                                      .topic = how->will_topic,
                                      .qos = how->will_qos,
                                      .will = true};
        client->will = ledger_publish(&will);
        ledger_sent(client->will);
        snprintf(payload, sizeof payload, "m%u", client->will);
        packet.will_topic = text_of(how->will_topic);
        packet.will_payload = text_of(payload);
        packet.will_qos = (uint8_t)how->will_qos;
        if (client->version == VERSION_5)
            property_add(&packet.will_properties, WILL_DELAY_INTERVAL, how->will_delay_s);
    }
    client_send_packet(client, &packet);
}

void client_connect(struct client *client, const struct client_connect *how)
{
    if (client->link == LINK_LEAVING || client->link == LINK_CONNECTING)
        return;
    struct net_connection *net = net_connect();
    if (net == NULL)
        return;
    if (client->link != LINK_NONE) { /* the old connection is left to the broker */
        ledger_note("c%u takes its session over", client->number);
        net_abandon(client->net);
        over(client, task_now_us(), false);
    }
    client->how = *how;
    if (client->clean_first)
        client->how.clean = true;
    if (client->version != VERSION_5) {
        client->how.expiry_s = client->how.clean ? 0 : LEDGER_FOREVER;
        client->how.will_delay_s = 0;
        client->how.maximum_packet_size = 0;
    }
    if (client->how.clean) {
        client->clean_first = true;
        client_forget_state(client);
    }
    client->net = net;
    client->link = LINK_CONNECTING;
    client->excused = false;
    client->hold_until_us = 0;
    ledger_connect(client->number, client->how.clean, client->how.expiry_s,
                   client->how.maximum_packet_size > 0);
    send_connect(client);
    flush(client);
}

void client_disconnect(struct client *client)
{
    if (client->link != LINK_UP)
        return;
    client_send_packet(client, &(struct packet){.type = DISCONNECT});
    flush(client);
    client->link = LINK_LEAVING;
    client->leaving_until_us = task_now_us() + HALF_OPEN_US;
}

void client_publish(struct client *client, const struct ledger_publish *publish)
{
    if (client->link != LINK_UP || client->outgoing_count + 1 >= EXCHANGES)
        return;
    struct ledger_publish is = *publish;
    is.publisher = client->number;
    if (client->version != VERSION_5)
        is.expiry_s = 0;
    client->outgoing[client->outgoing_count++] =
        (struct outgoing){.message = ledger_publish(&is), .is = is};
    send_more(client);
    flush(client);
}

static struct asking *ask(struct client *client, const char *filter, bool unsubscribe)
{
    if (client->link != LINK_UP)
        return NULL;
    for (unsigned i = 0; i < 16; i++) {
        if (client->asking[i].id != 0)
            continue;
        client->asking[i] =
            (struct asking){.id = free_id(client), .filter = filter, .unsubscribe = unsubscribe};
        return &client->asking[i];
    }
    return NULL;
}

void client_subscribe(struct client *client, const char *filter, unsigned qos)
{
    struct asking *asking = ask(client, filter, false);
    if (asking == NULL)
        return;
    asking->subscription = ledger_subscribe(client->number, filter, qos);
    client_send_packet(client, &(struct packet){.type = SUBSCRIBE,
                                                .packet_id = asking->id,
                                                .filters = {{text_of(filter), (uint8_t)qos}},
                                                .filter_count = 1});
    flush(client);
}

void client_unsubscribe(struct client *client, const char *filter)
{
    struct asking *asking = ask(client, filter, true);
    if (asking == NULL)
        return;
    asking->asked = ledger_unsubscribe(client->number, filter);
    client_send_packet(client, &(struct packet){.type = UNSUBSCRIBE,
                                                .packet_id = asking->id,
                                                .filters = {{text_of(filter), 0}},
                                                .filter_count = 1});
    flush(client);
}

void client_resend(struct client *client)
{
    if (client->link != LINK_UP || client->version == VERSION_5)
        return;
    for (unsigned i = 0; i < client->outgoing_count; i++) {
        struct outgoing *outgoing = &client->outgoing[i];
        if (outgoing->id != 0 && outgoing->is.qos == 2 && !outgoing->released &&
            outgoing->sent_here)
            send_publish(client, outgoing, true);
    }
    flush(client);
}

void client_hold(struct client *client, uint64_t until_us)
{
    client->hold_until_us = until_us;
}

/* ---- Asked ---- */

bool client_connected(const struct client *client)
{
    return client->link == LINK_UP;
}

bool client_at_rest(const struct client *client)
{
    return client->link == LINK_UP && client->outgoing_count == 0 && client->answer_count == 0 &&
           client->output.size == 0;
}

uint64_t client_packets(const struct client *client)
{
    return client->packets;
}

uint32_t client_got(struct client *client)
{
    uint32_t took = client->took;
    client->took = 0;
    return took;
}

const char *client_state(const struct client *client)
{
    static const char *const words[] = {"not connected", "without CONNACK", "connected", "leaving"};
    return words[client->link];
}
