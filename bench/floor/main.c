/* hf-floor: the least that a broker could do. It answers CONNECT and SUBSCRIBE, looks at a
 * publisher's first PUBLISH, and from then on copies the publisher's bytes to the subscribers of
 * that topic without reading them. QoS 0 only, packets of one size per publisher. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/wire.h"

enum { EVENTS = 512, SCRATCH_SIZE = 256 * 1024, PEERS_MOST = 65536, FILTER_SIZE = 64 };

struct peer {
    int fd;
    unsigned version;
    bool blocked;
    bool unwritten; /* stands in the list of those to write to */
    char filter[FILTER_SIZE];
    struct buffer out;
    struct buffer held;    /* the beginning of a packet */
    size_t stride;         /* a publisher's packet size, once known */
    struct peer **targets; /* a publisher's subscribers */
    unsigned target_count;
};

static int epoll_fd;
static struct peer *peers[PEERS_MOST]; /* by descriptor */
static unsigned peers_end;             /* none has that descriptor or a higher one */
static struct peer *unwritten[PEERS_MOST];
static unsigned unwritten_count;
static uint8_t scratch[SCRATCH_SIZE];

static void watch(struct peer *peer, int operation)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    if (peer->blocked)
        event.events |= EPOLLOUT;
    CHECK(epoll_ctl(epoll_fd, operation, peer->fd, &event) == 0);
}

static void append(struct buffer *buffer, const void *data, size_t size)
{
    CHECK(buffer_append(buffer, data, size) == STATUS_OK);
}

/* Writes now and keeps what does not fit. */
static void write_now(struct peer *peer, const uint8_t *data, size_t size)
{
    ssize_t written = send(peer->fd, data, size, MSG_NOSIGNAL);
    if (written < 0)
        written = 0;
    if ((size_t)written == size)
        return;
    append(&peer->out, data + written, size - (size_t)written);
    peer->blocked = true;
    watch(peer, EPOLL_CTL_MOD);
}

/* Writes at the end of this turn, with whatever else comes until then. */
static void write_later(struct peer *peer, const uint8_t *data, size_t size)
{
    append(&peer->out, data, size);
    if (!peer->unwritten && !peer->blocked) {
        peer->unwritten = true;
        unwritten[unwritten_count++] = peer;
    }
}

static void flush(struct peer *peer)
{
    ssize_t written = send(peer->fd, peer->out.data, peer->out.size, MSG_NOSIGNAL);
    if (written > 0)
        buffer_consume(&peer->out, (size_t)written);
    bool blocked = peer->out.size > 0;
    if (blocked != peer->blocked) {
        peer->blocked = blocked;
        watch(peer, EPOLL_CTL_MOD);
    }
}

/* Subscribers keep their memory until the end: publishers point to them. */
static void hang_up(struct peer *peer)
{
    peers[peer->fd] = NULL;
    close(peer->fd);
    peer->fd = -1;
}

static bool filter_matches(const char *filter, struct bytes topic)
{
    size_t size = strlen(filter);
    if (size > 0 && filter[size - 1] == '#')
        return topic.size >= size - 1 && memcmp(filter, topic.data, size - 1) == 0;
    return bytes_equal(bytes_of_text(filter), topic);
}

static void take_connect(struct peer *peer, const struct wire_frame *frame)
{
    static const uint8_t connack_v4[] = {WIRE_CONNACK, 2, 0, 0};
    static const uint8_t connack_v5[] = {WIRE_CONNACK, 3, 0, 0, 0};
    peer->version = frame->body[6];
    if (peer->version >= 5)
        write_now(peer, connack_v5, sizeof connack_v5);
    else
        write_now(peer, connack_v4, sizeof connack_v4);
}

static void take_subscribe(struct peer *peer, const struct wire_frame *frame)
{
    bool v5 = peer->version >= 5;
    const uint8_t *text = frame->body + 2 + (v5 ? 1 : 0);
    size_t size = get_u16(text);
    if (size < FILTER_SIZE)
        memcpy(peer->filter, text + 2, size);
    uint8_t suback[] = {WIRE_SUBACK, v5 ? 4 : 3, frame->body[0], frame->body[1], 0, 0};
    write_now(peer, suback, v5 ? 6 : 5);
}

static void take_first_publish(struct peer *peer, const struct wire_frame *frame)
{
    struct bytes topic = bytes_of(frame->body + 2, get_u16(frame->body));
    peer->stride = frame->size;
    for (unsigned i = 0; i < peers_end; i++) {
        if (!peers[i] || !filter_matches(peers[i]->filter, topic))
            continue;
        peer->targets = realloc(peer->targets, (peer->target_count + 1) * sizeof *peer->targets);
        CHECK(peer->targets);
        peer->targets[peer->target_count++] = peers[i];
    }
}

/* Whole packets only, or two publishers would cut into each other. Returns the bytes relayed. */
static size_t relay(struct peer *peer, const uint8_t *data, size_t size)
{
    size -= size % peer->stride;
    for (unsigned i = 0; i < peer->target_count; i++) {
        struct peer *target = peer->targets[i];
        if (target->fd < 0)
            continue;
        if (peer->target_count == 1 || target->out.size > 0)
            write_later(target, data, size);
        else
            write_now(target, data, size);
    }
    return size;
}

static size_t take(struct peer *peer, const uint8_t *data, size_t size)
{
    size_t done = 0;
    struct wire_frame frame;
    while (peer->stride == 0 && wire_next(data + done, size - done, &frame)) {
        unsigned type = frame.first & WIRE_TYPE_MASK;
        if (type == WIRE_PUBLISH) {
            take_first_publish(peer, &frame);
            break;
        }
        if (type == WIRE_CONNECT)
            take_connect(peer, &frame);
        else if (frame.first == WIRE_SUBSCRIBE)
            take_subscribe(peer, &frame);
        done += frame.size;
    }
    if (peer->stride > 0)
        done += relay(peer, data + done, size - done);
    return done;
}

static void read_packets(struct peer *peer)
{
    size_t held = peer->held.size;
    if (held > 0)
        memcpy(scratch, peer->held.data, held);
    ssize_t size = read(peer->fd, scratch + held, SCRATCH_SIZE - held);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        hang_up(peer);
        return;
    }
    size_t total = held + (size_t)size;
    size_t done = take(peer, scratch, total);
    peer->held.size = 0;
    if (done < total)
        append(&peer->held, scratch + done, total - done);
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        CHECK(fd < PEERS_MOST);
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct peer *peer = calloc(1, sizeof *peer);
        CHECK(peer);
        peer->fd = fd;
        peers[fd] = peer;
        if ((unsigned)fd >= peers_end)
            peers_end = (unsigned)fd + 1;
        watch(peer, EPOLL_CTL_ADD);
    }
}

static int listen_on(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0) {
        perror("hf-floor: cannot listen");
        exit(1);
    }
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
    return fd;
}

static void take_event(int listener, const struct epoll_event *event)
{
    struct peer *peer = event->data.ptr;
    if (!peer) {
        accept_all(listener);
        return;
    }
    if (peer->fd >= 0 && (event->events & EPOLLOUT))
        flush(peer);
    if (peer->fd >= 0 && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_packets(peer);
}

int main(int argc, char **argv)
{
    long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (port <= 0 || port > 65535) {
        fprintf(stderr, "usage: hf-floor PORT    relay on 127.0.0.1, in the foreground\n");
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on((uint16_t)port);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++)
            take_event(listener, &events[i]);
        for (unsigned i = 0; i < unwritten_count; i++) {
            unwritten[i]->unwritten = false;
            if (unwritten[i]->fd >= 0 && !unwritten[i]->blocked)
                flush(unwritten[i]);
        }
        unwritten_count = 0;
    }
}
