#include "tls/certificate.h"

#include "tls/tls_internal.h" /* before any other header of wolfSSL's */

#include <wolfssl/wolfcrypt/sha256.h>

#include "base/check.h"
#include "tls/der.h"

enum { TAG_VERSION = 0xa0, TAG_EXTENSIONS = 0xa3, TAG_KEY_IDENTIFIER = 0x80 };

static const uint8_t oid_key_identifier[] = {0x55, 29, 14};
static const uint8_t oid_authority_key_identifier[] = {0x55, 29, 35};
static const uint8_t oid_alternative_names[] = {0x55, 29, 17};

static bool parse_validity(struct bytes in, struct certificate *out)
{
    struct der_element e;
    return der_next(&in, &e) && der_next(&in, &e) && der_time(&e, &out->not_after_s);
}

/* AuthorityKeyIdentifier: the key's part of it alone. */
static void parse_authority(struct bytes in, struct certificate *out)
{
    struct der_element e;
    if (der_expect(&in, DER_SEQUENCE, &e) && der_begins_with(e.value, TAG_KEY_IDENTIFIER)) {
        in = e.value;
        if (der_next(&in, &e))
            out->authority_key_identifier = e.value;
    }
}

static bool parse_extension(struct bytes in, struct certificate *out)
{
    struct der_element oid;
    struct der_element e;
    if (!der_expect(&in, DER_OID, &oid))
        return false;
    if (der_begins_with(in, DER_BOOLEAN) && !der_next(&in, &e))
        return false;
    if (!der_expect(&in, DER_OCTET_STRING, &e))
        return false;
    in = e.value;
    if (bytes_equal(oid.value, bytes_of(oid_authority_key_identifier, 3)))
        parse_authority(in, out);
    if (bytes_equal(oid.value, bytes_of(oid_key_identifier, 3)) &&
        der_expect(&in, DER_OCTET_STRING, &e))
        out->key_identifier = e.value;
    if (bytes_equal(oid.value, bytes_of(oid_alternative_names, 3)))
        out->alternative_names = in;
    return true;
}

static bool parse_extensions(struct bytes in, struct certificate *out)
{
    struct der_element e;
    struct der_element extension;
    while (in.size > 0 && der_next(&in, &e)) {
        if (e.tag != TAG_EXTENSIONS)
            continue; /* unique identifiers, of version 2 */
        if (!der_expect(&e.value, DER_SEQUENCE, &e))
            return false;
        while (e.value.size > 0) {
            if (!der_expect(&e.value, DER_SEQUENCE, &extension) ||
                !parse_extension(extension.value, out))
                return false;
        }
    }
    return in.size == 0;
}

/* Certificate -> TBSCertificate (RFC 5280 section 4.1). */
bool certificate_parse(struct bytes der, struct certificate *out)
{
    struct der_element e;
    *out = (struct certificate){0};
    if (!der_expect(&der, DER_SEQUENCE, &e) || !der_expect(&e.value, DER_SEQUENCE, &e))
        return false;
    struct bytes in = e.value;
    if (der_begins_with(in, TAG_VERSION) && !der_next(&in, &e))
        return false;
    if (!der_expect(&in, DER_INTEGER, &e))
        return false;
    out->serial = e.value;
    if (!der_expect(&in, DER_SEQUENCE, &e) || /* signature algorithm */
        !der_expect(&in, DER_SEQUENCE, &e))
        return false;
    out->issuer = e.whole;
    if (!der_expect(&in, DER_SEQUENCE, &e) || !parse_validity(e.value, out) ||
        !der_expect(&in, DER_SEQUENCE, &e))
        return false;
    out->subject = e.whole;
    if (!der_expect(&in, DER_SEQUENCE, &e))
        return false;
    out->public_key = e.whole;
    return parse_extensions(in, out);
}

struct certificate_id certificate_id_of(struct bytes first, struct bytes second)
{
    struct certificate_id id;
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    wc_Sha256 sha;
    CHECK(wc_InitSha256(&sha) == 0);
    CHECK(wc_Sha256Update(&sha, first.data, (word32)first.size) == 0);
    CHECK(wc_Sha256Update(&sha, second.data, (word32)second.size) == 0);
    CHECK(wc_Sha256Final(&sha, digest) == 0);
    wc_Sha256Free(&sha);
    memcpy(id.bytes, digest, sizeof id.bytes);
    return id;
}

bool certificate_id_equal(const struct certificate_id *a, const struct certificate_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
