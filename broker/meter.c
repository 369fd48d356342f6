#include "broker/meter.h"

#include <stdlib.h>

#include "broker/account.h"
#include "broker/connection.h"
#include "broker/session.h"
#include "broker/worker.h"
#include "protocol/reason_code.h"

enum { PAUSE_MAX_MS = 15000 }; /* of a Client without Keep Alive */

struct meter {
    struct connection *connection;
    struct account *account; /* NULL: no user, or none of its own limits */
    struct rate messages, bytes;
    struct worker_timer timer;
};

static bool has_user_limits(const struct config_listener *limits)
{
    return limits->max_user_connections > 0 || limits->max_user_message_rate > 0 ||
           limits->max_user_byte_rate > 0;
}

static bool has_limits(const struct config_listener *limits)
{
    return has_user_limits(limits) || limits->max_client_message_rate > 0 ||
           limits->max_client_byte_rate > 0 || limits->max_message_rate > 0 ||
           limits->max_byte_rate > 0;
}

/* ---- Pushing back ---- */

static void go_on(struct worker *worker, struct worker_timer *timer)
{
    struct meter *meter = CONTAINER_OF(timer, struct meter, timer);
    meter->connection->pushed_back = false;
#ifndef SEEDED_BUG_PUSHED_BACK_SILENT
    meter->connection->last_packet_ms = worker->now_ms;
#endif
    connection_continue(meter->connection);
}

/* A quarter of the Keep Alive, of which `keep_alive_ms` is one and a half (rule 20). */
static uint64_t longest_pause_ms(const struct connection *connection)
{
    return connection->keep_alive_ms > 0 ? connection->keep_alive_ms / 6 : PAUSE_MAX_MS;
}

static void take(struct connection *connection, struct rate *rate, uint32_t per_second,
                 uint64_t count)
{
    struct worker *worker = connection->worker;
    if (per_second == 0)
        return;
#ifdef SEEDED_BUG_RATE_IGNORED
    return;
#endif
    rate_take(rate, per_second, count, worker->now_ms);
    uint64_t wait_ms = rate_wait_ms(rate, worker->now_ms);
    if (wait_ms == 0)
        return;
    if (wait_ms > longest_pause_ms(connection))
        wait_ms = longest_pause_ms(connection);
    struct worker_timer *timer = &connection->meter->timer;
    uint64_t until_ms = worker->now_ms + wait_ms;
    if (connection->pushed_back && timer->timer.due_ms >= until_ms)
        return; /* another of its limits takes longer */
    connection->pushed_back = true;
    worker_timer_set(worker, timer, until_ms);
}

void meter_message(struct connection *connection)
{
    struct meter *meter = connection->meter;
    struct listener *listener = connection->listener;
    const struct config_listener *limits = listener->config;
    take(connection, &meter->messages, limits->max_client_message_rate, 1);
    take(connection, &listener->messages, limits->max_message_rate, 1);
    if (meter->account != NULL)
        take(connection, &meter->account->messages, limits->max_user_message_rate, 1);
}

void meter_bytes(struct connection *connection, size_t size)
{
    struct meter *meter = connection->meter;
    struct listener *listener = connection->listener;
    const struct config_listener *limits = listener->config;
    take(connection, &meter->bytes, limits->max_client_byte_rate, size);
    take(connection, &listener->bytes, limits->max_byte_rate, size);
    if (meter->account != NULL)
        take(connection, &meter->account->bytes, limits->max_user_byte_rate, size);
}

size_t meter_read_size(const struct connection *connection, size_t capacity)
{
    const struct config_listener *limits = connection->listener->config;
    const uint32_t rates[] = {limits->max_client_byte_rate, limits->max_user_byte_rate,
                              limits->max_byte_rate};
    size_t size = capacity;
    for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
        if (rates[i] > 0 && rates[i] / 8 < size)
            size = rates[i] / 8;
    }
    return size > 0 ? size : 1;
}

/* ---- Start and end ---- */

/* A connection that takes its user's own one over is none more. */
static bool has_room(struct accounts *accounts, const struct account *account, uint32_t limit,
                     const struct session *session)
{
    const struct connection *old = session != NULL ? session->connection : NULL;
#ifdef SEEDED_BUG_TAKEOVER_COUNTED
    old = NULL;
#endif
    bool replaces = old != NULL && old->meter != NULL && old->meter->account == account;
    return limit == 0 || accounts_connections(accounts, account) <= limit + replaces;
}

const char *meter_start(struct connection *connection, const struct session *session,
                        uint8_t *out_reason_code)
{
    struct broker *broker = connection->worker->broker;
    const struct config_listener *limits = connection->listener->config;
    struct bytes user_name = connection->principal->user_name;
    if (!has_limits(limits))
        return NULL;
    struct meter *meter = calloc(1, sizeof *meter);
    if (meter != NULL && has_user_limits(limits) && user_name.size > 0) {
        uint32_t index = (uint32_t)(limits - broker->config->listeners);
        meter->account = accounts_join(broker->accounts, index, user_name);
    }
    if (meter == NULL ||
        (meter->account == NULL && has_user_limits(limits) && user_name.size > 0)) {
        free(meter);
        *out_reason_code = REASON_SERVER_BUSY;
        return "out of memory";
    }
    meter->connection = connection;
    worker_timer_init(&meter->timer, go_on);
    connection->meter = meter;
    if (meter->account == NULL ||
        has_room(broker->accounts, meter->account, limits->max_user_connections, session))
        return NULL;
    meter_stop(connection);
    *out_reason_code = REASON_QUOTA_EXCEEDED;
    return "its user has max_user_connections at this listener";
}

void meter_stop(struct connection *connection)
{
    struct meter *meter = connection->meter;
    if (meter == NULL)
        return;
    connection->meter = NULL;
    connection->pushed_back = false;
    worker_timer_cancel(connection->worker, &meter->timer);
    if (meter->account != NULL)
        accounts_leave(connection->worker->broker->accounts, meter->account);
    free(meter);
}
