/* The limits of the broker as a whole: what they stand at, and an early word to the operator
 * (docs/limits.md). On the first worker. */
#ifndef BROKER_LIMITS_H
#define BROKER_LIMITS_H

#include <stdint.h>

struct broker;
struct worker;

/* One that is 80 % used is said once in the log, and again when it had been below 70 %. */
enum { LIMITS_WARN_PERCENT = 80, LIMITS_CALM_PERCENT = 70 };

enum limits_name {
    LIMITS_DISK_CACHE_SIZE,
    LIMITS_MAX_STORE_BYTES,
    LIMITS_MAX_STORED_SESSIONS,
    LIMITS_MAX_RETAINED_MESSAGES,
    LIMITS_MAX_RETAINED_BYTES,
    LIMITS_COUNT
};

struct limits_usage {
    const char *option;
    uint64_t used, limit; /* limit 0: there is none */
};

struct limits_usage limits_usage(const struct broker *broker, enum limits_name name);

static inline unsigned limits_percent(uint64_t used, uint64_t limit)
{
    return limit > 0 ? (unsigned)((double)used * 100 / (double)limit) : 0;
}

/* Looks once a second from now on. */
void limits_start(struct worker *worker);

#endif
