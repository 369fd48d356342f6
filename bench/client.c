#include "bench/client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
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

void client_write(struct engine *engine, struct client *client, struct bytes more)
{
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
    if (!client->blocked) {
        client->blocked = true;
        watch(engine, client, EPOLL_CTL_MOD);
    }
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
        wire_subscribe(&client->out, engine->options->version, client->filter, client->qos);
        client->state = CLIENT_SUBSCRIBING;
    } else {
        become_ready(engine, client);
    }
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
        wire_ack(&client->out, qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, wire_publish_id(frame));
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
        wire_ack(&client->out, WIRE_PUBCOMP, get_u16(frame->body));
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

static void read_packets(struct engine *engine, struct client *client)
{
    size_t held = client->held.size;
    if (held > 0)
        memcpy(engine->scratch, client->held.data, held);
    ssize_t size = read(client->fd, engine->scratch + held, CLIENT_SCRATCH_SIZE - held);
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            lost(engine, client, "connection closed by the server");
        return;
    }
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

static void finish_connecting(struct engine *engine, struct client *client)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0)
        lost(engine, client, "cannot connect");
    else
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
        else
            client_write(engine, client, (struct bytes){0});
        if (client->state != CLIENT_CLOSED && !client->blocked)
            watch(engine, client, EPOLL_CTL_MOD);
    }
    if (client->state != CLIENT_CLOSED && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_packets(engine, client);
}
