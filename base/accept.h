/* What accept() says. Any thread. */
#ifndef BASE_ACCEPT_H
#define BASE_ACCEPT_H

#include <errno.h>
#include <stdbool.h>

/* Whether it failed for want of descriptors or memory: who waits goes on waiting, and nothing tells
 * when there is room. */
static inline bool accept_lacks_room(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

#endif
