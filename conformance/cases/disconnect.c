/* DISCONNECT of either side (section 3.14), and what a server does with errors (4.13, 3.1.1: 4.8).
 */
#include "conformance/cases/refusal.h"

#include <stdio.h>

/* ---- The client's DISCONNECT ---- */

CASE(nothing_counts_after_disconnect, .v5 = "MQTT-3.14.4-1 MQTT-3.14.4-2 MQTT-4.13.1-1",
     .v311 = "MQTT-3.14.4-2 MQTT-4.8.0-1",
     .sends = "DISCONNECT, and behind it a PUBLISH and a PINGREQ, on a socket that stays open",
     .allowed = "no answer but DISCONNECT, and the server closes; that the message is delivered, "
                "or that the server does not close after DISCONNECT alone, is remarked on",
     .faults = "keeps_open keeps_open_after_disconnect")
{
    bool v5 = test->version == VERSION_5;
    struct text topic = topic_of(test, "t");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct client *client = client_connected(test, "leaves");
    struct packet packet;
    bool closed = false;
    client_send(client, &(struct packet){.type = DISCONNECT});
    if (receive(client, test->quiet_ms, &packet, &closed))
        fail(test, "%s was sent to a client that has disconnected", packet_name(packet.type));
    if (!closed)
        warn_should(test, "MQTT-3.14.4-2",
                    "the server leaves the connection open after DISCONNECT");
    client_drop(client);

    const struct packet packets[] = {connect_of(client),
                                     {.type = DISCONNECT},
                                     {.type = PUBLISH, .topic = topic, .payload = TEXT("late")},
                                     {.type = PINGREQ}};
    struct buffer bytes = {0};
    for (unsigned i = 0; i < 4; i++)
        packet_write(&bytes, test->version, &packets[i]);
    client_open(client);
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
    expect(client, CONNACK);
    /* A server may say that this is an error. */
    while (receive(client, test->time_limit_ms, &packet, &closed))
        if (packet.type != DISCONNECT)
            fail(test, "%s was sent to a client that has disconnected", packet_name(packet.type));
    if (!closed)
        fail(test, "packets behind DISCONNECT did not end the connection");
    if (receive(watcher, test->quiet_ms, &packet, &closed))
        warn_debatable(test, v5 ? "MQTT-3.14.4-1" : "MQTT-3.14.4-2",
                       "a PUBLISH behind DISCONNECT was delivered");
}

struct malformed {
    const char *name, *hex_5, *hex_311;
};

CASE(malformed_disconnect_publishes_the_will, .v5 = "MQTT-4.13.1-1 MQTT-3.1.2-8 MQTT-3.14.2-1",
     .v311 = "MQTT-4.8.0-1 MQTT-3.1.2-8",
     .sends =
         "DISCONNECTs that cannot be read, or (5.0) with properties that have no place in them "
         "or stand twice, by clients with a will",
     .allowed = "the connection is closed and the will is published: none of them is a normal "
                "disconnection",
     .faults = "accepts_malformed accepts_trailing_bytes accepts_wrong_property "
               "accepts_repeated_property no_will_after_error")
{
    static const struct malformed variants[] = {
        {"a byte left over", "E0 03 00 00 00", "E0 01 00"},
        {"Property Length beyond the packet", "E0 02 00 05", NULL},
        {"an unknown property", "E0 04 00 02 04 01", NULL},
        {"Receive Maximum", "E0 05 00 03 21 0001", NULL},
        {"Topic Alias", "E0 05 00 03 23 0001", NULL},
        {"Will Delay Interval", "E0 07 00 05 18 00000001", NULL},
        {"Session Expiry Interval twice", "E0 0C 00 0A 11 00000000 11 00000000", NULL},
        {"Reason String twice", "E0 0A 00 08 1F 0001 61 1F 0001 62", NULL},
        {"a Reason String that is no UTF-8", "E0 06 00 04 1F 0001 FF", NULL},
        {"an undefined Reason Code", "E0 01 01", NULL},
    };
    struct text topic = topic_of(test, "will");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const char *hex = test->version == VERSION_5 ? variants[i].hex_5 : variants[i].hex_311;
        if (!hex)
            continue;
        struct packet connect = connect_of(refusal.client), will;
        connect.will_topic = topic;
        client_connect_ok(refusal.client, &connect);
        client_send_hex(refusal.client, hex);
        refusal_judge(&refusal, refusal.client, true, 0, variants[i].name);
        bool closed = false;
        if (!receive(watcher, test->time_limit_ms, &will, &closed))
            fail(test, "DISCONNECT with %s: the will was not published", variants[i].name);
    }
    refusal_end(&refusal);
}

/* ---- The server's ---- */

CASE(server_disconnects_as_it_should,
     .v5 = "MQTT-3.14.2-1 MQTT-3.14.2-2 MQTT-3.14.4-1 "
           "MQTT-3.14.4-2 MQTT-4.13.1-1 MQTT-4.13.2-1",
     .v311 = "MQTT-4.8.0-1",
     .sends = "five errors, each of which has a Reason Code of its own in the specification",
     .allowed = "5.0: DISCONNECT (a SHOULD) with a code that a server may use and without Session "
                "Expiry Interval, and nothing after it; then, in both versions, the end",
     .faults = "keeps_open sends_after_disconnect session_expiry_in_disconnect "
               "undefined_disconnect_code disconnect_to_311")
{
    bool v5 = test->version == VERSION_5;
    struct refusal refusal = refusal_begin(test);
    refusal_hex(&refusal, "00 00", 0x81, "a packet of type 0");
    refusal_hex(&refusal, "30 02 0005", 0x81, "a PUBLISH cut short");
    refusal_hex(&refusal, v5 ? "36 06 0001 61 0001 00" : "36 05 0001 61 0001", 0x81,
                "a PUBLISH at QoS 3");
    refusal_hex(&refusal, v5 ? "82 03 0001 00" : "82 02 0001", 0x82, "SUBSCRIBE without a filter");
    struct packet connect = connect_of(refusal.client);
    refusal_packet(&refusal, &connect, 0x82, "a second CONNECT");
    refusal_end(&refusal);
}

CASE(an_error_ends_its_own_connection_only, .v5 = "MQTT-4.13.1-1", .v311 = "MQTT-4.8.0-1",
     .sends = "an error on one connection while another client publishes to itself",
     .allowed = "the other is not disturbed, before and after",
     .faults = "keeps_open error_closes_others")
{
    struct text topic = topic_of(test, "t");
    struct client *other = client_connected(test, "other");
    client_subscribe(other, topic, 0);
    struct refusal refusal = refusal_begin(test);
    static const char *const errors[] = {"00 00", "30 02 FFFF", "F0 FF FF FF FF 7F",
                                         "30 80 80 80 80 01"};
    for (unsigned i = 0; i < 4; i++) {
        struct text payload = text_printf(test, "%u", i);
        refusal_hex(&refusal, errors[i], 0, errors[i]);
        client_publish(other, topic, payload, 0, false);
        expect_publish(other, topic, payload);
    }
    refusal_end(&refusal);
}

/* Whether there was a PUBACK before the server closed, which it has to. */
static bool acknowledged_before_the_end(struct client *client)
{
    struct packet packet;
    bool closed = false, acknowledged = false;
    while (receive(client, client->test->time_limit_ms, &packet, &closed))
        acknowledged |= packet.type == PUBACK && packet.reason_code < 0x80;
    if (!closed)
        fail(client->test, "the Network Connection was not closed");
    return acknowledged;
}

CASE(what_came_before_the_error_counts, .v5 = "MQTT-4.13.1-1 MQTT-4.2.0-1", .v311 = "MQTT-4.8.0-1",
     .sends =
         "a good PUBLISH at QoS 1, and in the same write a malformed packet and another PUBLISH",
     .allowed = "the first is delivered if it was acknowledged, and else as the server likes; the "
                "one behind the error is not",
     .faults = "accepts_malformed keeps_open")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "t");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 1);
    struct client *client = client_connected(test, "sender");
    struct packet publish = {
        .type = PUBLISH, .qos = 1, .packet_id = 1, .topic = topic, .payload = TEXT("good")};
    struct buffer bytes = {0};
    packet_write(&bytes, test->version, &publish);
    buffer_hex(&bytes, "00 00");
    publish.packet_id = 2;
    publish.payload = TEXT("behind the error");
    packet_write(&bytes, test->version, &publish);
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
    if (acknowledged_before_the_end(client)) {
        take_publish(watcher, topic, TEXT("good"));
        expect_quiet(watcher);
        return;
    }
    struct packet got;
    bool closed = false;
    while (receive(watcher, test->quiet_ms, &got, &closed)) {
        if (got.type != PUBLISH || !text_equal(got.payload, TEXT("good")))
            fail(test, "%s came, not the message before the error", packet_name(got.type));
        acknowledge(watcher, &got);
    }
}
