#include "conformance/cases/refusal.h"

#include <stdio.h>

struct refusal refusal_begin(struct test *test)
{
    return (struct refusal){.client = client_new(test, "refused")};
}

void refusal_end(struct refusal *refusal)
{
    struct test *test = refusal->client->test;
    if (refusal->silent > 0)
        warn_should(test, "MQTT-4.13.1-1",
                    "the Network Connection was closed without DISCONNECT and its Reason Code");
    if (refusal->other > 0)
        warn_should(test, "MQTT-4.13.1-1", "%s", refusal->example);
}

static void compare_code(struct refusal *refusal, uint8_t code, const struct packet *packet,
                         const char *variant)
{
    if (code == 0 || packet->reason_code == code)
        return;
    if (refusal->other++ == 0)
        snprintf(refusal->example, sizeof refusal->example, "%s: %s with 0x%02X instead of 0x%02X",
                 variant, packet_name(packet->type), packet->reason_code, code);
}

static void judge_connack(struct refusal *refusal, struct client *client, bool connected,
                          uint8_t code, const struct packet *packet, const char *variant)
{
    struct test *test = client->test;
    if (connected)
        fail(test, "%s: answered with a second CONNACK", variant);
    if (packet->reason_code == 0)
        fail(test, "%s: accepted with CONNACK 0x00", variant);
    if (client->version == VERSION_311)
        fail_statement(test, "MQTT-3.1.4-1",
                       "%s: answered with CONNACK 0x%02X; it has to be closed without CONNACK",
                       variant, packet->reason_code);
    compare_code(refusal, code, packet, variant);
}

void refusal_judge(struct refusal *refusal, struct client *client, bool connected, uint8_t code,
                   const char *variant)
{
    struct test *test = client->test;
    uint64_t end_ms = clock_ms() + test->time_limit_ms;
    bool said_why = false;
    for (;;) {
        struct packet packet;
        bool closed = false;
        uint64_t now_ms = clock_ms();
        unsigned left_ms = now_ms < end_ms ? (unsigned)(end_ms - now_ms) : 1;
        if (!receive(client, left_ms, &packet, &closed)) {
            if (!closed)
                fail(test, "%s: the Network Connection was not closed", variant);
            break;
        }
        if (said_why)
            fail(test, "%s: %s was sent after the packet that ends the connection", variant,
                 packet_name(packet.type));
        if (packet.type == CONNACK) {
            judge_connack(refusal, client, connected, code, &packet, variant);
            said_why = true;
        } else if (packet.type == DISCONNECT) {
            if (!connected)
                fail_statement(test, "MQTT-3.14.0-1", "%s: DISCONNECT was sent before CONNACK",
                               variant);
            compare_code(refusal, code, &packet, variant);
            said_why = true;
        } else if (!connected) {
            fail(test, "%s: answered with %s", variant, packet_name(packet.type));
        }
    }
    if (connected && !said_why && client->version == VERSION_5)
        refusal->silent++;
    client_drop(client);
}

void refusal_connect_bytes(struct refusal *refusal, struct buffer *bytes, uint8_t code,
                           const char *variant)
{
    client_open(refusal->client);
    client_send_bytes(refusal->client, bytes->data, bytes->size);
    buffer_free(bytes);
    refusal_judge(refusal, refusal->client, false, code, variant);
}

void refusal_connect(struct refusal *refusal, const struct packet *connect, uint8_t code,
                     const char *variant)
{
    struct buffer bytes = {0};
    packet_write(&bytes, refusal->client->version, connect);
    refusal_connect_bytes(refusal, &bytes, code, variant);
}

static void connect_again(struct client *client)
{
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
}

void refusal_bytes(struct refusal *refusal, struct buffer *bytes, uint8_t code, const char *variant)
{
    connect_again(refusal->client);
    client_send_bytes(refusal->client, bytes->data, bytes->size);
    buffer_free(bytes);
    refusal_judge(refusal, refusal->client, true, code, variant);
}

void refusal_packet(struct refusal *refusal, const struct packet *packet, uint8_t code,
                    const char *variant)
{
    struct buffer bytes = {0};
    packet_write(&bytes, refusal->client->version, packet);
    refusal_bytes(refusal, &bytes, code, variant);
}

void refusal_hex(struct refusal *refusal, const char *hex, uint8_t code, const char *variant)
{
    struct buffer bytes = {0};
    buffer_hex(&bytes, hex);
    refusal_bytes(refusal, &bytes, code, variant);
}

enum { LEAVE_MS = 1000 };

void refusal_await_end(struct client *client)
{
    struct packet packet;
    bool closed = false;
    while (receive(client, LEAVE_MS, &packet, &closed))
        continue;
    client_drop(client);
}

void refusal_leave(struct client *client, const struct packet *disconnect)
{
    client_send(client, disconnect);
    refusal_await_end(client);
}
