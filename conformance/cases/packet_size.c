/* The client's Maximum Packet Size of 5.0, exact to the byte where lengths grow
 * (section 3.1.2.11.4). client_limits.c has what a message costs that is too large, own_limits.c
 * the server's maximum. */
#include "conformance/cases/exchange.h"

/* A PUBLISH without properties that the server forwards as one of `size` bytes. There is no packet
 * of 130 or 16387 bytes: those are a byte longer where `above` is set, and else a byte shorter. */
static struct packet sized(struct test *test, struct text topic, uint8_t qos, size_t size,
                           bool above)
{
    struct packet publish = exchange_publish(topic, TEXT(""), qos);
    uint8_t *bytes = test_alloc(test, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)('a' + i % 26);
    publish.packet_id = 1; /* it takes its place at QoS 1 and 2 */
    publish.payload = (struct text){bytes, size - exchange_size(VERSION_5, &publish)};
    while (exchange_size(VERSION_5, &publish) > size) /* the Remaining Length has grown */
        publish.payload.size--;
    if (above && exchange_size(VERSION_5, &publish) < size)
        publish.payload.size++;
    publish.packet_id = 0;
    return publish;
}

static struct client *limited_subscriber(struct test *test, const char *role, struct text topic,
                                         uint32_t most, uint8_t qos)
{
    struct client *client = client_new(test, role);
    struct packet connect = connect_of(client);
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, EXCHANGE_EXPIRY_S);
    property_add(&connect.properties, MAXIMUM_PACKET_SIZE, most);
    client_connect_ok(client, &connect);
    client_subscribe(client, topic, qos);
    return client;
}

/* 129 and 16386 bytes have a Remaining Length just below its next byte, 131 and 16388 just above.
 */
static const uint32_t limits[] = {129, 131, 1000, 16386, 16388};
enum { LIMITS = sizeof limits / sizeof *limits };

CASE(packets_up_to_maximum_packet_size_are_sent, .v5 = "MQTT-3.1.2-24 MQTT-4.5.0-1",
     .sends =
         "at each QoS, messages that make a PUBLISH of exactly the subscriber's Maximum Packet "
         "Size, and one byte less; for limits of 129, 131, 1000, 16386 and 16388 bytes",
     .allowed = "all of them are delivered", .faults = "drops_at_maximum_packet_size")
{
    struct text topic = topic_of(test, "x");
    struct client *publisher = client_connected(test, "publisher");
    uint8_t most = exchange_qos(test, 2);
    for (unsigned i = 0; i < LIMITS; i++) {
        struct client *client = limited_subscriber(test, "client", topic, limits[i], most);
        for (uint8_t qos = 0; qos <= most; qos++) {
            for (unsigned less = 0; less < 2; less++) {
                struct packet publish = sized(test, topic, qos, limits[i] - less, false);
                client_publish_packet(publisher, &publish);
                take_publish(client, topic, publish.payload);
            }
        }
        client_disconnect(client);
    }
}

CASE(packets_above_maximum_packet_size_are_not_sent, .v5 = "MQTT-3.1.2-24 MQTT-3.1.2-25",
     .sends =
         "at each QoS, messages that make a PUBLISH one byte larger than the subscriber's Maximum "
         "Packet Size (two where there is no packet of that size), each with a small one behind "
         "it; for limits of 129, 131, 1000, 16386 and 16388 bytes",
     .allowed = "the small ones only, and the connection stays open; another subscriber, without a "
                "limit, gets all",
     .faults = "ignores_maximum_packet_size exceeds_maximum_packet_size_by_one closes_at_oversize")
{
    struct text topic = topic_of(test, "x");
    uint8_t most = exchange_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *unlimited = exchange_subscriber(test, "unlimited", topic, 0);
    for (unsigned i = 0; i < LIMITS; i++) {
        struct client *client = limited_subscriber(test, "client", topic, limits[i], most);
        for (uint8_t qos = 0; qos <= most; qos++) {
            struct packet publish = sized(test, topic, qos, limits[i] + 1, true);
            client_publish_packet(publisher, &publish);
            client_publish(publisher, topic, TEXT("small"), qos, false);
            expect_publish(unlimited, topic, publish.payload);
            expect_publish(unlimited, topic, TEXT("small"));
            take_publish(client, topic, TEXT("small"));
        }
        client_disconnect(client);
    }
}

CASE(properties_count_for_maximum_packet_size, .v5 = "MQTT-3.1.2-24 MQTT-3.1.2-25",
     .sends =
         "a message that fits into the subscriber's Maximum Packet Size, and the same with User "
         "Properties with which it does not, then with a Subscription Identifier with which it "
         "does not",
     .allowed = "the first only, and what is sent after it; never cut down to what fits",
     .faults = "ignores_maximum_packet_size")
{
    enum { MOST = 200 };
    struct text topic = topic_of(test, "x"), identified = topic_of(test, "identified");
    struct client *client = limited_subscriber(test, "client", topic, MOST, 0);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = sized(test, topic, 0, MOST, false);
    client_publish_packet(publisher, &publish);
    take_publish(client, topic, publish.payload);
    property_add_user(&publish.properties, "a", "b");
    client_publish_packet(publisher, &publish);
    client_publish(publisher, topic, TEXT("small"), 0, false);
    take_publish(client, topic, TEXT("small"));
    if (!test->server->subscription_identifier_available)
        return;
    struct packet subscribe = {.type = SUBSCRIBE, .filters = {{identified, 0}}, .filter_count = 1};
    property_add(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, 300);
    client_subscribe_raw(client, &subscribe);
    publish = sized(test, identified, 0, MOST, false);
    client_publish_packet(publisher, &publish); /* 203 bytes with the identifier */
    publish = sized(test, identified, 0, MOST - 3, false);
    client_publish_packet(publisher, &publish);
    take_publish(client, identified, publish.payload);
}

CASE(stored_messages_keep_to_a_new_maximum_packet_size, .v5 = "MQTT-3.1.2-24 MQTT-3.1.2-25",
     .sends =
         "large and small messages at QoS 1 and 2 for a session that is away, and a large one "
         "that it got and has not acknowledged; it comes back with Maximum Packet Size 200 and "
         "Receive Maximum 1",
     .allowed = "the small ones, in order; the large ones are discarded and take no place",
     .faults = "ignores_maximum_packet_size oversize_keeps_quota loses_offline_messages")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *client = exchange_stored_subscriber(test, "client", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct packet large = sized(test, topic, 1, 500, false);
    client_publish_packet(publisher, &large);
    expect_publish(client, topic, large.payload);
    client_disconnect(client);
    for (unsigned i = 0; i < 6; i++) {
        large.qos = (uint8_t)(1 + i % 2);
        large.packet_id = 0;
        client_publish_packet(publisher, &large);
        client_publish(publisher, topic, text_printf(test, "%u", i), large.qos, false);
    }
    exchange_return_limited(client, 1, 200);
    exchange_take_numbered(client, topic, 0, 6);
    expect_quiet(client);
}
