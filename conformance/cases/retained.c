/* Retained messages: what PUBLISH stores, replaces and removes (section 3.3.1.3). When they are
 * sent to whom is subscribe_options.c's matter. */
#include "conformance/cases/exchange.h"

/* What a new subscription at the highest QoS brings: this payload, or, NULL, nothing. */
static void want_retained(struct test *test, struct text topic, const char *payload)
{
    struct client *late = client_connected(test, "late");
    client_subscribe(late, topic, exchange_qos(test, 2));
    if (payload != NULL) {
        struct packet got = take_publish(late, topic, text_of(payload));
        if (!got.retain)
            fail_statement(test,
                           test->version == VERSION_5 ? "5.0 section 3.3.1.3" : "MQTT-3.3.1-8",
                           "the retained message is sent to a new subscription with RETAIN 0");
    }
    expect_quiet(late);
    client_disconnect(late);
}

CASE(retained_message_is_replaced, .v5 = "MQTT-3.3.1-5", .v311 = "MQTT-3.3.1-5 MQTT-3.3.1-6",
     .sends =
         "three messages with RETAIN to one topic, at QoS 1, 2 and 1 and from two clients; then "
         "SUBSCRIBE",
     .allowed = "the last one, once, with RETAIN",
     .faults = "keeps_first_retained never_retains "
               "clears_retain")
{
    need_retain(test);
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *first = client_connected(test, "first");
    struct client *second = client_connected(test, "second");
    client_publish(first, topic, TEXT("one"), 1, true);
    client_publish(second, topic, TEXT("two"), exchange_qos(test, 2), true);
    want_retained(test, topic, "two");
    client_publish(first, topic, TEXT("three"), 1, true);
    want_retained(test, topic, "three");
}

CASE(retained_message_keeps_its_qos, .v5 = "MQTT-3.3.1-5 MQTT-3.8.4-8",
     .v311 = "MQTT-3.3.1-5 MQTT-3.8.4-6",
     .sends = "a retained message at QoS 1 and one at QoS 2; subscriptions at QoS 2",
     .allowed = "each comes at the QoS it was published with", .faults = "retained_at_qos_0")
{
    need_retain(test);
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct text topic = topic_of(test, "%u", qos);
        client_publish(publisher, topic, TEXT("x"), qos, true);
        struct client *late = exchange_subscriber(test, "late", topic, 2);
        struct packet got = take_publish(late, topic, TEXT("x"));
        if (got.qos != qos)
            fail(test, "retained at QoS %u, delivered at QoS %u", qos, got.qos);
    }
}

/* 3.1.1 allows a server to forget a retained message at QoS 0 at any time [MQTT-3.3.1-7]; never
 * may the one before it come back. */
CASE(retained_message_at_qos_0_replaces, .v5 = "MQTT-3.3.1-5", .v311 = "MQTT-3.3.1-7",
     .sends = "a message with RETAIN at QoS 1, then one at QoS 0; then SUBSCRIBE",
     .allowed = "the one at QoS 0; that there is none is allowed in 3.1.1 and debatable in 5.0",
     .faults = "keeps_first_retained")
{
    need_retain(test);
    struct text topic = topic_of(test, "x");
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("old"), exchange_qos(test, 1), true);
    client_publish(publisher, topic, TEXT("new"), 0, true);
    expect_alive(publisher);
    struct client *late = exchange_subscriber(test, "late", topic, exchange_qos(test, 1));
    struct packet got;
    bool closed = false;
    if (!receive(late, test->time_limit_ms, &got, &closed)) {
        if (closed)
            fail(test, "the connection of a new subscriber was closed");
        if (test->version == VERSION_311)
            warn_should(test, "MQTT-3.3.1-7", "a retained message at QoS 0 is not kept");
        else
            warn_debatable(test, "MQTT-3.3.1-5", "a retained message at QoS 0 is not kept");
        return;
    }
    if (got.type != PUBLISH || !text_equal(got.payload, TEXT("new")))
        fail(test, "a message with RETAIN at QoS 0 has not replaced the one before");
}

CASE(
    empty_message_removes_the_retained_one, .v5 = "MQTT-3.3.1-6 MQTT-3.3.1-7",
    .v311 = "MQTT-3.3.1-10 MQTT-3.3.1-11",
    .sends =
        "a retained message; an empty message with RETAIN at QoS 0, 1 and 2, while a subscriber is "
        "there; then SUBSCRIBE",
    .allowed = "the subscriber gets the empty message with RETAIN 0; the new one gets nothing",
    .faults = "keeps_retained_after_empty retains_empty_message drops_empty_messages sets_retain")
{
    need_retain(test);
    struct text topic = topic_of(test, "x");
    uint8_t most = exchange_qos(test, 2);
    struct client *here = exchange_subscriber(test, "here", topic, most);
    struct client *publisher = client_connected(test, "publisher");
    for (uint8_t qos = 0; qos <= most; qos++) {
        client_publish(publisher, topic, TEXT("stored"), exchange_qos(test, 1), true);
        take_publish(here, topic, TEXT("stored"));
        client_publish(publisher, topic, TEXT(""), qos, true);
        struct packet got = take_publish(here, topic, TEXT(""));
        if (got.retain)
            fail_statement(test, test->version == VERSION_5 ? "MQTT-3.3.1-12" : "MQTT-3.3.1-9",
                           "an empty message is forwarded to an established subscription with "
                           "RETAIN 1");
        want_retained(test, topic, NULL);
    }
}

CASE(message_without_retain_leaves_the_retained_one, .v5 = "MQTT-3.3.1-8", .v311 = "MQTT-3.3.1-12",
     .sends =
         "messages with RETAIN 0, with and without payload, to a topic without a retained message "
         "and to one that has one; then SUBSCRIBE to both",
     .allowed = "nothing for the first; the old retained message for the second",
     .faults = "retains_everything removes_retained_at_plain_publish")
{
    need_retain(test);
    uint8_t qos = exchange_qos(test, 1);
    struct text none = topic_of(test, "none"), one = topic_of(test, "one");
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, one, TEXT("kept"), qos, true);
    client_publish(publisher, none, TEXT("plain"), qos, false);
    client_publish(publisher, one, TEXT("plain"), qos, false);
    want_retained(test, none, NULL);
    want_retained(test, one, "kept");
    client_publish(publisher, one, TEXT(""), qos, false);
    want_retained(test, one, "kept");
}

CASE(retained_message_outlives_its_publisher, .v5 = "MQTT-3.3.1-5",
     .v311 = "MQTT-3.1.2-7 MQTT-3.3.1-5",
     .sends =
         "a retained message from a client whose session ends with its connection, and from one "
         "that is replaced by a session with Clean Start 1; then SUBSCRIBE",
     .allowed = "both retained messages", .faults = "deletes_retained_with_session")
{
    need_retain(test);
    uint8_t qos = exchange_qos(test, 1);
    struct text left = topic_of(test, "left"), replaced = topic_of(test, "replaced");
    struct client *leaves = client_connected(test, "leaves");
    client_publish(leaves, left, TEXT("a"), qos, true);
    client_disconnect(leaves);
    struct client *replacing = client_connected_stored(test, "replaced", EXCHANGE_EXPIRY_S);
    client_publish(replacing, replaced, TEXT("b"), qos, true);
    client_disconnect(replacing);
    struct packet connect = connect_of(replacing);
    client_connect_ok(replacing, &connect);
    client_disconnect(replacing);
    want_retained(test, left, "a");
    want_retained(test, replaced, "b");
}
