/* Who a certificate is for: the subject's names out of an X.509 certificate in DER.
 *
 * The certificate's signature is the caller's to verify. Anything that is not a well-formed subject
 * is refused rather than approximated: two certificates must never get one identity by being
 * shortened or by a character that is dropped. */
#ifndef TLS_IDENTITY_H
#define TLS_IDENTITY_H

#include "base/bytes.h"
#include "base/status.h"

/* The longest subject in text form. */
enum { IDENTITY_SUBJECT_MAX = 1024 };

struct identity {
    struct bytes
        common_name;      /* the first CN, UTF-8; empty: none, or in an encoding we do not read */
    struct bytes subject; /* as RFC 4514: "CN=sensor-7,O=Acme" */
    void *memory;         /* both ranges point into it */
};

/* INVALID if `der` is not a certificate with a sound subject, FULL if that is too long. */
enum status MUST_USE identity_from_certificate(struct bytes der, struct identity *out);
void identity_fini(struct identity *identity);

#endif
