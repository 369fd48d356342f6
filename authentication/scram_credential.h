/* What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 section 3): enough to tell whether
 * a client knows it, and not enough to be that client.
 *
 * As text, as PostgreSQL has it: SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY in base64. */
#ifndef AUTHENTICATION_SCRAM_CREDENTIAL_H
#define AUTHENTICATION_SCRAM_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "authentication/hmac.h"
#include "base/bytes.h"

enum {
    SCRAM_CREDENTIAL_SALT_MAX = 64,
    SCRAM_CREDENTIAL_ITERATIONS_MIN = 4096, /* RFC 7677 section 4 */
    SCRAM_CREDENTIAL_ITERATIONS_MAX = 10000000,
    SCRAM_CREDENTIAL_TEXT_SIZE = 256, /* the longest, with its zero */
};

struct scram_credential {
    uint32_t iterations;
    uint32_t salt_size;
    uint8_t salt[SCRAM_CREDENTIAL_SALT_MAX];
    uint8_t stored_key[HMAC_SIZE], server_key[HMAC_SIZE];
};

/* Whether a hash is meant to be one. */
bool scram_credential_is(const char *text);
/* False: it is none, or has fewer iterations than RFC 7677 allows. */
bool scram_credential_parse(const char *text, struct scram_credential *out);
void scram_credential_print(const struct scram_credential *credential,
                            char out[SCRAM_CREDENTIAL_TEXT_SIZE]);

/* Fills in the keys, for the salt and the iterations that are there. Takes their time. False: there
 * is no memory for it. */
bool scram_credential_derive(struct scram_credential *credential, struct bytes password);

#endif
