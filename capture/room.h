/* Memory that all connections of a capture share: what is in a capture is not trusted to be small.
 */
#ifndef CAPTURE_ROOM_H
#define CAPTURE_ROOM_H

#include <stdbool.h>
#include <stddef.h>

struct room {
    size_t left; /* bytes */
};

/* False: there is not so much of it any more, and nothing is taken. */
static inline bool room_take(struct room *room, size_t size)
{
    if (size > room->left)
        return false;
    room->left -= size;
    return true;
}

static inline void room_give(struct room *room, size_t size)
{
    room->left += size;
}

#endif
