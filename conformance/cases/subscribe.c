/* 3.8 SUBSCRIBE: what is refused, replacing, No Local, granted QoS. What retained messages and
 * Subscription Identifiers a subscription brings is in subscribe_options.c. */
#include "conformance/cases/refusal.h"
#include "conformance/cases/subscription.h"

/* ---- Malformed packets. What holds of all requests alike stands with the other families: reserved
 * flags and lengths in fixed_header.c, strings in strings.c, properties in properties.c ---- */

CASE(subscribe_without_filter_is_refused, .v5 = "MQTT-3.8.3-2 MQTT-4.13.1-1",
     .v311 = "MQTT-3.8.3-3 MQTT-4.8.0-1", .sends = "SUBSCRIBE without any Topic Filter",
     .allowed = "the Network Connection is closed", .faults = "accepts_no_filters keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet subscribe = {.type = SUBSCRIBE, .packet_id = 10};
    refusal_packet(&refusal, &subscribe, 0x82, "no payload");
    refusal_end(&refusal);
}

struct bad_options {
    uint8_t options;
    uint8_t code; /* that 5.0 names */
    const char *name;
};

static void try_bad_options(struct test *test, const struct bad_options *list, size_t count)
{
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < count; i++) {
        struct packet subscribe = {.type = SUBSCRIBE, .packet_id = 10, .filter_count = 2};
        subscribe.filters[0].filter = topic_of(test, "sound");
        subscribe.filters[1] = (struct filter){topic_of(test, "options"), list[i].options};
        refusal_packet(&refusal, &subscribe, list[i].code, list[i].name);
    }
    refusal_end(&refusal);
}

CASE(subscribe_reserved_option_bits_are_malformed, .v5 = "MQTT-3.8.3-5",
     .sends = "SUBSCRIBE whose second filter has bit 6, bit 7 or both set in its options",
     .allowed = "the Network Connection is closed each time",
     .faults = "accepts_bad_options keeps_open")
{
    static const struct bad_options list[] = {
        {0x40, 0x81, "bit 6"}, {0x80, 0x81, "bit 7"}, {0xC1, 0x81, "bits 6 and 7"}};
    try_bad_options(test, list, sizeof list / sizeof *list);
}

CASE(subscribe_qos_3_and_retain_handling_3_are_refused, .v5 = "MQTT-4.13.1-1",
     .sends = "SUBSCRIBE with Maximum QoS 3, and with Retain Handling 3",
     .allowed = "the Network Connection is closed each time",
     .why = "5.0 section 3.8.3.1 calls both a Protocol Error",
     .faults = "accepts_bad_options keeps_open")
{
    static const struct bad_options list[] = {
        {0x03, 0, "Maximum QoS 3"}, {0x30, 0, "Retain Handling 3"}, {0x33, 0, "both"}};
    try_bad_options(test, list, sizeof list / sizeof *list);
}

CASE(subscribe_reserved_qos_bits_are_malformed, .v311 = "MQTT-3.8.3-4",
     .sends = "SUBSCRIBE whose second filter has one of bits 2 to 7 set in its Requested QoS, or "
              "QoS 3",
     .allowed = "the Network Connection is closed each time",
     .faults = "accepts_bad_options keeps_open")
{
    static const struct bad_options list[] = {
        {0x03, 0, "QoS 3"}, {0x04, 0, "bit 2"}, {0x08, 0, "bit 3"}, {0x10, 0, "bit 4"},
        {0x20, 0, "bit 5"}, {0x40, 0, "bit 6"}, {0x80, 0, "bit 7"}};
    try_bad_options(test, list, sizeof list / sizeof *list);
}

CASE(subscription_identifier_0_is_refused, .v5 = "MQTT-4.13.1-1",
     .sends = "SUBSCRIBE with the Subscription Identifier 0, and with two different ones",
     .allowed = "the Network Connection is closed each time",
     .why = "5.0 section 3.8.2.1.2 calls both a Protocol Error",
     .faults = "accepts_bad_property_value keeps_open")
{
    need_subscription_identifier(test);
    struct refusal refusal = refusal_begin(test);
    refusal_hex(&refusal, "82 09 000A 02 0B00 0001 61 00", 0x82, "Subscription Identifier 0");
    refusal_hex(&refusal, "82 0B 000A 04 0B01 0B02 0001 61 00", 0x82, "Identifiers 1 and 2");
    refusal_end(&refusal);
}

CASE(subscribe_takes_user_properties, .v5 = "MQTT-3.8.4-1 MQTT-1.5.7-1",
     .sends = "SUBSCRIBE with three User Properties, one of them twice",
     .allowed = "SUBACK that grants, and delivery", .faults = "no_suback claims_subscription")
{
    struct client *client = client_connected(test, "user");
    struct text topic = topic_of(test, "user");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 1};
    subscribe.filters[0].filter = topic;
    property_add_user(&subscribe.properties, "name", "value");
    property_add_user(&subscribe.properties, "name", "value");
    property_add_user(&subscribe.properties, "", "");
    struct packet suback = client_subscribe_raw(client, &subscribe);
    if (suback.reason_codes.size != 1 || suback.reason_codes.data[0] != 0)
        fail(test, "the subscription was not granted");
    client_publish(client, topic, TEXT("x"), 0, false);
    expect_publish(client, topic, TEXT("x"));
}

/* ---- Replacing a subscription ---- */

/* Publishes at QoS 2 and wants exactly one copy, at that QoS. */
static void one_copy_at(struct client *publisher, struct client *subscriber, struct text topic,
                        const char *payload, uint8_t qos)
{
    client_publish(publisher, topic, text_of(payload), 2, false);
    struct packet copy = take_publish(subscriber, topic, text_of(payload));
    if (copy.qos != qos)
        fail(subscriber->test, "delivered at QoS %u; the subscription in force grants %u", copy.qos,
             qos);
    expect_quiet(subscriber);
}

CASE(same_filter_replaces_the_subscription, .v5 = "MQTT-3.8.4-3", .v311 = "MQTT-3.8.4-3",
     .sends = "SUBSCRIBE to one filter at QoS 2, then 0, then 1; a PUBLISH at QoS 2 after each",
     .allowed = "each time one copy, at the QoS of the last SUBSCRIBE",
     .faults = "keeps_old_subscription doubles_subscription")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "replaced/topic");
    client_subscribe(subscriber, topic, 2);
    one_copy_at(publisher, subscriber, topic, "first", 2);
    client_subscribe(subscriber, topic, 0);
    one_copy_at(publisher, subscriber, topic, "second", 0);
    client_subscribe(subscriber, topic, 1);
    one_copy_at(publisher, subscriber, topic, "third", 1);
}

CASE(same_wildcard_filter_replaces_the_subscription, .v5 = "MQTT-3.8.4-3", .v311 = "MQTT-3.8.4-3",
     .sends = "SUBSCRIBE to the same filters with + and with # at QoS 2, then 0",
     .allowed = "one copy of a message, at QoS 0",
     .faults = "keeps_old_subscription doubles_subscription")
{
    need_qos(test, 2);
    need_wildcard(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    const char *const endings[] = {"plus/+", "hash/#"};
    for (unsigned i = 0; i < 2; i++) {
        struct text filter = topic_of(test, "%s", endings[i]);
        client_subscribe(subscriber, filter, 2);
        client_subscribe(subscriber, filter, 0);
    }
    one_copy_at(publisher, subscriber, topic_of(test, "plus/x"), "plus", 0);
    one_copy_at(publisher, subscriber, topic_of(test, "hash/x"), "hash", 0);
}

enum { STREAM = 60, RESUBSCRIBE_EACH = 6 };

/* The next message is this one; SUBACKs may come before it. */
static void take_in_stream(struct client *subscriber, struct text topic, struct text payload)
{
    struct test *test = subscriber->test;
    struct packet packet;
    bool closed = false;
    do {
        if (!receive(subscriber, test->time_limit_ms, &packet, &closed))
            fail(test, "message \"%.*s\" never came", (int)payload.size, payload.data);
    } while (packet.type == SUBACK);
    if (packet.type != PUBLISH || !text_equal(packet.topic, topic) ||
        !text_equal(packet.payload, payload))
        fail(test, "%s \"%.*s\" came where message \"%.*s\" was due", packet_name(packet.type),
             (int)packet.payload.size, packet.payload.data, (int)payload.size, payload.data);
    acknowledge(subscriber, &packet);
}

CASE(replacing_a_subscription_loses_no_message, .v5 = "MQTT-3.8.4-4", .v311 = "MQTT-3.8.4-3",
     .sends = "60 messages at QoS 1, while the subscriber sends the same SUBSCRIBE again and again "
              "without waiting",
     .allowed = "all 60, in their order", .faults = "interrupts_at_resubscribe loses_qos_1")
{
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "stream");
    struct packet again = {.type = SUBSCRIBE, .filter_count = 1};
    again.filters[0] = (struct filter){topic, 1};
    client_subscribe(subscriber, topic, 1);
    for (unsigned i = 0; i < STREAM; i++) {
        struct text payload = text_printf(test, "%u", i);
        if (i % RESUBSCRIBE_EACH == 0) {
            again.packet_id = subscriber->next_packet_id++;
            client_send(subscriber, &again);
        }
        client_publish(publisher, topic, payload, 1, false);
        take_in_stream(subscriber, topic, payload);
    }
}

CASE(one_packet_can_replace_its_own_filter, .v5 = "MQTT-3.8.4-5", .v311 = "MQTT-3.8.4-4",
     .sends = "one SUBSCRIBE with the same filter at QoS 2, another filter, the same at QoS 0; a "
              "PUBLISH to both topics",
     .allowed = "one copy of each, the first at QoS 0 as if three SUBSCRIBEs had come",
     .faults = "doubles_subscription first_filter_only")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "twice"), other = topic_of(test, "other");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 3};
    subscribe.filters[0] = (struct filter){topic, 2};
    subscribe.filters[1] = (struct filter){other, 1};
    subscribe.filters[2] = (struct filter){topic, 0};
    client_subscribe_raw(subscriber, &subscribe);
    one_copy_at(publisher, subscriber, topic, "twice", 0);
    one_copy_at(publisher, subscriber, other, "other", 1);
}

/* ---- QoS ---- */

CASE(delivered_qos_is_the_lower_of_published_and_granted, .v5 = "MQTT-3.8.4-8",
     .v311 = "MQTT-3.8.4-6",
     .sends = "messages at QoS 0, 1 and 2 to subscriptions at QoS 0, 1 and 2",
     .allowed = "each at the lower of its QoS and the subscription's; 3.1.1: a message published "
                "at QoS 1 may come several times at QoS 0",
     .faults = "delivers_above_granted_qos delivers_below_granted_qos")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (uint8_t granted = 0; granted <= 2; granted++) {
        struct client *subscriber = client_connected(test, "subscriber");
        struct text topic = topic_of(test, "granted/%u", granted);
        client_subscribe(subscriber, topic, granted);
        static const uint8_t order[] = {0, 2, 1}; /* what may be doubled comes last */
        for (unsigned i = 0; i < 3; i++) {
            uint8_t published = order[i], owed = published < granted ? published : granted;
            struct text payload = text_printf(test, "%u", published);
            client_publish(publisher, topic, payload, published, false);
            struct packet copy = take_publish(subscriber, topic, payload);
            if (copy.qos != owed)
                fail(test, "published at QoS %u and granted QoS %u, delivered at QoS %u", published,
                     granted, copy.qos);
        }
        client_disconnect(subscriber);
    }
}

CASE(overlapping_filters_deliver_at_the_highest_qos, .v5 = "MQTT-3.3.4-2", .v311 = "MQTT-3.3.5-1",
     .sends = "subscriptions to a/b at QoS 0, a/+ at QoS 2 and a/# at QoS 1; PUBLISH to a/b at "
              "QoS 2, then 1",
     .allowed = "a copy at the QoS published, and perhaps a copy for each further subscription at "
                "its QoS",
     .faults = "lowest_qos_of_overlapping", .timing = true)
{
    need_qos(test, 2);
    need_wildcard(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "a/b");
    client_subscribe(subscriber, topic, 0);
    client_subscribe(subscriber, topic_of(test, "a/+"), 2);
    client_subscribe(subscriber, topic_of(test, "a/#"), 1);
    client_publish(publisher, topic, TEXT("high"), 2, false);
    subscription_take_copies(subscriber, topic, TEXT("high"), 0, 3, 2);
    client_publish(publisher, topic, TEXT("middle"), 1, false);
    subscription_take_copies(subscriber, topic, TEXT("middle"), 0, 3, 1);
}

/* ---- No Local ---- */

CASE(no_local_holds_back_only_own_messages, .v5 = "MQTT-3.8.3-3",
     .sends = "SUBSCRIBE with No Local and one without; PUBLISH by the subscriber and by another "
              "client",
     .allowed = "own messages on the second subscription only, the other's on both",
     .faults = "ignores_no_local never_delivers")
{
    struct client *self = client_connected(test, "self");
    struct client *other = client_connected(test, "other");
    struct text silent = topic_of(test, "no_local"), plain = topic_of(test, "local");
    client_subscribe(self, silent, SUBSCRIBE_NO_LOCAL);
    client_subscribe(self, plain, 0);
    client_publish(self, silent, TEXT("own"), 0, false);
    client_publish(self, plain, TEXT("own"), 0, false);
    expect_publish(self, plain, TEXT("own"));
    client_publish(other, silent, TEXT("another's"), 0, false);
    expect_publish(self, silent, TEXT("another's"));
    expect_quiet(self);
}

CASE(no_local_can_be_set_and_taken_back, .v5 = "MQTT-3.8.4-3 MQTT-3.8.3-3",
     .sends = "SUBSCRIBE without No Local, with it, without it again; an own PUBLISH after each",
     .allowed = "the first and the third message", .faults = "ignores_no_local no_local_for_ever")
{
    struct client *self = client_connected(test, "self");
    struct text topic = topic_of(test, "changed");
    client_subscribe(self, topic, 0);
    client_publish(self, topic, TEXT("first"), 0, false);
    expect_publish(self, topic, TEXT("first"));
    client_subscribe(self, topic, SUBSCRIBE_NO_LOCAL);
    client_publish(self, topic, TEXT("second"), 0, false);
    expect_quiet(self);
    client_subscribe(self, topic, 0);
    client_publish(self, topic, TEXT("third"), 0, false);
    expect_publish(self, topic, TEXT("third"));
}

CASE(no_local_holds_at_wildcards_and_every_qos, .v5 = "MQTT-3.8.3-3",
     .sends = "No Local subscriptions with + and #; own PUBLISHes at QoS 0, 1 and 2; then another "
              "client's",
     .allowed = "none of its own, and the other's",
     .faults = "ignores_no_local no_local_silences_all", .timing = true)
{
    need_qos(test, 2);
    need_wildcard(test);
    struct client *self = client_connected(test, "self");
    client_subscribe(self, topic_of(test, "a/+"), 2 | SUBSCRIBE_NO_LOCAL);
    client_subscribe(self, topic_of(test, "a/#"), 2 | SUBSCRIBE_NO_LOCAL);
    for (uint8_t qos = 0; qos <= 2; qos++)
        client_publish(self, topic_of(test, "a/b"), TEXT("own"), qos, false);
    expect_quiet(self);
    client_publish(client_connected(test, "other"), topic_of(test, "a/b"), TEXT("other's"), 1,
                   false);
    subscription_take_copies(self, topic_of(test, "a/b"), TEXT("other's"), 0, 2, 1);
}

CASE(a_plain_subscription_is_not_silenced_by_no_local, .v5 = "MQTT-3.8.3-3 MQTT-4.5.0-1",
     .sends = "overlapping subscriptions, one with No Local and one without; an own PUBLISH",
     .allowed = "the copy of the subscription without No Local",
     .faults = "no_local_silences_own withholds_own_messages")
{
    need_wildcard(test);
    struct client *self = client_connected(test, "self");
    struct text topic = topic_of(test, "a/b");
    client_subscribe(self, topic_of(test, "a/+"), SUBSCRIBE_NO_LOCAL);
    client_subscribe(self, topic, 0);
    client_publish(self, topic, TEXT("own"), 0, false);
    expect_publish(self, topic, TEXT("own"));
    expect_quiet(self);
}

CASE(no_local_goes_by_the_client_identifier, .v5 = "MQTT-3.8.3-3",
     .sends = "a stored session with a No Local subscription; its will fires while it is away, and "
              "another client publishes",
     .allowed = "the other client's message; the own will is a matter of reading",
     .faults = "loses_offline_messages")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "will");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 1);
    struct client *self = client_new(test, "self");
    struct packet connect = connect_of(self);
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 60);
    connect.will_topic = topic;
    connect.will_payload = TEXT("own will");
    connect.will_qos = 1;
    client_connect_ok(self, &connect);
    client_subscribe(self, topic, 1 | SUBSCRIBE_NO_LOCAL);
    client_drop(self);
    take_publish(watcher, topic, TEXT("own will"));
    client_publish(watcher, topic, TEXT("another's"), 1, false);

    client_resume(self, 60);
    struct packet first = expect(self, PUBLISH);
    acknowledge(self, &first);
    if (text_equal(first.payload, TEXT("own will"))) {
        warn_debatable(test, "MQTT-3.8.3-3",
                       "the client's own will came to its No Local subscription");
        first = expect(self, PUBLISH);
    }
    if (!text_equal(first.payload, TEXT("another's")))
        fail(test, "\"%.*s\" came instead of the other client's message", (int)first.payload.size,
             first.payload.data);
}
