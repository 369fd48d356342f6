/* What a server owes its clients: a small model, written from the specification.
 *
 * It is told what clients did and what they saw, and says where what they saw is not allowed. It is
 * pure: no clock, no socket, and nothing of any broker's tables. Everything the specification
 * leaves to the server is allowed: a message at QoS 0 may be lost; overlapping subscriptions may
 * give one copy or one each; what a client sent last before its connection broke may have been
 * heard or not. */
#ifndef CONFORMANCE_REFERENCE_H
#define CONFORMANCE_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "conformance/wire/packet.h"

enum { MODEL_CLIENTS = 3, MODEL_TOPICS = 4, MODEL_FILTERS = 7 };

/* Below a prefix that is a history's own. */
extern const char *const model_topics[MODEL_TOPICS];
extern const char *const model_filters[MODEL_FILTERS];

struct reference;

struct reference *reference_new(enum version version);
void reference_free(struct reference *reference);

/* ---- What clients did. `client` is below MODEL_CLIENTS. ---- */

/* CONNACK 0 came. The answer: NULL, or what is wrong with Session Present. */
const char *reference_connected(struct reference *reference, unsigned client, bool clean_start,
                                bool stored, bool session_present);
/* The connection is over. `heard`: the server has taken in all that the client sent. */
void reference_left(struct reference *reference, unsigned client, bool heard);
/* The server ended and started again; every connection is over. */
void reference_outage(struct reference *reference);
/* PINGRESP came: all that the client sent before PINGREQ was taken in. */
void reference_heard(struct reference *reference, unsigned client);

/* SUBACK granted `options`' QoS; `retain_handling` as in the Subscription Options. */
void reference_subscribed(struct reference *reference, unsigned client, unsigned filter,
                          uint8_t options);
void reference_unsubscribed(struct reference *reference, unsigned client, unsigned filter);

/* A PUBLISH is about to leave; returns the message's number, 1 and up: its payload. */
unsigned reference_publish(struct reference *reference, unsigned client, unsigned topic,
                           uint8_t qos, bool retain);
/* The connection broke before the server acknowledged: it may have the message or not. */
void reference_publish_cut(struct reference *reference, unsigned message);
/* It is about to leave again, with DUP, on a later connection of the same session. */
void reference_publish_again(struct reference *reference, unsigned message);
/* PUBACK or PUBCOMP came: it has to go to whoever subscribed. (At QoS 2 a server may pass it on at
 * PUBLISH or at PUBREL.) */
void reference_publish_owned(struct reference *reference, unsigned message);

/* PUBACK, PUBREC or PUBCOMP leaves for what this packet identifier stands for. */
void reference_acknowledges(struct reference *reference, unsigned client, enum packet_type type,
                            uint16_t packet_id);

/* ---- What clients saw: NULL, or a sentence that lives until the next call ---- */

const char *reference_saw_publish(struct reference *reference, unsigned client, unsigned topic,
                                  unsigned message, const struct packet *publish);
const char *reference_saw_pubrel(struct reference *reference, unsigned client, uint16_t packet_id);

/* What a connected client must still get, as a sentence; NULL: nothing. */
const char *reference_owes(struct reference *reference, unsigned client);

/* The statement of the last sentence, in the version's numbering; "" where a section says it. */
const char *reference_statement(const struct reference *reference);

bool reference_topic_matches(const char *filter, const char *topic);

#endif
