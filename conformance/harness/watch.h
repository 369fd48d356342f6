/* What a server owes on every connection, whatever a case is about: read from what passed both
 * ways.
 *
 * Only what is certain is called a fault. After something malformed was sent, or where a session
 * brought along identifiers from an earlier connection, nothing is said about unknown ones. */
#ifndef CONFORMANCE_WATCH_H
#define CONFORMANCE_WATCH_H

#include "conformance/harness/arena.h"
#include "conformance/wire/packet.h"

struct watch_id; /* of one packet identifier, in both directions */
struct watch_owed;

enum watch_state {
    WATCH_BEFORE_CONNACK,
    WATCH_ACCEPTED,
    WATCH_REFUSED,      /* CONNACK with an error */
    WATCH_DISCONNECTED, /* the server has sent DISCONNECT */
};

struct watch {
    struct arena *arena; /* for all that it remembers */
    enum version version;
    enum watch_state state;
    bool blurred; /* something was sent that is not understood here */
    bool resumed; /* Session Present was 1 */

    /* Of the client's CONNECT. */
    bool connect_seen, clean_start, client_id_empty;
    bool problem_information, response_information;
    uint32_t maximum_packet_size;
    uint16_t receive_maximum, topic_alias_maximum;
    struct text authentication_method; /* data NULL: none */

    unsigned pings;            /* PINGREQ not answered */
    unsigned outstanding;      /* the server's PUBLISHes above QoS 0, unacknowledged */
    unsigned slack;            /* acknowledgements of what is not known here */
    struct watch_owed *owed;   /* SUBACK and UNSUBACK */
    struct watch_id *ids[256]; /* pages of 256, made when touched */
    struct text *aliases;      /* topic_alias_maximum + 1 of them, or NULL */
};

void watch_init(struct watch *watch, struct arena *arena, enum version version);

/* What the client has sent. */
void watch_sent(struct watch *watch, const struct packet *packet);
/* The client has sent something malformed, or more or less than a packet. */
void watch_blur(struct watch *watch);

/* Whether the packet at the front is longer than the client allows, as soon as its size is known.
 */
bool watch_size(const struct watch *watch, size_t size, struct packet_fault *fault);
/* False and the fault if the server may not send this now. A topic by alias is filled in. */
bool watch_received(struct watch *watch, struct packet *packet, struct packet_fault *fault);

#endif
