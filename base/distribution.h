/* How often a value fell below which power of two: a histogram that costs its writer, one thread, a
 * few instructions, and that any thread may read (counter.h). */
#ifndef BASE_DISTRIBUTION_H
#define BASE_DISTRIBUTION_H

#include "base/counter.h"

/* Of microseconds, the highest bound is 8.4 seconds. */
enum { DISTRIBUTION_BOUNDS = 24 };

struct distribution {
    /* counts[i]: of values up to 2^i that are above 2^(i-1); the last: of those above all. */
    _Atomic uint64_t counts[DISTRIBUTION_BOUNDS + 1];
    _Atomic uint64_t sum;
};

static inline unsigned distribution_bucket(uint64_t value)
{
    unsigned bucket = value <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(value - 1);
    return bucket < DISTRIBUTION_BOUNDS ? bucket : DISTRIBUTION_BOUNDS;
}

static inline void distribution_add(struct distribution *distribution, uint64_t value)
{
    counter_add(&distribution->counts[distribution_bucket(value)], 1);
    counter_add(&distribution->sum, value);
}

/* What has been counted of one or several, added up. */
struct distribution_reading {
    uint64_t counts[DISTRIBUTION_BOUNDS + 1];
    uint64_t sum;
};

static inline void distribution_read(const struct distribution *distribution,
                                     struct distribution_reading *out)
{
    for (unsigned i = 0; i <= DISTRIBUTION_BOUNDS; i++)
        out->counts[i] += counter_read(&distribution->counts[i]);
    out->sum += counter_read(&distribution->sum);
}

#endif
