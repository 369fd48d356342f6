/* What the proxy notes of packets that pass: sessions, subscriptions, exchanges, messages. It sees
 * them as they came, before the fault does. */
#ifndef CONFORMANCE_FAULT_BOOK_H
#define CONFORMANCE_FAULT_BOOK_H

#include "conformance/fault/fault.h"

/* Whether the packet belongs to an exchange that the proxy plays itself: it ends here, answered. */
bool book_ends_client(struct link *link, const struct packet *packet);
bool book_ends_server(struct link *link, const struct packet *packet);

void book_client(struct link *link, struct passing *passing);
void book_server(struct link *link, struct passing *passing);
/* The client's packet, as it came, has been dealt with. */
void book_client_after(struct link *link, const struct packet *packet);
/* Either side has closed. */
void book_leave(struct link *link);

#endif
