/* A wolfSSL client and our server, joined by memory that passes bytes in pieces of a chosen size.
 */
#ifndef TLS_LINK_TESTING_H
#define TLS_LINK_TESTING_H

#include "tls/tls_internal.h"

/* The TLS library and the certificates, for cmocka's group setup and teardown. */
int link_set_up(void **state);
int link_tear_down(void **state);

struct link_client {
    const char *certificate; /* names in the certificates' directory; NULL: none */
    const char *key;
    int version; /* WOLFSSL_TLSV1_2 or WOLFSSL_TLSV1_3; 0: the best of both */
    const char *ciphers;
    const char *alpn;
    WOLFSSL_SESSION *session; /* to resume */
};

struct link_wire {
    struct buffer buffer;
    size_t taken; /* from its front */
};

struct link {
    struct tls *server;
    WOLFSSL *client;
    WOLFSSL_CTX *client_ctx;
    struct link_wire to_server;
    struct link_wire to_client;
    size_t piece;           /* bytes passed at a time; 0: all there are */
    enum tls_result result; /* of the server's latest call */
    bool client_done;
    bool client_failed;
};

/* A context with the test server's chain and key. */
struct tls_options link_options(enum tls_client_certificate mode);
struct tls_context *link_context(const struct tls_options *options);

/* Whether there is room in a ticket for who the client is; the distribution's build has none. */
#ifdef WOLFSSL_TICKET_EXTRA_PADDING_SZ
enum { LINK_TICKETS_HAVE_ROOM = 1 };
#else
enum { LINK_TICKETS_HAVE_ROOM = 0 };
#endif

void link_open(struct link *link, struct tls_context *context, const struct link_client *client);
void link_close(struct link *link);

/* Passes bytes in both directions until neither side gets further. */
void link_pump(struct link *link);
/* Pumps, and fails the test if the handshake does not end well on both sides. */
void link_handshake(struct link *link);
/* Pumps, and fails the test unless the server refuses with `part` in its reason. */
void link_refused(struct link *link, const char *part);

/* The client writes, the server reads all of it, and the same back. */
void link_send_up(struct link *link, const uint8_t *data, size_t size);
void link_send_down(struct link *link, const uint8_t *data, size_t size);

/* A client's session, ready to be resumed. */
WOLFSSL_SESSION *link_session(struct link *link);

#endif
