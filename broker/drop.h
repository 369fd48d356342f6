/* What is not delivered, and why: counted for the broker and for the session, and said in the log
 * (promise 5). On the thread of the session's worker. */
#ifndef BROKER_DROP_H
#define BROKER_DROP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct worker;
struct session;
struct message;

/* Name, its topic below $SYS/broker/publish/messages/dropped, what became of the message, why. */
#define DROP_LIST(X)                                                                               \
    X(EXPIRED, "expired", "dropped", "Message Expiry Interval passed [MQTT-3.3.2-5]")              \
    X(QUEUE_FULL, "queue_full", "dropped", "the queue is full")                                    \
    X(STORE_FULL, "store_full", "dropped",                                                         \
      "the store is nearly full, and the session has more than its share")                         \
    X(TOO_LARGE, "too_large", "dropped", "larger than the Client's Maximum Packet Size")           \
    X(SLOW_CONSUMER, "slow_consumer", "dropped", "QoS 0, and the Client reads too slowly")         \
    X(CLIENT_GONE, "client_gone", "dropped", "QoS 0, and the connection ended before its turn")    \
    X(CLIENT_REFUSED, "client_refused", "dropped", "the Client answered with an error")            \
    X(SESSION_ENDED, "session_ended", "dropped", "the Session ended")                              \
    X(NOT_READABLE, "not_readable", "withheld", "the Client may not read this topic")              \
    X(NO_LONGER_AUTHORISED, "no_longer_authorised", "dropped",                                     \
      "the Client is not, or no longer authorised to read this topic")                             \
    X(NOT_AUTHORISED, "not_authorised", "refused", "publishing to this topic is not allowed")      \
    X(NOT_RETAINED, "not_retained", "not retained", "there are as many as there may be")           \
    X(STORE_REFUSED, "store_refused", "refused", "the store takes no more messages")               \
    X(STORE_DAMAGED, "store_damaged", "dropped", "the body could not be read back from the store")

enum drop_reason {
#define X(name, topic, verb, text) DROP_##name,
    DROP_LIST(X)
#undef X
        DROP_COUNT
};

/* A session's part, from its first drop on. */
struct drops {
    struct list list; /* of the worker's `dropping`, while something is unsaid */
    struct session *session;
    uint64_t said_ms;
    uint64_t count[DROP_COUNT];
    uint64_t unsaid[DROP_COUNT];
};

/* One message, or `count` of them, of this session. The first is said at once, further ones within
 * DROP_SAY_MS together; and of all sessions of a worker no more than DROP_LINES in that time. */
void drop_one(struct worker *worker, struct session *session, enum drop_reason reason);
void drop_many(struct worker *worker, struct session *session, enum drop_reason reason,
               uint64_t count);
/* The same, of which the message is known. */
void drop_message(struct worker *worker, struct session *session, enum drop_reason reason,
                  const struct message *message);
/* Of a session that is gone, or of none: counted for the broker alone. */
void drop_unnamed(struct worker *worker, enum drop_reason reason);

/* Whether one more line about a session may be said now. */
bool drop_may_say(struct worker *worker);

/* The session ends: says what is unsaid, and frees. */
void drop_fini(struct worker *worker, struct session *session);

/* For the timer of the worker. */
void drop_start(struct worker *worker);

/* What becomes of such a message, and why. */
const char *drop_verb(enum drop_reason reason);
const char *drop_text(enum drop_reason reason);
/* Topic below $SYS/broker/publish/messages/dropped. */
const char *drop_topic(enum drop_reason reason);

#endif
