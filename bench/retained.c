/* One retained message per topic is stored, several rounds; a new subscriber fetches all, several
 * times. */
#include <stdio.h>

#include "bench/engine.h"
#include "bench/report.h"
#include "bench/scenario.h"

enum { GROUP_PUBLISHERS, GROUP_RECEIVER, GROUP_COUNT };

static void set_up(struct engine *engine, unsigned topics_each)
{
    unsigned publishers = engine->options->publishers;
    engine_reserve(engine, 1 + publishers, publishers, GROUP_COUNT);
    engine->groups[GROUP_PUBLISHERS].count = publishers;
    engine->groups[GROUP_RECEIVER].fan = 1;
    struct client *receiver = engine_name(engine, 0, 's');
    receiver->group = &engine->groups[GROUP_RECEIVER];
    snprintf(receiver->filter, sizeof receiver->filter, "retained/#");
    for (unsigned i = 0; i < publishers; i++)
        publisher_init(&engine->publishers[i], engine, engine_name(engine, 1 + i, 'p'),
                       &engine->groups[GROUP_PUBLISHERS], "retained", i * topics_each, topics_each);
}

static struct span store(struct engine *engine, unsigned topics)
{
    engine->publishing = true;
    struct span begin = span_begin(engine);
    for (unsigned i = 0; i < engine->options->rounds && engine->failures == 0; i++) {
        engine_set_budget(engine, topics);
        engine_run(engine, engine->now_ns + ENGINE_LONG_NS, engine_finished);
    }
    struct span span = span_since(engine, begin);
    engine->publishing = false;
    return span;
}

static struct span fetch(struct engine *engine, unsigned topics)
{
    struct span begin = span_begin(engine);
    for (unsigned i = 0; i < engine->options->rounds && engine->failures == 0; i++) {
        engine->groups[GROUP_RECEIVER].sent += topics;
        if (engine_connect(engine, 0, 1))
            engine_run(engine, engine->now_ns + ENGINE_LONG_NS, engine_settled);
        engine_disconnect(engine, 0, 1);
    }
    return span_since(engine, begin);
}

bool retained_run(struct engine *engine)
{
    const struct options *options = engine->options;
    unsigned topics_each = options->topics / options->publishers;
    if (topics_each == 0) {
        fprintf(stderr, "hf-bench: retained needs a topic for each publisher\n");
        return false;
    }
    unsigned topics = topics_each * options->publishers;
    set_up(engine, topics_each);
    if (!engine_connect(engine, 1, options->publishers))
        return false;
    struct span stored = store(engine, topics);
    uint64_t sent = engine_totals(engine).sent;
    struct span fetched = fetch(engine, topics);
    const struct group *receiver = &engine->groups[GROUP_RECEIVER];
    report_begin(engine);
    report_count("topics", topics);
    report_count("expected", receiver->sent);
    report_count("received", receiver->received);
    report_count("missing",
                 receiver->sent > receiver->received ? receiver->sent - receiver->received : 0);
    report_count("refused", engine->refused);
    report_rate("store", sent, stored);
    report_rate("fetch", receiver->received, fetched);
    report_end(engine);
    engine_disconnect(engine, 1, options->publishers);
    return engine->failures == 0;
}
