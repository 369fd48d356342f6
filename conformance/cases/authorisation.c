/* What a server owes to a client that it denies a topic. Which topics are denied is the user's to
 * declare: --denied-publish and --denied-subscribe. Many cases use them at the same time, so what
 * belongs to a case is told by its payload. */
#include "conformance/cases/exchange.h"

/* ---- Whoever may see what must not be there ---- */

/* NULL: the server lets nobody of this user subscribe to the topic. */
static struct client *watcher_of(struct test *test, struct text topic)
{
    struct client *watcher = client_connected(test, "watcher");
    struct packet subscribe = {
        .type = SUBSCRIBE, .filters = {{.filter = topic}}, .filter_count = 1};
    struct packet suback = client_subscribe_raw(watcher, &subscribe);
    if (suback.reason_codes.data[0] < 0x80)
        return watcher;
    client_disconnect(watcher);
    return NULL;
}

/* Looks on until nothing has come for a while. */
static bool sees(struct client *watcher, struct text payload)
{
    struct packet packet;
    bool closed = false;
    while (watcher && receive(watcher, watcher->test->quiet_ms, &packet, &closed)) {
        if (packet.type == PUBLISH && text_equal(packet.payload, payload))
            return true;
    }
    return false;
}

/* ---- Denied to publish ---- */

enum answer { ANSWER_REFUSED, ANSWER_ACKNOWLEDGED, ANSWER_CLOSED };

static enum answer judge_end(struct client *client, const struct packet *last, const char *what)
{
    if (last->type != DISCONNECT)
        fail(client->test, "%s is answered with %s for %u", what, packet_name(last->type),
             last->packet_id);
    if (last->reason_code != 0x87)
        warn_should(client->test, NULL, "%s is answered with DISCONNECT 0x%02X, not 0x87", what,
                    last->reason_code);
    expect_closed(client, 0);
    return ANSWER_CLOSED;
}

/* At QoS 0 nothing needs to come. */
static enum answer judge_silence(struct client *client)
{
    struct packet packet;
    bool closed = false;
    client_send(client, &(struct packet){.type = PINGREQ});
    if (!receive(client, client->test->time_limit_ms, &packet, &closed)) {
        if (!closed)
            fail(client->test, "PINGREQ is not answered after a denied PUBLISH at QoS 0");
        return ANSWER_CLOSED;
    }
    if (packet.type == PINGRESP)
        return ANSWER_ACKNOWLEDGED;
    return judge_end(client, &packet, "a denied PUBLISH at QoS 0");
}

/* Sends it, and goes through what follows. */
static enum answer publish_denied(struct client *client, struct packet *publish)
{
    struct test *test = client->test;
    struct packet answer;
    bool closed = false;
    client_send(client, publish);
    if (publish->qos == 0)
        return judge_silence(client);
    if (!receive(client, test->time_limit_ms, &answer, &closed)) {
        if (!closed)
            fail(test,
                 "a denied PUBLISH at QoS %u is neither answered nor is the connection closed",
                 publish->qos);
        return ANSWER_CLOSED;
    }
    if (answer.type != (publish->qos == 1 ? PUBACK : PUBREC) ||
        answer.packet_id != publish->packet_id)
        return judge_end(client, &answer, "a denied PUBLISH");
    if (answer.reason_code >= 0x80) {
        if (answer.reason_code != 0x87)
            warn_should(test, NULL, "a denied PUBLISH is refused with 0x%02X, not 0x87",
                        answer.reason_code);
        return ANSWER_REFUSED;
    }
    if (client->version == VERSION_5)
        fail_statement(
            test, publish->qos == 1 ? "MQTT-4.3.2-4" : "MQTT-4.3.3-8",
            "a denied PUBLISH is acknowledged with 0x%02X, as if the server had accepted "
            "ownership of it",
            answer.reason_code);
    if (publish->qos == 2)
        exchange_release(client, publish->packet_id);
    return ANSWER_ACKNOWLEDGED;
}

#define DENIED_ANSWERS                                                                             \
    "5.0: PUBACK or PUBREC with an error (0x87; others are remarked on), 3.1.1: the positive "     \
    "acknowledgements; or the Network Connection is closed. "

CASE(denied_message_is_answered_and_not_delivered,
     .v5 = "MQTT-3.3.4-1 MQTT-4.3.2-4 MQTT-4.3.3-8 MQTT-3.4.2-1 MQTT-3.5.2-1",
     .v311 = "MQTT-3.3.5-2 MQTT-4.3.2-2 MQTT-4.3.3-2",
     .sends =
         "PUBLISH to the denied topic at each QoS, watched by a client that may subscribe to it",
     .allowed = DENIED_ANSWERS "The message is not delivered",
     .why = "3.1.1 has no way of saying no, 5.0 has, and an acknowledgement without an error "
            "accepts ownership of the message",
     .faults = "delivers_denied confirms_denied silent_about_denied")
{
    struct text topic = need_denied_publish(test);
    struct client *watcher = watcher_of(test, topic);
    for (uint8_t qos = 0; qos <= test->server->maximum_qos; qos++) {
        struct client *publisher = client_connected(test, "publisher");
        struct text payload = topic_of(test, "denied/%u", qos);
        struct packet publish = exchange_publish(topic, payload, qos);
        publish.packet_id = qos ? 7 : 0;
        if (publish_denied(publisher, &publish) != ANSWER_CLOSED)
            expect_alive(publisher);
        if (sees(watcher, payload))
            fail(test, "a message at QoS %u to a denied topic is delivered", qos);
    }
}

CASE(denied_message_frees_its_identifier, .v5 = "MQTT-4.3.3-9 MQTT-4.3.2-5",
     .v311 = "MQTT-3.3.5-2 MQTT-4.3.2-2 MQTT-4.3.3-2",
     .sends =
         "PUBLISH at QoS 1 and 2 to the denied topic; when its exchange has ended, another to a "
         "topic that is not denied, under the same identifier",
     .allowed = "the second is a new message and is delivered. Not applicable where the server "
                "closes the connection at the first",
     .faults = "holds_id_of_denied")
{
    struct text denied = need_denied_publish(test), topic = topic_of(test, "x");
    need_qos(test, 1);
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 0);
    for (uint8_t qos = 1; qos <= test->server->maximum_qos; qos++) {
        struct client *publisher = client_connected(test, "publisher");
        struct text payload = text_printf(test, "new %u", qos);
        struct packet publish = exchange_publish(denied, topic, qos);
        publish.packet_id = 77;
        if (publish_denied(publisher, &publish) == ANSWER_CLOSED)
            not_applicable(test, "the server closes the connection at a denied PUBLISH");
        publish.topic = topic;
        publish.payload = payload;
        client_publish_packet(publisher, &publish);
        take_publish(subscriber, topic, payload);
    }
}

CASE(denied_topic_by_alias, .v5 = "MQTT-3.3.4-1 MQTT-4.3.2-4",
     .sends =
         "PUBLISH to the denied topic that sets a Topic Alias, then one that has only the alias",
     .allowed =
         "both are refused with PUBACK of 0x80 or more, or the connection is closed; neither "
         "is delivered. Not applicable without Topic Aliases, or where the first closes",
     .faults = "delivers_denied_by_alias")
{
    struct text topic = need_denied_publish(test), first = topic_of(test, "first"),
                second = topic_of(test, "second");
    if (test->server->topic_alias_maximum == 0)
        not_applicable(test, "the server takes no Topic Alias");
    need_qos(test, 1);
    struct client *watcher = watcher_of(test, topic);
    if (!watcher)
        not_applicable(test, "nobody may subscribe to the topic, so nobody would see it");
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = exchange_publish(topic, first, 1);
    publish.packet_id = 1;
    property_add(&publish.properties, TOPIC_ALIAS, 1);
    if (publish_denied(publisher, &publish) == ANSWER_CLOSED)
        not_applicable(test, "the server closes the connection at a denied PUBLISH");
    publish.topic = TEXT("");
    publish.payload = second;
    publish.packet_id = 2;
    struct packet answer;
    bool closed = false;
    client_send(publisher, &publish);
    if (!receive(publisher, test->time_limit_ms, &answer, &closed)) {
        if (!closed)
            fail(test, "a PUBLISH by alias to a denied topic is not answered");
    } else if (answer.reason_code < 0x80) {
        fail_statement(test, "MQTT-4.3.2-4",
                       "a PUBLISH by alias to a denied topic is answered with "
                       "%s 0x%02X",
                       packet_name(answer.type), answer.reason_code);
    }
    if (sees(watcher, second))
        fail(test, "a message to a denied topic is delivered because it came by Topic Alias");
}

/* The other version publishes the same at the same time, so either may find the other's. */
CASE(denied_message_is_not_retained, .v5 = "MQTT-3.3.4-1 MQTT-4.3.2-4", .v311 = "MQTT-3.3.5-2",
     .sends = "PUBLISH with RETAIN to the denied topic, then a new subscription to it",
     .allowed = DENIED_ANSWERS "The message is not retained. Not applicable where nobody may "
                               "subscribe to the topic",
     .faults = "retains_denied")
{
    struct text topic = need_denied_publish(test);
    struct text payload = text_printf(test, "retained %llx", (unsigned long long)test->seed);
    need_retain(test);
    uint8_t qos = exchange_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = exchange_publish(topic, payload, qos);
    publish.retain = true;
    publish.packet_id = qos ? 1 : 0;
    publish_denied(publisher, &publish);
    struct client *watcher = watcher_of(test, topic);
    if (!watcher)
        not_applicable(test, "nobody may subscribe to the topic, so nobody would see it");
    if (sees(watcher, payload))
        fail(test, "a retained message to a denied topic was stored");
}

/* The control is a will to a topic that is not denied, of a client that leaves after the other. */
CASE(will_to_a_denied_topic, .v5 = "MQTT-3.1.4-2", .v311 = "MQTT-3.3.5-2",
     .sends = "CONNECT with a will to the denied topic, then the end of the socket",
     .allowed = "the CONNECT is refused, with 5.0: 0x87, 3.1.1: 0x05 (others are remarked on), or "
                "accepted, and then the will is not published",
     .faults = "publishes_denied_will")
{
    struct text topic = need_denied_publish(test), payload = topic_of(test, "will");
    struct client *watcher = watcher_of(test, topic);
    struct client *client = client_new(test, "mortal"), *other = client_new(test, "other");
    struct packet connect = connect_of(client), control = connect_of(other);
    connect.will_topic = topic;
    connect.will_payload = control.will_topic = control.will_payload = payload;
    if (!watcher)
        not_applicable(test, "nobody may subscribe to the topic, so nobody would see it");
    client_subscribe(watcher, payload, 0);
    struct packet connack;
    bool closed = false;
    client_open(client);
    client_send(client, &connect);
    if (!receive(client, test->time_limit_ms, &connack, &closed)) {
        if (!closed)
            fail(test, "CONNECT with a will to a denied topic is not answered");
    } else if (connack.reason_code != 0) {
        uint8_t code = test->version == VERSION_5 ? 0x87 : 0x05;
        if (connack.reason_code != code)
            warn_should(test, NULL, "a will to a denied topic is refused with 0x%02X, not 0x%02X",
                        connack.reason_code, code);
        expect_closed(client, 0);
    } else {
        expect_alive(client);
        client_drop(client);
    }
    client_connect_ok(other, &control);
    client_drop(other);
    for (bool controlled = false; !controlled;) {
        struct packet will = expect(watcher, PUBLISH);
        controlled = text_equal(will.topic, payload);
        if (!controlled && text_equal(will.payload, payload))
            fail(test, "a will to a denied topic is published");
    }
    if (sees(watcher, payload))
        fail(test, "a will to a denied topic is published");
}

/* ---- Denied to subscribe ---- */

/* A Topic Name that matches the filter. */
static struct text topic_matching(struct test *test, struct text filter)
{
    uint8_t *name = test_alloc(test, filter.size);
    for (size_t i = 0; i < filter.size; i++)
        name[i] = filter.data[i] == '#' || filter.data[i] == '+' ? 'x' : filter.data[i];
    return (struct text){name, filter.size};
}

/* SUBACK, or the end of the connection, which some servers hold to be an answer, too. */
static bool suback_of(struct client *client, struct packet *subscribe, struct packet *suback)
{
    struct test *test = client->test;
    bool closed = false;
    subscribe->type = SUBSCRIBE;
    subscribe->packet_id = 9;
    client_send(client, subscribe);
    if (!receive(client, test->time_limit_ms, suback, &closed) || suback->type == DISCONNECT) {
        if (!closed && suback->type != DISCONNECT)
            fail_statement(test, "MQTT-3.8.4-1", "SUBSCRIBE to a denied filter is not answered");
        warn_debatable(
            test, "MQTT-3.8.4-1",
            "the connection is closed at a SUBSCRIBE to a denied filter, without SUBACK");
        return false;
    }
    if (suback->type != SUBACK)
        fail(test, "SUBSCRIBE is answered with %s", packet_name(suback->type));
    return true;
}

static void want_refusal(struct test *test, uint8_t code)
{
    uint8_t usual = test->version == VERSION_5 ? 0x87 : 0x80;
    if (code < 0x80)
        fail_statement(test, test->version == VERSION_5 ? "MQTT-3.8.4-7" : "MQTT-3.8.4-5",
                       "SUBACK grants QoS %u for a filter that is denied", code);
    if (code != usual)
        warn_should(test, NULL, "a denied filter is refused with 0x%02X, not 0x%02X", code, usual);
}

CASE(denied_filter_among_others,
     .v5 = "MQTT-3.8.4-5 MQTT-3.8.4-7 MQTT-3.9.3-1 MQTT-3.9.3-2 MQTT-3.8.4-6",
     .v311 = "MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1 MQTT-3.9.3-2",
     .sends = "SUBSCRIBE with the denied filter first and two others behind it, then a message for "
              "each of these",
     .allowed = "SUBACK that refuses the first (5.0: 0x87; others are remarked on) and grants the "
                "others, whose messages are delivered. A server that closes instead is remarked on",
     .why = "several filters are handled as if each had come in a SUBSCRIBE of its own",
     .faults = "grants_denied_filter denied_filter_fails_all reverses_suback")
{
    struct text a = topic_of(test, "a"), b = topic_of(test, "b");
    struct packet subscribe = {
        .filters = {{.filter = need_denied_subscribe(test)}, {.filter = a}, {.filter = b}},
        .filter_count = 3};
    struct client *client = client_connected(test, "client");
    struct packet suback;
    if (!suback_of(client, &subscribe, &suback))
        return;
    want_refusal(test, suback.reason_codes.data[0]);
    for (unsigned i = 1; i < 3; i++) {
        if (suback.reason_codes.data[i] >= 0x80)
            fail(test,
                 "filter %u of a SUBSCRIBE is refused with 0x%02X though only the first is "
                 "denied",
                 i + 1, suback.reason_codes.data[i]);
    }
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, a, TEXT("a"), 0, false);
    take_publish(client, a, TEXT("a"));
    client_publish(publisher, b, TEXT("b"), 0, false);
    take_publish(client, b, TEXT("b"));
}

CASE(denied_subscription_delivers_nothing, .v5 = "MQTT-3.8.4-7 MQTT-3.3.4-1",
     .v311 = "MQTT-3.8.4-5",
     .sends = "SUBSCRIBE with the denied filter alone, then a message to a topic that it matches",
     .allowed = "SUBACK with an error, the connection goes on, and the message does not come, "
                "whether its publisher is allowed to send it or not",
     .faults = "delivers_to_denied_filter grants_denied_filter")
{
    struct text filter = need_denied_subscribe(test), payload = topic_of(test, "never");
    struct packet subscribe = {.filters = {{.filter = filter}}, .filter_count = 1}, suback;
    struct client *client = client_connected(test, "client");
    if (!suback_of(client, &subscribe, &suback))
        return;
    want_refusal(test, suback.reason_codes.data[0]);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = exchange_publish(topic_matching(test, filter), payload, 0);
    client_send(publisher, &publish);
    exchange_settle(publisher);
    if (sees(client, payload))
        fail(test, "a message is delivered by a subscription that SUBACK refused");
    expect_alive(client);
}
