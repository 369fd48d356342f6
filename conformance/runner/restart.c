#include "conformance/runner/restart.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ASK_EVERY_MS = 50, WITNESS_LIMIT_MS = 2000 };

/* ---- A connection made before the outage: if it lives on, there was none ---- */

static int connect_to(const struct addrinfo *address)
{
    int socket_ = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC, 0);
    if (socket_ >= 0 && connect(socket_, address->ai_addr, address->ai_addrlen) != 0) {
        close(socket_);
        socket_ = -1;
    }
    return socket_;
}

static int witness_open(const struct target *target)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    int witness = -1;
    if (getaddrinfo(target->host, target->port, &wanted, &found) != 0)
        return -1;
    for (const struct addrinfo *at = found; at && witness < 0; at = at->ai_next)
        witness = connect_to(at);
    freeaddrinfo(found);
    return witness;
}

/* Whether the other side has closed; a server may also have sent something before. */
static bool witness_saw_the_end(int witness)
{
    uint64_t until_ms = clock_ms() + WITNESS_LIMIT_MS;
    for (;;) {
        uint64_t now_ms = clock_ms();
        struct pollfd watched = {.fd = witness, .events = POLLIN};
        int left_ms = now_ms < until_ms ? (int)(until_ms - now_ms) : 0;
        if (poll(&watched, 1, left_ms) == 0)
            return false;
        char byte[256];
        ssize_t got = recv(witness, byte, sizeof byte, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return true;
    }
}

/* ---- The outage ---- */

bool restart_await(const struct target *target, enum version version, unsigned limit_ms,
                   char *error, size_t error_size)
{
    struct server_features ignored;
    uint64_t until_ms = clock_ms() + limit_ms;
    while (!server_probe(target, version, &ignored, error, error_size)) {
        if (clock_ms() >= until_ms)
            return false;
        /* A server that is not there yet sends no event to wait for. */
        nanosleep(&(struct timespec){.tv_nsec = ASK_EVERY_MS * 1000000L}, NULL);
    }
    return true;
}

static void add_last_line(char error[OUTAGE_ERROR_SIZE], char *output)
{
    size_t size = strlen(output);
    while (size && output[size - 1] == '\n')
        output[--size] = '\0';
    const char *last = strrchr(output, '\n');
    last = last ? last + 1 : output;
    size_t used = strlen(error);
    if (*last)
        snprintf(error + used, OUTAGE_ERROR_SIZE - used, ": %s", last);
}

static bool make(struct restart *restart, const char *command, char error[OUTAGE_ERROR_SIZE])
{
    char what[OUTAGE_ERROR_SIZE / 2];
    int witness = witness_open(restart->target);
    bool ok =
        command_run(command, restart->command_limit_ms, restart->output, error, OUTAGE_ERROR_SIZE);
    if (!ok)
        add_last_line(error, restart->output);
    if (ok && witness >= 0 && !witness_saw_the_end(witness)) {
        snprintf(error, OUTAGE_ERROR_SIZE,
                 "\"%.400s\" did not stop the server: a connection made before it is still open",
                 command);
        ok = false;
    }
    if (witness >= 0)
        close(witness);
    if (ok && !restart_await(restart->target, restart->version, restart->return_limit_ms, what,
                             sizeof what)) {
        snprintf(error, OUTAGE_ERROR_SIZE, "the server was not back %u s after \"%.400s\": %.400s",
                 restart->return_limit_ms / 1000, command, what);
        ok = false;
    }
    return ok;
}

bool restart_make(void *context, enum outage kind, char error[OUTAGE_ERROR_SIZE])
{
    struct restart *restart = context;
    const char *command = restart->commands[kind];
    if (!command)
        command = restart->commands[kind == OUTAGE_KILL ? OUTAGE_RESTART : OUTAGE_KILL];
    return make(restart, command, error);
}
