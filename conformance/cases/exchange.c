#include "conformance/cases/exchange.h"

struct packet exchange_publish(struct text topic, struct text payload, uint8_t qos)
{
    return (struct packet){.type = PUBLISH, .topic = topic, .payload = payload, .qos = qos};
}

void exchange_answer(struct client *client, enum packet_type type, uint16_t packet_id,
                     uint8_t reason_code)
{
    client_send(client, &(struct packet){.type = type,
                                         .packet_id = packet_id,
                                         .reason_code = reason_code,
                                         .omit_reason_code = reason_code == 0,
                                         .omit_properties = true});
}

struct packet exchange_expect(struct client *client, enum packet_type type, uint16_t packet_id)
{
    struct packet packet = expect(client, type);
    if (packet.packet_id != packet_id)
        fail(client->test, "%s has Packet Identifier %u, but that of the exchange is %u",
             packet_name(type), packet.packet_id, packet_id);
    if (packet.reason_code >= 0x80)
        fail(client->test, "%s refuses with 0x%02X what is in order", packet_name(type),
             packet.reason_code);
    return packet;
}

void exchange_release(struct client *client, uint16_t packet_id)
{
    exchange_answer(client, PUBREL, packet_id, 0);
    exchange_expect(client, PUBCOMP, packet_id);
}

struct client *exchange_subscriber(struct test *test, const char *role, struct text filter,
                                   uint8_t options)
{
    struct client *client = client_connected(test, role);
    client_subscribe(client, filter, options);
    return client;
}

struct client *exchange_stored_subscriber(struct test *test, const char *role, struct text filter,
                                          uint8_t options)
{
    struct client *client = client_connected_stored(test, role, EXCHANGE_EXPIRY_S);
    client_subscribe(client, filter, options);
    return client;
}

static void want_session(struct client *client)
{
    if (!client->connack.session_present)
        fail_statement(client->test, client->version == VERSION_5 ? "MQTT-3.2.2-3" : "MQTT-3.2.2-2",
                       "the stored session is gone: CONNACK says Session Present 0");
}

void exchange_return(struct client *client)
{
    client_resume(client, EXCHANGE_EXPIRY_S);
    want_session(client);
}

void exchange_return_limited(struct client *client, uint16_t receive_maximum,
                             uint32_t maximum_packet_size)
{
    struct packet connect = connect_of(client);
    connect.clean_start = false;
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, EXCHANGE_EXPIRY_S);
    if (receive_maximum > 0)
        property_add(&connect.properties, RECEIVE_MAXIMUM, receive_maximum);
    if (maximum_packet_size > 0)
        property_add(&connect.properties, MAXIMUM_PACKET_SIZE, maximum_packet_size);
    client_connect_ok(client, &connect);
    want_session(client);
}

bool exchange_settle(struct client *client)
{
    struct packet packet;
    bool closed = false;
    client_send(client, &(struct packet){.type = PINGREQ});
    while (receive(client, client->test->time_limit_ms, &packet, &closed))
        if (packet.type == PINGRESP)
            return true;
    if (!closed)
        fail(client->test, "PINGREQ is not answered");
    return false;
}

size_t exchange_size(enum version version, const struct packet *packet)
{
    struct buffer buffer = {0};
    packet_write(&buffer, version, packet);
    size_t size = buffer.size;
    buffer_free(&buffer);
    return size;
}

uint8_t exchange_qos(const struct test *test, uint8_t qos)
{
    return qos <= test->server->maximum_qos ? qos : test->server->maximum_qos;
}

/* The acknowledgements still to come, in the order in which they should. */
struct expected {
    uint16_t *ids;
    unsigned count;
    unsigned disordered;
};

/* Takes one that has come off the list; false if it was not due. */
static bool expected_take(struct expected *expected, uint16_t id)
{
    unsigned at = 0;
    while (at < expected->count && expected->ids[at] != id)
        at++;
    if (at == expected->count)
        return false;
    if (at > 0)
        expected->disordered++;
    expected->count--;
    for (; at < expected->count; at++)
        expected->ids[at] = expected->ids[at + 1];
    return true;
}

static void take_acknowledgement(struct client *client, uint8_t qos, struct expected *received,
                                 struct expected *completed)
{
    struct packet packet;
    bool closed = false;
    struct test *test = client->test;
    if (!receive(client, test->time_limit_ms, &packet, &closed))
        fail(test, closed ? "the connection was closed while messages were published"
                          : "a PUBLISH was not acknowledged");
    if (packet.reason_code >= 0x80)
        fail(test, "%s refuses with 0x%02X what is in order", packet_name(packet.type),
             packet.reason_code);
    bool due = (packet.type == PUBACK && qos == 1 && expected_take(received, packet.packet_id)) ||
               (packet.type == PUBREC && qos == 2 && expected_take(received, packet.packet_id)) ||
               (packet.type == PUBCOMP && qos == 2 && expected_take(completed, packet.packet_id));
    if (!due)
        fail(test, "%s for Packet Identifier %u, which does not wait for one",
             packet_name(packet.type), packet.packet_id);
    if (packet.type == PUBREC) {
        completed->ids[completed->count++] = packet.packet_id;
        exchange_answer(client, PUBREL, packet.packet_id, 0);
    }
}

unsigned exchange_publish_numbered(struct client *client, struct text topic, uint8_t qos,
                                   unsigned first, unsigned count, unsigned window)
{
    struct test *test = client->test;
    if (window > test->server->receive_maximum)
        window = test->server->receive_maximum;
    struct expected received = {test_alloc(test, sizeof(uint16_t) * window), 0, 0};
    struct expected completed = {test_alloc(test, sizeof(uint16_t) * window), 0, 0};
    for (unsigned sent = 0; sent < count || received.count + completed.count > 0;) {
        if (sent == count || received.count + completed.count == window) {
            take_acknowledgement(client, qos, &received, &completed);
            continue;
        }
        struct packet publish =
            exchange_publish(topic, text_printf(test, "%u", first + sent++), qos);
        uint16_t id = client_publish_start(client, &publish);
        if (qos > 0)
            received.ids[received.count++] = id;
    }
    return received.disordered + completed.disordered;
}

void exchange_take_numbered(struct client *client, struct text topic, unsigned first,
                            unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        take_publish(client, topic, text_printf(client->test, "%u", i));
}
