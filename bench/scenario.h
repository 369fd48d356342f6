/* What can be run. A scenario drives an engine and reports one line of JSON. */
#ifndef BENCH_SCENARIO_H
#define BENCH_SCENARIO_H

#include <stdbool.h>

struct engine;

struct scenario {
    const char *name;
    const char *help;
    /* False if the run says nothing about the broker's speed; why went to stderr. */
    bool (*run)(struct engine *engine);
    /* Defaults of the options of these names. */
    unsigned publishers;
    unsigned subscribers;
    unsigned topics;
    unsigned credit;
    unsigned batch;
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

/* NULL if there is none of that name. */
const struct scenario *scenario_find(const char *name);

/* flow.c: messages flow from publishers to receivers, steadily. */
bool flow_fan_in(struct engine *engine);
bool flow_fan_out(struct engine *engine);
bool flow_pairs(struct engine *engine);
bool flow_publish_only(struct engine *engine);
bool flow_shared(struct engine *engine);
bool flow_latency(struct engine *engine);
bool flow_subscriptions(struct engine *engine);

/* offline.c: sessions that are away. */
bool offline_run(struct engine *engine);
bool offline_fill(struct engine *engine);
bool offline_latency(struct engine *engine);
bool offline_drain(struct engine *engine);

/* subscriptions.c: has the receivers subscribe until there are --subscriptions; the others match
 * nothing that is published. */
bool subscriptions_add(struct engine *engine);

bool retained_run(struct engine *engine);
bool churn_run(struct engine *engine);
bool handshakes_run(struct engine *engine);
bool idle_run(struct engine *engine);

#endif
