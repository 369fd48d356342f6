/* From an incoming PUBLISH to the sessions it is owed to: checks, the inbound QoS 2 machine,
 * routing, the one delta that records it all, and dispatch. On the publisher's home worker. */
#ifndef BROKER_PUBLISH_H
#define BROKER_PUBLISH_H

#include "broker/worker.h"
#include "protocol/packet.h"

struct session;
struct connection;

/* A routed message that waits for the disk before it is delivered. */
struct dispatch {
    struct message *message; /* one reference */
    uint64_t index_version;  /* of the topic index when it was routed */
    uint32_t count;
    struct delivery deliveries[];
};

void dispatch_free(struct dispatch *dispatch);

/* Publishes a message of the broker's own or a Will Message: records, routes, delivers. Its
 * `stored` fields but the number are set. */
void publish_message(struct worker *worker, struct message *message);

/* The same for what the broker says of itself: retained, never stored. QoS 0 only. */
void publish_volatile(struct worker *worker, struct message *message);

/* Delivers one retained message to one session because of a new subscription. */
void publish_retained_to(struct worker *worker, struct session *session, struct message *retained,
                         uint8_t qos, bool retain, uint32_t subscription_identifier);

/* ---- From the waiting queue ---- */

/* `session` or `connection` are NULL when they are gone; the dispatch (taken) is carried out all
 * the same: its rows are durable. */
void publish_inbound_stored(struct worker *worker, struct session *session,
                            struct connection *connection, uint16_t packet_identifier,
                            uint8_t reason_code, struct dispatch *dispatch);
void publish_inbound_erased(struct worker *worker, struct session *session,
                            struct connection *connection, uint16_t packet_identifier);
/* PUBACK, PUBREC, PUBCOMP leave now; frees the slot of our Receive Maximum where they do. */
void publish_acknowledge_now(struct connection *connection, enum packet_type type,
                             uint16_t packet_identifier, uint8_t reason_code);

/* Deliveries from another worker. */
void publish_deliver(struct worker *worker, struct message *message, struct delivery *deliveries,
                     uint32_t count);

#endif
