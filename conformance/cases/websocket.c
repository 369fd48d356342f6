/* 6 WebSocket: what runs over --ws show. The handshake, masks and opcodes that a server sends are
 * checked by the harness on every connection, binary frames [MQTT-6.0.0-1] among them. */
#include "conformance/harness/case.h"

enum { CONTINUATION = 0, TEXT_FRAME = 1, BINARY = 2, CLOSE = 8, PING = 9 };

/* The bytes of a packet, for as long as the test lives. */
static struct text bytes_of(struct client *client, const struct packet *packet)
{
    struct buffer buffer = {0};
    packet_write(&buffer, client->version, packet);
    uint8_t *copy = test_alloc(client->test, buffer.size);
    for (size_t i = 0; i < buffer.size; i++)
        copy[i] = buffer.data[i];
    struct text bytes = {copy, buffer.size};
    buffer_free(&buffer);
    return bytes;
}

static struct text joined(struct test *test, struct text a, struct text b)
{
    uint8_t *copy = test_alloc(test, a.size + b.size);
    for (size_t i = 0; i < a.size; i++)
        copy[i] = a.data[i];
    for (size_t i = 0; i < b.size; i++)
        copy[a.size + i] = b.data[i];
    return (struct text){copy, a.size + b.size};
}

static struct packet subscribe_packet(struct text filter, uint16_t packet_id)
{
    struct packet subscribe = {.type = SUBSCRIBE, .packet_id = packet_id, .filter_count = 1};
    subscribe.filters[0].filter = filter;
    return subscribe;
}

CASE(websocket_subprotocol_and_frames, .v5 = "MQTT-6.0.0-4 MQTT-6.0.0-1",
     .v311 = "MQTT-6.0.0-4 MQTT-6.0.0-1",
     .sends = "a WebSocket handshake that offers \"mqtt\"; CONNECT, SUBSCRIBE, PUBLISH, PINGREQ",
     .allowed = "the subprotocol \"mqtt\" in the answer, and every packet in binary frames",
     .faults = "wrong_subprotocol sends_text_frames")
{
    need_websocket(test);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "x");
    expect_subprotocol(client);
    client_subscribe(client, topic, 0);
    client_publish(client, topic, TEXT("x"), 0, false);
    expect_publish(client, topic, TEXT("x"));
    expect_alive(client);
}

/* One frame for each `size` bytes. */
static void send_in_frames(struct client *client, struct text bytes, size_t size)
{
    for (size_t at = 0; at < bytes.size; at += size) {
        size_t left = bytes.size - at;
        client_send_frame(client, BINARY, true, bytes.data + at, left < size ? left : size);
    }
}

CASE(websocket_frames_can_hold_parts_of_packets, .v5 = "MQTT-6.0.0-2", .v311 = "MQTT-6.0.0-2",
     .sends =
         "CONNECT in a frame for each byte, SUBSCRIBE in frames of 3 bytes, PUBLISH in frames of "
         "7 with an empty one between, PINGREQ in two",
     .allowed = "an answer to each, as if frames had no bounds", .faults = "drops_split_packets")
{
    need_websocket(test);
    struct client *client = client_new(test, "client");
    struct text topic = topic_of(test, "parts");
    struct packet connect = connect_of(client), subscribe = subscribe_packet(topic, 5);
    struct packet publish = {.type = PUBLISH, .topic = topic, .payload = TEXT("in parts")};
    client_open(client);
    send_in_frames(client, bytes_of(client, &connect), 1);
    struct packet connack = expect(client, CONNACK);
    if (connack.reason_code != 0)
        fail(test, "CONNECT in frames of one byte was refused with 0x%02X", connack.reason_code);
    send_in_frames(client, bytes_of(client, &subscribe), 3);
    expect(client, SUBACK);
    struct text bytes = bytes_of(client, &publish);
    send_in_frames(client, (struct text){bytes.data, 4}, 4);
    client_send_frame(client, BINARY, true, "", 0);
    send_in_frames(client, (struct text){bytes.data + 4, bytes.size - 4}, 7);
    expect_publish(client, topic, TEXT("in parts"));
    send_in_frames(client, TEXT("\xC0\x00"), 1);
    expect(client, PINGRESP);
}

CASE(websocket_frames_can_hold_several_packets, .v5 = "MQTT-6.0.0-2", .v311 = "MQTT-6.0.0-2",
     .sends =
         "SUBSCRIBE and PUBLISH and the first byte of PINGREQ in one frame; its second byte, a "
         "PUBLISH and another PINGREQ in the next",
     .allowed = "an answer to each", .faults = "one_packet_per_frame")
{
    need_websocket(test);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "several");
    struct packet subscribe = subscribe_packet(topic, 5);
    struct packet publish = {.type = PUBLISH, .topic = topic, .payload = TEXT("one")};
    struct text first = joined(test, bytes_of(client, &subscribe), bytes_of(client, &publish));
    first = joined(test, first, TEXT("\xC0"));
    publish.payload = TEXT("two");
    struct text second = joined(test, TEXT("\0"), bytes_of(client, &publish));
    second = joined(test, second, TEXT("\xC0\0"));
    client_send_frame(client, BINARY, true, first.data, first.size);
    client_send_frame(client, BINARY, true, second.data, second.size);
    unsigned messages = 0, answers = 0;
    while (messages < 2 || answers < 3) {
        struct packet packet;
        bool closed = false;
        if (!receive(client, test->time_limit_ms, &packet, &closed))
            fail(test, "%u of 2 messages and %u of SUBACK and 2 PINGRESPs came", messages, answers);
        if (packet.type == PUBLISH)
            messages++;
        else
            answers++;
    }
}

CASE(websocket_messages_can_be_fragmented, .v5 = "MQTT-6.0.0-2", .v311 = "MQTT-6.0.0-2",
     .sends = "SUBSCRIBE as a WebSocket message of three fragments, with a Ping between them",
     .allowed = "SUBACK",
     .why = "RFC 6455 section 5.4: fragments and frames are the sender's choice",
     .faults = "drops_split_packets no_suback")
{
    need_websocket(test);
    struct client *client = client_connected(test, "client");
    struct packet subscribe = subscribe_packet(topic_of(test, "fragments"), 5);
    struct text bytes = bytes_of(client, &subscribe);
    client_send_frame(client, BINARY, false, bytes.data, 1);
    client_send_frame(client, CONTINUATION, false, bytes.data + 1, 5);
    client_send_frame(client, PING, true, "?", 1);
    client_send_frame(client, CONTINUATION, true, bytes.data + 6, bytes.size - 6);
    expect(client, SUBACK);
    expect_alive(client);
}

CASE(websocket_carries_messages_of_every_size, .v5 = "MQTT-6.0.0-2 MQTT-4.5.0-1",
     .v311 = "MQTT-6.0.0-2 MQTT-4.5.0-1",
     .sends = "PUBLISHes that make frames of around 125, 126, 65,535 and 65,536 bytes, "
              "as far as the server's Maximum Packet Size goes",
     .allowed = "each comes back whole", .faults = "truncates_large_messages never_delivers")
{
    static const size_t sizes[] = {20, 60, 100, 65400, 65536};
    need_websocket(test);
    need_qos(test, 1);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "size");
    client_subscribe(client, topic, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i] + 200 > test->server->maximum_packet_size)
            break;
        uint8_t *payload = test_alloc(test, sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++)
            payload[at] = (uint8_t)(at * 31 + i);
        client_publish(client, topic, (struct text){payload, sizes[i]}, 1, false);
        take_publish(client, topic, (struct text){payload, sizes[i]});
    }
}

CASE(websocket_text_frames_are_refused, .v5 = "MQTT-6.0.0-1", .v311 = "MQTT-6.0.0-1",
     .sends = "CONNECT in a text frame; PINGREQ in a text frame after a CONNECT that was accepted",
     .allowed = "the Network Connection is closed both times", .faults = "accepts_text_frames")
{
    need_websocket(test);
    struct client *first = client_new(test, "first");
    struct packet connect = connect_of(first);
    struct text bytes = bytes_of(first, &connect);
    client_open(first);
    client_send_frame(first, TEXT_FRAME, true, bytes.data, bytes.size);
    expect_closed(first, 0);
    struct client *second = client_connected(test, "second");
    client_send_frame(second, TEXT_FRAME, true, "\xC0\x00", 2);
    expect_closed(second, 0);
}

CASE(websocket_close_is_no_disconnect, .v5 = "MQTT-3.1.2-8", .v311 = "MQTT-3.1.2-8",
     .sends = "a WebSocket Close frame from a client with a will",
     .allowed = "the Network Connection ends, and the will is published", .faults = "forgets_will")
{
    need_websocket(test);
    struct client *watcher = client_connected(test, "watcher");
    struct client *client = client_new(test, "client");
    struct text topic = topic_of(test, "will");
    client_subscribe(watcher, topic, 0);
    struct packet connect = connect_of(client);
    connect.will_topic = topic;
    connect.will_payload = TEXT("closed");
    client_connect_ok(client, &connect);
    client_send_frame(client, CLOSE, true, "\x03\xE8", 2);
    expect_publish(watcher, topic, TEXT("closed"));
}
