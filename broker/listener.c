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

#include "broker/connection.h"
#include "broker/worker.h"
#include "tls/tls.h"

enum { BACKLOG = 4096, ACCEPTS_PER_TURN = 64 };

static void address_text(const struct sockaddr *address, socklen_t size, char *out, size_t capacity)
{
    char host[INET6_ADDRSTRLEN + 2] = "?", port[8] = "?";
    getnameinfo(address, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, capacity, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static enum status open_one(struct broker *broker, const struct config_listener *config,
                            struct tls_context *tls, const struct addrinfo *address, char *error,
                            size_t error_size)
{
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (address->ai_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (fd < 0 || bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
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
    listener->tls = tls;
    atomic_init(&listener->connections, 0);
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof bound;
    char text[64] = "?";
    if (getsockname(fd, (struct sockaddr *)&bound, &bound_size) == 0)
        address_text((struct sockaddr *)&bound, bound_size, text, sizeof text);
    log_line(LOG_NOTICE, "listener \"%s\": %s on %s%s", config->name,
             tls != NULL ? "MQTT over TLS" : "MQTT", text,
             config->allow_anonymous ? ", anonymous clients allowed" : "");
    return STATUS_OK;
}

static enum status open_addresses(struct broker *broker, const struct config_listener *config,
                                  struct tls_context *tls, char *error, size_t error_size)
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
        status = open_one(broker, config, tls, at, error, error_size);
        /* Every family that the machine has: one without IPv6 is no fault. */
        if (status != STATUS_OK && any && errno == EAFNOSUPPORT)
            status = STATUS_OK;
    }
    freeaddrinfo(addresses);
    return status;
}

/* NULL for plain TCP. */
static enum status context_new(const struct config_listener *listener, struct tls_context **out,
                               char *error, size_t error_size)
{
    *out = NULL;
    if (listener->transport != LISTENER_TLS)
        return STATUS_OK;
    struct tls_options options = {
        .certificate = listener->certificate,
        .key = listener->key,
        .ca = listener->ca,
        .client_certificate = listener->client_certificate,
        .tls13_only = listener->tls_version == TLS_LOWEST_1_3,
        .ciphers = listener->ciphers,
    };
    char reason[256];
    enum status status = tls_context_new(&options, out, reason, sizeof reason);
    if (status != STATUS_OK)
        snprintf(error, error_size, "listener \"%s\": %s", listener->name, reason);
    return status;
}

enum status listeners_check(const struct config *config, char *error, size_t error_size)
{
    TRY(tls_init());
    for (size_t i = 0; i < config->listener_count; i++) {
        struct tls_context *context;
        TRY(context_new(&config->listeners[i], &context, error, error_size));
        tls_context_free(context);
    }
    return STATUS_OK;
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
        struct tls_context *tls = NULL;
        TRY(context_new(listener, &tls, error, error_size));
        TRY(open_addresses(broker, listener, tls, error, error_size));
    }
    return STATUS_OK;
}

void listeners_close(struct broker *broker)
{
    struct tls_context *last = NULL;
    for (unsigned i = 0; i < broker->listener_count; i++) {
        close(broker->listeners[i].fd);
        if (broker->listeners[i].tls != last)
            tls_context_free(broker->listeners[i].tls);
        last = broker->listeners[i].tls;
    }
    free(broker->listeners);
    broker->listeners = NULL;
    broker->listener_count = 0;
}

void listener_count(struct listener *listener, int change)
{
    atomic_fetch_add_explicit(&listener->connections, (uint32_t)change, memory_order_relaxed);
}

/* Out of descriptors: what waits would wake us for ever, so it is taken with the one kept for this,
 * and closed. */
static void refuse_with_spare(struct worker *worker, struct listener *listener)
{
    close(worker->spare_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void listener_accept(struct worker *worker, struct listener *listener)
{
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EMFILE && errno != ENFILE)
                return;
            log_line(LOG_ERROR, "listener \"%s\": %s: a connection is refused",
                     listener->config->name, strerror(errno));
            refuse_with_spare(worker, listener);
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
        listener_count(listener, 1);
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        char peer[64];
        address_text((struct sockaddr *)&address, size, peer, sizeof peer);
        counter_add(&worker->counters.connections_accepted, 1);
        connection_new(worker, listener, fd, peer);
    }
}
