/* Why a peer's certificate is good: the chain it was accepted by, in little memory.
 *
 * A certificate is verified once, by wolfSSL, at the handshake. What is kept here allows to ask
 * again later, after a reload or when a session is resumed without its certificate. */
#ifndef TLS_PEER_H
#define TLS_PEER_H

#include "base/bytes.h"
#include "base/status.h"
#include "tls/certificate.h"
#include "tls/revocation.h"

/* The authorities that a listener accepts. Their certificates have been checked. */
struct peer_authorities {
    struct peer_authority *list;
    size_t count;
};

enum status MUST_USE peer_authorities_add(struct peer_authorities *authorities,
                                          const struct certificate *certificate);
void peer_authorities_fini(struct peer_authorities *authorities);

/* What a listener demands of a chain. */
struct peer_rules {
    struct peer_authorities authorities;
    struct revocation *revocation; /* NULL: nothing is asked */
    bool any_freshness;            /* an authority without a fresh list is no reason to refuse */
};

enum { PEER_LINKS_MAX = 8 };

struct peer_link {
    struct certificate_id issuer;
    struct certificate_id certificate;
};

struct peer {
    struct certificate_id anchor; /* the authority at the end of the chain */
    int64_t not_after_s;          /* the earliest of the chain */
    size_t count;
    struct peer_link links[]; /* the leaf first; without the authority */
};

/* Follows `certificates`, the leaf first, up to an authority. NULL, with a reason in `error`, where
 * there is none or memory is short. The caller frees it. */
struct peer *peer_new(const struct certificate *certificates, size_t count,
                      const struct peer_authorities *authorities, const char **error);
/* NULL if the peer may come in by these rules at this time, else why not. */
const char *peer_fault(const struct peer *peer, const struct peer_rules *rules, int64_t now_s);
/* The same for one that is in already: it goes when it is revoked or when its authority is no
 * longer accepted. Time alone sends nobody away. */
const char *peer_withdrawal(const struct peer *peer, const struct peer_rules *rules);

#endif
