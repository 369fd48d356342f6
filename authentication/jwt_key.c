#include "authentication/jwt_key.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/signature.h>

#include <stdlib.h>

#include "authentication/hmac.h"

enum { RSA_BYTES_MIN = 256, RSA_BYTES_MAX = 512, ES256_PART = 32 };

const char *const jwt_algorithm_names[JWT_ALGORITHMS] = {"HS256", "RS256", "ES256"};

/* ---- Keys of wolfCrypt's ----
 *
 * They are no good for two threads at once, and made from DER in microseconds. */

static bool rsa_open(RsaKey *key, struct bytes der)
{
    word32 at = 0;
    if (wc_InitRsaKey(key, NULL) != 0)
        return false;
    if (wc_RsaPublicKeyDecode(der.data, &at, key, (word32)der.size) == 0)
        return true;
    wc_FreeRsaKey(key);
    return false;
}

static bool ecc_open(ecc_key *key, struct bytes der)
{
    word32 at = 0;
    if (wc_ecc_init(key) != 0)
        return false;
    if (wc_EccPublicKeyDecode(der.data, &at, key, (word32)der.size) == 0 &&
        wc_ecc_get_curve_id(key->idx) == ECC_SECP256R1)
        return true;
    wc_ecc_free(key);
    return false;
}

static bool is_rsa(struct bytes der)
{
    RsaKey key;
    if (!rsa_open(&key, der))
        return false;
    int size = wc_RsaEncryptSize(&key);
    wc_FreeRsaKey(&key);
    return size >= RSA_BYTES_MIN && size <= RSA_BYTES_MAX;
}

static bool is_p256(struct bytes der)
{
    ecc_key key;
    if (!ecc_open(&key, der))
        return false;
    bool sound = wc_ecc_check_key(&key) == 0;
    wc_ecc_free(&key);
    return sound;
}

/* ---- Ours ---- */

static enum status make(enum jwt_algorithm algorithm, struct bytes data, struct jwt_key *out)
{
    uint8_t hash[WC_SHA256_DIGEST_SIZE];
    *out = (struct jwt_key){.algorithm = algorithm, .size = data.size};
    if (wc_Sha256Hash(data.data, (word32)data.size, hash) != 0 ||
        (out->data = malloc(data.size + 1)) == NULL)
        return STATUS_NO_MEMORY;
    put_bytes(out->data, data);
    out->id = (uint64_t)get_u32(hash) << 32 | get_u32(hash + 4);
    return STATUS_OK;
}

enum status jwt_key_from_secret(struct bytes secret, struct jwt_key *out)
{
    return make(JWT_HS256, secret, out);
}

enum status jwt_key_from_der(struct bytes der, struct jwt_key *out)
{
    *out = (struct jwt_key){0};
    if (is_rsa(der))
        return make(JWT_RS256, der, out);
    return is_p256(der) ? make(JWT_ES256, der, out) : STATUS_INVALID;
}

void jwt_key_fini(struct jwt_key *key)
{
    if (key->data != NULL)
        explicit_bzero(key->data, key->size);
    free(key->data);
    explicit_bzero(key, sizeof *key);
}

static bool has_signed_hs256(const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    uint8_t expected[HMAC_SIZE];
    bool sound = hmac_sha256(bytes_of(key->data, key->size), &text, 1, expected);
    bool same = sound && signature.size == sizeof expected &&
                hmac_equal(expected, signature.data, sizeof expected);
    explicit_bzero(expected, sizeof expected);
    return same;
}

static bool has_signed_rs256(const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    RsaKey rsa;
    if (!rsa_open(&rsa, bytes_of(key->data, key->size)))
        return false;
    bool good = signature.size == (size_t)wc_RsaEncryptSize(&rsa) &&
                wc_SignatureVerify(WC_HASH_TYPE_SHA256, WC_SIGNATURE_TYPE_RSA_W_ENC, text.data,
                                   (word32)text.size, signature.data, (word32)signature.size, &rsa,
                                   sizeof rsa) == 0;
    wc_FreeRsaKey(&rsa);
    return good;
}

/* Two numbers one behind the other (RFC 7518 section 3.4), of which wolfCrypt wants DER. */
static bool has_signed_es256(const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    ecc_key ecc;
    uint8_t der[2 * (ES256_PART + 3) + 3];
    word32 size = sizeof der;
    if (signature.size != (size_t)2 * ES256_PART ||
        wc_ecc_rs_raw_to_sig(signature.data, ES256_PART, signature.data + ES256_PART, ES256_PART,
                             der, &size) != 0 ||
        !ecc_open(&ecc, bytes_of(key->data, key->size)))
        return false;
    bool good = wc_SignatureVerify(WC_HASH_TYPE_SHA256, WC_SIGNATURE_TYPE_ECC, text.data,
                                   (word32)text.size, der, size, &ecc, sizeof ecc) == 0;
    wc_ecc_free(&ecc);
    return good;
}

bool jwt_key_has_signed(const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    switch (key->algorithm) {
    case JWT_HS256:
        return has_signed_hs256(key, text, signature);
    case JWT_RS256:
        return has_signed_rs256(key, text, signature);
    case JWT_ES256:
        return has_signed_es256(key, text, signature);
    default:
        return false;
    }
}
