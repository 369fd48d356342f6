/* Copying what reads of a damaged database into a new one. */
#ifndef STORAGE_SALVAGE_H
#define STORAGE_SALVAGE_H

#include "storage/schema.h"
#include "storage/table.h"

struct salvage {
    sqlite3 *from;         /* damaged; only read */
    sqlite3 *to;           /* new, of the current schema */
    struct table sessions; /* incarnations copied */
    uint64_t saved_sessions, saved_subscriptions, saved_messages, saved_owed, saved_retained;
    uint64_t gaps;            /* ranges of keys that do not read */
    uint64_t incomplete;      /* sessions known to lack something */
    uint64_t lost_owed;       /* owed rows whose body is gone */
    uint64_t youngest_number; /* seen */
    uint64_t youngest_incarnation;
    int error; /* of writing to `to`: the salvage has failed */
};

/* One transaction in `to`. A SQLite code: of `to`, since nothing that `from` does is a failure. */
int salvage_rows(struct salvage *salvage, uint64_t side_lsn);

#endif
