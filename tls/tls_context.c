/* A listener's side of TLS: certificate, key, authorities, and what is offered. */
#include "tls/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

enum {
    FILE_SIZE_MAX = 16 << 20, /* a bundle of every public authority has half a megabyte */
    RSA_BITS_MIN = 2048,
    ECC_BITS_MIN = 256,
    /* wolfSSL's ticket keys live for an hour, and it needs a time that fits in twice. */
    TICKET_LIFETIME_S = 1800,
};

/* Ephemeral keys and authenticated encryption only. AES-128 first: it is what every peer with AES
 * instructions is fastest with. */
static const char default_ciphers[] =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

struct making {
    WOLFSSL_CTX *ctx;
    const struct tls_options *options;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 3, 4))) static enum status
refuse(struct making *making, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(making->error, making->error_size, format, arguments);
    va_end(arguments);
    return status;
}

enum status tls_init(void)
{
    return wolfSSL_Init() == WOLFSSL_SUCCESS ? STATUS_OK : STATUS_NO_MEMORY;
}

void tls_fini(void)
{
    wolfSSL_Cleanup();
}

/* ---- Files ---- */

static enum status read_all(struct making *making, int fd, const char *path, struct buffer *out)
{
    for (;;) {
        TRY(buffer_reserve(out, 4096));
        ssize_t got = read(fd, out->data + out->size, out->capacity - out->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(making, STATUS_IO, "%s: %s", path, strerror(errno));
        if (got == 0)
            return STATUS_OK;
        out->size += (size_t)got;
        if (out->size > FILE_SIZE_MAX)
            return refuse(making, STATUS_INVALID, "%s: larger than a PEM file can be", path);
    }
}

static enum status read_pem(struct making *making, const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse(making, errno == EACCES ? STATUS_DENIED : STATUS_IO, "%s: %s", path,
                      strerror(errno));
    enum status status = read_all(making, fd, path, out);
    close(fd);
    TRY(status);
    if (out->size == 0)
        return refuse(making, STATUS_INVALID, "%s: the file is empty", path);
    if (memmem(out->data, out->size, "-----BEGIN ", 11) == NULL)
        return refuse(making, STATUS_INVALID, "%s: not a PEM file: it has no '-----BEGIN' line",
                      path);
    return STATUS_OK;
}

static bool pem_holds(const struct buffer *pem, const char *what)
{
    return memmem(pem->data, pem->size, what, strlen(what)) != NULL;
}

/* ---- Certificate and key ---- */

static enum status use_certificate(struct making *making, const struct buffer *pem)
{
    char words[160];
    const char *path = making->options->certificate;
    if (!pem_holds(pem, "CERTIFICATE-----"))
        return refuse(making, STATUS_INVALID, "%s: holds no certificate", path);
    int result = wolfSSL_CTX_use_certificate_chain_buffer(making->ctx, pem->data, (long)pem->size);
    if (result == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return refuse(making, STATUS_INVALID, "%s: not usable as a certificate chain: %s", path,
                  tls_error_words(result, words, sizeof words));
}

static enum status use_key(struct making *making, const struct buffer *pem)
{
    char words[160];
    const char *path = making->options->key;
    if (!pem_holds(pem, "PRIVATE KEY-----"))
        return refuse(making, STATUS_INVALID, "%s: holds no private key", path);
    if (pem_holds(pem, "ENCRYPTED"))
        return refuse(making, STATUS_INVALID,
                      "%s: the key is encrypted; store it without a passphrase", path);
    int result = wolfSSL_CTX_use_PrivateKey_buffer(making->ctx, pem->data, (long)pem->size,
                                                   WOLFSSL_FILETYPE_PEM);
    if (result == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return refuse(making, STATUS_INVALID, "%s: not usable as a private key: %s", path,
                  tls_error_words(result, words, sizeof words));
}

/* ---- Authorities ---- */

static const char begin_certificate[] = "-----BEGIN CERTIFICATE-----";
static const char end_certificate[] = "-----END CERTIFICATE-----";

/* The next certificate of a bundle, whatever stands between them. */
static bool next_pem(struct bytes *rest, struct bytes *out)
{
    const uint8_t *begin =
        memmem(rest->data, rest->size, begin_certificate, sizeof begin_certificate - 1);
    if (begin == NULL)
        return false;
    size_t left = rest->size - (size_t)(begin - rest->data);
    const uint8_t *end = memmem(begin, left, end_certificate, sizeof end_certificate - 1);
    if (end == NULL)
        return false;
    size_t size = (size_t)(end - begin) + sizeof end_certificate - 1;
    *out = bytes_of(begin, size);
    *rest = bytes_of(begin + size, left - size);
    return true;
}

static int load_authority(WOLFSSL_CTX *ctx, struct bytes pem, unsigned flags)
{
    return wolfSSL_CTX_load_verify_buffer_ex(ctx, pem.data, (long)pem.size, WOLFSSL_FILETYPE_PEM, 0,
                                             flags);
}

/* One by one, because wolfSSL is content when one of a whole bundle is usable, and says nothing
 * about the others. An expired one is left out; one that is not valid yet is taken, because a
 * machine without a battery starts in 1970 and must still start. */
static enum status use_authority(struct making *making, struct bytes pem, unsigned number,
                                 unsigned *usable)
{
    char words[160];
    const char *path = making->options->ca;
    int result = load_authority(making->ctx, pem, WOLFSSL_LOAD_FLAG_NONE);
    tls_error_words(result, words, sizeof words);
    if (result == ASN_BEFORE_DATE_E)
        result = load_authority(making->ctx, pem, WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY);
    if (result == ASN_AFTER_DATE_E || result == ASN_BEFORE_DATE_E) {
        log_line(LOG_WARNING, "%s: certificate %u: %s; clients of this authority will be refused",
                 path, number, words);
        return STATUS_OK;
    }
    *usable += result == WOLFSSL_SUCCESS;
    if (result == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return refuse(making, STATUS_INVALID, "%s: certificate %u is not usable as an authority: %s",
                  path, number, tls_error_words(result, words, sizeof words));
}

static enum status use_authorities(struct making *making, const struct buffer *pem)
{
    struct bytes rest = bytes_of(pem->data, pem->size);
    struct bytes certificate;
    unsigned number = 0;
    unsigned usable = 0;
    while (next_pem(&rest, &certificate))
        TRY(use_authority(making, certificate, ++number, &usable));
    if (number == 0)
        return refuse(making, STATUS_INVALID, "%s: holds no certificate", making->options->ca);
    if (usable == 0)
        return refuse(making, STATUS_INVALID, "%s: no certificate in it is valid at this time",
                      making->options->ca);
    return STATUS_OK;
}

static enum status load_pair(struct making *making, struct buffer *certificate, struct buffer *key)
{
    const struct tls_options *options = making->options;
    TRY(read_pem(making, options->certificate, certificate));
    TRY(use_certificate(making, certificate));
    TRY(read_pem(making, options->key, key));
    TRY(use_key(making, key));
    switch (tls_key_trial(certificate, key)) {
    case TLS_KEY_FITS:
        return STATUS_OK;
    case TLS_KEY_WRONG_USE:
        log_line(
            LOG_WARNING,
            "%s: the certificate is not meant for TLS servers (key usage, extended key usage); "
            "clients will refuse it",
            options->certificate);
        return STATUS_OK;
    default:
        return refuse(making, STATUS_INVALID,
                      "%s: the key does not belong to the certificate in %s", options->key,
                      options->certificate);
    }
}

static enum status load_certificate(struct making *making)
{
    struct buffer certificate = {0};
    struct buffer key = {0};
    if (making->options->certificate == NULL || making->options->key == NULL)
        return refuse(making, STATUS_INVALID, "TLS needs a certificate and a key");
    enum status status = load_pair(making, &certificate, &key);
    buffer_fini(&certificate);
    if (key.data != NULL)
        explicit_bzero(key.data, key.capacity);
    buffer_fini(&key);
    return status;
}

static enum status load_authorities(struct making *making)
{
    struct buffer pem = {0};
    if (making->options->client_certificate == TLS_CLIENT_NONE)
        return STATUS_OK;
    if (making->options->ca == NULL)
        return refuse(making, STATUS_INVALID,
                      "client certificates are asked for, and no 'ca' says whose are good");
    enum status status = read_pem(making, making->options->ca, &pem);
    if (status == STATUS_OK)
        status = use_authorities(making, &pem);
    buffer_fini(&pem);
    return status;
}

/* ---- What is offered ---- */

static enum status use_ciphers(struct making *making)
{
    const char *list = making->options->ciphers;
    if (list == NULL)
        list = default_ciphers;
    if (wolfSSL_CTX_set_cipher_list(making->ctx, list) == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return refuse(making, STATUS_INVALID, "ciphers '%s': none of them is known", list);
}

/* A resumed session comes without the client's certificate, and with it without the identity that
 * was verified. So there is no resumption where certificates are asked for: not by ticket, and
 * never by the session cache, which wolfSSL has once for all contexts of the process. */
static enum status use_resumption(struct making *making)
{
    WOLFSSL_CTX *ctx = making->ctx;
    bool ok = true;
    wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    if (making->options->client_certificate == TLS_CLIENT_NONE)
        ok = wolfSSL_CTX_set_TicketHint(ctx, TICKET_LIFETIME_S) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_set_timeout(ctx, TICKET_LIFETIME_S) >= 0;
    else
        ok = wolfSSL_CTX_no_ticket_TLSv13(ctx) == 0 &&
             wolfSSL_CTX_NoTicketTLSv12(ctx) == WOLFSSL_SUCCESS;
    return ok ? STATUS_OK : refuse(making, STATUS_INVALID, "session tickets cannot be set up");
}

static void use_client_certificates(struct making *making)
{
    int mode = WOLFSSL_VERIFY_NONE;
    if (making->options->client_certificate != TLS_CLIENT_NONE)
        mode = WOLFSSL_VERIFY_PEER;
    if (making->options->client_certificate == TLS_CLIENT_REQUIRED)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    wolfSSL_CTX_set_verify(making->ctx, mode, mode == WOLFSSL_VERIFY_NONE ? NULL : tls_verify_peer);
}

static enum status configure(struct making *making)
{
    static int groups[] = {WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP384R1};
    WOLFSSL_CTX *ctx = making->ctx;
    int lowest = making->options->tls13_only ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
    wolfSSL_CTX_SetIORecv(ctx, tls_pull);
    wolfSSL_CTX_SetIOSend(ctx, tls_push);
    if (wolfSSL_CTX_SetMinVersion(ctx, lowest) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_groups(ctx, groups, sizeof groups / sizeof *groups) != WOLFSSL_SUCCESS)
        return refuse(making, STATUS_INVALID, "this build of wolfSSL lacks TLS 1.3 or a group");
    wolfSSL_CTX_SetMinRsaKey_Sz(ctx, RSA_BITS_MIN);
    wolfSSL_CTX_SetMinEccKey_Sz(ctx, ECC_BITS_MIN);
    TRY(use_ciphers(making));
    TRY(use_resumption(making));
    use_client_certificates(making);
    TRY(load_certificate(making));
    return load_authorities(making);
}

enum status tls_context_new(const struct tls_options *options, struct tls_context **out,
                            char *error, size_t error_size)
{
    struct making making = {.options = options, .error = error, .error_size = error_size};
    error[0] = '\0';
    *out = NULL;
    struct tls_context *context = calloc(1, sizeof *context);
    WOLFSSL_METHOD *method =
        options->tls13_only ? wolfTLSv1_3_server_method() : wolfSSLv23_server_method();
    making.ctx = method != NULL ? wolfSSL_CTX_new(method) : NULL; /* takes method */
    enum status status = STATUS_NO_MEMORY;
    if (context != NULL && making.ctx != NULL)
        status = configure(&making);
    if (status == STATUS_OK) {
        context->ctx = making.ctx;
        *out = context;
        return STATUS_OK;
    }
    if (error[0] == '\0')
        snprintf(error, error_size, "%s", status_text(status));
    wolfSSL_CTX_free(making.ctx);
    free(context);
    return status;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    wolfSSL_CTX_free(context->ctx);
    free(context);
}
