/* Connections with one subscription each that do nothing, and what they cost the broker. */
#include <stdio.h>

#include "bench/engine.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/scenario.h"

enum { PER_SOURCE = 20000, FIRST_SOURCE = 0x100 /* 127.0.1.0 */ };

bool idle_run(struct engine *engine)
{
    const struct options *options = engine->options;
    pid_t broker = (pid_t)options->pid;
    engine_reserve(engine, options->subscribers, 0, 0);
    for (unsigned i = 0; i < options->subscribers; i++) {
        struct client *client = engine_name(engine, i, 'i');
        snprintf(client->filter, sizeof client->filter, "bench/idle/%08u", i);
        client->source = FIRST_SOURCE + i / PER_SOURCE;
    }
    /* What a broker takes once, pages of its program too, is taken by the first tenth. */
    unsigned first = options->subscribers / 10, rest = options->subscribers - first;
    if (!engine_connect(engine, 0, first))
        return false;
    uint64_t before_kib = broker ? process_memory_kib(broker, "VmRSS") : 0;
    struct span begin = span_begin(engine);
    if (!engine_connect(engine, first, rest))
        return false;
    struct span connected = span_since(engine, begin);
    begin = span_begin(engine);
    engine_run(engine, engine->now_ns + options->seconds * 1000000000ull, NULL);
    struct span idle = span_since(engine, begin);
    uint64_t after_kib = broker ? process_memory_kib(broker, "VmRSS") : 0;
    report_begin(engine);
    report_count("connections", options->subscribers);
    report_rate("connects", rest, connected);
    report_cores(idle);
    if (broker)
        report_number("bytes_per_connection",
                      (double)(int64_t)(after_kib - before_kib) * 1024 / (double)rest);
    report_end(engine);
    engine_disconnect(engine, 0, options->subscribers);
    return engine->failures == 0;
}
