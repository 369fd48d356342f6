#include "broker/limits.h"

#include <inttypes.h>

#include "broker/worker.h"

enum { LOOK_MS = 1000 };

struct limits_usage limits_usage(const struct broker *broker, enum limits_name name)
{
    const struct config_mqtt *mqtt = &broker->config->mqtt;
    const struct config_sqlite *sqlite = &broker->config->sqlite;
    switch (name) {
    case LIMITS_DISK_CACHE_SIZE:
        return (struct limits_usage){"disk_cache_size", store_messages(broker->store),
                                     sqlite->disk_cache_size};
    case LIMITS_MAX_STORE_BYTES:
        return (struct limits_usage){"max_store_bytes", store_bytes(broker->store),
                                     sqlite->max_store_bytes};
    case LIMITS_MAX_STORED_SESSIONS:
        return (struct limits_usage){
            "max_stored_sessions",
            atomic_load_explicit(&broker->stored_sessions, memory_order_relaxed),
            mqtt->max_stored_sessions};
    case LIMITS_MAX_RETAINED_MESSAGES:
        return (struct limits_usage){"max_retained_messages",
                                     retained_usage(broker->retained).messages,
                                     mqtt->max_retained_messages};
    case LIMITS_MAX_RETAINED_BYTES:
        return (struct limits_usage){"max_retained_bytes", retained_usage(broker->retained).bytes,
                                     mqtt->max_retained_bytes};
    case LIMITS_COUNT:
        break;
    }
    return (struct limits_usage){0};
}

static void look(struct worker *worker, struct worker_timer *timer)
{
    for (unsigned i = 0; i < LIMITS_COUNT; i++) {
        struct limits_usage usage = limits_usage(worker->broker, (enum limits_name)i);
        unsigned percent = limits_percent(usage.used, usage.limit);
        uint32_t bit = 1u << i;
        if (percent >= LIMITS_WARN_PERCENT && (worker->limits_warned & bit) == 0) {
            worker->limits_warned |= bit;
            log_line(LOG_WARNING, "%s is %u %% used: %" PRIu64 " of %" PRIu64, usage.option,
                     percent, usage.used, usage.limit);
        } else if (percent < LIMITS_CALM_PERCENT && (worker->limits_warned & bit) != 0) {
            worker->limits_warned &= ~bit;
            log_line(LOG_NOTICE, "%s is %u %% used again: %" PRIu64 " of %" PRIu64, usage.option,
                     percent, usage.used, usage.limit);
        }
    }
    worker_timer_set(worker, timer, worker->now_ms + LOOK_MS);
}

void limits_start(struct worker *worker)
{
    worker_timer_init(&worker->limits_timer, look);
    worker_timer_set(worker, &worker->limits_timer, worker->now_ms);
}
