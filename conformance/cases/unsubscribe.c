/* 3.10 UNSUBSCRIBE, 3.11 UNSUBACK. */
#include "conformance/cases/refusal.h"
#include "conformance/cases/subscription.h"

#include <stdio.h>

enum { NO_SUBSCRIPTION_EXISTED = 0x11 };

/* ---- Malformed packets ---- */

CASE(unsubscribe_reserved_flags_are_malformed, .v5 = "MQTT-3.10.1-1 MQTT-2.1.3-1",
     .v311 = "MQTT-3.10.1-1 MQTT-2.2.2-1 MQTT-2.2.2-2",
     .sends = "UNSUBSCRIBE with each value but 0010 in bits 3 to 0 of its first byte",
     .allowed = "the Network Connection is closed each time", .limit_s = 60,
     .faults = "accepts_reserved_flags keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    for (uint8_t flags = 0; flags < 16; flags++) {
        if (flags == 2)
            continue;
        struct packet unsubscribe = {.type = UNSUBSCRIBE,
                                     .packet_id = 10,
                                     .filter_count = 1,
                                     .force_flags = true,
                                     .forced_flags = flags};
        unsubscribe.filters[0].filter = topic_of(test, "flags");
        char variant[24];
        snprintf(variant, sizeof variant, "flags 0x%X", flags);
        refusal_packet(&refusal, &unsubscribe, 0x81, variant);
    }
    refusal_end(&refusal);
}

CASE(unsubscribe_without_filter_is_refused, .v5 = "MQTT-3.10.3-2 MQTT-4.13.1-1",
     .v311 = "MQTT-3.10.3-2 MQTT-4.8.0-1", .sends = "UNSUBSCRIBE without any Topic Filter",
     .allowed = "the Network Connection is closed", .faults = "accepts_no_filters keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet unsubscribe = {.type = UNSUBSCRIBE, .packet_id = 10};
    refusal_packet(&refusal, &unsubscribe, 0x82, "no payload");
    refusal_end(&refusal);
}

CASE(unsubscribe_filter_must_be_utf8, .v5 = "MQTT-3.10.3-1 MQTT-1.5.4-1",
     .v311 = "MQTT-3.10.3-1 MQTT-1.5.3-1",
     .sends = "UNSUBSCRIBE with Topic Filters that are ill-formed UTF-8",
     .allowed = "the Network Connection is closed each time",
     .faults = "accepts_bad_utf8 keeps_open")
{
    static const struct text filters[] = {{(const uint8_t *)"a/\xED\xA0\x80", 5},
                                          {(const uint8_t *)"a\xC0\xAF", 3},
                                          {(const uint8_t *)"a\xFF", 2},
                                          {(const uint8_t *)"a/\xE2\x82", 4}};
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        struct packet unsubscribe = {.type = UNSUBSCRIBE, .packet_id = 10, .filter_count = 1};
        unsubscribe.filters[0].filter = filters[i];
        refusal_packet(&refusal, &unsubscribe, 0x81, "ill-formed UTF-8");
    }
    refusal_end(&refusal);
}

CASE(unsubscribe_filter_with_null_character_is_refused, .v5 = "MQTT-1.5.4-2 MQTT-4.7.3-2",
     .v311 = "MQTT-1.5.3-2 MQTT-4.7.3-2", .sends = "UNSUBSCRIBE with U+0000 in the filter",
     .allowed = "the Network Connection is closed", .faults = "accepts_null_character keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet unsubscribe = {.type = UNSUBSCRIBE, .packet_id = 10, .filter_count = 1};
    unsubscribe.filters[0].filter = (struct text){(const uint8_t *)"a/\0", 3};
    refusal_packet(&refusal, &unsubscribe, 0x81, "U+0000 in the filter");
    refusal_end(&refusal);
}

CASE(unsubscribe_packet_identifier_0_is_refused, .v5 = "MQTT-2.2.1-3 MQTT-4.13.1-1",
     .v311 = "MQTT-2.3.1-1 MQTT-4.8.0-1", .sends = "UNSUBSCRIBE with the Packet Identifier 0",
     .allowed = "the Network Connection is closed", .faults = "accepts_zero_packet_id keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    refusal_hex(&refusal,
                test->version == VERSION_5 ? "A2 06 0000 00 0001 61" : "A2 05 0000 0001 61", 0,
                "Packet Identifier 0");
    refusal_end(&refusal);
}

struct broken {
    const char *name, *v5, *v311;
};

CASE(unsubscribe_cut_off_is_refused, .v5 = "MQTT-4.13.1-1", .v311 = "MQTT-4.8.0-1",
     .sends = "UNSUBSCRIBE packets whose lengths reach beyond their Remaining Length",
     .allowed = "the Network Connection is closed each time",
     .faults = "accepts_truncated_packet keeps_open")
{
    static const struct broken list[] = {
        {"nothing after the first byte's length", "A2 00", "A2 00"},
        {"half a Packet Identifier", "A2 01 00", "A2 01 00"},
        {"half a filter length", "A2 04 000A 00 00", "A2 03 000A 00"},
        {"a filter longer than the packet", "A2 07 000A 00 0009 6162", "A2 06 000A 0009 6162"},
        {"a second filter cut off", "A2 08 000A 00 0001 61 0005", "A2 07 000A 0001 61 0005"},
        {"a Property Length beyond the packet", "A2 06 000A 7F 0001 61", NULL},
        {"no Property Length", "A2 02 000A", NULL},
    };
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const char *hex = test->version == VERSION_5 ? list[i].v5 : list[i].v311;
        if (hex != NULL)
            refusal_hex(&refusal, hex, 0x81, list[i].name);
    }
    refusal_end(&refusal);
}

CASE(unsubscribe_with_a_foreign_property_is_refused, .v5 = "MQTT-4.13.1-1",
     .sends = "UNSUBSCRIBE with properties that belong to other packets, or to none",
     .allowed = "the Network Connection is closed each time",
     .faults = "accepts_wrong_property keeps_open")
{
    static const struct broken list[] = {
        {"Subscription Identifier", "A2 08 000A 02 0B01 0001 61", NULL},
        {"Reason String", "A2 0A 000A 04 1F 0001 61 0001 61", NULL},
        {"Session Expiry Interval", "A2 0B 000A 05 11 0000000A 0001 61", NULL},
        {"the undefined 0x7F", "A2 08 000A 02 7F01 0001 61", NULL},
    };
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        refusal_hex(&refusal, list[i].v5, 0x81, list[i].name);
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
     .faults = "unsubscribes_by_matching claims_unsubscription")
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
     .allowed = "PUBREL and the end of the exchange; nothing new", .faults = "no_pubrel")
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
