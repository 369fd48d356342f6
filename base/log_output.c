#include "base/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file, under the same number for good: a thread may be about to write there. */
static _Atomic int output_fd = -1;
static char *output_path;

static _Atomic uint64_t lines_missing;
static _Atomic int missing_error;
static _Atomic bool is_torn; /* the last line in the file is not whole */

/* ---- Standard error ---- */

/* systemd says which file the journal is: sd-journal(3), $JOURNAL_STREAM. */
static bool stderr_is_journal(void)
{
    enum { UNKNOWN, NO, YES };
    static _Atomic int answer = UNKNOWN;
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == UNKNOWN) {
        struct stat found;
        unsigned long device, inode;
        const char *stream = getenv("JOURNAL_STREAM");
        known = stream != NULL && sscanf(stream, "%lu:%lu", &device, &inode) == 2 &&
                        fstat(STDERR_FILENO, &found) == 0 && found.st_dev == device &&
                        found.st_ino == inode
                    ? YES
                    : NO;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == YES;
}

/* One write keeps lines of several threads whole; a closed stderr is nobody's loss. */
static void write_to_stderr(const struct log_output *line)
{
    static const char priorities[] = {'3', '4', '5', '6', '7', '7'}; /* of syslog(3), by level */
    ssize_t written;
    if (stderr_is_journal()) {
        char text[3 + LOG_LINE_SIZE] = {'<', priorities[line->level], '>'};
        memcpy(text + 3, line->text, line->size);
        written = write(STDERR_FILENO, text, 3 + line->size);
    } else {
        written = write(STDERR_FILENO, line->text, line->size);
    }
    (void)written;
}

/* ---- The file ---- */

static bool write_to_file(int fd, const struct log_output *line)
{
    ssize_t written = write(fd, line->text, line->size);
    if (written == (ssize_t)line->size)
        return true;
    atomic_store(&missing_error, written < 0 ? errno : ENOSPC);
    if (written > 0)
        atomic_store(&is_torn, true);
    return false;
}

uint64_t log_output_take_missing(int *error)
{
    if (atomic_load_explicit(&lines_missing, memory_order_relaxed) == 0)
        return 0;
    *error = atomic_load(&missing_error);
    return atomic_exchange(&lines_missing, 0);
}

void log_output_close_gap(const struct log_output *line, uint64_t missing)
{
    int fd = atomic_load(&output_fd);
    if (atomic_load(&is_torn) && write(fd, "\n", 1) == 1)
        atomic_store(&is_torn, false);
    if (atomic_load(&is_torn) || !write_to_file(fd, line))
        atomic_fetch_add(&lines_missing, missing);
}

void log_output_write(const struct log_output *line)
{
    int fd = atomic_load_explicit(&output_fd, memory_order_relaxed);
    if (fd >= 0 && write_to_file(fd, line))
        return;
    if (fd >= 0)
        atomic_fetch_add(&lines_missing, 1);
    write_to_stderr(line);
}

/* A FIFO that nobody reads, or that is full, is no reason to stand still. */
static int open_file(const char *path, char *error, size_t error_size)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        snprintf(error, error_size, "cannot write the log \"%s\": %s", path, strerror(errno));
    return fd;
}

enum status log_output_open(const char *path, char *error, size_t error_size)
{
    int fd = open_file(path, error, error_size);
    if (fd < 0)
        return STATUS_IO;
    output_path = strdup(path);
    if (output_path == NULL) {
        close(fd);
        return STATUS_NO_MEMORY;
    }
    atomic_store(&output_fd, fd);
    return STATUS_OK;
}

enum status log_output_reopen(char *error, size_t error_size)
{
    if (atomic_load(&output_fd) < 0)
        return STATUS_OK;
#ifdef SEEDED_BUG_LOG_NOT_REOPENED
    return STATUS_OK;
#endif
    int fd = open_file(output_path, error, error_size);
    if (fd < 0)
        return STATUS_IO;
    int same = dup3(fd, atomic_load(&output_fd), O_CLOEXEC);
    if (same < 0)
        snprintf(error, error_size, "cannot write the log \"%s\": %s", output_path,
                 strerror(errno));
    close(fd);
    return same >= 0 ? STATUS_OK : STATUS_IO;
}
