/* What a server says in CONNACK that it does not offer (5.0 section 3.2.2.3): it has to keep to
 * that itself, and to refuse clients that do not. */
#include "conformance/cases/refusal.h"

CASE(publish_above_maximum_qos_is_refused, .v5 = "MQTT-3.2.2-11 MQTT-3.2.2-9",
     .sends = "PUBLISH at each QoS above the server's Maximum QoS",
     .allowed = "the Network Connection is closed, with DISCONNECT 0x9B",
     .why = "5.0 section 3.2.2.3.4: such a PUBLISH is a Protocol Error.",
     .faults = "ignores_own_maximum_qos")
{
    if (test->server->maximum_qos == 2)
        not_applicable(test, "the server supports QoS 2");
    struct refusal refusal = refusal_begin(test);
    struct packet publish = {.type = PUBLISH, .topic = topic_of(test, "t"), .packet_id = 1};
    for (uint8_t qos = test->server->maximum_qos + 1; qos <= 2; qos++) {
        publish.qos = qos;
        refusal_packet(&refusal, &publish, 0x9B, qos == 1 ? "QoS 1" : "QoS 2");
    }
    refusal_end(&refusal);
}

CASE(subscription_above_maximum_qos_is_granted, .v5 = "MQTT-3.2.2-10",
     .sends = "SUBSCRIBE at QoS 0, 1 and 2 to a server with a lower Maximum QoS",
     .allowed = "each is granted, at that QoS or a lower one",
     .faults = "refuses_high_qos_subscription")
{
    if (test->server->maximum_qos == 2)
        not_applicable(test, "the server supports QoS 2");
    struct client *client = client_connected(test, "sub");
    for (uint8_t qos = 0; qos <= 2; qos++) {
        struct packet subscribe = {
            .type = SUBSCRIBE, .filters = {{topic_of(test, "t"), qos}}, .filter_count = 1};
        struct packet suback = client_subscribe_raw(client, &subscribe);
        if (suback.reason_codes.data[0] > 2)
            fail(test, "SUBSCRIBE at QoS %u was refused with 0x%02X", qos,
                 suback.reason_codes.data[0]);
    }
}

CASE(will_above_maximum_qos_is_refused, .v5 = "MQTT-3.2.2-12",
     .sends = "CONNECT with a Will QoS above the server's Maximum QoS",
     .allowed = "the Network Connection is closed, perhaps after CONNACK 0x9B",
     .faults = "ignores_own_maximum_qos")
{
    if (test->server->maximum_qos == 2)
        not_applicable(test, "the server supports QoS 2");
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    connect.will_topic = topic_of(test, "will");
    for (uint8_t qos = test->server->maximum_qos + 1; qos <= 2; qos++) {
        connect.will_qos = qos;
        refusal_connect(&refusal, &connect, 0x9B, qos == 1 ? "Will QoS 1" : "Will QoS 2");
    }
    refusal_end(&refusal);
}

CASE(retain_is_refused_where_not_available, .v5 = "MQTT-3.2.2-13 MQTT-3.2.2-14",
     .sends = "a retained PUBLISH and a retained will, to a server with Retain Available 0",
     .allowed = "the Network Connection is closed, with 0x9A",
     .faults = "ignores_own_retain_available")
{
    if (test->server->retain_available)
        not_applicable(test, "the server supports retained messages");
    struct refusal refusal = refusal_begin(test);
    struct packet publish = {.type = PUBLISH, .topic = topic_of(test, "t"), .retain = true};
    refusal_packet(&refusal, &publish, 0x9A, "a retained PUBLISH");
    struct packet connect = connect_of(refusal.client);
    connect.will_topic = topic_of(test, "t");
    connect.will_retain = true;
    refusal_connect(&refusal, &connect, 0x9A, "a retained will");
    refusal_end(&refusal);
}

/* SUBSCRIBE of something not offered is a Protocol Error by section 3.2.2.3; a SUBACK that refuses
 * with the code made for it, 0xA1, 0xA2 or 0x9E, is provided for as well (section 3.9.3). */
static void expect_subscribe_refused(struct test *test, struct packet *subscribe, uint8_t code)
{
    struct client *client = client_connected(test, "sub");
    subscribe->packet_id = 1;
    client_send(client, subscribe);
    struct packet packet;
    bool closed = false;
    if (receive(client, test->time_limit_ms, &packet, &closed)) {
        bool refused =
            packet.type == SUBACK ? packet.reason_codes.data[0] >= 0x80 : packet.type == DISCONNECT;
        if (!refused)
            fail(test, "answered with %s 0x%02X", packet_name(packet.type),
                 packet.type == SUBACK ? packet.reason_codes.data[0] : 0);
        uint8_t got = packet.type == SUBACK ? packet.reason_codes.data[0] : packet.reason_code;
        if (got != code)
            warn_should(test, "MQTT-4.13.1-1", "refused with 0x%02X instead of 0x%02X", got, code);
    } else if (!closed) {
        fail(test, "neither refused nor closed");
    }
}

CASE(wildcards_are_refused_where_not_available, .v5 = "MQTT-4.13.1-1",
     .sends = "SUBSCRIBE with a wildcard, to a server with Wildcard Subscription Available 0",
     .allowed = "SUBACK or DISCONNECT with 0xA2, or the end of the connection",
     .faults = "ignores_own_wildcard_available")
{
    if (test->server->wildcard_available)
        not_applicable(test, "the server supports wildcards");
    struct packet subscribe = {
        .type = SUBSCRIBE, .filters = {{topic_of(test, "+"), 0}}, .filter_count = 1};
    expect_subscribe_refused(test, &subscribe, 0xA2);
}

CASE(shared_subscriptions_are_refused_where_not_available, .v5 = "MQTT-4.13.1-1",
     .sends = "SUBSCRIBE to $share/..., to a server with Shared Subscription Available 0",
     .allowed = "SUBACK or DISCONNECT with 0x9E, or the end of the connection",
     .faults = "ignores_own_shared_available")
{
    if (test->server->shared_available)
        not_applicable(test, "the server supports Shared Subscriptions");
    struct text topic = topic_of(test, "t");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 1};
    subscribe.filters[0].filter =
        text_printf(test, "$share/name/%.*s", (int)topic.size, (const char *)topic.data);
    expect_subscribe_refused(test, &subscribe, 0x9E);
}

CASE(subscription_identifiers_are_refused_where_not_available, .v5 = "MQTT-4.13.1-1",
     .sends = "SUBSCRIBE with a Subscription Identifier, to a server with Subscription Identifiers "
              "Available 0",
     .allowed = "SUBACK or DISCONNECT with 0xA1, or the end of the connection",
     .faults = "ignores_own_identifier_available")
{
    if (test->server->subscription_identifier_available)
        not_applicable(test, "the server supports Subscription Identifiers");
    struct packet subscribe = {
        .type = SUBSCRIBE, .filters = {{topic_of(test, "t"), 0}}, .filter_count = 1};
    property_add(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, 1);
    expect_subscribe_refused(test, &subscribe, 0xA1);
}

CASE(packet_above_maximum_size_is_refused, .v5 = "MQTT-3.2.2-15 MQTT-4.13.1-1",
     .sends = "a PUBLISH of exactly the server's Maximum Packet Size, and one of a byte more",
     .allowed = "the first is taken; the second closes the Network Connection, with 0x95",
     .faults = "accepts_oversize", .limit_s = 60)
{
    enum { LIMIT = 16 << 20, CHUNK = 1 << 16 };
    uint32_t maximum = test->server->maximum_packet_size;
    if (maximum > LIMIT)
        not_applicable(test, "the server sets no Maximum Packet Size, or one above 16 MiB");
    struct refusal refusal = refusal_begin(test);
    struct text topic = topic_of(test, "t");
    uint32_t header = maximum < 130 ? 2 : maximum < 16387 ? 3 : maximum < 2097156 ? 4 : 5;
    uint32_t overhead = header + 2 + (uint32_t)topic.size + 1;
    if (maximum < overhead)
        not_applicable(test, "the server's Maximum Packet Size has no room for a topic");
    struct packet publish = {.type = PUBLISH, .topic = topic};
    publish.payload = (struct text){test_alloc(test, maximum), maximum - overhead};

    struct client *client = client_connected(test, "fits");
    client_subscribe(client, topic, 0);
    client_publish_start(client, &publish);
    expect_publish(client, topic, publish.payload);
    publish.payload.size++;
    refusal_packet(&refusal, &publish, 0x95, "one byte above Maximum Packet Size");
    refusal_end(&refusal);
}

CASE(server_keep_alive_counts, .v5 = "MQTT-3.2.2-21 MQTT-3.1.2-21",
     .sends = "CONNECT with Keep Alive 0 and 65535, then nothing",
     .allowed =
         "if CONNACK has a Server Keep Alive of up to 10 s, the connection is closed after one "
         "and a half times that (tolerance: 8 s); else nothing is wanted",
     .faults = "ignores_own_server_keep_alive", .timing = true, .limit_s = 40)
{
    enum { LONGEST_S = 10, TOLERANCE_MS = 8000, CLIENTS = 2 };
    static const uint16_t keep_alives[CLIENTS] = {65535, 0};
    struct client *clients[CLIENTS];
    uint32_t own = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = client_new(test, "idle");
        struct packet connect = connect_of(clients[i]);
        connect.keep_alive_s = keep_alives[i];
        client_connect_ok(clients[i], &connect);
        own = property_number(&clients[i]->connack.properties, SERVER_KEEP_ALIVE, 0);
        if (own == 0 || own > LONGEST_S)
            not_applicable(test, "the server sets no Server Keep Alive of up to 10 s");
    }
    uint64_t end_ms = clock_ms() + own * 1500 + TOLERANCE_MS;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct packet packet;
        bool closed = false;
        while (clock_ms() < end_ms && !closed)
            if (receive(clients[i], (unsigned)(end_ms - clock_ms()), &packet, &closed) &&
                packet.type != DISCONNECT)
                fail(test, "%s was sent to an idle client", packet_name(packet.type));
        if (!closed)
            fail(test,
                 "a silent client was still connected %u ms after a Server Keep Alive of %u s",
                 own * 1500 + TOLERANCE_MS, own);
    }
}
