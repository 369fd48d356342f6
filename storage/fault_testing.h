/* A disk that fails, and that forgets at power loss what was never synced: a shim over SQLite's own
 * VFS. For tests. Files outside the given directory pass through untouched. */
#ifndef STORAGE_FAULT_TESTING_H
#define STORAGE_FAULT_TESTING_H

#include <stdbool.h>
#include <stdint.h>

/* Becomes the default VFS. */
void fault_install(const char *directory);
void fault_uninstall(void);

/* The next `count` syncs fail (-1: all). As on Linux, what they were to sync counts as clean
 * afterwards, and is not on the disk. */
void fault_fail_syncs(int count);
/* Writes that make a file longer fail with "disk full". */
void fault_fill_disk(bool full);
/* The next `count` writes put half their bytes and fail. */
void fault_short_writes(int count);
/* Each sync or write fails with this chance in a thousand, from this seed. */
void fault_at_random(unsigned in_a_thousand, uint64_t seed);
unsigned fault_failures(void); /* so far */

/* Called before and after each sync, on the thread that syncs. */
void fault_on_sync(void (*hook)(void *context), void *context);
/* Writes into `directory` what the disk would hold if the power failed now: all that was synced,
 * and, by the seed, none, all or torn parts of what was not. Seed 0: none. */
void fault_power_loss(const char *directory, uint64_t seed);

#endif
