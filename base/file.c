#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 }; /* with a pipe: who reads again at SIGHUP must not wait for ever */

static bool is_pipe(int fd)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode);
}

/* Nothing has come: whether something does, soon. */
static bool comes(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, PATIENCE_MS) > 0;
}

static enum status read_all(int fd, const char *path, size_t limit, struct buffer *out, char *error,
                            size_t error_size)
{
    for (;;) {
        TRY(buffer_reserve(out, 4096));
        ssize_t got = read(fd, out->data + out->size, out->capacity - out->size);
        if (got < 0 && (errno == EINTR || (errno == EAGAIN && comes(fd))))
            continue;
        if (got < 0) {
            snprintf(error, error_size, "%s: %s", path, strerror(errno));
            return STATUS_IO;
        }
        if (got == 0 && out->size == 0 && is_pipe(fd)) { /* no end: there was nobody to write */
            snprintf(error, error_size, "%s: a pipe into which nobody writes", path);
            return STATUS_IO;
        }
        if (got == 0)
            return STATUS_OK;
        out->size += (size_t)got;
        if (out->size > limit) {
            snprintf(error, error_size, "%s: larger than the %zu bytes it may have", path, limit);
            return STATUS_INVALID;
        }
    }
}

enum status file_read(const char *path, size_t limit, struct buffer *out, char *error,
                      size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return errno == ENOENT ? STATUS_NOT_FOUND : errno == EACCES ? STATUS_DENIED : STATUS_IO;
    }
    error[0] = '\0';
    enum status status = read_all(fd, path, limit, out, error, error_size);
    close(fd);
    if (status != STATUS_OK && error[0] == '\0')
        snprintf(error, error_size, "%s: %s", path, status_text(status));
    return status;
}

char *file_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

int file_obstacle(const char *path)
{
    struct stat found;
    if (stat(path, &found) == 0 && S_ISDIR(found.st_mode))
        return EISDIR;
    if (access(path, W_OK) == 0)
        return 0;
    if (errno != ENOENT)
        return errno;
    char *folder = file_folder(path);
    int error = folder == NULL || access(folder, W_OK | X_OK) == 0 ? 0 : errno;
    free(folder);
    return error;
}
