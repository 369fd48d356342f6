/* What sessions are owed, into the database and out of it: messages, segments and their progress.
 * Part of the writer's transaction; docs/decisions/0005. The storage thread only. */
#ifndef STORAGE_OWED_H
#define STORAGE_OWED_H

#include "storage/pending.h"
#include "storage/segment.h"
#include "storage/table.h"
#include "storage/tally.h"

struct writer;

/* A segment of the database some of whose entries change in this transaction. */
struct owed_segment {
    bool open;
    bool has_progress; /* a row of `progress` */
    int64_t id;
    uint64_t incarnation, first;
    struct segment_directory directory;
    struct segment_progress progress;
};

struct owed {
    struct table fewer; /* message number -> entries that need it no longer, in this transaction */
    struct tally tally;
    int64_t more; /* entries of the session that is being written: new less settled */
    struct owed_segment segment;
    struct segment_builder builder;
    struct segment_progress built; /* of the builder's entries */
    struct buffer identifiers;
    uint64_t period; /* of new segments, and how many of it there are; 0: none yet in this run */
    uint32_t period_count;
    uint64_t *periods; /* all there are, ascending, and some that are gone; read when needed */
    size_t periods_count, periods_capacity;
    bool periods_known;
    /* scratch */
    uint64_t *numbers;
    size_t number_capacity;
    const struct row **changes;
    size_t change_capacity;
};

void owed_init(struct owed *owed);
void owed_fini(struct owed *owed);

/* Each a SQLite code. */
int owed_write(struct writer *writer, struct pending *pending);
/* Deletes what the oldest ended incarnations were owed, some `budget` rows and pages of it; `*done`
 * of them have nothing left. */
int owed_delete_slice(struct writer *writer, uint32_t budget, size_t *done);
/* Writes what has been counted: bodies need one entry less for each that went, sessions are owed
 * more or less. After the others, once. */
int owed_write_counts(struct writer *writer);
/* Forgets what is left of a transaction. */
void owed_end(struct owed *owed, bool committed);

#endif
