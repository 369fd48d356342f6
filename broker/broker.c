#include "broker/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "authentication/remembered.h"
#include "authentication/throttle.h"
#include "broker/account.h"
#include "broker/authenticate.h"
#include "broker/listener.h"
#include "broker/policy.h"
#include "broker/policy_tls.h"
#include "broker/privileges.h"
#include "broker/sandbox.h"
#include "routing/reclaim.h"
#include "broker/session.h"
#include "broker/trace_log.h"
#include "broker/worker.h"
#include "tls/tls.h"

/* Of all workers together: enough that a short absence costs no reading back. */
enum { QUEUE_MEMORY_BYTES = 8 * 1024 * 1024 };

/* Passwords that wait for a thread: with one thread, some five seconds' work. */
enum { VERIFIER_QUEUE = 256 };

uint64_t broker_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t broker_clock_ms(void)
{
    return broker_clock_us() / 1000;
}

unsigned broker_home(const struct broker *broker, struct bytes client_identifier)
{
    /* The upper bits: the session tables use the lower ones of the same hash. */
    return (
        unsigned)((hash_bytes(&broker->key, client_identifier.data, client_identifier.size) >> 40) %
                  broker->worker_count);
}

uint64_t broker_new_incarnation(struct broker *broker)
{
#ifdef SEEDED_BUG_INCARNATION_REUSED
    return atomic_fetch_add_explicit(&broker->next_incarnation, 1, memory_order_relaxed);
#endif
    return (uint64_t)store_boot(broker->store) << 32 |
           atomic_fetch_add_explicit(&broker->next_incarnation, 1, memory_order_relaxed);
}

/* ---- What the store tells at start ---- */

struct loading {
    struct broker *broker;
    struct session *session; /* the last one visited */
    uint64_t sessions, subscriptions, messages, retained;
    enum status status;
};

static void load_will(struct session *session, const struct store_will *will, int64_t due_ms)
{
    if (!will->present)
        return;
    struct message *message = message_new(will->topic, will->properties, will->payload);
    CHECK(message != NULL);
    message->stored.qos = will->qos;
    message->stored.retain = will->retain;
    message->stored.has_expiry = will->has_message_expiry;
    message->stored.expiry_interval_s = will->message_expiry_interval_s;
    struct session_will *loaded = session_will_new(message, will->delay_interval_s);
    CHECK(loaded != NULL);
    loaded->due_ms = due_ms;
    session_set_will(session, loaded);
}

static void load_session(void *context, const struct store_session *row, uint64_t backlog)
{
    struct loading *loading = context;
    struct broker *broker = loading->broker;
    struct worker *worker = &broker->workers[broker_home(broker, row->client_identifier)];
    struct session *session =
        session_new(worker, row->client_identifier, row->owner, row->incarnation);
    loading->session = session;
    if (session == NULL) {
        loading->status = STATUS_NO_MEMORY;
        return;
    }
    session->version = row->version;
    session->expiry_interval_s = row->expiry_interval_s;
    session->disconnected_at_ms = row->disconnected_at_ms;
    session->has_row = true;
    session->unloaded = true;
    session->outbound.stored_count = backlog;
    session_set_stored(worker, session, row->expiry_interval_s > 0);
    outbound_update_room(worker, session);
    load_will(session, &row->will, row->will_due_ms);
    session->state = row->connected ? SESSION_STATE_CONNECTED : SESSION_STATE_DISCONNECTED;
    list_append(&worker->started, &session->list);
    loading->sessions++;
    loading->messages += backlog;
}

static void load_subscription(void *context, uint64_t incarnation,
                              const struct store_subscription *row)
{
    struct loading *loading = context;
    struct session *session = loading->session;
    if (session == NULL || session->incarnation != incarnation)
        return;
    struct subscription *subscription;
    uint64_t version;
    enum status status =
        subscription_restore(&loading->broker->workers[session->home], session, row->topic_filter,
                             row->options, row->identifier, &subscription, &version);
    if (status == STATUS_NO_MEMORY)
        loading->status = status;
    if (status == STATUS_INVALID) {
        log_line(LOG_ERROR, "client \"%s\": a stored subscription is no Topic Filter; left out",
                 session_name(session));
        return;
    }
    if (status == STATUS_OK)
        subscription->recorded = true;
    loading->subscriptions++;
}

static void load_retained(void *context, const struct store_message *row)
{
    struct loading *loading = context;
    struct message *message = message_copy(row);
    if (retained_set(loading->broker->retained, message) != STATUS_OK)
        loading->status = STATUS_NO_MEMORY;
    message_drop(message, 1);
    loading->retained++;
}

static enum status load(struct broker *broker)
{
    struct loading loading = {.broker = broker};
    struct store_visitor visitor = {&loading, load_session, load_subscription, load_retained};
    TRY(store_load(broker->store, &visitor));
    TRY(loading.status);
    log_line(LOG_NOTICE,
             "store: %llu sessions, %llu subscriptions, %llu messages owed, %llu retained",
             (unsigned long long)loading.sessions, (unsigned long long)loading.subscriptions,
             (unsigned long long)loading.messages, (unsigned long long)loading.retained);
    return STATUS_OK;
}

/* ---- Start ---- */

static void notify(void *context, unsigned worker)
{
    struct broker *broker = context;
    worker_wake(&broker->workers[worker]);
}

static unsigned worker_count(const struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = config->broker.workers > 0 ? config->broker.workers
                     : cores > 0                ? (unsigned)cores
                                                : 1;
    return count < WORKERS_MAX ? count : WORKERS_MAX;
}

static enum status open_store(struct broker *broker, char *error, size_t error_size)
{
    const struct config_sqlite *sqlite = &broker->config->sqlite;
    struct store_options options = {
        .directory = sqlite->mounted_file_path,
        .durability = sqlite->durability,
        .workers = broker->worker_count,
        .flush_mem_threshold = sqlite->flush_mem_threshold,
        .flush_interval_ms = sqlite->flush_interval_ms,
        .commit_delay_us = sqlite->commit_delay_us,
        .disk_stall_limit_ms = sqlite->disk_stall_limit_ms,
        .secure_delete = sqlite->secure_delete,
        .notify = notify,
        .context = broker,
        .release = worker_release,
    };
#ifdef SEEDED_BUG_FLUSH_WAITS
    if (options.durability == STORE_DURABILITY_FLUSH)
        options.durability = STORE_DURABILITY_COMMIT;
#endif
#ifdef SEEDED_BUG_FLUSH_INTERVAL_IGNORED
    options.flush_interval_ms = 3600000;
#endif
#ifdef SEEDED_BUG_NONE_WRITES
    if (options.durability == STORE_DURABILITY_NONE)
        options.durability = STORE_DURABILITY_FLUSH;
#endif
    TRY(store_open(&options, &broker->store, error, error_size));
    broker->store_base_ms = store_now_base(broker->store);
    broker->first_number = (store_first_lsn(broker->store) + 1) << STORE_NUMBER_BITS;
    return STATUS_OK;
}

static enum status start_threads(struct broker *broker)
{
    for (unsigned i = 0; i < broker->worker_count; i++)
        TRY(worker_listen(&broker->workers[i]));
    for (unsigned i = 0; i < broker->worker_count; i++) {
        if (pthread_create(&broker->workers[i].thread, NULL, worker_run, &broker->workers[i]) != 0)
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static enum status open_trace(struct broker *broker, char *error, size_t error_size)
{
    const char *path = broker->config->log.trace;
    if (path == NULL)
        return STATUS_OK;
    return trace_log_open(path, broker->worker_count, store_boot(broker->store), &broker->trace,
                          error, error_size);
}

enum status broker_prepare(struct broker *broker, const struct policy *policy)
{
    const struct config_authentication *config = &broker->config->authentication;
    bool guessed_at = policy->passwords != NULL || policy->tokens != NULL;
    if (guessed_at && config->max_failures > 0 && broker->throttle == NULL) {
        broker->throttle = throttle_new(&broker->key, config->max_failures);
        if (broker->throttle == NULL)
            return STATUS_NO_MEMORY;
    }
    if (policy->passwords == NULL || broker->verifier != NULL)
        return STATUS_OK;
    if (config->remember_passwords > 0 && broker->remembered == NULL) {
        broker->remembered = remembered_new(config->remember_passwords);
        if (broker->remembered == NULL)
            return STATUS_NO_MEMORY;
    }
    broker->verifier = verifier_new(config->hash_threads, VERIFIER_QUEUE, authenticate_done);
    return broker->verifier != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

/* The files are read once more: what a reload could not read any more stops the start. */
static enum status become_user(struct broker *broker, char *error, size_t error_size)
{
    struct policy *again;
    const char *user = broker->config->broker.user;
    if (user == NULL)
        return STATUS_OK;
    TRY(privileges_drop(user, error, error_size));
    sandbox_allow_cores(broker->config->broker.core_dumps);
    TRY(policy_new(broker->config, broker->policy, &again, error, error_size));
    policy_drop(broker->policy);
    broker->policy = again;
    return STATUS_OK;
}

static enum status open_all(struct broker *broker, char *error, size_t error_size)
{
    broker->worker_count = worker_count(broker->config);
    broker->started_ms = broker_clock_ms();
    broker->queue_memory_bytes = QUEUE_MEMORY_BYTES / broker->worker_count;
    atomic_init(&broker->next_incarnation, 1);
    if (getrandom(&broker->key, sizeof broker->key, 0) != sizeof broker->key)
        return STATUS_IO;
    TRY(tls_init());
    TRY(policy_new(broker->config, NULL, &broker->policy, error, error_size));
    TRY(listeners_open(broker, error, error_size));
    TRY(become_user(broker, error, error_size));
    policy_tls_note_expiry(broker, broker->policy);
    TRY(open_store(broker, error, error_size));
    TRY(open_trace(broker, error, error_size));
    broker->index = topic_index_new(&broker->key);
    broker->retained = retained_new(&broker->key);
    broker->accounts = accounts_new(&broker->key);
    size_t size = broker->worker_count * sizeof(struct worker);
    broker->workers = aligned_alloc(64, size);
    if (broker->index == NULL || broker->retained == NULL || broker->accounts == NULL ||
        broker->workers == NULL)
        return STATUS_NO_MEMORY;
    memset((void *)broker->workers, 0, size);
    for (unsigned i = 0; i < broker->worker_count; i++)
        TRY(worker_init(&broker->workers[i], broker, i));
    for (unsigned i = 0; i < broker->worker_count; i++)
        worker_connect(&broker->workers[i]);
    TRY(load(broker));
    TRY(broker_prepare(broker, broker->policy));
    return store_start(broker->store);
}

static enum status explained(enum status status, char *error, size_t error_size)
{
    if (status != STATUS_OK && error[0] == '\0')
        snprintf(error, error_size, "cannot start: %s", status_text(status));
    return status;
}

enum status broker_open(struct broker *broker, const struct config *config, char *error,
                        size_t error_size)
{
    *broker = (struct broker){.config = config};
    error[0] = '\0';
    reclaim_thread_register();
    enum status status = open_all(broker, error, error_size);
    reclaim_thread_unregister();
    return explained(status, error, error_size);
}

enum status broker_start(struct broker *broker, const struct config *config, char *error,
                         size_t error_size)
{
    TRY(broker_open(broker, config, error, error_size));
    return explained(start_threads(broker), error, error_size);
}

void broker_stop(struct broker *broker)
{
    atomic_store(&broker->stopping, true);
    for (unsigned i = 0; i < broker->worker_count; i++)
        worker_wake(&broker->workers[i]);
    for (unsigned i = 0; i < broker->worker_count; i++)
        pthread_join(broker->workers[i].thread, NULL);
    verifier_free(broker->verifier);
    store_close(broker->store); /* commits what is left, releases the messages it kept */
    reclaim_thread_register();
    for (unsigned i = 0; i < broker->worker_count; i++)
        worker_fini(&broker->workers[i]);
    trace_log_close(broker->trace);
    reclaim_barrier();
    topic_index_free(broker->index);
    retained_free(broker->retained);
    reclaim_barrier();
    reclaim_thread_unregister();
    listeners_close(broker);
    policy_drop(broker->policy);
    remembered_free(broker->remembered);
    throttle_free(broker->throttle);
    accounts_free(broker->accounts);
    free(broker->workers);
    tls_fini();
}
