/* What the system answers to calls that a broker has no use for: preloaded into one, it makes them
 * on the thread that gets SIGUSR1, and writes a line "NAME ERRNO" for each into the FIFO that
 * HOLDFAST_TEST_CALLS names. Their arguments are such that none has an effect where it is let
 * through. See cases/sandbox.py. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t parent; /* who is asked before the filter: it is a call of its own */

static void note(int fd, const char *name, long result)
{
    char line[80];
    int size = snprintf(line, sizeof line, "%s %d\n", name, result == -1 ? errno : 0);
    if (write(fd, line, (size_t)size) < 0)
        abort();
}

static long clone_process(void)
{
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        syscall(SYS_exit_group, 0);
    return child;
}

static long socket_of(int family, int type)
{
    int fd = socket(family, type, 0);
    if (fd >= 0)
        close(fd);
    return fd;
}

static long map_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static long make_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static void try_all(int signal)
{
    (void)signal;
    int fd = open(getenv("HOLDFAST_TEST_CALLS"), O_WRONLY | O_CLOEXEC);
    note(fd, "execve", syscall(SYS_execve, NULL, NULL, NULL));
    note(fd, "execveat", syscall(SYS_execveat, -1, NULL, NULL, NULL, 0));
    note(fd, "clone", clone_process());
    note(fd, "clone3", syscall(SYS_clone3, NULL, 0));
    note(fd, "socket-inet", socket_of(AF_INET, SOCK_STREAM));
    note(fd, "socket-inet6", socket_of(AF_INET6, SOCK_STREAM));
    note(fd, "socket-netlink", socket_of(AF_NETLINK, SOCK_RAW));
    note(fd, "connect", syscall(SYS_connect, -1, NULL, 0));
    note(fd, "sendto-fastopen", syscall(SYS_sendto, -1, NULL, 0, MSG_FASTOPEN, NULL, 0));
    note(fd, "sendmsg-fastopen", syscall(SYS_sendmsg, -1, NULL, MSG_FASTOPEN));
    note(fd, "mmap-exec", map_executable());
    note(fd, "mprotect-exec", make_executable());
    note(fd, "memfd_create", syscall(SYS_memfd_create, NULL, 0));
    note(fd, "io_uring_setup", syscall(SYS_io_uring_setup, 0, NULL));
    note(fd, "setresuid", syscall(SYS_setresuid, -1, -1, -1));
    note(fd, "unshare", syscall(SYS_unshare, 0));
    note(fd, "personality", syscall(SYS_personality, 0xffffffff));
    note(fd, "prctl-dumpable", prctl(PR_GET_DUMPABLE) < 0 ? -1 : 0);
    note(fd, "kill-other", kill(parent, 0));
    note(fd, "tgkill-self", syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0));
    note(fd, "end", 0);
    close(fd);
}

__attribute__((constructor)) static void listen_to_signal(void)
{
    parent = getppid();
    struct sigaction action = {.sa_handler = try_all, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
}

/* HOLDFAST_TEST_OLD_KERNEL: a system that has no filters of calls. */
int prctl(int option, ...)
{
    unsigned long argument[4];
    va_list arguments;
    va_start(arguments, option);
    for (int i = 0; i < 4; i++)
        argument[i] = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (option == PR_SET_NO_NEW_PRIVS && getenv("HOLDFAST_TEST_OLD_KERNEL") != NULL) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_prctl, option, argument[0], argument[1], argument[2], argument[3]);
}
