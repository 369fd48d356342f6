/* Topic Aliases of 5.0 in both directions (section 3.3.2.3.4). */
#include "conformance/cases/exchange.h"
#include "conformance/cases/refusal.h"

#define CLOSES                                                                                     \
    "the Network Connection is closed; a DISCONNECT that says why should come before that"

static void need_alias(struct test *test)
{
    if (test->server->topic_alias_maximum == 0)
        not_applicable(test, "the server takes no Topic Aliases");
}

static void publish_alias(struct client *client, struct text topic, uint16_t alias,
                          struct text payload)
{
    struct packet publish = exchange_publish(topic, payload, exchange_qos(client->test, 1));
    property_add(&publish.properties, TOPIC_ALIAS, alias);
    client_publish_packet(client, &publish);
}

static void want_no_alias(struct test *test, const struct packet *packet)
{
    if (property_find(&packet->properties, TOPIC_ALIAS) != NULL)
        fail(test, "delivered with a Topic Alias to a client whose Topic Alias Maximum is 0");
}

/* ---- From the client to the server ---- */

CASE(topic_aliases_are_taken_up_to_the_maximum, .v5 = "MQTT-3.3.2-12 MQTT-3.1.2-27",
     .sends =
         "PUBLISH with a topic and the aliases 1 and Topic Alias Maximum; then without the topic",
     .allowed = "a subscriber gets all of them under the right topic, and without an alias",
     .faults = "refuses_highest_alias alias_unasked")
{
    need_alias(test);
    need_wildcard(test);
    struct text one = topic_of(test, "one"), top = topic_of(test, "top");
    uint16_t most = test->server->topic_alias_maximum;
    struct client *subscriber =
        exchange_subscriber(test, "subscriber", topic_of(test, "+"), exchange_qos(test, 1));
    struct client *publisher = client_connected(test, "publisher");
    publish_alias(publisher, most > 1 ? one : top, 1, TEXT("a"));
    publish_alias(publisher, top, most, TEXT("b"));
    publish_alias(publisher, TEXT(""), 1, TEXT("c"));
    publish_alias(publisher, TEXT(""), most, TEXT("d"));
    publish_alias(publisher, TEXT(""), 1, TEXT("e"));
    static const char *const payloads[] = {"a", "b", "c", "d", "e"};
    for (unsigned i = 0; i < 5; i++) {
        struct packet got =
            take_publish(subscriber, i % 2 == 0 && most > 1 ? one : top, text_of(payloads[i]));
        want_no_alias(test, &got);
    }
}

CASE(topic_alias_can_be_set_anew, .v5 = "MQTT-3.3.2-12",
     .sends = "PUBLISH with alias 1 for one topic, then for another, then with the alias alone",
     .allowed = "the last one is delivered under the second topic",
     .why = "5.0 section 3.3.2.3.4: a new PUBLISH with a topic and the alias replaces the mapping",
     .faults = "never_remaps_alias")
{
    need_alias(test);
    need_wildcard(test);
    struct text first = topic_of(test, "first"), second = topic_of(test, "second");
    struct client *subscriber =
        exchange_subscriber(test, "subscriber", topic_of(test, "+"), exchange_qos(test, 1));
    struct client *publisher = client_connected(test, "publisher");
    publish_alias(publisher, first, 1, TEXT("a"));
    publish_alias(publisher, second, 1, TEXT("b"));
    publish_alias(publisher, TEXT(""), 1, TEXT("c"));
    take_publish(subscriber, first, TEXT("a"));
    take_publish(subscriber, second, TEXT("b"));
    take_publish(subscriber, second, TEXT("c"));
}

CASE(topic_aliases_belong_to_one_client, .v5 = "MQTT-3.3.2-12",
     .sends = "two clients set alias 1 to different topics, then both use it alone",
     .allowed = "each message is delivered under the topic of its own publisher",
     .faults = "shares_aliases")
{
    need_alias(test);
    need_wildcard(test);
    struct text left = topic_of(test, "left"), right = topic_of(test, "right");
    struct client *subscriber =
        exchange_subscriber(test, "subscriber", topic_of(test, "+"), exchange_qos(test, 1));
    struct client *first = client_connected(test, "first");
    struct client *second = client_connected(test, "second");
    publish_alias(first, left, 1, TEXT("a"));
    take_publish(subscriber, left, TEXT("a"));
    publish_alias(second, right, 1, TEXT("b"));
    take_publish(subscriber, right, TEXT("b"));
    publish_alias(first, TEXT(""), 1, TEXT("c"));
    take_publish(subscriber, left, TEXT("c"));
    publish_alias(second, TEXT(""), 1, TEXT("d"));
    take_publish(subscriber, right, TEXT("d"));
}

static void refuse_alias(struct refusal *refusal, struct text topic, uint16_t alias, uint8_t code,
                         const char *variant)
{
    struct packet publish = exchange_publish(topic, TEXT("x"), 0);
    property_add(&publish.properties, TOPIC_ALIAS, alias);
    refusal_packet(refusal, &publish, code, variant);
}

CASE(topic_alias_0, .v5 = "MQTT-3.3.2-8", .sends = "PUBLISH with Topic Alias 0", .allowed = CLOSES,
     .faults = "accepts_alias_0")
{
    struct refusal refusal = refusal_begin(test);
    refuse_alias(&refusal, topic_of(test, "x"), 0, 0, "Topic Alias 0 with a topic");
    refuse_alias(&refusal, TEXT(""), 0, 0, "Topic Alias 0 without a topic");
    refusal_end(&refusal);
}

CASE(topic_alias_above_the_maximum, .v5 = "MQTT-3.3.2-9 MQTT-3.2.2-17 MQTT-3.2.2-18",
     .sends = "PUBLISH with the Topic Aliases Topic Alias Maximum + 1 and 65535", .allowed = CLOSES,
     .faults = "accepts_alias_above_maximum")
{
    uint16_t most = test->server->topic_alias_maximum;
    if (most == 65535)
        not_applicable(test, "the server takes every Topic Alias");
    struct refusal refusal = refusal_begin(test);
    refuse_alias(&refusal, topic_of(test, "x"), most + 1, 0x94, "Topic Alias Maximum + 1");
    refuse_alias(&refusal, topic_of(test, "x"), 65535, 0x94, "Topic Alias 65535");
    refusal_end(&refusal);
}

CASE(topic_alias_that_was_never_set, .v5 = "MQTT-4.13.1-1",
     .sends =
         "PUBLISH with an empty topic and an alias that this client has not set; another client "
         "has",
     .allowed = CLOSES, .why = "5.0 section 3.3.2.1 makes it a Protocol Error",
     .faults = "accepts_unknown_alias")
{
    need_alias(test);
    struct client *other = client_connected(test, "other");
    publish_alias(other, topic_of(test, "x"), 1, TEXT("x"));
    struct refusal refusal = refusal_begin(test);
    refuse_alias(&refusal, TEXT(""), 1, 0, "an alias that was never set");
    refusal_end(&refusal);
}

CASE(topic_aliases_end_with_the_connection, .v5 = "MQTT-3.3.2-7",
     .sends = "PUBLISH that sets alias 1; the client comes back to its session and uses the alias "
              "alone",
     .allowed = CLOSES, .faults = "keeps_aliases")
{
    need_alias(test);
    struct client *client = client_connected_stored(test, "client", EXCHANGE_EXPIRY_S);
    publish_alias(client, topic_of(test, "x"), 1, TEXT("x"));
    client_disconnect(client);
    exchange_return(client);
    struct refusal refusal = refusal_begin(test);
    struct packet publish = exchange_publish(TEXT(""), TEXT("x"), 0);
    property_add(&publish.properties, TOPIC_ALIAS, 1);
    client_send(client, &publish);
    refusal_judge(&refusal, client, true, 0, "an alias of an earlier connection");
    refusal_end(&refusal);
}

/* ---- From the server to the client ---- */

/* The harness reads each alias against what the client allows and what was set on the connection.
 */

enum { ALIASES = 2, TOPICS = 5, MESSAGES = 6 * TOPICS, HELD = 2 };

static void connect_with_aliases(struct client *client, bool clean_start)
{
    struct packet connect = connect_of(client);
    connect.clean_start = clean_start;
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, EXCHANGE_EXPIRY_S);
    property_add(&connect.properties, TOPIC_ALIAS_MAXIMUM, ALIASES);
    client_connect_ok(client, &connect);
}

CASE(server_keeps_to_the_clients_topic_alias_maximum,
     .v5 = "MQTT-3.3.2-11 MQTT-3.1.2-26 MQTT-3.3.2-8 MQTT-3.3.2-7",
     .sends =
         "messages to five topics in turn, for a subscriber with Topic Alias Maximum 2; it does "
         "not acknowledge the last ones, loses its connection and comes back",
     .allowed = "no alias, or 1 and 2, each set before it is used alone; after the return, too",
     .faults = "exceeds_alias_maximum sends_alias_0 carries_own_aliases")
{
    need_qos(test, 1);
    struct client *subscriber = client_new(test, "subscriber");
    connect_with_aliases(subscriber, true);
    struct text topics[TOPICS];
    for (unsigned i = 0; i < TOPICS; i++) {
        topics[i] = topic_of(test, "%u", i);
        client_subscribe(subscriber, topics[i], 1);
    }
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct text topic = topics[i / 2 % TOPICS], payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 1, false);
        struct packet got = expect_publish(subscriber, topic, payload);
        if (i < MESSAGES - HELD)
            acknowledge(subscriber, &got);
    }
    client_drop(subscriber);
    connect_with_aliases(subscriber, false);
    for (unsigned i = MESSAGES - HELD; i < MESSAGES; i++)
        take_publish(subscriber, topics[i / 2 % TOPICS], text_printf(test, "%u", i));
}

CASE(server_uses_no_alias_unasked, .v5 = "MQTT-3.1.2-27 MQTT-3.3.2-11",
     .sends = "several messages to one topic, with an alias where the server takes one, for "
              "subscribers without Topic Alias Maximum and with 0",
     .allowed = "they get the whole topic each time and never an alias", .faults = "alias_unasked")
{
    struct text topic = topic_of(test, "x");
    struct client *absent = exchange_subscriber(test, "absent", topic, 0);
    struct client *zero = client_new(test, "zero");
    struct packet connect = connect_of(zero);
    property_add(&connect.properties, TOPIC_ALIAS_MAXIMUM, 0);
    client_connect_ok(zero, &connect);
    client_subscribe(zero, topic, 0);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 5; i++) {
        if (test->server->topic_alias_maximum > 0)
            publish_alias(publisher, i == 0 ? topic : TEXT(""), 1, TEXT("x"));
        else
            client_publish(publisher, topic, TEXT("x"), 0, false);
        struct packet first = expect_publish(absent, topic, TEXT("x"));
        struct packet second = expect_publish(zero, topic, TEXT("x"));
        want_no_alias(test, &first);
        want_no_alias(test, &second);
    }
}
