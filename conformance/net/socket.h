/* A non-blocking TCP connection. */
#ifndef CONFORMANCE_SOCKET_H
#define CONFORMANCE_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/* Tries each of the host's addresses. The descriptor, or -1 and a sentence in `error`. */
int socket_open(const char *host, const char *port, uint64_t deadline_ms, char *error,
                size_t error_size);

/* Waits for `events` of poll(2) until the deadline; 0 if it passed. */
int socket_wait(int fd, short events, uint64_t deadline_ms);

/* Closes; `reset`: with a TCP reset instead of a FIN. */
void socket_close(int fd, int reset);

#endif
