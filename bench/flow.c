/* Messages flow from publishers to receivers: fan-in, fan-out, pairs, shared subscriptions, nobody.
 * Warm up, measure, stop, and wait for what is under way: what then is missing was dropped. */
#include <stdio.h>

#include "bench/engine.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/scenario.h"

/* The clients of a group stand together: receivers, then publishers. */
static void add_publishers(struct engine *engine, unsigned first_client, struct group *group,
                           unsigned first_topic, unsigned topics_each, bool same_topics)
{
    for (unsigned i = 0; i < group->count; i++) {
        struct client *client = engine_name(engine, first_client + i, 'p');
        unsigned topic = first_topic + (same_topics ? 0 : i * topics_each);
        publisher_init(&engine->publishers[group->first + i], engine, client, group, "bench", topic,
                       topics_each);
    }
}

static uint64_t results(const struct engine *engine)
{
    return engine_totals(engine).received;
}

static void report(struct engine *engine, uint64_t count, struct span span)
{
    struct engine_totals totals = engine_totals(engine);
    report_begin(engine);
    report_count("publishers", engine->publisher_count);
    report_count("connections", engine->client_count);
    report_number("seconds", (double)span.wall_ns / 1e9);
    report_count("sent", totals.sent);
    report_count("expected", totals.expected);
    report_count("received", totals.received);
    report_count("missing",
                 totals.expected > totals.received ? totals.expected - totals.received : 0);
    report_count("extra",
                 totals.received > totals.expected ? totals.received - totals.expected : 0);
    report_count("refused", engine->refused);
    report_count("repeated", engine->repeated);
    report_rate("messages", count, span);
    report_cores(span);
    if (engine->bytes_per_subscription > 0)
        report_number("bytes_per_subscription", engine->bytes_per_subscription);
    if (engine->latency) {
        report_latency("ack", &engine->ack_latency);
        report_latency("delivery", &engine->delivery_latency);
    }
    report_end(engine);
}

static bool measure(struct engine *engine)
{
    const struct options *options = engine->options;
    if (options->messages > 0)
        engine_set_budget(engine, options->messages);
    if (engine->latency)
        engine_set_schedule(engine);
    engine->publishing = true;
    if (options->messages == 0)
        engine_run(engine, engine->now_ns + options->warmup_ms * 1000000ull, NULL);
    engine->ack_latency = (struct histogram){0};
    engine->delivery_latency = (struct histogram){0};
    struct span begin = span_begin(engine);
    uint64_t before = results(engine);
    if (options->messages == 0)
        engine_run(engine, engine->now_ns + options->seconds * 1000000000ull, NULL);
    else
        engine_run(engine, engine->now_ns + ENGINE_LONG_NS, engine_finished);
    struct span span = span_since(engine, begin);
    uint64_t count = results(engine) - before;
    engine_settle(engine);
    report(engine, count, span);
    engine_disconnect(engine, 0, engine->client_count);
    return engine->failures == 0;
}

static bool connect_and_measure(struct engine *engine)
{
    return engine_connect(engine, 0, engine->client_count) && measure(engine);
}

/* One group, every receiver with the same subscription. */
static void one_group(struct engine *engine, const char *filter, unsigned fan, bool same_topics)
{
    const struct options *options = engine->options;
    unsigned receivers = options->subscribers;
    engine_reserve(engine, receivers + options->publishers, options->publishers, 1);
    struct group *group = &engine->groups[0];
    *group = (struct group){.count = options->publishers, .fan = fan};
    for (unsigned i = 0; i < receivers; i++) {
        struct client *client = engine_name(engine, i, 's');
        client->group = group;
        snprintf(client->filter, sizeof client->filter, "%s", filter);
    }
    unsigned each = same_topics ? options->topics : options->topics / options->publishers;
    add_publishers(engine, receivers, group, 0, each > 0 ? each : 1, same_topics);
}

bool flow_fan_in(struct engine *engine)
{
    one_group(engine, "bench/#", engine->options->subscribers, false);
    return connect_and_measure(engine);
}

bool flow_shared(struct engine *engine)
{
    one_group(engine, "$share/group/bench/#", 1, false);
    return connect_and_measure(engine);
}

bool flow_fan_out(struct engine *engine)
{
    const char *filter = engine->options->topics == 1 ? "bench/00000000" : "bench/#";
    one_group(engine, filter, engine->options->subscribers, true);
    return connect_and_measure(engine);
}

bool flow_subscriptions(struct engine *engine)
{
    unsigned receivers = engine->options->subscribers;
    one_group(engine, "bench/#", receivers, false);
    for (unsigned i = 0; i < receivers; i += 2)
        snprintf(engine->clients[i].filter, sizeof engine->clients[i].filter, "bench/+");
    return engine_connect(engine, 0, engine->client_count) && subscriptions_add(engine) &&
           measure(engine);
}

/* A group for each publisher, and a receiver for each where there are receivers. */
static void group_each(struct engine *engine, unsigned receivers_each, unsigned topics_each)
{
    const struct options *options = engine->options;
    unsigned clients_each = receivers_each + 1;
    engine_reserve(engine, options->publishers * clients_each, options->publishers,
                   options->publishers);
    for (unsigned i = 0; i < options->publishers; i++) {
        struct group *group = &engine->groups[i];
        *group = (struct group){.first = i, .count = 1, .fan = receivers_each};
        for (unsigned j = 0; j < receivers_each; j++) {
            struct client *client = engine_name(engine, i * clients_each + j, 's');
            client->group = group;
            snprintf(client->filter, sizeof client->filter, "bench/%08u", i * topics_each);
        }
        add_publishers(engine, i * clients_each + receivers_each, group, i * topics_each,
                       topics_each, false);
    }
}

bool flow_pairs(struct engine *engine)
{
    group_each(engine, 1, 1);
    return connect_and_measure(engine);
}

bool flow_publish_only(struct engine *engine)
{
    unsigned each = engine->options->topics / engine->options->publishers;
    group_each(engine, 0, each > 0 ? each : 1);
    return connect_and_measure(engine);
}

bool flow_latency(struct engine *engine)
{
    engine->latency = true;
    group_each(engine, 1, 1);
    return connect_and_measure(engine);
}
