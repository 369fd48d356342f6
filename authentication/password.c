#include "authentication/password.h"

#include <crypt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#include "authentication/hmac.h"
#include "authentication/scram_credential.h"

enum {
    SHA512_SIZE = 64,
    YESCRYPT_SIZE = 43, /* characters for 256 bits */
    SLACK = 8,          /* Base64_Decode counts the padding in */
    SALT_MAX = 64,
    ITERATIONS_MAX = 10000000, /* some seconds: more is a slip */
    RANDOM_SIZE = 16,
};

/* A setting without a hash: nothing that crypt() makes of it is equal to it. */
const char password_nobody[] = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1";

/* ---- mosquitto's ---- */

struct pbkdf2 {
    int iterations;
    unsigned salt_size;
    uint8_t salt[SALT_MAX + SLACK], digest[SHA512_SIZE + SLACK];
};

static bool decode(const char *text, size_t size, uint8_t *out, unsigned capacity,
                   unsigned *out_size)
{
    word32 decoded = capacity;
    bool sound =
        size > 0 && size <= UINT16_MAX &&
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") >= size &&
        Base64_Decode((const byte *)text, (word32)size, out, &decoded) == 0;
    *out_size = decoded;
    return sound;
}

/* "$7$101$c2FsdA==$aGFzaA==" */
static bool parse_pbkdf2(const char *hash, struct pbkdf2 *out)
{
    char *end;
    const char *iterations = hash + strlen("$7$");
    if (iterations[0] < '1' || iterations[0] > '9')
        return false;
    unsigned long count = strtoul(iterations, &end, 10);
    if (*end != '$' || count > ITERATIONS_MAX)
        return false;
    const char *salt = end + 1, *digest = strchr(salt, '$');
    if (digest == NULL)
        return false;
    unsigned digest_size;
    out->iterations = (int)count;
    return decode(salt, (size_t)(digest - salt), out->salt, sizeof out->salt, &out->salt_size) &&
           decode(digest + 1, strlen(digest + 1), out->digest, sizeof out->digest, &digest_size) &&
           digest_size == SHA512_SIZE;
}

static bool has_zero(struct bytes password)
{
    return password.size > 0 && memchr(password.data, '\0', password.size) != NULL;
}

/* A zero at the end would make no difference to HMAC, which pads its key with zeros. */
static bool matches_pbkdf2(const char *hash, struct bytes password)
{
    struct pbkdf2 wanted;
    uint8_t digest[SHA512_SIZE];
    bool matches =
        parse_pbkdf2(hash, &wanted) && password.size <= UINT16_MAX &&
        wc_PBKDF2(digest, password.data, (int)password.size, wanted.salt, (int)wanted.salt_size,
                  wanted.iterations, sizeof digest, WC_SHA512) == 0 &&
        hmac_equal(digest, wanted.digest, sizeof digest) && !has_zero(password);
    explicit_bzero(digest, sizeof digest);
    return matches;
}

/* ---- crypt(3)'s ---- */

static bool fits_crypt(struct bytes password)
{
    return password.size > 0 && password.size <= PASSWORD_SIZE_MAX && !has_zero(password);
}

static enum status crypt_with(const char *setting, struct bytes password,
                              char out[PASSWORD_HASH_SIZE])
{
    enum status status = STATUS_NO_MEMORY;
    char phrase[PASSWORD_SIZE_MAX + 1];
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return status;
    memcpy(phrase, password.data, password.size);
    phrase[password.size] = '\0';
    const char *hashed = crypt_r(phrase, setting, data);
    if (hashed != NULL && hashed[0] != '*' && strlen(hashed) < PASSWORD_HASH_SIZE) {
        memcpy(out, hashed, strlen(hashed) + 1);
        status = STATUS_OK;
    }
    explicit_bzero(phrase, sizeof phrase);
    explicit_bzero(data, sizeof *data);
    free(data);
    return status;
}

static bool matches_crypt(const char *hash, struct bytes password)
{
    char hashed[PASSWORD_HASH_SIZE] = "";
    size_t size = strlen(hash);
    bool fits = fits_crypt(password);
    /* One that cannot be right takes its time all the same. */
    bool matches = crypt_with(hash, fits ? password : bytes_of_text("x"), hashed) == STATUS_OK &&
                   fits && strlen(hashed) == size &&
                   hmac_equal((const uint8_t *)hashed, (const uint8_t *)hash, size);
    explicit_bzero(hashed, sizeof hashed);
    return matches;
}

/* ---- SCRAM's ---- */

static bool matches_scram(const char *hash, struct bytes password)
{
    struct scram_credential wanted, made;
    bool matches = scram_credential_parse(hash, &wanted);
    made = wanted;
    matches = matches && scram_credential_derive(&made, password) &&
              hmac_equal(made.stored_key, wanted.stored_key, HMAC_SIZE) && !has_zero(password);
    explicit_bzero(&made, sizeof made);
    return matches;
}

/* ---- All of them ---- */

static bool is_pbkdf2(const char *hash)
{
    return strncmp(hash, "$7$", 3) == 0;
}

/* "$y$PARAMETERS$SALT$HASH" */
static bool is_yescrypt(const char *hash)
{
    const char *salt = strchr(hash + strlen("$y$"), '$');
    const char *digest = salt != NULL ? strchr(salt + 1, '$') : NULL;
    return digest != NULL && digest > salt + 1 && strlen(digest + 1) == YESCRYPT_SIZE &&
           crypt_checksalt(hash) == CRYPT_SALT_OK;
}

const char *password_hash_fault(const char *hash)
{
    struct pbkdf2 parsed;
    if (strlen(hash) >= PASSWORD_HASH_SIZE)
        return "the hash is longer than any that is known";
    if (is_pbkdf2(hash))
        return parse_pbkdf2(hash, &parsed) ? NULL : "not $7$ITERATIONS$SALT$HASH in base64";
    if (strncmp(hash, "$y$", 3) == 0)
        return is_yescrypt(hash) ? NULL : "not $y$PARAMETERS$SALT$HASH";
    struct scram_credential credential;
    if (scram_credential_is(hash))
        return scram_credential_parse(hash, &credential)
                   ? NULL
                   : "not SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY in base64, with 4096 "
                     "iterations at least";
    if (strncmp(hash, "$6$", 3) == 0)
        return "$6$ hashes, of mosquitto before 2.0, are too weak: set the password again";
    return "neither a $7$ (PBKDF2) nor a $y$ (yescrypt) hash, nor one for SCRAM";
}

bool password_matches(const char *hash, struct bytes password)
{
    return is_pbkdf2(hash)             ? matches_pbkdf2(hash, password)
           : scram_credential_is(hash) ? matches_scram(hash, password)
                                       : matches_crypt(hash, password);
}

enum status password_hash(struct bytes password, char out[PASSWORD_HASH_SIZE])
{
    char random[RANDOM_SIZE], setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!fits_crypt(password))
        return STATUS_INVALID;
    if (getrandom(random, sizeof random, 0) != sizeof random ||
        crypt_gensalt_rn("$y$", 0, random, sizeof random, setting, sizeof setting) == NULL)
        return STATUS_IO;
    return crypt_with(setting, password, out);
}

static bool is_printable(struct bytes password)
{
    for (size_t i = 0; i < password.size; i++) {
        if (password.data[i] < 0x20 || password.data[i] > 0x7E)
            return false;
    }
    return true;
}

enum status password_hash_scram(struct bytes password, uint32_t iterations,
                                char out[PASSWORD_HASH_SIZE])
{
    struct scram_credential credential = {.iterations = iterations, .salt_size = RANDOM_SIZE};
    if (!fits_crypt(password) || !is_printable(password))
        return STATUS_INVALID;
    if (getrandom(credential.salt, RANDOM_SIZE, 0) != RANDOM_SIZE)
        return STATUS_IO;
    if (!scram_credential_derive(&credential, password))
        return STATUS_NO_MEMORY;
    _Static_assert((int)SCRAM_CREDENTIAL_TEXT_SIZE <= (int)PASSWORD_HASH_SIZE, "it fits");
    scram_credential_print(&credential, out);
    return STATUS_OK;
}
