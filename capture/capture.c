#include "capture/capture.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>

#include "capture/judge.h"
#include "capture/segment.h"
#include "capture/stream.h"

struct connection {
    struct connection *next;
    struct endpoint client, server;
    struct stream from_client, from_server;
    struct judge *judge;
    bool said, broken; /* broken: something of it is missing in the capture */
    bool fins[2];
};

enum { BUCKETS = 4096 };

struct capture {
    struct connection *buckets[BUCKETS];
    unsigned count;
    struct room room;
    const char *name;
    FILE *out;
    struct capture_result *result;
};

/* ---- Connections ---- */

static bool same(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && a->size == b->size && memcmp(a->address, b->address, a->size) == 0;
}

/* The same for both directions. */
static unsigned bucket_of(const struct segment *segment)
{
    unsigned sum = segment->from.port + segment->to.port;
    for (unsigned i = 0; i < sizeof segment->from.address; i++)
        sum += 31 * (segment->from.address[i] + segment->to.address[i]);
    return sum % BUCKETS;
}

static struct connection **find(struct capture *capture, const struct segment *segment)
{
    struct connection **at = &capture->buckets[bucket_of(segment)];
    while (*at != NULL &&
           !(same(&(*at)->client, &segment->from) && same(&(*at)->server, &segment->to)) &&
           !(same(&(*at)->client, &segment->to) && same(&(*at)->server, &segment->from)))
        at = &(*at)->next;
    return at;
}

static void forget(struct capture *capture, struct connection **at)
{
    struct connection *connection = *at;
    struct judgement judgement = judge_say(connection->judge);
    capture->result->packets += judgement.packets;
    if (connection->broken)
        capture->result->not_whole++;
    else if (judgement.result == JUDGE_NO_ROOM)
        capture->result->no_room++;
    if (connection->broken || judgement.result == JUDGE_LEFT_OFF ||
        judgement.result == JUDGE_NO_ROOM)
        capture->result->left_off++;
    *at = connection->next;
    stream_fini(&connection->from_client);
    stream_fini(&connection->from_server);
    judge_free(connection->judge);
    free(connection);
    capture->count--;
}

/* NULL: there is no room. */
static struct connection *new_connection(struct capture *capture)
{
    struct connection *connection =
        capture->count < CAPTURE_CONNECTIONS_MAX ? calloc(1, sizeof *connection) : NULL;
    if (connection == NULL || (connection->judge = judge_new(&capture->room)) == NULL) {
        free(connection);
        return NULL;
    }
    return connection;
}

static void begin(struct capture *capture, struct connection **at, const struct segment *syn)
{
    if (*at != NULL)
        forget(capture, at); /* the same ports again */
    capture->result->connections++;
    struct connection *connection = new_connection(capture);
    if (connection == NULL) {
        capture->result->left_off++;
        capture->result->no_room++;
        return;
    }
    connection->client = syn->from;
    connection->server = syn->to;
    connection->next = *at;
    *at = connection;
    capture->count++;
    stream_begin(&connection->from_client, syn->sequence, &capture->room);
}

/* ---- Segments ---- */

static void pass_client(void *context, struct bytes bytes)
{
    judge_feed(context, false, bytes);
}

static void pass_server(void *context, struct bytes bytes)
{
    judge_feed(context, true, bytes);
}

static void print_endpoint(const struct endpoint *endpoint, FILE *out)
{
    char text[INET6_ADDRSTRLEN] = "";
    bool is_6 = endpoint->size == 16;
    inet_ntop(is_6 ? AF_INET6 : AF_INET, endpoint->address, text, sizeof text);
    fprintf(out, is_6 ? "[%s]:%u" : "%s:%u", text, endpoint->port);
}

static void say(struct capture *capture, struct connection *connection)
{
    struct judgement judgement = judge_say(connection->judge);
    if (judgement.result != JUDGE_WRONG || connection->said)
        return;
    connection->said = true;
    capture->result->wrong++;
    fprintf(capture->out, "%s:%" PRIu64 ": ", capture->name, capture->result->frames);
    print_endpoint(&connection->server, capture->out);
    fputs(" to ", capture->out);
    print_endpoint(&connection->client, capture->out);
    fprintf(capture->out, ", client \"%s\": %s [%s]\n", judgement.client_identifier, judgement.why,
            judgement.statement);
}

/* Has the sender of this segment had bytes that the capture has not? A FIN counts as one. */
static bool knows_more(const struct stream *other, const struct segment *segment)
{
    return segment->ack && !segment->rst && other->begun &&
           (int32_t)(segment->acknowledged - other->next) > 1;
}

static void feed(struct capture *capture, struct connection *connection,
                 const struct segment *segment, bool from_server)
{
    struct stream *stream = from_server ? &connection->from_server : &connection->from_client;
    const struct stream *other = from_server ? &connection->from_client : &connection->from_server;
    if (connection->broken)
        return;
    if (knows_more(other, segment))
        connection->broken = true; /* what it answers may be what is missing */
    else if (segment->syn)
        stream_begin(stream, segment->sequence, &capture->room);
    else if (segment->payload.size > 0 || segment->cut)
        connection->broken =
            !stream->begun || segment->cut ||
            !stream_feed(stream, segment->sequence, segment->payload,
                         from_server ? pass_server : pass_client, connection->judge);
    if (connection->broken) {
        stream_fini(&connection->from_client);
        stream_fini(&connection->from_server);
    }
    say(capture, connection);
}

static void take(struct capture *capture, const struct segment *segment)
{
    struct connection **at = find(capture, segment);
    if (segment->syn && !segment->ack)
        begin(capture, at, segment);
    if (*at == NULL)
        return; /* it began before the capture did */
    bool from_server = same(&(*at)->server, &segment->from);
    feed(capture, *at, segment, from_server);
    (*at)->fins[from_server] |= segment->fin;
    if (segment->rst ||
        ((*at)->fins[0] && (*at)->fins[1] && segment->payload.size == 0 && !segment->fin))
        forget(capture, at);
}

void capture_check(FILE *file, const char *name, size_t memory, FILE *out,
                   struct capture_result *result)
{
    struct pcap_reader *reader = pcap_new(file);
    struct capture *capture = calloc(1, sizeof *capture);
    struct pcap_frame frame;
    struct segment segment;
    *result = (struct capture_result){0};
    if (reader == NULL || capture == NULL)
        abort();
    capture->room.left = memory;
    capture->name = name;
    capture->out = out;
    capture->result = result;
    while (pcap_next(reader, &frame, &result->why) == PCAP_FRAME) {
        result->frames = frame.number;
        if (segment_read(&frame, &segment))
            take(capture, &segment);
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (capture->buckets[i] != NULL)
            forget(capture, &capture->buckets[i]);
    }
    free(capture);
    pcap_free(reader);
}
