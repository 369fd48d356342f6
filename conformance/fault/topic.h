/* Topic Names and Topic Filters, as far as faults look into them (5.0 section 4.7). */
#ifndef CONFORMANCE_FAULT_TOPIC_H
#define CONFORMANCE_FAULT_TOPIC_H

#include "conformance/wire/packet.h"

/* "$share/NAME/FILTER" -> FILTER, anything else itself. */
struct text topic_without_share(struct text filter);
bool topic_is_shared(struct text filter);
bool topic_has_wildcard(struct text filter);

/* Whether the filter, without its $share, matches the name. */
bool topic_matches(struct text filter, struct text name);

/* The levels between the slashes: takes the first off `*rest`; false when none is left. Start with
 * `*rest` the whole and `*more` true. */
bool topic_next_level(struct text *rest, bool *more, struct text *level);

#endif
