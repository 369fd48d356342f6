/* What cases on PUBLISH and its acknowledgements are made of: single steps of an exchange, and
 * clients in the roles that come up again and again. */
#ifndef CONFORMANCE_EXCHANGE_H
#define CONFORMANCE_EXCHANGE_H

#include "conformance/harness/case.h"

/* How long the stored sessions of these cases live; the harness ends them with the case. */
enum { EXCHANGE_EXPIRY_S = 300 };

/* A PUBLISH without DUP, RETAIN and properties; its identifier is still to be given. */
struct packet exchange_publish(struct text topic, struct text payload, uint8_t qos);

/* Sends PUBACK, PUBREC, PUBREL or PUBCOMP; in the two-byte form where the code is 0. */
void exchange_answer(struct client *client, enum packet_type type, uint16_t packet_id,
                     uint8_t reason_code);

/* The very next packet is this acknowledgement, for this identifier, and it is positive. Where a
 * PUBLISH may come first, expect_answer() is for it. */
struct packet exchange_expect(struct client *client, enum packet_type type, uint16_t packet_id);

/* PUBREL and what it is answered with. */
void exchange_release(struct client *client, uint16_t packet_id);

/* A connected client with that subscription; the second one's session outlives its connection. */
struct client *exchange_subscriber(struct test *test, const char *role, struct text filter,
                                   uint8_t options);
struct client *exchange_stored_subscriber(struct test *test, const char *role, struct text filter,
                                          uint8_t options);

/* Comes back to its stored session, which has to be there. */
void exchange_return(struct client *client);

/* 5.0: the same with limits of its own; 0: not given. */
void exchange_return_limited(struct client *client, uint16_t receive_maximum,
                             uint32_t maximum_packet_size);

/* The server has read everything that the client sent. Whatever came meanwhile is passed over, and
 * the server may have closed the connection: then false. */
bool exchange_settle(struct client *client);

/* How long a packet is on the wire. */
size_t exchange_size(enum version version, const struct packet *packet);

/* The QoS, unless the server allows less. */
uint8_t exchange_qos(const struct test *test, uint8_t qos);

/* Publishes messages "first", "first + 1", ... with several on their way at once, as many as the
 * server's Receive Maximum and `window` allow, and goes through all their exchanges. Returns how
 * many acknowledgements came in another order than their packets. */
unsigned exchange_publish_numbered(struct client *client, struct text topic, uint8_t qos,
                                   unsigned first, unsigned count, unsigned window);

/* Takes and acknowledges messages that exchange_publish_numbered() sent, in their order. */
void exchange_take_numbered(struct client *client, struct text topic, unsigned first,
                            unsigned count);

#endif
