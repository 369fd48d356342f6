/* hf-replay ROW ROUNDS: the same messages through one worker, in one thread and always in the same
 * order, for script/instructions to count what a message costs. Clients are the other ends of
 * socket pairs, so that nothing depends on how fast a network or a scheduler is; there is no store
 * (durability = none). Ends without tidying up: the process is all there is. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "broker/connection.h"
#include "broker/listener.h"
#include "broker/worker.h"
#include "routing/reclaim.h"

enum { CLIENTS_MAX = 128, BATCH = 40, PAYLOAD = 64, BUFFER = 4 * 1024 * 1024 };

/* OF_ALL: each subscriber has the topics of all publishers; OF_ONE: of one. RETAINED: they are
 * published once, and fetched by subscribing in every round. */
struct row {
    const char *name;
    unsigned publishers, subscribers, topics; /* topics of each publisher */
    uint8_t qos;
    enum { OF_ALL, OF_ONE, RETAINED } what;
};

static const struct row rows[] = {
    {"fan-in-0", 20, 1, 10, 0, OF_ALL},         {"fan-in-1", 20, 1, 10, 1, OF_ALL},
    {"fan-in-2", 20, 1, 10, 2, OF_ALL},         {"fan-out-0", 1, 100, 1, 0, OF_ALL},
    {"fan-out-1", 1, 100, 1, 1, OF_ALL},        {"pairs-0", 20, 20, 1, 0, OF_ONE},
    {"pairs-1", 20, 20, 1, 1, OF_ONE},          {"publish-only-1", 20, 0, 10, 1, OF_ALL},
    {"retained-fetch", 20, 1, 40, 0, RETAINED},
};

struct client {
    int fd;
    uint64_t messages; /* that came */
    unsigned open;     /* exchanges of its own */
    uint8_t left[512]; /* the part of a packet that has come so far */
    size_t left_size;
};

static struct broker broker;
static struct worker *worker;
static struct client clients[CLIENTS_MAX];
static unsigned client_count;
static uint8_t in[BUFFER], out[BUFFER];

static void send_all(const struct client *client, const uint8_t *data, size_t size)
{
    CHECK(size == 0 || send(client->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

/* ---- The other side: what a well-behaved Client answers ---- */

static uint8_t *put_answer(uint8_t *p, unsigned first, const uint8_t *identifier)
{
    *p++ = (uint8_t)first;
    *p++ = 2;
    *p++ = identifier[0];
    *p++ = identifier[1];
    return p;
}

/* Appends the answer to one packet, whose variable header begins at `body`. */
static uint8_t *answer(struct client *client, uint8_t first, const uint8_t *body, uint8_t *p)
{
    const uint8_t *identifier = body + 2 + get_u16(body);
    switch (first >> 4) {
    case PACKET_PUBLISH:
        client->messages++;
        if ((first & 0x06) == 0)
            return p;
        return put_answer(p, (first & 0x06) == 2 ? 0x40 : 0x50, identifier);
    case PACKET_PUBREC:
        return put_answer(p, 0x62, body);
    case PACKET_PUBREL:
        return put_answer(p, 0x70, body);
    case PACKET_PUBACK:
    case PACKET_PUBCOMP:
        CHECK(client->open > 0);
        client->open--;
        return p;
    default: /* CONNACK, SUBACK */
        return p;
    }
}

/* Packets are smaller than 16 KiB and come whole but for the last. */
static void answer_all(struct client *client, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    uint8_t *p = out;
    while (end - data >= 2) {
        size_t header = data[1] < 0x80 ? 2 : 3, length = data[1] & 0x7f;
        if (header == 3 && end - data >= 3)
            length |= (size_t)data[2] << 7;
        if ((size_t)(end - data) < header + length)
            break;
        p = answer(client, data[0], data + header, p);
        data += header + length;
    }
    client->left_size = (size_t)(end - data);
    CHECK(client->left_size <= sizeof client->left);
    memcpy(client->left, data, client->left_size);
    send_all(client, out, (size_t)(p - out));
}

static bool take(struct client *client)
{
    memcpy(in, client->left, client->left_size);
    ssize_t got = recv(client->fd, in + client->left_size, sizeof in - client->left_size, 0);
    if (got < 0 && errno == EAGAIN)
        return false;
    CHECK(got > 0);
    answer_all(client, in, client->left_size + (size_t)got);
    return true;
}

/* Turns until neither side has anything left to say. */
static void settle(void)
{
    for (bool busy = true; busy;) {
        busy = false;
        worker_turn(worker, 0);
        worker_turn(worker, 0);
        for (unsigned i = 0; i < client_count; i++)
            busy |= take(&clients[i]);
    }
}

/* ---- What is replayed ---- */

static struct client *client_new(void)
{
    int ends[2];
    CHECK(client_count < CLIENTS_MAX);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    for (int i = 0; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &(int){BUFFER}, sizeof(int));
    listener_count(&broker.listeners[0], 1);
    CHECK(connection_new(worker, &broker.listeners[0], ends[0], (struct address){0}) != NULL);
    struct client *client = &clients[client_count++];
    *client = (struct client){.fd = ends[1]};
    uint8_t connect[] = {0x10, 17, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 4, 'c', 0, 0, 0};
    connect[16] = (uint8_t)('0' + client_count / 100);
    connect[17] = (uint8_t)('0' + client_count / 10 % 10);
    connect[18] = (uint8_t)('0' + client_count % 10);
    send_all(client, connect, sizeof connect);
    settle();
    return client;
}

static uint8_t *put_text(uint8_t *p, const char *text)
{
    return put_bytes(put_u16(p, (uint16_t)strlen(text)), bytes_of_text(text));
}

static void subscribe(const struct row *row, struct client *client, unsigned index)
{
    char filter[32] = "bench/#";
    if (row->what == OF_ONE)
        snprintf(filter, sizeof filter, "bench/%u/#", index);
    uint8_t packet[64], *p = packet;
    *p++ = 0x82;
    *p++ = (uint8_t)(6 + strlen(filter));
    p = put_u16(p, 1);
    *p++ = 0;
    p = put_text(p, filter);
    *p++ = row->qos;
    send_all(client, packet, (size_t)(p - packet));
    settle();
}

/* A batch of one publisher, in one piece. */
static void publish(const struct row *row, struct client *client, unsigned index)
{
    uint8_t *p = out;
    for (unsigned i = 0; i < BATCH; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "bench/%u/%u", index, i % row->topics);
        *p++ = (uint8_t)(0x30 | row->qos << 1 | (row->what == RETAINED));
        *p++ = (uint8_t)(2 + strlen(topic) + (row->qos > 0 ? 2 : 0) + 1 + PAYLOAD);
        p = put_text(p, topic);
        if (row->qos > 0)
            p = put_u16(p, (uint16_t)(i + 1));
        *p++ = 0;
        memset(p, 'x', PAYLOAD);
        p += PAYLOAD;
    }
    client->open = row->qos > 0 ? BATCH : 0;
    send_all(client, out, (size_t)(p - out));
}

/* One subscriber asks for all of them, `rounds` times. */
static uint64_t fetch(const struct row *row, unsigned rounds)
{
    for (unsigned i = 0; i < row->publishers; i++) {
        client_new();
        publish(row, &clients[i], i);
        settle();
    }
    struct client *subscriber = client_new();
    for (unsigned round = 0; round < rounds; round++)
        subscribe(row, subscriber, 0);
    CHECK(subscriber->messages == (uint64_t)rounds * row->publishers * BATCH);
    return subscriber->messages;
}

static uint64_t replay(const struct row *row, unsigned rounds)
{
    if (row->what == RETAINED)
        return fetch(row, rounds);
    struct client *publishers = clients + row->subscribers;
    for (unsigned i = 0; i < row->subscribers; i++)
        subscribe(row, client_new(), i);
    for (unsigned i = 0; i < row->publishers; i++)
        client_new();
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < row->publishers; i++)
            publish(row, &publishers[i], i);
        settle();
    }
    uint64_t messages = (uint64_t)rounds * row->publishers * BATCH;
    uint64_t expected = row->what == OF_ONE ? messages : messages * row->subscribers, came = 0;
    for (unsigned i = 0; i < client_count; i++) {
        came += clients[i].messages;
        CHECK(clients[i].open == 0);
    }
    CHECK(came == expected);
    return row->subscribers > 0 ? came : messages;
}

/* ---- The broker ---- */

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
          getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void open_broker(void)
{
    static struct config config;
    char text[256], error[512];
    snprintf(text, sizeof text,
             "listener \"replay\" { bind = \"127.0.0.1:%u\" allow_anonymous = true }\n"
             "mqtt { max_queued_messages = 0 sys_interval = 0 max_inflight_messages = 100 }\n"
             "sqlite { durability = none }\nbroker { workers = 1 }\n",
             free_port());
    if (config_load_text("replay", bytes_of_text(text), &config, error, sizeof error) !=
            STATUS_OK ||
        broker_open(&broker, &config, error, sizeof error) != STATUS_OK) {
        fprintf(stderr, "hf-replay: %s\n", error);
        exit(1);
    }
    worker = &broker.workers[0];
}

int main(int count, char **arguments)
{
    const struct row *row = NULL;
    for (size_t i = 0; count == 3 && i < sizeof rows / sizeof rows[0]; i++)
        row = strcmp(arguments[1], rows[i].name) == 0 ? &rows[i] : row;
    if (row == NULL) {
        fprintf(stderr, "usage: hf-replay ROW ROUNDS\nrows:");
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            fprintf(stderr, " %s", rows[i].name);
        fprintf(stderr, "\n");
        return 2;
    }
    atomic_store(&log_threshold, LOG_ERROR);
    open_broker();
    reclaim_thread_register();
    printf("%llu\n", (unsigned long long)replay(row, (unsigned)strtoul(arguments[2], NULL, 10)));
    fflush(stdout);
    _exit(0);
}
