/* What happens in a run besides the machine's own ways: what clients do, and what befalls them.
 * Made from the seed alone before the run, so that single steps can be left out and the rest stays.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "sim/client.h"
#include "sim/task.h"

enum plan_act {
    PLAN_CONNECT,
    PLAN_DISCONNECT,
    PLAN_LEAVE,
    PLAN_PUBLISH,
    PLAN_SUBSCRIBE,
    PLAN_UNSUBSCRIBE,
    PLAN_RESEND,
    PLAN_HOLD,
    PLAN_CRASH,   /* of the process */
    PLAN_POWER,   /* of the machine */
    PLAN_RESTART, /* as an operator does it */
    PLAN_FAULT,   /* of the disk */
};

struct plan_step {
    enum plan_act act;
    uint64_t at_us;
    unsigned client;
    const char *topic; /* or Topic Filter */
    unsigned qos;
    bool retain, empty, big;
    uint32_t message_expiry_s; /* 0: none */
    struct client_connect connect;
    enum client_leaving leaving;
    unsigned fault;   /* enum disk_fault */
    uint64_t for_us;  /* HOLD, FAULT; CRASH, POWER, RESTART: until it starts again */
    int64_t clock_ms; /* POWER: its clock is wrong by this until it is set right */
    /* CRASH, POWER: not at this time, but when from then on a client gets one of these, or so many
     * syncs are done. */
    uint32_t upon_packets; /* enum client_got */
    unsigned upon_syncs;
};

enum { PLAN_STEPS_MAX = 512, PLAN_CLIENTS_MAX = 6, PLAN_TOPICS = 4 };

extern const char *const plan_topics[PLAN_TOPICS];

struct plan {
    unsigned clients;
    bool v5[PLAN_CLIENTS_MAX];
    struct plan_step steps[PLAN_STEPS_MAX];
    unsigned count;
    uint64_t end_us;
    struct task_habits habits;
    uint64_t queue_memory_bytes;
    bool limited; /* queues may be full */
    bool resent;  /* resend_interval */
};

/* `config` has its defaults, and gets what the seed wants of them. */
void plan_make(uint64_t seed, struct plan *out, struct config *config);

#endif
