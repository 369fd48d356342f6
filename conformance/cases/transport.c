/* The stream under MQTT (section 4.2): packets are found in it however it is cut. */
#include "conformance/harness/case.h"

CASE(packets_may_be_cut_anywhere, .v5 = "MQTT-4.2.0-1",
     .v311 = "MQTT-7.1.1-1 MQTT-7.0.0-2 MQTT-3.1.4-4",
     .sends = "CONNECT, SUBSCRIBE and PUBLISH, one byte per write",
     .allowed = "they are taken as if each had come in one piece", .faults = "no_connack no_suback")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_new(test, "slow");
    const struct packet packets[] = {
        connect_of(client),
        {.type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1},
        {.type = PUBLISH, .topic = topic, .payload = TEXT("in pieces")},
    };
    struct buffer bytes = {0};
    for (unsigned i = 0; i < 3; i++)
        packet_write(&bytes, test->version, &packets[i]);
    size_t size = bytes.size;
    uint8_t *copy = test_alloc(test, size);
    for (size_t i = 0; i < size; i++)
        copy[i] = bytes.data[i];
    buffer_free(&bytes);
    client_open(client);
    for (size_t i = 0; i < size; i++)
        client_send_bytes(client, copy + i, 1);
    expect(client, CONNACK);
    expect(client, SUBACK);
    expect_publish(client, topic, TEXT("in pieces"));
}

CASE(many_packets_in_one_write, .v5 = "MQTT-4.2.0-1 MQTT-3.1.4-5", .v311 = "MQTT-3.1.4-4",
     .sends = "CONNECT and 500 SUBSCRIBEs in one write", .allowed = "CONNACK and 500 SUBACKs",
     .faults = "no_connack no_suback")
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
