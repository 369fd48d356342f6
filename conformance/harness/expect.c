#include <stdio.h>
#include <string.h>

#include "conformance/harness/test_run.h"
#include "conformance/net/websocket.h"

enum { OWED_SIZE = 400, LINE_SIZE = 400 };

static struct connection *connection_of(struct client *client)
{
    if (!client->connection)
        test_run_broken(client->test, "the case waits for a packet without a connection");
    return client->connection;
}

/* The first that arrives and fits, or NULL if the connection ends or time passes before. `type` 0:
 * any; `packet_id` 0: any. A DISCONNECT is given whatever is sought: nothing follows it. */
static struct arrival *await(struct client *client, uint64_t deadline_ms, unsigned type,
                             uint16_t packet_id)
{
    struct connection *connection = connection_of(client);
    for (;;) {
        for (struct arrival *arrival = connection->first; arrival; arrival = arrival->next) {
            bool fits =
                (!type || arrival->type == type) && (!packet_id || arrival->packet_id == packet_id);
            if (fits || arrival->type == DISCONNECT)
                return arrival;
        }
        if (connection_ended(connection) || transport_clock_ms() >= deadline_ms)
            return NULL;
        test_run_wait(client->test->run, deadline_ms);
    }
}

/* What came meanwhile and is not what was sought. */
static const char *meanwhile(struct client *client, char *line, size_t size)
{
    struct arrival *first = client->connection->first;
    if (!first)
        return "nothing";
    struct packet packet = connection_take(client->connection, first);
    return packet_describe(&packet, client->version, line, size);
}

_Noreturn static void fail_missing(struct client *client, const char *owed)
{
    struct connection *connection = client->connection;
    char line[LINE_SIZE];
    if (connection_ended(connection)) {
        bool ended = !connection->first;
        fail(client->test, "%s%s%s; %s was owed", connection_end_words(connection),
             ended ? "" : " after ", ended ? "" : meanwhile(client, line, sizeof line), owed);
    }
    fail(client->test, "%s came within %u ms%s; %s was owed", meanwhile(client, line, sizeof line),
         client->test->time_limit_ms, test_run_over(client->test->run), owed);
}

_Noreturn static void fail_instead(struct client *client, const struct packet *got,
                                   const char *owed)
{
    char line[LINE_SIZE];
    fail(client->test, "the server sent %s; %s was owed",
         packet_describe(got, client->version, line, sizeof line), owed);
}

static struct packet take_next(struct client *client, unsigned type, uint16_t packet_id,
                               const char *owed)
{
    uint64_t deadline_ms = test_run_deadline(client->test->run, client->test->time_limit_ms);
    struct arrival *arrival = await(client, deadline_ms, type, packet_id);
    if (!arrival)
        fail_missing(client, owed);
    return connection_take(client->connection, arrival);
}

struct packet expect(struct client *client, enum packet_type type)
{
    struct packet packet = take_next(client, 0, 0, packet_name(type));
    if (packet.type != type)
        fail_instead(client, &packet, packet_name(type));
    return packet;
}

struct packet expect_answer(struct client *client, enum packet_type type, uint16_t packet_id)
{
    char owed[40];
    snprintf(owed, sizeof owed, "%s with Packet Identifier %u", packet_name(type), packet_id);
    struct packet packet = take_next(client, type, packet_id, owed);
    if (packet.type != type)
        fail_instead(client, &packet, owed);
    return packet;
}

struct packet expect_publish(struct client *client, struct text topic, struct text payload)
{
    char owed[OWED_SIZE];
    packet_describe(&(struct packet){.type = PUBLISH, .topic = topic, .payload = payload},
                    client->version, owed, sizeof owed);
    /* "PUBLISH QoS 0, topic ...": the QoS is not wanted here. */
    char *words = strstr(owed, "topic ");
    char wanted[OWED_SIZE];
    snprintf(wanted, sizeof wanted, "PUBLISH with %.380s", words ? words : owed);

    struct packet packet = take_next(client, PUBLISH, 0, wanted);
    if (packet.type != PUBLISH || !text_equal(packet.topic, topic) ||
        !text_equal(packet.payload, payload))
        fail_instead(client, &packet, wanted);
    return packet;
}

struct packet take_publish(struct client *client, struct text topic, struct text payload)
{
    struct packet packet = expect_publish(client, topic, payload);
    acknowledge(client, &packet);
    return packet;
}

void expect_subprotocol(struct client *client)
{
    need_websocket(client->test);
    const char *selected = websocket_subprotocol(connection_of(client)->transport->websocket);
    if (strcmp(selected, "mqtt") != 0)
        fail_statement(client->test, "MQTT-6.0.0-4",
                       "the subprotocol in the server's answer is \"%s\"; \"mqtt\" was owed",
                       selected);
}

/* ---- The end of a connection ---- */

static void judge_code(struct client *client, const struct packet *packet, uint8_t reason_code)
{
    char line[LINE_SIZE];
    bool error =
        client->version == VERSION_5 ? packet->reason_code >= 0x80 : packet->reason_code != 0;
    packet_describe(packet, client->version, line, sizeof line);
    if (!error)
        fail(client->test, "the server sent %s; it had to close with an error or without a word",
             line);
    if (client->version == VERSION_5 && reason_code && packet->reason_code != reason_code)
        warn_should(client->test, NULL,
                    "the server closed with %s, where the specification names 0x%02X %s", line,
                    reason_code, reason_code_name(VERSION_5, DISCONNECT, reason_code));
}

/* Packets before the end: the last words are judged, what was under way is passed over. */
static void judge_last_words(struct client *client, uint8_t reason_code)
{
    struct connection *connection = client->connection;
    while (connection->first) {
        struct packet packet = connection_take(connection, connection->first);
        if (packet.type == DISCONNECT || packet.type == CONNACK)
            judge_code(client, &packet, reason_code);
    }
}

void expect_closed(struct client *client, uint8_t reason_code)
{
    struct connection *connection = connection_of(client);
    struct test *test = client->test;
    uint64_t deadline_ms = test_run_deadline(test->run, test->time_limit_ms);
    for (;;) {
        judge_last_words(client, reason_code);
        if (connection_ended(connection))
            return;
        if (transport_clock_ms() >= deadline_ms)
            fail(test, "the connection is still open after %u ms%s; the server had to close it",
                 test->time_limit_ms, test_run_over(test->run));
        test_run_wait(test->run, deadline_ms);
    }
}

/* ---- Nothing ---- */

void expect_quiet(struct client *client)
{
    struct test *test = client->test;
    char line[LINE_SIZE];
    if (await(client, test_run_deadline(test->run, test->quiet_ms), 0, 0))
        fail(test, "the server sent %s; nothing was owed", meanwhile(client, line, sizeof line));
    if (connection_ended(client->connection))
        fail(test, "%s; it had to stay open", connection_end_words(client->connection));
    expect_alive(client);
}

void expect_alive(struct client *client)
{
    client_send(client, &(struct packet){.type = PINGREQ});
    expect(client, PINGRESP);
}

bool receive(struct client *client, unsigned ms, struct packet *out, bool *closed)
{
    struct arrival *arrival = await(client, test_run_deadline(client->test->run, ms), 0, 0);
    *closed = !arrival && connection_ended(client->connection);
    if (arrival)
        *out = connection_take(client->connection, arrival);
    return arrival != NULL;
}
