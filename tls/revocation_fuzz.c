/* Revocation lists and certificates, from bytes that nobody has signed. */
#include "base/check.h"
#include "tls/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct revocation *revocation;
    struct revocation_summary summary;
    struct certificate certificate;
    const char *error;
    CHECK(revocation_new(&revocation) == STATUS_OK);
    if (certificate_parse(bytes_of(data, size), &certificate))
        CHECK(certificate.subject.size > 0 && certificate.public_key.size > 0);
    if (revocation_add(revocation, bytes_of(data, size), true, &summary, &error) == STATUS_OK) {
        revocation_seal(revocation);
        struct certificate_id issuer = revocation_issuer(summary.issuer);
        struct certificate_id none = {0};
        /* A list that is taken is an answer until it expires. */
        CHECK(revocation_ask(revocation, &issuer, &none, summary.next_update_s) == REVOCATION_GOOD);
        CHECK(revocation_ask(revocation, &issuer, &none, INT64_MAX) == REVOCATION_STALE);
    }
    revocation_free(revocation);
    return 0;
}
