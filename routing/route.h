/* Routes: what a Topic Name resolves to, merged by session and remembered by each worker. */
#ifndef BROKER_ROUTE_H
#define BROKER_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct subscriber;
struct topic_index;

/* One session that matches by one or more subscriptions that are not shared. */
struct route_target {
    void *session;
    uint64_t incarnation;
    uint16_t home;
    uint8_t qos;              /* the maximum of all that match [MQTT-3.3.4-2] */
    bool retain_as_published; /* of any */
    bool has_no_local;        /* any match has No Local: see route_target_without_no_local */
    uint32_t subscription_identifier_count;
    const uint32_t *subscription_identifiers; /* of all that match [MQTT-3.3.4-4] */
};

struct route_group { /* one shared subscription: one of its members gets the message */
    const struct subscriber *members;
    uint32_t count;
};

struct route {
    uint64_t version; /* of the index: of its subscriptions neither one more nor one less */
    uint32_t target_count, group_count;
    const struct route_target *targets; /* sorted by home, then session */
    const struct route_group *groups;
};

/* A worker's memory of routes. Used by that worker's thread alone. */
struct route_cache;
struct route_cache *route_cache_new(struct topic_index *index, uint32_t capacity);
void route_cache_free(struct route_cache *cache);

/* The route of a topic: from memory when the index has not changed, else matched anew. Valid until
 * the next call or until the thread reports a quiescent state. NULL: no memory. */
const struct route *route_find(struct route_cache *cache, struct bytes topic_name);

/* For the publisher's own session: what is left of `target` without its No Local subscriptions
 * [MQTT-3.8.3-3]. False: nothing. Identifiers are valid as long as the route. */
bool route_target_without_no_local(struct route_cache *cache, const struct route *route,
                                   const struct route_target *target, struct route_target *out);

#endif
