/* A Network Connection: bytes in, packets to handlers, packets out, one write per loop turn.
 * On the thread of its worker only. */
#ifndef BROKER_CONNECTION_H
#define BROKER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "broker/worker.h"
#include "protocol/packet.h"

struct alias_table;
struct pending_connack;

struct connection {
    struct list all, ready, unflushed; /* in the worker's lists */
    struct worker *worker;
    struct listener *listener;
    struct tls *tls; /* NULL: plain */
    struct session *session;
    int fd;
    uint32_t serial; /* of this attachment; waiting entries name it */
    uint8_t state;   /* enum connection_state */
    uint8_t version; /* enum mqtt_version; 0 before CONNECT */
    bool input_left; /* the socket may hold more: edge-triggered */
    bool held;       /* there is input that we were not to look at yet */
    bool hangup;     /* the end of the stream, or an error, lies behind the input */
    bool closed;     /* to be freed when the turn ends */
    bool draining;   /* output, then shutdown, then linger until the peer closes */
    bool shut;       /* the sending side was shut down */
    bool processing; /* input is being looked at: no recursion */
    bool request_problem_information;
    bool records;         /* has published what the store had to write */
    bool admitted;        /* counted in clients_connected */
    uint8_t resume_waits; /* what RESUMED still waits for: the disk, the stored state */
    uint16_t send_quota, receive_maximum; /* towards the Client */
    uint16_t topic_alias_maximum;         /* of the Client */
    uint32_t maximum_packet_size;         /* of the Client */
    uint32_t keep_alive_ms;               /* one and a half times; 0: none */
    uint32_t received_unacknowledged; /* its QoS 1 and 2 PUBLISHes against our Receive Maximum */
    uint32_t waiting;                 /* entries of this connection in the waiting queue */
    uint32_t unanswered_filters;      /* of its SUBSCRIBEs and UNSUBSCRIBEs that wait for a round */
    uint64_t last_packet_ms;
    struct worker_timer timer; /* CONNECT, keep alive, linger: one at a time */
    struct buffer input;       /* the part of a packet that has come so far */
    struct buffer output;
    size_t output_sent;
    struct alias_table *inbound_aliases, *outbound_aliases;
    struct pending_connack *pending; /* between CONNECT and CONNACK */
    char peer[56];                   /* address and port */
};

/* Takes the socket. NULL when there is no memory; the socket is closed then. */
struct connection *connection_new(struct worker *worker, struct listener *listener, int fd,
                                  const char *peer);
/* Gives a connection that came from another worker to this one. */
void connection_adopt(struct worker *worker, struct connection *connection);
/* Takes it off this worker's lists and loop; `unread` bytes are looked at again by the next one. */
void connection_release(struct connection *connection, const uint8_t *unread, size_t size);
void connection_free(struct connection *connection);

/* The socket became readable or writable, or failed. */
void connection_ready(struct connection *connection, uint32_t epoll_events);
/* Reads once and handles what came. False: it has moved to another worker, and is not ours to touch
 * any more. */
bool connection_read(struct connection *connection);
/* Goes on with input that was held back while CONNACK waited or a limit was reached. */
void connection_continue(struct connection *connection);
/* After a read: once more, where more may be had. */
void connection_continue_reading(struct connection *connection);
/* Writes what the turn produced. */
void connection_flush(struct connection *connection);

/* Steps the connection machine. `reason_code` goes into CONNACK or DISCONNECT; `why` into the log.
 */
void connection_event(struct connection *connection, uint8_t event, uint8_t reason_code,
                      const char *statement, const char *why);

/* Appends to the output. */
void connection_send(struct connection *connection, const struct packet *packet);
void connection_send_bytes(struct connection *connection, const void *data, size_t size);
/* PUBACK, PUBREC, PUBREL, PUBCOMP; the Reason String goes along if it may and fits. */
void connection_send_acknowledgement(struct connection *connection, enum packet_type type,
                                     uint16_t packet_identifier, uint8_t reason_code,
                                     const char *reason_string);

enum send_result { SEND_OK, SEND_TOO_LARGE };
enum send_result connection_send_publish(struct connection *connection,
                                         const struct message *message, uint8_t qos, bool dup,
                                         bool retain, uint16_t packet_identifier,
                                         const struct identifiers *identifiers);

/* Whether the Client's Maximum Packet Size lets it through. */
bool connection_publish_fits(const struct connection *connection, const struct message *message,
                             uint8_t qos, const struct identifiers *identifiers);

/* Bytes that the Client has not taken yet. */
static inline size_t connection_backlog(const struct connection *connection)
{
    return connection->output.size - connection->output_sent;
}

/* Has it flushed when the turn ends. */
void connection_mark_unflushed(struct connection *connection);
/* The peer is gone, or the transport failed. */
void connection_peer_closed(struct connection *connection, const char *why);

/* Messages never bring the backlog up to here; the answers to a Client that asks without reading
 * do. It is not read then: its silence is ours, and as long as it takes bytes, it lives (rule 20).
 */
static inline bool connection_is_choked(const struct connection *connection)
{
    return connection_backlog(connection) >
           2 * (size_t)connection->worker->broker->config->mqtt.max_outgoing_buffer;
}

/* For the log: client identifier and address. */
const char *connection_name(const struct connection *connection, char *out, size_t capacity);

/* ---- CONNECT: connect.c ---- */

/* Decides on a CONNECT. `frame` is the whole packet, for the worker that it may have to move to;
 * returns false when the connection has moved and must not be touched any more. */
bool connect_handle(struct connection *connection, const struct connect *connect,
                    const uint8_t *unread, size_t unread_size);
/* Sends CONNACK and what the session resends. */
void connect_acknowledge(struct connection *connection);
void connect_refuse(struct connection *connection, uint8_t reason_code);
/* One of the things that CONNACK waits for has happened. */
void connect_resume_step(struct connection *connection);

/* ---- The other packets: publish.c, subscribe.c ---- */

void publish_handle(struct connection *connection, struct publish *publish);
void publish_handle_pubrel(struct connection *connection, const struct acknowledgement *pubrel);
void subscribe_handle(struct connection *connection, const struct subscribe *subscribe);
void unsubscribe_handle(struct connection *connection, const struct unsubscribe *unsubscribe);
/* What waited for the round that has just been done is to be answered. */
void subscribe_round_done(struct worker *worker);
/* Goes on with that, for a while: once a turn. True: it has not come to the end. */
bool subscribe_go_on(struct worker *worker);
/* Forgets what waits: the worker has ended. */
void subscribe_discard(struct worker *worker);

#endif
