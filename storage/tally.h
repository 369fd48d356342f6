/* How many entries of segments each session is owed, settled ones left out, so that nobody has to
 * count them: neither a start, which would walk the index of all segments, nor the end of a
 * session.
 *
 * In the database it is a table of changes: each transaction that owes or settles appends one row,
 * so it costs a few bytes for each session that is concerned, next to each other, however many
 * sessions there are. The sum of the rows is the count. When there is much to sum they are replaced
 * by one.
 *
 *   data  pairs of signed numbers, LEB128, the sign in the lowest bit: how far the incarnation is
 * from the one before (at first: from 0), and by how many entries its count changes
 *
 * The storage thread's, but for a start. */
#ifndef STORAGE_TALLY_H
#define STORAGE_TALLY_H

#include <sqlite3.h>

#include "base/bytes.h"
#include "storage/table.h"

struct tally {
    struct table counts;    /* incarnation -> entries, as of the last commit; none: no key */
    struct buffer changes;  /* of the open transaction, as they will be written */
    uint64_t last;          /* the incarnation that the next change is told from */
    uint64_t written_bytes; /* of rows since they were last replaced */
    uint64_t summed_bytes;  /* of the row that replaced them */
    bool replacing;         /* in the open transaction */
};

void tally_init(struct tally *tally);
void tally_fini(struct tally *tally);

/* Reads what the database says. A SQLite code: CORRUPT where it makes no sense. */
int tally_load(struct tally *tally, sqlite3 *db);
/* As of the last commit. */
uint64_t tally_of(const struct tally *tally, uint64_t incarnation);

/* In the open transaction, `by` more. */
void tally_add(struct tally *tally, uint64_t incarnation, int64_t by);
/* Writes what was added: `put` inserts a row of its one parameter, `clear` deletes all rows. */
int tally_write(struct tally *tally, sqlite3_stmt *put, sqlite3_stmt *clear);
/* The transaction is over. */
void tally_end(struct tally *tally, bool committed);

/* Counts anew, from the segments and their progress: in the place of all rows there are. */
int tally_recount(sqlite3 *db);

#endif
