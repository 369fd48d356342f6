/* What a worker counts. Written by its thread alone, next to each other and to nothing that others
 * write, so that counting costs no traffic between cores; read and added up by whoever publishes
 * $SYS or the metrics (metrics/). */
#ifndef BROKER_COUNTERS_H
#define BROKER_COUNTERS_H

#include "base/counter.h"
#include "base/distribution.h"
#include "broker/drop.h"

struct broker;

/* The last four stand at something, and go down again. */
#define COUNTERS_LIST(X)                                                                           \
    X(messages_received)                                                                           \
    X(messages_sent)                                                                               \
    X(bytes_received)                                                                              \
    X(bytes_sent)                                                                                  \
    X(connections_accepted)                                                                        \
    X(subscriptions_denied)                                                                        \
    X(tls_handshakes_done)                                                                         \
    X(tls_handshakes_failed)                                                                       \
    X(queues_near_full)                                                                            \
    X(clients_connected)                                                                           \
    X(sessions)                                                                                    \
    X(queued_bytes)

enum {
    COUNTERS_QOS = 3,
    COUNTERS_REFUSALS = 0x23, /* Reason Codes 0x80 to 0xA2 */
    COUNTERS_AGE_MS = 16,     /* the highest bound of queue_age is 37 hours */
};

struct worker_counters {
#define X(name) _Atomic uint64_t name;
    COUNTERS_LIST(X)
#undef X
    _Atomic uint64_t publish_received[COUNTERS_QOS];
    _Atomic uint64_t publish_sent[COUNTERS_QOS];
    _Atomic uint64_t dropped[DROP_COUNT];
    _Atomic uint64_t connects_refused[COUNTERS_REFUSALS]; /* by Reason Code - 0x80 */
    struct distribution turn_us;                          /* of the loop, without its waiting */
    struct distribution queue_age; /* of what had to wait in a queue, in COUNTERS_AGE_MS */
};

/* Of all workers: the number at `offset` in struct worker_counters. Any thread. */
uint64_t counters_sum_at(const struct broker *broker, size_t offset);
#define COUNTERS_SUM(broker, field) counters_sum_at(broker, offsetof(struct worker_counters, field))
/* Of an array in it. */
#define COUNTERS_SUM_OF(broker, field, index)                                                      \
    counters_sum_at(broker,                                                                        \
                    offsetof(struct worker_counters, field) + (index) * sizeof(_Atomic uint64_t))

#endif
