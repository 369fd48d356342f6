/* Who is at the other end of a connection, as far as that has been proven.
 *
 * Immutable once made. What the peer merely claims never gets into it: a user name stands here
 * because a password or a certificate has proven it. */
#ifndef AUTHENTICATION_PRINCIPAL_H
#define AUTHENTICATION_PRINCIPAL_H

#include "base/bytes.h"

enum principal_proof {
    PRINCIPAL_ANONYMOUS,
    PRINCIPAL_CERTIFICATE,
    PRINCIPAL_PSK, /* a pre-shared key: the subject is "PSK:" and its identity */
    PRINCIPAL_PASSWORD,
    PRINCIPAL_TOKEN, /* the credential stands for the key that has signed it */
};

struct principal {
    enum principal_proof proof;
    uint64_t credential;      /* stands for the password's hash: another one is another password */
    int64_t expires_s;        /* of a token, Unix time; 0 without */
    struct bytes user_name;   /* empty: none has been proven */
    struct bytes common_name; /* of the certificate; empty without one, as is the subject */
    struct bytes subject;     /* as RFC 4514: "CN=sensor-7,O=Acme" */
};

/* Of everybody who has proven nothing; never freed. */
extern const struct principal principal_anonymous;

/* Copies everything into memory of its own. NULL when there is none. */
struct principal *principal_new(const struct principal *from);
/* Takes what principal_new() gave, principal_anonymous, or NULL. */
void principal_free(const struct principal *principal);

#endif
