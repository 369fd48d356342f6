#include "broker/counters.h"

#include "broker/worker.h"

uint64_t counters_sum_at(const struct broker *broker, size_t offset)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < broker->worker_count; i++) {
        const char *counters = (const char *)&broker->workers[i].counters;
        total += counter_read((const _Atomic uint64_t *)(const void *)(counters + offset));
    }
    return total;
}
