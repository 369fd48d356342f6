#include "verbs/running.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/address.h"
#include "broker/limits.h"
#include "broker/worker.h"
#include "routing/retained.h"
#include "storage/maintenance.h"

/* ---- Listeners ---- */

static json_t *listener_view(const struct listener *listener)
{
    static const char *const transports[] = {[LISTENER_TCP] = "tcp",
                                             [LISTENER_TLS] = "tls",
                                             [LISTENER_WS] = "ws",
                                             [LISTENER_WSS] = "wss"};
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char text[ADDRESS_TEXT_SIZE] = "?";
    if (getsockname(listener->fd, (struct sockaddr *)&bound, &size) == 0) {
        struct address here = address_of((const struct sockaddr *)&bound);
        address_text(&here, text);
    }
    json_t *out = json_pack(
        "{s:o, s:s, s:s, s:I, s:I}", "name", verb_json_text(bytes_of_text(listener->config->name)),
        "address", text, "transport", transports[listener->config->transport], "connections",
        (json_int_t)atomic_load_explicit(&listener->connections, memory_order_relaxed),
        "max_connections", (json_int_t)listener->config->max_connections);
    int64_t expires_s =
        atomic_load_explicit(&listener->certificate_expires_s, memory_order_relaxed);
    if (out != NULL && expires_s > 0)
        json_object_set_new(out, "certificate_expires_s", json_integer(expires_s));
    return out;
}

void running_listeners(struct verb_call *call)
{
    json_t *listeners = json_array();
    for (unsigned i = 0; i < call->broker->listener_count; i++)
        json_array_append_new(listeners, listener_view(&call->broker->listeners[i]));
    call->result = json_pack("{s:o}", "listeners", listeners);
}

/* ---- Numbers ---- */

#define SUM(field) (json_int_t) COUNTERS_SUM(broker, field)
#define SUM_OF(field, index) (json_int_t) COUNTERS_SUM_OF(broker, field, index)

static json_t *traffic_of(const struct broker *broker)
{
    return json_pack("{s:[I,I,I], s:[I,I,I], s:I, s:I, s:I, s:I}", "publish_received",
                     SUM_OF(publish_received, 0), SUM_OF(publish_received, 1),
                     SUM_OF(publish_received, 2), "publish_sent", SUM_OF(publish_sent, 0),
                     SUM_OF(publish_sent, 1), SUM_OF(publish_sent, 2), "packets_received",
                     SUM(messages_received), "packets_sent", SUM(messages_sent), "bytes_received",
                     SUM(bytes_received), "bytes_sent", SUM(bytes_sent));
}

static json_t *drops_of(const struct broker *broker)
{
    json_t *out = json_object();
    for (unsigned i = 0; i < DROP_COUNT; i++)
        json_object_set_new(out, drop_topic(i), json_integer(SUM_OF(dropped, i)));
    return out;
}

static json_t *limits_of(const struct broker *broker)
{
    json_t *out = json_array();
    for (unsigned i = 0; i < LIMITS_COUNT; i++) {
        struct limits_usage usage = limits_usage(broker, (enum limits_name)i);
        json_array_append_new(out,
                              json_pack("{s:s, s:I, s:I}", "name", usage.option, "used",
                                        (json_int_t)usage.used, "limit", (json_int_t)usage.limit));
    }
    return out;
}

/* counts[i]: of values up to 2 to the power of i. */
static json_t *distribution_view(const struct distribution_reading *reading)
{
    json_t *counts = json_array();
    for (unsigned i = 0; i <= DISTRIBUTION_BOUNDS; i++)
        json_array_append_new(counts, json_integer((json_int_t)reading->counts[i]));
    return json_pack("{s:o, s:I}", "counts", counts, "sum", (json_int_t)reading->sum);
}

static json_t *store_of(const struct broker *broker)
{
    struct store_statistics store;
    store_statistics(broker->store, &store);
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "stalled",
                     (int)(store_health(broker->store) == STORE_HEALTH_STALLED), "messages",
                     (json_int_t)store.messages, "dirty_messages", (json_int_t)store.dirty_messages,
                     "file_bytes", (json_int_t)store.file_bytes, "used_bytes",
                     (json_int_t)store_bytes(broker->store), "commits", (json_int_t)store.commits,
                     "failed_commits", (json_int_t)store.failed_commits, "commit_us",
                     distribution_view(&store.commit_us), "sync_us",
                     distribution_view(&store.sync_us));
}

static json_t *turns_of(const struct broker *broker)
{
    struct distribution_reading reading = {0};
    for (unsigned i = 0; i < broker->worker_count; i++)
        distribution_read(&broker->workers[i].counters.turn_us, &reading);
    return distribution_view(&reading);
}

void running_stats(struct verb_call *call)
{
    const struct broker *broker = call->broker;
    json_int_t sessions = SUM(sessions), connected = SUM(clients_connected);
    call->result = json_pack(
        "{s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}",
        "version", HOLDFAST_VERSION, "uptime_s",
        (json_int_t)((broker_clock_ms() - broker->started_ms) / 1000), "workers",
        (int)broker->worker_count, "connections_accepted", SUM(connections_accepted), "connected",
        connected, "away", sessions > connected ? sessions - connected : 0, "stored_sessions",
        (json_int_t)counter_read(&broker->stored_sessions), "subscriptions",
        (json_int_t)topic_index_count(broker->index), "retained",
        (json_int_t)retained_usage(broker->retained).messages, "queued_bytes", SUM(queued_bytes),
        "queues_near_full", SUM(queues_near_full), "traffic", traffic_of(broker), "dropped",
        drops_of(broker), "limits", limits_of(broker), "store", store_of(broker), "turn_us",
        turns_of(broker));
}

/* ---- Changes ---- */

/* By the thread that does it for SIGHUP; what came of it stands in the log. */
void running_reload(struct verb_call *call)
{
    call->code = 202;
    kill(getpid(), SIGHUP);
    call->result = json_pack("{s:b}", "asked", 1);
}

void running_log_level(struct verb_call *call)
{
    struct bytes name;
    if (!verb_text(call, "level", true, &name))
        return;
    for (enum log_level level = LOG_ERROR; level <= LOG_TRACE; level++) {
        if (!bytes_equal(name, bytes_of_text(log_level_name(level))))
            continue;
        log_threshold = level;
        log_line(LOG_NOTICE, "log level %s, by an operator", log_level_name(level));
        call->result = json_pack("{s:s}", "level", log_level_name(level));
        return;
    }
    verb_refuse(call, 400, "\"level\" is error, warning, notice, info, debug or trace");
}

void running_backup(struct verb_call *call)
{
    struct bytes directory;
    char error[256];
    if (!verb_text(call, "directory", true, &directory))
        return;
    const char *path = (const char *)directory.data;
    if (directory.size == 0 || path[0] != '/' || strlen(path) != directory.size) {
        verb_refuse(call, 400, "\"directory\" is an absolute path");
        return;
    }
    if (maintenance_backup(call->broker->config->sqlite.mounted_file_path, path, error,
                           sizeof error) != STATUS_OK) {
        verb_refuse(call, 409, "%s", error);
        return;
    }
    log_line(LOG_NOTICE, "backup to \"%s\", by an operator", path);
    call->result = json_pack("{s:s}", "directory", path);
}
