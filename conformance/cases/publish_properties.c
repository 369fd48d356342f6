/* The properties of a PUBLISH in 5.0 (section 3.3.2.3): forwarded as they came, refused where they
 * may not stand. Message expiry, aliases and Subscription Identifiers have files of their own. */
#include "conformance/cases/exchange.h"
#include "conformance/cases/refusal.h"

/* ---- Forwarding ---- */

static const struct property *next_of(const struct properties *properties, uint32_t id,
                                      unsigned *at)
{
    while (*at < properties->count) {
        const struct property *property = &properties->list[(*at)++];
        if (property->id == id)
            return property;
    }
    return NULL;
}

static void want_same(struct test *test, const struct properties *sent, const struct packet *got,
                      uint32_t id, const char *where)
{
    unsigned sent_at = 0, got_at = 0;
    for (unsigned i = 1;; i++) {
        const struct property *owed = next_of(sent, id, &sent_at);
        const struct property *is = next_of(&got->properties, id, &got_at);
        if (owed == NULL && is == NULL)
            return;
        if (owed == NULL || is == NULL)
            fail(test, "%s: %s number %u is %s", where, property_name(id), i,
                 owed == NULL ? "an invention of the server" : "missing");
        if (owed->number != is->number || !text_equal(owed->text, is->text) ||
            !text_equal(owed->value, is->value))
            fail(test, "%s: %s number %u is not what the publisher sent", where, property_name(id),
                 i);
    }
}

/* To a subscriber at each QoS, one whose session waits, and one that comes for the retained
 * message: all of them get the properties of that kind as they were sent. */
static void forwards(struct test *test, const struct properties *properties, uint32_t id)
{
    static const char *const roles[] = {"zero", "one", "two"};
    static const char *const wheres[] = {"delivered at QoS 0", "delivered at QoS 1",
                                         "delivered at QoS 2"};
    struct client *here[3];
    struct text topic = topic_of(test, "x");
    need_qos(test, 2);
    for (uint8_t qos = 0; qos <= 2; qos++)
        here[qos] = exchange_subscriber(test, roles[qos], topic, qos);
    struct client *away = exchange_stored_subscriber(test, "away", topic, 1);
    client_disconnect(away);

    struct packet publish = exchange_publish(topic, TEXT("payload"), 2);
    publish.properties = *properties;
    publish.retain = test->server->retain_available;
    struct client *publisher = client_connected(test, "publisher");
    client_publish_packet(publisher, &publish);

    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct packet got = take_publish(here[qos], topic, TEXT("payload"));
        want_same(test, properties, &got, id, wheres[qos]);
    }
    exchange_return(away);
    struct packet got = take_publish(away, topic, TEXT("payload"));
    want_same(test, properties, &got, id, "after it waited for the session");
    if (!publish.retain)
        return;
    got = take_publish(exchange_subscriber(test, "late", topic, 1), topic, TEXT("payload"));
    want_same(test, properties, &got, id, "as the retained message");
}

#define FORWARDED                                                                                  \
    "every subscriber gets it unaltered: those who are there at QoS 0, 1 and 2, one whose "        \
    "session "                                                                                     \
    "was away, and one that gets the retained message"

CASE(payload_format_indicator_is_forwarded, .v5 = "MQTT-3.3.2-4",
     .sends = "PUBLISH with Payload Format Indicator 1", .allowed = FORWARDED,
     .faults = "drops_payload_format_indicator")
{
    struct properties properties = {0};
    property_add(&properties, PAYLOAD_FORMAT_INDICATOR, 1);
    forwards(test, &properties, PAYLOAD_FORMAT_INDICATOR);
}

CASE(content_type_is_forwarded, .v5 = "MQTT-3.3.2-20",
     .sends = "PUBLISH with a Content Type, with characters of two to four bytes in it",
     .allowed = FORWARDED, .faults = "drops_content_type alters_properties")
{
    struct properties properties = {0};
    property_add_text(&properties, CONTENT_TYPE,
                      TEXT("text/\xC3\xA9\xE2\x82\xAC\xF0\x9F\x93\xA1; charset=\"utf-8\""));
    forwards(test, &properties, CONTENT_TYPE);
}

CASE(response_topic_is_forwarded, .v5 = "MQTT-3.3.2-15", .sends = "PUBLISH with a Response Topic",
     .allowed = FORWARDED, .faults = "drops_response_topic alters_properties")
{
    struct properties properties = {0};
    property_add_text(&properties, RESPONSE_TOPIC, topic_of(test, "answers/\xC3\xA9//"));
    forwards(test, &properties, RESPONSE_TOPIC);
}

CASE(correlation_data_is_forwarded, .v5 = "MQTT-3.3.2-16",
     .sends = "PUBLISH with Correlation Data of every byte there is", .allowed = FORWARDED,
     .faults = "drops_correlation_data alters_properties")
{
    uint8_t *bytes = test_alloc(test, 256);
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)(255 - i);
    struct properties properties = {0};
    property_add_text(&properties, CORRELATION_DATA, (struct text){bytes, 256});
    forwards(test, &properties, CORRELATION_DATA);
}

CASE(user_properties_are_forwarded_in_order, .v5 = "MQTT-3.3.2-17 MQTT-3.3.2-18",
     .sends =
         "PUBLISH with 24 User Properties: equal names with different values, equal pairs, empty "
         "names and values, other properties between them",
     .allowed = FORWARDED ", in the same order and number",
     .faults = "drops_user_properties reorders_user_properties merges_user_properties "
               "alters_properties")
{
    struct properties properties = {0};
    for (unsigned i = 0; i < 20; i++) {
        if (i == 10)
            property_add_text(&properties, CONTENT_TYPE, TEXT("between"));
        property_add_user(&properties, i % 3 == 0 ? "same" : "z\xC3\xA9",
                          (const char *)text_printf(test, "%u", 99 - i).data);
    }
    property_add_user(&properties, "same", "99");
    property_add_user(&properties, "", "no name");
    property_add_user(&properties, "no value", "");
    property_add_user(&properties, "", "");
    forwards(test, &properties, USER_PROPERTY);
}

CASE(empty_properties_are_forwarded, .v5 = "MQTT-3.3.2-20 MQTT-3.3.2-16 MQTT-3.3.2-4",
     .sends =
         "PUBLISH with an empty Content Type, with Correlation Data of no bytes and with Payload "
         "Format Indicator 0",
     .allowed = "the subscriber gets all three; that Payload Format Indicator 0 is left out is "
                "debatable, since its absence means the same",
     .faults = "drops_content_type drops_correlation_data")
{
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 0);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = exchange_publish(topic, TEXT("x"), 0);
    property_add_text(&publish.properties, CONTENT_TYPE, TEXT(""));
    property_add_text(&publish.properties, CORRELATION_DATA, TEXT(""));
    property_add(&publish.properties, PAYLOAD_FORMAT_INDICATOR, 0);
    client_publish_packet(publisher, &publish);
    struct packet got = expect_publish(subscriber, topic, TEXT("x"));
    want_same(test, &publish.properties, &got, CONTENT_TYPE, "delivered");
    want_same(test, &publish.properties, &got, CORRELATION_DATA, "delivered");
    if (property_number(&got.properties, PAYLOAD_FORMAT_INDICATOR, 0) != 0)
        fail_statement(test, "MQTT-3.3.2-4", "Payload Format Indicator 0 is delivered as another");
    if (property_find(&got.properties, PAYLOAD_FORMAT_INDICATOR) == NULL)
        warn_debatable(test, "MQTT-3.3.2-4", "Payload Format Indicator 0 is left out");
}

/* ---- What is refused ---- */

#define CLOSES                                                                                     \
    "the Network Connection is closed; a DISCONNECT that says why should come before that"

static void refuse_properties(struct refusal *refusal, const struct properties *properties,
                              uint8_t code, const char *variant)
{
    struct packet publish = exchange_publish(topic_of(refusal->client->test, "x"), TEXT("x"), 0);
    publish.properties = *properties;
    refusal_packet(refusal, &publish, code, variant);
}

CASE(publish_with_wildcards_in_the_response_topic, .v5 = "MQTT-3.3.2-14",
     .sends = "PUBLISH with # or + in its Response Topic", .allowed = CLOSES,
     .faults = "accepts_wildcard_topic")
{
    static const char *const topics[] = {"a/#", "a/+/b", "#", "+"};
    struct refusal refusal = refusal_begin(test);
    for (unsigned i = 0; i < sizeof topics / sizeof *topics; i++) {
        struct properties properties = {0};
        property_add_text(&properties, RESPONSE_TOPIC, text_of(topics[i]));
        refuse_properties(&refusal, &properties, 0, topics[i]);
    }
    refusal_end(&refusal);
}

CASE(publish_with_strings_that_are_not_utf8, .v5 = "MQTT-3.3.2-13 MQTT-3.3.2-19",
     .sends = "PUBLISH with a Response Topic, and with a Content Type, that is not UTF-8",
     .allowed = CLOSES, .faults = "accepts_bad_utf8")
{
    struct refusal refusal = refusal_begin(test);
    struct properties response = {0}, content = {0};
    property_add_text(&response, RESPONSE_TOPIC,
                      TEXT("a\xC0\xAF"
                           "b"));
    refuse_properties(&refusal, &response, 0x81, "Response Topic with an overlong /");
    property_add_text(&content, CONTENT_TYPE,
                      TEXT("a\xED\xA0\x80"
                           "b"));
    refuse_properties(&refusal, &content, 0x81, "Content Type with U+D800");
    refusal_end(&refusal);
}

CASE(publish_with_a_subscription_identifier, .v5 = "MQTT-3.3.4-6",
     .sends = "a client's PUBLISH with a Subscription Identifier", .allowed = CLOSES,
     .faults = "accepts_subscription_identifier")
{
    struct refusal refusal = refusal_begin(test);
    struct properties properties = {0};
    property_add(&properties, SUBSCRIPTION_IDENTIFIER, 1);
    refuse_properties(&refusal, &properties, 0, "Subscription Identifier 1");
    refusal_end(&refusal);
}
