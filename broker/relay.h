/* QoS 0, unread: a PUBLISH that leaves as it came, byte for byte, is copied from the input of one
 * connection to the output of others, without an object of its own. Consecutive ones for the same
 * sessions are copied together.
 *
 * A run is gathered while the input of one connection is looked at, and handed over before anything
 * else happens there: whatever else is routed or answered comes behind it (docs/ordering.md). */
#ifndef BROKER_RELAY_H
#define BROKER_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct connection;
struct parcel;
struct publish;
struct session;
struct worker;

struct relay_target {
    struct session *session;
    uint64_t incarnation; /* rule 9 */
    uint32_t identifier;  /* of the subscription; 0: none */
    uint16_t home;
};

struct relay_targets { /* of one topic; scratch */
    struct relay_target *entries;
    uint32_t capacity, count;
    uint64_t version; /* of the topic index */
};

/* PUBLISHes with QoS 0 and nothing in them that is for the Server alone, whole and one behind the
 * other. */
struct relay_packets {
    struct bytes bytes; /* borrowed */
    uint32_t count;
    uint8_t version; /* enum mqtt_version */
};

struct relay {
    struct relay_packets run; /* count 0: none */
    struct bytes topic;       /* of its last packet */
    struct relay_targets targets, next;
};

/* Takes the PUBLISH that is all of `packet`, of a connection's input that stays until relay_flush.
 * False: it has to be routed as others are. */
bool relay_add(struct connection *connection, const struct publish *publish, struct bytes packet);
/* Hands over what relay_add() has taken. */
void relay_flush(struct worker *worker);
/* To sessions whose home is here; the targets are changed. */
void relay_deliver(struct worker *worker, const struct relay_packets *packets,
                   struct relay_target *targets, uint32_t count);
void relay_fini(struct relay *relay);

#endif
