/* Whether a private key belongs to a certificate: by a handshake between two ends in memory.
 *
 * wolfSSL has a call for it, which in the distribution's build says yes to any two keys of an
 * elliptic curve. What a client sees cannot be wrong. */
#include "tls/tls_internal.h"

struct end {
    WOLFSSL_CTX *ctx;
    WOLFSSL *ssl;
    struct buffer inbox;
    struct end *peer;
};

static int pull(WOLFSSL *ssl, char *out, int capacity, void *context)
{
    struct buffer *inbox = &((struct end *)context)->inbox;
    size_t size = inbox->size < (size_t)capacity ? inbox->size : (size_t)capacity;
    if (size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(out, inbox->data, size);
    buffer_consume(inbox, size);
    return (int)size;
}

static int push(WOLFSSL *ssl, char *data, int size, void *context)
{
    struct end *peer = ((struct end *)context)->peer;
    if (buffer_append(&peer->inbox, data, (size_t)size) != STATUS_OK)
        return WOLFSSL_CBIO_ERR_GENERAL;
    return size;
}

static bool end_init(struct end *end, struct end *peer, WOLFSSL_METHOD *method)
{
    end->peer = peer;
    end->ctx = method != NULL ? wolfSSL_CTX_new(method) : NULL; /* takes method */
    if (end->ctx == NULL)
        return false;
    wolfSSL_CTX_SetIORecv(end->ctx, pull);
    wolfSSL_CTX_SetIOSend(end->ctx, push);
    /* The client's date, name and authorities are not in question here. */
    wolfSSL_CTX_set_verify(end->ctx, WOLFSSL_VERIFY_NONE, NULL);
    return true;
}

static bool end_open(struct end *end)
{
    end->ssl = wolfSSL_new(end->ctx);
    if (end->ssl == NULL)
        return false;
    wolfSSL_SetIOReadCtx(end->ssl, end);
    wolfSSL_SetIOWriteCtx(end->ssl, end);
    return true;
}

static void end_fini(struct end *end)
{
    wolfSSL_free(end->ssl);
    wolfSSL_CTX_free(end->ctx);
    buffer_fini(&end->inbox);
}

/* The client has checked the server's signature when its side of the handshake is done. */
static enum tls_key_trial shake_hands(struct end *client, struct end *server)
{
    enum { FLIGHTS_MAX = 8 };
    for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
        int returned = wolfSSL_connect(client->ssl);
        if (returned == WOLFSSL_SUCCESS)
            return TLS_KEY_FITS;
        int code = wolfSSL_get_error(client->ssl, returned);
        if (code == EXTKEYUSE_AUTH_E || code == KEYUSE_SIGNATURE_E || code == KEYUSE_ENCIPHER_E)
            return TLS_KEY_WRONG_USE;
        if (code != WOLFSSL_ERROR_WANT_READ)
            return TLS_KEY_MISFITS;
        wolfSSL_accept(server->ssl);
    }
    return TLS_KEY_MISFITS;
}

static bool load(WOLFSSL_CTX *ctx, const struct buffer *certificate, const struct buffer *key)
{
    int got_certificate =
        wolfSSL_CTX_use_certificate_chain_buffer(ctx, certificate->data, (long)certificate->size);
    int got_key =
        wolfSSL_CTX_use_PrivateKey_buffer(ctx, key->data, (long)key->size, WOLFSSL_FILETYPE_PEM);
    return got_certificate == WOLFSSL_SUCCESS && got_key == WOLFSSL_SUCCESS;
}

enum tls_key_trial tls_key_trial(const struct buffer *certificate, const struct buffer *key)
{
    struct end server = {0};
    struct end client = {0};
    enum tls_key_trial result = TLS_KEY_MISFITS;
    if (end_init(&server, &client, wolfTLSv1_3_server_method()) &&
        end_init(&client, &server, wolfTLSv1_3_client_method()) &&
        load(server.ctx, certificate, key) && end_open(&server) && end_open(&client))
        result = shake_hands(&client, &server);
    end_fini(&client);
    end_fini(&server);
#ifdef OPENSSL_EXTRA
    wolfSSL_ERR_clear_error();
#endif
    return result;
}
