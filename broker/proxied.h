/* Connections that come through load balancers, who say whose they are (PROXY protocol). */
#ifndef BROKER_PROXIED_H
#define BROKER_PROXIED_H

#include <stdbool.h>

#include "base/status.h"

struct address;
struct connection;
struct listener;

/* Whose word is taken: of `proxy_from`, for as long as the listener is open. */
enum status MUST_USE proxied_open(struct listener *listener);
void proxied_close(struct listener *listener);
/* Any thread. */
bool proxied_trusts(const struct listener *listener, const struct address *peer);

/* Of a connection that `awaits_proxy`, on the thread of its worker: reads the header and nothing
 * behind it, and puts the address that it names in the place of the balancer's. False: it has not
 * come yet, or the connection is closed. */
bool proxied_read(struct connection *connection);

#endif
