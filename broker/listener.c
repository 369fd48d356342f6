#include "broker/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/accept.h"
#include "broker/activation.h"
#include "broker/address.h"
#include "broker/connection.h"
#include "broker/proxied.h"
#include "broker/worker.h"

enum { BACKLOG = 4096, ACCEPTS_PER_TURN = 64, NO_ROOM_PAUSE_MS = 1000 };

static enum status open_one(struct broker *broker, const struct config_listener *config,
                            const struct addrinfo *address, char *error, size_t error_size)
{
    static const char *const transports[] = {
        [LISTENER_TCP] = "MQTT",
        [LISTENER_TLS] = "MQTT over TLS",
        [LISTENER_WS] = "MQTT over WebSocket",
        [LISTENER_WSS] = "MQTT over WebSocket over TLS",
    };
    int on = 1;
    int fd = activation_take(address->ai_addr);
    bool inherited = fd >= 0;
    /* An ordered, lossless stream of bytes [MQTT-4.2.0-1]. */
    if (!inherited)
        fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
        if (address->ai_family == AF_INET6 && !inherited)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (fd < 0 || (!inherited && bind(fd, address->ai_addr, address->ai_addrlen) != 0) ||
        listen(fd, BACKLOG) != 0) {
        snprintf(error, error_size, "listener \"%s\": cannot listen on %s: %s", config->name,
                 config->bind, strerror(errno));
        if (fd >= 0)
            close(fd);
        return STATUS_IO;
    }
    struct listener *listener = &broker->listeners[broker->listener_count++];
    listener->config = config;
    listener->fd = fd;
    listener->inherited = inherited;
    atomic_init(&listener->connections, 0);
    TRY(proxied_open(listener));
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    char text[ADDRESS_TEXT_SIZE] = "?";
    if (getsockname(fd, (struct sockaddr *)&bound, &bound_size) == 0) {
        struct address here = address_of((const struct sockaddr *)&bound);
        address_text(&here, text);
    }
    log_line(LOG_NOTICE, "listener \"%s\": %s on %s%s%s", config->name,
             transports[config->transport], text, inherited ? ", a socket that was there" : "",
             config->allow_anonymous ? ", anonymous clients allowed" : "");
    return STATUS_OK;
}

static enum status open_addresses(struct broker *broker, const struct config_listener *config,
                                  char *error, size_t error_size)
{
    char port[8];
    snprintf(port, sizeof port, "%u", config->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses;
    bool any = strcmp(config->host, "*") == 0;
    int failure = getaddrinfo(any ? NULL : config->host, port, &hints, &addresses);
    if (failure != 0) {
        snprintf(error, error_size, "listener \"%s\": \"%s\" is not an address: %s", config->name,
                 config->bind, gai_strerror(failure));
        return STATUS_INVALID;
    }
    enum status status = STATUS_OK;
    for (const struct addrinfo *at = addresses; at != NULL && status == STATUS_OK;
         at = at->ai_next) {
        status = open_one(broker, config, at, error, error_size);
        /* Every family that the machine has: one without IPv6 is no fault. */
        if (status != STATUS_OK && any && errno == EAFNOSUPPORT)
            status = STATUS_OK;
    }
    freeaddrinfo(addresses);
    return status;
}

enum status listeners_open(struct broker *broker, char *error, size_t error_size)
{
    enum { ADDRESSES_MAX = 8 };
    const struct config *config = broker->config;
    broker->listeners = calloc(config->listener_count * ADDRESSES_MAX, sizeof(struct listener));
    if (broker->listeners == NULL)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        TRY(open_addresses(broker, listener, error, error_size));
    }
    return STATUS_OK;
}

void listeners_close(struct broker *broker)
{
    for (unsigned i = 0; i < broker->listener_count; i++) {
        close(broker->listeners[i].fd);
        proxied_close(&broker->listeners[i]);
    }
    free(broker->listeners);
    broker->listeners = NULL;
    broker->listener_count = 0;
}

void listener_count(struct listener *listener, int change)
{
    atomic_fetch_add_explicit(&listener->connections, (uint32_t)change, memory_order_relaxed);
}

/* Takes what waits with the descriptor kept for this, and closes it. False: it still waits. */
static bool refuse_with_spare(struct worker *worker, struct listener *listener)
{
    if (worker->spare_fd >= 0)
        close(worker->spare_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    bool waits = fd < 0 && accept_lacks_room(errno);
    if (fd >= 0)
        close(fd);
    worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return !waits;
}

/* What waits would wake us for ever: it is refused, or it has to wait. */
static void turn_away(struct worker *worker, struct listener *listener)
{
    int error = errno;
    if (refuse_with_spare(worker, listener)) {
        log_line(LOG_ERROR, "listener \"%s\": %s: a connection is refused", listener->config->name,
                 strerror(error));
        return;
    }
    log_line(LOG_ERROR, "listener \"%s\": %s: whoever connects waits until there is room",
             listener->config->name, strerror(error));
#ifndef SEEDED_BUG_LISTENER_SPINS
    worker_pause_listener(worker, listener, NO_ROOM_PAUSE_MS);
#endif
}

/* Nothing is refused: what waits, waits in the system's queue. */
static bool is_too_fast(struct worker *worker, struct listener *listener)
{
    uint32_t limit = listener->config->max_connect_rate;
#ifdef SEEDED_BUG_ACCEPTED_AT_ONCE
    limit = 0;
#endif
    uint64_t wait_ms = limit > 0 ? rate_wait_ms(&listener->accepts, worker->now_ms) : 0;
    if (wait_ms > 0)
        worker_pause_listener(worker, listener, wait_ms);
    return wait_ms > 0;
}

static void refuse_untrusted(const struct listener *listener, int fd, const struct address *peer)
{
    char text[ADDRESS_TEXT_SIZE];
    log_line(LOG_NOTICE, "%s: listener \"%s\": not in proxy_from; closed", address_text(peer, text),
             listener->config->name);
    close(fd);
}

void listener_accept(struct worker *worker, struct listener *listener)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (is_too_fast(worker, listener))
            return;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (accept_lacks_room(errno))
                turn_away(worker, listener);
            return;
        }
        uint32_t limit = listener->config->max_connections;
        if (limit > 0 &&
            atomic_load_explicit(&listener->connections, memory_order_relaxed) >= limit) {
            log_line(LOG_WARNING, "listener \"%s\": max_connections (%u) reached",
                     listener->config->name, limit);
            close(fd);
            continue;
        }
        struct address peer = address_of((const struct sockaddr *)&address);
        if (listener->config->proxy_protocol && !proxied_trusts(listener, &peer)) {
            refuse_untrusted(listener, fd, &peer);
            continue;
        }
        if (listener->config->max_connect_rate > 0)
            rate_take(&listener->accepts, listener->config->max_connect_rate, 1, worker->now_ms);
        listener_count(listener, 1);
        counter_add(&worker->counters.connections_accepted, 1);
        connection_new(worker, listener, fd, peer);
    }
}
