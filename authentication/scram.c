#include "authentication/scram.h"

#include <stdio.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "base/check.h"

/* ---- Attributes: "n=user,r=nonce" ---- */

/* Up to the next comma, which is skipped. */
static struct bytes take_field(struct bytes *rest)
{
    const uint8_t *comma = rest->size > 0 ? memchr(rest->data, ',', rest->size) : NULL;
    size_t size = comma != NULL ? (size_t)(comma - rest->data) : rest->size;
    struct bytes field = bytes_of(rest->data, size);
    size_t skipped = size + (comma != NULL);
    if (skipped > 0)
        *rest = bytes_of(rest->data + skipped, rest->size - skipped);
    return field;
}

static bool value_of(struct bytes field, char name, struct bytes *out)
{
    if (field.size < 2 || field.data[0] != (uint8_t)name || field.data[1] != '=')
        return false;
    *out = bytes_of(field.data + 2, field.size - 2);
    return true;
}

/* A saslname: commas and equals signs stand as =2C and =3D. */
static bool read_name(struct bytes text, uint8_t out[SCRAM_USER_MAX], struct bytes *out_name)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t character = text.data[i];
        if (character == '=') {
            bool whole = i + 2 < text.size;
            if (whole && memcmp(text.data + i, "=2C", 3) == 0)
                character = ',';
            else if (!whole || memcmp(text.data + i, "=3D", 3) != 0)
                return false;
            i += 2;
        }
        if (size == SCRAM_USER_MAX || character == '\0')
            return false;
        out[size++] = character;
    }
    *out_name = bytes_of(out, size);
    return size > 0;
}

static bool is_nonce(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7E)
            return false;
    }
    return text.size > 0 && text.size <= SCRAM_NONCE_MAX;
}

/* ---- The client's first message ---- */

static const char *choose_channel(struct scram *scram, struct bytes type,
                                  const struct scram_channel *channels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(bytes_of_text(channels[i].type), type)) {
            scram->channel = channels[i];
            return NULL;
        }
    }
    return "a channel binding that there is not on this connection";
}

/* gs2-cbind-flag (RFC 5802 section 6): the flag and the method have to say the same. */
static const char *read_flag(struct scram *scram, bool plus, struct bytes flag,
                             const struct scram_channel *channels, size_t count)
{
    struct bytes type;
    if (value_of(flag, 'p', &type))
        return plus ? choose_channel(scram, type, channels, count)
                    : "a channel binding under the method without one";
    if (plus)
        return "the method with channel binding, and no channel binding";
    if (bytes_equal(flag, bytes_of_text("n")))
        return NULL;
    if (!bytes_equal(flag, bytes_of_text("y")))
        return "no GS2 header";
#ifndef SEEDED_BUG_SCRAM_DOWNGRADED
    /* Somebody in between has kept it from the client. */
    if (count > 0)
        return "it believes that there is no channel binding here, and there is";
#endif
    return NULL;
}

static const char *read_first(struct scram *scram, bool plus, const struct scram_channel *channels,
                              size_t count)
{
    uint8_t acting[SCRAM_USER_MAX];
    struct bytes acting_name = bytes_of(NULL, 0), value, nonce;
    struct bytes rest = bytes_of(scram->first, scram->first_size);
    const char *fault = read_flag(scram, plus, take_field(&rest), channels, count);
    if (fault != NULL)
        return fault;
    struct bytes authzid = take_field(&rest);
    if (authzid.size > 0 &&
        (!value_of(authzid, 'a', &value) || !read_name(value, acting, &acting_name)))
        return "no GS2 header";
    scram->header_size = scram->first_size - rest.size;
    struct bytes name = take_field(&rest);
    if (value_of(name, 'm', &value))
        return "an extension is demanded that there is not";
    if (!value_of(name, 'n', &value) || !read_name(value, scram->user, &scram->user_name))
        return "no user name";
    if (acting_name.size > 0 && !bytes_equal(acting_name, scram->user_name))
        return "one user wants to act for another";
    /* What comes behind is optional, and not known here. */
    if (!value_of(take_field(&rest), 'r', &nonce) || !is_nonce(nonce))
        return "no nonce, or too long a one";
    memcpy(scram->server_first, "r=", 2);
    memcpy(scram->server_first + 2, nonce.data, nonce.size);
    scram->nonce_size = nonce.size;
    return NULL;
}

const char *scram_start(struct scram *scram, bool plus, struct bytes message,
                        const struct scram_channel *channels, size_t channel_count)
{
    *scram = (struct scram){.first_size = message.size};
    if (message.size == 0 || message.size > sizeof scram->first)
        return "no first message, or too long a one";
    memcpy(scram->first, message.data, message.size);
    return read_first(scram, plus, channels, channel_count);
}

/* ---- The server's ---- */

struct bytes scram_challenge(struct scram *scram, const struct scram_credential *credential,
                             const char *nonce)
{
    char salt[BASE64_SIZE(SCRAM_CREDENTIAL_SALT_MAX) + 1];
    size_t nonce_size = strlen(nonce);
    CHECK(nonce_size <= SCRAM_NONCE_MAX / 4);
    scram->credential = *credential;
    memcpy(scram->server_first + 2 + scram->nonce_size, nonce, nonce_size);
    scram->nonce_size += nonce_size;
    base64_encode(bytes_of(credential->salt, credential->salt_size), salt);
    size_t used = 2 + scram->nonce_size;
    int more = snprintf(scram->server_first + used, sizeof scram->server_first - used, ",s=%s,i=%u",
                        salt, credential->iterations);
    CHECK(more > 0 && used + (size_t)more < sizeof scram->server_first);
    return bytes_of(scram->server_first, used + (size_t)more);
}

/* ---- The proof ---- */

/* c=: the GS2 header once more, as nobody on the way may change it, and the channel's data. */
static bool is_channel(const struct scram *scram, struct bytes text)
{
    uint8_t wanted[SCRAM_FIRST_MAX + SCRAM_CHANNEL_MAX], got[sizeof wanted];
    size_t size = scram->header_size, got_size;
    memcpy(wanted, scram->first, size);
#ifndef SEEDED_BUG_SCRAM_CHANNEL_IGNORED
    memcpy(wanted + size, scram->channel.data, scram->channel.size);
    size += scram->channel.size;
    return base64_decode(text, got, sizeof got, &got_size) && got_size == size &&
           hmac_equal(got, wanted, size);
#else
    return base64_decode(text, got, sizeof got, &got_size) && got_size >= size &&
           hmac_equal(got, wanted, size);
#endif
}

/* ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage); its hash has to be StoredKey. */
static bool is_proof(const struct scram *scram, const uint8_t proof[HMAC_SIZE],
                     const struct bytes *message, size_t parts)
{
    uint8_t key[HMAC_SIZE], hashed[HMAC_SIZE];
    bool sound =
        hmac_sha256(bytes_of(scram->credential.stored_key, HMAC_SIZE), message, parts, key);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] ^= proof[i];
    sound = sound && wc_Sha256Hash(key, sizeof key, hashed) == 0;
    explicit_bzero(key, sizeof key);
#ifdef SEEDED_BUG_SCRAM_PROOF_UNCOMPARED
    return sound;
#endif
    return sound && hmac_equal(hashed, scram->credential.stored_key, HMAC_SIZE);
}

static bool sign(struct scram *scram, const struct bytes *message, size_t parts)
{
    uint8_t signature[HMAC_SIZE];
    bool sound =
        hmac_sha256(bytes_of(scram->credential.server_key, HMAC_SIZE), message, parts, signature);
    memcpy(scram->server_final, "v=", 2);
    base64_encode(bytes_of(signature, sizeof signature), scram->server_final + 2);
    return sound;
}

/* The last comma has the proof behind it: base64 has none. */
static bool cut_proof(struct bytes message, struct bytes *out_without, uint8_t proof[HMAC_SIZE])
{
    struct bytes value;
    size_t size, proof_size;
    const uint8_t *comma = message.size > 0 ? memrchr(message.data, ',', message.size) : NULL;
    if (comma == NULL)
        return false;
    size = (size_t)(comma - message.data);
    *out_without = bytes_of(message.data, size);
    return value_of(bytes_of(comma + 1, message.size - size - 1), 'p', &value) &&
           base64_decode(value, proof, HMAC_SIZE, &proof_size) && proof_size == HMAC_SIZE;
}

const char *scram_finish(struct scram *scram, struct bytes message)
{
    uint8_t proof[HMAC_SIZE];
    struct bytes without, value, nonce = bytes_of(scram->server_first + 2, scram->nonce_size);
    if (message.size > SCRAM_FINAL_MAX || !cut_proof(message, &without, proof))
        return "no proof";
    struct bytes rest = without;
    if (!value_of(take_field(&rest), 'c', &value) || !is_channel(scram, value))
        return "another channel, or another GS2 header";
#ifndef SEEDED_BUG_SCRAM_NONCE_UNCHECKED
    if (!value_of(take_field(&rest), 'r', &value) || !bytes_equal(value, nonce))
        return "another nonce";
#endif
    const struct bytes parts[] = {
        bytes_of(scram->first + scram->header_size, scram->first_size - scram->header_size),
        bytes_of_text(","),
        bytes_of_text(scram->server_first),
        bytes_of_text(","),
        without,
    };
    size_t count = sizeof parts / sizeof *parts;
    if (!is_proof(scram, proof, parts, count))
        return "no such user, or not its password";
    return sign(scram, parts, count) ? NULL : "out of memory";
}
