/* Tokens in the place of passwords: JWT (RFC 7519) with HS256, RS256 or ES256 (RFC 7518).
 *
 * Which algorithm counts is what the key is for, never what a token says: its "alg" has to be the
 * one of a key that we have. A signature is verified before anything but the header is looked at.
 *
 * The keys are immutable once read; any thread. */
#ifndef AUTHENTICATION_JWT_H
#define AUTHENTICATION_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

enum {
    JWT_TOKEN_MAX = 8192, /* bytes */
    JWT_DEPTH_MAX = 8,    /* of JSON within JSON */
    JWT_SECRET_MIN = 32,  /* bytes, as RFC 7518 section 3.2 demands */
    JWT_SECRET_MAX = 1024,
    JWT_FILE_MAX = 1 << 20,
    JWT_LEEWAY_S = 30, /* for a clock that is ahead of ours when a token begins */
};

/* What a listener's tokens are measured by. Borrowed; NULL: none. */
struct jwt_options {
    const char *key_file;    /* PEM: "PUBLIC KEY" blocks, RSA for RS256 and P-256 for ES256 */
    const char *secret_file; /* its first line is the secret of HS256 */
    const char *audience;    /* NULL: a token that has an audience is for somebody else */
    const char *issuer;      /* NULL: anyone who has a key */
};

struct jwt_keys;

/* At least one of the files has to be given. Copies what it needs. `error` says which file and what
 * is wrong with it, never a secret. */
enum status MUST_USE jwt_keys_load(const struct jwt_options *options, struct jwt_keys **out,
                                   char *error, size_t error_size);
void jwt_keys_free(struct jwt_keys *keys); /* or NULL; wipes secrets */
size_t jwt_keys_count(const struct jwt_keys *keys);

/* Whether it has the form of a token: three parts, of which the first begins a JSON object. */
bool jwt_is_token(struct bytes password);

struct jwt_proof {
    int64_t expires_s; /* Unix time; what is good for less than this is good no more */
    uint64_t key;      /* stands for the key that has signed it: jwt_keys_have() */
};

/* NULL: the token is good for this user ("sub") now, and `out` is filled in; else what is wrong
 * with it, in one sentence for the log. */
const char *jwt_verify(const struct jwt_keys *keys, struct bytes token, struct bytes user_name,
                       int64_t now_s, struct jwt_proof *out);
/* Whether a key is still there that has signed a token. */
bool jwt_keys_have(const struct jwt_keys *keys, uint64_t key);

#endif
