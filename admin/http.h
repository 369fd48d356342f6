/* The HTTP listener of `admin { http = ... }`: /metrics, /health, and the verbs (verbs/verb.def)
 * for those who have the token. Some connections at a time, each with a thread of its own, for one
 * request and for the time that door.h says. /metrics and /health ask no worker. */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include "base/status.h"
#include "broker/broker.h"

struct http;

/* Listens where the configuration says; `*out` is NULL where it says nothing, or it is not to be
 * had, which is logged: a broker that cannot be looked at still serves. */
enum status MUST_USE http_open(struct broker *broker, struct http **out);
/* Before the workers end. NULL is nothing. */
void http_close(struct http *http /* takes */);

/* Whether what the configuration names can be used. `error` says in one line what is wrong. */
enum status MUST_USE http_check(const struct config *config, char *error, size_t error_size);

#endif
