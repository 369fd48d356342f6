/* TLS handshakes and nothing else, beside what the library alone needs for one in the same run. */
#include <stdio.h>

#include "bench/channel.h"
#include "bench/engine.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/scenario.h"

enum { SOURCES = 250, FIRST_SOURCE = 0x100 /* 127.0.1.0 */, LIBRARY_MS = 500 };

static uint64_t done, resumed;

static void start(struct engine *engine, struct client *client)
{
    static unsigned serial;
    client->source = FIRST_SOURCE + serial++ % SOURCES;
    client_open(engine, client);
}

static void again(struct engine *engine, struct client *client)
{
    done++;
    if (channel_was_resumed(client->channel))
        resumed++;
    else if (engine->options->resume)
        channel_keep_session(client->channel);
    client_close(engine, client);
    start(engine, client);
}

bool handshakes_run(struct engine *engine)
{
    const struct options *options = engine->options;
    double library_us = 0;
    if (!options->tls) {
        fprintf(stderr, "hf-bench: handshakes wants --tls 1\n");
        return false;
    }
    if (options->certificate && options->key)
        library_us = channel_library_us(options->certificate, options->key, options->resume != 0,
                                        LIBRARY_MS);
    engine_reserve(engine, options->subscribers, 0, 0);
    engine->secured = again;
    engine->now_ns = process_now_ns();
    for (unsigned i = 0; i < options->subscribers; i++) {
        engine_name(engine, i, 'h');
        start(engine, &engine->clients[i]);
    }
    engine_run(engine, engine->now_ns + options->warmup_ms * 1000000ull, NULL);
    struct span begin = span_begin(engine);
    uint64_t before = done, resumed_before = resumed;
    engine_run(engine, engine->now_ns + options->seconds * 1000000000ull, NULL);
    struct span span = span_since(engine, begin);
    uint64_t count = done - before;
    report_begin(engine);
    report_count("connections", options->subscribers);
    report_rate("handshakes", count, span);
    report_count("resumed", resumed - resumed_before);
    if (library_us > 0)
        report_number("library_cpu_us", library_us);
    if (library_us > 0 && span.broker_cpu_ns > 0 && count > 0)
        report_number("of_library", library_us * 1e3 * (double)count / (double)span.broker_cpu_ns);
    report_cores(span);
    report_end(engine);
    return engine->failures == 0 && count > 0 &&
           resumed - resumed_before == (options->resume ? count : 0);
}
