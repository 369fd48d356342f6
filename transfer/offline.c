#include "transfer/offline.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storage/maintenance.h"

enum { PATH_SIZE = 4096, WAIT_S = 1 };

static void wake(void *context, unsigned worker)
{
    (void)worker;
    sem_post(context);
}

static void release(void *context, void *cookie)
{
    (void)context;
    (void)cookie;
}

/* Until the store has something to say, or for a second. */
static void nap(struct offline *offline)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    sem_timedwait(&offline->woken, &until);
}

/* Until everything is on disk, or the disk does not let it be. */
static enum status await_durable(struct offline *offline, uint64_t lsn, char *error,
                                 size_t error_size)
{
    while (store_durable(offline->store) < lsn) {
        if (store_health(offline->store) == STORE_HEALTH_STALLED) {
            snprintf(error, error_size, "the disk does not take it; the log says why");
            return STATUS_IO;
        }
        nap(offline);
        store_reclaim(offline->store, 0);
    }
    return STATUS_OK;
}

enum status offline_open(struct offline *offline, const char *directory,
                         const struct store_visitor *visitor, char *error, size_t error_size)
{
    struct store_options options = {
        .directory = directory,
        .durability = STORE_DURABILITY_COMMIT,
        .workers = 1,
        .flush_mem_threshold = 10000,
        .flush_interval_ms = 100,
        .commit_delay_us = 2000,
        .disk_stall_limit_ms = 5000,
        .notify = wake,
        .context = &offline->woken,
        .release = release,
    };
    sem_init(&offline->woken, 0, 0);
    enum status status = store_open(&options, &offline->store, error, error_size);
    if (status != STATUS_OK) {
        sem_destroy(&offline->woken);
        return status;
    }
    snprintf(error, error_size, "the store in \"%.300s\" cannot be read", directory);
    status = store_load(offline->store, visitor);
    if (status == STATUS_OK)
        status = store_start(offline->store);
    if (status != STATUS_OK)
        offline_close(offline);
    return status;
}

void offline_close(struct offline *offline)
{
    store_close(offline->store);
    sem_destroy(&offline->woken);
}

int64_t offline_now_ms(const struct offline *offline)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return store_now_base(offline->store) + (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void offline_read(struct offline *offline, struct store_read *read)
{
    store_read_submit(offline->store, read);
    while (store_read_next(offline->store, 0) == NULL)
        nap(offline);
}

/* ---- Writing ---- */

/* A store that is being written, and not yet one. */
static void remove_partial(const char *path)
{
    char name[PATH_SIZE * 2];
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_REG || entry->d_type == DT_SOCK)
            unlink(name);
    }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

static enum status write_to(const char *directory, const struct offline_filler *filler, char *error,
                            size_t error_size)
{
    struct offline offline;
    struct store_visitor nobody = {0};
    uint64_t lsn = 0;
    TRY(offline_open(&offline, directory, &nobody, error, error_size));
    enum status status = filler->fill(filler->context, &offline, &lsn, error, error_size);
    if (status == STATUS_OK)
        status = await_durable(&offline, lsn, error, error_size);
    offline_close(&offline);
    return status;
}

/* Beside its place first, so that there is all of it or nothing. */
enum status offline_write(const char *directory, const struct offline_filler *filler, char *error,
                          size_t error_size)
{
    char partial[PATH_SIZE], whole[PATH_SIZE];
    struct stat found;
    snprintf(whole, sizeof whole, "%s/holdfast.db", directory);
    snprintf(partial, sizeof partial, "%s/import.partial", directory);
    if (stat(whole, &found) == 0) {
        snprintf(error, error_size, "there is a store already at \"%.300s\": it stays as it is",
                 whole);
        return STATUS_INVALID;
    }
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        snprintf(error, error_size, "cannot create \"%.300s\": %s", directory, strerror(errno));
        return STATUS_IO;
    }
    remove_partial(partial);
    enum status status = write_to(partial, filler, error, error_size);
    if (status == STATUS_OK)
        status = maintenance_backup(partial, directory, error, error_size);
    remove_partial(partial);
    return status;
}

bool offline_become_owner(const char *directory)
{
    struct stat found;
    if (geteuid() != 0 || stat(directory, &found) != 0 || found.st_uid == 0)
        return true;
    return setgroups(0, NULL) == 0 && setegid(found.st_gid) == 0 && seteuid(found.st_uid) == 0;
}
