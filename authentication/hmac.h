/* HMAC with SHA-256 (RFC 2104), by wolfCrypt. */
#ifndef AUTHENTICATION_HMAC_H
#define AUTHENTICATION_HMAC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

enum { HMAC_SIZE = 32 };

/* Of the parts one behind the other. False: the library has no memory for it; `out` is zero. */
bool hmac_sha256(struct bytes key, const struct bytes *parts, size_t count, uint8_t out[HMAC_SIZE]);
/* Whether they are the same; takes the same time wherever they differ. */
bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t size);

#endif
