/* What the files of this folder share. */
#ifndef TLS_TLS_INTERNAL_H
#define TLS_TLS_INTERNAL_H

/* wolfSSL's options decide the layout of its types: they come first, always. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "tls/tls.h"

struct tls_context {
    WOLFSSL_CTX *ctx;
};

/* The operator's words for a wolfSSL error that means something to him; else NULL. */
const char *tls_reason(int code);
/* "unknown_ca" for 48. */
const char *tls_alert_name(int code);
/* Any error of wolfSSL in words, with its number. Returns `out`. */
const char *tls_error_words(int code, char *out, size_t capacity);

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

/* wolfSSL's input and output over the connection's buffers. */
int tls_pull(WOLFSSL *ssl, char *out, int capacity, void *connection);
int tls_push(WOLFSSL *ssl, char *data, int size, void *connection);

#endif
