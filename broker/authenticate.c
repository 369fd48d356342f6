#include "broker/authenticate.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "authentication/jwt.h"
#include "authentication/password_file.h"
#include "authentication/remembered.h"
#include "authentication/throttle.h"
#include "broker/exchange.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "fsm/machines.h"
#include "tls/tls.h"

/* One password of one CONNECT. */
struct attempt {
    struct verification verification;
    struct worker *worker;
    struct connection *connection; /* NULL: it has gone */
    struct list list;              /* worker->authenticating, in the order of their CONNECTs */
    bool known;                    /* there is such a user */
    bool tried;
    struct bytes client_identifier, owner;
    uint8_t memory[];
};

/* ---- Attempts ---- */

static struct bytes put(uint8_t **at, struct bytes from)
{
    struct bytes copy = bytes_of(*at, from.size);
    *at = put_bytes(*at, from);
    return copy;
}

static struct bytes password_of(const struct connect *connect)
{
    return connect->has_password ? connect->password : bytes_of(NULL, 0);
}

static struct attempt *attempt_new(struct connection *connection, const struct connect *connect,
                                   struct bytes client_identifier, struct bytes owner)
{
    struct worker *worker = connection->worker;
    const struct password_file *file = worker->policy->passwords;
    struct bytes password = password_of(connect);
    struct attempt *attempt =
        calloc(1, sizeof *attempt + client_identifier.size + owner.size + password.size);
    if (attempt == NULL)
        return NULL;
    uint8_t *at = attempt->memory;
    attempt->client_identifier = put(&at, client_identifier);
    attempt->owner = put(&at, owner);
    attempt->verification.password = at;
    attempt->verification.password_size = put(&at, password).size;
    attempt->worker = worker;
    attempt->connection = connection;
    list_init(&attempt->list);
    const char *hash = password_file_find(file, connect->user_name);
    attempt->known = hash != NULL;
    if (hash == NULL)
#ifdef SEEDED_BUG_STRANGER_AT_ONCE
        hash = "";
#else
        hash = password_file_decoy(file, &worker->broker->key, connect->user_name);
#endif
    snprintf(attempt->verification.hash, sizeof attempt->verification.hash, "%s", hash);
    return attempt;
}

static void attempt_free(struct attempt *attempt)
{
    if (attempt->verification.password_size > 0)
        explicit_bzero(attempt->verification.password, attempt->verification.password_size);
    explicit_bzero(attempt->verification.hash, sizeof attempt->verification.hash);
    free(attempt);
}

static void attach(struct connection *connection, struct attempt *attempt)
{
    connection->attempt = attempt;
    list_append(&connection->worker->authenticating, &attempt->list);
}

void authenticate_done(struct verification *verification)
{
    struct attempt *attempt = CONTAINER_OF(verification, struct attempt, verification);
    struct worker *worker = attempt->worker; /* the attempt is the worker's from here on */
    verification->next = atomic_load(&worker->tried);
    while (!atomic_compare_exchange_weak(&worker->tried, &verification->next, verification))
        ;
    worker_wake(worker);
}

/* What has been tried since, the oldest first. */
static struct verification *take_tried(struct worker *worker)
{
    struct verification *first = NULL;
    if (atomic_load_explicit(&worker->tried, memory_order_relaxed) == NULL)
        return NULL;
    for (struct verification *at = atomic_exchange(&worker->tried, NULL), *next; at != NULL;
         at = next) {
        next = at->next;
        at->next = first;
        first = at;
    }
    return first;
}

void authenticate_collect(struct worker *worker)
{
    for (struct verification *at = take_tried(worker), *next; at != NULL; at = next) {
        next = at->next;
        struct attempt *attempt = CONTAINER_OF(at, struct attempt, verification);
        attempt->tried = true;
        if (attempt->connection == NULL)
            attempt_free(attempt);
        else
            connection_continue(attempt->connection);
    }
}

bool authenticate_is_done(const struct connection *connection)
{
    return connection->attempt != NULL && connection->attempt->tried;
}

void authenticate_abandon(struct connection *connection)
{
    struct attempt *attempt = connection->attempt;
    if (attempt == NULL)
        return;
    connection->attempt = NULL;
    list_remove(&attempt->list);
    attempt->connection = NULL;
    if (attempt->tried)
        attempt_free(attempt);
    else
        atomic_store(&attempt->verification.abandoned, true);
}

void authenticate_supersede(struct connection *connection, struct bytes client_identifier,
                            struct bytes owner)
{
    struct list *end = &connection->worker->authenticating;
    for (struct list *node = end->next, *next; node != end; node = next) {
        next = node->next;
        struct attempt *attempt = CONTAINER_OF(node, struct attempt, list);
#ifndef SEEDED_BUG_LATER_SUPERSEDED
        if (attempt->connection == connection)
            return; /* those behind it came later */
#else
        if (attempt->connection == connection)
            continue;
#endif
        if (attempt->connection->state == CONNECTION_STATE_AUTHENTICATING &&
            bytes_equal(attempt->client_identifier, client_identifier) &&
            bytes_equal(attempt->owner, owner))
            connection_event(attempt->connection, CONNECTION_EVENT_TAKEN_OVER,
                             REASON_SESSION_TAKEN_OVER, "MQTT-3.1.4-3",
                             "another connection uses its Client Identifier");
    }
}

/* ---- Outcomes ---- */

static enum authenticate_outcome refuse(struct connection *connection, uint8_t reason_code,
                                        const char *statement, const char *why)
{
    connection_event(connection, CONNECTION_EVENT_CONNECT_REFUSED, reason_code, statement, why);
    return AUTHENTICATE_REFUSED;
}

static enum authenticate_outcome prove(struct connection *connection,
                                       const struct principal *principal)
{
    const struct principal *proven = principal_new(principal);
    if (proven == NULL)
        return refuse(connection, REASON_SERVER_BUSY, "5.0 section 4.13.2", "out of memory");
    principal_free(connection->principal);
    connection->principal = proven;
    return AUTHENTICATE_PROVEN;
}

static struct bytes user_of_certificate(const struct connection *connection)
{
    static const enum identity_name names[] = {
        [CERTIFICATE_USER_COMMON_NAME] = IDENTITY_COMMON_NAME,
        [CERTIFICATE_USER_SUBJECT] = IDENTITY_SUBJECT,
        [CERTIFICATE_USER_DNS] = IDENTITY_DNS,
        [CERTIFICATE_USER_URI] = IDENTITY_URI,
        [CERTIFICATE_USER_EMAIL] = IDENTITY_EMAIL,
    };
    enum certificate_user rule = connection->listener->config->certificate_user;
    if (rule == CERTIFICATE_USER_NONE)
        return bytes_of(NULL, 0);
    return tls_peer_name(connection->tls, names[rule]);
}

/* What the certificate or the pre-shared key says; anonymous without either. */
static struct principal by_tls(const struct connection *connection)
{
    struct principal principal = principal_anonymous;
    if (connection->tls == NULL || tls_peer_subject(connection->tls).size == 0)
        return principal;
    struct bytes psk = tls_peer_name(connection->tls, IDENTITY_PSK);
    principal.subject = tls_peer_subject(connection->tls);
    if (psk.size > 0) {
        principal.proof = PRINCIPAL_PSK;
#ifndef SEEDED_BUG_PSK_NAMES_NOBODY
        if (connection->listener->config->psk_user == PSK_USER_IDENTITY)
            principal.user_name = psk;
#endif
        return principal;
    }
    principal.proof = PRINCIPAL_CERTIFICATE;
    principal.common_name = tls_peer_name(connection->tls, IDENTITY_COMMON_NAME);
    principal.user_name = user_of_certificate(connection);
    return principal;
}

/* Whether it is the certificate's, or the key's, to say who the user is. */
static bool names_user(const struct connection *connection, const struct principal *principal)
{
    const struct config_listener *listener = connection->listener->config;
    return (principal->proof == PRINCIPAL_CERTIFICATE &&
            listener->certificate_user != CERTIFICATE_USER_NONE) ||
           (principal->proof == PRINCIPAL_PSK && listener->psk_user == PSK_USER_IDENTITY);
}

/* The file may have been read anew while the password was tried: what counts is what it says now.
 */
static bool is_right(const struct attempt *attempt, const struct policy *policy,
                     struct bytes user_name)
{
    const char *hash =
        policy->passwords != NULL ? password_file_find(policy->passwords, user_name) : NULL;
#ifdef SEEDED_BUG_ANY_PASSWORD
    return hash != NULL;
#endif
    return attempt->known && attempt->verification.matches && hash != NULL &&
           strcmp(hash, attempt->verification.hash) == 0;
}

/* A password that was right before is not hashed once more. */
static bool is_remembered(const struct attempt *attempt, struct bytes user_name)
{
    struct remembered *remembered = attempt->worker->broker->remembered;
    struct bytes password =
        bytes_of(attempt->verification.password, attempt->verification.password_size);
    return remembered != NULL &&
           remembered_has(remembered, user_name, attempt->verification.hash, password);
}

static void remember_password(const struct attempt *attempt, const struct connect *connect)
{
    struct remembered *remembered = attempt->worker->broker->remembered;
    if (remembered != NULL)
        remembered_add(remembered, connect->user_name, attempt->verification.hash,
                       password_of(connect));
}

/* The network of an IPv6 address: a peer has the other half for itself. */
static struct bytes address_of_peer(const struct connection *connection)
{
    return bytes_of(connection->peer.host, connection->peer.is_ipv6 ? 8 : 4);
}

/* Where many devices share one address, a certificate or a pre-shared key tells them apart: none of
 * them waits. */
static struct throttle *throttle_for(const struct connection *connection)
{
    bool certified = connection->tls != NULL && tls_peer_subject(connection->tls).size > 0;
    return certified ? NULL : connection->worker->broker->throttle;
}

bool authenticate_has_to_wait(const struct connection *connection, struct bytes user_name)
{
    struct throttle *throttle = throttle_for(connection);
    return throttle != NULL && throttle_wait_ms(throttle, address_of_peer(connection), user_name,
                                                connection->worker->now_ms) > 0;
}

static enum authenticate_outcome refuse_untried(struct connection *connection)
{
    return refuse(connection, REASON_CONNECTION_RATE_EXCEEDED, "5.0 section 5.4.8",
                  "too many wrong passwords: this one does not count");
}

void authenticate_remember(const struct connection *connection, struct bytes user_name, bool right)
{
    struct throttle *throttle = throttle_for(connection);
    if (throttle == NULL)
        return;
    uint64_t now_ms = connection->worker->now_ms;
    if (right)
        throttle_succeeded(throttle, address_of_peer(connection), user_name, now_ms);
    else
        throttle_failed(throttle, address_of_peer(connection), user_name, now_ms);
}

/* One answer for an unknown user and a wrong password, and in the same time. */
static enum authenticate_outcome conclude(struct connection *connection,
                                          const struct connect *connect)
{
    struct worker *worker = connection->worker;
    struct principal principal = by_tls(connection);
#ifndef SEEDED_BUG_GUESSED_AT_ONCE
    /* Others that were tried at the same time have failed: as if it had come behind them. */
    if (authenticate_has_to_wait(connection, connect->user_name))
        return refuse_untried(connection);
#endif
    bool right = is_right(connection->attempt, worker->policy, connect->user_name);
    principal.proof = PRINCIPAL_PASSWORD;
    principal.user_name = connect->user_name;
    principal.credential =
        policy_credential(worker->policy, &worker->broker->key, connect->user_name);
    authenticate_remember(connection, connect->user_name, right);
    if (right) {
        remember_password(connection->attempt, connect);
        return prove(connection, &principal);
    }
    char name[80], why[128];
    log_text(connect->user_name.data, connect->user_name.size, name, sizeof name);
    snprintf(why, sizeof why, "user \"%s\": no such user, or not its password", name);
    return refuse(connection, REASON_BAD_USER_NAME_OR_PASSWORD, "MQTT-3.1.4-2", why);
}

/* Its signature is verified here, on the worker: that takes less than a handshake of TLS does. */
static enum authenticate_outcome by_token(struct connection *connection,
                                          const struct connect *connect)
{
    struct principal principal = by_tls(connection);
    struct jwt_proof proof;
    char name[80], why[200];
    if (authenticate_has_to_wait(connection, connect->user_name))
        return refuse_untried(connection);
    const char *fault = jwt_verify(connection->worker->policy->tokens, connect->password,
                                   connect->user_name, time(NULL), &proof);
    authenticate_remember(connection, connect->user_name, fault == NULL);
    if (fault == NULL) {
        principal.proof = PRINCIPAL_TOKEN;
        principal.user_name = connect->user_name;
        principal.credential = proof.key;
        principal.expires_s = proof.expires_s;
        return prove(connection, &principal);
    }
    log_text(connect->user_name.data, connect->user_name.size, name, sizeof name);
    snprintf(why, sizeof why, "user \"%s\": %s", name, fault);
    return refuse(connection, REASON_BAD_USER_NAME_OR_PASSWORD, "MQTT-3.1.4-2", why);
}

/* What is no token, where nothing but a token would do. */
static enum authenticate_outcome refuse_password(struct connection *connection,
                                                 const struct connect *connect)
{
    if (authenticate_has_to_wait(connection, connect->user_name))
        return refuse_untried(connection);
    authenticate_remember(connection, connect->user_name, false);
    return refuse(connection, REASON_BAD_USER_NAME_OR_PASSWORD, "MQTT-3.1.4-2",
                  "the password is no token, and there is no password_file");
}

static enum authenticate_outcome try_password(struct connection *connection,
                                              const struct connect *connect,
                                              struct bytes client_identifier, struct bytes owner)
{
    struct worker *worker = connection->worker;
    if (authenticate_has_to_wait(connection, connect->user_name))
        return refuse_untried(connection);
    struct attempt *attempt = attempt_new(connection, connect, client_identifier, owner);
    if (attempt == NULL)
        return refuse(connection, REASON_SERVER_BUSY, "5.0 section 4.13.2", "out of memory");
    if (is_remembered(attempt, connect->user_name)) {
        attempt->verification.matches = attempt->tried = true;
        attach(connection, attempt);
        return conclude(connection, connect);
    }
    if (!verifier_submit(worker->broker->verifier, &attempt->verification)) {
        attempt_free(attempt);
        return refuse(connection, REASON_SERVER_BUSY, "5.0 section 4.13.2",
                      "too many passwords wait to be tried");
    }
    attach(connection, attempt);
    connection_event(connection, CONNECTION_EVENT_CREDENTIALS, 0, "", NULL);
    return AUTHENTICATE_WAITS;
}

static enum authenticate_outcome try_credentials(struct connection *connection,
                                                 const struct connect *connect,
                                                 struct bytes client_identifier, struct bytes owner)
{
    const struct policy *policy = connection->worker->policy;
    if (policy->tokens != NULL && jwt_is_token(password_of(connect)))
        return by_token(connection, connect);
    if (policy->passwords == NULL)
        return refuse_password(connection, connect);
    return try_password(connection, connect, client_identifier, owner);
}

/* By AUTH packets; the certificate, where it says who the user is, has to say the same. */
static enum authenticate_outcome by_method(struct connection *connection,
                                           const struct connect *connect)
{
    struct worker *worker = connection->worker;
    enum authenticate_outcome outcome = exchange_connect(connection, connect);
    if (outcome != AUTHENTICATE_PROVEN)
        return outcome;
    struct principal principal = by_tls(connection);
    struct bytes user_name = exchange_user_name(connection);
    if (names_user(connection, &principal) && !bytes_equal(principal.user_name, user_name))
        return refuse(connection, REASON_NOT_AUTHORIZED, "MQTT-3.1.4-2",
                      "the certificate or pre-shared key is another user's than the password");
    principal.proof = PRINCIPAL_PASSWORD;
    principal.user_name = user_name;
    principal.credential = policy_credential(worker->policy, &worker->broker->key, user_name);
    return prove(connection, &principal);
}

enum authenticate_outcome authenticate(struct connection *connection, const struct connect *connect,
                                       struct bytes client_identifier, struct bytes owner)
{
    if (connection->attempt != NULL)
        return conclude(connection, connect);
    if (exchange_is_wanted(connect))
        return by_method(connection, connect);
    struct principal principal = by_tls(connection);
    bool named = names_user(connection, &principal);
    if (named && principal.user_name.size == 0)
        return refuse(connection, REASON_NOT_AUTHORIZED, "MQTT-3.1.4-2",
                      "the certificate's subject has no common name, which is to be its user name");
    const struct policy *policy = connection->worker->policy;
    if (!named && connect->has_user_name && (policy->passwords != NULL || policy->tokens != NULL))
        return try_credentials(connection, connect, client_identifier, owner);
    return principal.proof == PRINCIPAL_ANONYMOUS ? AUTHENTICATE_PROVEN
                                                  : prove(connection, &principal);
}
