/* UTF-8 Encoded Strings, Topic Names and Topic Filters (5.0 sections 1.5.4, 4.7, 4.8). */
#ifndef PROTOCOL_TOPIC_H
#define PROTOCOL_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

/* Well-formed UTF-8 without U+0000 and surrogates [MQTT-1.5.4-1] [MQTT-1.5.4-2]. On false,
 * `*out_offset` is the first offending byte. */
bool utf8_validate(struct bytes text, size_t *out_offset);

/* A Topic Name: valid UTF-8, at least one character, no wildcards [MQTT-3.3.2-2] [MQTT-4.7.3-1]. */
bool topic_name_validate(struct bytes name, size_t *out_offset);

enum topic_filter_kind {
    TOPIC_FILTER_INVALID,
    TOPIC_FILTER_PLAIN,
    TOPIC_FILTER_SHARED, /* $share/{ShareName}/{filter} [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
};

struct topic_filter {
    enum topic_filter_kind kind;
    struct bytes share_name; /* SHARED only */
    struct bytes filter;     /* what topics are matched against */
    bool has_wildcard;
};

/* `shared_subscriptions` is false for 3.x clients on brokers that keep them from $share; then
 * "$share/..." is a plain filter. The text is already valid UTF-8. On TOPIC_FILTER_INVALID,
 * `*out_offset` is the first offending byte. */
struct topic_filter topic_filter_parse(struct bytes text, bool shared_subscriptions,
                                       size_t *out_offset);

/* The number of its levels: "a/b" has two. */
size_t topic_levels(struct bytes topic);

/* Does this plain filter match this name (4.7)? The slow, obvious way, one call a filter: the
 * broker's index does it for all filters at once. Filters starting with a wildcard do not match
 * names starting with $ [MQTT-4.7.2-1]. */
bool topic_filter_matches(struct bytes filter, struct bytes name);

#endif
