#include "bench/scenario.h"

#include <stddef.h>
#include <string.h>

/* The credits keep what is under way well below what a broker or the kernel will buffer for one
 * receiver, so that a QoS 0 message has no reason to be dropped. */
const struct scenario scenarios[] = {
    {.name = "fan-in",
     .help = "many publishers and topics, subscribers to all of them (one)",
     .run = flow_fan_in,
     .publishers = 100,
     .subscribers = 1,
     .topics = 1000,
     .credit = 8000,
     .batch = 80},
    {.name = "fan-out",
     .help = "one topic, many subscribers",
     .run = flow_fan_out,
     .publishers = 1,
     .subscribers = 500,
     .topics = 1,
     .credit = 64,
     .batch = 16},
    {.name = "pairs",
     .help = "as many publishers as subscribers, each pair with its topic",
     .run = flow_pairs,
     .publishers = 100,
     .credit = 160,
     .batch = 80},
    {.name = "publish-only",
     .help = "nobody receives; QoS 0 is paced by PINGREQ",
     .run = flow_publish_only,
     .publishers = 100,
     .topics = 1000,
     .credit = 160,
     .batch = 80},
    {.name = "shared",
     .help = "one shared subscription to all topics",
     .run = flow_shared,
     .publishers = 100,
     .subscribers = 10,
     .topics = 1000,
     .credit = 8000,
     .batch = 80},
    {.name = "latency",
     .help = "pairs on a fixed schedule: publish to PUBACK (or PUBCOMP) and to the subscriber",
     .run = flow_latency,
     .publishers = 20,
     .credit = 100000000,
     .batch = 64},
    {.name = "offline",
     .help = "sessions that are away get messages (--messages), then come back for them",
     .run = offline_run,
     .publishers = 10,
     .subscribers = 50,
     .credit = 100000000,
     .batch = 64},
    {.name = "retained",
     .help = "one retained message per topic is stored, then fetched by a wildcard",
     .run = retained_run,
     .publishers = 10,
     .topics = 100000,
     .credit = 1000,
     .batch = 80},
    {.name = "churn",
     .help = "connect, subscribe, publish to oneself, disconnect, again",
     .run = churn_run,
     .subscribers = 100,
     .credit = 1,
     .batch = 1},
    {.name = "idle",
     .help = "connections with one subscription each, and the memory they take",
     .run = idle_run,
     .subscribers = 10000,
     .credit = 1,
     .batch = 1},
};

const unsigned scenario_count = sizeof scenarios / sizeof scenarios[0];

const struct scenario *scenario_find(const char *name)
{
    for (unsigned i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}
