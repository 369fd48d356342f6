/* Very many subscriptions that match nothing of what is published, and the memory they take. */
#include <stdio.h>

#include "bench/engine.h"
#include "bench/process.h"
#include "bench/scenario.h"
#include "bench/wire.h"

enum { FILTERS_EACH = 500 /* in one SUBSCRIBE */ };

static unsigned unfinished; /* clients */

/* Every second SUBSCRIBE has a wildcard in each of its filters. */
static void subscribe(struct engine *engine, struct client *client)
{
    char filter[64];
    unsigned count = client->to_subscribe < FILTERS_EACH ? client->to_subscribe : FILTERS_EACH;
    unsigned packet = client->to_subscribe / FILTERS_EACH;
    snprintf(filter, sizeof filter, packet % 2 == 0 ? "o/%u-%u" : "o/%u-%u/+",
             (unsigned)(client - engine->clients), client->to_subscribe);
    wire_subscribe(&client->out, engine->options->version, filter, count - 1, client->qos);
    client->to_subscribe -= count;
    client->state = CLIENT_SUBSCRIBING;
    engine->ready--;
}

static void go_on(struct engine *engine, struct client *client)
{
    if (client->state != CLIENT_READY)
        return;
    if (client->to_subscribe > 0)
        subscribe(engine, client);
    else
        unfinished--;
}

static bool finished(struct engine *engine)
{
    return unfinished == 0;
}

bool subscriptions_add(struct engine *engine)
{
    const struct options *options = engine->options;
    pid_t broker = (pid_t)options->pid;
    unsigned receivers = options->subscribers;
    unsigned more = options->subscriptions > receivers ? options->subscriptions - receivers : 0;
    if (more < receivers)
        return true; /* the receivers' own are enough */
    uint64_t before_kib = broker ? process_memory_kib(broker, "VmRSS") : 0;
    engine->after_read = go_on;
    unfinished = receivers;
    for (unsigned i = 0; i < receivers; i++) {
        struct client *client = &engine->clients[i];
        client->to_subscribe = more / receivers;
        subscribe(engine, client);
        client_write(engine, client, (struct bytes){0});
    }
    engine_run(engine, engine->now_ns + ENGINE_LONG_NS, finished);
    engine->after_read = NULL;
    if (broker && engine->failures == 0)
        engine->bytes_per_subscription =
            (double)(int64_t)(process_memory_kib(broker, "VmRSS") - before_kib) * 1024 /
            ((double)(more / receivers) * receivers);
    return engine->failures == 0;
}
