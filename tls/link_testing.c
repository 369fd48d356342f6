#include "tls/link_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tls/certificates_testing.h"

int link_set_up(void **state)
{
    return tls_init() == STATUS_OK ? certificates_make(state) : -1;
}

int link_tear_down(void **state)
{
    tls_fini();
    return certificates_remove(state);
}

struct tls_options link_options(enum tls_client_certificate mode)
{
    return (struct tls_options){
        .certificate = certificate_path("chain.pem"),
        .key = certificate_path("server.key"),
        .ca = mode == TLS_CLIENT_NONE ? NULL : certificate_path("ca.pem"),
        .client_certificate = mode,
        .alpn = "mqtt",
        .ticket_lifetime_s = 3600,
    };
}

struct tls_context *link_context(const struct tls_options *options)
{
    struct tls_context *context;
    char error[256];
    if (tls_context_new(options, &context, error, sizeof error) != STATUS_OK)
        fail_msg("no context: %s", error);
    return context;
}

/* ---- The client's input and output ---- */

static size_t wire_size(const struct link_wire *wire)
{
    return wire->buffer.size - wire->taken;
}

static void wire_put(struct link_wire *wire, const void *data, size_t size)
{
    assert_int_equal(buffer_append(&wire->buffer, data, size), STATUS_OK);
}

static void wire_take(struct link_wire *wire, void *out, size_t size)
{
    memcpy(out, wire->buffer.data + wire->taken, size);
    wire->taken += size;
    if (wire_size(wire) == 0) {
        buffer_fini(&wire->buffer);
        wire->taken = 0;
    }
}

static int client_pull(WOLFSSL *ssl, char *out, int capacity, void *context)
{
    struct link *link = context;
    size_t size = wire_size(&link->to_client);
    if (size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    if (size > (size_t)capacity)
        size = (size_t)capacity;
    if (link->piece > 0 && size > link->piece)
        size = link->piece;
    wire_take(&link->to_client, out, size);
    return (int)size;
}

static int client_push(WOLFSSL *ssl, char *data, int size, void *context)
{
    struct link *link = context;
    wire_put(&link->to_server, data, (size_t)size);
    return size;
}

static void client_set_up(struct link *link, const struct link_client *client)
{
    WOLFSSL_CTX *ctx = link->client_ctx;
    wolfSSL_CTX_SetIORecv(ctx, client_pull);
    wolfSSL_CTX_SetIOSend(ctx, client_push);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, NULL);
    assert_int_equal(wolfSSL_CTX_load_verify_locations(ctx, certificate_path("ca.pem"), NULL),
                     WOLFSSL_SUCCESS);
    assert_int_equal(wolfSSL_CTX_UseSessionTicket(ctx), WOLFSSL_SUCCESS);
    if (client->ciphers != NULL)
        assert_int_equal(wolfSSL_CTX_set_cipher_list(ctx, client->ciphers), WOLFSSL_SUCCESS);
    if (client->certificate == NULL)
        return;
    assert_int_equal(
        wolfSSL_CTX_use_certificate_chain_file(ctx, certificate_path(client->certificate)),
        WOLFSSL_SUCCESS);
    assert_int_equal(
        wolfSSL_CTX_use_PrivateKey_file(ctx, certificate_path(client->key), WOLFSSL_FILETYPE_PEM),
        WOLFSSL_SUCCESS);
}

static WOLFSSL_METHOD *client_method(int version)
{
    switch (version) {
    case WOLFSSL_TLSV1_2:
        return wolfTLSv1_2_client_method();
    case WOLFSSL_TLSV1_3:
        return wolfTLSv1_3_client_method();
    default:
        return wolfSSLv23_client_method();
    }
}

void link_open(struct link *link, struct tls_context *context, const struct link_client *client)
{
    *link = (struct link){0};
    assert_int_equal(tls_new(context, &link->server), STATUS_OK);
    link->client_ctx = wolfSSL_CTX_new(client_method(client->version));
    assert_non_null(link->client_ctx);
    client_set_up(link, client);
    link->client = wolfSSL_new(link->client_ctx);
    assert_non_null(link->client);
    wolfSSL_SetIOReadCtx(link->client, link);
    wolfSSL_SetIOWriteCtx(link->client, link);
    if (client->session != NULL) /* one that cannot be resumed may be refused by the client too */
        wolfSSL_set_session(link->client, client->session);
#ifdef HAVE_ALPN
    if (client->alpn != NULL) {
        char *alpn = strdup(client->alpn);
        wolfSSL_UseALPN(link->client, alpn, (unsigned)strlen(alpn),
                        WOLFSSL_ALPN_FAILED_ON_MISMATCH);
        free(alpn);
    }
#endif
}

void link_close(struct link *link)
{
    wolfSSL_free(link->client);
    wolfSSL_CTX_free(link->client_ctx);
    tls_free(link->server);
    buffer_fini(&link->to_server.buffer);
    buffer_fini(&link->to_client.buffer);
}

/* ---- Bytes in motion ---- */

static void step_client(struct link *link)
{
    if (link->client_done || link->client_failed)
        return;
    int returned = wolfSSL_connect(link->client);
    if (returned == WOLFSSL_SUCCESS)
        link->client_done = true;
    else if (wolfSSL_get_error(link->client, returned) != WOLFSSL_ERROR_WANT_READ)
        link->client_failed = true;
}

static void take_output(struct link *link)
{
    struct bytes output = tls_output(link->server);
    if (output.size == 0)
        return;
    wire_put(&link->to_client, output.data, output.size);
    tls_output_consume(link->server, output.size);
}

/* One piece to the server. */
static bool step_server(struct link *link)
{
    size_t size = wire_size(&link->to_server);
    if (link->piece > 0 && size > link->piece)
        size = link->piece;
    if (size == 0)
        return false;
    uint8_t *piece = malloc(size); /* of its own, so that a read behind it is found */
    wire_take(&link->to_server, piece, size);
    link->result = tls_feed(link->server, piece, size);
    free(piece);
    take_output(link);
    return true;
}

void link_pump(struct link *link)
{
    bool moved = true;
    while (moved) {
        step_client(link);
        moved = step_server(link);
    }
    step_client(link);
}

void link_handshake(struct link *link)
{
    link_pump(link);
    if (link->result != TLS_OK)
        fail_msg("the server refused: %s", tls_error(link->server));
    assert_true(link->client_done);
    assert_true(tls_established(link->server));
}

void link_refused(struct link *link, const char *part)
{
    link_pump(link);
    if (link->result != TLS_FAILED)
        fail_msg("the server %s, the client %s (%d): expected '%s'",
                 tls_established(link->server) ? "let the client in" : "still waits",
                 link->client_failed ? "failed"
                 : link->client_done ? "is content"
                                     : "waits",
                 wolfSSL_get_error(link->client, 0), part);
    assert_false(tls_established(link->server));
    if (strstr(tls_error(link->server), part) == NULL)
        fail_msg("'%s' does not say '%s'", tls_error(link->server), part);
}

static size_t read_up(struct link *link, uint8_t *out, size_t size)
{
    size_t got;
    link->result = tls_read(link->server, out, size, &got);
    assert_int_equal(link->result, TLS_OK);
    return got;
}

void link_send_up(struct link *link, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    size_t got = 0;
    assert_int_equal(wolfSSL_write(link->client, data, (int)size), (int)size);
    while (step_server(link))
        got += read_up(link, copy + got, size + 1 - got);
    got += read_up(link, copy + got, size + 1 - got);
    assert_int_equal(got, size);
    assert_memory_equal(copy, data, size);
    free(copy);
}

void link_send_down(struct link *link, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    size_t got = 0;
    assert_int_equal(tls_write(link->server, data, size), TLS_OK);
    take_output(link);
    for (;;) {
        int returned = wolfSSL_read(link->client, copy + got, (int)(size + 1 - got));
        if (returned <= 0)
            break;
        got += (size_t)returned;
    }
    assert_int_equal(got, size);
    assert_memory_equal(copy, data, size);
    free(copy);
}

WOLFSSL_SESSION *link_session(struct link *link)
{
    /* TLS 1.3 brings its ticket after the handshake, where the client reads it in passing. */
    uint8_t byte;
    assert_true(wolfSSL_read(link->client, &byte, 1) <= 0);
    return wolfSSL_get1_session(link->client);
}
