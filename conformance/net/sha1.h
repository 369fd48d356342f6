/* SHA-1 (RFC 3174), for the one place where RFC 6455 wants it, and Base64 (RFC 4648). */
#ifndef CONFORMANCE_SHA1_H
#define CONFORMANCE_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { SHA1_SIZE = 20 };

void sha1(const void *data, size_t size, uint8_t digest[SHA1_SIZE]);

/* `out` has room for 4 * ((size + 2) / 3) + 1. */
void base64(const void *data, size_t size, char *out);

#endif
