#include "bench/report.h"

#include <stdio.h>

#include "bench/process.h"
#include "bench/scenario.h"

void report_begin(const struct engine *engine)
{
    const struct options *options = engine->options;
    printf("{\"scenario\":\"%s\",\"broker\":\"%s\"", options->scenario->name, options->label);
    report_count("version", options->version);
    report_count("qos", options->qos);
    report_count("payload", options->payload);
    report_count("window", options->window);
    report_count("credit", options->credit);
    report_count("batch", options->batch);
}

void report_count(const char *name, uint64_t value)
{
    printf(",\"%s\":%llu", name, (unsigned long long)value);
}

void report_number(const char *name, double value)
{
    printf(",\"%s\":%.3f", name, value);
}

void report_latency(const char *name, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    if (histogram->total == 0)
        return;
    printf(",\"%s_us\":{", name);
    for (unsigned i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
        printf("%s\"%s\":%.1f", i > 0 ? "," : "", quantiles[i].name,
               (double)histogram_quantile(histogram, quantiles[i].share) / 1e3);
    printf("}");
}

void report_end(const struct engine *engine)
{
    report_count("failures", engine->failures);
    if (engine->options->pid != 0) {
        report_count("rss_kib", process_memory_kib((pid_t)engine->options->pid, "VmRSS"));
        report_count("rss_peak_kib", process_memory_kib((pid_t)engine->options->pid, "VmHWM"));
    }
    printf("}\n");
}

struct span span_begin(const struct engine *engine)
{
    pid_t broker = (pid_t)engine->options->pid;
    return (struct span){.wall_ns = process_now_ns(),
                         .broker_cpu_ns = broker != 0 ? process_cpu_ns(broker) : 0,
                         .own_cpu_ns = process_cpu_ns(0)};
}

struct span span_since(const struct engine *engine, struct span begin)
{
    struct span now = span_begin(engine);
    now.wall_ns -= begin.wall_ns;
    now.broker_cpu_ns -= begin.broker_cpu_ns;
    now.own_cpu_ns -= begin.own_cpu_ns;
    return now;
}

void report_rate(const char *name, uint64_t count, struct span span)
{
    char field[64];
    snprintf(field, sizeof field, "%s_per_s", name);
    report_count(field, (uint64_t)((double)count * 1e9 / (double)span.wall_ns));
    if (span.broker_cpu_ns == 0 || count == 0)
        return;
    snprintf(field, sizeof field, "%s_cpu_us", name);
    report_number(field, (double)span.broker_cpu_ns / 1e3 / (double)count);
}

void report_cores(struct span span)
{
    if (span.broker_cpu_ns != 0)
        report_number("broker_cores", (double)span.broker_cpu_ns / (double)span.wall_ns);
    report_number("load_cores", (double)span.own_cpu_ns / (double)span.wall_ns);
}
