/* The sessions and subscriptions of a database, as open found them.
 *
 * A start reads every row of them before anything rests on one, so that damage shows while it can
 * still be salvaged. What it has read stays here until the broker has taken it, and is not read
 * again. Freed then: it is a copy of what the broker keeps. One thread at a time. */
#ifndef STORAGE_ROSTER_H
#define STORAGE_ROSTER_H

#include <sqlite3.h>

#include "storage/arena.h"
#include "storage/store.h"
#include "storage/tally.h"

struct roster_session;

/* All zero is a valid empty roster. */
struct roster {
    struct arena arena;
    struct roster_session *first, *last;
    struct roster_session *current; /* whose subscriptions are being added */
};

/* The rows of `session`, by incarnation, and behind them those of `subscription`, likewise: the row
 * that the statement stands at. A subscription of no session is left out. They return a SQLite
 * code: not OK when some column does not read. */
int roster_add_session(struct roster *roster, sqlite3_stmt *row);
int roster_add_subscription(struct roster *roster, sqlite3_stmt *row);
/* Each session with what `tally` says that it is owed, followed by its subscriptions. */
void roster_visit(const struct roster *roster, const struct tally *tally,
                  const struct store_visitor *visitor);
void roster_fini(struct roster *roster);

#endif
