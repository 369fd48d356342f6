/* What a Topic Name matches, as the index holds it: not yet merged by session. Between
 * topic_index.c, which finds it, and route.c, which makes routes of it. */
#ifndef BROKER_TOPIC_MATCH_H
#define BROKER_TOPIC_MATCH_H

#include "routing/topic_index.h"
#include "routing/topic_table.h"

/* One subscription that is not shared. */
struct topic_match {
    void *session;
    uint64_t incarnation;
    uint64_t packed; /* home << 48 | options << 32 | Subscription Identifier */
};

static inline uint16_t topic_match_home(const struct topic_match *match)
{
    return (uint16_t)(match->packed >> 48);
}

static inline uint8_t topic_match_options(const struct topic_match *match)
{
    return (uint8_t)(match->packed >> 32);
}

static inline uint32_t topic_match_identifier(const struct topic_match *match)
{
    return (uint32_t)match->packed;
}

/* Grows as needed and is used again; all zero is empty. */
struct topic_matches {
    struct topic_match *matches;
    struct subscriber *members; /* of shared subscriptions, one group after another */
    uint32_t *group_ends;       /* behind the last member of each group */
    const struct topic_node **nodes[2];
    uint32_t match_count, match_capacity;
    uint32_t member_count, member_capacity;
    uint32_t group_count, group_capacity;
    uint32_t node_count[2], node_capacity[2];
};

/* Replaces what `out` held. Online readers; `topic` is a valid Topic Name. */
enum status MUST_USE topic_index_match(const struct topic_index *index, struct bytes topic,
                                       struct topic_matches *out);
/* Whether what the topic matches may differ between two versions of the index, `to` being one that
 * topic_index_version() or topic_index_begun() has given. */
bool topic_index_changes_concern(const struct topic_index *index, uint64_t from, uint64_t to,
                                 struct bytes topic);

/* The version, or the one that a change under way will make: nothing later has been seen. */
uint64_t topic_index_begun(const struct topic_index *index);
/* No changes in between. */
void topic_index_hold(struct topic_index *index);
void topic_index_release(struct topic_index *index);

/* The key that names are hashed with. */
struct topic_hash_key topic_index_hash_key(const struct topic_index *index);
void topic_matches_fini(struct topic_matches *matches);

#endif
