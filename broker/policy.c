#include "broker/policy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authentication/jwt.h"
#include "authentication/password_file.h"
#include "authorization/acl.h"
#include "base/check.h"
#include "base/log.h"
#include "broker/broker.h"
#include "broker/connection.h"
#include "broker/permission.h"
#include "broker/policy_tls.h"
#include "broker/worker.h"
#include "fsm/machines.h"
#include "tls/tls.h"

/* ---- Making one ---- */

static struct policy_listener *find(const struct policy *policy, const char *name)
{
    for (size_t i = 0; policy != NULL && i < policy->listener_count; i++) {
        if (strcmp(policy->listeners[i].name, name) == 0)
            return &policy->listeners[i];
    }
    return NULL;
}

/* Takes `tls`. */
static enum status add_listener(struct policy *policy, const char *name, bool allow_anonymous,
                                struct tls_context *tls)
{
    struct policy_listener *listener = &policy->listeners[policy->listener_count];
    *listener = (struct policy_listener){
        .name = strdup(name), .allow_anonymous = allow_anonymous, .tls = tls};
    if (listener->name == NULL) {
        tls_context_free(tls);
        return STATUS_NO_MEMORY;
    }
    policy->listener_count++;
    return STATUS_OK;
}

static enum status add_wanted(struct policy *policy, const struct config *config,
                              const struct policy *before, char *error, size_t error_size)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *wanted = &config->listeners[i];
        const struct policy_listener *old = find(before, wanted->name);
        struct tls_context *tls;
        TRY(policy_tls_load(wanted, old != NULL ? old->tls : NULL, &tls, error, error_size));
#ifdef SEEDED_BUG_OLD_CERTIFICATE_SERVED
        if (old != NULL) {
            tls_context_free(tls);
            tls = NULL;
        }
#endif
        if (tls == NULL && old != NULL) /* plain after a restart */
            tls = tls_context_hold(old->tls);
        TRY(add_listener(policy, wanted->name, wanted->allow_anonymous, tls));
    }
    return STATUS_OK;
}

/* A listener that has left the file stays open until a restart, as it was. */
static enum status add_departed(struct policy *policy, const struct policy *before)
{
    for (size_t i = 0; before != NULL && i < before->listener_count; i++) {
        const struct policy_listener *old = &before->listeners[i];
        if (find(policy, old->name) == NULL)
            TRY(add_listener(policy, old->name, old->allow_anonymous, tls_context_hold(old->tls)));
    }
    return STATUS_OK;
}

static enum status add_listeners(struct policy *policy, const struct config *config,
                                 const struct policy *before, char *error, size_t error_size)
{
    size_t count = config->listener_count + (before != NULL ? before->listener_count : 0);
    policy->listeners = calloc(count, sizeof *policy->listeners);
    if (policy->listeners == NULL)
        return STATUS_NO_MEMORY;
    TRY(add_wanted(policy, config, before, error, error_size));
    return add_departed(policy, before);
}

static enum status load_passwords(struct policy *policy, const struct config *config, char *error,
                                  size_t error_size)
{
    const char *path = config->authentication.password_file;
    TRY(password_file_load(path, &policy->passwords, error, error_size));
    log_line(LOG_NOTICE, "password file %s: %zu users", path,
             password_file_count(policy->passwords));
    return STATUS_OK;
}

static enum status load_tokens(struct policy *policy, const struct config *config, char *error,
                               size_t error_size)
{
    const struct config_authentication *wanted = &config->authentication;
    const struct jwt_options options = {.key_file = wanted->jwt_key_file,
                                        .secret_file = wanted->jwt_secret_file,
                                        .audience = wanted->jwt_audience,
                                        .issuer = wanted->jwt_issuer};
    if (options.key_file == NULL && options.secret_file == NULL)
        return STATUS_OK;
    TRY(jwt_keys_load(&options, &policy->tokens, error, error_size));
    policy->tokens_end = wanted->jwt_disconnect_expired;
    log_line(LOG_NOTICE, "tokens: %zu keys", jwt_keys_count(policy->tokens));
    return STATUS_OK;
}

static void policy_free(struct policy *policy)
{
    for (size_t i = 0; i < policy->listener_count; i++) {
        free(policy->listeners[i].name);
        tls_context_free(policy->listeners[i].tls);
    }
    free(policy->listeners);
    acl_free(policy->acl);
    password_file_free(policy->passwords);
    jwt_keys_free(policy->tokens);
    watch_fini(&policy->watch);
    free(policy);
}

/* A slip in such a name voids the rules behind it, denials too. */
static void warn_of_listener(void *context, struct bytes name, uint32_t line)
{
    const struct config *config = context;
    char shown[80];
    log_text(name.data, name.size, shown, sizeof shown);
    for (size_t i = 0; i < config->listener_count; i++) {
        if (bytes_equal(bytes_of_text(config->listeners[i].name), name))
            return;
    }
    log_line(LOG_WARNING, "%s:%u: there is no listener '%s': the rules behind it hold for nobody",
             config->authorization.acl_file, line, shown);
}

static enum status add_acl(struct policy *policy, const struct config *config, char *error,
                           size_t error_size)
{
    if (config->authorization.acl_file == NULL)
        return STATUS_OK;
    TRY(acl_load(config->authorization.acl_file, &policy->acl, error, error_size));
    acl_visit_listeners(policy->acl, warn_of_listener, (void *)config);
    return STATUS_OK;
}

enum status policy_new(const struct config *config, const struct policy *before,
                       struct policy **out, char *error, size_t error_size)
{
    *out = NULL;
    error[0] = '\0';
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return STATUS_NO_MEMORY;
    atomic_init(&policy->references, 1);
    enum status status = watch_init(&policy->watch, config);
    policy->seen = watch_look(&policy->watch);
    if (status == STATUS_OK)
        status = add_listeners(policy, config, before, error, error_size);
    if (status == STATUS_OK)
        status = add_acl(policy, config, error, error_size);
    if (status == STATUS_OK && config->authentication.password_file != NULL)
        status = load_passwords(policy, config, error, error_size);
    if (status == STATUS_OK)
        status = load_tokens(policy, config, error, error_size);
    if (status == STATUS_OK) {
        *out = policy;
        return STATUS_OK;
    }
    policy_free(policy);
    if (error[0] == '\0')
        snprintf(error, error_size, "%s", status_text(status));
    return status;
}

struct policy *policy_hold(struct policy *policy)
{
    atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    return policy;
}

void policy_drop(struct policy *policy)
{
    if (policy != NULL &&
        atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) == 1)
        policy_free(policy);
}

/* ---- Handing it over ---- */

void policy_offer(struct broker *broker, struct policy *policy)
{
    policy->number = broker->policy->number + 1;
    atomic_init(&policy->awaited, broker->worker_count);
    policy_drop(broker->policy);
    broker->policy = policy;
    policy_tls_note_expiry(broker, policy);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        struct worker *worker = &broker->workers[i];
        policy_drop(atomic_exchange(&worker->offered, policy_hold(policy)));
        worker_wake(worker);
    }
}

static const char *token_withdrawal(const struct policy *policy, const struct principal *principal)
{
    if (policy->tokens == NULL || !jwt_keys_have(policy->tokens, principal->credential))
        return "the key of its token has gone";
#ifdef SEEDED_BUG_TOKEN_NEVER_ENDS
    return NULL;
#endif
    return policy->tokens_end && principal->expires_s <= time(NULL) ? "its token has expired"
                                                                    : NULL;
}

/* Why a connected client may not stay; NULL: it may. */
static const char *unwelcome(const struct worker *worker, const struct connection *connection)
{
    const struct principal *principal = connection->principal;
    if (principal->proof == PRINCIPAL_PASSWORD &&
        policy_credential(worker->policy, &worker->broker->key, principal->user_name) !=
            principal->credential)
        return "its user has left the password file, or has another password";
    if (principal->proof == PRINCIPAL_TOKEN) {
        const char *why = token_withdrawal(worker->policy, principal);
        if (why != NULL)
            return why;
    }
    if (principal->proof == PRINCIPAL_ANONYMOUS &&
        !policy_allows_anonymous(worker->policy, connection->listener->config))
        return "the listener takes no anonymous clients any more";
    return policy_tls_withdrawal(worker->policy, connection);
}

void policy_review(struct worker *worker)
{
    for (struct list *node = worker->connections.next, *next; node != &worker->connections;
         node = next) {
        next = node->next;
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        if (connection->closed || connection->session == NULL)
            continue;
        const char *why = unwelcome(worker, connection);
        if (why != NULL)
            connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_NOT_AUTHORIZED,
                             "MQTT-3.14.4-1", why);
    }
}

void policy_take(struct worker *worker)
{
    if (atomic_load_explicit(&worker->offered, memory_order_relaxed) == NULL)
        return;
    struct policy *policy = atomic_exchange(&worker->offered, NULL);
    struct policy *before = worker->policy;
    worker->policy = policy;
    permission_renew(worker);
    policy_drop(before);
#ifndef SEEDED_BUG_UNWELCOME_STAYS
    policy_review(worker);
#endif
    policy_tls_take(worker);
    if (atomic_fetch_sub(&policy->awaited, 1) == 1)
        log_line(LOG_NOTICE, "configuration: reading %u is in force", policy->number + 1);
}

/* ---- What it says ---- */

/* Every listener that is open is in every policy. */
static const struct policy_listener *listener_of(const struct policy *policy,
                                                 const struct config_listener *listener)
{
    const struct policy_listener *found = find(policy, listener->name);
    CHECK(found != NULL);
    return found;
}

struct tls_context *policy_tls(const struct policy *policy, const struct config_listener *listener)
{
    return config_listener_has_tls(listener) ? listener_of(policy, listener)->tls : NULL;
}

bool policy_allows_anonymous(const struct policy *policy, const struct config_listener *listener)
{
    return listener_of(policy, listener)->allow_anonymous;
}

uint64_t policy_credential(const struct policy *policy, const struct hash_key *key,
                           struct bytes user_name)
{
    const char *hash =
        policy->passwords != NULL ? password_file_find(policy->passwords, user_name) : NULL;
    return hash != NULL ? hash_bytes(key, hash, strlen(hash)) : 0;
}
