/* What is kept of the input of those who have not connected: parts of a CONNECT, and CONNECTs whose
 * password is being tried or that wait for an exchange's end. Nobody knows yet who they are, so
 * that a worker keeps little of it.
 *
 * Where it becomes too much, those who hold more than a usual CONNECT are sent away, the oldest of
 * them first: an honest Client has sent its CONNECT within a round trip or two, and one that holds
 * on is the longer there the less it means to connect. Refusing the newest instead would let
 * whoever holds on keep everybody out. On the thread of the connection's worker. */
#ifndef BROKER_EARLY_INPUT_H
#define BROKER_EARLY_INPUT_H

struct connection;

/* The input or the state of a connection has changed. May close others, and this one. */
void early_input_changed(struct connection *connection);
/* It leaves the worker. */
void early_input_leave(struct connection *connection);

#endif
