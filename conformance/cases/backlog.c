/* What waits for a session that is not connected, and how it is delivered at the return: 4.1, 4.4,
 * 4.5, 4.6. Order, Packet Identifiers, quota and PUBREL have cases in ordering.c, redelivery.c and
 * flow_control.c; every combination of leaving and coming back is in matrix/. */
#include "conformance/cases/subscription.h"

/* The number that a payload "n" holds; UINT_MAX for anything else. */
static unsigned number_of(struct text payload)
{
    unsigned number = 0;
    if (payload.size == 0 || payload.size > 8)
        return ~0U;
    for (size_t i = 0; i < payload.size; i++) {
        if (payload.data[i] < '0' || payload.data[i] > '9')
            return ~0U;
        number = number * 10 + (unsigned)(payload.data[i] - '0');
    }
    return number;
}

static void expect_session_present(struct client *client)
{
    if (!client->connack.session_present)
        fail_statement(client->test, client->version == VERSION_5 ? "MQTT-3.2.2-3" : "MQTT-3.2.2-2",
                       "Session Present is 0 for a session that is stored");
}

/* The next PUBLISH holds this number, on this topic. */
static struct packet take_number(struct client *client, struct text topic, unsigned number)
{
    return take_publish(client, topic, text_printf(client->test, "%u", number));
}

static void publish_numbers(struct client *publisher, struct text topic, unsigned from, unsigned to,
                            uint8_t qos)
{
    for (unsigned i = from; i < to; i++)
        client_publish(publisher, topic, text_printf(publisher->test, "%u", i), qos, false);
}

/* ---- Backlogs ---- */

CASE(backlog_comes_once_and_in_order, .v5 = "MQTT-4.5.0-1 MQTT-4.6.0-5 MQTT-4.6.0-6 MQTT-3.3.1-3",
     .v311 = "MQTT-3.1.2-5 MQTT-4.5.0-1 MQTT-4.6.0-6 MQTT-3.3.1-3",
     .sends =
         "150 messages each at QoS 1 and 2 in turn, to two topics, for a session that is away; "
         "some at QoS 0 between them; the subscriber returns twice",
     .allowed = "at the first return all of them once, those of one topic in their order, with DUP "
                "0; those at QoS 0 if the server likes; nothing at the second",
     .faults = "loses_offline_messages loses_offline_backlog reorders_offline sets_dup "
               "resends_acknowledged")
{
    enum { MESSAGES = 150 };
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "away", 300);
    struct text topics[3] = {topic_of(test, "zero"), topic_of(test, "once"),
                             topic_of(test, "twice")};
    for (uint8_t qos = 0; qos <= 2; qos++)
        client_subscribe(subscriber, topics[qos], 2);
    client_disconnect(subscriber);
    for (unsigned i = 0; i < MESSAGES; i++) {
        for (uint8_t qos = i % 10 == 0 ? 0 : 1; qos <= 2; qos++)
            publish_numbers(publisher, topics[qos], i, i + 1, qos);
    }
    client_resume(subscriber, 300);
    expect_session_present(subscriber);
    unsigned next[3] = {0, 0, 0};
    while (next[1] < MESSAGES || next[2] < MESSAGES) {
        struct packet publish = expect(subscriber, PUBLISH);
        unsigned qos = publish.qos;
        if (publish.dup)
            fail_statement(test, "MQTT-3.3.1-3", "DUP at the first delivery of what waited");
        if (!text_equal(publish.topic, topics[qos]))
            fail(test, "QoS %u for \"%.*s\"", qos, (int)publish.topic.size, publish.topic.data);
        if (qos > 0 && number_of(publish.payload) != next[qos])
            fail(test, "\"%.*s\" at QoS %u came where %u was due", (int)publish.payload.size,
                 publish.payload.data, qos, next[qos]);
        next[qos]++;
        acknowledge(subscriber, &publish);
    }
    expect_quiet(subscriber);
    client_disconnect(subscriber);
    client_resume(subscriber, 300);
    expect_quiet(subscriber);
}

/* ---- Returns that end too early ---- */

/* What is left of a backlog: from `first` on, of which those before `seen` have been sent with
 * these identifiers and not acknowledged. `strict`: nothing behind them can have been sent. */
struct rest {
    struct text topic;
    unsigned first, seen, end;
    uint16_t identifiers[64];
    bool strict;
};

static void take_rest(struct client *client, const struct rest *rest, unsigned count)
{
    struct test *test = client->test;
    for (unsigned i = rest->first; i < rest->first + count; i++) {
        struct packet publish = take_number(client, rest->topic, i);
        if (i < rest->seen && (!publish.dup || publish.packet_id != rest->identifiers[i]))
            fail_statement(test, publish.dup ? "MQTT-4.4.0-1" : "MQTT-3.3.1-1",
                           "message %u came before under identifier %u; now it comes under %u with "
                           "DUP %d",
                           i, rest->identifiers[i], publish.packet_id, publish.dup);
        if (i >= rest->seen && publish.dup && rest->strict)
            fail_statement(test, "MQTT-3.3.1-3", "message %u has DUP at its first delivery", i);
    }
}

/* Reads so many more without acknowledging them. */
static void see_more(struct client *client, struct rest *rest, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        struct packet publish =
            expect_publish(client, rest->topic, text_printf(client->test, "%u", rest->first + n));
        rest->identifiers[rest->first + n] = publish.packet_id;
    }
    rest->seen = rest->first + count;
}

CASE(backlog_is_resumed_where_it_was_left,
     .v5 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-3.3.1-3 MQTT-4.6.0-5 MQTT-3.3.4-9",
     .v311 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.6.0-6",
     .sends = "20 messages at QoS 1 wait; at the first return (5.0: Receive Maximum 3) four are "
              "acknowledged and three more are read; the client leaves, ten more are published, a "
              "second connection reads three and is taken over by a third",
     .allowed = "what was read comes again with DUP and its identifier, then the rest in order; "
                "3.1.1: DUP too where more may have been sent than was read",
     .faults = "clears_dup new_id_at_resend forgets_unacknowledged reorders_resent "
               "loses_offline_messages")
{
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "away", 300);
    struct rest rest = {.topic = topic_of(test, "left"), .strict = test->version == VERSION_5};
    client_subscribe(subscriber, rest.topic, 1);
    client_disconnect(subscriber);
    publish_numbers(publisher, rest.topic, 0, 20, 1);
    struct packet connect = connect_of(subscriber);
    connect.clean_start = false;
    if (test->version == VERSION_5) {
        property_add(&connect.properties, RECEIVE_MAXIMUM, 3);
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 300);
    }
    client_connect_ok(subscriber, &connect);
    take_rest(subscriber, &rest, 4);
    rest.first = 4;
    see_more(subscriber, &rest, 3);
    client_send(subscriber, &(struct packet){.type = PINGREQ});
    expect_answer(subscriber, PINGRESP, 0); /* so that all four PUBACKs have been read */
    client_disconnect(subscriber);

    publish_numbers(publisher, rest.topic, 20, 30, 1);
    client_connect_ok(subscriber, &connect);
    take_rest(subscriber, &rest, 1);
    rest.first = 5;
    for (unsigned i = 5; i < 7; i++)
        expect_publish(subscriber, rest.topic, text_printf(test, "%u", i));
    struct packet new_one = expect_publish(subscriber, rest.topic, TEXT("7"));
    rest.identifiers[7] = new_one.packet_id;
    rest.seen = 8;
    client_send(subscriber, &(struct packet){.type = PINGREQ});
    expect_answer(subscriber, PINGRESP, 0);

    struct client *third = client_new(test, "third");
    third->id = subscriber->id;
    connect.client_id = subscriber->id;
    client_connect_ok(third, &connect);
    take_rest(third, &rest, 25);
    expect_quiet(third);
}

/* ---- What belongs to a message that waits ---- */

CASE(waiting_messages_keep_their_qos, .v5 = "MQTT-3.8.4-8 MQTT-4.5.0-1",
     .v311 = "MQTT-3.8.4-6 MQTT-3.1.2-5",
     .sends = "messages at QoS 1 and 2 to subscriptions at QoS 1 and 2 of a session that is away",
     .allowed = "each at the lower of both",
     .faults = "loses_offline_messages delivers_above_granted_qos delivers_below_granted_qos")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "away", 300);
    struct text topics[2] = {topic_of(test, "granted/1"), topic_of(test, "granted/2")};
    client_subscribe(subscriber, topics[0], 1);
    client_subscribe(subscriber, topics[1], 2);
    client_disconnect(subscriber);
    for (unsigned i = 0; i < 4; i++)
        publish_numbers(publisher, topics[i % 2], i, i + 1, (uint8_t)(1 + i / 2));
    client_resume(subscriber, 300);
    for (unsigned n = 0; n < 4; n++) {
        struct packet publish = expect(subscriber, PUBLISH);
        unsigned i = number_of(publish.payload);
        if (i >= 4)
            fail(test, "an unknown message came");
        unsigned published = 1 + i / 2, granted = 1 + i % 2;
        if (publish.qos != (published < granted ? published : granted))
            fail(test, "published at QoS %u, granted QoS %u, delivered at QoS %u", published,
                 granted, publish.qos);
        acknowledge(subscriber, &publish);
    }
}

static void check_text(struct test *test, const char *statement, const struct packet *publish,
                       enum property_id id, struct text owed)
{
    const struct property *property = property_find(&publish->properties, id);
    if (property == NULL || !text_equal(property->text, owed))
        fail_statement(test, statement, "%s was lost or changed while the message waited",
                       property_name(id));
}

CASE(waiting_messages_keep_their_properties,
     .v5 = "MQTT-3.3.2-4 MQTT-3.3.2-15 MQTT-3.3.2-16 MQTT-3.3.2-17 MQTT-3.3.2-18 MQTT-3.3.2-20",
     .sends = "a message with Payload Format Indicator, Content Type, Response Topic, Correlation "
              "Data and three User Properties for a session that is away",
     .allowed = "all of them unchanged, the User Properties in their order",
     .faults = "drops_payload_format_indicator drops_content_type drops_response_topic "
               "drops_correlation_data drops_user_properties reorders_user_properties")
{
    static const char *const names[] = {"b", "a", "b"};
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "away", 300);
    struct text topic = topic_of(test, "properties"), answer = topic_of(test, "answer");
    client_subscribe(subscriber, topic, 1);
    client_disconnect(subscriber);
    struct packet publish = {.type = PUBLISH, .qos = 1, .topic = topic, .payload = TEXT("{}")};
    property_add(&publish.properties, PAYLOAD_FORMAT_INDICATOR, 1);
    property_add_text(&publish.properties, CONTENT_TYPE, TEXT("application/json"));
    property_add_text(&publish.properties, RESPONSE_TOPIC, answer);
    property_add_text(&publish.properties, CORRELATION_DATA, TEXT("\0\xFF"));
    for (unsigned i = 0; i < 3; i++)
        property_add_user(&publish.properties, names[i], i == 2 ? "third" : "");
    client_publish_packet(publisher, &publish);
    client_resume(subscriber, 300);
    struct packet came = take_publish(subscriber, topic, TEXT("{}"));
    if (property_number(&came.properties, PAYLOAD_FORMAT_INDICATOR, 0) != 1)
        fail_statement(test, "MQTT-3.3.2-4", "the Payload Format Indicator was lost");
    check_text(test, "MQTT-3.3.2-20", &came, CONTENT_TYPE, TEXT("application/json"));
    check_text(test, "MQTT-3.3.2-15", &came, RESPONSE_TOPIC, answer);
    check_text(test, "MQTT-3.3.2-16", &came, CORRELATION_DATA, TEXT("\0\xFF"));
    unsigned found = 0;
    for (unsigned i = 0; i < came.properties.count; i++) {
        const struct property *property = &came.properties.list[i];
        if (property->id != USER_PROPERTY)
            continue;
        if (found == 3 || !text_equal(property->text, text_of(names[found])) ||
            !text_equal(property->value, text_of(found == 2 ? "third" : "")))
            fail_statement(test, "MQTT-3.3.2-18", "User Property %u came in another place", found);
        found++;
    }
    if (found != 3)
        fail_statement(test, "MQTT-3.3.2-17", "%u User Properties came of three", found);
}

CASE(waiting_retained_messages_are_live_ones, .v311 = "MQTT-3.3.1-9",
     .sends = "a retained message for a session that is away",
     .allowed = "RETAIN 0 at the return: the subscription is no new one",
     .faults = "sets_retain loses_offline_messages")
{
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "away", 300);
    struct text topic = topic_of(test, "live");
    client_subscribe(subscriber, topic, 1);
    client_disconnect(subscriber);
    client_publish(publisher, topic, TEXT("kept"), 1, true);
    client_resume(subscriber, 300);
    struct packet publish = take_publish(subscriber, topic, TEXT("kept"));
    if (publish.retain)
        fail(test, "what waited came with RETAIN 1");
    expect_quiet(subscriber);
}

CASE(overlapping_subscriptions_of_an_absent_session, .v5 = "MQTT-3.3.4-3 MQTT-3.3.4-4 MQTT-3.3.4-5",
     .sends = "a session with subscriptions to a/b (2) and a/# (3) leaves; a message to a/b",
     .allowed = "one copy with both identifiers, or two with one each",
     .faults = "one_subscription_identifier loses_subscription_identifier_offline", .timing = true)
{
    need_qos(test, 1);
    need_wildcard(test);
    need_subscription_identifier(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "away", 300);
    struct text topic = topic_of(test, "a/b");
    subscription_make(subscriber, topic, 1, 2);
    subscription_make(subscriber, topic_of(test, "a/#"), 1, 3);
    client_disconnect(subscriber);
    client_publish(publisher, topic, TEXT("x"), 1, false);
    client_resume(subscriber, 300);
    subscription_take_copies(subscriber, topic, TEXT("x"), 1U << 2 | 1U << 3, 0, 1);
}
