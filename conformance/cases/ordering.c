/* Message ordering (section 4.6), and that nothing is lost on the way (4.5). */
#include "conformance/cases/exchange.h"

static void warn_about_order(struct test *test, unsigned disordered)
{
    if (disordered > 0)
        warn_debatable(test, test->version == VERSION_5 ? "MQTT-4.6.0-5" : "MQTT-4.6.0-6",
                       "%u acknowledgements came in another order than the packets they answer",
                       disordered);
}

static void keeps_order(struct test *test, uint8_t qos)
{
    enum { MESSAGES = 200, WINDOW = 20 };
    need_qos(test, qos);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, qos);
    struct client *publisher = client_connected(test, "publisher");
    warn_about_order(test, exchange_publish_numbered(publisher, topic, qos, 0, MESSAGES, WINDOW));
    exchange_take_numbered(subscriber, topic, 0, MESSAGES);
    expect_alive(subscriber);
}

#define IN_ORDER                                                                                   \
    "each once, in the order they were published; acknowledgements in another order than their "   \
    "packets are debatable"

CASE(order_at_qos_0, .v5 = "MQTT-4.6.0-5 MQTT-4.6.0-6", .v311 = "MQTT-4.6.0-5 MQTT-4.6.0-6",
     .sends =
         "200 messages at QoS 0 to one topic, as fast as they go, to a subscriber that reads them",
     .allowed = "each once, in the order they were published",
     .faults = "reorders loses_qos_0 "
               "delivers_twice")
{
    keeps_order(test, 0);
}

CASE(order_at_qos_1, .v5 = "MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-4.3.2-4",
     .v311 = "MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-4.3.2-2",
     .sends = "200 messages at QoS 1 to one topic, up to 20 of them on their way",
     .allowed = IN_ORDER, .faults = "reorders loses_qos_1 delivers_twice")
{
    keeps_order(test, 1);
}

CASE(order_at_qos_2, .v5 = "MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-4.3.3-8",
     .v311 = "MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-4.3.3-2",
     .sends = "200 messages at QoS 2 to one topic, up to 20 of them on their way",
     .allowed = IN_ORDER, .faults = "reorders loses_qos_2 delivers_twice duplicates_qos_2")
{
    keeps_order(test, 2);
}

CASE(
    order_of_two_publishers, .v5 = "MQTT-4.6.0-5 MQTT-4.6.0-6", .v311 = "MQTT-4.6.0-5 MQTT-4.6.0-6",
    .sends = "40 messages at QoS 1 of each of two publishers in turn to one topic; two subscribers",
    .allowed = "both subscribers get all, those of each publisher in its order",
    .faults = "reorders loses_qos_1")
{
    enum { EACH = 40 };
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *subscribers[] = {exchange_subscriber(test, "first", topic, 1),
                                    exchange_subscriber(test, "second", topic, 1)};
    struct client *publishers[] = {client_connected(test, "left"), client_connected(test, "right")};
    struct packet left, right;
    for (unsigned i = 0; i < EACH; i++) {
        left = exchange_publish(topic, text_printf(test, "left %02u", i), 1);
        right = exchange_publish(topic, text_printf(test, "right %02u", i), 1);
        uint16_t left_id = client_publish_start(publishers[0], &left);
        uint16_t right_id = client_publish_start(publishers[1], &right);
        exchange_expect(publishers[0], PUBACK, left_id);
        exchange_expect(publishers[1], PUBACK, right_id);
    }
    for (unsigned k = 0; k < 2; k++) {
        unsigned next[2] = {0, 0};
        for (unsigned i = 0; i < 2 * EACH; i++) {
            struct packet got = expect(subscribers[k], PUBLISH);
            unsigned from = got.payload.size > 0 && got.payload.data[0] == 'r';
            struct text due = text_printf(test, from ? "right %02u" : "left %02u", next[from]++);
            if (!text_equal(got.payload, due))
                fail(test, "out of order: due is \"%.*s\"", (int)due.size, (const char *)due.data);
            acknowledge(subscribers[k], &got);
        }
    }
}

/* 5.0 says of clients only in which order they send PUBREL [MQTT-4.6.0-4]; 3.1.1 wants it of
 * servers that deliver, too. */
CASE(pubrels_come_in_the_order_of_pubrecs, .v311 = "MQTT-4.6.0-6",
     .sends = "PUBREC for five messages at QoS 2, in their order",
     .allowed = "PUBREL in this order", .faults = "reorders_pubrel")
{
    enum { MESSAGES = 5 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    uint16_t ids[MESSAGES];
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 2, false);
        ids[i] = expect_publish(subscriber, topic, payload).packet_id;
    }
    for (unsigned i = 0; i < MESSAGES; i++)
        exchange_answer(subscriber, PUBREC, ids[i], 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        exchange_expect(subscriber, PUBREL, ids[i]);
        exchange_answer(subscriber, PUBCOMP, ids[i], 0);
    }
    expect_alive(subscriber);
}
