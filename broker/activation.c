#include "broker/activation.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/address.h"

enum { FIRST = 3, MOST = 64 };

static int count_inherited(void)
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    if (count == NULL || pid == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    long found = strtol(count, NULL, 10);
    return found < 0 ? 0 : found < MOST ? (int)found : MOST;
}

static bool listens_at(int fd, const char *wanted)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char text[ADDRESS_TEXT_SIZE];
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0 ||
        (bound.ss_family != AF_INET && bound.ss_family != AF_INET6))
        return false;
    struct address here = address_of((const struct sockaddr *)&bound);
    return strcmp(address_text(&here, text), wanted) == 0;
}

int activation_take(const struct sockaddr *address)
{
    char wanted[ADDRESS_TEXT_SIZE];
    int count = count_inherited();
#ifdef SEEDED_BUG_ACTIVATION_IGNORED
    count = 0;
#endif
    if (count == 0)
        return -1;
    struct address there = address_of(address);
    address_text(&there, wanted);
    for (int fd = FIRST; fd < FIRST + count; fd++) {
        if (!listens_at(fd, wanted))
            continue;
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
            fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
            return fd;
    }
    return -1;
}
