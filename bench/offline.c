/* Sessions subscribe and go away, messages are published to them, they come back and get them. */
#include <stdio.h>

#include "bench/engine.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/scenario.h"

enum {
    MESSAGES = 100000,
    EXPIRY_S = 3600,
    WAVE = 5000, /* sessions that are made at a time: fill makes more than there are ports */
    FIRST_SOURCE = 0x200, /* 127.0.2.0 */
};

/* The publishers, whose messages count as settled once they are acknowledged; and the sessions,
 * which are owed nothing until they come back. */
enum { GROUP_PUBLISHERS, GROUP_SESSIONS, GROUP_COUNT };

struct figures {
    unsigned sessions;
    unsigned topics;
    unsigned messages;
    struct span publish;
    struct span drain;
    uint64_t sent;
    uint64_t expected;
    uint64_t received;
};

static void set_up(struct engine *engine, const struct figures *figures)
{
    unsigned publishers = engine->options->publishers;
    if (publishers > figures->topics)
        publishers = figures->topics;
    engine_reserve(engine, figures->sessions + publishers, publishers, GROUP_COUNT);
    engine->groups[GROUP_PUBLISHERS].count = publishers;
    engine->groups[GROUP_SESSIONS].fan = 1;
    for (unsigned i = 0; i < figures->sessions; i++) {
        struct client *client = engine_name(engine, i, 's');
        client->clean_start = false;
        client->expiry_s = EXPIRY_S;
        client->source = FIRST_SOURCE + i / WAVE;
        client->group = &engine->groups[GROUP_SESSIONS];
        snprintf(client->filter, sizeof client->filter, "bench/%08u", i % figures->topics);
        client->filters = engine->options->filters - 1;
    }
    unsigned each = figures->topics / publishers;
    for (unsigned i = 0; i < publishers; i++) {
        struct client *client = engine_name(engine, figures->sessions + i, 'p');
        unsigned topics = i + 1 < publishers ? each : figures->topics - i * each;
        publisher_init(&engine->publishers[i], engine, client, &engine->groups[GROUP_PUBLISHERS],
                       "bench", i * each, topics);
    }
}

static bool leave(struct engine *engine, const struct figures *figures)
{
    for (unsigned first = 0; first < figures->sessions; first += WAVE) {
        unsigned left = figures->sessions - first, count = left < WAVE ? left : WAVE;
        if (!engine_connect(engine, first, count))
            return false;
        engine_disconnect(engine, first, count);
    }
    return engine_connect(engine, figures->sessions, engine->publisher_count);
}

static void publish(struct engine *engine, struct figures *figures)
{
    engine_set_budget(engine, figures->messages);
    engine->publishing = true;
    struct span begin = span_begin(engine);
    engine_run(engine, engine->now_ns + ENGINE_LONG_NS, engine_finished);
    figures->publish = span_since(engine, begin);
    figures->sent = engine_totals(engine).sent;
    engine->publishing = false;
}

static bool drain(struct engine *engine, struct figures *figures)
{
    struct group *group = &engine->groups[GROUP_SESSIONS];
    group->sent = figures->sent * (figures->sessions / figures->topics);
    for (unsigned i = 0; i < figures->sessions; i++)
        engine->clients[i].filter[0] = '\0';
    struct span begin = span_begin(engine);
    if (!engine_connect(engine, 0, figures->sessions))
        return false;
    engine_run(engine, engine->now_ns + ENGINE_LONG_NS, engine_settled);
    figures->drain = span_since(engine, begin);
    figures->expected = group->sent;
    figures->received = group->received;
    return true;
}

/* Ends the sessions, so that the next run finds none. */
static void end_sessions(struct engine *engine, const struct figures *figures)
{
    engine_disconnect(engine, 0, figures->sessions);
    for (unsigned i = 0; i < figures->sessions; i++) {
        engine->clients[i].clean_start = true;
        engine->clients[i].expiry_s = 0;
    }
    if (engine_connect(engine, 0, figures->sessions))
        engine_disconnect(engine, 0, figures->sessions);
}

static void report_published(struct engine *engine, const struct figures *figures)
{
    report_begin(engine);
    report_count("sessions", figures->sessions);
    report_count("topics", figures->topics);
    report_count("sent", figures->sent);
    report_count("refused", engine->refused);
    report_rate("publish", figures->sent, figures->publish);
}

static void report_drained(const struct engine *engine, const struct figures *figures)
{
    report_count("expected", figures->expected);
    report_count("received", figures->received);
    report_count("missing",
                 figures->expected > figures->received ? figures->expected - figures->received : 0);
    report_count("repeated", engine->repeated);
    report_rate("drain", figures->received, figures->drain);
    if (engine->options->pid != 0)
        report_count("memory_kib", process_memory_kib((pid_t)engine->options->pid, "VmHWM"));
}

static bool figures_of(struct engine *engine, struct figures *out)
{
    const struct options *options = engine->options;
    *out = (struct figures){.sessions = options->subscribers,
                            .topics = options->topics ? options->topics : options->subscribers,
                            .messages = options->messages ? options->messages : MESSAGES};
    if (options->qos != 0 && out->sessions % out->topics == 0)
        return true;
    fprintf(stderr, "hf-bench: %s needs --qos 1 or 2, and as many sessions on each topic\n",
            options->scenario->name);
    return false;
}

bool offline_run(struct engine *engine)
{
    struct figures figures;
    if (!figures_of(engine, &figures))
        return false;
    set_up(engine, &figures);
    if (!leave(engine, &figures))
        return false;
    publish(engine, &figures);
    if (engine->failures > 0 || !drain(engine, &figures))
        return false;
    report_published(engine, &figures);
    report_drained(engine, &figures);
    report_end(engine);
    end_sessions(engine, &figures);
    return engine->failures == 0;
}

static void share_names(struct engine *engine)
{
    snprintf(engine->run_id, sizeof engine->run_id, "store");
}

bool offline_fill(struct engine *engine)
{
    struct figures figures;
    if (!figures_of(engine, &figures))
        return false;
    share_names(engine);
    set_up(engine, &figures);
    if (!leave(engine, &figures))
        return false;
    publish(engine, &figures);
    report_published(engine, &figures);
    report_end(engine);
    engine_disconnect(engine, figures.sessions, engine->publisher_count);
    return engine->failures == 0;
}

bool offline_drain(struct engine *engine)
{
    struct figures figures;
    if (!figures_of(engine, &figures))
        return false;
    share_names(engine);
    set_up(engine, &figures);
    figures.sent = figures.messages;
    if (!drain(engine, &figures))
        return false;
    report_begin(engine);
    report_drained(engine, &figures);
    report_end(engine);
    engine_disconnect(engine, 0, figures.sessions);
    return engine->failures == 0;
}

bool offline_latency(struct engine *engine)
{
    const struct options *options = engine->options;
    struct figures figures;
    if (!figures_of(engine, &figures))
        return false;
    engine->latency = true;
    set_up(engine, &figures);
    if (!leave(engine, &figures))
        return false;
    engine_set_schedule(engine);
    engine->publishing = true;
    engine_run(engine, engine->now_ns + options->warmup_ms * 1000000ull, NULL);
    engine->ack_latency = (struct histogram){0};
    struct span begin = span_begin(engine);
    engine_run(engine, engine->now_ns + options->seconds * 1000000000ull, NULL);
    figures.publish = span_since(engine, begin);
    figures.sent = engine->ack_latency.total;
    engine_settle(engine);
    report_published(engine, &figures);
    report_latency("ack", &engine->ack_latency);
    report_end(engine);
    end_sessions(engine, &figures);
    return engine->failures == 0;
}
