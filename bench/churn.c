/* Many clients, each: connect, subscribe, publish to oneself, get it, disconnect, again. */
#include <stdio.h>

#include "bench/engine.h"
#include "bench/report.h"
#include "bench/scenario.h"

enum { SOURCES = 250, FIRST_SOURCE = 0x100 /* 127.0.1.0 */ };

static uint64_t cycles;

static void start(struct engine *engine, struct client *client)
{
    static unsigned serial;
    unsigned slot = (unsigned)(client - engine->clients);
    snprintf(client->id, sizeof client->id, "%s-c%u", engine->run_id, serial);
    snprintf(client->filter, sizeof client->filter, "bench/%08u", slot);
    client->source = FIRST_SOURCE + serial++ % SOURCES;
    client->received = 0;
    client->acked = 0;
    client->published = false;
    client_open(engine, client);
}

static void publish(struct engine *engine, struct client *client)
{
    const struct options *options = engine->options;
    wire_publish(&client->out, &(struct wire_message){.version = options->version,
                                                      .qos = options->qos,
                                                      .topic = client->filter,
                                                      .payload_size = options->payload});
}

/* Takes the next step once the last one is answered. */
static void go_on(struct engine *engine, struct client *client)
{
    unsigned answers = engine->options->qos > 0 ? 1 : 0;
    if (client->state != CLIENT_READY)
        return;
    if (client->received >= 1 && client->acked >= answers) {
        wire_empty(&client->out, WIRE_DISCONNECT);
        client_write(engine, client, (struct bytes){0});
        client_close(engine, client);
        cycles++;
        start(engine, client);
    } else if (!client->published) {
        client->published = true;
        publish(engine, client);
    }
}

bool churn_run(struct engine *engine)
{
    const struct options *options = engine->options;
    if (options->qos > 1) {
        fprintf(stderr, "hf-bench: churn has QoS 0 and 1 only\n");
        return false;
    }
    engine_reserve(engine, options->subscribers, 0, 0);
    engine->after_read = go_on;
    for (unsigned i = 0; i < options->subscribers; i++) {
        engine_name(engine, i, 'c');
        start(engine, &engine->clients[i]);
    }
    engine_run(engine, engine->now_ns + options->warmup_ms * 1000000ull, NULL);
    struct span begin = span_begin(engine);
    uint64_t before = cycles;
    engine_run(engine, engine->now_ns + options->seconds * 1000000000ull, NULL);
    struct span span = span_since(engine, begin);
    report_begin(engine);
    report_count("connections", options->subscribers);
    report_rate("cycles", cycles - before, span);
    report_cores(span);
    report_end(engine);
    return engine->failures == 0;
}
