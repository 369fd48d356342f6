/* The keys that sign tokens, and whether one of them has signed this. */
#ifndef AUTHENTICATION_JWT_KEY_H
#define AUTHENTICATION_JWT_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

enum jwt_algorithm { JWT_HS256, JWT_RS256, JWT_ES256, JWT_ALGORITHMS };

extern const char *const jwt_algorithm_names[JWT_ALGORITHMS];

struct jwt_key {
    enum jwt_algorithm algorithm;
    uint64_t id;   /* the first bytes of a hash of it */
    uint8_t *data; /* a secret, or SubjectPublicKeyInfo in DER; the heap */
    size_t size;
};

/* Copies `secret`, or `der`, which is a public key of RSA with 2048 bits or more, or of P-256: else
 * INVALID. */
enum status MUST_USE jwt_key_from_secret(struct bytes secret, struct jwt_key *out);
enum status MUST_USE jwt_key_from_der(struct bytes der, struct jwt_key *out);
void jwt_key_fini(struct jwt_key *key); /* wipes it */

/* Whether `signature`, as it stands in a token, is this key's under `text`. Any thread. */
bool jwt_key_has_signed(const struct jwt_key *key, struct bytes text, struct bytes signature);

#endif
