/* A Network Connection to the server under test: TCP, TLS, WebSocket, or WebSocket over TLS.
 *
 * Nothing here blocks but transport_open(): bytes to be sent are queued, and transport_step() moves
 * what can be moved in both directions. The owner polls transport_events() of all its connections,
 * so that a server which does not read while it cannot write never stops the suite. */
#ifndef CONFORMANCE_TRANSPORT_H
#define CONFORMANCE_TRANSPORT_H

#include "conformance/net/target.h"
#include "conformance/wire/packet.h"

enum transport_end {
    TRANSPORT_OPEN,
    TRANSPORT_CLOSED, /* by the server: FIN, close_notify, WebSocket Close */
    TRANSPORT_RESET,  /* by the server: TCP reset */
    TRANSPORT_FAULT,  /* the server broke the rules of TLS or WebSocket */
};

struct tls_client;
struct websocket;

struct transport {
    int fd;
    struct tls_client *tls;      /* or NULL */
    struct websocket *websocket; /* or NULL */
    struct buffer inbound;       /* of MQTT, not yet taken */
    struct buffer raw;           /* WebSocket only: received, not yet unwrapped */
    struct buffer outbound;      /* as it goes to TLS or the socket */
    size_t outbound_sent;        /* of outbound's front */
    bool paused;                 /* does not read */
    bool write_ended;            /* the server takes no more; what is sent is dropped */
    enum transport_end end;
    const char *statement; /* of a fault, or NULL */
    char reason[160];      /* of a fault */
};

/* Milliseconds on a clock that only goes forward. */
uint64_t transport_clock_ms(void);

/* NULL and a sentence in `error` if there is no connection by `deadline_ms`. */
struct transport *transport_open(const struct target *target, uint64_t deadline_ms, char *error,
                                 size_t error_size);

/* Queues. Over WebSocket it becomes one binary frame. */
void transport_send(struct transport *transport, const void *data, size_t size);
/* WebSocket only: a frame of that opcode, for tests; `fin` false: a first fragment. */
void transport_send_frame(struct transport *transport, unsigned opcode, bool fin, const void *data,
                          size_t size);

/* True if anything was moved or the end was noticed. */
bool transport_step(struct transport *transport);
/* For poll(2); 0: it has nothing to wait for. */
short transport_events(const struct transport *transport);
/* Whether all that was queued has been handed to the system, or nobody takes it any more. */
bool transport_flushed(const struct transport *transport);

/* Drops `size` bytes from the front of inbound. */
void transport_take(struct transport *transport, size_t size);

/* Ends it without a word; `reset`: with a TCP reset. Frees. */
void transport_close(struct transport *transport, bool reset);

#endif
