#include "conformance/net/scram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/pwdbased.h>
#include <wolfssl/wolfcrypt/sha256.h>

enum { SALT_MAX = 256, ITERATIONS_MAX = 1000000 };

/* No input of these can make the library's calls fail, only a lack of memory. */
static void demand(int result)
{
    if (result == 0)
        return;
    fprintf(stderr, "a calculation of SCRAM failed: wolfSSL error %d\n", result);
    abort();
}

static void base64(const uint8_t *data, unsigned size, char *out, unsigned room)
{
    word32 length = room - 1;
    demand(Base64_Encode_NoNl(data, size, (byte *)out, &length));
    out[length] = '\0';
}

static void hmac(const uint8_t key[SCRAM_KEY_SIZE], const char *message,
                 uint8_t out[SCRAM_KEY_SIZE])
{
    Hmac state;
    demand(wc_HmacInit(&state, NULL, INVALID_DEVID));
    demand(wc_HmacSetKey(&state, WC_SHA256, key, SCRAM_KEY_SIZE));
    demand(wc_HmacUpdate(&state, (const byte *)message, (word32)strlen(message)));
    demand(wc_HmacFinal(&state, out));
    wc_HmacFree(&state);
}

void scram_keys_of(const char *password, struct text salt, unsigned iterations,
                   struct scram_keys *out)
{
    uint8_t salted[SCRAM_KEY_SIZE];
    demand(wc_PBKDF2(salted, (const byte *)password, (int)strlen(password), salt.data,
                     (int)salt.size, (int)iterations, sizeof salted, WC_SHA256));
    hmac(salted, "Client Key", out->client);
    hmac(salted, "Server Key", out->server);
    demand(wc_Sha256Hash(out->client, sizeof out->client, out->stored));
}

void scram_proof(const struct scram_keys *keys, const char *auth_message,
                 char out[SCRAM_BASE64_SIZE])
{
    uint8_t proof[SCRAM_KEY_SIZE];
    hmac(keys->stored, auth_message, proof);
    for (unsigned i = 0; i < sizeof proof; i++)
        proof[i] ^= keys->client[i];
    base64(proof, sizeof proof, out, SCRAM_BASE64_SIZE);
}

void scram_signature(const struct scram_keys *keys, const char *auth_message,
                     char out[SCRAM_BASE64_SIZE])
{
    uint8_t signature[SCRAM_KEY_SIZE];
    hmac(keys->server, auth_message, signature);
    base64(signature, sizeof signature, out, SCRAM_BASE64_SIZE);
}

bool scram_attribute(struct text message, char name, struct text *out)
{
    for (size_t at = 0; at < message.size;) {
        size_t end = at;
        while (end < message.size && message.data[end] != ',')
            end++;
        if (end - at >= 2 && message.data[at] == (uint8_t)name && message.data[at + 1] == '=') {
            *out = (struct text){message.data + at + 2, end - at - 2};
            return true;
        }
        at = end + 1;
    }
    return false;
}

void scram_nonce(char nonce[SCRAM_NONCE_SIZE])
{
    uint8_t bytes[18];
    demand(getrandom(bytes, sizeof bytes, 0) == sizeof bytes ? 0 : -1);
    base64(bytes, sizeof bytes, nonce, SCRAM_NONCE_SIZE);
}

/* ---- The client ---- */

static const char *header_of(const struct scram_client *client)
{
    return client->header ? client->header : "n,,";
}

bool scram_client_first(struct scram_client *client)
{
    char name[SCRAM_MESSAGE_SIZE];
    size_t size = 0;
    for (const char *at = client->user; *at; at++) {
        const char *escaped = *at == ',' ? "=2C" : *at == '=' ? "=3D" : NULL;
        if (size + 4 > sizeof name)
            return false;
        if (escaped) {
            memcpy(name + size, escaped, 3);
            size += 3;
        } else {
            name[size++] = *at;
        }
    }
    int length = snprintf(client->first, sizeof client->first, "%sn=%.*s,r=%s", header_of(client),
                          (int)size, name, client->nonce);
    return length < (int)sizeof client->first;
}

struct challenge {
    struct text nonce, salt;
    uint8_t salt_bytes[SALT_MAX];
    unsigned iterations;
};

static unsigned number_of(struct text digits)
{
    unsigned value = 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9' || value > ITERATIONS_MAX)
            return 0;
        value = 10 * value + (digits.data[i] - '0');
    }
    return value <= ITERATIONS_MAX ? value : 0;
}

static const char *read_challenge(const struct scram_client *client, struct text message,
                                  struct challenge *out)
{
    struct text salt, iterations, other;
    size_t own = strlen(client->nonce);
    word32 salt_size = sizeof out->salt_bytes;
    if (message.size >= SCRAM_MESSAGE_SIZE || memchr(message.data, 0, message.size))
        return "it is too long, or has a NUL in it";
    if (scram_attribute(message, 'm', &other))
        return "it demands an extension that RFC 5802 does not know";
    if (!scram_attribute(message, 'r', &out->nonce) || !scram_attribute(message, 's', &salt) ||
        !scram_attribute(message, 'i', &iterations))
        return "it lacks r=, s= or i=";
    if (out->nonce.size <= own || memcmp(out->nonce.data, client->nonce, own) != 0)
        return "its nonce is not the client's with more behind it";
    if (salt.size == 0 || salt.size % 4 != 0 ||
        Base64_Decode(salt.data, (word32)salt.size, out->salt_bytes, &salt_size))
        return "its salt is not base64";
    out->salt = (struct text){out->salt_bytes, salt_size};
    out->iterations = number_of(iterations);
    if (out->iterations == 0)
        return "its iteration count is no number from 1 to 1000000";
    return NULL;
}

const char *scram_client_final_of(struct scram_client *client, struct text server_first,
                                  const char *without_proof)
{
    struct challenge challenge;
    struct scram_keys keys;
    char auth_message[3 * SCRAM_MESSAGE_SIZE], proof[SCRAM_BASE64_SIZE];
    const char *problem = read_challenge(client, server_first, &challenge);
    if (problem)
        return problem;
    snprintf(auth_message, sizeof auth_message, "%s,%.*s,%s",
             client->first + strlen(header_of(client)), (int)server_first.size,
             (const char *)server_first.data, without_proof);
    scram_keys_of(client->password, challenge.salt, challenge.iterations, &keys);
    scram_proof(&keys, auth_message, proof);
    scram_signature(&keys, auth_message, client->signature);
    int length = snprintf(client->final, sizeof client->final, "%s,p=%s", without_proof, proof);
    return length < (int)sizeof client->final ? NULL : "its nonce is too long";
}

const char *scram_client_final(struct scram_client *client, struct text server_first)
{
    struct challenge challenge;
    char without_proof[SCRAM_MESSAGE_SIZE], binding[64];
    const char *problem = read_challenge(client, server_first, &challenge);
    if (problem)
        return problem;
    const char *header = header_of(client);
    base64((const uint8_t *)header, (unsigned)strlen(header), binding, sizeof binding);
    snprintf(without_proof, sizeof without_proof, "c=%s,r=%.*s", binding, (int)challenge.nonce.size,
             (const char *)challenge.nonce.data);
    return scram_client_final_of(client, server_first, without_proof);
}

bool scram_client_verifies(const struct scram_client *client, struct text server_final)
{
    struct text signature;
    return scram_attribute(server_final, 'v', &signature) &&
           text_equal(signature, text_of(client->signature));
}
