/* Copying what reads of a damaged database into a new one. */
#ifndef STORAGE_SALVAGE_H
#define STORAGE_SALVAGE_H

#include "storage/schema.h"
#include "storage/table.h"

struct salvage {
    int version;           /* of the schema, of both */
    sqlite3 *from;         /* damaged; only read */
    sqlite3 *to;           /* new */
    struct table sessions; /* incarnations copied */
    uint64_t saved_sessions, saved_subscriptions, saved_messages, saved_owed, saved_retained;
    uint64_t gaps;            /* ranges of keys that do not read */
    uint64_t incomplete;      /* sessions known to lack something */
    uint64_t lost_owed;       /* times that a message was owed and is no longer */
    uint64_t youngest_number; /* seen */
    uint64_t youngest_incarnation;
    int error; /* of writing to `to`: the salvage has failed */
};

/* One transaction in `to`. A SQLite code: of `to`, since nothing that `from` does is a failure. */
int salvage_rows(struct salvage *salvage, uint64_t side_lsn);
/* The part of it for what sessions are owed, from version 2 on. */
void salvage_segments(struct salvage *salvage);

/* ---- Walking a table that has holes ---- */

/* Rows of one table by ascending positive key, which is column 0. ?1 is an incarnation where the
 * table has one before the key, ?2 the key behind which to begin. */
struct salvage_walk {
    struct salvage *salvage;
    sqlite3_stmt *select;
    sqlite3_stmt *insert;
    uint64_t incarnation;
    /* Takes what it wants of the row. */
    void (*copy)(struct salvage_walk *walk);
    void *context;
    uint64_t copied, gaps;
    int64_t gap_from, gap_to; /* the last gap, both ends excluded */
};

void salvage_walk(struct salvage_walk *walk);
/* Logs where the gaps are. */
void salvage_report_gaps(const struct salvage_walk *walk, const char *table);
/* A `copy`: binds `insert` from all columns and runs it. */
void salvage_copy_columns(struct salvage_walk *walk);
void salvage_insert(struct salvage *salvage, sqlite3_stmt *insert);
/* NULL when the table is not even in the schema. */
sqlite3_stmt *salvage_prepare(sqlite3 *db, const char *sql);
/* Says that the session has lost something. */
void salvage_name_incomplete(struct salvage *salvage, uint64_t incarnation, const char *what);

#endif
