/* The last changes of the index by their filters, so that a remembered route outlives changes that
 * do not concern it: connecting clients subscribe all the time, and a route to a hundred thousand
 * sessions costs milliseconds to make.
 *
 * A ring of fixed records, one cache line each, no allocation. One writer at a time; readers check
 * the record's version before and after copying it. A filter that does not fit is kept as the whole
 * levels that do and "#": a route may be made anew in vain, never kept wrongly. */
#ifndef BROKER_TOPIC_CHANGES_H
#define BROKER_TOPIC_CHANGES_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { TOPIC_CHANGES_KEPT = 1024, TOPIC_CHANGE_WORDS = 7 };

struct topic_change {
    alignas(64) _Atomic uint64_t version;       /* that it made; 0 while it is written */
    _Atomic uint64_t words[TOPIC_CHANGE_WORDS]; /* size of the filter, then the filter */
};

struct topic_changes {
    struct topic_change ring[TOPIC_CHANGES_KEPT];
};

/* Before the index has this version. `filter` may be cut behind TOPIC_CHANGE_FILTER bytes. */
enum { TOPIC_CHANGE_FILTER = 64 };
void topic_changes_add(struct topic_changes *changes, uint64_t version, struct bytes filter);

/* Whether one of the changes after version `from` up to `to` may concern the topic. True also when
 * they are no longer known. */
bool topic_changes_concern(const struct topic_changes *changes, uint64_t from, uint64_t to,
                           struct bytes topic);

#endif
