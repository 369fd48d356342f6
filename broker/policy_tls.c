#include "broker/policy_tls.h"

#include <stdio.h>
#include <time.h>

#include "broker/connection.h"
#include "broker/policy.h"
#include "broker/worker.h"
#include "tls/tls.h"

enum status policy_tls_load(const struct config_listener *listener,
                            const struct tls_context *before, struct tls_context **out, char *error,
                            size_t error_size)
{
    *out = NULL;
    if (!config_listener_has_tls(listener))
        return STATUS_OK;
    struct tls_options options = {
        .certificate = listener->certificate,
        .key = listener->key,
        .ca = listener->ca,
        .client_certificate = listener->client_certificate,
        .tls13_only = listener->tls_version == TLS_LOWEST_1_3,
        .ciphers = listener->ciphers,
        .groups = listener->groups,
        .alpn = listener->alpn != NULL                    ? listener->alpn
                : config_listener_has_websocket(listener) ? "http/1.1"
                                                          : "mqtt",
        .sni_directory = listener->sni_directory,
        .ocsp_response = listener->ocsp_response,
        .crl = listener->crl,
        .crl_stale_is_ok = listener->crl_freshness == CRL_FRESHNESS_ANY,
        .ticket_lifetime_s = listener->ticket_lifetime_s,
        .before = before,
        .ends_expired = listener->disconnect_expired,
        .psk_file = listener->psk_file,
    };
    char reason[512];
    enum status status = tls_context_new(&options, out, reason, sizeof reason);
    if (status != STATUS_OK)
        snprintf(error, error_size, "listener \"%s\": %s", listener->name, reason);
    return status;
}

void policy_tls_note_expiry(struct broker *broker, const struct policy *policy)
{
    for (unsigned i = 0; i < broker->listener_count; i++) {
        struct listener *listener = &broker->listeners[i];
        const struct tls_context *tls = policy_tls(policy, listener->config);
        atomic_store_explicit(&listener->certificate_expires_s,
                              tls != NULL ? tls_context_not_after_s(tls) : 0, memory_order_relaxed);
    }
}

const char *policy_tls_withdrawal(const struct policy *policy, const struct connection *connection)
{
#ifdef SEEDED_BUG_WITHDRAWN_STAYS
    return NULL;
#endif
    if (connection->tls == NULL)
        return NULL;
    return tls_withdrawal(connection->tls, policy_tls(policy, connection->listener->config),
                          time(NULL));
}

/* ---- Time passes ---- */

enum { EXPIRY_INTERVAL_MS = 10000 };

/* Whether a client goes when its certificate or its token expires can change at a reload. */
static bool ends_expired(const struct policy *policy)
{
    bool ends = policy->tokens != NULL && policy->tokens_end;
    for (size_t i = 0; i < policy->listener_count; i++) {
        const struct tls_context *tls = policy->listeners[i].tls;
        ends = ends || (tls != NULL && tls_context_ends_expired(tls));
    }
    return ends;
}

static bool has_staples(const struct policy *policy)
{
    bool any = false;
    for (size_t i = 0; i < policy->listener_count; i++) {
        const struct tls_context *tls = policy->listeners[i].tls;
        any = any || (tls != NULL && tls_context_has_staples(tls));
    }
    return any;
}

static void expiry_fired(struct worker *worker, struct worker_timer *timer)
{
    const struct policy *policy = worker->policy;
    for (size_t i = 0; i < policy->listener_count; i++) {
        if (policy->listeners[i].tls != NULL)
            tls_context_tell_staples(policy->listeners[i].tls, time(NULL));
    }
    if (ends_expired(policy))
        policy_review(worker);
    worker_timer_set(worker, timer, worker->now_ms + EXPIRY_INTERVAL_MS);
}

void policy_tls_start(struct worker *worker)
{
    worker_timer_init(&worker->expiry_timer, expiry_fired);
    policy_tls_take(worker);
}

void policy_tls_take(struct worker *worker)
{
    bool wanted = ends_expired(worker->policy) || has_staples(worker->policy);
    worker_timer_cancel(worker, &worker->expiry_timer);
#ifdef SEEDED_BUG_EXPIRED_STAYS
    wanted = false;
#endif
    if (wanted)
        worker_timer_set(worker, &worker->expiry_timer, worker->now_ms + EXPIRY_INTERVAL_MS);
}
