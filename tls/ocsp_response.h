/* What an OCSP response says of a certificate (RFC 6960).
 *
 * The signature is for those who get the response: they hold the authority's certificate. */
#ifndef TLS_OCSP_RESPONSE_H
#define TLS_OCSP_RESPONSE_H

#include "base/bytes.h"
#include "tls/certificate.h"

struct ocsp_response {
    int64_t this_update_s;
    int64_t next_update_s; /* it is good from the one until the other */
};

/* NULL if the response, in DER, says that this certificate is good, else what is wrong with it. */
const char *ocsp_response_read(struct bytes der, const struct certificate *certificate,
                               struct ocsp_response *out);

#endif
