/* Packet Identifiers (5.0 section 2.2.1, 3.1.1 section 2.3.1). */
#include "conformance/cases/refusal.h"

CASE(packet_id_zero_is_refused, .v5 = "MQTT-2.2.1-3 MQTT-4.13.1-1",
     .v311 = "MQTT-2.3.1-1 MQTT-4.8.0-1",
     .sends = "PUBLISH at QoS 1 and 2, SUBSCRIBE and UNSUBSCRIBE with Packet Identifier 0",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_zero_packet_id accepts_malformed keeps_open")
{
    bool v5 = test->version == VERSION_5;
    struct refusal refusal = refusal_begin(test);
    struct packet publish = {.type = PUBLISH, .topic = topic_of(test, "zero"), .qos = 1};
    refusal_packet(&refusal, &publish, 0x82, "PUBLISH at QoS 1");
    if (!v5 || test->server->maximum_qos == 2) {
        publish.qos = 2;
        refusal_packet(&refusal, &publish, 0x82, "PUBLISH at QoS 2");
    }
    refusal_hex(&refusal, v5 ? "82 07 0000 00 0001 61 00" : "82 06 0000 0001 61 00", 0x82,
                "SUBSCRIBE");
    refusal_hex(&refusal, v5 ? "A2 06 0000 00 0001 61" : "A2 05 0000 0001 61", 0x82, "UNSUBSCRIBE");
    refusal_end(&refusal);
}

CASE(publish_at_qos_0_has_no_packet_id, .v5 = "MQTT-2.2.1-2", .v311 = "MQTT-2.3.1-5",
     .sends = "messages at QoS 0, 1 and 2 to a subscriber at QoS 0",
     .allowed = "they are delivered at QoS 0 with nothing but the payload behind the topic",
     .faults = "sends_packet_id_at_qos_0")
{
    struct text topic = topic_of(test, "t");
    struct client *subscriber = client_connected(test, "sub");
    struct client *publisher = client_connected(test, "pub");
    client_subscribe(subscriber, topic, 0);
    for (uint8_t qos = 0; qos <= test->server->maximum_qos; qos++) {
        struct text payload = text_printf(test, "published at %u", qos);
        client_publish(publisher, topic, payload, qos, false);
        struct packet got = expect_publish(subscriber, topic, payload);
        if (got.qos != 0)
            fail_statement(test, "MQTT-3.8.4-8", "delivered at QoS %u to a subscription at QoS 0",
                           got.qos);
    }
}

/* The ends of the range, both bytes alone, and a byte that a sign could spoil. */
static const uint16_t ids[] = {1, 2, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF};
enum { ID_COUNT = sizeof ids / sizeof *ids };

static void expect_id(struct test *test, struct packet packet, uint16_t id)
{
    if (packet.packet_id != id)
        fail(test, "%s carries Packet Identifier %u; what it answers had %u",
             packet_name(packet.type), packet.packet_id, id);
}

CASE(acknowledgements_carry_the_packet_id, .v5 = "MQTT-2.2.1-5", .v311 = "MQTT-2.3.1-6",
     .sends = "PUBLISH at QoS 1, and at QoS 2 with PUBREL, under identifiers from 1 to 65535",
     .allowed = "PUBACK, PUBREC and PUBCOMP with the same identifier",
     .faults = "wrong_acknowledgement_id")
{
    need_qos(test, 1);
    struct client *client = client_connected(test, "ids");
    for (unsigned i = 0; i < ID_COUNT; i++) {
        struct packet publish = {
            .type = PUBLISH, .topic = topic_of(test, "t"), .qos = 1, .packet_id = ids[i]};
        client_send(client, &publish);
        expect_id(test, expect(client, PUBACK), ids[i]);
        if (test->server->maximum_qos < 2)
            continue;
        publish.qos = 2;
        client_send(client, &publish);
        expect_id(test, expect(client, PUBREC), ids[i]);
        client_send(client, &(struct packet){.type = PUBREL, .packet_id = ids[i]});
        expect_id(test, expect(client, PUBCOMP), ids[i]);
    }
}

CASE(suback_and_unsuback_carry_the_packet_id, .v5 = "MQTT-2.2.1-6", .v311 = "MQTT-2.3.1-7",
     .sends = "SUBSCRIBE and UNSUBSCRIBE under identifiers from 1 to 65535",
     .allowed = "SUBACK and UNSUBACK with the same identifier", .faults = "wrong_suback_id")
{
    struct client *client = client_connected(test, "ids");
    for (unsigned i = 0; i < ID_COUNT; i++) {
        struct packet request = {.type = SUBSCRIBE,
                                 .packet_id = ids[i],
                                 .filters = {{topic_of(test, "t"), 0}},
                                 .filter_count = 1};
        client_send(client, &request);
        expect_id(test, expect(client, SUBACK), ids[i]);
        request.type = UNSUBSCRIBE;
        client_send(client, &request);
        expect_id(test, expect(client, UNSUBACK), ids[i]);
    }
}

static void expect_unused(struct test *test, const struct packet *got, const uint16_t *used,
                          unsigned count)
{
    if (got->packet_id == 0)
        fail(test, "PUBLISH at QoS %u has the Packet Identifier 0", got->qos);
    for (unsigned i = 0; i < count; i++)
        if (used[i] == got->packet_id)
            fail(test, "PUBLISH %u has the Packet Identifier %u of one not acknowledged yet",
                 count + 1, got->packet_id);
}

CASE(packet_ids_of_the_server_are_unused, .v5 = "MQTT-2.2.1-4", .v311 = "MQTT-2.3.1-1 MQTT-2.3.1-4",
     .sends = "8 messages at QoS 1 and 2 in turn, to a subscriber that acknowledges them when no "
              "more come, then 4 more",
     .allowed = "Packet Identifiers that are not 0 and all differ until they are acknowledged; a "
                "server may wait for acknowledgements before it sends more",
     .faults = "sends_zero_packet_id reuses_packet_id")
{
    enum { MESSAGES = 8, MORE = 4 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "t");
    struct client *subscriber = client_connected(test, "sub");
    struct client *publisher = client_connected(test, "pub");
    client_subscribe(subscriber, topic, 2);
    for (unsigned i = 0; i < MESSAGES; i++)
        client_publish(publisher, topic, text_printf(test, "%u", i), 1 + i % 2, false);

    struct packet got[MESSAGES];
    uint16_t used[MESSAGES];
    unsigned count = 0;
    bool closed = false;
    while (count < MESSAGES && receive(subscriber, count ? test->quiet_ms : test->time_limit_ms,
                                       &got[count], &closed)) {
        expect_unused(test, &got[count], used, count);
        used[count] = got[count].packet_id;
        count++;
    }
    if (count == 0)
        fail_statement(test, "MQTT-4.3.2-1", "none of 8 messages was delivered");
    for (unsigned i = 0; i < count; i++)
        acknowledge(subscriber, &got[i]);
    for (unsigned i = count; i < MESSAGES + MORE; i++) {
        struct text payload = text_printf(test, "%u", i);
        if (i >= MESSAGES)
            client_publish(publisher, topic, payload, 1 + i % 2, false);
        struct packet next = take_publish(subscriber, topic, payload);
        expect_unused(test, &next, NULL, 0);
    }
}

CASE(packet_ids_of_both_sides_are_independent, .v5 = "MQTT-2.2.1-4", .v311 = "MQTT-2.3.1-4",
     .sends = "a PUBLISH at QoS 1 under the identifier of one that the server has sent and that is "
              "not acknowledged, then a return to the session",
     .allowed = "PUBACK for the client's own; the server's is still owed and comes again",
     .why = "Section 2.2.1 (2.3.1): client and server assign identifiers independently.",
     .faults = "wrong_acknowledgement_id forgets_unacknowledged")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "t");
    struct client *client = client_connected_stored(test, "both", 60);
    client_subscribe(client, topic, 1);
    client_publish(client, topic, TEXT("first"), 1, false);
    struct packet held = expect_publish(client, topic, TEXT("first"));
    struct packet publish = {
        .type = PUBLISH, .topic = topic_of(test, "other"), .qos = 1, .packet_id = held.packet_id};
    client_send(client, &publish);
    expect_id(test, expect(client, PUBACK), held.packet_id);
    /* The server's own PUBLISH is still owed: it comes again. */
    client_drop(client);
    client_resume(client, 60);
    struct packet again = expect_publish(client, topic, TEXT("first"));
    expect_id(test, again, held.packet_id);
    acknowledge(client, &again);
    expect_quiet(client);
}
