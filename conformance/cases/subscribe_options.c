/* 3.8.3.1, 3.3.1.3, 3.3.2.3.8: what a subscription brings with it: retained messages, the RETAIN
 * flag, Subscription Identifiers. */
#include "conformance/cases/subscription.h"

/* ---- Retained messages at a subscription ---- */

/* The next PUBLISH is this retained one. */
static void take_retained(struct client *client, struct text topic, struct text payload,
                          uint8_t qos)
{
    struct packet publish = take_publish(client, topic, payload);
    if (!publish.retain)
        fail_statement(client->test, client->version == VERSION_5 ? "MQTT-3.3.1-9" : "MQTT-3.3.1-8",
                       "a message sent because of a new subscription has RETAIN 0");
    if (publish.qos != qos)
        fail(client->test, "the retained message came at QoS %u, not at %u", publish.qos, qos);
}

CASE(a_new_subscription_brings_the_retained_message, .v5 = "MQTT-3.3.1-9 MQTT-3.8.4-8",
     .v311 = "MQTT-3.3.1-6 MQTT-3.3.1-8 MQTT-3.8.4-6",
     .sends = "a retained message at QoS 2; subscriptions at QoS 0, 1 and 2",
     .allowed = "the message once for each, with RETAIN 1, at the QoS granted",
     .faults = "sends_retained_never clears_retain never_retains retained_at_qos_0")
{
    need_retain(test);
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct text topic = topic_of(test, "retained");
    client_publish(publisher, topic, TEXT("kept"), 2, true);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct client *subscriber = client_connected(test, "subscriber");
        client_subscribe(subscriber, topic, qos);
        take_retained(subscriber, topic, TEXT("kept"), qos);
        expect_quiet(subscriber);
        client_disconnect(subscriber);
    }
}

CASE(a_wildcard_subscription_brings_all_retained_messages, .v5 = "MQTT-3.3.1-9",
     .v311 = "MQTT-3.3.1-6",
     .sends = "twelve retained messages, one removed again; subscriptions with + and #",
     .allowed = "the eleven that are left, each once, in any order",
     .faults = "sends_one_retained sends_retained_never keeps_retained_after_empty")
{
    enum { MESSAGES = 12, REMOVED = 5 };
    need_retain(test);
    need_wildcard(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < MESSAGES; i++)
        client_publish(publisher, topic_of(test, "many/%u", i), TEXT("kept"), 1, true);
    client_publish(publisher, topic_of(test, "many/%u", REMOVED), (struct text){0}, 1, true);
    const char *const filters[] = {"many/+", "many/#"};
    for (unsigned f = 0; f < 2; f++) {
        struct client *subscriber = client_connected(test, "subscriber");
        client_subscribe(subscriber, topic_of(test, "%s", filters[f]), 1);
        unsigned seen = 0;
        for (unsigned n = 0; n < MESSAGES - 1; n++) {
            struct packet publish = expect(subscriber, PUBLISH);
            acknowledge(subscriber, &publish);
            unsigned which = 0;
            while (which < MESSAGES && !text_equal(publish.topic, topic_of(test, "many/%u", which)))
                which++;
            if (which == MESSAGES || which == REMOVED || (seen & (1U << which)) != 0)
                fail(test, "\"%.*s\" came: removed, unknown, or a second time",
                     (int)publish.topic.size, publish.topic.data);
            seen |= 1U << which;
        }
        expect_quiet(subscriber);
        client_disconnect(subscriber);
    }
}

CASE(a_repeated_subscribe_brings_retained_messages_again, .v5 = "MQTT-3.8.4-4 MQTT-3.3.1-9",
     .v311 = "MQTT-3.8.4-3", .sends = "the same SUBSCRIBE three times; 5.0: with Retain Handling 0",
     .allowed = "the retained message each time",
     .faults = "withholds_retained_at_resubscribe sends_retained_never")
{
    need_retain(test);
    need_qos(test, 1);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "again");
    client_publish(client, topic, TEXT("kept"), 1, true);
    for (unsigned i = 0; i < 3; i++) {
        client_subscribe(client, topic, 1);
        take_retained(client, topic, TEXT("kept"), 1);
    }
    expect_quiet(client);
}

CASE(retain_handling_1_sends_only_to_new_subscriptions, .v5 = "MQTT-3.3.1-10",
     .sends = "SUBSCRIBE with Retain Handling 1 twice, UNSUBSCRIBE, SUBSCRIBE once more; then the "
              "same over a reconnect",
     .allowed = "the retained message at the first, at the one after UNSUBSCRIBE, and not where "
                "the subscription existed",
     .faults = "sends_retained_always sends_retained_never")
{
    need_retain(test);
    need_qos(test, 1);
    struct client *client = client_connected_stored(test, "client", 60);
    struct text topic = topic_of(test, "handling1");
    const uint8_t options = 1 | SUBSCRIBE_RETAIN_HANDLING(1);
    client_publish(client, topic, TEXT("kept"), 1, true);
    client_subscribe(client, topic, options);
    take_retained(client, topic, TEXT("kept"), 1);
    client_subscribe(client, topic, options);
    expect_quiet(client);
    client_unsubscribe(client, topic);
    client_subscribe(client, topic, options);
    take_retained(client, topic, TEXT("kept"), 1);
    client_disconnect(client);
    client_resume(client, 60);
    client_subscribe(client, topic, options);
    expect_quiet(client);
}

CASE(retain_handling_2_sends_none, .v5 = "MQTT-3.3.1-11",
     .sends = "SUBSCRIBE with Retain Handling 2, new and repeated, to a topic and to a wildcard",
     .allowed = "no retained message; what is published afterwards comes",
     .faults = "sends_retained_always claims_subscription")
{
    need_retain(test);
    need_wildcard(test);
    need_qos(test, 1);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "handling2/x");
    client_publish(client, topic, TEXT("kept"), 1, true);
    client_subscribe(client, topic, 1 | SUBSCRIBE_RETAIN_HANDLING(2));
    client_subscribe(client, topic, 1 | SUBSCRIBE_RETAIN_HANDLING(2));
    expect_quiet(client);
    client_unsubscribe(client, topic);
    client_subscribe(client, topic_of(test, "handling2/+"), 1 | SUBSCRIBE_RETAIN_HANDLING(2));
    expect_quiet(client);
    client_publish(client, topic, TEXT("live"), 1, false);
    take_publish(client, topic, TEXT("live"));
}

CASE(each_filter_has_its_own_retain_handling, .v5 = "MQTT-3.3.1-9 MQTT-3.3.1-11 MQTT-3.8.4-5",
     .sends = "one SUBSCRIBE with three filters and Retain Handling 0, 2 and 1; all three topics "
              "hold a retained message",
     .allowed = "the first and the third, in any order",
     .faults = "sends_retained_always sends_retained_never first_filter_only")
{
    need_retain(test);
    need_qos(test, 1);
    struct client *client = client_connected(test, "client");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 3};
    static const uint8_t handling[] = {0, 2, 1};
    for (unsigned i = 0; i < 3; i++) {
        struct text topic = topic_of(test, "own/%u", i);
        client_publish(client, topic, TEXT("kept"), 1, true);
        subscribe.filters[i] = (struct filter){topic, SUBSCRIBE_RETAIN_HANDLING(handling[i])};
    }
    client_subscribe_raw(client, &subscribe);
    unsigned seen = 0;
    for (unsigned n = 0; n < 2; n++) {
        struct packet publish = expect(client, PUBLISH);
        for (unsigned i = 0; i < 3; i++) {
            if (text_equal(publish.topic, subscribe.filters[i].filter))
                seen |= 1U << i;
        }
    }
    if (seen != 5)
        fail(test, "the retained messages of other filters came: 0x%X as bits, not 0x5", seen);
    expect_quiet(client);
}

/* ---- RETAIN of what is forwarded ---- */

static void forwarded_retain(struct client *client, struct text topic, const char *payload,
                             bool sent, bool owed)
{
    client_publish(client, topic, text_of(payload), 0, sent);
    struct packet publish = take_publish(client, topic, text_of(payload));
    if (publish.retain != owed)
        fail(client->test, "published with RETAIN %d, forwarded with RETAIN %d, not %d", sent,
             publish.retain, owed);
}

CASE(retain_as_published_1_keeps_the_flag, .v5 = "MQTT-3.3.1-13",
     .sends = "SUBSCRIBE with Retain As Published; PUBLISH with RETAIN 1 and 0",
     .allowed = "both as they were sent", .faults = "ignores_retain_as_published sets_retain")
{
    need_retain(test);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "as_published");
    client_subscribe(client, topic, SUBSCRIBE_RETAIN_AS_PUBLISHED);
    forwarded_retain(client, topic, "kept", true, true);
    forwarded_retain(client, topic, "not kept", false, false);
    forwarded_retain(client, topic, "", true, true);
}

CASE(live_messages_are_forwarded_without_retain, .v5 = "MQTT-3.3.1-12", .v311 = "MQTT-3.3.1-9",
     .sends = "SUBSCRIBE, 5.0: without Retain As Published; PUBLISH with RETAIN 1 and 0",
     .allowed = "both with RETAIN 0", .faults = "retain_as_published_unasked sets_retain")
{
    need_retain(test);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "cleared");
    client_subscribe(client, topic, 0);
    forwarded_retain(client, topic, "kept", true, false);
    forwarded_retain(client, topic, "not kept", false, false);
    forwarded_retain(client, topic, "", true, false);
}

CASE(retain_as_published_can_be_changed, .v5 = "MQTT-3.8.4-3 MQTT-3.3.1-12 MQTT-3.3.1-13",
     .sends = "SUBSCRIBE with Retain As Published 0, 1 and 0 again; a retained PUBLISH after each",
     .allowed = "RETAIN 0, 1 and 0",
     .faults = "retain_as_published_unasked ignores_retain_as_published")
{
    need_retain(test);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "changed");
    const uint8_t none = SUBSCRIBE_RETAIN_HANDLING(2);
    client_subscribe(client, topic, none);
    forwarded_retain(client, topic, "first", true, false);
    client_subscribe(client, topic, none | SUBSCRIBE_RETAIN_AS_PUBLISHED);
    forwarded_retain(client, topic, "second", true, true);
    client_subscribe(client, topic, none);
    forwarded_retain(client, topic, "third", true, false);
}

/* ---- Subscription Identifiers ---- */

static const struct property *only_identifier(struct test *test, const struct packet *publish)
{
    const struct property *found = NULL;
    for (unsigned i = 0; i < publish->properties.count; i++) {
        const struct property *property = &publish->properties.list[i];
        if (property->id != SUBSCRIPTION_IDENTIFIER)
            continue;
        if (found != NULL)
            fail(test, "two Subscription Identifiers for one subscription");
        found = property;
    }
    return found;
}

static void expect_identifier(struct client *client, struct text topic, struct text payload,
                              uint32_t identifier)
{
    struct packet publish = take_publish(client, topic, payload);
    const struct property *found = only_identifier(client->test, &publish);
    if (identifier == 0 && found != NULL)
        fail(client->test, "the Subscription Identifier %u came; the subscription has none",
             found->number);
    if (identifier != 0 && (found == NULL || found->number != identifier))
        fail(client->test, "Subscription Identifier %u came instead of %u",
             found == NULL ? 0 : found->number, identifier);
}

CASE(subscription_identifier_comes_with_each_message, .v5 = "MQTT-3.3.4-3",
     .sends = "subscriptions with identifiers of one to four bytes, and one without; a PUBLISH at "
              "each QoS to each",
     .allowed = "each with the identifier of its subscription",
     .faults = "drops_subscription_identifier wrong_subscription_identifier")
{
    static const uint32_t identifiers[] = {1, 127, 128, 16383, 16384, 2097152, 268435455, 0};
    need_subscription_identifier(test);
    need_qos(test, 2);
    struct client *client = client_connected(test, "client");
    for (size_t i = 0; i < sizeof identifiers / sizeof *identifiers; i++) {
        struct text topic = topic_of(test, "identifier/%zu", i);
        subscription_make(client, topic, 2, identifiers[i]);
        for (uint8_t qos = 0; qos <= 2; qos++) {
            client_publish(client, topic, TEXT("x"), qos, false);
            expect_identifier(client, topic, TEXT("x"), identifiers[i]);
        }
    }
}

CASE(subscription_identifier_is_replaced, .v5 = "MQTT-3.8.4-3 MQTT-3.3.4-3",
     .sends = "the same filter with identifier 7, with 8, without one and with 9",
     .allowed = "messages with the identifier of the last SUBSCRIBE, or none",
     .faults = "keeps_subscription_identifier drops_subscription_identifier")
{
    need_subscription_identifier(test);
    static const uint32_t identifiers[] = {7, 8, 0, 9};
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "replaced");
    for (unsigned i = 0; i < 4; i++) {
        subscription_make(client, topic, 0, identifiers[i]);
        client_publish(client, topic, TEXT("x"), 0, false);
        expect_identifier(client, topic, TEXT("x"), identifiers[i]);
    }
}

CASE(subscription_identifier_belongs_to_all_filters, .v5 = "MQTT-3.3.4-3 MQTT-3.8.4-5",
     .sends = "one SUBSCRIBE with three filters and one identifier; a PUBLISH to each",
     .allowed = "all with this identifier",
     .faults = "drops_subscription_identifier identifier_of_first_filter_only")
{
    need_subscription_identifier(test);
    struct client *client = client_connected(test, "client");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 3};
    property_add(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, 77);
    for (unsigned i = 0; i < 3; i++)
        subscribe.filters[i].filter = topic_of(test, "all/%u", i);
    client_subscribe_raw(client, &subscribe);
    for (unsigned i = 0; i < 3; i++) {
        client_publish(client, subscribe.filters[i].filter, TEXT("x"), 0, false);
        expect_identifier(client, subscribe.filters[i].filter, TEXT("x"), 77);
    }
}

CASE(retained_messages_carry_the_subscription_identifier, .v5 = "MQTT-3.3.4-3",
     .sends = "SUBSCRIBE with an identifier to a topic that holds a retained message",
     .allowed = "the retained message with the identifier",
     .faults = "drops_subscription_identifier retained_without_identifier")
{
    need_subscription_identifier(test);
    need_retain(test);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "retained");
    client_publish(client, topic, TEXT("kept"), 1, true);
    subscription_make(client, topic, 1, 5);
    expect_identifier(client, topic, TEXT("kept"), 5);
    expect_quiet(client);
}

CASE(
    overlapping_subscriptions_name_all_identifiers,
    .v5 = "MQTT-3.3.4-2 MQTT-3.3.4-3 MQTT-3.3.4-4 MQTT-3.3.4-5",
    .sends =
        "subscriptions to a/b (1), a/+ (2), a/# (3), the last two at other QoS; PUBLISH to a/b "
        "at QoS 2",
    .allowed = "one copy with all three identifiers, or a copy for each with its own; one at QoS 2",
    .why = "an identifier that was used for two filters may come once or twice; here each filter "
           "has its own",
    .faults = "one_subscription_identifier drops_subscription_identifier", .timing = true)
{
    need_subscription_identifier(test);
    need_wildcard(test);
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "a/b");
    subscription_make(subscriber, topic, 0, 1);
    subscription_make(subscriber, topic_of(test, "a/+"), 2, 2);
    subscription_make(subscriber, topic_of(test, "a/#"), 1, 3);
    client_publish(publisher, topic, TEXT("to all"), 2, false);
    subscription_take_copies(subscriber, topic, TEXT("to all"), 1U << 1 | 1U << 2 | 1U << 3, 0, 2);
    client_publish(publisher, topic_of(test, "a/c"), TEXT("to two"), 1, false);
    subscription_take_copies(subscriber, topic_of(test, "a/c"), TEXT("to two"), 1U << 2 | 1U << 3,
                             0, 1);
}

CASE(overlapping_subscriptions_with_and_without_identifier, .v5 = "MQTT-3.3.4-3 MQTT-3.3.4-4",
     .sends = "subscriptions to a/b without identifier and to a/+ with one; PUBLISH to a/b",
     .allowed = "a copy with the identifier, and perhaps one without",
     .faults = "drops_subscription_identifier", .timing = true)
{
    need_subscription_identifier(test);
    need_wildcard(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "a/b");
    subscription_make(subscriber, topic, 1, 0);
    subscription_make(subscriber, topic_of(test, "a/+"), 1, 4);
    client_publish(publisher, topic, TEXT("x"), 1, false);
    subscription_take_copies(subscriber, topic, TEXT("x"), 1U << 4, 1, 1);
}
