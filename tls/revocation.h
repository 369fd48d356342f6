/* Certificate revocation lists: what has been revoked, and until when that is known.
 *
 * Immutable once all lists are added; then any thread may ask. */
#ifndef TLS_REVOCATION_H
#define TLS_REVOCATION_H

#include "base/bytes.h"
#include "base/status.h"
#include "tls/certificate.h"

struct revocation;

enum status MUST_USE revocation_new(struct revocation **out);
void revocation_free(struct revocation *revocation); /* or NULL */

struct revocation_summary {
    struct bytes issuer; /* a Name, in the list's DER */
    int64_t next_update_s;
    size_t count;
};

/* Adds one list (RFC 5280 section 5), DER. Several of one authority are taken together. With
 * `counts`, the list says until when its authority's revocations are known; without (its signature
 * cannot be checked), it only revokes. INVALID, with a reason in `error`, where it is no list or
 * has critical extensions that would make it mean something else. */
enum status MUST_USE revocation_add(struct revocation *revocation, struct bytes der, bool counts,
                                    struct revocation_summary *out, const char **error);
/* After the last list. */
void revocation_seal(struct revocation *revocation);

enum revocation_verdict {
    REVOCATION_GOOD,
    REVOCATION_REVOKED,
    REVOCATION_UNKNOWN, /* there is no list of this authority */
    REVOCATION_STALE,   /* the authority should have issued another one by now */
};

enum revocation_verdict revocation_ask(const struct revocation *revocation,
                                       const struct certificate_id *issuer,
                                       const struct certificate_id *certificate, int64_t now_s);

/* The two keys of a question. */
struct certificate_id revocation_issuer(struct bytes issuer);
struct certificate_id revocation_certificate(struct bytes issuer, struct bytes serial);

#endif
