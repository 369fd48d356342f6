/* Retained messages by Topic Name (5.0 section 3.3.1.3), one set for the process.
 *
 * Replacing the message of a topic that has one takes no lock; a new topic or the last of one takes
 * a mutex. Setters and readers are online readers of routing/reclaim.h. Of two workers that set the
 * same topic, the message with the higher number stays, as in the store. */
#ifndef BROKER_RETAINED_H
#define BROKER_RETAINED_H

#include "base/hash.h"
#include "routing/message.h"

struct retained;

struct retained *retained_new(const struct hash_key *key);
void retained_free(struct retained *retained);

/* Sets the message (takes a reference of its own), or with an empty payload removes what is there
 * [MQTT-3.3.1-6]. It decides by its number against those that are claimed or set. */
enum status MUST_USE retained_set(struct retained *retained, struct message *message);

/* A publish that replaces or removes a retained message has two steps: it claims the topic with the
 * number that it will be recorded under, and when that has been carried out it is set. False: a
 * copy with a higher number has been made meanwhile, or a removal, of whatever message; take a
 * higher one, claim again, and only then record it. */
bool MUST_USE retained_claim(struct retained *retained, struct message *message, uint64_t number);

/* Before the current retained message is recorded under `number` as owed to one session. False: one
 * that is to replace it is recorded already, under `*out_claimed`, and a copy would come behind it
 * at a restart. What this is asked of was asked for before that one was routed, so it comes live.
 */
bool MUST_USE retained_copy(struct retained *retained, const struct message *message,
                            uint64_t number, uint64_t *out_claimed);

/* Calls `visit` for each retained message whose topic matches the plain filter; the message is
 * borrowed: hold it to keep it. */
void retained_match(struct retained *retained, struct bytes filter,
                    void (*visit)(void *context, struct message *message), void *context);

/* Whether this very message is the one of its topic now. False from just before another one, or a
 * removal, takes its place: whoever knows of that one, from whichever thread, finds it so. */
static inline bool retained_is_current(const struct message *message)
{
    return atomic_load_explicit(&message->current, memory_order_relaxed);
}

/* How many there are; and without those below $SYS, with their bytes (topic, properties, payload).
 */
uint64_t retained_count(const struct retained *retained);
struct retained_usage {
    uint64_t messages, bytes;
};
struct retained_usage retained_usage(const struct retained *retained);

/* Looks at the next `places` of all there are, from `*cursor` on (0: the first; 0 again at the
 * end), and calls `visit` for each message there, borrowed as above. A set that grows meanwhile may
 * keep some from one round. */
void retained_walk(const struct retained *retained, uint64_t *cursor, uint32_t places,
                   void (*visit)(void *context, struct message *message), void *context);

/* How many have a Message Expiry Interval. */
uint64_t retained_expiring(const struct retained *retained);
/* Looks at the next `places` of all there are, from `*cursor` on (0: the first; 0 again when it has
 * come round), and removes those messages whose interval has passed. `removed` is told of each. One
 * thread at a time. */
void retained_expire(struct retained *retained, uint64_t *cursor, uint32_t places,
                     int64_t store_now_ms,
                     void (*removed)(void *context, const struct message *message), void *context);

/* Whether the topic has a retained message. */
bool retained_has(const struct retained *retained, struct bytes topic);

#endif
