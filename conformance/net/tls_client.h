/* The client's side of TLS over a non-blocking socket. */
#ifndef CONFORMANCE_TLS_CLIENT_H
#define CONFORMANCE_TLS_CLIENT_H

#include <stddef.h>
#include <sys/types.h>

#include "conformance/net/target.h"

struct tls_client;

/* NULL and a sentence in `error` if the files of `target` cannot be used. */
struct tls_client *tls_client_new(const struct target *target, int fd, char *error,
                                  size_t error_size);
void tls_client_free(struct tls_client *client);

/* 0: done; else what to wait for with poll(2); negative: failed. */
short tls_client_handshake(struct tls_client *client);

/* As recv(2) and send(2) of a non-blocking socket; EPROTO where the server broke TLS. */
ssize_t tls_client_read(struct tls_client *client, void *data, size_t size);
ssize_t tls_client_write(struct tls_client *client, const void *data, size_t size);

/* The latest failure in words; lives as long as the client. */
const char *tls_client_error(struct tls_client *client);

#endif
