/* A non-blocking TCP connection. */
#ifndef CONFORMANCE_SOCKET_H
#define CONFORMANCE_SOCKET_H

#include <stdint.h>

struct addrinfo;

/* Tries each of the addresses. The descriptor, or -1 and errno. */
int socket_open(const struct addrinfo *addresses, uint64_t deadline_ms);

/* Waits for `events` of poll(2) until the deadline; 0 if it passed. */
int socket_wait(int fd, short events, uint64_t deadline_ms);

/* Closes; `reset`: with a TCP reset instead of a FIN. */
void socket_close(int fd, int reset);

/* For what comes next: a server that sends small packets without TCP_NODELAY holds each back until
 * the one before is acknowledged, and the kernel would take 40 ms over that. */
void socket_acknowledge_at_once(int fd);

#endif
