/* PUBLISH: what a server refuses, and what it hands on as it came (section 3.3). */
#include "conformance/cases/exchange.h"
#include "conformance/cases/refusal.h"

#define CLOSES                                                                                     \
    "the Network Connection is closed; 5.0: a DISCONNECT that says why should come before that"

/* ---- What is refused ---- */

CASE(publish_at_qos_3, .v5 = "MQTT-3.3.1-4", .v311 = "MQTT-3.3.1-4",
     .sends = "PUBLISH with both QoS bits set, alone and with DUP and RETAIN", .allowed = CLOSES,
     .faults = "accepts_qos_3 keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet publish = exchange_publish(topic_of(test, "x"), TEXT("x"), 2);
    publish.packet_id = 1;
    publish.force_flags = true;
    publish.forced_flags = 0x06;
    refusal_packet(&refusal, &publish, 0x81, "PUBLISH at QoS 3");
    publish.forced_flags = 0x0F;
    refusal_packet(&refusal, &publish, 0x81, "PUBLISH at QoS 3 with DUP and RETAIN");
    refusal_end(&refusal);
}

CASE(publish_with_dup_at_qos_0, .v5 = "MQTT-3.3.1-2 MQTT-2.1.3-1 MQTT-4.3.1-1",
     .v311 = "MQTT-3.3.1-2 MQTT-2.2.2-2 MQTT-4.3.1-1", .sends = "PUBLISH at QoS 0 with DUP set",
     .allowed = CLOSES,
     .why =
         "a flag that may not be set in this packet is an invalid flag; nothing is sent twice at "
         "QoS 0",
     .faults = "accepts_dup_at_qos_0")
{
    struct refusal refusal = refusal_begin(test);
    struct packet publish = exchange_publish(topic_of(test, "x"), TEXT("x"), 0);
    publish.dup = true;
    refusal_packet(&refusal, &publish, 0, "PUBLISH at QoS 0 with DUP");
    refusal_end(&refusal);
}

CASE(publish_to_a_topic_with_wildcards, .v5 = "MQTT-3.3.2-2 MQTT-4.7.0-1",
     .v311 = "MQTT-3.3.2-2 MQTT-4.7.1-1 MQTT-4.8.0-1",
     .sends = "PUBLISH to Topic Names with # or + as a level or within one, at QoS 0 and 1",
     .allowed = CLOSES, .faults = "accepts_wildcard_topic")
{
    struct refusal refusal = refusal_begin(test);
    static const char *const suffixes[] = {"#", "+", "a/#", "a/+/b", "a+", "a#b"};
    for (unsigned i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        struct packet publish =
            exchange_publish(topic_of(test, "%s", suffixes[i]), TEXT("x"), (uint8_t)(i % 2));
        publish.packet_id = 1;
        publish.qos = exchange_qos(test, publish.qos);
        refusal_packet(&refusal, &publish, 0, suffixes[i]);
    }
    refusal_end(&refusal);
}

CASE(publish_without_a_topic_name, .v5 = "MQTT-3.3.2-1 MQTT-4.7.3-1",
     .v311 = "MQTT-3.3.2-1 MQTT-4.7.3-1 MQTT-4.8.0-1",
     .sends =
         "PUBLISH without a Topic Name, with its length only, and with an empty one; 5.0: without "
         "Topic Alias",
     .allowed = CLOSES, .faults = "accepts_empty_topic accepts_truncated_packet")
{
    struct refusal refusal = refusal_begin(test);
    struct packet publish = exchange_publish(TEXT(""), TEXT("x"), 0);
    refusal_hex(&refusal, "30 00", 0x81, "no Topic Name");
    refusal_hex(&refusal, "30 02 0005", 0x81, "the length of a Topic Name only");
    refusal_packet(&refusal, &publish, 0x82, "empty Topic Name at QoS 0");
    publish.qos = exchange_qos(test, 1);
    publish.packet_id = 1;
    refusal_packet(&refusal, &publish, 0x82, "empty Topic Name at QoS 1");
    refusal_end(&refusal);
}

/* The server may refuse; what it may not do is to leave the client without an answer. */
CASE(publish_below_sys_is_answered, .v5 = "MQTT-3.3.4-1", .v311 = "MQTT-3.3.5-2 MQTT-3.3.4-1",
     .sends =
         "PUBLISH at QoS 1 and 2 to a topic below $SYS, which a server need not let clients use",
     .allowed = "PUBACK or PUBREC, 5.0: perhaps with an error; or the Network Connection is closed",
     .faults = "silent_about_sys")
{
    need_qos(test, 1);
    for (uint8_t qos = 1; qos <= test->server->maximum_qos; qos++) {
        struct client *client = client_connected(test, "writer");
        struct text topic =
            text_printf(test, "$SYS/conformance/%llu", (unsigned long long)test->seed);
        struct packet publish = exchange_publish(topic, TEXT("x"), qos);
        uint16_t id = client_publish_start(client, &publish);
        struct packet answer;
        bool closed = false;
        if (!receive(client, test->time_limit_ms, &answer, &closed)) {
            if (!closed)
                fail(test, "no answer to a PUBLISH at QoS %u, and the connection is open", qos);
            continue;
        }
        if (answer.type == DISCONNECT)
            continue;
        if (answer.type != (qos == 1 ? PUBACK : PUBREC) || answer.packet_id != id)
            fail(test, "a PUBLISH at QoS %u under identifier %u is answered with %s for %u", qos,
                 id, packet_name(answer.type), answer.packet_id);
        if (qos == 1 || answer.reason_code >= 0x80)
            continue;
        exchange_answer(client, PUBREL, id, 0);
        if (!receive(client, test->time_limit_ms, &answer, &closed) ? !closed
                                                                    : answer.type != PUBCOMP)
            fail(test, "PUBREC is not followed by PUBCOMP, nor by the end of the connection");
    }
}

/* ---- What is handed on ---- */

CASE(dup_is_not_handed_on, .v5 = "MQTT-3.3.1-3 MQTT-4.3.2-2 MQTT-4.3.3-2",
     .v311 = "MQTT-3.3.1-3 MQTT-4.3.2-1 MQTT-4.3.3-1",
     .sends = "PUBLISH at QoS 1 and 2 with DUP set and an identifier not used before; a subscriber "
              "is there",
     .allowed = "the subscriber gets each message with DUP 0, since it is sent for the first time",
     .faults = "propagates_dup sets_dup")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    uint8_t most = exchange_qos(test, 2);
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, most);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 4; i++) {
        struct packet publish = exchange_publish(topic, text_printf(test, "%u", i), 1);
        if (i >= 2)
            publish.qos = most;
        publish.dup = i % 2 == 1;
        client_publish_packet(publisher, &publish);
        if (take_publish(subscriber, topic, publish.payload).dup)
            fail(test, "a first delivery at QoS %u has DUP set; it was published with DUP %d",
                 publish.qos, publish.dup);
    }
}

CASE(first_delivery_has_dup_0, .v5 = "MQTT-3.3.1-2 MQTT-4.3.1-1",
     .v311 = "MQTT-3.3.1-2 MQTT-4.3.1-1",
     .sends = "PUBLISH at QoS 0; subscribers at QoS 0 and 2 are there",
     .allowed = "both get it at QoS 0 with DUP 0", .faults = "sets_dup_at_qos_0")
{
    struct text topic = topic_of(test, "x");
    struct client *low = exchange_subscriber(test, "low", topic, 0);
    struct client *high = exchange_subscriber(test, "high", topic, exchange_qos(test, 2));
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("x"), 0, false);
    struct packet first = expect_publish(low, topic, TEXT("x"));
    struct packet second = expect_publish(high, topic, TEXT("x"));
    if (first.qos != 0 || second.qos != 0)
        fail(test, "what was published at QoS 0 is delivered at QoS %u", first.qos | second.qos);
    if (first.dup || second.dup)
        fail(test, "a message at QoS 0 is delivered with DUP set");
}

/* Sizes of payloads with which the Remaining Length of the PUBLISH takes a byte more, and one
 * below. */
static unsigned stepping_sizes(struct test *test, struct text topic, uint8_t qos, size_t *out)
{
    static const size_t steps[] = {128, 16384, 2097152};
    size_t other = 2 + topic.size + (qos > 0 ? 2 : 0) + (test->version == VERSION_5 ? 1 : 0);
    /* A server of 3.1.1 cannot say what it takes. */
    uint32_t most = test->version == VERSION_5 ? test->server->maximum_packet_size : 100000;
    unsigned count = 0;
    for (unsigned i = 0; i < sizeof steps / sizeof *steps && steps[i] + 5 <= most; i++) {
        out[count++] = steps[i] - other - 1;
        out[count++] = steps[i] - other;
    }
    return count;
}

CASE(payload_is_handed_on_byte_for_byte, .v5 = "MQTT-4.5.0-1 MQTT-2.2.1-2",
     .v311 = "MQTT-4.5.0-1 MQTT-2.3.1-5",
     .sends = "PUBLISH at QoS 0, 1 and 2 with payloads that are empty, hold every byte, look like "
              "a packet, "
              "are 100 KB; at the highest QoS those with which Remaining Length takes a byte more",
     .allowed = "the subscriber gets each of them unaltered",
     .faults = "alters_payload drops_empty_messages truncates_large_messages "
               "sends_packet_id_at_qos_0 never_delivers")
{
    enum { LARGE = 100000, LARGEST = 2097152, SIZES = 6 };
    struct text topic = topic_of(test, "x");
    uint8_t most = exchange_qos(test, 2);
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, most);
    struct client *publisher = client_connected(test, "publisher");
    uint32_t maximum = test->server->maximum_packet_size;
    size_t large = maximum < LARGE + 1000 ? maximum / 2 : LARGE;
    uint8_t *bytes = test_alloc(test, LARGEST);
    for (size_t i = 0; i < LARGEST; i++)
        bytes[i] = (uint8_t)(i ^ i >> 8);
    const struct text payloads[] = {{NULL, 0},
                                    {bytes, 256},
                                    TEXT("\x30\x05\x00\x01"
                                         "axy"),
                                    {bytes, large}};
    for (uint8_t qos = 0; qos <= most; qos++) {
        for (unsigned i = 0; i < sizeof payloads / sizeof *payloads; i++) {
            client_publish(publisher, topic, payloads[i], qos, false);
            take_publish(subscriber, topic, payloads[i]);
        }
    }
    size_t sizes[SIZES];
    unsigned count = stepping_sizes(test, topic, most, sizes);
    for (unsigned i = 0; i < count; i++) {
        struct text payload = {bytes, sizes[i]};
        client_publish(publisher, topic, payload, most, false);
        take_publish(subscriber, topic, payload);
    }
}

CASE(topic_name_is_handed_on_as_it_came, .v5 = "MQTT-3.3.2-3 MQTT-4.7.3-4",
     .v311 = "MQTT-3.3.2-3 MQTT-4.7.3-4",
     .sends = "PUBLISH to topics with empty levels, spaces, upper case, characters of two to four "
              "bytes, U+FEFF, 2,000 characters; a subscriber has a filter that ends in #",
     .allowed = "the subscriber gets each under exactly that Topic Name",
     .faults = "alters_topic strips_bom truncates_topics")
{
    need_wildcard(test);
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic_of(test, "t/#"), 0);
    struct client *publisher = client_connected(test, "publisher");
    char *large = test_alloc(test, 2001);
    for (unsigned i = 0; i < 2000; i++)
        large[i] = (char)('a' + i % 26);
    large[2000] = '\0';
    const char *const suffixes[] = {
        "plain",
        "",
        "/",
        "a//b/",
        " a b ",
        "Case",
        "case",
        "\xC3\xA9",
        "e\xCC\x81",
        "\xE2\x82\xAC",
        "\xF0\x9F\x93\xA1",
        "\xEF\xBB\xBF"
        "bom",
        "$dollar",
        large,
    };
    for (unsigned i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        struct text topic = topic_of(test, "t/%s", suffixes[i]);
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 0, false);
        expect_publish(subscriber, topic, payload);
    }
}

CASE(message_reaches_all_that_subscribed_and_nobody_else, .v5 = "MQTT-4.5.0-1 MQTT-3.3.2-3",
     .v311 = "MQTT-4.5.0-1 MQTT-3.3.2-3",
     .sends =
         "PUBLISH at QoS 0, 1 and 2; subscribers at each QoS with exact, + and # filters, one with "
         "another topic, one without subscription, one that has left its session behind",
     .allowed = "every matching subscriber gets each message once, at the lower of both QoS; the "
                "session gets those above QoS 0 when it is back; the others get nothing",
     .faults = "never_delivers delivers_unsubscribed delivers_twice alters_topic "
               "loses_offline_messages")
{
    need_qos(test, 2);
    need_wildcard(test);
    struct text topic = topic_of(test, "a/b");
    struct client *matching[] = {
        exchange_subscriber(test, "exact", topic, 0),
        exchange_subscriber(test, "plus", topic_of(test, "a/+"), 1),
        exchange_subscriber(test, "hash", topic_of(test, "a/#"), 2),
    };
    struct client *others[] = {
        exchange_subscriber(test, "other", topic_of(test, "a/c"), 2),
        client_connected(test, "none"),
    };
    struct client *away = exchange_stored_subscriber(test, "away", topic_of(test, "+/b"), 1);
    client_disconnect(away);

    struct client *publisher = client_connected(test, "publisher");
    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct text payload = text_printf(test, "QoS %u", qos);
        client_publish(publisher, topic, payload, qos, false);
        for (uint8_t i = 0; i < 3; i++) {
            struct packet packet = take_publish(matching[i], topic, payload);
            if (packet.qos != (qos < i ? qos : i))
                fail(test, "published at QoS %u, subscribed at QoS %u, delivered at QoS %u", qos, i,
                     packet.qos);
        }
    }
    expect_quiet(matching[2]);
    expect_alive(matching[0]);
    expect_alive(matching[1]);
    expect_alive(others[0]);
    expect_alive(others[1]);

    exchange_return(away);
    struct packet packet = expect(away, PUBLISH);
    acknowledge(away, &packet);
    if (packet.qos == 0) /* it may be stored, too */
        packet = take_publish(away, topic, TEXT("QoS 1"));
    else if (!text_equal(packet.payload, TEXT("QoS 1")))
        fail(test, "the message at QoS 1 did not wait for the session that was away");
    take_publish(away, topic, TEXT("QoS 2"));
}

CASE(publisher_gets_its_own_message, .v5 = "MQTT-4.5.0-1", .v311 = "MQTT-4.5.0-1",
     .sends = "a client subscribes to a topic, 5.0: with No Local 0, and publishes to it",
     .allowed = "it gets its own message", .faults = "withholds_own_messages")
{
    struct text topic = topic_of(test, "x");
    struct client *client = exchange_subscriber(test, "both", topic, 0);
    struct packet publish = exchange_publish(topic, TEXT("mine"), 0);
    client_publish_start(client, &publish);
    expect_publish(client, topic, TEXT("mine"));
}

/* A client of the other version, or NULL where the server does not speak it. */
static struct client *of_other_version(struct test *test, const char *role)
{
    struct client *client = client_new(test, role);
    client->version = test->version == VERSION_5 ? VERSION_311 : VERSION_5;
    struct packet connect = connect_of(client);
    struct packet answer;
    bool closed = false;
    client_open(client);
    client_send(client, &connect);
    if (!receive(client, test->time_limit_ms, &answer, &closed) || answer.type != CONNACK ||
        answer.reason_code != 0)
        return NULL;
    return client;
}

CASE(messages_cross_versions, .v5 = "MQTT-4.5.0-1", .v311 = "MQTT-4.5.0-1",
     .sends = "PUBLISH at each QoS, in 5.0 with properties, to a subscriber that speaks the other "
              "version of MQTT",
     .allowed = "it gets topic and payload in packets of its own version",
     .faults = "alters_payload never_delivers")
{
    struct client *subscriber = of_other_version(test, "subscriber");
    if (subscriber == NULL)
        not_applicable(test, "the server speaks one version of MQTT only");
    struct text topic = topic_of(test, "x");
    client_subscribe(subscriber, topic, exchange_qos(test, 2));
    struct client *publisher = client_connected(test, "publisher");
    for (uint8_t qos = 0; qos <= test->server->maximum_qos; qos++) {
        struct packet publish = exchange_publish(topic, TEXT("across"), qos);
        if (test->version == VERSION_5) {
            property_add(&publish.properties, PAYLOAD_FORMAT_INDICATOR, 1);
            property_add_user(&publish.properties, "name", "value");
        }
        client_publish_packet(publisher, &publish);
        take_publish(subscriber, topic, TEXT("across"));
    }
}
