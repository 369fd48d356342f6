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
 * [MQTT-3.3.1-6]; `message` still decides by its number. */
enum status MUST_USE retained_set(struct retained *retained, struct message *message);

/* Calls `visit` for each retained message whose topic matches the plain filter; the message is
 * borrowed: hold it to keep it. */
void retained_match(struct retained *retained, struct bytes filter,
                    void (*visit)(void *context, struct message *message), void *context);

/* Whether this very message is the one of its topic now. */
bool retained_is_current(const struct retained *retained, const struct message *message);

/* The number of the message that the topic has, or of the removal of its last one; 0: neither is
 * known. */
uint64_t retained_number(const struct retained *retained, struct bytes topic);

/* How many removals decide by their number against messages that are set late; 16384 at first. */
void retained_limit_removals(struct retained *retained, uint32_t limit);

uint64_t retained_count(const struct retained *retained);

#endif
