/* What the files of this folder share. */
#ifndef TLS_TLS_INTERNAL_H
#define TLS_TLS_INTERNAL_H

/* wolfSSL's options decide the layout of its types: they come first, always. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <stdatomic.h>

#include "tls/peer.h"
#include "tls/psk.h"
#include "tls/ticket_keys.h"
#include "tls/tls.h"

/* A certificate for those who ask for this server. */
struct tls_name {
    char *name; /* in small letters; "*.example.com": any one label in front */
    WOLFSSL_CTX *ctx;
    struct tls_staple *staple;
};

struct tls_context {
    WOLFSSL_CTX *ctx;          /* for those who ask for no server, or for none that we are */
    struct tls_staple *staple; /* or NULL, as of a name */
    struct tls_name *names;
    size_t name_count;
    char *alpn; /* NULL: none */
    struct peer_rules rules;
    struct psk_table *psk; /* NULL: certificates */
    bool requires_certificate;
    int64_t not_after_s; /* of the certificate that expires first, names' included; 0: unknown */
    bool ends_expired;
    struct ticket_keys *ticket_keys; /* a reference; NULL: sessions are not resumed */
    _Atomic uint32_t references;
};

/* A context while it is made. */
struct tls_making {
    WOLFSSL_CTX *ctx;
    struct tls_staple *staple;
    struct peer_rules *rules;
    int64_t *not_after_s; /* of the context */
    const struct tls_options *options;
    char *error;
    size_t error_size;
};

/* Writes the error. Returns `status`. */
enum status MUST_USE tls_refuse(struct tls_making *making, enum status status, const char *format,
                                ...) __attribute__((format(printf, 3, 4)));

/* A file of at least one byte; errors name it. */
enum status MUST_USE tls_file_read(struct tls_making *making, const char *path, struct buffer *out);
enum status MUST_USE tls_file_read_pem(struct tls_making *making, const char *path,
                                       struct buffer *out);
bool tls_file_holds(const struct buffer *file, const char *what);
/* The next PEM block with this label, whatever stands between them. */
bool tls_file_next_pem(struct bytes *rest, const char *label, struct bytes *out);

/* The authorities of 'ca' and the revocation lists of 'crl'. */
enum status MUST_USE tls_trust_load(struct tls_making *making);

/* An OCSP response for the clients that ask for one, and keep it in mind when it runs out. */
struct tls_staple;
/* `options->ocsp_response`, which is about this certificate (DER), into `making->staple` and
 * `making->ctx`, behind which the caller frees it. */
enum status MUST_USE tls_staple_load(struct tls_making *making, struct bytes certificate);
void tls_staple_free(struct tls_staple *staple); /* or NULL */
/* Logs that it runs out, and that it has run out: once each. Any thread. */
void tls_staple_tell(struct tls_staple *staple, int64_t now_s);

/* A context of wolfSSL's by `making->options`, into `making->ctx`. The caller frees it and
 * `making->staple`. */
enum status MUST_USE tls_context_configure(struct tls_making *making);
/* The certificates of `options->sni_directory`. */
enum status MUST_USE tls_names_load(struct tls_making *making, struct tls_context *context);
void tls_names_free(struct tls_context *context);
/* The context for a client that begins like this. NULL: there is more to come before it is known.
 */
WOLFSSL_CTX *tls_names_choose(const struct tls_context *context, struct bytes hello);

/* The operator's words for a wolfSSL error that means something to him; else NULL. */
const char *tls_reason(int code);
/* "unknown_ca" for 48. */
const char *tls_alert_name(int code);
/* Any error of wolfSSL in words, with its number. Returns `out`. */
const char *tls_error_words(int code, char *out, size_t capacity);
/* A time as it is said in the log, to the minute. */
const char *tls_time_text(int64_t time_s, char *out, size_t capacity);

enum tls_key_trial {
    TLS_KEY_FITS,
    TLS_KEY_MISFITS,
    TLS_KEY_WRONG_USE, /* not found out: a client refuses this certificate for a server */
};

/* Whether the first certificate and the private key, both PEM, are a pair. */
enum tls_key_trial tls_key_trial(const struct buffer *certificate, const struct buffer *key);

/* What is asked of each peer certificate: keeps the identity of the leaf. `store`->userCtx is the
 * connection. Never turns a failed verification into a good one. */
int tls_verify_peer(int verified, WOLFSSL_X509_STORE_CTX *store);

/* Seals and opens the tickets of a connection, which is the session's IOReadCtx. */
int tls_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac,
               int sealing, unsigned char *data, int size, int *out_size, void *unused);

/* The key of who claims to be `identity`, for the handshake of a connection, which is the session's
 * IOReadCtx. */
unsigned tls_psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned capacity);

/* wolfSSL's input and output over the connection's buffers. */
int tls_pull(WOLFSSL *ssl, char *out, int capacity, void *connection);
int tls_push(WOLFSSL *ssl, char *data, int size, void *connection);

#endif
