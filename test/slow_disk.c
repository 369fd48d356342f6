/* A disk that can be held: preloaded into a broker, it lets fsync and fdatasync wait for as long as
 * somebody has the lock of the file named by HOLDFAST_TEST_DISK. The test decides when the disk
 * answers, so "not before it is durable" is seen without a race. Who has to wait writes a byte into
 * the FIFO <that file>.waiting. See slow_disk.py. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(const char *held)
{
    char waiting[4096];
    snprintf(waiting, sizeof waiting, "%s.waiting", held);
    int fd = open(waiting, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || write(fd, "w", 1) != 1)
        abort();
    close(fd);
}

static void wait_while_held(void)
{
    const char *held = getenv("HOLDFAST_TEST_DISK");
    int fd = held != NULL ? open(held, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        tell(held);
        while (fcntl(fd, F_OFD_SETLKW, &lock) != 0)
            ;
    }
    close(fd);
}

int fsync(int fd)
{
    wait_while_held();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    wait_while_held();
    return (int)syscall(SYS_fdatasync, fd);
}
