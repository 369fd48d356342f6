#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "conformance/harness/test_run.h"

enum { CLOSE_LIMIT_MS = 1000, ROLE_SIZE = 9 };

/* ---- Connecting ---- */

/* "c", six digits of the process, four of the run, three of the client, then what it plays: at most
 * 23 letters and digits, which every server has to take [MQTT-3.1.3-5]. */
static struct text unique_id(struct test *test, const char *role)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char number[8] = "", name[ROLE_SIZE + 1] = "";
    unsigned run = test->run->number, client = test->run->clients++;
    for (unsigned i = 4; i-- > 0; run /= 36)
        number[i] = digits[run % 36];
    for (unsigned i = 7; i-- > 4; client /= 36)
        number[i] = digits[client % 36];
    for (unsigned i = 0; *role && i < ROLE_SIZE; role++) {
        if (isalnum((unsigned char)*role))
            name[i++] = *role;
    }
    return text_printf(test, "c%s%.7s%s", run_name(), number, name);
}

struct client *client_new(struct test *test, const char *role)
{
    struct client *client = test_alloc(test, sizeof *client);
    client->id = unique_id(test, role);
    client->version = test->version;
    client->next_packet_id = 1;
    client->test = test;
    return client;
}

void client_open(struct client *client)
{
    connection_close(client, false);
    connection_open(client);
}

struct packet connect_of(const struct client *client)
{
    const struct target *target = client->test->run->settings->target;
    struct packet connect = {
        .type = CONNECT, .client_id = client->id, .clean_start = true, .keep_alive_s = 60};
    if (target->user_name)
        connect.user_name = text_of(target->user_name);
    if (target->password)
        connect.password = text_of(target->password);
    return connect;
}

const struct packet *client_connect(struct client *client, const struct packet *connect)
{
    if (!client->connection || connection_ended(client->connection))
        client_open(client);
    client_send(client, connect);
    client->connack = expect(client, CONNACK);
    return &client->connack;
}

void client_connect_ok(struct client *client, const struct packet *connect)
{
    const struct packet *connack = client_connect(client, connect);
    if (connack->reason_code != 0)
        fail_statement(client->test, client->version == VERSION_5 ? "MQTT-3.1.4-5" : "MQTT-3.1.4-4",
                       "the server refused a sound CONNECT with 0x%02X %s", connack->reason_code,
                       reason_code_name(client->version, CONNACK, connack->reason_code));
}

struct client *client_connected(struct test *test, const char *role)
{
    struct client *client = client_new(test, role);
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
    return client;
}

static struct packet connect_stored(const struct client *client, uint32_t expiry_s)
{
    struct packet connect = connect_of(client);
    if (client->version == VERSION_5)
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, expiry_s);
    else
        connect.clean_start = false;
    return connect;
}

struct client *client_connected_stored(struct test *test, const char *role, uint32_t expiry_s)
{
    struct client *client = client_new(test, role);
    struct packet connect = connect_stored(client, expiry_s);
    client_connect_ok(client, &connect);
    return client;
}

void client_resume(struct client *client, uint32_t expiry_s)
{
    struct packet connect = connect_stored(client, expiry_s);
    connect.clean_start = false;
    connection_close(client, false);
    client_connect_ok(client, &connect);
}

/* ---- Sending, leaving ---- */

/* Sending may end the case, so that nothing of the heap may be held then. */
static void send_and_free(struct client *client, struct buffer *bytes)
{
    size_t size = bytes->size;
    void *copy = test_alloc(client->test, size + 1);
    if (size > 0)
        memcpy(copy, bytes->data, size);
    buffer_free(bytes);
    connection_send(client, copy, size);
}

void client_send(struct client *client, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, client->version, packet);
    send_and_free(client, &bytes);
}

void client_send_bytes(struct client *client, const void *data, size_t size)
{
    connection_send(client, data, size);
}

void client_send_hex(struct client *client, const char *hex)
{
    struct buffer bytes = {0};
    buffer_hex(&bytes, hex);
    send_and_free(client, &bytes);
}

void client_send_frame(struct client *client, unsigned opcode, bool fin, const void *data,
                       size_t size)
{
    need_websocket(client->test);
    connection_send_frame(client, opcode, fin, data, size);
}

void client_disconnect(struct client *client)
{
    if (!client->connection)
        return;
    client_send(client, &(struct packet){.type = DISCONNECT, .omit_reason_code = true});
    struct connection *connection = client->connection;
    uint64_t deadline_ms = test_run_deadline(client->test->run, CLOSE_LIMIT_MS);
    connection->paused = false;
    while (!connection_ended(connection) && transport_clock_ms() < deadline_ms)
        test_run_wait(client->test->run, deadline_ms);
    connection_close(client, false);
}

void client_drop(struct client *client)
{
    connection_close(client, false);
}

void client_reset(struct client *client)
{
    connection_close(client, true);
}

void client_pause_reading(struct client *client, bool paused)
{
    if (!client->connection)
        test_run_broken(client->test, "the case pauses a client without a connection");
    client->connection->paused = paused;
}

/* ---- Whole exchanges ---- */

static uint16_t next_packet_id(struct client *client)
{
    uint16_t id = client->next_packet_id++;
    if (client->next_packet_id == 0)
        client->next_packet_id = 1;
    return id;
}

static void want_success(struct client *client, const struct packet *packet)
{
    if (packet->reason_code >= 0x80)
        fail(client->test,
             "the server sent %s 0x%02X %s for Packet Identifier %u; success was owed",
             packet_name(packet->type), packet->reason_code,
             reason_code_name(client->version, packet->type, packet->reason_code),
             packet->packet_id);
}

struct packet client_subscribe_raw(struct client *client, struct packet *subscribe)
{
    subscribe->type = SUBSCRIBE;
    if (!subscribe->packet_id)
        subscribe->packet_id = next_packet_id(client);
    client_send(client, subscribe);
    return expect_answer(client, SUBACK, subscribe->packet_id);
}

uint16_t client_subscribe(struct client *client, struct text filter, uint8_t options)
{
    struct packet subscribe = {.filters = {{filter, options}}, .filter_count = 1};
    struct packet suback = client_subscribe_raw(client, &subscribe);
    uint8_t code = suback.reason_codes.data[0], qos = options & 3;
    if (code > 2)
        fail(client->test, "the server refused the subscription to \"%.*s\" with 0x%02X %s",
             (int)filter.size, (const char *)filter.data, code,
             reason_code_name(client->version, SUBACK, code));
    if (code > qos)
        fail_statement(client->test, client->version == VERSION_5 ? "MQTT-3.8.4-7" : "MQTT-3.8.4-5",
                       "the server granted QoS %u where %u was asked for", code, qos);
    if (code < qos)
        not_applicable(client->test, "the server grants QoS %u where %u is asked for", code, qos);
    return subscribe.packet_id;
}

void client_unsubscribe(struct client *client, struct text filter)
{
    struct packet unsubscribe = {.type = UNSUBSCRIBE,
                                 .packet_id = next_packet_id(client),
                                 .filters = {{filter, 0}},
                                 .filter_count = 1};
    client_send(client, &unsubscribe);
    struct packet unsuback = expect_answer(client, UNSUBACK, unsubscribe.packet_id);
    if (client->version == VERSION_5 && unsuback.reason_codes.data[0] >= 0x80)
        fail(client->test, "the server refused to unsubscribe with 0x%02X %s",
             unsuback.reason_codes.data[0],
             reason_code_name(VERSION_5, UNSUBACK, unsuback.reason_codes.data[0]));
}

uint16_t client_publish_start(struct client *client, struct packet *publish)
{
    publish->type = PUBLISH;
    if (publish->qos > 0 && !publish->packet_id)
        publish->packet_id = next_packet_id(client);
    client_send(client, publish);
    return publish->packet_id;
}

void client_publish_packet(struct client *client, struct packet *publish)
{
    uint16_t id = client_publish_start(client, publish);
    if (publish->qos == 0)
        return;
    struct packet answer = expect_answer(client, publish->qos == 1 ? PUBACK : PUBREC, id);
    want_success(client, &answer);
    if (publish->qos == 1)
        return;
    client_send(client,
                &(struct packet){.type = PUBREL, .packet_id = id, .omit_reason_code = true});
    answer = expect_answer(client, PUBCOMP, id);
    want_success(client, &answer);
}

void client_publish(struct client *client, struct text topic, struct text payload, uint8_t qos,
                    bool retain)
{
    struct packet publish = {.topic = topic, .payload = payload, .qos = qos, .retain = retain};
    client_publish_packet(client, &publish);
}

void acknowledge(struct client *client, const struct packet *publish)
{
    uint16_t id = publish->packet_id;
    if (publish->qos == 0)
        return;
    client_send(client, &(struct packet){.type = publish->qos == 1 ? PUBACK : PUBREC,
                                         .packet_id = id,
                                         .omit_reason_code = true});
    if (publish->qos == 1)
        return;
    struct packet pubrel = expect_answer(client, PUBREL, id);
    want_success(client, &pubrel);
    client_send(client,
                &(struct packet){.type = PUBCOMP, .packet_id = id, .omit_reason_code = true});
}
