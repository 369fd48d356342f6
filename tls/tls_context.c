/* A listener's side of TLS: certificate, key, and what is offered. */
#include "tls/tls_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "tls/certificate.h"

enum {
    RSA_BITS_MIN = 2048,
    ECC_BITS_MIN = 256,
};

/* Ephemeral keys and authenticated encryption only. AES-128 first: it is what every peer with AES
 * instructions is fastest with. */
static const char default_ciphers[] =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* The same with pre-shared keys; in TLS 1.3 they are bound to SHA-256, by this suite. */
static const char default_psk_ciphers[] =
    "TLS13-AES128-GCM-SHA256:ECDHE-PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305";

enum status tls_refuse(struct tls_making *making, enum status status, const char *format, ...)
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

/* ---- Certificate and key ---- */

/* The server's own, the first: those of authorities live longer. */
static void remember_expiry(struct tls_making *making, const struct buffer *file)
{
    struct bytes rest = bytes_of(file->data, file->size), pem;
    struct certificate certificate;
    DerBuffer *der = NULL;
    if (tls_file_next_pem(&rest, "CERTIFICATE", &pem) &&
        wc_PemToDer(pem.data, (long)pem.size, CERT_TYPE, &der, NULL, NULL, NULL) == 0 &&
        certificate_parse(bytes_of(der->buffer, der->length), &certificate) &&
        (*making->not_after_s == 0 || certificate.not_after_s < *making->not_after_s))
        *making->not_after_s = certificate.not_after_s;
    wc_FreeDer(&der);
}

static enum status use_certificate(struct tls_making *making, const struct buffer *pem)
{
    char words[160];
    const char *path = making->options->certificate;
    if (!tls_file_holds(pem, "CERTIFICATE-----"))
        return tls_refuse(making, STATUS_INVALID, "%s: holds no certificate", path);
    int result = wolfSSL_CTX_use_certificate_chain_buffer(making->ctx, pem->data, (long)pem->size);
    if (result == WOLFSSL_SUCCESS) {
        remember_expiry(making, pem);
        return STATUS_OK;
    }
    return tls_refuse(making, STATUS_INVALID, "%s: not usable as a certificate chain: %s", path,
                      tls_error_words(result, words, sizeof words));
}

static enum status use_key(struct tls_making *making, const struct buffer *pem)
{
    char words[160];
    const char *path = making->options->key;
    if (!tls_file_holds(pem, "PRIVATE KEY-----"))
        return tls_refuse(making, STATUS_INVALID, "%s: holds no private key", path);
    if (tls_file_holds(pem, "ENCRYPTED"))
        return tls_refuse(making, STATUS_INVALID,
                          "%s: the key is encrypted; store it without a passphrase", path);
    int result = wolfSSL_CTX_use_PrivateKey_buffer(making->ctx, pem->data, (long)pem->size,
                                                   WOLFSSL_FILETYPE_PEM);
    if (result == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return tls_refuse(making, STATUS_INVALID, "%s: not usable as a private key: %s", path,
                      tls_error_words(result, words, sizeof words));
}

static enum status load_staple(struct tls_making *making, const struct buffer *certificate)
{
    struct bytes rest = bytes_of(certificate->data, certificate->size), pem;
    DerBuffer *der = NULL;
    enum status status = STATUS_INVALID;
    if (making->options->ocsp_response == NULL)
        return STATUS_OK;
    if (tls_file_next_pem(&rest, "CERTIFICATE", &pem) &&
        wc_PemToDer(pem.data, (long)pem.size, CERT_TYPE, &der, NULL, NULL, NULL) == 0)
        status = tls_staple_load(making, bytes_of(der->buffer, der->length));
    wc_FreeDer(&der);
    return status;
}

static enum status load_pair(struct tls_making *making, struct buffer *certificate,
                             struct buffer *key)
{
    const struct tls_options *options = making->options;
    TRY(tls_file_read_pem(making, options->certificate, certificate));
    TRY(use_certificate(making, certificate));
    TRY(load_staple(making, certificate));
    TRY(tls_file_read_pem(making, options->key, key));
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
        return tls_refuse(making, STATUS_INVALID,
                          "%s: the key does not belong to the certificate in %s", options->key,
                          options->certificate);
    }
}

static enum status load_certificate(struct tls_making *making)
{
    struct buffer certificate = {0};
    struct buffer key = {0};
    if (making->options->certificate == NULL || making->options->key == NULL)
        return tls_refuse(making, STATUS_INVALID, "TLS needs a certificate and a key");
    enum status status = load_pair(making, &certificate, &key);
    buffer_fini(&certificate);
    if (key.data != NULL)
        explicit_bzero(key.data, key.capacity);
    buffer_fini(&key);
    return status;
}

/* ---- What is offered ---- */

/* What a handshake on such a listener can end with: wolfSSL binds a key to one suite of TLS 1.3,
 * and in TLS 1.2 its exchange has to be ephemeral. */
static enum status check_psk_ciphers(struct tls_making *making, const char *list)
{
    static const char tls13[] = "TLS13-AES128-GCM-SHA256", tls12[] = "ECDHE-PSK-";
    for (const char *name = list;; name++) {
        size_t size = strcspn(name, ":");
        bool is_tls13 = size == strlen(tls13) && memcmp(name, tls13, size) == 0;
        if (!is_tls13 && strncmp(name, tls12, strlen(tls12)) != 0)
            return tls_refuse(making, STATUS_INVALID,
                              "ciphers '%s': no pre-shared key works with '%.*s', but with %s and "
                              "suites whose names begin with %s",
                              list, (int)size, name, tls13, tls12);
        name += size;
        if (*name == '\0')
            return STATUS_OK;
    }
}

static enum status use_ciphers(struct tls_making *making)
{
    const char *list = making->options->ciphers;
    bool psk = making->options->psk_file != NULL;
    if (list == NULL)
        list = psk ? default_psk_ciphers : default_ciphers;
    if (psk)
        TRY(check_psk_ciphers(making, list));
    if (wolfSSL_CTX_set_cipher_list(making->ctx, list) == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return tls_refuse(making, STATUS_INVALID, "ciphers '%s': none of them is known", list);
}

/* By ticket alone, and never by the session cache, which wolfSSL has once for all contexts of the
 * process and which knows nothing of who the client was. */
static enum status use_resumption(struct tls_making *making)
{
    WOLFSSL_CTX *ctx = making->ctx;
    uint32_t lifetime_s =
        making->options->psk_file == NULL ? making->options->ticket_lifetime_s : 0;
    bool ok = true;
    wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    if (lifetime_s > 0)
        ok = wolfSSL_CTX_set_TicketEncCb(ctx, tls_ticket) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_set_TicketHint(ctx, (int)lifetime_s) == WOLFSSL_SUCCESS &&
             wolfSSL_CTX_set_timeout(ctx, lifetime_s) >= 0;
    else
        ok = wolfSSL_CTX_no_ticket_TLSv13(ctx) == 0 &&
             wolfSSL_CTX_NoTicketTLSv12(ctx) == WOLFSSL_SUCCESS;
    return ok ? STATUS_OK : tls_refuse(making, STATUS_INVALID, "session tickets cannot be set up");
}

static void use_client_certificates(struct tls_making *making)
{
    int mode = WOLFSSL_VERIFY_NONE;
    if (making->options->client_certificate != TLS_CLIENT_NONE)
        mode = WOLFSSL_VERIFY_PEER;
    if (making->options->client_certificate == TLS_CLIENT_REQUIRED)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    wolfSSL_CTX_set_verify(making->ctx, mode, mode == WOLFSSL_VERIFY_NONE ? NULL : tls_verify_peer);
}

struct group {
    const char *name;
    int id;
};

static const struct group groups[] = {
    {"P-256", WOLFSSL_ECC_SECP256R1},
    {"P-384", WOLFSSL_ECC_SECP384R1},
    {"P-521", WOLFSSL_ECC_SECP521R1},
    {"X25519", WOLFSSL_ECC_X25519},
};
static const size_t group_count = sizeof groups / sizeof *groups;

static int group_id(const char *name, size_t size)
{
    for (size_t i = 0; i < group_count; i++) {
        if (strlen(groups[i].name) == size && strncasecmp(groups[i].name, name, size) == 0)
            return groups[i].id;
    }
    return 0;
}

static enum status use_groups(struct tls_making *making)
{
    enum { GROUPS_MAX = 8 };
    int ids[GROUPS_MAX];
    int count = 0;
    const char *list = making->options->groups;
    const char *rest = list != NULL ? list : "P-256:X25519:P-384";
    for (;;) {
        size_t size = strcspn(rest, ":");
        int id = group_id(rest, size);
        if (id == 0 || count == GROUPS_MAX)
            return tls_refuse(making, STATUS_INVALID,
                              "groups '%s': '%.*s' is none of P-256, P-384, P-521, X25519", list,
                              (int)size, rest);
        ids[count++] = id;
        if (rest[size] == '\0')
            break;
        rest += size + 1;
    }
    if (wolfSSL_CTX_set_groups(making->ctx, ids, count) == WOLFSSL_SUCCESS)
        return STATUS_OK;
    return tls_refuse(making, STATUS_INVALID, "groups '%s': this build of wolfSSL lacks one",
                      list != NULL ? list : "");
}

static enum status set_up(struct tls_making *making)
{
    WOLFSSL_CTX *ctx = making->ctx;
    int lowest = making->options->tls13_only ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
    wolfSSL_CTX_SetIORecv(ctx, tls_pull);
    wolfSSL_CTX_SetIOSend(ctx, tls_push);
    if (wolfSSL_CTX_SetMinVersion(ctx, lowest) != WOLFSSL_SUCCESS)
        return tls_refuse(making, STATUS_INVALID, "this build of wolfSSL lacks TLS 1.3");
    wolfSSL_CTX_SetMinRsaKey_Sz(ctx, RSA_BITS_MIN);
    wolfSSL_CTX_SetMinEccKey_Sz(ctx, ECC_BITS_MIN);
    TRY(use_groups(making));
    TRY(use_ciphers(making));
    TRY(use_resumption(making));
    if (making->options->psk_file != NULL) {
        wolfSSL_CTX_set_psk_server_callback(ctx, tls_psk);
        return STATUS_OK;
    }
    use_client_certificates(making);
    TRY(load_certificate(making));
    return tls_trust_load(making);
}

enum status tls_context_configure(struct tls_making *making)
{
    WOLFSSL_METHOD *method =
        making->options->tls13_only ? wolfTLSv1_3_server_method() : wolfSSLv23_server_method();
    making->ctx = method != NULL ? wolfSSL_CTX_new(method) : NULL; /* takes method */
    return making->ctx != NULL ? set_up(making) : STATUS_NO_MEMORY;
}

/* A listener's keys outlive its contexts, or each reload would cost every client a whole handshake.
 */
static enum status take_ticket_keys(struct tls_context *context, const struct tls_options *options)
{
    const struct tls_context *before = options->before;
    uint32_t lifetime_s = options->ticket_lifetime_s;
    if (lifetime_s == 0 || options->psk_file != NULL)
        return STATUS_OK;
    if (before != NULL && before->ticket_keys != NULL &&
        ticket_keys_lifetime_s(before->ticket_keys) == lifetime_s) {
        context->ticket_keys = ticket_keys_hold(before->ticket_keys);
        return STATUS_OK;
    }
    return ticket_keys_new(lifetime_s, time(NULL), &context->ticket_keys);
}

static enum status load_psk(struct tls_context *context, struct tls_making *making)
{
    const char *path = making->options->psk_file;
    TRY(psk_load(path, &context->psk, making->error, making->error_size));
    log_line(LOG_NOTICE, "pre-shared keys %s: %zu identities", path, psk_count(context->psk));
    return STATUS_OK;
}

static enum status fill(struct tls_context *context, struct tls_making *making)
{
    const char *alpn = making->options->alpn;
    if (making->options->psk_file != NULL)
        TRY(load_psk(context, making));
    TRY(take_ticket_keys(context, making->options));
    enum status status = tls_context_configure(making);
    context->ctx = making->ctx;
    context->staple = making->staple;
    TRY(status);
    if (alpn != NULL && (context->alpn = strdup(alpn)) == NULL)
        return STATUS_NO_MEMORY;
    return tls_names_load(making, context);
}

enum status tls_context_new(const struct tls_options *options, struct tls_context **out,
                            char *error, size_t error_size)
{
    error[0] = '\0';
    *out = NULL;
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return STATUS_NO_MEMORY;
    atomic_init(&context->references, 1);
    context->ends_expired = options->ends_expired;
    context->requires_certificate = options->client_certificate == TLS_CLIENT_REQUIRED;
    struct tls_making making = {.rules = &context->rules,
                                .not_after_s = &context->not_after_s,
                                .options = options,
                                .error = error,
                                .error_size = error_size};
    enum status status = fill(context, &making);
    if (status == STATUS_OK) {
        *out = context;
        return STATUS_OK;
    }
    if (error[0] == '\0')
        snprintf(error, error_size, "%s", status_text(status));
    tls_context_free(context);
    return status;
}

int64_t tls_context_not_after_s(const struct tls_context *context)
{
    return context->not_after_s;
}

bool tls_context_ends_expired(const struct tls_context *context)
{
    return context->ends_expired;
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    if (context != NULL)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL ||
        atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1)
        return;
    wolfSSL_CTX_free(context->ctx);
    tls_staple_free(context->staple);
    tls_names_free(context);
    free(context->alpn);
    psk_free(context->psk);
    ticket_keys_free(context->ticket_keys);
    peer_authorities_fini(&context->rules.authorities);
    revocation_free(context->rules.revocation);
    free(context);
}
