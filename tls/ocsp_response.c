#include "tls/ocsp_response.h"

#include "tls/tls_internal.h" /* before any other header of wolfSSL's */

#include <wolfssl/wolfcrypt/hash.h>

#include "tls/der.h"

enum {
    TAG_ENUMERATED = 0x0a,
    TAG_FIRST = 0xa0, /* of a SEQUENCE: its optional element [0] */
    TAG_GOOD = 0x80,
    TAG_REVOKED = 0xa1,
    STATUS_SUCCESSFUL = 0,
};

static const uint8_t oid_basic[] = {0x2b, 6, 1, 5, 5, 7, 48, 1, 1};
static const uint8_t oid_sha1[] = {0x2b, 14, 3, 2, 26};
static const uint8_t oid_sha256[] = {0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1};

static const char malformed[] = "not an OCSP response (DER)";

struct single {
    struct bytes hash, issuer_name, serial;
    uint8_t status;
    bool has_end;
    struct ocsp_response times;
};

/* CertID; the hash of the issuer's key is passed over, as the key is not at hand. */
static bool parse_id(struct bytes in, struct single *out)
{
    struct der_element e;
    if (!der_expect(&in, DER_SEQUENCE, &e) || !der_expect(&e.value, DER_OID, &e))
        return false;
    out->hash = e.value;
    if (!der_expect(&in, DER_OCTET_STRING, &e))
        return false;
    out->issuer_name = e.value;
    if (!der_expect(&in, DER_OCTET_STRING, &e) || !der_expect(&in, DER_INTEGER, &e))
        return false;
    out->serial = e.value;
    return in.size == 0;
}

static bool parse_single(struct bytes in, struct single *out)
{
    struct der_element e;
    *out = (struct single){0};
    if (!der_expect(&in, DER_SEQUENCE, &e) || !parse_id(e.value, out) || !der_next(&in, &e))
        return false;
    out->status = e.tag;
    if (!der_next(&in, &e) || !der_time(&e, &out->times.this_update_s))
        return false;
    out->has_end = der_begins_with(in, TAG_FIRST);
    if (!out->has_end)
        return true;
    return der_next(&in, &e) && der_next(&e.value, &e) && der_time(&e, &out->times.next_update_s);
}

static bool is_about(const struct single *single, const struct certificate *certificate)
{
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    bool is_sha1 = bytes_equal(single->hash, bytes_of(oid_sha1, sizeof oid_sha1));
    if (!is_sha1 && !bytes_equal(single->hash, bytes_of(oid_sha256, sizeof oid_sha256)))
        return false;
    size_t size = is_sha1 ? WC_SHA_DIGEST_SIZE : WC_SHA256_DIGEST_SIZE;
    return bytes_equal(single->serial, certificate->serial) &&
           wc_Hash(is_sha1 ? WC_HASH_TYPE_SHA : WC_HASH_TYPE_SHA256, certificate->issuer.data,
                   (word32)certificate->issuer.size, digest, (word32)size) == 0 &&
           bytes_equal(single->issuer_name, bytes_of(digest, size));
}

static const char *judge(const struct single *single, struct ocsp_response *out)
{
    *out = single->times;
    if (single->status == TAG_REVOKED)
        return "it says that the certificate is revoked";
    if (single->status != TAG_GOOD)
        return "it says that the certificate is not known to its authority";
    if (!single->has_end || out->next_update_s <= out->this_update_s)
        return "it does not say until when it is good (nextUpdate)";
    return NULL;
}

/* OCSPResponse -> BasicOCSPResponse -> ResponseData -> SEQUENCE OF SingleResponse. */
static const char *parse(struct bytes der, struct bytes *out_singles)
{
    struct der_element e;
    if (!der_expect(&der, DER_SEQUENCE, &e) || der.size > 0)
        return malformed;
    struct bytes in = e.value;
    if (!der_expect(&in, TAG_ENUMERATED, &e) || e.value.size != 1)
        return malformed;
    if (e.value.data[0] != STATUS_SUCCESSFUL)
        return "the responder's answer is an error";
    if (!der_expect(&in, TAG_FIRST, &e) || !der_expect(&e.value, DER_SEQUENCE, &e))
        return malformed;
    in = e.value;
    if (!der_expect(&in, DER_OID, &e) ||
        !bytes_equal(e.value, bytes_of(oid_basic, sizeof oid_basic)) ||
        !der_expect(&in, DER_OCTET_STRING, &e) || !der_expect(&e.value, DER_SEQUENCE, &e) ||
        !der_expect(&e.value, DER_SEQUENCE, &e))
        return malformed;
    in = e.value;
    if (der_begins_with(in, TAG_FIRST) && !der_next(&in, &e)) /* version */
        return malformed;
    if (!der_next(&in, &e) || /* who answers */
        !der_expect(&in, DER_GENERALIZED_TIME, &e) || !der_expect(&in, DER_SEQUENCE, &e))
        return malformed;
    *out_singles = e.value;
    return NULL;
}

const char *ocsp_response_read(struct bytes der, const struct certificate *certificate,
                               struct ocsp_response *out)
{
    struct bytes singles;
    struct der_element e;
    struct single single;
    *out = (struct ocsp_response){0};
    const char *fault = parse(der, &singles);
    if (fault != NULL)
        return fault;
    while (singles.size > 0) {
        if (!der_expect(&singles, DER_SEQUENCE, &e) || !parse_single(e.value, &single))
            return malformed;
        if (is_about(&single, certificate))
            return judge(&single, out);
    }
#ifdef SEEDED_BUG_FOREIGN_RESPONSE_TAKEN
    return judge(&single, out);
#endif
    return "it is about another certificate";
}
