/* What is done to a store from outside of the broker: `holdfast store`. Each call opens and closes
 * what it needs, blocks until it is done, and where it does not return OK `error` (at least 256
 * bytes) says in one line what is wrong. */
#ifndef STORAGE_MAINTENANCE_H
#define STORAGE_MAINTENANCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Copies the store in `directory`, as one moment had it, into `target`, which is created or has no
 * store yet. A broker may run on the store meanwhile: it goes on committing, and its write-ahead
 * log grows until the copy is done. OK: the copy is on disk, and stands under its name only then.
 */
enum status MUST_USE maintenance_backup(const char *directory, const char *target, char *error,
                                        size_t error_size);

struct maintenance_report {
    int schema;
    uint64_t lsn; /* of the last transaction */
    uint64_t sessions, subscriptions, messages, retained;
    uint64_t bytes; /* of the file */
};

/* Reads all of a store that no broker uses: whether its pages, rows and indices are in order. Bytes
 * of a payload that have changed are not noticed: they have no checksum.
 * CORRUPT: there is damage; `error` says what was found first. LOCKED: a broker uses it. */
enum status MUST_USE maintenance_verify(const char *directory, struct maintenance_report *out,
                                        char *error, size_t error_size);

/* Writes a store that no broker uses anew, without its free pages. Needs as much room on disk
 * again. */
enum status MUST_USE maintenance_compact(const char *directory, char *error, size_t error_size);

#endif
