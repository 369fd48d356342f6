/* Times in nanoseconds, counted in buckets that are never wider than 1/64 of their value. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

/* All zero is an empty histogram. */
struct histogram {
    uint64_t total;
    uint64_t max;
    uint64_t count[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The smallest value that at least this share (0 to 1) of all values does not exceed, rounded up to
 * the end of its bucket; 0 without values. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
