/* What has been applied and is not in the database: the write-behind cache itself.
 *
 * Batches enter in LSN order, the writer takes what is left of them, and what is settled before
 * that cancels out. No I/O and no clock. docs/ordering.md says which delta waits for what. One
 * thread at a time. */
#ifndef STORAGE_PENDING_H
#define STORAGE_PENDING_H

#include "storage/batch.h"
#include "storage/table.h"

/* One session's part. */
struct pending_session {
    uint64_t incarnation;
    struct list rows;     /* struct row NEW, by number */
    struct list changes;  /* struct row, changes of written rows */
    uint64_t last_change; /* no change is of a greater number */
};

struct pending {
    struct table live; /* incarnations with a session row: written, or on its way */

    struct row **buckets; /* all rows by (incarnation, number) */
    size_t bucket_count;
    size_t row_count;
    struct table sessions; /* incarnation -> struct pending_session *, while not empty */
    struct list messages;  /* delta_publish with live rows, by number */
    uint32_t dirty_messages;
    uint32_t change_count;
    struct delta *ops; /* everything else, in order */
    struct delta **ops_last;

    struct store_batch *oldest; /* applied, not popped, by LSN */
    struct store_batch **youngest;
    uint64_t applied_lsn;
    uint64_t changed_us; /* when there first were changes of written rows, while there are */
    bool urgent;
    bool any_held; /* some batch in the list is */

    struct arena pool; /* sessions and changes; reset by pending_written */
    struct list free_sessions;
    struct list free_changes;

    uint64_t cancelled_messages; /* never written, since the start */
    uint64_t ignored;            /* deltas of sessions that had ended */
    uint64_t anomalies;          /* changes that met no row */
    uint64_t youngest_incarnation;
};

void pending_init(struct pending *pending);
void pending_fini(struct pending *pending); /* batches still in it are the caller's to pop first */

/* A session found in the database at start. */
void pending_add_live(struct pending *pending, uint64_t incarnation);
void pending_apply(struct pending *pending, struct store_batch *batch /* takes */, uint64_t now_us);
bool pending_empty(const struct pending *pending);
/* Whether the database is behind in what is asked for. */
bool pending_concerns(const struct pending *pending, const struct store_read *read);
/* The next batch, by LSN, that nothing unwritten rests on; NULL when there is none. */
struct store_batch *pending_pop(struct pending *pending);
/* The batch that pending_pop is waiting for, or NULL. */
const struct store_batch *pending_oldest(const struct pending *pending);
/* Everything applied is in the database: forget it. Every batch can be popped. */
void pending_written(struct pending *pending);

/* A change met no row of a living session: our own bug. Stops a checked build, logged otherwise. */
void pending_anomaly(struct pending *pending, const char *what, uint64_t incarnation,
                     uint64_t number);
/* The invariants, for tests. */
void pending_validate(const struct pending *pending);

#endif
