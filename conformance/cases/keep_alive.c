/* Keep Alive, PINGREQ and PINGRESP (sections 3.1.2.10 and 3.12). */
#include "conformance/harness/case.h"

/* A server has to close at one and a half times the Keep Alive. One that looks only every few
 * seconds is late, which is remarked on beyond LATE_MS and a failure beyond TOLERANCE_MS. */
enum { LATE_MS = 2500, TOLERANCE_MS = 8000 };

/* Connected with a Keep Alive of one second, or what the server makes of it. */
static struct client *client_kept_alive(struct test *test, const char *role,
                                        const struct packet *connect_or_null)
{
    struct client *client = client_new(test, role);
    struct packet connect = connect_or_null ? *connect_or_null : connect_of(client);
    connect.client_id = client->id;
    connect.keep_alive_s = 1;
    client_connect_ok(client, &connect);
    if (test->version == VERSION_5 &&
        property_number(&client->connack.properties, SERVER_KEEP_ALIVE, 1) != 1)
        not_applicable(test, "the server sets a Server Keep Alive of its own");
    return client;
}

/* Waits for the end; returns when it came, counted from `start_ms`. */
static unsigned expect_timeout(struct client *client, uint64_t start_ms)
{
    struct test *test = client->test;
    struct packet packet;
    bool closed = false;
    uint64_t end_ms = start_ms + 1500 + TOLERANCE_MS;
    for (uint64_t now_ms = clock_ms(); now_ms < end_ms; now_ms = clock_ms()) {
        if (receive(client, (unsigned)(end_ms - now_ms), &packet, &closed)) {
            if (packet.type == DISCONNECT && packet.reason_code != 0x8D)
                warn_should(test, "MQTT-4.13.1-1", "DISCONNECT 0x%02X at the keep-alive timeout",
                            packet.reason_code);
        } else if (closed) {
            unsigned after_ms = (unsigned)(clock_ms() - start_ms);
            if (after_ms > 1500 + LATE_MS)
                warn_debatable(test, NULL, "a client with Keep Alive 1 s was closed after %u ms",
                               after_ms);
            return after_ms;
        }
    }
    fail(test, "a client with Keep Alive 1 s was still connected %u ms after its last packet",
         1500 + TOLERANCE_MS);
}

CASE(silent_client_is_closed, .v5 = "MQTT-3.1.2-22 MQTT-3.2.2-22 MQTT-3.1.2-20",
     .v311 = "MQTT-3.1.2-24 MQTT-3.1.2-23", .sends = "CONNECT with Keep Alive 1, then nothing",
     .allowed = "the Network Connection is closed not before 1 s and not after 1.5 s (tolerance: "
                "8 s, remarked on from 2.5 s)",
     .faults = "ignores_keep_alive", .timing = true)
{
    uint64_t start_ms = clock_ms();
    struct client *client = client_kept_alive(test, "silent", NULL);
    unsigned after_ms = expect_timeout(client, start_ms);
    if (after_ms < 1000)
        fail(test, "a client with Keep Alive 1 s was closed after %u ms", after_ms);
}

CASE(will_is_published_at_the_timeout, .v5 = "MQTT-3.1.2-22 MQTT-3.1.2-8",
     .v311 = "MQTT-3.1.2-24 MQTT-3.1.2-8",
     .sends = "CONNECT with Keep Alive 1 and a will, then nothing",
     .allowed = "the connection is closed as if the network had failed: the will is published "
                "(tolerance: 8 s)",
     .faults = "no_will_after_timeout ignores_keep_alive forgets_will", .timing = true)
{
    struct text topic = topic_of(test, "will");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct packet connect = connect_of(watcher);
    connect.will_topic = topic;
    connect.will_payload = TEXT("will");
    uint64_t start_ms = clock_ms();
    expect_timeout(client_kept_alive(test, "silent", &connect), start_ms);
    expect_publish(watcher, topic, TEXT("will"));
}

CASE(session_outlives_the_timeout, .v5 = "MQTT-3.1.2-22 MQTT-3.1.2-23",
     .v311 = "MQTT-3.1.2-24 MQTT-3.1.2-4",
     .sends = "a stored session whose client falls silent, and returns after the timeout",
     .allowed = "Session Present 1 and the message that came meanwhile",
     .faults = "ignores_keep_alive forgets_session denies_session_present", .timing = true)
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_connected_stored(test, "silent", 60);
    client_subscribe(client, topic, 1);
    client_drop(client);
    struct packet connect = connect_of(client);
    connect.clean_start = false;
    connect.keep_alive_s = 1;
    if (test->version == VERSION_5)
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 60);
    uint64_t start_ms = clock_ms();
    client_connect_ok(client, &connect);
    if (property_number(&client->connack.properties, SERVER_KEEP_ALIVE, 1) != 1)
        not_applicable(test, "the server sets a Server Keep Alive of its own");
    expect_timeout(client, start_ms);
    client_drop(client);
    client_publish(client_connected(test, "pub"), topic, TEXT("waited"), 1, false);
    client_resume(client, 60);
    if (!client->connack.session_present)
        fail(test, "Session Present is 0 after a keep-alive timeout");
    take_publish(client, topic, TEXT("waited"));
}

CASE(any_packet_keeps_alive, .v5 = "MQTT-3.1.2-22", .v311 = "MQTT-3.1.2-24",
     .sends = "for 4 s, one packet every 700 ms from each of four clients with Keep Alive 1: "
              "PINGREQ, PUBLISH at QoS 0, SUBSCRIBE, PUBREL",
     .allowed = "none of them is closed", .faults = "only_ping_keeps_alive closes_idle_client",
     .timing = true)
{
    enum { KINDS = 4, ROUNDS = 6 };
    struct text topic = topic_of(test, "t");
    const struct packet packets[KINDS] = {
        {.type = PINGREQ},
        {.type = PUBLISH, .topic = topic},
        {.type = SUBSCRIBE, .packet_id = 7, .filters = {{topic, 0}}, .filter_count = 1},
        {.type = PUBREL, .packet_id = 7},
    };
    struct client *clients[KINDS];
    for (unsigned i = 0; i < KINDS; i++)
        clients[i] = client_kept_alive(test, "alive", NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        let_pass_ms(test, 700);
        for (unsigned i = 0; i < KINDS; i++)
            client_send(clients[i], &packets[i]);
    }
    for (unsigned i = 0; i < KINDS; i++) {
        struct packet packet;
        bool closed = false;
        while (receive(clients[i], 1, &packet, &closed))
            continue;
        if (closed)
            fail(test, "a client that sent %s every 700 ms was closed in spite of Keep Alive 1",
                 packet_name(packets[i].type));
    }
}

CASE(received_packets_keep_nobody_alive, .v5 = "MQTT-3.1.2-22", .v311 = "MQTT-3.1.2-24",
     .sends = "a message every 300 ms to a subscriber with Keep Alive 1 that sends nothing itself",
     .allowed = "the subscriber is closed after 1.5 s (tolerance: 8 s)",
     .why = "What counts is what the server receives, not what it sends.",
     .faults = "ignores_keep_alive sending_keeps_alive", .timing = true)
{
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *client = client_kept_alive(test, "listener", NULL);
    client_subscribe(client, topic, 0);
    uint64_t end_ms = clock_ms() + 1500 + TOLERANCE_MS;
    bool closed = false;
    while (!closed && clock_ms() < end_ms) {
        struct packet packet;
        client_publish(publisher, topic, TEXT("p"), 0, false);
        while (receive(client, 300, &packet, &closed) && packet.type != PUBLISH)
            continue;
        let_pass_ms(test, closed ? 0 : 300);
    }
    if (!closed)
        fail(test,
             "a client with Keep Alive 1 s that only receives was still connected after %u ms",
             1500 + TOLERANCE_MS);
}

CASE(part_of_a_packet_keeps_nobody_alive, .v5 = "MQTT-3.1.2-22", .v311 = "MQTT-3.1.2-24",
     .sends = "one PUBLISH with Keep Alive 1, a byte every 300 ms",
     .allowed = "the client is closed after 1.5 s (tolerance: 8 s)",
     .why = "The server has not received an MQTT Control Packet before it has all of it.",
     .faults = "ignores_keep_alive any_byte_keeps_alive", .timing = true)
{
    struct client *client = client_kept_alive(test, "slow", NULL);
    uint64_t end_ms = clock_ms() + 1500 + TOLERANCE_MS;
    struct packet packet;
    bool closed = false;
    client_send_hex(client, "30 7F 0001");
    while (!closed && clock_ms() < end_ms) {
        client_send_hex(client, "61");
        receive(client, 300, &packet, &closed);
    }
    if (!closed)
        fail(test, "a client with Keep Alive 1 s was kept by parts of a packet for %u ms",
             1500 + TOLERANCE_MS);
}

CASE(keep_alive_0_closes_nobody, .v5 = "MQTT-3.2.2-22", .v311 = "MQTT-3.1.2-24",
     .sends = "CONNECT with Keep Alive 0 and 65535, then nothing for 4 s",
     .allowed = "both connections are open and work", .faults = "closes_idle_client",
     .timing = true)
{
    struct client *clients[2];
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = client_new(test, "idle");
        struct packet connect = connect_of(clients[i]);
        connect.keep_alive_s = i ? 65535 : 0;
        client_connect_ok(clients[i], &connect);
        uint32_t own = property_number(&clients[i]->connack.properties, SERVER_KEEP_ALIVE, 60);
        if (test->version == VERSION_5 && own > 0 && own < 5)
            not_applicable(test, "the server sets a Server Keep Alive of %u s", own);
    }
    let_pass_ms(test, 4000);
    for (unsigned i = 0; i < 2; i++)
        expect_alive(clients[i]);
}

/* ---- PINGREQ ---- */

CASE(every_pingreq_is_answered, .v5 = "MQTT-3.12.4-1", .v311 = "MQTT-3.12.4-1",
     .sends = "50 PINGREQs in one write", .allowed = "50 PINGRESPs",
     .faults = "ignores_pingreq sends_reserved_flags")
{
    enum { PINGS = 50 };
    struct client *client = client_connected(test, "ping");
    struct buffer bytes = {0};
    for (unsigned i = 0; i < PINGS; i++)
        packet_write(&bytes, test->version, &(struct packet){.type = PINGREQ});
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
    for (unsigned i = 0; i < PINGS; i++)
        expect(client, PINGRESP);
    expect_quiet(client);
}
