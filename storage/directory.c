#include "storage/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/schema.h"

char *directory_file(const struct directory *directory, const char *name)
{
    char *file;
    CHECK(asprintf(&file, "%s/%s", directory->path, name) > 0);
    return file;
}

/* Like mkdir -p. */
static int make_directory(const char *path)
{
    char *copy = strdup(path);
    CHECK(copy != NULL);
    for (char *at = copy + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(copy, 0755); /* if this fails, the next level says so */
        *at = '/';
    }
    int made = mkdir(copy, 0700);
    int error = errno;
    free(copy);
    errno = error;
    return made == 0 || error == EEXIST ? 0 : -1;
}

static enum status status_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return STATUS_FULL;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case ENOENT:
        return STATUS_DENIED;
    default:
        return STATUS_IO;
    }
}

static enum status take_lock(struct directory *directory, char *error, size_t error_size)
{
    char *name = directory_file(directory, "holdfast.lock");
    directory->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int code = errno;
    free(name);
    if (directory->lock_fd < 0) {
        snprintf(error, error_size, "cannot write in the store's directory \"%s\": %s",
                 directory->path, strerror(code));
        return status_of_errno(code);
    }
    char pid[32] = "";
    if (flock(directory->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t size = pread(directory->lock_fd, pid, sizeof pid - 1, 0);
        pid[size > 0 ? strcspn(pid, "\n") : 0] = '\0';
        snprintf(error, error_size,
                 "the store in \"%s\" is in use by another process%s%s; two must not share it",
                 directory->path, pid[0] != '\0' ? ", " : "", pid);
        return STATUS_LOCKED;
    }
    int size = snprintf(pid, sizeof pid, "pid %ld\n", (long)getpid());
    if (ftruncate(directory->lock_fd, 0) != 0 ||
        pwrite(directory->lock_fd, pid, (size_t)size, 0) != size)
        log_line(LOG_DEBUG, "store: the lock file does not say who holds it");
    return STATUS_OK;
}

enum status directory_open(struct directory *directory, const char *path, char *error,
                           size_t error_size)
{
    *directory = (struct directory){.lock_fd = -1, .lsn_fd = -1};
    directory->path = strdup(path);
    CHECK(directory->path != NULL);
    size_t length = strlen(directory->path);
    while (length > 1 && directory->path[length - 1] == '/')
        directory->path[--length] = '\0';
    directory->database = directory_file(directory, "holdfast.db");
    if (make_directory(directory->path) != 0) {
        int code = errno;
        snprintf(error, error_size, "cannot create the store's directory \"%s\": %s", path,
                 strerror(code));
        return status_of_errno(code);
    }
    TRY(take_lock(directory, error, error_size));
    char *name = directory_file(directory, "holdfast.lsn");
    directory->lsn_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(name);
    if (directory->lsn_fd < 0) {
        int code = errno;
        snprintf(error, error_size, "cannot write in the store's directory \"%s\": %s",
                 directory->path, strerror(code));
        return status_of_errno(code);
    }
    return STATUS_OK;
}

void directory_close(struct directory *directory)
{
    if (directory->lsn_fd >= 0)
        close(directory->lsn_fd);
    if (directory->lock_fd >= 0)
        close(directory->lock_fd);
    free(directory->path);
    free(directory->database);
    *directory = (struct directory){.lock_fd = -1, .lsn_fd = -1};
}

void directory_sync(const struct directory *directory)
{
    int fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

static int read_side_file(const struct directory *directory, uint64_t *lsn, int *schema)
{
    char text[48] = "";
    ssize_t size = pread(directory->lsn_fd, text, sizeof text - 1, 0);
    return size <= 0 ? 0 : sscanf(text, "%" SCNu64 " schema %d", lsn, schema);
}

uint64_t directory_read_lsn(const struct directory *directory)
{
    uint64_t lsn;
    int schema;
    return read_side_file(directory, &lsn, &schema) >= 1 ? lsn : 0;
}

int directory_read_schema(const struct directory *directory)
{
    uint64_t lsn;
    int schema;
    switch (read_side_file(directory, &lsn, &schema)) {
    case 2:
        return schema;
    case 1:
        return 1; /* whose releases did not write it */
    default:
        return 0;
    }
}

void directory_write_lsn(struct directory *directory, uint64_t lsn)
{
    /* One write of fixed size: a killed process leaves the old text or the new. */
    char text[48];
    int size = snprintf(text, sizeof text, "%020" PRIu64 " schema %03d\n", lsn, SCHEMA_VERSION);
    if (pwrite(directory->lsn_fd, text, (size_t)size, 0) != size)
        log_line(LOG_DEBUG, "store: holdfast.lsn could not be written");
}

static const char *const suffixes[] = {"", "-wal"};

static struct directory_file look_at(const struct directory *directory, size_t which, char *name,
                                     size_t name_size)
{
    struct stat found;
    snprintf(name, name_size, "%s%s", directory->database, suffixes[which]);
    if (stat(name, &found) != 0)
        return (struct directory_file){0};
    return (struct directory_file){.device = found.st_dev, .inode = found.st_ino};
}

void directory_note_opened(struct directory *directory)
{
    char name[PATH_MAX];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        directory->opened[i] = look_at(directory, i, name, sizeof name);
}

bool directory_in_place(const struct directory *directory, char *what, size_t what_size)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        const struct directory_file *opened = &directory->opened[i];
        if (opened->inode == 0)
            continue; /* not a file of this file system: nothing to compare with */
        struct directory_file now = look_at(directory, i, what, what_size);
        if (now.device != opened->device || now.inode != opened->inode)
            return false;
    }
    return true;
}

bool directory_marked_damaged(const struct directory *directory)
{
    char *name = directory_file(directory, "holdfast.damaged");
    bool marked = access(name, F_OK) == 0;
    free(name);
    return marked;
}

void directory_mark_damaged(const struct directory *directory)
{
    char *name = directory_file(directory, "holdfast.damaged");
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    free(name);
    if (fd < 0)
        return; /* marked already, or a disk that takes nothing */
    close(fd);
    log_line(
        LOG_ERROR,
        "store: the database in \"%s\" is damaged; what reads will be salvaged at the next start",
        directory->path);
}

void directory_unmark_damaged(const struct directory *directory)
{
    char *name = directory_file(directory, "holdfast.damaged");
    unlink(name);
    free(name);
}
