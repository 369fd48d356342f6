#include "bench/client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/channel.h"
#include "bench/engine.h"
#include "bench/process.h"

enum { KEEP_ALIVE_S = 600 };

static void watch(struct engine *engine, struct client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (client->blocked)
        event.events |= EPOLLOUT;
    CHECK(epoll_ctl(engine->epoll_fd, operation, client->fd, &event) == 0);
}

/* Many source addresses, because one has no more than some 28,000 ports. */
static void bind_source(struct client *client)
{
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(0x7f000000 | client->source)};
    int on = 1;
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    CHECK(bind(client->fd, (struct sockaddr *)&source, sizeof source) == 0);
}

static void greet(struct engine *engine, struct client *client)
{
    const struct options *options = engine->options;
    struct wire_session session = {.version = options->version,
                                   .client_id = client->id,
                                   .clean_start = client->clean_start,
                                   .expiry_s = client->expiry_s,
                                   .receive_maximum = (uint16_t)options->window,
                                   .keep_alive_s = KEEP_ALIVE_S};
    wire_connect(&client->out, &session);
    client->state = CLIENT_GREETING;
    client_write(engine, client, (struct bytes){0});
}

void client_open(struct engine *engine, struct client *client)
{
    CHECK(client->state == CLIENT_CLOSED);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        engine_fail(engine, client, "no socket (ulimit -n?)");
        return;
    }
    int on = 1;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (client->source)
        bind_source(client);
    client->state = CLIENT_CONNECTING;
    client->blocked = true;
    int result =
        connect(client->fd, (const struct sockaddr *)&engine->server, sizeof engine->server);
    if (result != 0 && errno != EINPROGRESS) {
        client_close(engine, client);
        engine_fail(engine, client, "cannot connect");
        return;
    }
    watch(engine, client, EPOLL_CTL_ADD);
}

void client_close(struct engine *engine, struct client *client)
{
    if (client->state == CLIENT_CLOSED)
        return;
    if (client->state == CLIENT_READY)
        engine->ready--;
    channel_free(client->channel);
    client->channel = NULL;
    close(client->fd);
    client->state = CLIENT_CLOSED;
    client->blocked = false;
    client->out.size = 0;
    client->held.size = 0;
}

static void lost(struct engine *engine, struct client *client, const char *how)
{
    client_close(engine, client);
    if (!engine->closing)
        engine_fail(engine, client, how);
}

static void block(struct engine *engine, struct client *client)
{
    if (client->blocked)
        return;
    client->blocked = true;
    watch(engine, client, EPOLL_CTL_MOD);
}

static void write_channel(struct engine *engine, struct client *client, struct bytes more)
{
    struct buffer *out = &client->out;
    CHECK(buffer_append(out, more.data, more.size) == STATUS_OK);
    size_t written = 0;
    while (!client->blocked && written < out->size) {
        ssize_t size = channel_write(client->channel, out->data + written, out->size - written);
        if (size < 0) {
            lost(engine, client, "connection lost while writing");
            return;
        }
        if (size == 0)
            block(engine, client);
        written += (size_t)size;
    }
    buffer_consume(out, written);
}

void client_write(struct engine *engine, struct client *client, struct bytes more)
{
    if (client->channel) {
        write_channel(engine, client, more);
        return;
    }
    struct buffer *out = &client->out;
    struct iovec parts[2] = {{.iov_base = out->data, .iov_len = out->size},
                             {.iov_base = (void *)more.data, .iov_len = more.size}};
    size_t total = out->size + more.size;
    size_t written = 0;
    if (total == 0)
        return;
    if (!client->blocked) {
        ssize_t result = out->size == 0 ? send(client->fd, more.data, more.size, MSG_NOSIGNAL)
                                        : writev(client->fd, parts, 2);
        if (result >= 0) {
            written = (size_t)result;
        } else if (errno != EAGAIN && errno != EINTR) {
            lost(engine, client, "connection lost while writing");
            return;
        }
        if (written == total) {
            out->size = 0;
            return;
        }
    }
    size_t of_out = written < out->size ? written : out->size;
    buffer_consume(out, of_out);
    written -= of_out;
    if (more.size > written)
        CHECK(buffer_append(out, more.data + written, more.size - written) == STATUS_OK);
    block(engine, client);
}

static void become_ready(struct engine *engine, struct client *client)
{
    client->state = CLIENT_READY;
    engine->ready++;
    if (client->publisher)
        publisher_ready(client->publisher, engine);
}

static void take_connack(struct engine *engine, struct client *client,
                         const struct wire_frame *frame)
{
    uint8_t reason = wire_connack(frame, engine->options->version, &client->receive_maximum);
    if (client->state != CLIENT_GREETING || reason != 0) {
        engine_fail(engine, client, "refused by CONNACK");
    } else if (client->filter[0] != '\0') {
        wire_subscribe(&client->out, engine->options->version, client->filter, client->filters,
                       client->qos);
        client->state = CLIENT_SUBSCRIBING;
    } else {
        become_ready(engine, client);
    }
}

static void answer(struct engine *engine, struct client *client, enum wire_type type, uint16_t id)
{
    uint64_t delay_ns = engine->options->ack_delay_ms * 1000000ull;
    if (delay_ns > 0)
        delay_push(&engine->delayed, engine->now_ns + delay_ns,
                   (struct delayed_ack){.client = client, .type = type, .id = id});
    else
        wire_ack(&client->out, type, id);
}

static void take_publish(struct engine *engine, struct client *client,
                         const struct wire_frame *frame)
{
    client->received++;
    if (frame->first & WIRE_DUP)
        engine->repeated++;
    if (client->group)
        client->group->received++;
    if (engine->latency) {
        uint64_t due_ns;
        memcpy(&due_ns, frame->end - sizeof due_ns, sizeof due_ns);
        histogram_add(&engine->delivery_latency, engine->now_ns - due_ns);
    }
    unsigned qos = wire_qos(frame->first);
    if (qos > 0)
        answer(engine, client, qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, wire_publish_id(frame));
}

static void take_answer(struct engine *engine, struct client *client,
                        const struct wire_frame *frame)
{
    if (client->publisher)
        publisher_answer(client->publisher, engine, frame);
    else
        client->acked++;
}

static void take(struct engine *engine, struct client *client, const struct wire_frame *frame)
{
    switch (frame->first & WIRE_TYPE_MASK) {
    case WIRE_PUBLISH:
        take_publish(engine, client, frame);
        break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBCOMP:
    case WIRE_PINGRESP:
        take_answer(engine, client, frame);
        break;
    case (WIRE_PUBREL & WIRE_TYPE_MASK):
        answer(engine, client, WIRE_PUBCOMP, get_u16(frame->body));
        break;
    case WIRE_CONNACK:
        take_connack(engine, client, frame);
        break;
    case WIRE_SUBACK:
        if (client->state != CLIENT_SUBSCRIBING || frame->end[-1] >= WIRE_REFUSED)
            engine_fail(engine, client, "refused by SUBACK");
        else
            become_ready(engine, client);
        break;
    case WIRE_DISCONNECT:
        engine_fail(engine, client, "DISCONNECT from the server");
        break;
    default:
        engine_fail(engine, client, "a packet that no client expects");
    }
}

/* Sees to all whole packets; what is left of the last one is held. */
static void take_all(struct engine *engine, struct client *client, size_t size)
{
    const uint8_t *p = engine->scratch;
    const uint8_t *end = p + size;
    struct wire_frame frame;
    while (p < end && wire_next(p, (size_t)(end - p), &frame)) {
        take(engine, client, &frame);
        p = frame.end;
    }
    if (p < end)
        CHECK(buffer_append(&client->held, p, (size_t)(end - p)) == STATUS_OK);
}

/* Bytes; 0: none for now; -1: the connection has ended. */
static ssize_t receive(struct client *client, uint8_t *out, size_t capacity)
{
    enum { RECORD_MOST = 16384 };
    if (!client->channel) {
        ssize_t size = read(client->fd, out, capacity);
        if (size > 0)
            return size;
        return size < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    }
    size_t total = 0;
    ssize_t size;
    do { /* a record at a time */
        size = channel_read(client->channel, out + total, capacity - total);
        if (size > 0)
            total += (size_t)size;
    } while (size > 0 && capacity - total >= RECORD_MOST);
    return size < 0 && total == 0 ? -1 : (ssize_t)total;
}

static void read_packets(struct engine *engine, struct client *client)
{
    size_t held = client->held.size;
    if (held > 0)
        memcpy(engine->scratch, client->held.data, held);
    ssize_t size = receive(client, engine->scratch + held, CLIENT_SCRATCH_SIZE - held);
    if (size < 0)
        lost(engine, client, "connection closed by the server");
    if (size <= 0)
        return;
    client->held.size = 0;
    if (engine->latency)
        engine->now_ns = process_now_ns();
    take_all(engine, client, held + (size_t)size);
    if (client->held.size == CLIENT_SCRATCH_SIZE)
        engine_fail(engine, client, "a packet beyond all bounds");
    if (engine->after_read)
        engine->after_read(engine, client);
    if (client->out.size == 0 || client->state == CLIENT_CLOSED)
        return;
    if (client->publisher && engine->publishing)
        engine->unwritten[engine->unwritten_count++] = client;
    else
        client_write(engine, client, (struct bytes){0});
}

static void secure(struct engine *engine, struct client *client)
{
    switch (channel_handshake(client->channel)) {
    case CHANNEL_DONE:
        client->state = CLIENT_SECURED;
        if (!engine->secured)
            greet(engine, client);
        break;
    case CHANNEL_WANTS_READ:
        break;
    case CHANNEL_WANTS_WRITE:
        block(engine, client);
        break;
    case CHANNEL_FAILED:
        lost(engine, client, "the TLS handshake failed");
        break;
    }
}

static void read_ticket(struct engine *engine, struct client *client)
{
    uint8_t none;
    if (channel_read(client->channel, &none, sizeof none) != 0)
        lost(engine, client, "no ticket");
    else
        engine->secured(engine, client);
}

static void finish_connecting(struct engine *engine, struct client *client)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0)
        lost(engine, client, "cannot connect");
    else if (engine->options->tls) {
        client->channel = channel_new(client->fd, engine->options->resume);
        client->state = CLIENT_SECURING;
        secure(engine, client);
    } else
        greet(engine, client);
}

void client_event(struct engine *engine, struct client *client, uint32_t events)
{
    if (client->state == CLIENT_CLOSED)
        return;
    if (client->blocked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        client->blocked = false;
        if (client->state == CLIENT_CONNECTING)
            finish_connecting(engine, client);
        else if (client->state == CLIENT_SECURING)
            secure(engine, client);
        else
            client_write(engine, client, (struct bytes){0});
        if (client->state != CLIENT_CLOSED && !client->blocked)
            watch(engine, client, EPOLL_CTL_MOD);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
        return;
    if (client->state == CLIENT_SECURING)
        secure(engine, client);
    else if (client->state == CLIENT_SECURED)
        read_ticket(engine, client);
    else if (client->state != CLIENT_CLOSED)
        read_packets(engine, client);
}
