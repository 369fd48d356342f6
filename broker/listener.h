/* Listening sockets: opened before the workers start, accepted from by all of them. */
#ifndef BROKER_LISTENER_H
#define BROKER_LISTENER_H

#include "broker/broker.h"

/* Opens the sockets of every configured listener (a host name or "*" may give several). */
enum status MUST_USE listeners_open(struct broker *broker, char *error, size_t error_size);
void listeners_close(struct broker *broker);

/* Accepts what waits, for this worker. */
void listener_accept(struct worker *worker, struct listener *listener);

/* Counts connections against max_connections; any thread. */
void listener_count(struct listener *listener, int change);

#endif
