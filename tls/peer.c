#include "tls/peer.h"

#include <stdlib.h>

struct peer_authority {
    struct certificate_id id; /* of name and key */
    struct bytes subject;
    struct bytes key_identifier; /* empty: it has none */
    void *memory;                /* of both */
};

/* ---- Authorities ---- */

enum status peer_authorities_add(struct peer_authorities *authorities,
                                 const struct certificate *certificate)
{
    size_t count = authorities->count + 1;
    struct peer_authority *list = realloc(authorities->list, count * sizeof *list);
    if (list == NULL)
        return STATUS_NO_MEMORY;
    authorities->list = list;
    struct bytes subject = certificate->subject;
    struct bytes key = certificate->key_identifier;
    uint8_t *memory = malloc(subject.size + key.size);
    if (memory == NULL)
        return STATUS_NO_MEMORY;
    put_bytes(put_bytes(memory, subject), key);
    list[count - 1] = (struct peer_authority){
        .id = certificate_id_of(subject, certificate->public_key),
        .subject = bytes_of(memory, subject.size),
        .key_identifier = bytes_of(memory + subject.size, key.size),
        .memory = memory,
    };
    authorities->count = count;
    return STATUS_OK;
}

void peer_authorities_fini(struct peer_authorities *authorities)
{
    for (size_t i = 0; i < authorities->count; i++)
        free(authorities->list[i].memory);
    free(authorities->list);
    *authorities = (struct peer_authorities){0};
}

/* By name, and by key where both sides tell which one it is. */
static const struct peer_authority *issuer_of(const struct certificate *certificate,
                                              const struct peer_authorities *authorities)
{
    struct bytes key = certificate->authority_key_identifier;
    for (size_t i = 0; i < authorities->count; i++) {
        const struct peer_authority *authority = &authorities->list[i];
        bool same_key = key.size == 0 || authority->key_identifier.size == 0 ||
                        bytes_equal(key, authority->key_identifier);
        if (same_key && bytes_equal(certificate->issuer, authority->subject))
            return authority;
    }
    return NULL;
}

static bool knows(const struct peer_authorities *authorities, const struct certificate_id *id)
{
    for (size_t i = 0; i < authorities->count; i++) {
        if (certificate_id_equal(&authorities->list[i].id, id))
            return true;
    }
    return false;
}

/* ---- A peer ---- */

/* The certificate behind `at` that signed it, or `count`. Some peers send one more than once. */
static size_t next_of(const struct certificate *certificates, size_t count, size_t at)
{
    size_t next = at + 1;
    while (next < count && !bytes_equal(certificates[at].issuer, certificates[next].subject))
        next++;
    return next;
}

static void add_link(struct peer *peer, const struct certificate *certificate)
{
    struct peer_link *link = &peer->links[peer->count++];
    link->issuer = revocation_issuer(certificate->issuer);
    link->certificate = revocation_certificate(certificate->issuer, certificate->serial);
    if (peer->not_after_s > certificate->not_after_s)
        peer->not_after_s = certificate->not_after_s;
}

/* wolfSSL remembers intermediate authorities that others have shown, and would take a chain without
 * them. Whether a peer is let in must not hang on who came before it: the chain has to lead to an
 * authority of ours by itself. */
struct peer *peer_new(const struct certificate *certificates, size_t count,
                      const struct peer_authorities *authorities, const char **error)
{
    struct peer *peer = malloc(sizeof *peer + count * sizeof peer->links[0]);
    *error = "out of memory";
    if (peer == NULL)
        return NULL;
    *peer = (struct peer){.not_after_s = INT64_MAX};
    const struct peer_authority *anchor = NULL;
    for (size_t i = 0; i < count && anchor == NULL; i = next_of(certificates, count, i)) {
        add_link(peer, &certificates[i]);
        anchor = issuer_of(&certificates[i], authorities);
    }
    if (anchor != NULL) {
        peer->anchor = anchor->id;
        struct peer *small = realloc(peer, sizeof *peer + peer->count * sizeof peer->links[0]);
        return small != NULL ? small : peer;
    }
    *error = "the certificate's authority is not among those in 'ca', and the chain that came with "
             "it does not lead to one";
    free(peer);
    return NULL;
}

static const char *freshness_fault(const struct peer *peer, const struct peer_rules *rules,
                                   int64_t now_s)
{
    for (size_t i = 0; i < peer->count; i++) {
        const struct peer_link *link = &peer->links[i];
        switch (revocation_ask(rules->revocation, &link->issuer, &link->certificate, now_s)) {
        case REVOCATION_UNKNOWN:
            return "'crl' has no list of the certificate's authority";
        case REVOCATION_STALE:
#ifndef SEEDED_BUG_STALE_LIST_COUNTS
            return "the revocation list of the certificate's authority in 'crl' has expired";
#endif
        default:
            break;
        }
    }
    return NULL;
}

const char *peer_fault(const struct peer *peer, const struct peer_rules *rules, int64_t now_s)
{
    const char *fault = peer_withdrawal(peer, rules);
    if (fault == NULL && peer->not_after_s < now_s)
        fault = "the certificate, or one above it, has expired";
    if (fault == NULL && rules->revocation != NULL && !rules->any_freshness)
        fault = freshness_fault(peer, rules, now_s);
    return fault;
}

const char *peer_withdrawal(const struct peer *peer, const struct peer_rules *rules)
{
    if (!knows(&rules->authorities, &peer->anchor))
        return "the certificate's authority is not among those in 'ca'";
#ifdef SEEDED_BUG_AUTHORITIES_NOT_REVOKED
    size_t asked = 1;
#else
    size_t asked = peer->count;
#endif
    for (size_t i = 0; i < asked && rules->revocation != NULL; i++) {
        const struct peer_link *link = &peer->links[i];
        if (revocation_ask(rules->revocation, &link->issuer, &link->certificate, INT64_MIN) ==
            REVOCATION_REVOKED)
            return i == 0 ? "the certificate is revoked" : "the certificate's authority is revoked";
    }
    return NULL;
}
