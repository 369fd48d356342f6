/* The flight recorder: the last things that happened to a session, for holdfast why.
 *
 * Each worker has a fixed number of short rings. A session uses the one that its hash points to and
 * takes it over from another that has; so it costs no memory of the session's, its size does not
 * depend on how many there are, and of sessions that share a ring the one to which something
 * happened last is remembered. On the thread of the session's worker. */
#ifndef BROKER_RECORDER_H
#define BROKER_RECORDER_H

#include "broker/session.h"

enum { RECORDER_RINGS = 4096, RECORDER_ENTRIES = 15 };

/* Beside the machines' numbers. */
enum recorder_kind {
    RECORDER_DROP = FSM_MACHINE_COUNT, /* `state` is an enum drop_reason */
    RECORDER_NO_LOCAL,                 /* it published what its own subscription keeps from it */
};

struct recorder_entry {
    uint32_t at_ms;    /* boot clock, cut off */
    uint32_t topic;    /* recorder_topic(); 0: not known */
    uint32_t instance; /* as for transition_step() */
    uint8_t kind;      /* enum fsm_machine_number or enum recorder_kind */
    uint8_t state, event;
    uint8_t unused;
};

struct recorder_ring {
    struct session *session; /* NULL: unused; a slot, which may have another session by now */
    uint32_t incarnation;    /* its lower half, which tells */
    uint16_t next, count;
    struct recorder_entry entries[RECORDER_ENTRIES];
};

struct recorder_ring *recorder_new(void); /* RECORDER_RINGS of them, or NULL */

static inline struct recorder_ring *recorder_ring(const struct worker *worker,
                                                  const struct session *session)
{
    return &worker->recorder[session->hash % RECORDER_RINGS];
}

static inline bool recorder_is_of(const struct recorder_ring *ring, const struct session *session)
{
    return ring->session == session && ring->incarnation == (uint32_t)session->incarnation;
}

static inline void recorder_add(struct worker *worker, const struct session *session, uint8_t kind,
                                uint8_t state, uint8_t event, uint32_t instance)
{
    struct recorder_ring *ring = recorder_ring(worker, session);
    if (!recorder_is_of(ring, session)) {
        ring->session = (struct session *)session;
        ring->incarnation = (uint32_t)session->incarnation;
        ring->next = ring->count = 0;
    }
    ring->entries[ring->next] =
        (struct recorder_entry){(uint32_t)worker->now_ms, 0, instance, kind, state, event, 0};
    ring->next = ring->next + 1 < RECORDER_ENTRIES ? ring->next + 1 : 0;
    ring->count += ring->count < RECORDER_ENTRIES;
}

/* Which topic: never 0. Two may share a value; what is said of one says "probably" then. */
static inline uint32_t recorder_topic(struct bytes topic)
{
    uint64_t hash = topic.size + 1;
    size_t at = 0;
    uint64_t part;
    for (; at + sizeof part <= topic.size; at += sizeof part) {
        memcpy(&part, topic.data + at, sizeof part);
        hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    if (at < topic.size && at > 0) { /* the last eight, some of them once more */
        memcpy(&part, topic.data + topic.size - sizeof part, sizeof part);
        return (uint32_t)((hash ^ part) * 0x9e3779b97f4a7c15u >> 32) | 1;
    }
    for (; at < topic.size; at++)
        hash = (hash ^ topic.data[at]) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(hash >> 32) | 1;
}

/* The topic of what was added last. */
static inline void recorder_name_topic(struct worker *worker, const struct session *session,
                                       struct bytes topic)
{
    struct recorder_ring *ring = recorder_ring(worker, session);
    if (recorder_is_of(ring, session) && ring->count > 0)
        ring->entries[(ring->next > 0 ? ring->next : RECORDER_ENTRIES) - 1].topic =
            recorder_topic(topic);
}

/* The i-th oldest entry. */
static inline const struct recorder_entry *recorder_at(const struct recorder_ring *ring, unsigned i)
{
    return &ring->entries[(ring->next + RECORDER_ENTRIES - ring->count + i) % RECORDER_ENTRIES];
}

#endif
