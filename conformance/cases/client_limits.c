/* What a client asks for in CONNECT (5.0 section 3.1.2.11), and the server has to keep to.
 * packet_size.c has sizes to the byte, flow_control.c Receive Maximum, topic_alias.c the aliases.
 */
#include "conformance/harness/case.h"

#include <string.h>

static struct client *client_with(struct test *test, const char *role, enum property_id id,
                                  uint32_t value)
{
    struct client *client = client_new(test, role);
    struct packet connect = connect_of(client);
    property_add(&connect.properties, id, value);
    client_connect_ok(client, &connect);
    return client;
}

/* ---- Maximum Packet Size ---- */

enum { SMALL = 120 };

/* A payload that makes the PUBLISH to a 5.0 subscriber, without properties, `size` bytes long. */
static struct text payload_for(struct test *test, struct text topic, uint8_t qos, size_t size)
{
    size_t overhead = 2 + 2 + topic.size + (qos ? 2 : 0) + 1;
    if (overhead > size)
        fail(test, "the topic leaves no room for a packet of %zu bytes", size);
    uint8_t *data = test_alloc(test, size);
    memset(data, 'p', size);
    return (struct text){data, size - overhead};
}

CASE(oversize_message_is_complete, .v5 = "MQTT-3.1.2-25",
     .sends = "at QoS 1 and 2, three messages too large for a subscriber with Receive Maximum 1, "
              "then a small one; then the subscriber leaves and returns",
     .allowed = "the small one is delivered at once, and nothing at the return",
     .why = "The server behaves as if it had completed sending the large ones: they hold no place "
            "in the quota and are not kept for later.",
     .faults = "oversize_keeps_quota ignores_maximum_packet_size")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct client *subscriber = client_new(test, "sub");
        struct packet connect = connect_of(subscriber);
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 60);
        property_add(&connect.properties, MAXIMUM_PACKET_SIZE, SMALL);
        property_add(&connect.properties, RECEIVE_MAXIMUM, 1);
        client_connect_ok(subscriber, &connect);
        client_subscribe(subscriber, topic, qos);
        for (unsigned i = 0; i < 3; i++)
            client_publish(publisher, topic, payload_for(test, topic, qos, SMALL + 50), qos, false);
        client_publish(publisher, topic, TEXT("small"), qos, false);
        take_publish(subscriber, topic, TEXT("small"));
        client_disconnect(subscriber);
        client_resume(subscriber, 60); /* without a Maximum Packet Size */
        expect_quiet(subscriber);
        client_unsubscribe(subscriber, topic);
    }
}

CASE(
    oversize_retained_message_is_not_sent, .v5 = "MQTT-3.1.2-24 MQTT-3.1.2-25",
    .sends = "a retained message too large for a new subscriber, with a retained one that is small",
    .allowed = "the small one only, and the connection stays open",
    .faults = "ignores_maximum_packet_size closes_at_oversize")
{
    need_retain(test);
    need_wildcard(test);
    struct text large = topic_of(test, "r/large"), small = topic_of(test, "r/small");
    struct client *publisher = client_connected(test, "pub");
    client_publish(publisher, large, payload_for(test, large, 0, SMALL + 1), 0, true);
    client_publish(publisher, small, TEXT("small"), 0, true);
    expect_alive(publisher);
    struct client *subscriber = client_with(test, "sub", MAXIMUM_PACKET_SIZE, SMALL);
    client_subscribe(subscriber, topic_of(test, "r/+"), 0);
    take_publish(subscriber, small, TEXT("small"));
    expect_quiet(subscriber);
}

CASE(disconnect_fits_the_clients_maximum, .v5 = "MQTT-3.14.2-3 MQTT-3.14.2-4 MQTT-3.1.2-24",
     .sends = "malformed packets from clients with Maximum Packet Size from 16 to 40",
     .allowed = "DISCONNECT within that size, or the end of the connection without it",
     .faults = "reason_string_exceeds_size keeps_open")
{
    for (uint32_t maximum = 16; maximum <= 40; maximum++) {
        struct client *client = client_new(test, "small");
        struct packet connect = connect_of(client), packet;
        bool closed = false;
        property_add(&connect.properties, MAXIMUM_PACKET_SIZE, maximum);
        client_open(client);
        client_send(client, &connect);
        if (!receive(client, test->time_limit_ms, &packet, &closed) || packet.type != CONNACK ||
            packet.reason_code != 0)
            continue; /* its CONNACK did not fit */
        client_send_hex(client, "00 00");
        while (receive(client, test->time_limit_ms, &packet, &closed)) {
            struct buffer bytes = {0};
            /* At least so long: a server may leave out a Property Length of 0, but not properties.
             */
            packet_write(&bytes, VERSION_5, &packet);
            size_t size = bytes.size;
            buffer_free(&bytes);
            if (packet.properties.count > 0 && size > maximum)
                fail(test, "%s has %zu bytes, and the client's Maximum Packet Size is %u",
                     packet_name(packet.type), size, maximum);
        }
        if (!closed)
            fail_statement(test, "MQTT-4.13.1-1", "a packet of type 0 did not end the connection");
    }
}

/* ---- Request Problem Information, Request Response Information ---- */

static void expect_no_information(struct test *test, const struct packet *packet)
{
    if (property_find(&packet->properties, REASON_STRING))
        fail(test, "%s carries a Reason String that the client declined",
             packet_name(packet->type));
    if (property_find(&packet->properties, USER_PROPERTY))
        fail(test, "%s carries a User Property that the client declined",
             packet_name(packet->type));
}

CASE(problem_information_can_be_declined, .v5 = "MQTT-3.1.2-29",
     .sends = "requests that succeed and that fail (a filter that is not there, an identifier that "
              "is not known), from a client with Request Problem Information 0",
     .allowed = "SUBACK, UNSUBACK, PUBACK, PUBREC and PUBCOMP without Reason String and User "
                "Properties",
     .faults = "problem_information_unasked")
{
    need_qos(test, 2);
    struct client *client = client_with(test, "terse", REQUEST_PROBLEM_INFORMATION, 0);
    struct text topic = topic_of(test, "t");
    struct packet request = {
        .type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1};
    client_send(client, &request);
    struct packet answer = expect(client, SUBACK);
    expect_no_information(test, &answer);
    request.type = UNSUBSCRIBE;
    request.filters[0].filter = topic_of(test, "not subscribed to");
    client_send(client, &request);
    answer = expect(client, UNSUBACK);
    expect_no_information(test, &answer);
    for (uint8_t qos = 1; qos <= 2; qos++) {
        /* Nobody subscribes to it: 0x10 is a Reason Code that some servers explain. */
        struct packet publish = {
            .type = PUBLISH, .qos = qos, .packet_id = 1, .topic = topic_of(test, "nobody")};
        client_send(client, &publish);
        answer = expect(client, qos == 1 ? PUBACK : PUBREC);
        expect_no_information(test, &answer);
    }
    client_send(client, &(struct packet){.type = PUBREL, .packet_id = 1});
    answer = expect(client, PUBCOMP);
    expect_no_information(test, &answer);
    /* Not known: PUBCOMP 0x92, if the server does not take it worse. */
    bool closed = false;
    client_send(client, &(struct packet){.type = PUBREL, .packet_id = 999});
    if (receive(client, test->time_limit_ms, &answer, &closed) && answer.type == PUBCOMP)
        expect_no_information(test, &answer);
}

CASE(response_information_has_to_be_requested, .v5 = "MQTT-3.1.2-28",
     .sends = "CONNECT without Request Response Information, with 0 and with 1",
     .allowed = "Response Information in CONNACK for the last one at most",
     .faults = "response_information_unasked")
{
    for (unsigned i = 0; i < 3; i++) {
        struct client *client = client_new(test, "response");
        struct packet connect = connect_of(client);
        if (i > 0)
            property_add(&connect.properties, REQUEST_RESPONSE_INFORMATION, i - 1);
        client_connect_ok(client, &connect);
        if (i < 2 && property_find(&client->connack.properties, RESPONSE_INFORMATION))
            fail(test, "CONNACK has Response Information, which the client %s",
                 i == 0 ? "did not request" : "declined");
    }
}
