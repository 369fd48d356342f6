#include "conformance/net/echo_testing.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

struct stream {
    int fd;
    WOLFSSL *ssl;
};

static int take(struct stream *stream, void *data, int size)
{
    return stream->ssl ? wolfSSL_read(stream->ssl, data, size)
                       : (int)recv(stream->fd, data, (size_t)size, 0);
}

static int put(struct stream *stream, const void *data, int size)
{
    return stream->ssl ? wolfSSL_write(stream->ssl, data, size)
                       : (int)send(stream->fd, data, (size_t)size, MSG_NOSIGNAL);
}

/* All of a piece is sent back before the next is read: a client that only writes would wait for
 * ever. */
static void echo_bytes(const struct echo *echo, struct stream *stream)
{
    static uint8_t data[1 << 14];
    unsigned long done = 0;
    while (done < echo->bytes) {
        int size = take(stream, data, sizeof data);
        for (int sent = 0; sent < size;) {
            int step = put(stream, data + sent, size - sent);
            if (step <= 0)
                return;
            sent += step;
        }
        if (size <= 0)
            return;
        done += (unsigned)size;
    }
}

static WOLFSSL_CTX *context_of(const struct echo *echo)
{
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLS_server_method());
    wolfSSL_CTX_use_certificate_file(ctx, echo->certificate, WOLFSSL_FILETYPE_PEM);
    wolfSSL_CTX_use_PrivateKey_file(ctx, echo->key, WOLFSSL_FILETYPE_PEM);
    if (echo->client_authority) {
        wolfSSL_CTX_load_verify_locations(ctx, echo->client_authority, NULL);
        wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                               NULL);
    }
    return ctx;
}

static void serve(const struct echo *echo, struct stream *stream)
{
    WOLFSSL_CTX *ctx = NULL;
    if (echo->certificate) {
        ctx = context_of(echo);
        stream->ssl = wolfSSL_new(ctx);
        wolfSSL_set_fd(stream->ssl, stream->fd);
        wolfSSL_SetIOWriteFlags(stream->ssl, MSG_NOSIGNAL);
    }
    if (!stream->ssl || wolfSSL_accept(stream->ssl) == WOLFSSL_SUCCESS)
        echo_bytes(echo, stream);
    if (stream->ssl) {
        if (echo->end == ECHO_CLOSES)
            wolfSSL_shutdown(stream->ssl);
        wolfSSL_free(stream->ssl);
        wolfSSL_CTX_free(ctx);
    }
}

static void *run(void *argument)
{
    const struct echo *echo = argument;
    struct stream stream = {.fd = accept(echo->listener, NULL, NULL)};
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (stream.fd < 0)
        return NULL;
    serve(echo, &stream);
    if (echo->end == ECHO_RESETS)
        setsockopt(stream.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(stream.fd);
    return NULL;
}

void echo_start(struct echo *echo)
{
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr_in address4 = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address =
        echo->ipv6 ? (struct sockaddr *)&address6 : (struct sockaddr *)&address4;
    socklen_t size = echo->ipv6 ? sizeof address6 : sizeof address4;
    wolfSSL_Init();
    echo->listener = socket(echo->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(echo->listener >= 0);
    assert_int_equal(bind(echo->listener, address, size), 0);
    assert_int_equal(listen(echo->listener, 4), 0);
    assert_int_equal(getsockname(echo->listener, address, &size), 0);
    snprintf(echo->port, sizeof echo->port, "%u",
             ntohs(echo->ipv6 ? address6.sin6_port : address4.sin_port));
    assert_int_equal(pthread_create(&echo->thread, NULL, run, echo), 0);
}

void echo_stop(struct echo *echo)
{
    pthread_join(echo->thread, NULL);
    close(echo->listener);
}

void echo_cancel(struct echo *echo)
{
    shutdown(echo->listener, SHUT_RDWR); /* ends accept() */
    echo_stop(echo);
}

/* ---- Certificates ---- */

static char directory[64];

static const char commands[] =
    "cd %s && exec >/dev/null 2>&1 && key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'"
    " && openssl req -x509 $key -keyout ca.key -out ca.pem -subj /CN=ca -days 2"
    " && echo 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' > server.ext"
    " && echo 'subjectAltName=DNS:client' > client.ext"
    " && for name in server client; do"
    "      openssl req $key -keyout $name.key -out $name.csr -subj /CN=$name"
    "      && openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
    "         -extfile $name.ext -out $name.pem"
    "      && openssl x509 -in $name.pem -outform DER -out $name.der || exit 1;"
    "    done";

int echo_make_certificates(void **state)
{
    char command[1024];
    snprintf(directory, sizeof directory, "/tmp/conformance-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(command, sizeof command, commands, directory);
    return system(command) == 0 ? 0 : -1;
}

int echo_remove_certificates(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command) == 0 ? 0 : -1;
}

const char *echo_certificate(const char *name)
{
    static char paths[32][100];
    static unsigned next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}
