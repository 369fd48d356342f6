/* OCSP stapling (RFC 6066 section 8): who asks for it gets what the authority says of our
 * certificate, by a response that the operator keeps up to date. */
#include "tls/tls_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "tls/certificate.h"
#include "tls/ocsp_response.h"

enum stage { STAGE_FRESH, STAGE_LATE, STAGE_EXPIRED };

struct tls_staple {
    char *path;
    struct buffer response;
    struct ocsp_response times;
    _Atomic int told; /* enum stage */
};

/* Authorities issue the next one at half of its time, or soon after. */
static enum stage stage_at(const struct tls_staple *staple, int64_t now_s)
{
    const struct ocsp_response *times = &staple->times;
    if (now_s >= times->next_update_s)
        return STAGE_EXPIRED;
    int64_t left_s = times->next_update_s - now_s;
    return left_s < (times->next_update_s - times->this_update_s) / 4 ? STAGE_LATE : STAGE_FRESH;
}

void tls_staple_tell(struct tls_staple *staple, int64_t now_s)
{
    char until[40];
    int stage = stage_at(staple, now_s);
    int told = atomic_load_explicit(&staple->told, memory_order_relaxed);
    if (stage <= told || !atomic_compare_exchange_strong(&staple->told, &told, stage))
        return;
    tls_time_text(staple->times.next_update_s, until, sizeof until);
    if (stage == STAGE_EXPIRED)
        log_line(LOG_ERROR,
                 "%s: the OCSP response has expired on %s: clients get none until there is "
                 "another one",
                 staple->path, until);
    else
        log_line(LOG_WARNING,
                 "%s: the OCSP response expires on %s, with less than a quarter of its time left: "
                 "replace it",
                 staple->path, until);
}

#ifdef HOLDFAST_STAPLING
/* For wolfSSL as script/wolfssl-stapling.patch has it: who asks gets these bytes. */
static int give(void *context, const char *url, int url_size, unsigned char *request,
                int request_size, unsigned char **out)
{
    struct tls_staple *staple = context;
    int64_t now_s = time(NULL);
#ifndef SEEDED_BUG_STALE_RESPONSE_STAPLED
    if (now_s < staple->times.this_update_s || now_s >= staple->times.next_update_s)
        return 0;
#endif
    *out = staple->response.data;
    return (int)staple->response.size;
}

static enum status use(struct tls_making *making)
{
    if (wolfSSL_CTX_EnableOCSPStapling(making->ctx) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_SetOCSP_Cb(making->ctx, give, NULL, making->staple) != WOLFSSL_SUCCESS)
        return tls_refuse(making, STATUS_NO_MEMORY, "OCSP stapling cannot be set up");
    return STATUS_OK;
}
#else
static enum status use(struct tls_making *making)
{
    return tls_refuse(making, STATUS_INVALID,
                      "'ocsp_response': this wolfSSL cannot do it; the one that "
                      "script/bootstrap builds can");
}
#endif

static enum status check(struct tls_making *making, struct bytes der)
{
    /* In TLS 1.2 OpenSSL takes a message of 16 KiB; this one has two headers of four bytes. */
    enum { RESPONSE_SIZE_MAX = (16 << 10) - 8 };
    char time_word[40];
    struct certificate certificate;
    struct tls_staple *staple = making->staple;
    const char *path = staple->path;
    if (staple->response.size > RESPONSE_SIZE_MAX)
        return tls_refuse(making, STATUS_INVALID, "%s: larger than %d bytes", path,
                          RESPONSE_SIZE_MAX);
    if (!certificate_parse(der, &certificate))
        return tls_refuse(making, STATUS_INVALID, "%s: the certificate is malformed",
                          making->options->certificate);
    const char *fault = ocsp_response_read(bytes_of(staple->response.data, staple->response.size),
                                           &certificate, &staple->times);
    if (fault != NULL)
        return tls_refuse(making, STATUS_INVALID, "%s: OCSP response for %s: %s", path,
                          making->options->certificate, fault);
    int64_t now_s = time(NULL);
    if (now_s < staple->times.this_update_s)
        log_line(LOG_WARNING,
                 "%s: the OCSP response is good from %s on, or this machine's clock is wrong: "
                 "clients get none until then",
                 path, tls_time_text(staple->times.this_update_s, time_word, sizeof time_word));
    if (stage_at(staple, now_s) == STAGE_FRESH)
        log_line(LOG_INFO, "%s: OCSP response, good until %s", path,
                 tls_time_text(staple->times.next_update_s, time_word, sizeof time_word));
    tls_staple_tell(staple, now_s);
    return STATUS_OK;
}

enum status tls_staple_load(struct tls_making *making, struct bytes certificate)
{
    const char *path = making->options->ocsp_response;
    making->staple = calloc(1, sizeof *making->staple);
    if (making->staple == NULL || (making->staple->path = strdup(path)) == NULL)
        return STATUS_NO_MEMORY;
    TRY(tls_file_read(making, path, &making->staple->response));
    TRY(check(making, certificate));
    return use(making);
}

void tls_staple_free(struct tls_staple *staple)
{
    if (staple == NULL)
        return;
    buffer_fini(&staple->response);
    free(staple->path);
    free(staple);
}

bool tls_context_has_staples(const struct tls_context *context)
{
    bool any = context->staple != NULL;
    for (size_t i = 0; i < context->name_count; i++)
        any = any || context->names[i].staple != NULL;
    return any;
}

void tls_context_tell_staples(const struct tls_context *context, int64_t now_s)
{
    if (context->staple != NULL)
        tls_staple_tell(context->staple, now_s);
    for (size_t i = 0; i < context->name_count; i++) {
        if (context->names[i].staple != NULL)
            tls_staple_tell(context->names[i].staple, now_s);
    }
}
