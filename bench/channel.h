/* TLS 1.3 on a client's socket, by wolfSSL's client side. The server's certificate is not verified:
 * what is measured is the server. One context for the process; one thread. */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct channel;

/* On a connected socket that does not block and stays the caller's. `resume`: with the last session
 * that channel_keep_session() kept, if there is one. */
struct channel *channel_new(int fd, bool resume);
/* Sends no close_notify. NULL is allowed. */
void channel_free(struct channel *channel /* takes */);

enum channel_result { CHANNEL_DONE, CHANNEL_WANTS_READ, CHANNEL_WANTS_WRITE, CHANNEL_FAILED };

/* Goes on with the handshake. */
enum channel_result channel_handshake(struct channel *channel);
bool channel_was_resumed(struct channel *channel);
/* Keeps the session for later ones: once its ticket has been read. */
void channel_keep_session(struct channel *channel);

/* Bytes read or written; 0: none for now; -1: the connection has ended or failed. What was not
 * written has to come first in the next call. */
ssize_t channel_read(struct channel *channel, void *out, size_t capacity);
ssize_t channel_write(struct channel *channel, const void *data, size_t size);

/* Handshakes in memory with both sides from the library, on this thread, for so long: CPU time of
 * the server's side, in us for each. 0: the certificate or key cannot be used. */
double channel_library_us(const char *certificate, const char *key, bool resumed,
                          unsigned milliseconds);

#endif
