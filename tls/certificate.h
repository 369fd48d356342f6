/* What of an X.509 certificate decides whether it is still good: ranges of its DER.
 *
 * The signature is the caller's to verify. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include "base/bytes.h"

struct certificate {
    struct bytes serial;
    struct bytes issuer;  /* a Name, whole */
    struct bytes subject; /* a Name, whole */
    struct bytes public_key;
    struct bytes key_identifier;           /* empty: it has none */
    struct bytes authority_key_identifier; /* empty: it has none */
    struct bytes alternative_names;        /* GeneralNames, whole; empty: it has none */
    int64_t not_after_s;
};

bool certificate_parse(struct bytes der, struct certificate *out);

/* Names and keys are kept and compared as the first bytes of a SHA-256. */
enum { CERTIFICATE_ID_SIZE = 16 };
struct certificate_id {
    uint8_t bytes[CERTIFICATE_ID_SIZE];
};

/* Of one range, or of two that stand behind each other. */
struct certificate_id certificate_id_of(struct bytes first, struct bytes second);
bool certificate_id_equal(const struct certificate_id *a, const struct certificate_id *b);

#endif
