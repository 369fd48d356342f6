/* Base64 (RFC 4648 section 4), strictly: no white space, and padded to the end. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

/* Characters for so many bytes, without a zero. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)

/* False: it is not base64, or more than `capacity` bytes. */
bool base64_decode(struct bytes text, uint8_t *out, size_t capacity, size_t *out_size);
/* Writes BASE64_SIZE(data.size) characters and a zero. */
void base64_encode(struct bytes data, char *out);

#endif
