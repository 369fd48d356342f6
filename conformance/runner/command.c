#include "conformance/runner/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A session of its own: Ctrl-C in our terminal is not for the server that the command starts. */
static int spawn(const char *command, int output, pid_t *out)
{
    char *const arguments[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    int status = posix_spawn(out, "/bin/sh", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return status;
}

/* Waits for the process; false if it had to be killed. */
static bool wait_for(pid_t process, unsigned limit_ms, int *status)
{
    bool ended = true;
    int handle = (int)syscall(SYS_pidfd_open, process, 0);
    if (handle >= 0) {
        struct pollfd watched = {.fd = handle, .events = POLLIN};
        int ready;
        while ((ready = poll(&watched, 1, (int)limit_ms)) < 0 && errno == EINTR)
            continue;
        ended = ready > 0;
        close(handle);
    }
    if (!ended)
        kill(-process, SIGKILL);
    while (waitpid(process, status, 0) < 0 && errno == EINTR)
        continue;
    return ended;
}

static void read_end(int file, char output[COMMAND_OUTPUT_SIZE])
{
    off_t size = lseek(file, 0, SEEK_END);
    off_t from = size >= COMMAND_OUTPUT_SIZE ? size - (COMMAND_OUTPUT_SIZE - 1) : 0;
    ssize_t got = pread(file, output, COMMAND_OUTPUT_SIZE - 1, from);
    output[got > 0 ? got : 0] = '\0';
}

bool command_run(const char *command, unsigned limit_ms, char output[COMMAND_OUTPUT_SIZE],
                 char *error, size_t error_size)
{
    int status = 0;
    pid_t process;
    output[0] = '\0';
    int file = memfd_create("output", MFD_CLOEXEC);
    int failure = file < 0 ? errno : spawn(command, file, &process);
    if (failure != 0) {
        snprintf(error, error_size, "\"%s\" cannot be run: %s", command, strerror(failure));
        if (file >= 0)
            close(file);
        return false;
    }
    bool ended = wait_for(process, limit_ms, &status);
    read_end(file, output);
    close(file);
    if (!ended)
        snprintf(error, error_size, "\"%s\" did not end within %u s", command, limit_ms / 1000);
    else if (WIFSIGNALED(status))
        snprintf(error, error_size, "\"%s\" was ended by signal %d", command, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(error, error_size, "\"%s\" ended with status %d", command, WEXITSTATUS(status));
    else
        return true;
    return false;
}
