/* TLS 1.2 and 1.3 with wolfSSL, as bytes in and bytes out: no sockets here.
 *
 * A `struct tls_context` belongs to a listener, is shared by all threads and is immutable once
 * made. It is counted, and each connection that is made with it holds it. A `struct tls` belongs to
 * one connection and moves between threads with it. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "tls/identity.h"

enum tls_client_certificate { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_options {
    const char *certificate; /* PEM chain, server first */
    const char *key;         /* PEM */
    const char *ca;          /* PEM bundle for client certificates; NULL: none */
    enum tls_client_certificate client_certificate;
    bool tls13_only;
    const char *ciphers; /* NULL: modern defaults */
    const char *groups;  /* "P-256:X25519", the best first; NULL: modern defaults */
    const char *alpn;    /* "mqtt,other": what clients that name protocols may name; or NULL */
    const char *sni_directory; /* NAME.pem and NAME.key for each server name; or NULL */
    /* DER, for the first certificate, kept up to date by the operator; or NULL. With sni_directory
     * NAME.ocsp besides, where it is there. */
    const char *ocsp_response;
    const char *crl;      /* a file or a directory of revocation lists; NULL: none are asked for */
    bool crl_stale_is_ok; /* an authority without a fresh list is no reason to refuse */
    bool ends_expired;    /* who is in goes when its certificate expires */
    /* IDENTITY:HEXKEY lines: peers prove that they hold one of these keys, and nothing else will
     * do. There are no certificates then, of either side, and no tickets. NULL: none. */
    const char *psk_file;
    /* How long a session is resumed by ticket after its whole handshake, and a ticket key seals; 0:
     * sessions are not resumed. */
    uint32_t ticket_lifetime_s;
    /* The context in whose place this one comes: tickets of its making stay good. NULL: none. */
    const struct tls_context *before;
};

struct tls_context;
struct tls;

enum status MUST_USE tls_init(void); /* once per process, before anything else */
void tls_fini(void);

/* Errors name the file and what is wrong with it (unreadable, not PEM, key does not match, ...). */
enum status MUST_USE tls_context_new(const struct tls_options *options, struct tls_context **out,
                                     char *error, size_t error_size);
bool tls_context_ends_expired(const struct tls_context *context);
/* Whether it has OCSP responses, which run out: then tls_context_tell_staples() wants to be called
 * from time to time, and logs the ones that do. Any thread. */
bool tls_context_has_staples(const struct tls_context *context);
void tls_context_tell_staples(const struct tls_context *context, int64_t now_s);
/* One more reference, which a call of tls_context_free() gives back. Any thread. */
struct tls_context *tls_context_hold(struct tls_context *context);
void tls_context_free(struct tls_context *context); /* or NULL */
/* When the first of its own certificates expires, those of sni_directory included: Unix time; 0: it
 * could not be found out. */
int64_t tls_context_not_after_s(const struct tls_context *context);

enum status MUST_USE tls_new(struct tls_context *context, struct tls **out);
void tls_free(struct tls *tls);

enum tls_result {
    TLS_OK,
    TLS_CLOSED, /* the peer sent close_notify */
    TLS_FAILED, /* handshake or record failure; tls_error() says why; send what tls_output gives,
                   close */
};

/* Feeds bytes read from the socket. Handshakes as far as they go. */
enum tls_result tls_feed(struct tls *tls, const uint8_t *data, size_t size);
bool tls_established(const struct tls *tls);

/* Reads decrypted bytes; *out_size is 0 when there are none for now. */
enum tls_result tls_read(struct tls *tls, uint8_t *out, size_t capacity, size_t *out_size);
/* Encrypts all of data into the output. Only when established. */
enum tls_result tls_write(struct tls *tls, const uint8_t *data, size_t size);
/* Queues close_notify. */
void tls_shutdown(struct tls *tls);

/* Ciphertext to be sent: a borrowed range, valid until the next call on this object. */
struct bytes tls_output(const struct tls *tls);
void tls_output_consume(struct tls *tls, size_t size);

/* The last failure in words, with the peer's alert or the certificate's problem. */
const char *tls_error(const struct tls *tls);

/* The names in the peer's certificate, taken from its DER once, when it was verified, or from the
 * ticket of the session that it resumed, or of its pre-shared key; empty without either. */
struct bytes tls_peer_name(const struct tls *tls, enum identity_name which);
struct bytes tls_peer_subject(const struct tls *tls);
bool tls_resumed(const struct tls *tls);
const char *tls_version(const struct tls *tls); /* "TLSv1.3" */
/* What the two ends of this connection know, and nobody between them: the 32 bytes of channel
 * binding "tls-exporter" (RFC 9266). Empty before the handshake has ended; with TLS 1.2, where they
 * hold only under an extended master secret, which wolfSSL does not tell of; and with a wolfSSL
 * that has no exporter. Borrowed from `tls`. */
struct bytes tls_channel(const struct tls *tls);

/* Whether an established peer is no longer welcome under this context of its listener: its
 * certificate is revoked or, where that counts, expired, or its authority is not accepted any more,
 * or it has none and one is asked for now; or its pre-shared key has gone or is another one. The
 * reason, or NULL. */
const char *tls_withdrawal(const struct tls *tls, const struct tls_context *context, int64_t now_s);

#endif
