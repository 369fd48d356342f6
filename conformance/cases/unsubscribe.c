/* 3.10 UNSUBSCRIBE, 3.11 UNSUBACK. */
#include "conformance/cases/refusal.h"
#include "conformance/cases/subscription.h"

enum { NO_SUBSCRIPTION_EXISTED = 0x11 };

CASE(unsubscribe_without_filter_is_refused, .v5 = "MQTT-3.10.3-2 MQTT-4.13.1-1",
     .v311 = "MQTT-3.10.3-2 MQTT-4.8.0-1", .sends = "UNSUBSCRIBE without any Topic Filter",
     .allowed = "the Network Connection is closed", .faults = "accepts_no_filters keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet unsubscribe = {.type = UNSUBSCRIBE, .packet_id = 10};
    refusal_packet(&refusal, &unsubscribe, 0x82, "no payload");
    refusal_end(&refusal);
}

/* ---- UNSUBACK ---- */

static struct packet unsubscribe_raw(struct client *client, uint16_t packet_id,
                                     const struct text *filters, unsigned count)
{
    struct packet unsubscribe = {
        .type = UNSUBSCRIBE, .packet_id = packet_id, .filter_count = count};
    for (unsigned i = 0; i < count; i++)
        unsubscribe.filters[i].filter = filters[i];
    client_send(client, &unsubscribe);
    struct packet unsuback = expect(client, UNSUBACK);
    if (unsuback.packet_id != packet_id)
        fail_statement(client->test,
                       client->version == VERSION_5 ? "MQTT-3.10.4-5" : "MQTT-3.10.4-4",
                       "UNSUBACK for %u, not for %u", unsuback.packet_id, packet_id);
    if (client->version == VERSION_5 && unsuback.reason_codes.size != count)
        fail_statement(client->test, "MQTT-3.11.3-2", "%zu Reason Codes for %u filters",
                       unsuback.reason_codes.size, count);
    return unsuback;
}

CASE(unsuback_has_the_packet_identifier_of_its_unsubscribe,
     .v5 = "MQTT-3.10.4-4 MQTT-3.10.4-5 MQTT-2.2.1-6",
     .v311 = "MQTT-3.10.4-4 MQTT-3.10.4-5 MQTT-2.3.1-7",
     .sends = "UNSUBSCRIBE with the Packet Identifiers 1, 255, 256, 32768 and 65535, every second "
              "time from a subscription that does not exist",
     .allowed = "UNSUBACK with the same identifier each time",
     .faults = "wrong_suback_id no_unsuback no_unsuback_for_unknown")
{
    static const uint16_t identifiers[] = {1, 255, 256, 32768, 65535};
    struct client *client = client_connected(test, "client");
    for (size_t i = 0; i < sizeof identifiers / sizeof *identifiers; i++) {
        struct text filter = topic_of(test, "id/%zu", i);
        if (i % 2 == 0)
            client_subscribe(client, filter, 0);
        unsubscribe_raw(client, identifiers[i], &filter, 1);
    }
}

CASE(unsuback_has_a_code_for_each_filter_in_order,
     .v5 = "MQTT-3.10.4-6 MQTT-3.11.3-1 MQTT-3.11.3-2",
     .sends = "one UNSUBSCRIBE with seven filters: 1, 4 and 5 subscribed to, 6 the same as 5",
     .allowed = "one UNSUBACK with 0x00 for 1, 4 and 5 and 0x11 for the others",
     .why = "0x11 at the second time: several filters are worked off like several UNSUBSCRIBEs. "
            "Whether 0x00 may be said of a subscription that did not exist is remarked on only",
     .faults = "short_suback reverses_suback several_subacks undefined_suback_code")
{
    struct client *client = client_connected(test, "client");
    struct text filters[7];
    static const bool existed[7] = {false, true, false, false, true, true, false};
    for (unsigned i = 0; i < 7; i++) {
        filters[i] = topic_of(test, "filter/%u", i == 6 ? 5 : i);
        if (existed[i])
            client_subscribe(client, filters[i], 0);
    }
    struct packet unsuback = unsubscribe_raw(client, 9, filters, 7);
    unsigned missed = 0;
    for (unsigned i = 0; i < 7; i++) {
        uint8_t code = unsuback.reason_codes.data[i];
        if (existed[i] && code != 0)
            fail(test, "filter %u was subscribed to, and its code is 0x%02X", i, code);
        if (!existed[i] && code != NO_SUBSCRIPTION_EXISTED)
            missed++;
    }
    if (missed > 0)
        warn_debatable(test, "MQTT-3.11.3-2",
                       "no code 0x11 for %u of 4 filters without a subscription", missed);
    expect_quiet(client);
}

CASE(one_unsubscribe_removes_several, .v5 = "MQTT-3.10.4-2 MQTT-3.10.4-6",
     .v311 = "MQTT-3.10.4-2 MQTT-3.10.4-6",
     .sends = "one UNSUBSCRIBE from three of four subscriptions; a PUBLISH to each topic",
     .allowed = "one UNSUBACK, and only the message of the fourth",
     .faults = "first_filter_only claims_unsubscription several_subacks")
{
    struct client *client = client_connected(test, "client");
    struct text filters[4];
    for (unsigned i = 0; i < 4; i++) {
        filters[i] = topic_of(test, "several/%u", i);
        client_subscribe(client, filters[i], 1);
    }
    unsubscribe_raw(client, 9, filters, 3);
    for (unsigned i = 0; i < 4; i++)
        client_publish(client, filters[i], TEXT("x"), 1, false);
    take_publish(client, filters[3], TEXT("x"));
    expect_quiet(client);
}

CASE(unsubscribe_stops_new_messages, .v5 = "MQTT-3.10.4-1 MQTT-3.10.4-2",
     .v311 = "MQTT-3.10.4-1 MQTT-3.10.4-2",
     .sends = "UNSUBSCRIBE from a topic, a filter with + and one with #; PUBLISHes after UNSUBACK",
     .allowed = "none of them", .faults = "claims_unsubscription")
{
    need_wildcard(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    const char *const filters[] = {"exact/x", "plus/+", "hash/#"};
    const char *const topics[] = {"exact/x", "plus/x", "hash/x/y"};
    for (unsigned i = 0; i < 3; i++) {
        struct text filter = topic_of(test, "%s", filters[i]),
                    topic = topic_of(test, "%s", topics[i]);
        client_subscribe(subscriber, filter, 1);
        client_publish(publisher, topic, TEXT("before"), 1, false);
        take_publish(subscriber, topic, TEXT("before"));
        client_unsubscribe(subscriber, filter);
        client_publish(publisher, topic, TEXT("after"), 1, false);
    }
    expect_quiet(subscriber);
}

CASE(unsubscribe_compares_filters_character_by_character, .v5 = "MQTT-3.10.4-1",
     .v311 = "MQTT-3.10.4-1",
     .sends = "subscriptions to a/+ and A/b; UNSUBSCRIBE from a/#, a/b, a/b/+, A/+, a/+/ and #; "
              "then PUBLISHes that match",
     .allowed = "an UNSUBACK for each, and both subscriptions still deliver",
     .faults = "unsubscribes_by_matching")
{
    need_wildcard(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    client_subscribe(subscriber, topic_of(test, "a/+"), 0);
    client_subscribe(subscriber, topic_of(test, "A/b"), 0);
    const char *const others[] = {"a/#", "a/b", "a/b/+", "A/+", "a/+/", "#", "+/b", "A/B"};
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        client_unsubscribe(subscriber, topic_of(test, "%s", others[i]));
    client_publish(publisher, topic_of(test, "a/b"), TEXT("1"), 0, false);
    expect_publish(subscriber, topic_of(test, "a/b"), TEXT("1"));
    client_publish(publisher, topic_of(test, "A/b"), TEXT("2"), 0, false);
    expect_publish(subscriber, topic_of(test, "A/b"), TEXT("2"));
}

CASE(unsubscribe_leaves_overlapping_subscriptions, .v5 = "MQTT-3.10.4-1", .v311 = "MQTT-3.10.4-1",
     .sends = "subscriptions to a/b, a/+ and a/#; UNSUBSCRIBE from a/+, then from a/#, then a/b",
     .allowed = "deliveries until the last is removed",
     .faults = "unsubscribes_by_matching claims_unsubscription", .timing = true)
{
    need_wildcard(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text topic = topic_of(test, "a/b");
    const char *const filters[] = {"a/+", "a/#", "a/b"};
    for (unsigned i = 0; i < 3; i++)
        client_subscribe(subscriber, topic_of(test, "%s", filters[i]), 1);
    for (unsigned left = 2; left > 0; left--) {
        struct text payload = text_printf(test, "%u left", left);
        client_unsubscribe(subscriber, topic_of(test, "%s", filters[2 - left]));
        client_publish(publisher, topic, payload, 1, false);
        subscription_take_copies(subscriber, topic, payload, 0, left, 1);
    }
    client_unsubscribe(subscriber, topic);
    client_publish(publisher, topic, TEXT("none left"), 1, false);
    expect_quiet(subscriber);
}

/* ---- Deliveries that had begun ---- */

CASE(unsubscribe_lets_begun_deliveries_finish, .v5 = "MQTT-3.10.4-3", .v311 = "MQTT-3.10.4-3",
     .sends = "messages at QoS 1 and 2 that have been sent; UNSUBSCRIBE; then PUBACK and PUBREC",
     .allowed = "PUBREL and the end of the exchange; nothing new",
     .faults = "drops_begun_at_unsubscribe")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct text once = topic_of(test, "once"), exactly = topic_of(test, "exactly");
    client_subscribe(subscriber, once, 1);
    client_subscribe(subscriber, exactly, 2);
    client_publish(publisher, once, TEXT("begun"), 1, false);
    struct packet first = expect_publish(subscriber, once, TEXT("begun"));
    client_publish(publisher, exactly, TEXT("begun"), 2, false);
    struct packet second = expect_publish(subscriber, exactly, TEXT("begun"));
    client_unsubscribe(subscriber, once);
    client_unsubscribe(subscriber, exactly);
    acknowledge(subscriber, &first);
    acknowledge(subscriber, &second);
    expect_quiet(subscriber);
}

CASE(unsubscribe_does_not_end_resending, .v5 = "MQTT-3.10.4-3 MQTT-4.4.0-1",
     .v311 = "MQTT-3.10.4-3 MQTT-4.4.0-1",
     .sends =
         "messages at QoS 1 and 2 sent to a stored session and not acknowledged, another one at "
         "PUBREL; UNSUBSCRIBE; the client leaves and comes back",
     .allowed = "both PUBLISH again with DUP, PUBREL again; any order of PUBREL and PUBLISH",
     .faults = "drops_begun_at_unsubscribe forgets_unacknowledged")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected_stored(test, "subscriber", 60);
    struct text topic = topic_of(test, "begun");
    client_subscribe(subscriber, topic, 2);
    client_publish(publisher, topic, TEXT("at PUBREL"), 2, false);
    struct packet released = expect_publish(subscriber, topic, TEXT("at PUBREL"));
    client_send(subscriber, &(struct packet){.type = PUBREC, .packet_id = released.packet_id});
    expect(subscriber, PUBREL);
    client_publish(publisher, topic, TEXT("QoS 1"), 1, false);
    struct packet first = expect_publish(subscriber, topic, TEXT("QoS 1"));
    client_publish(publisher, topic, TEXT("QoS 2"), 2, false);
    struct packet second = expect_publish(subscriber, topic, TEXT("QoS 2"));
    client_unsubscribe(subscriber, topic);
    client_disconnect(subscriber);

    client_resume(subscriber, 60);
    bool seen[3] = {false, false, false};
    const uint16_t identifiers[3] = {released.packet_id, first.packet_id, second.packet_id};
    const enum packet_type types[3] = {PUBREL, PUBLISH, PUBLISH};
    for (unsigned n = 0; n < 3; n++) {
        struct packet packet;
        bool closed;
        if (!receive(subscriber, test->time_limit_ms, &packet, &closed))
            fail(test, "only %u of 3 exchanges were taken up again", n);
        unsigned i = 0;
        while (i < 3 && (packet.packet_id != identifiers[i] || packet.type != types[i] || seen[i]))
            i++;
        if (i == 3)
            fail(test, "%s %u belongs to none of the exchanges begun", packet_name(packet.type),
                 packet.packet_id);
        if (packet.type == PUBLISH && !packet.dup)
            fail_statement(test, "MQTT-3.3.1-1", "resent without DUP");
        seen[i] = true;
    }
    client_send(subscriber, &(struct packet){.type = PUBCOMP, .packet_id = released.packet_id});
    acknowledge(subscriber, &first);
    acknowledge(subscriber, &second);
    client_publish(publisher, topic, TEXT("new"), 2, false);
    expect_quiet(subscriber);
}
