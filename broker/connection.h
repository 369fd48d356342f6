/* A Network Connection: bytes in, packets to handlers, packets out, one write per loop turn.
 * On the thread of its worker only. */
#ifndef BROKER_CONNECTION_H
#define BROKER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "authentication/principal.h"
#include "base/bytes.h"
#include "broker/address.h"
#include "broker/worker.h"
#include "fsm/machines.h"
#include "protocol/packet.h"
#include "tls/tls.h"

struct acl_client;
struct alias_table;
struct attempt;
struct exchange;
struct meter;
struct pending_connack;

/* Idle Clients are what there is most of: flags are bits, and 320 bytes are enough. The next size
 * that the allocator has is 384. */
struct connection {
    struct list all, ready, unflushed; /* in the worker's lists */
    struct worker *worker;
    struct listener *listener;
    struct tls *tls;             /* NULL: plain */
    struct websocket *websocket; /* NULL: MQTT at once */
    struct session *session;
    const struct principal *principal; /* who it is; its own, and anonymous before CONNECT */
    struct acl_client *rights;         /* NULL: no access control list is set; permission.h */
    int fd;
    uint32_t serial;              /* of this attachment; waiting entries name it */
    uint8_t state;                /* enum connection_state */
    uint8_t version;              /* enum mqtt_version; 0 before CONNECT */
    uint8_t authentication_state; /* enum authentication_state */
    uint8_t resume_waits : 7;     /* what RESUMED still waits for: the disk, the stored state */
    bool exchanged : 1;           /* CONNECT asked for enhanced authentication */
    bool bound : 1;               /* by the method with channel binding */
    bool input_left : 1;          /* the socket may hold more: edge-triggered */
    bool held : 1;                /* there is input that we were not to look at yet */
    bool hangup : 1;              /* the end of the stream, or an error, lies behind the input */
    bool closed : 1;              /* to be freed when the turn ends */
    bool draining : 1;            /* output, then shutdown, then linger until the peer closes */
    bool shut : 1;                /* the sending side was shut down */
    bool processing : 1;          /* input is being looked at: no recursion */
    bool overdue : 1;             /* no packet in time: its socket is read once more */
    bool watched : 1;             /* by the worker's epoll */
    bool goodbye : 1;             /* the Client has sent DISCONNECT, and so nothing more */
    bool request_problem_information : 1;
    bool acknowledged : 1;                /* something of its session's: it may send more */
    bool records : 1;                     /* has published what the store had to write */
    bool admitted : 1;                    /* counted in clients_connected */
    bool pushed_back : 1;                 /* not read for a while: meter.h */
    bool awaits_proxy : 1;                /* its first bytes say whose it is: proxied.h */
    uint16_t send_quota, receive_maximum; /* towards the Client */
    uint16_t topic_alias_maximum;         /* of the Client */
    struct address peer;
    uint32_t maximum_packet_size;     /* of the Client */
    uint32_t keep_alive_ms;           /* one and a half times; 0: none */
    uint32_t received_unacknowledged; /* its QoS 1 and 2 PUBLISHes against our Receive Maximum */
    uint32_t waiting;                 /* entries of this connection in the waiting queue */
    uint32_t unanswered_filters;      /* of its SUBSCRIBEs and UNSUBSCRIBEs that wait for a round */
    uint32_t early_input;             /* bytes that are counted: early_input.h */
    uint32_t output_before;           /* bytes of the last output that was sent to its end */
    uint32_t framed;                  /* WebSocket: of `output`, the bytes that are in frames */
    uint64_t last_packet_ms;
    struct worker_timer timer; /* CONNECT, keep alive, linger: one at a time */
    struct buffer input;       /* the part of a packet that has come so far */
    struct buffer output;
    size_t output_sent;
    struct alias_table *inbound_aliases, *outbound_aliases;
    struct exchange *exchange;       /* a challenge that is not answered; exchange.c */
    struct attempt *attempt;         /* its password is being tried, or has been; authenticate.c */
    struct pending_connack *pending; /* between CONNECT and CONNACK */
    struct meter *meter;             /* NULL: its listener has no such limits; meter.h */
};

/* Takes the socket. NULL when there is no memory; the socket is closed then. */
struct connection *connection_new(struct worker *worker, struct listener *listener, int fd,
                                  struct address peer);
/* `connect_timeout` from now on: for CONNECT, for its password or proof, for the store. */
void connection_allow_time(struct connection *connection);
/* Its timer: CONNECT or keep alive has not come in time, or the peer does not close. */
void connection_timer_fired(struct worker *worker, struct worker_timer *timer);
/* Not read, for a reason of the broker's. */
bool connection_is_held_back(const struct connection *connection);
/* Gives a connection that came from another worker to this one. */
void connection_adopt(struct worker *worker, struct connection *connection);
/* Takes it off this worker's lists and loop; `unread` bytes are looked at again by the next one,
 * and wiped here. */
void connection_release(struct connection *connection, uint8_t *unread, size_t size);
void connection_free(struct connection *connection);

/* The socket became readable or writable, or failed. */
void connection_ready(struct connection *connection, uint32_t epoll_events);
/* Reads once and handles what came. False: it has moved to another worker, and is not ours to touch
 * any more. */
bool connection_read(struct connection *connection);
/* Has the socket watched, if it is not: behind the first read, because a CONNECT that is there
 * already may move the connection to another worker's loop. */
void connection_watch(struct connection *connection);
/* Goes on with input that was held back while CONNACK waited or a limit was reached. */
void connection_continue(struct connection *connection);
/* After a read: once more, where more may be had. */
void connection_continue_reading(struct connection *connection);
/* WebSocket: puts the packets that have been appended into a frame. */
void connection_frame_output(struct connection *connection);
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

/* PUBLISHes with QoS 0 that are encoded, all of them for this Client. */
void connection_send_relayed(struct connection *connection, struct bytes packets, uint32_t count);

enum send_result { SEND_OK, SEND_TOO_LARGE };
enum send_result connection_send_publish(struct connection *connection,
                                         const struct message *message, uint8_t qos, bool dup,
                                         bool retain, uint16_t packet_identifier,
                                         const struct identifiers *identifiers);

/* Whether the Client's Maximum Packet Size lets it through. */
bool connection_publish_fits(const struct connection *connection, const struct message *message,
                             uint8_t qos, const struct identifiers *identifiers);

/* What sending touches, asked for ahead of time; NULL is all right. */
static inline void connection_prefetch(const struct connection *connection)
{
    if (connection == NULL)
        return;
    __builtin_prefetch(&connection->unflushed, 1);
    __builtin_prefetch(&connection->state);
    __builtin_prefetch(&connection->output, 1);
}

/* Bytes that the Client has not taken yet. */
static inline size_t connection_backlog(const struct connection *connection)
{
    return connection->output.size - connection->output_sent;
}

/* Its window is closed: nothing with a Packet Identifier goes out before it has acknowledged. */
static inline bool connection_is_waited_for(const struct connection *connection)
{
    return connection->send_quota == 0 && connection->state == CONNECTION_STATE_CONNECTED;
}

/* Has it flushed when the turn ends. */
void connection_mark_unflushed(struct connection *connection);
/* The peer is gone, or the transport failed. */
void connection_peer_closed(struct connection *connection, const char *why);

/* The same, and what TLS has to send: of those bytes, and answers of its own. */
static inline size_t connection_unsent(const struct connection *connection)
{
    size_t size = connection_backlog(connection);
#ifndef SEEDED_BUG_CIPHERTEXT_UNCOUNTED
    if (connection->tls != NULL)
        size += tls_output(connection->tls).size;
#endif
    return size;
}

/* Nobody knows yet who it is: it gets little, and its input may hold a password. */
static inline bool connection_is_before_connect(const struct connection *connection)
{
    return connection->state == CONNECTION_STATE_ACCEPTED ||
           connection->state == CONNECTION_STATE_AUTHENTICATING;
}

/* Messages never bring the backlog up to here; the answers to a Client that asks without reading
 * do, those of TLS included. It is not read then: its silence is ours, and as long as it takes
 * bytes, it lives (rule 20). */
static inline bool connection_is_choked(const struct connection *connection)
{
    enum { HANDSHAKE_OUTPUT_MAX = 64 * 1024 };
    return connection_unsent(connection) >
           (connection_is_before_connect(connection)
                ? HANDSHAKE_OUTPUT_MAX
                : 2 * (size_t)connection->worker->broker->config->mqtt.max_outgoing_buffer);
}

/* For the log: client identifier and address. */
const char *connection_name(const struct connection *connection, char *out, size_t capacity);

/* ---- CONNECT: connect.c ---- */

enum connect_outcome {
    CONNECT_DONE,      /* accepted or refused */
    CONNECT_EXCHANGES, /* to be handled again, when AUTH packets have proven who it is */
    CONNECT_WAITS,     /* to be handled again, when its password has been tried */
    CONNECT_MOVED,     /* to another worker: the connection must not be touched any more */
};

/* Decides on a CONNECT. `unread` begins with the whole packet, for the worker that it may have to
 * move to. */
enum connect_outcome connect_handle(struct connection *connection, const struct connect *connect,
                                    uint8_t *unread, size_t unread_size);
/* Sends CONNACK and what the session resends. */
void connect_acknowledge(struct connection *connection);
void connect_refuse(struct connection *connection, uint8_t reason_code);
/* One of the things that CONNACK waits for has happened. */
void connect_resume_step(struct connection *connection);

/* ---- The other packets: publish.c, subscribe.c ---- */

/* `packet`: all of it, in the input. */
void publish_handle(struct connection *connection, struct publish *publish, struct bytes packet);
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
