#include "authentication/scram_credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#include "base/base64.h"

static const char prefix[] = "SCRAM-SHA-256$";

bool scram_credential_is(const char *text)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What stands before `end`, which is skipped. */
static bool take(const char **text, char end, uint8_t *out, size_t capacity, size_t *out_size)
{
    const char *found = end != '\0' ? strchr(*text, end) : *text + strlen(*text);
    if (found == NULL ||
        !base64_decode(bytes_of(*text, (size_t)(found - *text)), out, capacity, out_size))
        return false;
    *text = found + (end != '\0');
    return true;
}

bool scram_credential_parse(const char *text, struct scram_credential *out)
{
    char *end;
    size_t salt_size, stored_size, server_size;
    if (!scram_credential_is(text) || strlen(text) >= SCRAM_CREDENTIAL_TEXT_SIZE)
        return false;
    text += strlen(prefix);
    if (text[0] < '1' || text[0] > '9')
        return false;
    unsigned long iterations = strtoul(text, &end, 10);
    if (*end != ':' || iterations < SCRAM_CREDENTIAL_ITERATIONS_MIN ||
        iterations > SCRAM_CREDENTIAL_ITERATIONS_MAX)
        return false;
    text = end + 1;
    if (!take(&text, '$', out->salt, sizeof out->salt, &salt_size) ||
        !take(&text, ':', out->stored_key, sizeof out->stored_key, &stored_size) ||
        !take(&text, '\0', out->server_key, sizeof out->server_key, &server_size))
        return false;
    out->iterations = (uint32_t)iterations;
    out->salt_size = (uint32_t)salt_size;
    return salt_size > 0 && stored_size == HMAC_SIZE && server_size == HMAC_SIZE;
}

void scram_credential_print(const struct scram_credential *credential,
                            char out[SCRAM_CREDENTIAL_TEXT_SIZE])
{
    char salt[BASE64_SIZE(SCRAM_CREDENTIAL_SALT_MAX) + 1];
    char stored[BASE64_SIZE(HMAC_SIZE) + 1], server[BASE64_SIZE(HMAC_SIZE) + 1];
    base64_encode(bytes_of(credential->salt, credential->salt_size), salt);
    base64_encode(bytes_of(credential->stored_key, HMAC_SIZE), stored);
    base64_encode(bytes_of(credential->server_key, HMAC_SIZE), server);
    snprintf(out, SCRAM_CREDENTIAL_TEXT_SIZE, "%s%u:%s$%s:%s", prefix, credential->iterations, salt,
             stored, server);
}

static bool derive_key(const uint8_t salted[HMAC_SIZE], const char *name, uint8_t out[HMAC_SIZE])
{
    struct bytes part = bytes_of_text(name);
    return hmac_sha256(bytes_of(salted, HMAC_SIZE), &part, 1, out);
}

bool scram_credential_derive(struct scram_credential *credential, struct bytes password)
{
    uint8_t salted[HMAC_SIZE], client_key[HMAC_SIZE];
    bool sound = password.size <= UINT16_MAX &&
                 wc_PBKDF2(salted, password.data, (int)password.size, credential->salt,
                           (int)credential->salt_size, (int)credential->iterations, sizeof salted,
                           WC_SHA256) == 0 &&
                 derive_key(salted, "Client Key", client_key) &&
                 wc_Sha256Hash(client_key, sizeof client_key, credential->stored_key) == 0 &&
                 derive_key(salted, "Server Key", credential->server_key);
    explicit_bzero(salted, sizeof salted);
    explicit_bzero(client_key, sizeof client_key);
    return sound;
}
