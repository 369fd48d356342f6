#include "conformance/net/transport.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "conformance/net/address.h"
#include "conformance/net/socket.h"
#include "conformance/net/tls_client.h"
#include "conformance/net/websocket.h"

enum { READ_SIZE = 64 * 1024 };

uint64_t transport_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void end_with(struct transport *transport, enum transport_end end, const char *statement,
                     const char *reason)
{
    if (transport->end != TRANSPORT_OPEN)
        return;
    transport->end = end;
    transport->statement = statement;
    transport->write_ended = true;
    snprintf(transport->reason, sizeof transport->reason, "%s", reason);
}

/* ---- Bytes of the socket or of TLS ---- */

/* As recv(2): > 0, 0 at the end, -1 with errno, EPROTO for a breach of TLS. */
static ssize_t layer_read(struct transport *transport, void *data, size_t size)
{
    if (transport->tls)
        return tls_client_read(transport->tls, data, size);
    return recv(transport->fd, data, size, 0);
}

static ssize_t layer_write(struct transport *transport, const void *data, size_t size)
{
    if (transport->tls)
        return tls_client_write(transport->tls, data, size);
    return send(transport->fd, data, size, MSG_NOSIGNAL);
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Where a server resets, what it sent before may still wait to be read: only reading decides. */
static bool flush(struct transport *transport)
{
    bool moved = false;
    while (!transport_flushed(transport)) {
        ssize_t sent = layer_write(transport, transport->outbound.data + transport->outbound_sent,
                                   transport->outbound.size - transport->outbound_sent);
        if (sent > 0) {
            transport->outbound_sent += (size_t)sent;
            moved = true;
            continue;
        }
        if (sent < 0 && would_block())
            break;
        transport->write_ended = true;
        moved = true;
    }
    if (transport_flushed(transport))
        transport->outbound.size = transport->outbound_sent = 0;
    return moved;
}

static void note_read_error(struct transport *transport)
{
    char words[160];
    if (errno == EPROTO) {
        snprintf(words, sizeof words, "the server broke off TLS: %s",
                 tls_client_error(transport->tls));
        end_with(transport, TRANSPORT_FAULT, NULL, words);
    } else {
        end_with(transport, TRANSPORT_RESET, NULL, "");
    }
}

static void unwrap(struct transport *transport)
{
    struct websocket *websocket = transport->websocket;
    websocket_feed(websocket, &transport->raw, &transport->inbound, &transport->outbound);
    if (websocket_fault(websocket))
        end_with(transport, TRANSPORT_FAULT, websocket_fault(websocket)->statement,
                 websocket_fault(websocket)->what);
    else if (websocket_ended(websocket)) {
        flush(transport); /* the answer to its Close */
        end_with(transport, TRANSPORT_CLOSED, NULL, "");
    }
}

static bool fill(struct transport *transport)
{
    static _Thread_local uint8_t data[READ_SIZE];
    bool moved = false;
    socket_acknowledge_at_once(transport->fd);
    while (!transport->paused && transport->end == TRANSPORT_OPEN) {
        ssize_t size = layer_read(transport, data, sizeof data);
        if (size < 0 && would_block())
            break;
        moved = true;
        if (size > 0) {
            buffer_bytes(transport->websocket ? &transport->raw : &transport->inbound, data,
                         (size_t)size);
            if (transport->websocket)
                unwrap(transport);
            if ((size_t)size < sizeof data && !transport->tls)
                break; /* the owner has its turn; poll tells of more */
            continue;
        }
        if (size == 0)
            end_with(transport, TRANSPORT_CLOSED, NULL, "");
        else
            note_read_error(transport);
    }
    return moved;
}

bool transport_step(struct transport *transport)
{
    bool moved = flush(transport);
    return fill(transport) || moved;
}

short transport_events(const struct transport *transport)
{
    short events = 0;
    if (transport->end != TRANSPORT_OPEN)
        return 0;
    if (!transport->paused)
        events |= POLLIN;
    if (!transport_flushed(transport))
        events |= POLLOUT;
    return events;
}

bool transport_flushed(const struct transport *transport)
{
    return transport->write_ended || transport->outbound_sent == transport->outbound.size;
}

/* ---- Sending and taking ---- */

/* Keeps what TLS has not taken in place: it wants to see the same bytes again. */
static void reclaim(struct transport *transport)
{
    if (transport->write_ended) {
        transport->outbound.size = transport->outbound_sent = 0;
        return;
    }
    size_t left = transport->outbound.size - transport->outbound_sent;
    if (left == 0) {
        transport->outbound.size = transport->outbound_sent = 0;
        return;
    }
    if (transport->outbound_sent < left || left > READ_SIZE)
        return;
    memmove(transport->outbound.data, transport->outbound.data + transport->outbound_sent, left);
    transport->outbound.size = left;
    transport->outbound_sent = 0;
}

void transport_send_frame(struct transport *transport, unsigned opcode, bool fin, const void *data,
                          size_t size)
{
    reclaim(transport);
    websocket_write(transport->websocket, opcode, fin, data, size, &transport->outbound);
    flush(transport);
}

void transport_send(struct transport *transport, const void *data, size_t size)
{
    if (transport->websocket) {
        transport_send_frame(transport, WEBSOCKET_BINARY, true, data, size);
        return;
    }
    reclaim(transport);
    buffer_bytes(&transport->outbound, data, size);
    flush(transport);
}

void transport_take(struct transport *transport, size_t size)
{
    struct buffer *inbound = &transport->inbound;
    inbound->size -= size;
    if (inbound->size > 0)
        memmove(inbound->data, inbound->data + size, inbound->size);
}

/* ---- Opening and closing ---- */

static bool open_tls(struct transport *transport, const struct target *target, uint64_t deadline_ms,
                     char *error, size_t error_size)
{
    transport->tls = tls_client_new(target, transport->fd, error, error_size);
    if (!transport->tls)
        return false;
    for (;;) {
        short events = tls_client_handshake(transport->tls);
        if (events == 0)
            return true;
        if (events < 0) {
            snprintf(error, error_size, "TLS handshake with %s port %s: %s", target->host,
                     target->port, tls_client_error(transport->tls));
            return false;
        }
        if (!socket_wait(transport->fd, events, deadline_ms)) {
            snprintf(error, error_size, "TLS handshake with %s port %s: not finished in time",
                     target->host, target->port);
            return false;
        }
    }
}

static bool open_websocket(struct transport *transport, const struct target *target,
                           uint64_t deadline_ms, char *error, size_t error_size)
{
    transport->websocket = websocket_new(target, &transport->outbound);
    for (;;) {
        transport_step(transport);
        if (transport->end == TRANSPORT_FAULT) {
            snprintf(error, error_size, "WebSocket with %s port %s: %s", target->host, target->port,
                     transport->reason);
            return false;
        }
        if (websocket_open(transport->websocket))
            return true;
        if (transport->end != TRANSPORT_OPEN) {
            snprintf(error, error_size, "WebSocket with %s port %s: closed by the server",
                     target->host, target->port);
            return false;
        }
        if (!socket_wait(transport->fd, transport_events(transport), deadline_ms)) {
            snprintf(error, error_size, "WebSocket with %s port %s: no answer in time",
                     target->host, target->port);
            return false;
        }
    }
}

/* The descriptor, or -1 and a sentence. */
static int connect_target(const struct target *target, uint64_t deadline_ms, char *error,
                          size_t error_size)
{
    struct addrinfo *own = NULL;
    if (!target->addresses) {
        own = address_resolve(target->host, target->port, deadline_ms, error, error_size);
        if (!own)
            return -1;
    }
    int fd = socket_open(target->addresses ? target->addresses : own, deadline_ms);
    if (fd < 0)
        snprintf(error, error_size, "cannot connect to %s port %s: %m", target->host, target->port);
    if (own)
        address_free(own);
    return fd;
}

struct transport *transport_open(const struct target *target, uint64_t deadline_ms, char *error,
                                 size_t error_size)
{
    int fd = connect_target(target, deadline_ms, error, error_size);
    if (fd < 0)
        return NULL;
    struct transport *transport = calloc(1, sizeof *transport);
    if (!transport)
        abort();
    transport->fd = fd;
    if ((target->tls && !open_tls(transport, target, deadline_ms, error, error_size)) ||
        (target->websocket && !open_websocket(transport, target, deadline_ms, error, error_size))) {
        transport_close(transport, false);
        return NULL;
    }
    return transport;
}

void transport_close(struct transport *transport, bool reset)
{
    if (!transport)
        return;
    tls_client_free(transport->tls);
    websocket_free(transport->websocket);
    socket_close(transport->fd, reset);
    buffer_free(&transport->inbound);
    buffer_free(&transport->raw);
    buffer_free(&transport->outbound);
    free(transport);
}
