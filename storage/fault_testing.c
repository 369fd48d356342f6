#include "storage/fault_testing.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { FILES = 8, KERNEL_PAGE = 4096, SECTOR = 512 };

struct range {
    sqlite3_int64 offset, size;
};

/* What the disk holds of one file, and which parts of it are newer in the page cache. */
struct disk_file {
    char path[256];
    uint8_t *bytes;
    sqlite3_int64 size, capacity;
    sqlite3_int64 cached_size; /* as programs see it */
    struct range *dirty;
    size_t dirty_count, dirty_capacity;
    unsigned errors; /* failed syncs; each descriptor is told of them once, as Linux does */
};

struct fault_file {
    sqlite3_file base;
    struct disk_file *disk; /* NULL: passes through */
    unsigned told_errors;
    sqlite3_file *real; /* behind this struct */
};

static struct {
    pthread_mutex_t mutex;
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    char directory[128];
    struct disk_file files[FILES];
    int fail_syncs, short_writes;
    bool full;
    unsigned in_a_thousand, failures;
    uint64_t random;
    void (*hook)(void *context);
    void *context;
} fault = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint32_t next_random(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

/* ---- The disk ---- */

static struct disk_file *disk_file_of(const char *path)
{
    if (path == NULL || strncmp(path, fault.directory, strlen(fault.directory)) != 0)
        return NULL;
    struct disk_file *unused = NULL;
    for (int i = 0; i < FILES; i++) {
        if (strcmp(fault.files[i].path, path) == 0)
            return &fault.files[i];
        if (fault.files[i].path[0] == '\0' && unused == NULL)
            unused = &fault.files[i];
    }
    CHECK(unused != NULL);
    snprintf(unused->path, sizeof unused->path, "%s", path);
    return unused;
}

static void forget(struct disk_file *file)
{
    free(file->bytes);
    free(file->dirty);
    memset(file, 0, sizeof *file);
}

static void mark_dirty(struct disk_file *file, sqlite3_int64 offset, sqlite3_int64 size)
{
    if (file->dirty_count == file->dirty_capacity) {
        file->dirty_capacity = file->dirty_capacity == 0 ? 64 : file->dirty_capacity * 2;
        file->dirty = realloc(file->dirty, file->dirty_capacity * sizeof *file->dirty);
        CHECK(file->dirty != NULL);
    }
    sqlite3_int64 end = (offset + size + KERNEL_PAGE - 1) / KERNEL_PAGE * KERNEL_PAGE;
    offset = offset / KERNEL_PAGE * KERNEL_PAGE;
    file->dirty[file->dirty_count++] = (struct range){offset, end - offset};
    if (end > file->cached_size)
        file->cached_size = end;
}

static void put(uint8_t **bytes, sqlite3_int64 *size, sqlite3_int64 *capacity, sqlite3_int64 offset,
                const uint8_t *data, sqlite3_int64 count)
{
    if (offset + count > *capacity) {
        sqlite3_int64 more = (offset + count) * 2;
        *bytes = realloc(*bytes, (size_t)more);
        CHECK(*bytes != NULL);
        memset(*bytes + *capacity, 0, (size_t)(more - *capacity));
        *capacity = more;
    }
    memcpy(*bytes + offset, data, (size_t)count);
    if (offset + count > *size)
        *size = offset + count;
}

/* Copies a dirty range out of the page cache; at most up to the end of the file. */
static sqlite3_int64 cached(struct fault_file *file, struct range range, uint8_t *out)
{
    sqlite3_int64 size;
    CHECK(file->real->pMethods->xFileSize(file->real, &size) == SQLITE_OK);
    if (range.offset >= size)
        return 0;
    sqlite3_int64 count = range.offset + range.size > size ? size - range.offset : range.size;
    CHECK(file->real->pMethods->xRead(file->real, out, (int)count, range.offset) == SQLITE_OK);
    return count;
}

static void sync_to_disk(struct fault_file *file)
{
    struct disk_file *disk = file->disk;
    sqlite3_int64 size;
    for (size_t i = 0; i < disk->dirty_count; i++) {
        uint8_t *data = malloc((size_t)disk->dirty[i].size);
        CHECK(data != NULL);
        sqlite3_int64 count = cached(file, disk->dirty[i], data);
        put(&disk->bytes, &disk->size, &disk->capacity, disk->dirty[i].offset, data, count);
        free(data);
    }
    disk->dirty_count = 0;
    CHECK(file->real->pMethods->xFileSize(file->real, &size) == SQLITE_OK);
    if (size < disk->size) {
        disk->size = size;
        memset(disk->bytes + size, 0, (size_t)(disk->capacity - size));
    }
}

static bool by_chance(void)
{
    return fault.in_a_thousand > 0 && next_random(&fault.random, 1000) < fault.in_a_thousand;
}

/* ---- Methods of a file ---- */

#define REAL(file) (((struct fault_file *)(file))->real)
#define PASS(file, method, ...) REAL(file)->pMethods->method(REAL(file), ##__VA_ARGS__)

static int fault_close(sqlite3_file *file)
{
    return PASS(file, xClose);
}

static int fault_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    return PASS(file, xRead, data, size, offset);
}

static int fault_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    struct fault_file *file = (struct fault_file *)base;
    if (file->disk == NULL)
        return PASS(base, xWrite, data, size, offset);
    pthread_mutex_lock(&fault.mutex);
    int rc;
    sqlite3_int64 end = 0;
    PASS(base, xFileSize, &end);
    bool chance = by_chance();
    if ((fault.full || (chance && next_random(&fault.random, 2) == 0)) && offset + size > end) {
        fault.failures++;
        rc = SQLITE_FULL;
    } else if (fault.short_writes > 0 || chance) {
        fault.failures++;
        if (fault.short_writes > 0)
            fault.short_writes--;
        PASS(base, xWrite, data, size / 2, offset);
        mark_dirty(file->disk, offset, size / 2);
        rc = SQLITE_IOERR_WRITE;
    } else {
        rc = PASS(base, xWrite, data, size, offset);
        mark_dirty(file->disk, offset, size);
    }
    pthread_mutex_unlock(&fault.mutex);
    return rc;
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    pthread_mutex_lock(&fault.mutex);
    int rc = PASS(file, xTruncate, size);
    pthread_mutex_unlock(&fault.mutex);
    return rc;
}

static void run_hook(void)
{
    pthread_mutex_lock(&fault.mutex);
    void (*hook)(void *) = fault.hook;
    void *context = fault.context;
    pthread_mutex_unlock(&fault.mutex);
    if (hook != NULL)
        hook(context);
}

static int fault_sync(sqlite3_file *base, int flags)
{
    struct fault_file *file = (struct fault_file *)base;
    if (file->disk == NULL)
        return PASS(base, xSync, flags);
    run_hook();
    int rc = SQLITE_OK;
    pthread_mutex_lock(&fault.mutex);
    if (fault.fail_syncs != 0 || by_chance()) {
        if (fault.fail_syncs > 0)
            fault.fail_syncs--;
        fault.failures++;
        file->disk->dirty_count = 0;
        file->disk->errors++;
    } else {
        sync_to_disk(file); /* the real sync would only cost time */
    }
    if (file->told_errors != file->disk->errors) {
        file->told_errors = file->disk->errors;
        rc = SQLITE_IOERR_FSYNC;
    }
    pthread_mutex_unlock(&fault.mutex);
    run_hook();
    return rc;
}

static int fault_file_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return PASS(file, xFileSize, out);
}

static int fault_lock(sqlite3_file *file, int level)
{
    return PASS(file, xLock, level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    return PASS(file, xUnlock, level);
}

static int fault_check_lock(sqlite3_file *file, int *out)
{
    return PASS(file, xCheckReservedLock, out);
}

static int fault_control(sqlite3_file *file, int op, void *argument)
{
    return PASS(file, xFileControl, op, argument);
}

static int fault_sector_size(sqlite3_file *file)
{
    return PASS(file, xSectorSize);
}

static int fault_characteristics(sqlite3_file *file)
{
    return PASS(file, xDeviceCharacteristics);
}

static int fault_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return PASS(file, xShmMap, page, size, extend, out);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return PASS(file, xShmLock, offset, count, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
    PASS(file, xShmBarrier);
}

static int fault_shm_unmap(sqlite3_file *file, int delete)
{
    return PASS(file, xShmUnmap, delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_file_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector_size,
    .xDeviceCharacteristics = fault_characteristics,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

/* ---- Methods of the VFS ---- */

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                      int *out_flags)
{
    struct fault_file *file = (struct fault_file *)base;
    file->real = (sqlite3_file *)(file + 1);
    file->base.pMethods = NULL;
    int rc = fault.real->xOpen(fault.real, name, file->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->base.pMethods = &methods;
    pthread_mutex_lock(&fault.mutex);
    bool kept = (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0;
    file->disk = kept ? disk_file_of(name) : NULL;
    file->told_errors = file->disk != NULL ? file->disk->errors : 0;
    pthread_mutex_unlock(&fault.mutex);
    return SQLITE_OK;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    pthread_mutex_lock(&fault.mutex);
    for (int i = 0; i < FILES; i++) {
        if (strcmp(fault.files[i].path, name) == 0)
            forget(&fault.files[i]);
    }
    int rc = fault.real->xDelete(fault.real, name, sync);
    pthread_mutex_unlock(&fault.mutex);
    return rc;
}

void fault_install(const char *directory)
{
    fault.real = sqlite3_vfs_find("unix");
    CHECK(fault.real != NULL);
    fault.vfs = *fault.real;
    fault.vfs.iVersion = 2;
    fault.vfs.pNext = NULL;
    fault.vfs.zName = "fault";
    fault.vfs.szOsFile += (int)sizeof(struct fault_file);
    fault.vfs.xOpen = fault_open;
    fault.vfs.xDelete = fault_delete;
    snprintf(fault.directory, sizeof fault.directory, "%s/", directory);
    fault.fail_syncs = fault.short_writes = 0;
    fault.full = false;
    fault.in_a_thousand = fault.failures = 0;
    fault.hook = NULL;
    CHECK(sqlite3_vfs_register(&fault.vfs, 1) == SQLITE_OK);
}

void fault_uninstall(void)
{
    sqlite3_vfs_unregister(&fault.vfs);
    sqlite3_vfs_register(fault.real, 1);
    for (int i = 0; i < FILES; i++)
        forget(&fault.files[i]);
}

/* ---- Controls ---- */

#define SET(field, value)                                                                          \
    do {                                                                                           \
        pthread_mutex_lock(&fault.mutex);                                                          \
        fault.field = (value);                                                                     \
        pthread_mutex_unlock(&fault.mutex);                                                        \
    } while (0)

void fault_fail_syncs(int count)
{
    SET(fail_syncs, count);
}

void fault_fill_disk(bool full)
{
    SET(full, full);
}

void fault_short_writes(int count)
{
    SET(short_writes, count);
}

void fault_at_random(unsigned in_a_thousand, uint64_t seed)
{
    SET(random, seed);
    SET(in_a_thousand, in_a_thousand);
}

unsigned fault_failures(void)
{
    pthread_mutex_lock(&fault.mutex);
    unsigned failures = fault.failures;
    pthread_mutex_unlock(&fault.mutex);
    return failures;
}

void fault_on_sync(void (*hook)(void *context), void *context)
{
    SET(context, context);
    SET(hook, hook);
}

/* Unsynced sectors that reached the disk all the same, read back from the file itself. */
static void keep_some(const struct disk_file *file, FILE *out, uint64_t *random)
{
    FILE *in = fopen(file->path, "rb");
    if (in == NULL)
        return;
    for (size_t i = 0; i < file->dirty_count; i++) {
        uint8_t sector[SECTOR];
        uint32_t chance = next_random(random, 3); /* none, all, torn */
        for (sqlite3_int64 at = 0; at < file->dirty[i].size; at += SECTOR) {
            if (chance == 0 || (chance == 2 && next_random(random, 2) == 0))
                continue;
            fseek(in, (long)(file->dirty[i].offset + at), SEEK_SET);
            size_t count = fread(sector, 1, sizeof sector, in);
            fseek(out, (long)(file->dirty[i].offset + at), SEEK_SET);
            fwrite(sector, 1, count, out);
        }
    }
    fclose(in);
}

void fault_power_loss(const char *directory, uint64_t seed)
{
    pthread_mutex_lock(&fault.mutex);
    for (int i = 0; i < FILES; i++) {
        const struct disk_file *file = &fault.files[i];
        if (file->path[0] == '\0')
            continue;
        char path[256];
        snprintf(path, sizeof path, "%s/%s", directory, strrchr(file->path, '/') + 1);
        FILE *out = fopen(path, "wb");
        CHECK(out != NULL);
        fwrite(file->bytes, 1, (size_t)file->size, out);
        if (seed != 0)
            keep_some(file, out, &seed);
        fclose(out);
    }
    pthread_mutex_unlock(&fault.mutex);
}
