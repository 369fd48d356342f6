/* Network Connections of a case: everything that passes on them is traced and checked here. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/harness/test_run.h"
#include "conformance/net/websocket.h"

enum { WAITING_MAX = 64 * 1024 * 1024 };

/* Reports are passed around: the user's password is no part of them, wherever it stands. */
static const void *without_password(struct test_run *run, const void *data, size_t size)
{
    const char *password = run->settings->target->password;
    size_t password_size = password ? strlen(password) : 0;
    if (password_size == 0 || size == 0 || !memmem(data, size, password, password_size))
        return data;
    uint8_t *copy = memcpy(arena_alloc(&run->arena, size), data, size), *found;
    while ((found = memmem(copy, size, password, password_size)))
        memset(found, password[0] == '*' ? '-' : '*', password_size);
    return copy;
}

static void trace(struct connection *connection, enum trace_direction direction, const char *words,
                  const void *data, size_t size)
{
    struct client *client = connection->client;
    struct test_run *run = client->test->run;
    trace_line(&run->trace, client->id, direction, words, without_password(run, data, size), size);
}

/* ---- Opening and closing ---- */

void connection_open(struct client *client)
{
    struct test_run *run = client->test->run;
    char error[200];
    struct transport *transport =
        transport_open(run->settings->target, test_run_deadline(run, client->test->time_limit_ms),
                       error, sizeof error);
    if (!transport)
        test_run_broken(client->test, "%s", error);
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        abort();
    connection->client = client;
    connection->transport = transport;
    connection->last = &connection->first;
    watch_init(&connection->watch, &run->arena, client->version);
    connection->next = run->connections;
    run->connections = connection;
    client->connection = connection;
    trace(connection, TRACE_EVENT, "connection opened", NULL, 0);
}

void connection_close(struct client *client, bool reset)
{
    struct connection *connection = client->connection;
    if (!connection)
        return;
    if (!connection->end_noted)
        trace(connection, TRACE_EVENT, reset ? "connection reset by us" : "connection closed by us",
              NULL, 0);
    struct connection **at = &client->test->run->connections;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    transport_close(connection->transport, reset);
    buffer_free(&connection->sent);
    free(connection);
    client->connection = NULL;
}

bool connection_ended(const struct connection *connection)
{
    return connection->transport->end != TRANSPORT_OPEN && connection->transport->inbound.size == 0;
}

const char *connection_end_words(const struct connection *connection)
{
    switch (connection->transport->end) {
    case TRANSPORT_RESET:
        return "the server reset the connection";
    case TRANSPORT_FAULT:
        return connection->transport->reason;
    default:
        return "the server closed the connection";
    }
}

/* ---- What is sent ---- */

static struct text keep(struct test_run *run, struct text text)
{
    uint8_t *copy = arena_alloc(&run->arena, text.size + 1);
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    return (struct text){copy, text.size};
}

void test_run_leftover(struct test_run *run, struct leftover **list, struct text name,
                       enum version version)
{
    for (; *list; list = &(*list)->next) {
        if (text_equal((*list)->name, name))
            return;
    }
    *list = arena_alloc(&run->arena, sizeof **list);
    **list = (struct leftover){.name = keep(run, name), .version = version};
}

/* Sessions and retained messages that the server keeps because of this packet. */
static void note_leftovers(struct connection *connection, const struct packet *packet)
{
    struct test_run *run = connection->client->test->run;
    enum version version = connection->client->version;
    if (run->cleaning)
        return;
    if (packet->type == CONNECT) {
        bool stored = packet->protocol_level == VERSION_5
                          ? property_number(&packet->properties, SESSION_EXPIRY_INTERVAL, 0) > 0
                          : !packet->clean_start;
        connection->stored = stored; /* under a name that the server gives, if this is empty */
        if (stored && packet->client_id.size > 0)
            test_run_leftover(run, &run->sessions, packet->client_id, packet->protocol_level);
        if (packet->will_topic.data && packet->will_retain)
            test_run_leftover(run, &run->retained, packet->will_topic, version);
    }
    if (packet->type == PUBLISH && packet->retain && packet->topic.size > 0 &&
        packet->payload.size > 0)
        test_run_leftover(run, &run->retained, packet->topic, version);
}

static void note_sent_packet(struct connection *connection, const struct packet *packet,
                             const uint8_t *data, size_t size)
{
    char words[700];
    packet_describe(packet, connection->client->version, words, sizeof words);
    trace(connection, TRACE_TO_SERVER, words, data, size);
    watch_sent(&connection->watch, packet);
    note_leftovers(connection, packet);
}

/* Reads along with what the case sends. Once it is not readable the bytes alone are traced. */
static void note_sent(struct connection *connection, const void *data, size_t size)
{
    struct buffer *sent = &connection->sent;
    if (size == 0)
        return;
    buffer_bytes(sent, data, size);
    size_t at = 0;
    while (at < sent->size) {
        static _Thread_local struct packet packet;
        struct packet_fault fault;
        size_t used = 0;
        enum read_result result =
            connection->sent_unreadable
                ? READ_FAULT
                : packet_read(sent->data + at, sent->size - at, connection->client->version, false,
                              &packet, &used, &fault);
        if (result == READ_PACKET) {
            note_sent_packet(connection, &packet, sent->data + at, used);
            at += used;
        } else if (result == READ_FAULT) {
            char words[260] = "more bytes";
            if (!connection->sent_unreadable)
                snprintf(words, sizeof words, "malformed on purpose: %s [%s]", fault.what,
                         fault.statement);
            trace(connection, TRACE_TO_SERVER, words, sent->data + at, sent->size - at);
            connection->sent_unreadable = true;
            watch_blur(&connection->watch);
            at = sent->size;
        } else {
            if (sent->size > at)
                trace(connection, TRACE_TO_SERVER, "part of a packet", data,
                      size < sent->size - at ? size : sent->size - at);
            break;
        }
    }
    sent->size -= at;
    memmove(sent->data, sent->data + at, sent->size);
}

/* Everything has to be taken by the server sooner or later; as long as anything moves, we wait: it
 * may want to write before it reads on. */
static void await_flush(struct client *client)
{
    struct connection *connection = client->connection;
    struct transport *transport = connection->transport;
    struct test_run *run = client->test->run;
    unsigned limit_ms = connection->paused ? client->test->quiet_ms : client->test->time_limit_ms;
    uint64_t deadline_ms = test_run_deadline(run, limit_ms);
    while (!transport_flushed(transport)) {
        if (test_run_wait(run, deadline_ms)) {
            deadline_ms = test_run_deadline(run, limit_ms);
            if (!*test_run_over(run))
                continue;
        }
        if (connection->paused) /* a server may stop reading of whom it cannot send to */
            return;
        fail(client->test,
             "the server does not take what is sent to it: %zu bytes wait after %u ms%s",
             transport->outbound.size - transport->outbound_sent, limit_ms, test_run_over(run));
    }
}

void connection_send(struct client *client, const void *data, size_t size)
{
    struct connection *connection = client->connection;
    if (!connection)
        test_run_broken(client->test, "the case sends without a connection");
    note_sent(connection, data, size);
    transport_send(connection->transport, data, size);
    await_flush(client);
}

void connection_send_frame(struct client *client, unsigned opcode, bool fin, const void *data,
                           size_t size)
{
    struct connection *connection = client->connection;
    char words[60];
    if (!connection)
        test_run_broken(client->test, "the case sends without a connection");
    if (opcode <= WEBSOCKET_BINARY) {
        note_sent(connection, data, size);
    } else {
        snprintf(words, sizeof words, "WebSocket frame with opcode %u", opcode);
        trace(connection, TRACE_TO_SERVER, words, data, size);
    }
    transport_send_frame(connection->transport, opcode, fin, data, size);
    await_flush(client);
}

/* ---- What is received ---- */

/* Of the connection nothing more is read: what follows a fault says little. */
static void trace_fault(struct connection *connection, const uint8_t *bytes, size_t size,
                        const char *words)
{
    trace(connection, TRACE_FROM_SERVER, words, bytes, size);
    transport_take(connection->transport, connection->transport->inbound.size);
}

_Noreturn static void raise_malformed(struct connection *connection, const uint8_t *bytes,
                                      size_t size, const struct packet_fault *fault)
{
    trace_fault(connection, bytes, size, fault->what);
    fail_statement(connection->client->test, fault->statement,
                   "the server sent a malformed packet: %s (at byte %zu)", fault->what,
                   fault->offset);
}

_Noreturn static void raise_too_large(struct connection *connection, const uint8_t *bytes,
                                      size_t size, const struct packet_fault *fault)
{
    trace_fault(connection, bytes, size, fault->what);
    fail_statement(connection->client->test, fault->statement, "the server sent %s", fault->what);
}

/* A sound packet that may not come now. */
_Noreturn static void raise_misplaced(struct connection *connection, const uint8_t *bytes,
                                      size_t size, const struct packet *packet,
                                      const struct packet_fault *fault)
{
    char line[300], words[500];
    packet_describe(packet, connection->watch.version, line, sizeof line);
    snprintf(words, sizeof words, "%s - %s", line, fault->what);
    trace_fault(connection, bytes, size, words);
    fail_statement(connection->client->test, fault->statement, "the server sent %s, but %s", line,
                   fault->what);
}

/* A server that does not know a CONNECT's level may answer in the form of another one. */
static enum read_result read_connack_of_any_version(const uint8_t *bytes, size_t size,
                                                    struct connection *connection,
                                                    struct packet *packet, enum version *version)
{
    struct packet_fault fault;
    size_t used;
    *version = connection->watch.version == VERSION_5 ? VERSION_311 : VERSION_5;
    if (!connection->sent_unreadable || connection->watch.connect_seen || size == 0 ||
        bytes[0] != 0x20)
        return READ_FAULT;
    return packet_read(bytes, size, *version, true, packet, &used, &fault);
}

static void note_assigned_session(struct connection *connection, const struct packet *connack)
{
    struct test_run *run = connection->client->test->run;
    const struct property *assigned =
        property_find(&connack->properties, ASSIGNED_CLIENT_IDENTIFIER);
    if (assigned && connection->stored && !run->cleaning)
        test_run_leftover(run, &run->sessions, assigned->text, VERSION_5);
}

static void enqueue(struct connection *connection, const struct packet *packet,
                    const uint8_t *bytes, size_t size, enum version version)
{
    struct test_run *run = connection->client->test->run;
    struct arrival *arrival = arena_alloc(&run->arena, sizeof *arrival);
    *arrival = (struct arrival){
        .bytes = bytes,
        .size = size,
        .version = version,
        .type = packet->type,
        .packet_id = packet->packet_id,
        .topic = packet->topic_from_alias ? packet->topic : (struct text){0},
    };
    *connection->last = arrival;
    connection->last = &arrival->next;
    connection->waiting += size;
}

/* One whole packet of `size` bytes at the front of inbound. */
static void receive_packet(struct connection *connection, const uint8_t *data, size_t size)
{
    static _Thread_local struct packet packet;
    struct packet_fault fault;
    size_t used;
    enum version version = connection->watch.version;
    /* A copy that stays, because the case is given pointers into it. */
    struct text bytes = keep(connection->client->test->run, (struct text){data, size});
    if (packet_read(bytes.data, size, version, true, &packet, &used, &fault) != READ_PACKET &&
        read_connack_of_any_version(bytes.data, size, connection, &packet, &version) != READ_PACKET)
        raise_malformed(connection, bytes.data, size, &fault);
    if (!watch_received(&connection->watch, &packet, &fault))
        raise_misplaced(connection, bytes.data, size, &packet, &fault);
    char words[700];
    packet_describe(&packet, version, words, sizeof words);
    trace(connection, TRACE_FROM_SERVER, words, bytes.data, size);
    if (packet.type == CONNACK)
        note_assigned_session(connection, &packet);
    enqueue(connection, &packet, bytes.data, size, version);
}

static void check_end(struct connection *connection)
{
    struct transport *transport = connection->transport;
    if (transport->end == TRANSPORT_OPEN || connection->end_noted)
        return;
    connection->end_noted = true;
    if (transport->inbound.size > 0) {
        trace(connection, TRACE_FROM_SERVER, "part of a packet", transport->inbound.data,
              transport->inbound.size);
        transport_take(transport, transport->inbound.size);
    }
    trace(connection, TRACE_EVENT, connection_end_words(connection), NULL, 0);
    if (transport->end == TRANSPORT_FAULT && transport->statement)
        fail_statement(connection->client->test, transport->statement,
                       "the server broke the rules of WebSocket: %s", transport->reason);
}

/* What can be said of a packet that is not all there yet. */
static void check_start(struct connection *connection, const uint8_t *data, size_t size)
{
    static _Thread_local struct packet packet;
    struct packet_fault fault;
    size_t used;
    if (size == 0)
        return;
    if (packet_read(data, size, connection->watch.version, true, &packet, &used, &fault) ==
        READ_FAULT)
        raise_malformed(connection, data, size, &fault);
}

void connection_check(struct connection *connection)
{
    struct buffer *inbound = &connection->transport->inbound;
    struct packet_fault fault;
    size_t at = 0;
    while (at < inbound->size) {
        const uint8_t *data = inbound->data + at;
        size_t left = inbound->size - at, size = packet_size(data, left);
        if (size > 0 && !watch_size(&connection->watch, size, &fault))
            raise_too_large(connection, data, left < size ? left : size, &fault);
        if (size == 0 || size > left) {
            check_start(connection, data, left);
            break;
        }
        receive_packet(connection, data, size);
        at += size;
    }
    transport_take(connection->transport, at);
    check_end(connection);
}

struct packet connection_take(struct connection *connection, struct arrival *arrival)
{
    struct arrival **at = &connection->first;
    while (*at != arrival)
        at = &(*at)->next;
    *at = arrival->next;
    if (connection->last == &arrival->next)
        connection->last = at;
    connection->waiting -= arrival->size;

    struct packet packet;
    struct packet_fault fault;
    size_t used;
    packet_read(arrival->bytes, arrival->size, arrival->version, true, &packet, &used, &fault);
    if (arrival->topic.data) {
        packet.topic = arrival->topic;
        packet.topic_from_alias = true;
    }
    return packet;
}

/* ---- Waiting for all of them ---- */

static bool step_all(struct test_run *run)
{
    bool moved = false;
    for (struct connection *connection = run->connections; connection;
         connection = connection->next) {
        connection->transport->paused = connection->paused || connection->waiting > WAITING_MAX;
        if (!transport_step(connection->transport))
            continue;
        moved = true;
        connection_check(connection);
    }
    return moved;
}

static struct pollfd *add_entry(struct test_run *run, unsigned count)
{
    if (count == run->entry_room) {
        run->entry_room = run->entry_room ? 2 * run->entry_room : 16;
        run->entries = realloc(run->entries, run->entry_room * sizeof *run->entries);
        if (!run->entries)
            abort();
    }
    return &run->entries[count];
}

static void poll_all(struct test_run *run, uint64_t deadline_ms)
{
    unsigned count = 0;
    for (struct connection *connection = run->connections; connection;
         connection = connection->next) {
        short events = transport_events(connection->transport);
        if (events)
            *add_entry(run, count++) =
                (struct pollfd){.fd = connection->transport->fd, .events = events};
    }
    uint64_t now_ms = transport_clock_ms();
    if (now_ms < deadline_ms)
        poll(run->entries, count, (int)(deadline_ms - now_ms));
}

bool test_run_wait(struct test_run *run, uint64_t deadline_ms)
{
    for (;;) {
        if (step_all(run))
            return true;
        poll_all(run, deadline_ms);
        if (transport_clock_ms() >= deadline_ms)
            return step_all(run);
    }
}
