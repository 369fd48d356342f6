/* TLS 1.2 and 1.3 with wolfSSL, as bytes in and bytes out: no sockets here.
 *
 * A `struct tls_context` belongs to a listener, is shared by all threads and is immutable once
 * made. A `struct tls` belongs to one connection and moves between threads with it. */
#ifndef TLS_TLS_H
#define TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

enum tls_client_certificate { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_options {
    const char *certificate; /* PEM chain, server first */
    const char *key;         /* PEM */
    const char *ca;          /* PEM bundle for client certificates; NULL: none */
    enum tls_client_certificate client_certificate;
    bool tls13_only;
    const char *ciphers; /* NULL: modern defaults */
};

struct tls_context;
struct tls;

enum status MUST_USE tls_init(void); /* once per process, before anything else */
void tls_fini(void);

/* Errors name the file and what is wrong with it (unreadable, not PEM, key does not match, ...). */
enum status MUST_USE tls_context_new(const struct tls_options *options, struct tls_context **out,
                                     char *error, size_t error_size);
void tls_context_free(struct tls_context *context);

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

/* The peer's certificate identity, taken from its DER once, when it was verified: the subject's
 * common name, and the whole subject; empty without a certificate. */
struct bytes tls_peer_common_name(const struct tls *tls);
struct bytes tls_peer_subject(const struct tls *tls);
const char *tls_version(const struct tls *tls); /* "TLSv1.3" */

#endif
