#include "broker/rate.h"

static const uint64_t second_ns = 1000000000, ms_ns = 1000000;

void rate_take(struct rate *rate, uint32_t per_second, uint64_t count, uint64_t now_ms)
{
    uint64_t now_ns = now_ms * ms_ns, latest_ns = now_ns + 61 * second_ns, paid_ns;
    uint64_t cost_ns = 61 * second_ns;
    if (count < cost_ns / second_ns * per_second)
        cost_ns = count * second_ns / per_second;
    uint64_t before_ns = atomic_load_explicit(&rate->paid_ns, memory_order_relaxed);
    do {
        paid_ns = (before_ns > now_ns ? before_ns : now_ns) + cost_ns;
        if (paid_ns > latest_ns)
            paid_ns = latest_ns;
    } while (!atomic_compare_exchange_weak_explicit(&rate->paid_ns, &before_ns, paid_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
}

uint64_t rate_wait_ms(const struct rate *rate, uint64_t now_ms)
{
    uint64_t ahead_ns = (now_ms + 1000) * ms_ns;
    uint64_t paid_ns = atomic_load_explicit(&rate->paid_ns, memory_order_relaxed);
    return paid_ns > ahead_ns ? (paid_ns - ahead_ns + ms_ns - 1) / ms_ns : 0;
}
