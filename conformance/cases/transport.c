/* The stream under MQTT (section 4.2): packets are found in it however it is cut. */
#include "conformance/harness/case.h"

static void send_in_pieces(struct client *client, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, client->version, packet);
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        client_send_bytes(client, &byte, 1);
    }
    buffer_free(&bytes);
}

CASE(packets_may_be_cut_anywhere, .v5 = "MQTT-4.2.0-1",
     .v311 = "MQTT-7.1.1-1 MQTT-7.0.0-2 MQTT-3.1.4-4",
     .sends = "CONNECT, SUBSCRIBE and PUBLISH, one byte per write",
     .allowed = "they are taken as if each had come in one piece",
     .faults = "no_connack no_suback closes_at_split_packet")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_new(test, "slow");
    const struct packet packets[] = {
        connect_of(client),
        {.type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1},
        {.type = PUBLISH, .topic = topic, .payload = TEXT("in pieces")},
    };
    client_open(client);
    send_in_pieces(client, &packets[0]);
    send_in_pieces(client, &packets[1]);
    expect(client, CONNACK);
    expect(client, SUBACK); /* a message may come before it, so none is sent yet */
    send_in_pieces(client, &packets[2]);
    expect_publish(client, topic, TEXT("in pieces"));
}

CASE(many_packets_in_one_write, .v5 = "MQTT-4.2.0-1 MQTT-3.1.4-5", .v311 = "MQTT-3.1.4-4",
     .sends = "CONNECT and 500 SUBSCRIBEs in one write", .allowed = "CONNACK and 500 SUBACKs",
     .faults = "no_connack no_suback one_packet_per_read")
{
    enum { REQUESTS = 500 };
    struct text topic = topic_of(test, "t");
    struct client *client = client_new(test, "fast");
    struct packet connect = connect_of(client);
    struct packet subscribe = {.type = SUBSCRIBE, .filters = {{topic, 0}}, .filter_count = 1};
    struct buffer bytes = {0};
    packet_write(&bytes, test->version, &connect);
    for (unsigned i = 0; i < REQUESTS; i++) {
        subscribe.packet_id = (uint16_t)(i + 1);
        packet_write(&bytes, test->version, &subscribe);
    }
    client_open(client);
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
    expect(client, CONNACK);
    bool answered[REQUESTS + 1] = {0};
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint16_t id = expect(client, SUBACK).packet_id;
        if (id == 0 || id > REQUESTS || answered[id])
            fail(test, "SUBACK for Packet Identifier %u, which is not awaited", id);
        answered[id] = true;
    }
}
