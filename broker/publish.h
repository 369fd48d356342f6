/* An incoming PUBLISH and its acknowledgements: checks, and the inbound QoS 2 machine. The handlers
 * are declared in connection.h. */
#ifndef BROKER_PUBLISH_H
#define BROKER_PUBLISH_H

#include "broker/dispatch.h"
#include "protocol/packet.h"

struct session;
struct connection;

/* Each level of a topic costs memory in shared trees: more than this are refused. */
enum { TOPIC_LEVELS_MAX = 200 };

/* Why a Client may not publish to a topic, be it by a Will Message; or 0. */
uint8_t publish_topic_refusal(struct bytes topic);

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

#endif
