/* mqtt-fault: a proxy that makes of a healthy server one that breaks a single rule.
 *
 * Each fault is a handful of hooks. The proxy reads the packets of both directions, keeps book of
 * sessions and exchanges, and shows every packet to the hooks of the one fault that is active
 * before it passes on; a hook changes it, drops it, or sends packets of its own. All runs in one
 * thread. */
#ifndef CONFORMANCE_FAULT_H
#define CONFORMANCE_FAULT_H

#include "conformance/fault/authenticator.h"
#include "conformance/fault/authoriser.h"
#include "conformance/fault/kept.h"
#include "conformance/fault/websocket.h"
#include "conformance/wire/packet.h"

struct link;
struct session;
struct published;

/* ---- Faults ---- */

/* A packet on its way. */
struct passing {
    struct packet packet; /* to be changed in place, followed by change() */
    bool readable;        /* else `packet` holds nothing and `mistake` says why */
    struct packet_fault mistake;
    struct text bytes; /* as it came */
    struct text topic; /* PUBLISH: the Topic Name with an alias resolved */
    bool from_server, changed, dropped;
    /* PUBLISH by the server: the one by a client that it comes from, or NULL. */
    const struct published *origin;
};

struct fault_hooks {
    /* The packets of the client, of the server. */
    void (*client)(struct link *link, struct passing *passing);
    void (*server)(struct link *link, struct passing *passing);
    /* A packet of the server has gone to the client. */
    void (*after_server)(struct link *link, const struct passing *passing);
    /* The client has closed; what is sent to the server now still arrives. */
    void (*client_closed)(struct link *link);
    /* The server has closed. True: the client's connection stays open. */
    bool (*server_closed)(struct link *link);
    enum websocket_breach websocket; /* with --ws */
    enum authenticator_breach authentication;
    enum scram_breach scram;
    enum authoriser_breach authorisation;
    /* Of what one read from the client's socket brings: the rest is lost; half a packet closes. */
    bool one_packet_per_read, whole_packets_only;
};

#define FAULT_HOOKS(name, ...) const struct fault_hooks fault_##name = {__VA_ARGS__};
#define FAULT(name, sentence) extern const struct fault_hooks fault_##name;
#include "conformance/fault/fault.def"
#undef FAULT

struct fault {
    const char *name, *sentence;
    const struct fault_hooks *hooks;
};

const struct fault *fault_first(void); /* the end of the list has no name */
const struct fault *fault_named(const char *name);

/* ---- What a hook may remember ----
 *
 * Only one fault is active, so that what it notes beside a link, a session or the whole proxy is
 * its own. All of it is zero at first; queues and ids are freed with what they stand beside. */
struct memory {
    unsigned count;
    bool flag;
    uint32_t number;
    uint64_t at_ms;
    struct queue queue;
    struct id_set ids;
    const void *source; /* only ever compared */
};

struct memory *proxy_memory(void);

/* ---- Links: a client's connection and the one to the server that belongs to it ---- */

struct side {
    struct link *link;
    int fd;               /* -1: closed */
    struct buffer in;     /* read, not understood yet */
    struct buffer out;    /* not written yet */
    size_t out_start;     /* what of it has been written */
    size_t raw_left;      /* of a packet too large to be looked at: passed unread */
    bool closing;         /* no more is written after `out` */
    bool shut;            /* the peer has been told so */
    bool ended;           /* the peer writes no more */
    bool paused;          /* not read: the other side does not keep up */
    struct text *aliases; /* by number, of PUBLISHes read here; NULL: none yet */
};

struct link {
    struct link *next;
    unsigned number;
    struct side client, server;
    enum version version;
    unsigned connects; /* CONNECTs read */
    bool connected;    /* a CONNACK that accepts has passed */
    bool orphaned;     /* the server has closed, the client does not know */
    bool raw;          /* bytes that are no packets pass unread from now on */
    bool disconnected; /* the client has sent DISCONNECT */
    bool reset;        /* the client has reset its connection */
    bool agent;        /* the proxy's own: there is no client */
    bool sentry;       /* an agent that stays */
    bool after_outage; /* the first connection of its session since the server was gone */
    bool dead;
    struct kept *connect;    /* the first CONNECT as the client sent it, NULL: none readable */
    struct session *session; /* from CONNECT on; without a Client Identifier from CONNACK on */
    uint64_t connected_at_ms, client_packet_at_ms, client_byte_at_ms;
    unsigned subscribes; /* read on this connection */
    uint32_t expiry_s;   /* of the session, by the last that was said */
    uint16_t receive_maximum, topic_alias_maximum, keep_alive_s; /* the client's words */
    uint32_t maximum_packet_size;
    struct packet connack;      /* its numbers; no texts */
    struct queue subscribing;   /* SUBSCRIBEs without SUBACK */
    struct id_set own_requests; /* SUBSCRIBE and UNSUBSCRIBE of the proxy's own */
    struct authenticator authenticator;
    struct websocket_front websocket; /* with --ws: the client speaks through it */
    struct memory memory;
};

uint64_t proxy_now_ms(void);
/* Memory until the current event has been dealt with. */
void *proxy_scratch(size_t size);
struct text proxy_scratch_text(struct text text);
/* Every link that is not dead. */
struct link *proxy_first_link(void);
struct link *link_next(const struct link *link);

/* Calls `act` after so many milliseconds; not if the link has gone by then. Takes `kept`, which may
 * be NULL, and frees it afterwards. */
void link_later(struct link *link, unsigned ms, void (*act)(struct link *link, struct kept *kept),
                struct kept *kept);

/* Appends to what is on its way; the packet is written at once, so its texts need not live on. */
void link_to_client(struct link *link, const struct packet *packet);
void link_to_server(struct link *link, const struct packet *packet);
void link_to_client_bytes(struct link *link, const void *data, size_t size);
void link_to_server_bytes(struct link *link, const void *data, size_t size);

/* As if the server had sent it, or had closed: the fault sees it. */
void link_from_server(struct link *link, const struct packet *packet);
void link_server_gone(struct link *link);

/* Closes towards the client as a server would, 5.0: after DISCONNECT with this code unless it is
 * 0. The server sees the client's connection end. */
void link_close(struct link *link, uint8_t reason_code);
/* Ends the connection to the server only; the client's stays open and answers PINGREQ. */
void link_orphan(struct link *link);

/* ---- What hooks do with a packet ---- */

static inline void change(struct passing *passing)
{
    passing->changed = true;
}

static inline void drop(struct passing *passing)
{
    passing->dropped = true;
}

static inline bool is(const struct passing *passing, enum packet_type type)
{
    return passing->readable && passing->packet.type == type;
}

static inline bool is_5(const struct link *link)
{
    return link->version == VERSION_5;
}

static inline bool is_first_connect(const struct link *link, const struct passing *passing)
{
    return is(passing, CONNECT) && link->connects == 1;
}

/* The CONNECT of the client, as it came; false: there is none that can be read. */
bool link_connect(const struct link *link, struct packet *out);
/* Whether that named an Authentication Method. */
bool link_named_method(const struct link *link);

/* Drops a packet of the client, and sends it after so many milliseconds. */
void send_later(struct link *link, struct passing *passing, unsigned ms);

/* Drops a PUBLISH and plays the receiver's part of its exchange in the place of the one who would
 * have got it. */
void swallow_from_client(struct link *link, struct passing *passing);
void swallow_from_server(struct link *link, struct passing *passing);

/* Sends a PUBLISH to the client or the server that the other side never sent. At QoS 1 and 2 it
 * gets an identifier of the proxy's own, and its acknowledgements do not pass. */
void inject_to_client(struct link *link, const struct packet *publish);
void inject_to_server(struct link *link, const struct packet *publish);
/* Sends a SUBSCRIBE or an UNSUBSCRIBE of the proxy's own. */
void inject_subscribe(struct link *link, const struct packet *subscribe);
/* Publishes at QoS 0 from a connection of the proxy's own. */
void proxy_publish(struct text topic, struct text payload, bool retain);

/* Ends the session of that client from a connection of the proxy's own. */
void proxy_end_session(struct text client_id);

/* A copy of what passes, with its changes. */
struct kept *passing_keep(const struct link *link, const struct passing *passing);
/* The packet in a copy; false: it can't be read. Points into the copy. */
bool kept_read(const struct kept *kept, const struct link *link, struct packet *out);

void property_remove(struct properties *properties, enum property_id id);
/* Replaces the first, or appends. */
void property_set(struct properties *properties, enum property_id id, uint32_t number);

#endif
