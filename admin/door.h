/* The listening socket of the HTTP server: a thread that accepts, hands over, and ends connections
 * whose time is up.
 *
 * A connection has ten seconds for its request, and ten to take the answer, however busy it looks
 * meanwhile. Without descriptors the thread waits for some instead of being woken for ever. */
#ifndef ADMIN_DOOR_H
#define ADMIN_DOOR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/status.h"

struct door;
struct door_visit;

/* Takes the socket, which does not block, where it returns OK. `enter` is given each connection,
 * and takes it: it calls door_came() when it keeps it. On the door's thread. */
enum status MUST_USE door_open(int fd,
                               void (*enter)(void *context, int fd, const struct sockaddr *address,
                                             socklen_t size),
                               void *context, struct door **out);
/* Nobody enters any more, and no time is up any more; visits may still end. */
void door_lock(struct door *door);
/* When all visits have ended. NULL is nothing. */
void door_close(struct door *door);

/* From any thread. NULL: there is no room. */
struct door_visit *door_came(struct door *door, int fd);
/* Its request is being answered: it takes as long as that takes. Or: its time begins anew. */
void door_rests(struct door_visit *visit, bool rests);
/* Before its descriptor is closed. NULL is nothing. */
void door_left(struct door_visit *visit);

#endif
