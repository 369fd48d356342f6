/* Room in a session's queue, promised by publishers on any worker (rule 22; docs/decisions/0007).
 *
 * Far from its limits a session has room, and nobody counts. Near one (SESSION_FACT_NEAR) its home
 * says in `left` how much it has, and a publisher takes of that before it records what the session
 * is owed; what it has taken stands in `reserved` until the home has the message in its queue. So a
 * message that was promised room always gets it, and the limit is kept by all workers together.
 *
 * `left` is written by the home. `reserved` belongs to the slot and not to the session in it: every
 * delivery that has taken room is given back by whoever disposes of it, also when the session it
 * was for has ended. */
#ifndef BROKER_ROOM_H
#define BROKER_ROOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct room {
    _Atomic uint64_t left_messages, left_bytes;
    _Atomic uint64_t reserved_messages, reserved_bytes;
};

/* Home. Before a room_give_back() for what has taken its place in the queue. */
static inline void room_set_left(struct room *room, uint64_t messages, uint64_t bytes)
{
    atomic_store_explicit(&room->left_messages, messages, memory_order_release);
    atomic_store_explicit(&room->left_bytes, bytes, memory_order_release);
}

/* Whether something may still be taken, as far as can be seen. */
static inline bool room_is_left(const struct room *room)
{
    return atomic_load_explicit(&room->reserved_messages, memory_order_relaxed) <
               atomic_load_explicit(&room->left_messages, memory_order_relaxed) &&
           atomic_load_explicit(&room->reserved_bytes, memory_order_relaxed) <
               atomic_load_explicit(&room->left_bytes, memory_order_relaxed);
}

static inline void room_give_back(struct room *room, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&room->reserved_messages, 1, memory_order_release);
    atomic_fetch_sub_explicit(&room->reserved_bytes, bytes, memory_order_release);
}

/* Room for one message; a last one may exceed the limit of bytes. False: there is none, and none
 * was taken. */
static inline bool room_take(struct room *room, uint64_t bytes)
{
    uint64_t messages =
        atomic_fetch_add_explicit(&room->reserved_messages, 1, memory_order_acquire);
    uint64_t before = atomic_fetch_add_explicit(&room->reserved_bytes, bytes, memory_order_acquire);
    if (messages < atomic_load_explicit(&room->left_messages, memory_order_acquire) &&
        before < atomic_load_explicit(&room->left_bytes, memory_order_acquire))
        return true;
#ifdef SEEDED_BUG_ROOM_FOR_ALL
    if (atomic_load(&room->left_messages) > 0 && atomic_load(&room->left_bytes) > 0)
        return true;
#endif
    room_give_back(room, bytes);
    return false;
}

#endif
