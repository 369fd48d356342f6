/* SQLite on the simulated disk. */
#include "sim/vfs.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim/chance.h"
#include "sim/disk.h"
#include "sim/kernel.h"
#include "sim/task.h"

enum { REGIONS_MAX = 64 };

/* What the connections of one process to one database share. */
struct disk_sharing {
    unsigned shared, reserved, pending, exclusive; /* locks of the file, by holders */
    void *regions[REGIONS_MAX];
    unsigned readers[SQLITE_SHM_NLOCK]; /* of the shared memory */
    bool writer[SQLITE_SHM_NLOCK];
};

struct vfs_file {
    sqlite3_file base;
    struct disk_file *file;
    int level;
    unsigned shm_shared, shm_exclusive; /* bits */
    unsigned told_failures;
    bool sync_names; /* its first sync is that of names, too, as in SQLite's own VFS */
    char *remove;    /* at close */
};

static struct chance chance;

static int code_of(int error, int otherwise)
{
    return error == 0 ? SQLITE_OK : error == ENOSPC ? SQLITE_FULL : otherwise;
}

static struct disk_sharing *sharing_of(struct vfs_file *file)
{
    struct disk_sharing **sharing = disk_sharing(file->file);
    if (*sharing == NULL) {
        *sharing = calloc(1, sizeof **sharing);
        CHECK(*sharing != NULL);
    }
    return *sharing;
}

/* ---- A file ---- */

static int vfs_read(sqlite3_file *base, void *data, int size, sqlite3_int64 offset)
{
    struct vfs_file *file = (struct vfs_file *)base;
    task_pause();
    size_t got = disk_read(file->file, (uint64_t)offset, data, (size_t)size);
    if (got == (size_t)size)
        return SQLITE_OK;
    memset((char *)data + got, 0, (size_t)size - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int vfs_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    struct vfs_file *file = (struct vfs_file *)base;
    return code_of(disk_write(file->file, (uint64_t)offset, data, (size_t)size),
                   SQLITE_IOERR_WRITE);
}

static int vfs_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct vfs_file *file = (struct vfs_file *)base;
    return code_of(disk_truncate(file->file, (uint64_t)size), SQLITE_IOERR_TRUNCATE);
}

static int vfs_sync(sqlite3_file *base, int flags)
{
    struct vfs_file *file = (struct vfs_file *)base;
    int error = disk_sync(file->file);
    /* A failure is told to each descriptor once. */
    if (file->told_failures != disk_failures(file->file)) {
        file->told_failures = disk_failures(file->file);
        error = EIO;
    }
    if (error == 0 && file->sync_names) {
        file->sync_names = false;
        disk_sync_names();
    }
    return code_of(error, SQLITE_IOERR_FSYNC);
}

static int vfs_file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)disk_size(((struct vfs_file *)base)->file);
    return SQLITE_OK;
}

static void release_to(struct vfs_file *file, int level)
{
    struct disk_sharing *sharing = sharing_of(file);
    if (file->level >= SQLITE_LOCK_EXCLUSIVE && level < SQLITE_LOCK_EXCLUSIVE)
        sharing->exclusive--;
    if (file->level >= SQLITE_LOCK_PENDING && level < SQLITE_LOCK_PENDING)
        sharing->pending--;
    if (file->level >= SQLITE_LOCK_RESERVED && level < SQLITE_LOCK_RESERVED)
        sharing->reserved--;
    if (file->level >= SQLITE_LOCK_SHARED && level < SQLITE_LOCK_SHARED)
        sharing->shared--;
    if (level < file->level)
        file->level = level;
}

static int vfs_lock(sqlite3_file *base, int level)
{
    struct vfs_file *file = (struct vfs_file *)base;
    struct disk_sharing *sharing = sharing_of(file);
    if (file->level >= level)
        return SQLITE_OK;
    if (level == SQLITE_LOCK_SHARED) {
        if (sharing->pending > 0 || sharing->exclusive > 0)
            return SQLITE_BUSY;
        sharing->shared++;
        file->level = SQLITE_LOCK_SHARED;
        return SQLITE_OK;
    }
    if (file->level < SQLITE_LOCK_RESERVED) {
        if (sharing->reserved > 0)
            return SQLITE_BUSY;
        sharing->reserved++;
        file->level = SQLITE_LOCK_RESERVED;
    }
    if (level < SQLITE_LOCK_PENDING)
        return SQLITE_OK;
    if (file->level < SQLITE_LOCK_PENDING) {
        sharing->pending++;
        file->level = SQLITE_LOCK_PENDING;
    }
    if (sharing->shared > 1)
        return SQLITE_BUSY;
    sharing->exclusive++;
    file->level = SQLITE_LOCK_EXCLUSIVE;
    return SQLITE_OK;
}

static int vfs_unlock(sqlite3_file *base, int level)
{
    release_to((struct vfs_file *)base, level);
    return SQLITE_OK;
}

static int vfs_check_lock(sqlite3_file *base, int *out)
{
    *out = sharing_of((struct vfs_file *)base)->reserved > 0;
    return SQLITE_OK;
}

static int vfs_control(sqlite3_file *base, int operation, void *argument)
{
    return SQLITE_NOTFOUND;
}

static int vfs_sector_size(sqlite3_file *base)
{
    return 4096;
}

static int vfs_characteristics(sqlite3_file *base)
{
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as for Linux */
}

/* ---- Shared memory ---- */

static int vfs_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **out)
{
    struct disk_sharing *sharing = sharing_of((struct vfs_file *)base);
    CHECK(page < REGIONS_MAX);
    if (sharing->regions[page] == NULL && extend) {
        sharing->regions[page] = calloc(1, (size_t)size);
        CHECK(sharing->regions[page] != NULL);
    }
    *out = sharing->regions[page];
    return SQLITE_OK;
}

static int vfs_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    struct vfs_file *file = (struct vfs_file *)base;
    struct disk_sharing *sharing = sharing_of(file);
    task_pause();
    for (int i = offset; i < offset + count && flags & SQLITE_SHM_LOCK; i++) {
        bool mine = file->shm_shared >> i & 1;
        if (sharing->writer[i] ||
            (flags & SQLITE_SHM_EXCLUSIVE && sharing->readers[i] > (mine ? 1U : 0U)))
            return SQLITE_BUSY;
    }
    for (int i = offset; i < offset + count; i++) {
        unsigned bit = 1U << i;
        bool lock = flags & SQLITE_SHM_LOCK;
        unsigned *held = flags & SQLITE_SHM_EXCLUSIVE ? &file->shm_exclusive : &file->shm_shared;
        if (lock == ((*held & bit) != 0))
            continue;
        *held ^= bit;
        if (flags & SQLITE_SHM_EXCLUSIVE)
            sharing->writer[i] = lock;
        else
            sharing->readers[i] += lock ? 1U : (unsigned)-1;
    }
    return SQLITE_OK;
}

static void vfs_shm_barrier(sqlite3_file *base)
{
}

static int vfs_shm_unmap(sqlite3_file *base, int remove)
{
    struct vfs_file *file = (struct vfs_file *)base;
    struct disk_sharing *sharing = sharing_of(file);
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        if (file->shm_shared >> i & 1)
            sharing->readers[i]--;
        if (file->shm_exclusive >> i & 1)
            sharing->writer[i] = false;
    }
    file->shm_shared = file->shm_exclusive = 0;
    if (remove) {
        for (int i = 0; i < REGIONS_MAX; i++) {
            free(sharing->regions[i]);
            sharing->regions[i] = NULL;
        }
    }
    return SQLITE_OK;
}

static int vfs_close(sqlite3_file *base)
{
    struct vfs_file *file = (struct vfs_file *)base;
    release_to(file, SQLITE_LOCK_NONE);
    if (file->remove != NULL)
        disk_remove(file->remove);
    free(file->remove);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_check_lock,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_characteristics,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

/* ---- The VFS ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out)
{
    struct vfs_file *file = (struct vfs_file *)base;
    *file = (struct vfs_file){0};
    const char *name = path != NULL ? kernel_name(path) : NULL;
    file->file = name != NULL ? disk_find(name) : disk_create_nameless();
    if (file->file == NULL && flags & SQLITE_OPEN_CREATE)
        file->file = disk_create(name);
    file->sync_names =
        flags & SQLITE_OPEN_CREATE &&
        flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL);
    if (file->file == NULL)
        return SQLITE_CANTOPEN;
    file->told_failures = disk_failures(file->file);
    if (name != NULL && flags & SQLITE_OPEN_DELETEONCLOSE)
        file->remove = strdup(name);
    file->base.pMethods = &methods;
    if (out != NULL)
        *out = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    task_pause();
    if (disk_find(kernel_name(path)) == NULL)
        return SQLITE_IOERR_DELETE_NOENT;
    disk_remove(kernel_name(path));
    if (sync)
        disk_sync_names();
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    const struct disk_file *file = disk_find(kernel_name(path));
    *out = file != NULL && (flags != SQLITE_ACCESS_EXISTS || disk_size(file) > 0);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    sqlite3_snprintf(size, out, "%s", path);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
    for (int i = 0; i < size; i++)
        out[i] = (char)chance_next(&chance);
    return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    task_sleep((uint64_t)us);
    return us;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    *out = INT64_C(210866760000000) + kernel_wall_ms();
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
    return 0;
}

static sqlite3_vfs vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(struct vfs_file),
    .mxPathname = 256,
    .zName = "sim",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_time,
};

void vfs_begin(uint64_t seed)
{
    chance = chance_of(seed, 4);
    CHECK(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
    sqlite3_randomness(0, NULL); /* what is left of an earlier seed */
}
