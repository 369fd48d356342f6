/* One JSON object on one line of stdout, and the measurements that go into it. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdint.h>

#include "bench/engine.h"

/* Opens the object with what was asked for. */
void report_begin(const struct engine *engine);
void report_count(const char *name, uint64_t value);
void report_number(const char *name, double value);
void report_latency(const char *name, const struct histogram *histogram);
void report_end(const struct engine *engine);

/* A stretch of time, and what it took. */
struct span {
    uint64_t wall_ns;
    uint64_t broker_cpu_ns;
    uint64_t own_cpu_ns;
};

struct span span_begin(const struct engine *engine);
/* From there to now. */
struct span span_since(const struct engine *engine, struct span begin);

/* "<name>_per_s" and "<name>_cpu_us" (of the broker for each), where `count` fell into the span. */
void report_rate(const char *name, uint64_t count, struct span span);
/* How many cores the broker and the load were busy on: a load near 1 was itself the limit. */
void report_cores(struct span span);

#endif
