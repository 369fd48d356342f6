/* The loop: one thread, one epoll, all clients. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <netinet/in.h>

#include "bench/client.h"
#include "bench/delay.h"
#include "bench/histogram.h"
#include "bench/options.h"
#include "bench/publisher.h"

/* Publishers and the receivers of their messages. The publishers stop while they are `credit`
 * messages ahead of the receivers: what is measured is then a steady state, and a QoS 0 message
 * that does not arrive was dropped rather than drowned. */
struct group {
    unsigned first; /* its publishers */
    unsigned count;
    unsigned next; /* whose turn it is */
    unsigned fan;  /* receipts owed for each message; 0: nobody receives, answers count instead */
    uint64_t sent;
    uint64_t received; /* receipts */
    uint64_t lost;     /* receipts that were given up */
    uint64_t seen;     /* `received` when it was last looked at, and when that was */
    uint64_t seen_ns;
};

struct engine {
    const struct options *options;
    int epoll_fd;
    struct sockaddr_in server;
    char run_id[16]; /* in the Client Identifiers: no run meets another's sessions */

    struct client *clients;
    unsigned client_count;
    struct publisher *publishers;
    unsigned publisher_count;
    struct group *groups;
    unsigned group_count;

    /* Called when a client's socket was read and its packets were seen to; may be NULL. */
    void (*after_read)(struct engine *engine, struct client *client);

    /* Called when a client's TLS handshake is done and the server's ticket is there, and no CONNECT
     * is sent; NULL: CONNECT is. */
    void (*secured)(struct engine *engine, struct client *client);

    uint64_t now_ns; /* at the start of this turn */
    unsigned ready;  /* clients in CLIENT_READY */
    bool publishing;
    bool closing;                  /* connections may be closed by the server */
    bool latency;                  /* payloads end with the time at which they were due */
    double bytes_per_subscription; /* of the broker's memory; 0: not measured */
    uint64_t refused;              /* messages answered with a failure */
    uint64_t repeated;             /* PUBLISH with DUP */
    uint64_t failures;             /* connections lost, packets that have no place */
    uint8_t *scratch;              /* CLIENT_SCRATCH_SIZE */
    struct client **unwritten; /* clients with answers that may travel with their next messages */
    unsigned unwritten_count;
    struct delay delayed; /* receivers' answers; --ack_delay_ms */
    struct histogram ack_latency;
    struct histogram delivery_latency;
};

void engine_init(struct engine *engine, const struct options *options);
void engine_fini(struct engine *engine);

/* Room for so many, all zero. Once per engine. */
void engine_reserve(struct engine *engine, unsigned clients, unsigned publishers, unsigned groups);

/* Longer than any run. */
static const uint64_t ENGINE_LONG_NS = 600000000000;

/* Gives this client a name of this run, and what else all clients have in common. */
struct client *engine_name(struct engine *engine, unsigned index, char role);

/* Connects (and subscribes) these clients, a few at a time. False if one fails. */
bool engine_connect(struct engine *engine, unsigned first, unsigned count);
/* DISCONNECT and close. */
void engine_disconnect(struct engine *engine, unsigned first, unsigned count);

/* Turns the loop until that time, or `done`, or a failure. `done` may be NULL. */
void engine_run(struct engine *engine, uint64_t until_ns, bool (*done)(struct engine *engine));

/* Shares out so many messages among the publishers. */
void engine_set_budget(struct engine *engine, unsigned messages);
/* Publishers take turns at --rate, evenly spread over time. */
void engine_set_schedule(struct engine *engine);
/* They were sent, and engine_settled(). */
bool engine_finished(struct engine *engine);

/* Every message sent has been received, or given up, and answered. */
bool engine_settled(struct engine *engine);
/* Stops publishing and waits until then, while there is progress. */
void engine_settle(struct engine *engine);

/* Counts one failure, and says the first few. */
void engine_fail(struct engine *engine, const struct client *client, const char *what);

struct engine_totals {
    uint64_t sent;
    uint64_t acked;
    uint64_t received;
    uint64_t expected; /* receipts owed for what was sent and not refused */
    uint64_t lost;
};

struct engine_totals engine_totals(const struct engine *engine);

#endif
