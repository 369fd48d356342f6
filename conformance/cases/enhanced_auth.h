/* Steps of an authentication exchange, with whatever method the user has declared. */
#ifndef CONFORMANCE_ENHANCED_AUTH_H
#define CONFORMANCE_ENHANCED_AUTH_H

#include "conformance/cases/refusal.h"

/* A CONNECT with the method and the first of what it has to say. */
struct packet auth_connect(struct client *client, struct authentication *declared);
/* An AUTH; `data` NULL: without Authentication Data. */
struct packet auth_packet(struct text method, uint8_t code, struct text data);

/* The next packet, where AUTH may only say 0x18 or 0x00. False: the connection was closed. */
bool auth_receive(struct client *client, struct packet *out);
/* Answers every AUTH that wants more until something else comes. False: the connection was closed.
 */
bool auth_exchange(struct client *client, struct authentication *declared, struct packet *last);

/* A client that the server has accepted by that method. */
struct client *auth_connected(struct test *test, struct authentication *declared);
/* The last packet of an exchange refuses, and the connection is closed. */
void auth_want_refusal(struct client *client, const struct packet *last);

#endif
