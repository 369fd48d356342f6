/* Who a certificate is for: the names out of an X.509 certificate in DER.
 *
 * The certificate's signature is the caller's to verify. Anything that is not a well-formed subject
 * is refused rather than approximated: two certificates must never get one identity by being
 * shortened or by a character that is dropped. */
#ifndef TLS_IDENTITY_H
#define TLS_IDENTITY_H

#include "base/bytes.h"
#include "base/status.h"

/* The longest subject in text form, and the longest of the other names. */
enum { IDENTITY_SUBJECT_MAX = 1024 };

enum identity_name {
    IDENTITY_COMMON_NAME, /* the first CN, UTF-8; empty: none, or in an encoding we do not read */
    IDENTITY_SUBJECT,     /* as RFC 4514: "CN=sensor-7,O=Acme"; of a certificate that has an empty
                             one the first alternative name, as in "URI:spiffe://acme/sensor-7" */
    IDENTITY_DNS,         /* the first dNSName of the subject's alternative names, or empty */
    IDENTITY_URI,         /* the first uniformResourceIdentifier */
    IDENTITY_EMAIL,       /* the first rfc822Name */
    IDENTITY_PSK,         /* of a pre-shared key, without a certificate: the subject is "PSK:" and
                             this, the others are empty */
    IDENTITY_NAMES,
};

struct identity {
    uint16_t sizes[IDENTITY_NAMES];
    uint8_t *memory; /* the names behind each other; NULL: all are empty */
};

/* INVALID if `der` is not a certificate with sound names, FULL if one is too long. */
enum status MUST_USE identity_from_certificate(struct bytes der, struct identity *out);
/* For a peer that holds the key of this name, of at most PSK_IDENTITY_MAX bytes. */
enum status MUST_USE identity_from_psk(struct bytes name, struct identity *out);
/* A copy of `names`, all of them. */
enum status MUST_USE identity_from_names(const struct bytes *names, struct identity *out);
void identity_fini(struct identity *identity);

/* Borrowed; empty: it has none. */
struct bytes identity_name(const struct identity *identity, enum identity_name which);

/* A Name of a certificate in DER as text like that of `subject`, cut with "..." where it does not
 * fit, for log lines. Returns `out`. */
const char *identity_name_text(struct bytes name, char *out, size_t capacity);

#endif
