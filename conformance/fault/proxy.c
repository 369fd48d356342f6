#include "conformance/fault/proxy.h"
#include "conformance/fault/session.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_SIZE = 1 << 16,
    OUT_MAX = 1 << 18,  /* not written: the other side is not read any more */
    LINGER_MS = 3000,   /* for the peer to close as well */
    LOOK_MS = 10,       /* between looks at whether the server is there */
    LOOK_FOR_MS = 1000, /* after it has closed a connection: it may be about to go */
};

struct timer {
    struct timer *next;
    uint64_t at_ms;
    struct link *link; /* NULL: the proxy's own */
    void (*act)(struct link *link, struct kept *kept);
    struct kept *kept;
};

struct scratch {
    struct scratch *next;
    uint8_t bytes[];
};

static struct {
    const struct proxy_settings *settings;
    int epoll, listener;
    struct addrinfo *server;
    struct link *links;
    unsigned link_count, outages;
    struct timer *timers; /* the earliest first */
    struct scratch *scratch;
    struct memory memory;
    uint64_t outage_ms, look_until_ms;
    bool looking, away; /* at whether the server is there; it is not */
    volatile sig_atomic_t stopped;
} proxy = {.epoll = -1, .listener = -1};

const struct proxy_settings *proxy_settings(void)
{
    return proxy.settings;
}

struct memory *proxy_memory(void)
{
    return &proxy.memory;
}

unsigned proxy_outages(void)
{
    return proxy.outages;
}

uint64_t proxy_outage_ms(void)
{
    return proxy.outage_ms;
}

uint64_t proxy_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Memory, timers ---- */

void *proxy_scratch(size_t size)
{
    struct scratch *scratch = calloc(1, sizeof *scratch + size);
    if (!scratch)
        abort();
    scratch->next = proxy.scratch;
    proxy.scratch = scratch;
    return scratch->bytes;
}

struct text proxy_scratch_text(struct text text)
{
    uint8_t *copy = proxy_scratch(text.size + 1);
    if (text.size)
        memcpy(copy, text.data, text.size);
    return (struct text){copy, text.size};
}

static void free_scratch(void)
{
    while (proxy.scratch) {
        struct scratch *scratch = proxy.scratch;
        proxy.scratch = scratch->next;
        free(scratch);
    }
}

void link_later(struct link *link, unsigned ms, void (*act)(struct link *link, struct kept *kept),
                struct kept *kept)
{
    struct timer *timer = malloc(sizeof *timer);
    if (!timer)
        abort();
    *timer = (struct timer){.at_ms = proxy_now_ms() + ms, .link = link, .act = act, .kept = kept};
    struct timer **at = &proxy.timers;
    while (*at && (*at)->at_ms <= timer->at_ms)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
}

static void run_timers(void)
{
    while (proxy.timers && proxy.timers->at_ms <= proxy_now_ms()) {
        struct timer *timer = proxy.timers;
        proxy.timers = timer->next;
        timer->act(timer->link, timer->kept);
        free(timer->kept);
        free(timer);
    }
}

static void forget_timers(const struct link *link)
{
    for (struct timer **at = &proxy.timers; *at;) {
        struct timer *timer = *at;
        if (timer->link != link) {
            at = &timer->next;
            continue;
        }
        *at = timer->next;
        free(timer->kept);
        free(timer);
    }
}

/* ---- Sockets ---- */

struct link *proxy_first_link(void)
{
    struct link *link = proxy.links;
    return link && link->dead ? link_next(link) : link;
}

struct link *link_next(const struct link *link)
{
    struct link *next = link->next;
    while (next && next->dead)
        next = next->next;
    return next;
}

static void watch(struct side *side)
{
    if (side->fd < 0)
        return;
    uint32_t events = 0;
    if (!side->ended && !side->paused)
        events |= EPOLLIN;
    if (side->out_start < side->out.size)
        events |= EPOLLOUT;
    struct epoll_event event = {.events = events, .data.ptr = side};
    epoll_ctl(proxy.epoll, EPOLL_CTL_MOD, side->fd, &event);
}

void proxy_close(struct side *side, bool reset)
{
    if (side->fd < 0)
        return;
    if (reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(side->fd);
    side->fd = -1;
    side->out.size = side->out_start = 0;
    struct link *link = side->link;
    if (link->client.fd < 0 && link->server.fd < 0)
        link->dead = true;
}

static struct side *other(struct side *side)
{
    return side == &side->link->client ? &side->link->server : &side->link->client;
}

static void pause_other(struct side *side, bool pause)
{
    struct side *reader = other(side);
    if (reader->paused == pause)
        return;
    reader->paused = pause;
    watch(reader);
}

static void close_lingering(struct link *link, struct kept *kept)
{
    if (link->client.shut)
        proxy_close(&link->client, false);
    if (link->server.shut)
        proxy_close(&link->server, false);
}

/* All is written and the side is closing: says so, and waits for the peer to do the same. */
static void shut(struct side *side)
{
    if (side->ended) {
        proxy_close(side, false);
        return;
    }
    if (side->shut)
        return;
    side->shut = true;
    shutdown(side->fd, SHUT_WR);
    link_later(side->link, LINGER_MS, close_lingering, NULL);
}

void proxy_flush(struct side *side)
{
    if (side->fd < 0)
        return;
    while (side->out_start < side->out.size) {
        ssize_t written = send(side->fd, side->out.data + side->out_start,
                               side->out.size - side->out_start, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno != EAGAIN) {
            side->out_start = side->out.size; /* its end is noticed when it is read */
            break;
        }
        if (written < 0)
            break;
        side->out_start += (size_t)written;
    }
    size_t left = side->out.size - side->out_start;
    if (!left)
        side->out.size = side->out_start = 0;
    pause_other(side, left > OUT_MAX);
    watch(side);
    if (!left && side->closing)
        shut(side);
}

static void set_up_socket(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* -1: nobody is there. A server on this machine or next to it, so it may block. */
static int connect_server(void)
{
    for (const struct addrinfo *at = proxy.server; at; at = at->ai_next) {
        int fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (fd < 0)
            continue;
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) {
            set_up_socket(fd);
            return fd;
        }
        close(fd);
    }
    return -1;
}

static void add_side(struct side *side, struct link *link, int fd)
{
    side->link = link;
    side->fd = fd;
    if (fd < 0)
        return;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = side};
    epoll_ctl(proxy.epoll, EPOLL_CTL_ADD, fd, &event);
}

static struct link *link_new(int client, int server)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        abort();
    link->number = ++proxy.link_count;
    link->version = VERSION_311;
    link->client_packet_at_ms = proxy_now_ms();
    add_side(&link->client, link, client);
    add_side(&link->server, link, server);
    link->next = proxy.links;
    proxy.links = link;
    return link;
}

struct link *proxy_agent(void)
{
    int server = connect_server();
    if (server < 0)
        return NULL;
    struct link *link = link_new(-1, server);
    link->agent = true;
    return link;
}

static void free_dead_links(void)
{
    for (struct link **at = &proxy.links; *at;) {
        struct link *link = *at;
        if (!link->dead) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        forget_timers(link);
        link_fini(link);
        free(link);
    }
}

/* ---- Outages: while the server is gone, nobody listens here either ---- */

static bool listen_for_clients(unsigned port)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo *found, hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(proxy.settings->listen_host, service, &hints, &found) != 0)
        return false;
    int one = 1, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool done = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 4096) == 0;
    freeaddrinfo(found);
    if (!done) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    proxy.listener = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(proxy.epoll, EPOLL_CTL_ADD, fd, &event);
    return true;
}

static unsigned listening_port(void)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    getsockname(proxy.listener, (struct sockaddr *)&address, &size);
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void look_again(void);

static void look_for_server(struct link *none, struct kept *kept)
{
    static unsigned port;
    proxy.looking = false;
    int fd = connect_server();
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && proxy.away) {
        proxy.outages++;
        proxy.outage_ms = proxy_now_ms();
        proxy.away = !listen_for_clients(port);
        proxy_post_sentry();
    } else if (fd < 0 && !proxy.away) {
        proxy.away = true;
        port = listening_port();
        close(proxy.listener);
        proxy.listener = -1;
    }
    if (proxy.away || proxy_now_ms() < proxy.look_until_ms)
        look_again();
}

static void look_again(void)
{
    if (proxy.looking)
        return;
    proxy.looking = true;
    link_later(NULL, LOOK_MS, look_for_server, NULL);
}

static void look_soon(void)
{
    proxy.look_until_ms = proxy_now_ms() + LOOK_FOR_MS;
    look_again();
}

/* ---- The loop ---- */

static void accept_clients(void)
{
    for (;;) {
        int client = accept(proxy.listener, NULL, NULL);
        if (client < 0)
            return;
        set_up_socket(client);
        int server = connect_server();
        if (server < 0) {
            close(client);
            look_soon();
            return;
        }
        link_new(client, server);
    }
}

static void read_side(struct side *side, bool gone)
{
    uint8_t bytes[READ_SIZE];
    if (side->fd < 0 || side->ended || (side->paused && !gone))
        return;
    ssize_t size = recv(side->fd, bytes, sizeof bytes, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size > 0 && side->closing)
        return; /* what comes now is for nobody */
    if (size > 0) {
        link_feed(side, bytes, (size_t)size);
        return;
    }
    if (side == &side->link->server && !side->closing && (!side->link->agent || side->link->sentry))
        look_soon();
    bool reset = size < 0;
    link_ended(side, reset);
    if (side->fd >= 0 && side->out_start == side->out.size && side->closing)
        proxy_close(side, false);
    watch(side);
}

static void handle(const struct epoll_event *event)
{
    struct side *side = event->data.ptr;
    if (!side) {
        accept_clients();
        return;
    }
    if (event->events & EPOLLOUT)
        proxy_flush(side);
    bool gone = event->events & (EPOLLHUP | EPOLLERR);
    if (gone && side->fd >= 0 && side->ended)
        proxy_close(side, false); /* both directions are closed */
    else if (gone || event->events & EPOLLIN)
        read_side(side, gone);
    free_scratch();
}

static int wait_ms(void)
{
    if (!proxy.timers)
        return -1;
    uint64_t now = proxy_now_ms();
    return proxy.timers->at_ms > now ? (int)(proxy.timers->at_ms - now) : 0;
}

static void stop(int signal_number)
{
    proxy.stopped = 1;
}

static void loop(void)
{
    sigset_t none;
    sigemptyset(&none);
    struct epoll_event events[64];
    while (!proxy.stopped) {
        int count = epoll_pwait(proxy.epoll, events, 64, wait_ms(), &none);
        for (int i = 0; i < count; i++)
            handle(&events[i]);
        run_timers();
        free_scratch();
        free_dead_links();
    }
}

static void set_up_process(void)
{
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigset_t held; /* they arrive in epoll_pwait() only */
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigprocmask(SIG_BLOCK, &held, NULL);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int proxy_run(const struct proxy_settings *settings)
{
    proxy.settings = settings;
    set_up_process();
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(settings->server_host, settings->server_port, &hints, &proxy.server);
    if (error) {
        fprintf(stderr, "mqtt-fault: %s: %s\n", settings->server_host, gai_strerror(error));
        return 1;
    }
    proxy.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!listen_for_clients(settings->listen_port)) {
        fprintf(stderr, "mqtt-fault: %s port %u: %s\n", settings->listen_host,
                settings->listen_port, strerror(errno));
        return 1;
    }
    printf("listening on %u\n", listening_port());
    fflush(stdout);
    proxy_post_sentry();
    loop();
    for (struct link *link = proxy.links; link; link = link->next) {
        proxy_close(&link->client, false);
        proxy_close(&link->server, false);
    }
    free_dead_links();
    freeaddrinfo(proxy.server);
    return 0;
}
