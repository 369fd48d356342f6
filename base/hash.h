/* SipHash-1-3, a keyed hash: peers choose client identifiers and topics, so an unkeyed hash would
 * let them choose collisions. The key is drawn once per process. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t size);

#endif
