/* One connection of the load: socket, handshake, and what comes in. Receives for a group of
 * publishers, publishes, or does both. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "base/bytes.h"

struct channel;
struct engine;
struct group;
struct publisher;

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING, /* TCP */
    CLIENT_SECURING,   /* the TLS handshake */
    CLIENT_SECURED, /* it is done and the server's ticket to come; where the engine has `secured` */
    CLIENT_GREETING, /* CONNECT sent */
    CLIENT_SUBSCRIBING,
    CLIENT_READY,
};

struct client {
    int fd;
    enum client_state state;
    bool blocked; /* the socket takes no more for now */
    bool clean_start;
    uint8_t qos; /* of its subscription */
    uint32_t expiry_s;
    uint32_t source;          /* source address in 127/8; 0: any */
    uint16_t receive_maximum; /* what the server lets us have in flight */
    char id[40];
    char filter[48];         /* empty: no subscription */
    unsigned filters;        /* that many more below it, which nobody publishes to */
    struct channel *channel; /* NULL: plain */
    struct buffer out;
    struct buffer held;          /* the beginning of a packet */
    struct group *group;         /* whose messages it gets; may be NULL */
    struct publisher *publisher; /* may be NULL */
    unsigned to_subscribe;       /* that many subscriptions are still to be made; subscriptions.c */
    uint64_t received;           /* PUBLISH packets, without repetitions */
    uint64_t acked;              /* acknowledgements, where there is no publisher */
    bool published;              /* churn: its message is sent */
};

/* The largest piece that is read at a time, and the largest packet. */
enum { CLIENT_SCRATCH_SIZE = 256 * 1024 };

/* The fields that say who it is stand already. */
void client_open(struct engine *engine, struct client *client);
/* Closes without DISCONNECT, forgets what was under way. Idempotent. */
void client_close(struct engine *engine, struct client *client);

/* Something happened on its socket. */
void client_event(struct engine *engine, struct client *client, uint32_t events);

/* Writes `out` and then `more`; what does not fit is kept in `out`. */
void client_write(struct engine *engine, struct client *client, struct bytes more);

#endif
