/* Whom a listener trusts: the authorities in 'ca', and what the lists in 'crl' take back. */
#include "tls/tls_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "tls/identity.h"

struct trust {
    struct tls_making *making;
    WOLFSSL_CTX *lists; /* checks the signatures of lists, and goes when they are read */
    struct revocation *revocation;
};

/* ---- Revocation lists ---- */

static void tell_list(const char *path, const struct revocation_summary *summary, bool expired,
                      int verified)
{
    char name[256];
    char until[40];
    char words[160];
    identity_name_text(summary->issuer, name, sizeof name);
    tls_time_text(summary->next_update_s, until, sizeof until);
    if (expired)
        log_line(LOG_WARNING,
                 "%s: the revocation list of '%s' has expired on %s: it is not known any more what "
                 "this authority has revoked; what the list names stays revoked",
                 path, name, until);
    else if (verified == WOLFSSL_SUCCESS)
        log_line(LOG_INFO, "%s: revocation list of '%s': %zu revoked, valid until %s", path, name,
                 summary->count, until);
    else
        log_line(LOG_WARNING,
                 "%s: the revocation list of '%s' does not count, for its authority is not in "
                 "'ca' or may not sign lists (%s); what it names is refused all the same",
                 path, name, tls_error_words(verified, words, sizeof words));
}

/* wolfSSL checks the signature, and only of a list that has not expired. A list that cannot be
 * checked is good enough to refuse by, and not to accept by. A wrong signature is neither. */
static enum status add_list(struct trust *trust, const char *path, struct bytes der)
{
    const char *why;
    char words[160];
    struct revocation_summary summary;
    int verified =
        wolfSSL_CTX_LoadCRLBuffer(trust->lists, der.data, (long)der.size, WOLFSSL_FILETYPE_ASN1);
#ifdef SEEDED_BUG_STALE_LIST_COUNTS
    bool counts = true;
#else
    bool counts = verified == WOLFSSL_SUCCESS;
#endif
    enum status status = revocation_add(trust->revocation, der, counts, &summary, &why);
    if (status == STATUS_INVALID)
        return tls_refuse(trust->making, status, "%s: %s", path, why);
    TRY(status);
    bool expired = summary.next_update_s < time(NULL);
    if (!counts && !expired && verified != ASN_CRL_NO_SIGNER_E)
        return tls_refuse(trust->making, STATUS_INVALID, "%s: not usable as a revocation list: %s",
                          path, tls_error_words(verified, words, sizeof words));
    tell_list(path, &summary, expired, verified);
    return STATUS_OK;
}

static enum status add_pem_lists(struct trust *trust, const char *path, struct bytes rest)
{
    struct bytes pem;
    unsigned count = 0;
    while (tls_file_next_pem(&rest, "X509 CRL", &pem)) {
        DerBuffer *der = NULL;
        if (wc_PemToDer(pem.data, (long)pem.size, CRL_TYPE, &der, NULL, NULL, NULL) != 0)
            return tls_refuse(trust->making, STATUS_INVALID, "%s: damaged", path);
        enum status status = add_list(trust, path, bytes_of(der->buffer, der->length));
        wc_FreeDer(&der);
        TRY(status);
        count++;
    }
    if (count == 0)
        return tls_refuse(trust->making, STATUS_INVALID, "%s: holds no revocation list", path);
    return STATUS_OK;
}

static enum status add_list_file(struct trust *trust, const char *path)
{
    struct buffer file = {0};
    enum status status = tls_file_read(trust->making, path, &file);
    struct bytes content = bytes_of(file.data, file.size);
    if (status == STATUS_OK)
        status = tls_file_holds(&file, "-----BEGIN ") ? add_pem_lists(trust, path, content)
                                                      : add_list(trust, path, content);
    buffer_fini(&file);
    return status;
}

/* Hidden files and what is no file are passed over. */
static enum status add_list_directory(struct trust *trust, const char *path, DIR *directory)
{
    enum { PATH_SIZE = 4400 };
    char name[PATH_SIZE];
    struct stat found;
    unsigned count = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || stat(name, &found) != 0 || !S_ISREG(found.st_mode))
            continue;
        TRY(add_list_file(trust, name));
        count++;
    }
    if (count == 0)
        log_line(LOG_WARNING, "%s: the directory holds no revocation list", path);
    return STATUS_OK;
}

static enum status add_lists(struct trust *trust)
{
    const char *path = trust->making->options->crl;
    DIR *directory = opendir(path);
    if (directory == NULL && errno != ENOTDIR)
        return tls_refuse(trust->making, errno == EACCES ? STATUS_DENIED : STATUS_IO, "%s: %s",
                          path, strerror(errno));
    if (directory == NULL)
        return add_list_file(trust, path);
    enum status status = add_list_directory(trust, path, directory);
    closedir(directory);
    return status;
}

/* ---- Authorities ---- */

static int load_authority(WOLFSSL_CTX *ctx, struct bytes pem)
{
    int result = wolfSSL_CTX_load_verify_buffer_ex(ctx, pem.data, (long)pem.size,
                                                   WOLFSSL_FILETYPE_PEM, 0, WOLFSSL_LOAD_FLAG_NONE);
    /* One that is not valid yet is taken, because a machine without a battery starts in 1970 and
     * must still start. */
    if (result == ASN_BEFORE_DATE_E)
        result =
            wolfSSL_CTX_load_verify_buffer_ex(ctx, pem.data, (long)pem.size, WOLFSSL_FILETYPE_PEM,
                                              0, WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY);
    return result;
}

static enum status remember_authority(struct trust *trust, struct bytes pem)
{
    DerBuffer *der = NULL;
    struct certificate certificate;
    enum status status = STATUS_INVALID;
    if (wc_PemToDer(pem.data, (long)pem.size, CA_TYPE, &der, NULL, NULL, NULL) == 0 &&
        certificate_parse(bytes_of(der->buffer, der->length), &certificate))
        status = peer_authorities_add(&trust->making->rules->authorities, &certificate);
    wc_FreeDer(&der);
    return status;
}

/* One by one, because wolfSSL is content when one of a whole bundle is usable, and says nothing
 * about the others. An expired one is left out. */
static enum status add_authority(struct trust *trust, struct bytes pem, unsigned number)
{
    char words[160];
    const char *path = trust->making->options->ca;
    int result = load_authority(trust->making->ctx, pem);
    if (result == ASN_AFTER_DATE_E || result == ASN_BEFORE_DATE_E) {
        log_line(LOG_WARNING, "%s: certificate %u: %s; clients of this authority will be refused",
                 path, number, tls_error_words(result, words, sizeof words));
        return STATUS_OK;
    }
    if (result == WOLFSSL_SUCCESS && trust->lists != NULL)
        result = load_authority(trust->lists, pem);
    if (result == WOLFSSL_SUCCESS)
        return remember_authority(trust, pem);
    return tls_refuse(trust->making, STATUS_INVALID,
                      "%s: certificate %u is not usable as an authority: %s", path, number,
                      tls_error_words(result, words, sizeof words));
}

static enum status add_authorities(struct trust *trust, const struct buffer *file)
{
    struct bytes rest = bytes_of(file->data, file->size);
    struct bytes pem;
    unsigned number = 0;
    const char *path = trust->making->options->ca;
    while (tls_file_next_pem(&rest, "CERTIFICATE", &pem))
        TRY(add_authority(trust, pem, ++number));
    if (number == 0)
        return tls_refuse(trust->making, STATUS_INVALID, "%s: holds no certificate", path);
    if (trust->making->rules->authorities.count == 0)
        return tls_refuse(trust->making, STATUS_INVALID,
                          "%s: no certificate in it is valid at this time", path);
    return STATUS_OK;
}

static enum status load(struct trust *trust)
{
    struct tls_making *making = trust->making;
    struct buffer file = {0};
    enum status status = tls_file_read_pem(making, making->options->ca, &file);
    if (status == STATUS_OK)
        status = add_authorities(trust, &file);
    buffer_fini(&file);
    TRY(status);
    if (trust->revocation == NULL)
        return STATUS_OK;
    TRY(add_lists(trust));
    revocation_seal(trust->revocation);
    return STATUS_OK;
}

enum status tls_trust_load(struct tls_making *making)
{
    const struct tls_options *options = making->options;
    struct trust trust = {.making = making};
    if (options->client_certificate == TLS_CLIENT_NONE)
        return STATUS_OK;
    if (options->ca == NULL)
        return tls_refuse(making, STATUS_INVALID,
                          "client certificates are asked for, and no 'ca' says whose are good");
    if (options->crl != NULL) {
        TRY(revocation_new(&making->rules->revocation));
        trust.revocation = making->rules->revocation;
        WOLFSSL_METHOD *method = wolfSSLv23_server_method();
        trust.lists = method != NULL ? wolfSSL_CTX_new(method) : NULL; /* takes method */
        if (trust.lists == NULL)
            return STATUS_NO_MEMORY;
    }
    making->rules->any_freshness = options->crl_stale_is_ok;
    enum status status = load(&trust);
    wolfSSL_CTX_free(trust.lists);
    return status;
}
