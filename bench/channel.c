#include "bench/channel.h"

#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "base/bytes.h"
#include "base/check.h"
#include "bench/process.h"

/* A struct channel is wolfSSL's own object under a name of ours. */
static WOLFSSL *ssl_of(struct channel *channel)
{
    return (WOLFSSL *)(void *)channel;
}

static WOLFSSL_SESSION *kept;

static WOLFSSL_CTX *client_context(void)
{
    static WOLFSSL_CTX *context;
    if (context)
        return context;
    CHECK(wolfSSL_Init() == WOLFSSL_SUCCESS);
    context = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    CHECK(context);
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    return context;
}

static WOLFSSL *client_new(bool resume)
{
    WOLFSSL *ssl = wolfSSL_new(client_context());
    CHECK(ssl && wolfSSL_UseKeyShare(ssl, WOLFSSL_ECC_SECP256R1) == WOLFSSL_SUCCESS);
    if (resume && kept)
        CHECK(wolfSSL_set_session(ssl, kept) == WOLFSSL_SUCCESS);
    return ssl;
}

struct channel *channel_new(int fd, bool resume)
{
    WOLFSSL *ssl = client_new(resume);
    CHECK(wolfSSL_set_fd(ssl, fd) == WOLFSSL_SUCCESS);
    wolfSSL_set_using_nonblock(ssl, 1);
    return (struct channel *)(void *)ssl;
}

void channel_free(struct channel *channel)
{
    wolfSSL_free(ssl_of(channel));
}

static enum channel_result result_of(WOLFSSL *ssl, int result)
{
    if (result == WOLFSSL_SUCCESS)
        return CHANNEL_DONE;
    int error = wolfSSL_get_error(ssl, result);
    return error == WOLFSSL_ERROR_WANT_READ    ? CHANNEL_WANTS_READ
           : error == WOLFSSL_ERROR_WANT_WRITE ? CHANNEL_WANTS_WRITE
                                               : CHANNEL_FAILED;
}

enum channel_result channel_handshake(struct channel *channel)
{
    return result_of(ssl_of(channel), wolfSSL_connect(ssl_of(channel)));
}

bool channel_was_resumed(struct channel *channel)
{
    return wolfSSL_session_reused(ssl_of(channel)) == 1;
}

static void keep_session(WOLFSSL *ssl)
{
    wolfSSL_SESSION_free(kept);
    kept = wolfSSL_get1_session(ssl);
}

void channel_keep_session(struct channel *channel)
{
    keep_session(ssl_of(channel));
}

static ssize_t amount(WOLFSSL *ssl, int result)
{
    if (result > 0)
        return result;
    int error = wolfSSL_get_error(ssl, result);
    return error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE ? 0 : -1;
}

ssize_t channel_read(struct channel *channel, void *out, size_t capacity)
{
    return amount(ssl_of(channel), wolfSSL_read(ssl_of(channel), out, (int)capacity));
}

ssize_t channel_write(struct channel *channel, const void *data, size_t size)
{
    return amount(ssl_of(channel), wolfSSL_write(ssl_of(channel), data, (int)size));
}

/* ---- The library alone ---- */

/* Both directions between two ends in memory. */
struct pipes {
    struct buffer to_client, to_server;
};

static int pull(struct buffer *from, char *out, int capacity)
{
    size_t size = from->size < (size_t)capacity ? from->size : (size_t)capacity;
    if (size == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(out, from->data, size);
    buffer_consume(from, size);
    return (int)size;
}

static int push(struct buffer *to, const char *data, int size)
{
    CHECK(buffer_append(to, data, (size_t)size) == STATUS_OK);
    return size;
}

static int client_pull(WOLFSSL *ssl, char *out, int capacity, void *pipes)
{
    return pull(&((struct pipes *)pipes)->to_client, out, capacity);
}

static int client_push(WOLFSSL *ssl, char *data, int size, void *pipes)
{
    return push(&((struct pipes *)pipes)->to_server, data, size);
}

static int server_pull(WOLFSSL *ssl, char *out, int capacity, void *pipes)
{
    return pull(&((struct pipes *)pipes)->to_server, out, capacity);
}

static int server_push(WOLFSSL *ssl, char *data, int size, void *pipes)
{
    return push(&((struct pipes *)pipes)->to_client, data, size);
}

/* One handshake up to the ticket; returns the CPU time of the server's side. */
static uint64_t handshake_ns(WOLFSSL_CTX *server_context, bool resume)
{
    struct pipes pipes = {0};
    uint64_t spent_ns = 0;
    uint8_t byte;
    WOLFSSL *client = client_new(resume);
    wolfSSL_SSLSetIORecv(client, client_pull);
    wolfSSL_SSLSetIOSend(client, client_push);
    wolfSSL_SetIOReadCtx(client, &pipes);
    wolfSSL_SetIOWriteCtx(client, &pipes);
    uint64_t begin_ns = process_cpu_ns(0);
    WOLFSSL *server = wolfSSL_new(server_context);
    CHECK(server);
    wolfSSL_SetIOReadCtx(server, &pipes);
    wolfSSL_SetIOWriteCtx(server, &pipes);
    spent_ns += process_cpu_ns(0) - begin_ns;
    enum channel_result ours, theirs;
    do {
        ours = result_of(client, wolfSSL_connect(client));
        begin_ns = process_cpu_ns(0);
        theirs = result_of(server, wolfSSL_accept(server));
        spent_ns += process_cpu_ns(0) - begin_ns;
        CHECK(ours != CHANNEL_FAILED && theirs != CHANNEL_FAILED);
    } while (ours != CHANNEL_DONE || theirs != CHANNEL_DONE);
    CHECK(wolfSSL_read(client, &byte, 1) < 0); /* the ticket */
    CHECK(!resume || wolfSSL_session_reused(client));
    if (!resume)
        keep_session(client);
    begin_ns = process_cpu_ns(0);
    wolfSSL_free(server);
    spent_ns += process_cpu_ns(0) - begin_ns;
    wolfSSL_free(client);
    buffer_fini(&pipes.to_client);
    buffer_fini(&pipes.to_server);
    return spent_ns;
}

double channel_library_us(const char *certificate, const char *key, bool resumed,
                          unsigned milliseconds)
{
    double us = 0;
    uint64_t spent_ns = 0, count = 0, until_ns = process_now_ns() + milliseconds * 1000000ull;
    client_context(); /* initialises the library */
    WOLFSSL_CTX *server = wolfSSL_CTX_new(wolfTLSv1_3_server_method());
    CHECK(server);
    wolfSSL_CTX_set_session_cache_mode(server, WOLFSSL_SESS_CACHE_OFF); /* tickets alone */
    wolfSSL_CTX_SetIORecv(server, server_pull);
    wolfSSL_CTX_SetIOSend(server, server_push);
    if (wolfSSL_CTX_use_certificate_chain_file(server, certificate) == WOLFSSL_SUCCESS &&
        wolfSSL_CTX_use_PrivateKey_file(server, key, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS) {
        (void)handshake_ns(server, false); /* for what is made once, and the session */
        for (; process_now_ns() < until_ns; count++)
            spent_ns += handshake_ns(server, resumed);
        us = count > 0 ? (double)spent_ns / 1e3 / (double)count : 0;
    }
    wolfSSL_CTX_free(server);
    wolfSSL_SESSION_free(kept); /* of this server, not of the one under test */
    kept = NULL;
    return us;
}
