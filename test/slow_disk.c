/* A disk that can be held: preloaded into a broker, it lets fsync and fdatasync wait for as long as
 * a file named by HOLDFAST_TEST_DISK exists. The test decides when the disk answers, so "not before
 * it is durable" is seen without a race. The first sync to wait creates <that file>.waiting.
 * See slow_disk.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_while_held(void)
{
    const char *held = getenv("HOLDFAST_TEST_DISK");
    if (held == NULL || access(held, F_OK) != 0)
        return;
    char waiting[4096];
    snprintf(waiting, sizeof waiting, "%s.waiting", held);
    int fd = open(waiting, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    while (access(held, F_OK) == 0)
        usleep(1000);
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
