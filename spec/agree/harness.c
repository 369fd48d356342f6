/* What conformance/model/play.c asks of the suite's harness, without sockets: clients that speak to
 * server.c in memory. What a client sent last before its connection breaks is lost in part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/harness/run_case.h"
#include "conformance/model/history.h"
#include "conformance/model/reference.h"
#include "spec/agree/server.h"

enum { ARENA = 1 << 20, INBOX = 64, IDENTIFIERS = 65536 };

struct connection {
    unsigned number;
    struct note inbox[INBOX]; /* sent, and not taken in yet */
    unsigned count;
    unsigned receive_maximum, in_flight;
    bool open, counted[IDENTIFIERS]; /* PUBLISHes of this connection that have no answer yet */
};

static struct connection connections[MODEL_CLIENTS];
static unsigned connection_count;
static char arena[ARENA];
static size_t arena_used;
static jmp_buf over;
static struct outcome *outcome;
static uint64_t now_ms;

void *test_alloc(struct test *test, size_t size)
{
    (void)test;
    size = (size + 15) & ~(size_t)15;
    if (ARENA - arena_used < size)
        abort();
    arena_used += size;
    return memset(arena + arena_used - size, 0, size);
}

struct text text_printf(struct test *test, const char *format, ...)
{
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return (struct text){memcpy(test_alloc(test, (size_t)size + 1), text, (size_t)size),
                         (size_t)size};
}

struct text topic_of(struct test *test, const char *format, ...)
{
    (void)test;
    va_list arguments;
    va_start(arguments, format);
    const char *name = strcmp(format, "%s") == 0 ? va_arg(arguments, const char *) : "";
    va_end(arguments);
    return (struct text){(const uint8_t *)name, strlen(name)};
}

/* Waiting costs a millisecond each time that somebody looks. */
uint64_t clock_ms(void)
{
    return now_ms++;
}

/* ---- Verdicts ---- */

static _Noreturn __attribute__((format(printf, 3, 0))) void
end(enum verdict verdict, const char *statement, const char *format, va_list arguments)
{
    outcome->verdict = verdict;
    snprintf(outcome->statement, sizeof outcome->statement, "%s", statement);
    if (vasprintf(&outcome->reason, format, arguments) < 0)
        abort();
    longjmp(over, 1);
}

_Noreturn void fail(struct test *test, const char *format, ...)
{
    (void)test;
    va_list arguments;
    va_start(arguments, format);
    end(VERDICT_FAILED, "", format, arguments);
}

_Noreturn void fail_statement(struct test *test, const char *statement, const char *format, ...)
{
    (void)test;
    va_list arguments;
    va_start(arguments, format);
    end(VERDICT_FAILED, statement, format, arguments);
}

_Noreturn void not_applicable(struct test *test, const char *format, ...)
{
    (void)test;
    va_list arguments;
    va_start(arguments, format);
    end(VERDICT_BROKEN, "", format, arguments);
}

void outage(struct test *test)
{
    not_applicable(test, "this server does not die");
}

void run_case(const struct conformance_case *definition, enum version version,
              const struct run_settings *settings, struct outcome *out)
{
    struct test test = {.definition = definition,
                        .version = version,
                        .time_limit_ms = 5000,
                        .quiet_ms = 1,
                        .seed = settings->seed};
    *out = (struct outcome){.verdict = VERDICT_PASSED};
    outcome = out;
    arena_used = 0;
    connection_count = 0;
    server_reset(settings->seed);
    if (setjmp(over) == 0)
        definition->run(&test);
}

void outcome_free(struct outcome *done)
{
    free(done->reason);
}

/* ---- Clients ---- */

struct client *client_new(struct test *test, const char *role)
{
    struct client *client = test_alloc(test, sizeof *client);
    *client = (struct client){.id = text_of(role),
                              .version = test->version,
                              .next_packet_id = 1,
                              .test = test,
                              .connection = &connections[connection_count]};
    memset(client->connection, 0, sizeof *client->connection);
    client->connection->number = connection_count++;
    return client;
}

struct packet connect_of(const struct client *client)
{
    return (struct packet){.type = CONNECT, .client_id = client->id, .clean_start = true};
}

void client_connect_ok(struct client *client, const struct packet *connect)
{
    struct connection *connection = client->connection;
    bool v5 = client->version == VERSION_5;
    struct server_connect asked = {
        .version = client->version,
        .clean_start = connect->clean_start,
        .stored = v5 ? property_number(&connect->properties, SESSION_EXPIRY_INTERVAL, 0) > 0
                     : !connect->clean_start,
        .receive_maximum =
            (uint16_t)property_number(&connect->properties, RECEIVE_MAXIMUM, UINT16_MAX),
    };
    unsigned number = connection->number;
    memset(connection, 0, sizeof *connection);
    connection->number = number;
    connection->receive_maximum = asked.receive_maximum;
    connection->open = true;
    client->connack = (struct packet){.type = CONNACK};
    client->connack.session_present = server_connect(number, &asked);
}

static void take_in(struct connection *connection, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        server_take(connection->number, &connection->inbox[i]);
    connection->count -= count;
    memmove(connection->inbox, connection->inbox + count,
            connection->count * sizeof *connection->inbox);
}

static uint8_t number_of(struct text text, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (text_equal(text, text_of(names[i])))
            return (uint8_t)i;
    }
    return 0;
}

static struct note note_of(const struct packet *packet)
{
    struct note note = {.type = packet->type,
                        .packet_id = packet->packet_id,
                        .qos = packet->qos,
                        .dup = packet->dup,
                        .retain = packet->retain};
    if (packet->type == PUBLISH) {
        note.topic = number_of(packet->topic, model_topics, MODEL_TOPICS);
        note.message = (unsigned)strtoul((const char *)packet->payload.data, NULL, 10);
    }
    if (packet->filter_count > 0) {
        note.filter = number_of(packet->filters[0].filter, model_filters, MODEL_FILTERS);
        note.options = packet->filters[0].options;
    }
    return note;
}

void client_send(struct client *client, const struct packet *packet)
{
    struct connection *connection = client->connection;
    if ((packet->type == PUBACK || packet->type == PUBCOMP) &&
        connection->counted[packet->packet_id]) {
        connection->counted[packet->packet_id] = false;
        connection->in_flight--;
    }
    if (connection->count == INBOX)
        take_in(connection, INBOX);
    connection->inbox[connection->count++] = note_of(packet);
}

uint16_t client_publish_start(struct client *client, struct packet *publish)
{
    if (publish->qos > 0 && publish->packet_id == 0)
        publish->packet_id = client->next_packet_id++;
    client_send(client, publish);
    return publish->packet_id;
}

void client_drop(struct client *client)
{
    take_in(client->connection, server_draw(client->connection->count + 1));
    client->connection->open = false;
    server_close(client->connection->number);
}

void client_disconnect(struct client *client)
{
    take_in(client->connection, client->connection->count);
    client->connection->open = false;
    server_close(client->connection->number);
}

/* The Receive Maximum is not the reference's business. */
static void count(struct client *client, const struct note *note)
{
    struct connection *connection = client->connection;
    if (note->type != PUBLISH || note->qos == 0)
        return;
    connection->in_flight += !connection->counted[note->packet_id];
    connection->counted[note->packet_id] = true;
    if (connection->in_flight > connection->receive_maximum)
        fail_statement(client->test, "MQTT-3.3.4-9",
                       "%u messages are under way at QoS 1 and 2, and Receive Maximum is %u",
                       connection->in_flight, connection->receive_maximum);
}

static void packet_of(struct client *client, const struct note *note, struct packet *out)
{
    static const uint8_t granted[] = {0, 1, 2};
    *out = (struct packet){.type = note->type, .packet_id = note->packet_id};
    if (note->type == SUBACK)
        out->reason_codes = (struct text){granted + note->qos, 1};
    if (note->type != PUBLISH)
        return;
    out->qos = note->qos;
    out->dup = note->dup;
    out->retain = note->retain;
    out->topic = text_of(model_topics[note->topic]);
    out->payload = text_printf(client->test, "%u", note->message);
}

/* Between two steps it is chance how far server and disk have come; who waits gets what is due. */
bool receive(struct client *client, unsigned ms, struct packet *out, bool *closed)
{
    struct connection *connection = client->connection;
    struct note note;
    *closed = false;
    if (ms > 0 || server_draw(2) == 0)
        take_in(connection, connection->count);
    if (ms > 0 && server_draw(4) == 0)
        server_disk();
    while (!server_give(connection->number, &note)) {
        if (ms == 0 || !server_disk())
            return false;
    }
    count(client, &note);
    packet_of(client, &note, out);
    return true;
}
