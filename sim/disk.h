/* A disk, and the page cache before it. What programs write they read back at once, but only a
 * sync brings it to the disk: when the power fails, each write since then is lost, kept or torn,
 * and of new, renamed and removed names a first part is kept, as a journal keeps them. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_file;

void disk_begin(uint64_t seed);

/* By its name in the one directory. NULL: there is none. */
struct disk_file *disk_find(const char *name);
struct disk_file *disk_create(const char *name);
/* Has no name, and leaves nothing behind. */
struct disk_file *disk_create_nameless(void);
void disk_remove(const char *name);
void disk_rename(const char *from, const char *to);
void disk_sync_names(void);

/* These return 0 or an errno. */
int disk_write(struct disk_file *file, uint64_t offset, const void *data, size_t size);
int disk_truncate(struct disk_file *file, uint64_t size);
/* Takes its time: others run meanwhile. */
int disk_sync(struct disk_file *file);
/* How many bytes there were. */
size_t disk_read(const struct disk_file *file, uint64_t offset, void *data, size_t size);
uint64_t disk_size(const struct disk_file *file);

/* SQLite's locks and shared memory for this file; they are the process's and go with it. */
struct disk_sharing;
struct disk_sharing **disk_sharing(struct disk_file *file);
/* So that many a reader of the same file knows the same errors. */
unsigned disk_failures(const struct disk_file *file);

/* Only the process: nothing written is lost. Or the machine. */
void disk_crash(bool power);

enum disk_fault {
    DISK_SOUND,
    DISK_FULL,        /* no file grows */
    DISK_SYNCS_FAIL,  /* and what they were to bring to the disk is not there */
    DISK_WRITES_FAIL, /* after a part of the bytes, now and then */
};
void disk_set_fault(enum disk_fault fault);

/* What has been counted, for the report of a run. */
struct disk_statistics {
    uint64_t writes, syncs, syncs_done, failed, lost, torn;
};
struct disk_statistics disk_statistics(void);

#endif
