/* The files of a store besides SQLite's: the lock, the last LSN, the mark of damage; and where
 * all are. */
#ifndef STORAGE_DIRECTORY_H
#define STORAGE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Which file a name stood for. */
struct directory_file {
    uint64_t device, inode; /* inode 0: there was none */
};

struct directory {
    char *path;
    char *database; /* <path>/holdfast.db */
    int lock_fd;
    int lsn_fd;
    struct directory_file opened[2]; /* the database and its write-ahead log */
};

/* Creates the directory when missing and takes the lock. `error` gets a sentence. */
enum status MUST_USE directory_open(struct directory *directory, const char *path, char *error,
                                    size_t error_size);
void directory_close(struct directory *directory);

/* <path>/<name>, on the heap. */
char *directory_file(const struct directory *directory, const char *name);
/* Makes renames and new names durable; best effort. */
void directory_sync(const struct directory *directory);

/* holdfast.lsn: the last commit, as far as known without a sync. 0 when there is none. And the
 * schema of the database then: 0 when there is none. */
uint64_t directory_read_lsn(const struct directory *directory);
int directory_read_schema(const struct directory *directory);
void directory_write_lsn(struct directory *directory, uint64_t lsn);

/* Notes which files have been opened as the database and its log. */
void directory_note_opened(struct directory *directory);
/* Whether their names still stand for them: what is committed to a file that was deleted, moved
 * away or replaced is not there for the next start. Two looks, no disk. `what` gets the name of the
 * one that is not. */
bool directory_in_place(const struct directory *directory, char *what, size_t what_size);

/* holdfast.damaged: salvage at the next start. */
bool directory_marked_damaged(const struct directory *directory);
void directory_mark_damaged(const struct directory *directory);
void directory_unmark_damaged(const struct directory *directory);

#endif
