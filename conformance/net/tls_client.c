#include "conformance/net/tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/error-ssl.h>

#include "conformance/net/certificate.h"

/* One context for each set of files, made once: reading a system's authorities takes long. */
struct context {
    bool insecure;
    char *ca_file, *certificate_file, *key_file;
    WOLFSSL_CTX *ctx;
    struct context *next;
};

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static struct context *contexts;

struct tls_client {
    WOLFSSL *ssl;
    uint8_t address[16]; /* that its certificate has to be for; address_size 0: a name instead */
    size_t address_size;
    bool address_found;
    char error[120];
};

static int check_address(int verified, WOLFSSL_X509_STORE_CTX *store);

static const char system_authorities[] = "/etc/ssl/certs/ca-certificates.crt";

static bool set_verification(WOLFSSL_CTX *ctx, const struct target *target, char *error,
                             size_t error_size)
{
    if (target->insecure) {
        wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
        return true;
    }
    const char *file = target->ca_file ? target->ca_file : system_authorities;
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, check_address);
    if (wolfSSL_CTX_load_verify_locations(ctx, file, NULL) == WOLFSSL_SUCCESS)
        return true;
    snprintf(error, error_size, "cannot use the authorities in %s", file);
    return false;
}

static bool set_identity(WOLFSSL_CTX *ctx, const struct target *target, char *error,
                         size_t error_size)
{
    if (!target->certificate_file)
        return true;
    if (wolfSSL_CTX_use_certificate_chain_file(ctx, target->certificate_file) != WOLFSSL_SUCCESS) {
        snprintf(error, error_size, "cannot use the certificate in %s", target->certificate_file);
        return false;
    }
    const char *key = target->key_file ? target->key_file : target->certificate_file;
    if (wolfSSL_CTX_use_PrivateKey_file(ctx, key, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS)
        return true;
    snprintf(error, error_size, "cannot use the private key in %s", key);
    return false;
}

static WOLFSSL_CTX *context_new(const struct target *target, char *error, size_t error_size)
{
    wolfSSL_Init();
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLS_client_method());
    if (!ctx) {
        snprintf(error, error_size, "no memory for TLS");
        return NULL;
    }
    /* Ask for less than a server may be limited to; 1.2 is what the oldest of them still have. */
    wolfSSL_CTX_SetMinVersion(ctx, WOLFSSL_TLSV1_2);
    if (!set_verification(ctx, target, error, error_size) ||
        !set_identity(ctx, target, error, error_size)) {
        wolfSSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_for(const struct context *context, const struct target *target)
{
    return context->insecure == target->insecure && same(context->ca_file, target->ca_file) &&
           same(context->certificate_file, target->certificate_file) &&
           same(context->key_file, target->key_file);
}

static char *copy(const char *string)
{
    char *made = string ? strdup(string) : NULL;
    if (string && !made)
        abort();
    return made;
}

static WOLFSSL_CTX *context_of(const struct target *target, char *error, size_t error_size)
{
    pthread_mutex_lock(&contexts_lock);
    struct context *context = contexts;
    while (context && !is_for(context, target))
        context = context->next;
    if (!context) {
        WOLFSSL_CTX *ctx = context_new(target, error, error_size);
        if (ctx) {
            context = malloc(sizeof *context);
            if (!context)
                abort();
            *context = (struct context){.insecure = target->insecure,
                                        .ca_file = copy(target->ca_file),
                                        .certificate_file = copy(target->certificate_file),
                                        .key_file = copy(target->key_file),
                                        .ctx = ctx,
                                        .next = contexts};
            contexts = context;
        }
    }
    pthread_mutex_unlock(&contexts_lock);
    return context ? context->ctx : NULL;
}

/* wolfSSL checks names, but addresses only where it was built to. */
static int check_address(int verified, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls_client *client = store->userCtx;
    if (verified && client && client->address_size > 0 && store->error_depth == 0 &&
        store->totalCerts > 0)
        client->address_found = certificate_has_address(
            store->certs[0].buffer, store->certs[0].length, client->address, client->address_size);
    return verified;
}

static void set_name(struct tls_client *client, const struct target *target)
{
    const char *name = target->server_name ? target->server_name : target->host;
    if (inet_pton(AF_INET, name, client->address) == 1)
        client->address_size = 4;
    else if (inet_pton(AF_INET6, name, client->address) == 1)
        client->address_size = 16;
    else
        wolfSSL_UseSNI(client->ssl, WOLFSSL_SNI_HOST_NAME, name, (unsigned short)strlen(name));
    if (target->insecure)
        client->address_size = 0;
    else if (client->address_size > 0)
        wolfSSL_SetCertCbCtx(client->ssl, client);
    else
        wolfSSL_check_domain_name(client->ssl, name);
}

struct tls_client *tls_client_new(const struct target *target, int fd, char *error,
                                  size_t error_size)
{
    WOLFSSL_CTX *ctx = context_of(target, error, error_size);
    if (!ctx)
        return NULL;
    struct tls_client *client = calloc(1, sizeof *client);
    if (!client)
        abort();
    client->ssl = wolfSSL_new(ctx);
    if (!client->ssl)
        abort();
    wolfSSL_set_fd(client->ssl, fd);
    wolfSSL_SetIOWriteFlags(client->ssl, MSG_NOSIGNAL);
    set_name(client, target);
    return client;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    wolfSSL_free(client->ssl);
    free(client);
}

static void note_error(struct tls_client *client, int code)
{
    if (code == SOCKET_ERROR_E || code == SOCKET_PEER_CLOSED_E) {
        snprintf(client->error, sizeof client->error, "the server ended the connection");
        return;
    }
    char text[WOLFSSL_MAX_ERROR_SZ];
    wolfSSL_ERR_error_string((unsigned long)code, text);
    snprintf(client->error, sizeof client->error, "%.100s", text);
}

const char *tls_client_error(struct tls_client *client)
{
    return client->error;
}

short tls_client_handshake(struct tls_client *client)
{
    int result = wolfSSL_connect(client->ssl);
    if (result == WOLFSSL_SUCCESS) {
        if (client->address_size == 0 || client->address_found)
            return 0;
        snprintf(client->error, sizeof client->error,
                 "the server's certificate is not for this address");
        return -1;
    }
    int code = wolfSSL_get_error(client->ssl, result);
    if (code == WOLFSSL_ERROR_WANT_READ)
        return POLLIN;
    if (code == WOLFSSL_ERROR_WANT_WRITE)
        return POLLOUT;
    note_error(client, code);
    return -1;
}

/* The errno of send(2) and recv(2) that says the same; 0 for an orderly end. */
static int errno_of(struct tls_client *client, int result)
{
    int code = wolfSSL_get_error(client->ssl, result);
    switch (code) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
        return EAGAIN;
    case WOLFSSL_ERROR_ZERO_RETURN: /* close_notify */
    case SOCKET_PEER_CLOSED_E:      /* FIN without it: MQTT does not ask for more */
        return 0;
    case SOCKET_ERROR_E:
        return ECONNRESET;
    default:
        note_error(client, code);
        return EPROTO;
    }
}

ssize_t tls_client_read(struct tls_client *client, void *data, size_t size)
{
    int result = wolfSSL_read(client->ssl, data, (int)size);
    if (result > 0)
        return result;
    int code = errno_of(client, result);
    if (code == 0)
        return 0;
    errno = code;
    return -1;
}

ssize_t tls_client_write(struct tls_client *client, const void *data, size_t size)
{
    int result = wolfSSL_write(client->ssl, data, size > 1 << 20 ? 1 << 20 : (int)size);
    if (result > 0)
        return result;
    int code = errno_of(client, result);
    errno = code ? code : EPIPE;
    return -1;
}
