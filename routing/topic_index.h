/* Subscriptions of all sessions, matched against Topic Names (5.0 sections 4.7, 4.8).
 *
 * One index for the process. Readers (the workers, registered with liburcu QSBR through
 * routing/reclaim.h) match without locks while they are online; changes take one mutex, never wait
 * for readers and free replaced memory by deferred reclamation. `session` pointers are opaque here:
 * they name memory that is never unmapped, and `incarnation` says whether it is still the same
 * session. */
#ifndef BROKER_TOPIC_INDEX_H
#define BROKER_TOPIC_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

struct topic_index;
struct topic_index_entry; /* a subscription's place, held by its session */

struct subscriber {
    void *session;
    uint64_t incarnation;
    uint32_t subscription_identifier; /* 0: none */
    uint16_t home;                    /* worker */
    uint32_t group;                   /* of a shared subscription: the caller's number for it */
    uint8_t options;                  /* the Subscription Options byte: QoS, NL, RAP, RH */
};

struct topic_index *topic_index_new(const struct hash_key *key);
void topic_index_free(struct topic_index *index); /* no readers left */

/* Adds a subscription; share_name is empty for one that is not shared. The caller knows that this
 * session has no subscription with the same filter and share name. `*out_version`: the version that
 * this made; the subscription is in each route of that one and later, and in none of an earlier. */
enum status MUST_USE topic_index_add(struct topic_index *index, struct bytes share_name,
                                     struct bytes filter, const struct subscriber *subscriber,
                                     struct topic_index_entry **out, uint64_t *out_version);
/* Replaces options and identifier in place: no message is lost or doubled meanwhile
 * [MQTT-3.8.4-4]. Returns the version that this made. */
uint64_t topic_index_change(struct topic_index *index, struct topic_index_entry *entry,
                            uint8_t options, uint32_t subscription_identifier);
void topic_index_remove(struct topic_index *index, struct topic_index_entry *entry /* takes */);

/* Rises with every change, after it is visible. */
uint64_t topic_index_version(const struct topic_index *index);
uint64_t topic_index_count(const struct topic_index *index);

#include "routing/route.h" /* what a Topic Name resolves to */

#endif
