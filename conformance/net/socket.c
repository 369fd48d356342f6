#include "conformance/net/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/net/transport.h"

int socket_wait(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = transport_clock_ms();
        int left = now >= deadline_ms                 ? 0
                   : deadline_ms - now > 1000u * 3600 ? 1000 * 3600
                                                      : (int)(deadline_ms - now);
        struct pollfd entry = {.fd = fd, .events = events};
        int ready = poll(&entry, 1, left);
        if (ready > 0)
            return 1;
        if (ready < 0 && errno == EINTR)
            continue;
        if (transport_clock_ms() >= deadline_ms)
            return 0;
    }
}

void socket_close(int fd, int reset)
{
    if (reset) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(fd);
}

void socket_acknowledge_at_once(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* The descriptor, or -1 and errno. */
static int connect_to(const struct addrinfo *address, uint64_t deadline_ms)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int error = 0;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        error = errno;
        if (error == EINPROGRESS) {
            socklen_t size = sizeof error;
            if (!socket_wait(fd, POLLOUT, deadline_ms))
                error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        }
    }
    if (error) {
        close(fd);
        errno = error;
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int socket_open(const struct addrinfo *addresses, uint64_t deadline_ms)
{
    int fd = -1;
    for (const struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next)
        fd = connect_to(address, deadline_ms);
    return fd;
}
