/* What the proxy knows of the sessions behind the clients that it has seen, and of the messages
 * that went through it. Kept by link.c; hooks read it, and may write what their breach needs. */
#ifndef CONFORMANCE_FAULT_SESSION_H
#define CONFORMANCE_FAULT_SESSION_H

#include "conformance/fault/fault.h"

struct subscription {
    struct subscription *next;
    struct text filter; /* owned */
    uint8_t options, granted;
    uint32_t identifier; /* 0: none */
    bool marked;         /* for a fault */
};

/* A PUBLISH of the server at QoS 1 or 2 that is not finished. */
struct exchange {
    struct exchange *next;
    uint16_t packet_id;
    uint8_t qos;
    bool received; /* the client's PUBREC has come */
    uint64_t sent_at_ms;
    const struct published *origin;
    struct kept *publish;
};

struct session {
    struct session *next;
    struct text id;    /* owned */
    struct link *link; /* connected; else NULL */
    bool exists;       /* the server holds state for it, as far as one can see */
    bool clean_started;
    uint32_t expiry_s;
    uint64_t left_at_ms; /* 0: never left */
    struct subscription *subscriptions;
    struct exchange *exchanges; /* in the order of their PUBLISHes */
    struct id_set inbound;      /* QoS 2 identifiers of the client's, PUBLISH to PUBCOMP */
    /* Exchanges that the proxy plays itself. */
    struct id_set answered_client, answered_server; /* PUBREL is answered with PUBCOMP here */
    struct id_set injected_client, injected_server; /* acknowledgements end here */
    uint16_t next_injected;
    unsigned outages; /* how many there had been when it was last connected */
    struct memory memory;
};

/* Makes it if there is none. */
struct session *session_of(struct text id);
struct session *session_find(struct text id);
struct session *session_first(void);
/* Ends the server's state, as far as the proxy knows: subscriptions, exchanges. */
void session_clear(struct session *session);

struct subscription *session_subscription(struct session *session, struct text filter);
/* Adds, or replaces that of the same filter. */
void session_subscribe(struct session *session, struct text filter, uint8_t options,
                       uint32_t identifier, uint8_t granted);
void session_unsubscribe(struct session *session, struct text filter);
/* The first that matches the Topic Name, or the next one after `after`. */
struct subscription *session_match(struct session *session, struct text topic,
                                   struct subscription *after);

struct exchange *session_exchange(struct session *session, uint16_t packet_id);
void session_exchange_begin(struct session *session, uint16_t packet_id, uint8_t qos,
                            const struct published *origin, struct kept *publish); /* takes */
void session_exchange_end(struct session *session, uint16_t packet_id);
unsigned session_exchange_count(const struct session *session);

/* ---- Messages that clients published ---- */

struct published {
    struct published *next;
    uint64_t hash;  /* of topic and payload */
    uint64_t at_ms; /* when it passed last */
    bool dup, retain, will;
    uint8_t qos;
    uint32_t expiry_s; /* UINT32_MAX: none */
    const struct session *publisher;
};

struct published *published_note(struct text topic, struct text payload);
/* NULL: never seen, such as one that another proxy has passed. */
struct published *published_find(struct text topic, struct text payload);

/* Whether the message had to wait for this connection. */
bool published_offline(const struct link *link, const struct passing *passing);

/* How often the server has been gone, and until when, the last time. */
unsigned proxy_outages(void);
uint64_t proxy_outage_ms(void);

#endif
