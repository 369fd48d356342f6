#include "sim/plan.h"

#include <stdlib.h>

#include "sim/chance.h"
#include "sim/disk.h"
#include "sim/ledger.h"

const char *const plan_topics[PLAN_TOPICS] = {"t/a", "t/b", "u/a", "u/b"};
static const char *const filters[] = {"t/a", "t/b", "u/a", "u/b",         "t/+",
                                      "u/#", "+/a", "#",   "$share/g/t/+"};

enum { FILTERS = 9, SHARED = 1 };

static struct chance chance;
static const char *habitual[PLAN_CLIENTS_MAX][2]; /* the filters that a client mostly asks for */

static uint64_t below(uint64_t limit)
{
    return chance_below(&chance, limit);
}

static bool in_thousand(unsigned thousandths)
{
    return chance_in_thousand(&chance, thousandths);
}

/* ---- The machine and its settings ---- */

static void choose_config(struct plan *plan, struct config *config)
{
    static const uint32_t delays_us[] = {0, 200, 2000, 30000};
    static const uint16_t inflight[] = {1, 2, 5, 100};
    static const uint64_t memory[] = {0, 40, 400, 8 << 20};
    config->broker.workers = (uint16_t)(1 + below(3));
    config->broker.mailbox_size = (uint32_t)(in_thousand(600) ? 1 : 1 + below(64));
    config->broker.shutdown_grace_s = 1;
    config->sqlite.commit_delay_us = delays_us[below(4)];
    config->sqlite.flush_mem_threshold = (uint32_t)(in_thousand(500) ? 1 + below(8) : 5000);
    config->sqlite.disk_stall_limit_ms = 2000;
    config->mqtt.max_inflight_messages = inflight[below(4)];
    config->mqtt.sys_interval_s = 0;
    uint64_t luck = below(1000);
    config->sqlite.durability = luck < 80    ? STORE_DURABILITY_FLUSH
                                : luck < 150 ? STORE_DURABILITY_NONE
                                             : STORE_DURABILITY_COMMIT;
    config->sqlite.flush_interval_ms = 100;
    if (in_thousand(150)) {
        plan->limited = true;
        config->mqtt.max_queued_messages = 1u << below(5);
        config->mqtt.queue_full_policy = (enum queue_full_policy)below(3);
    }
    plan->resent = in_thousand(150);
    config->sqlite.resend_interval_ms = plan->resent ? (uint32_t)(20 + below(500)) : 0;
    plan->queue_memory_bytes = memory[below(4)];
    plan->habits.pause_thousandths = (unsigned)(in_thousand(200) ? 0 : below(200));
    plan->habits.sleep_thousandths = (unsigned)below(100);
    plan->habits.sleep_most_us = in_thousand(500) ? 300 : 30000;
}

/* ---- Steps ---- */

static struct client_connect choose_connect(bool keeps)
{
    static const uint16_t receive_maximum[] = {1, 2, 3, 65535};
    static const uint32_t expiry_s[] = {0, 2, 30, LEDGER_FOREVER};
    struct client_connect connect = {
        .clean = in_thousand(keeps ? 120 : 600),
        .expiry_s = keeps ? LEDGER_FOREVER : expiry_s[below(4)],
        .receive_maximum = receive_maximum[below(4)],
        .keep_alive_s = (uint16_t)(in_thousand(300) ? 3 : 0),
        .maximum_packet_size = in_thousand(150) ? 80 : 0,
        .topic_alias_maximum = (uint16_t)(in_thousand(500) ? 0 : 1 + below(3)),
        .uses_aliases = in_thousand(500),
        .refuses = in_thousand(300),
    };
    if (in_thousand(300)) {
        connect.will_topic = plan_topics[below(PLAN_TOPICS)];
        connect.will_qos = (unsigned)below(3);
        connect.will_delay_s = (uint32_t)(in_thousand(300) ? 1 + below(5) : 0);
    }
    return connect;
}

static const char *choose_filter(const struct plan *plan, unsigned client)
{
    if (in_thousand(600))
        return habitual[client][below(2)];
    return filters[below(plan->v5[client] ? FILTERS : FILTERS - SHARED)];
}

static unsigned choose_qos(void)
{
    return (unsigned)(in_thousand(200) ? 0 : 1 + below(2));
}

static struct plan_step choose_step(const struct plan *plan, const bool *keeps)
{
    static const uint32_t message_expiry_s[] = {1, 3, LEDGER_LONG_S, LEDGER_LONG_S + 7};
    unsigned client = (unsigned)below(plan->clients);
    struct plan_step step = {.client = client};
    uint64_t luck = plan->resent && in_thousand(150) ? 999 : below(1000);
    if (luck < 520) {
        step.act = PLAN_PUBLISH;
        step.topic = plan_topics[below(PLAN_TOPICS)];
        step.qos = choose_qos();
        step.retain = in_thousand(250);
        step.empty = step.retain && in_thousand(250);
        step.big = !step.empty && in_thousand(150);
        step.message_expiry_s = in_thousand(200) ? message_expiry_s[below(4)] : 0;
    } else if (luck < 640) {
        step.act = PLAN_SUBSCRIBE;
        step.topic = choose_filter(plan, client);
        step.qos = choose_qos();
    } else if (luck < 670) {
        step.act = PLAN_UNSUBSCRIBE;
        step.topic = choose_filter(plan, client);
    } else if (luck < 850) {
        step.act = PLAN_CONNECT;
        step.connect = choose_connect(keeps[client]);
    } else if (luck < 880) {
        step.act = PLAN_DISCONNECT;
    } else if (luck < 940) {
        step.act = PLAN_LEAVE;
        step.leaving = (enum client_leaving)below(3);
    } else {
        step.act = PLAN_HOLD;
        step.for_us = below(1000000);
    }
    return step;
}

static struct plan_step choose_disaster(void)
{
    struct plan_step step = {.for_us = 1000 + below(in_thousand(200) ? 5000000 : 100000)};
    uint64_t luck = below(10);
    if (luck < 4) {
        step.act = PLAN_POWER;
        if (in_thousand(250))
            step.clock_ms = INT64_C(-1780000000000); /* 1970 */
    } else if (luck < 6) {
        step.act = PLAN_CRASH;
    } else if (luck < 7) {
        step.act = PLAN_RESTART;
    } else {
        step.act = PLAN_FAULT;
        step.fault = (unsigned)(1 + below(3));
    }
    return step;
}

static void add(struct plan *plan, uint64_t at_us, struct plan_step step)
{
    if (plan->count == PLAN_STEPS_MAX)
        return;
    step.at_us = at_us;
    plan->steps[plan->count++] = step;
}

/* A message that is sent again while it is being stored. */
static void add_resending(struct plan *plan, uint64_t at_us, unsigned client)
{
    add(plan, at_us,
        (struct plan_step){.act = PLAN_PUBLISH,
                           .client = client,
                           .topic = plan_topics[below(PLAN_TOPICS)],
                           .qos = (unsigned)(in_thousand(700) ? 2 : 1)});
    if (plan->v5[client] || in_thousand(300)) {
        struct plan_step again = {
            .act = PLAN_CONNECT, .client = client, .connect = choose_connect(true)};
        again.connect.clean = false;
        add(plan, at_us + below(3000), again);
    } else {
        for (uint64_t n = 1 + below(3); n > 0; n--)
            add(plan, at_us + below(2000),
                (struct plan_step){.act = PLAN_RESEND, .client = client});
    }
}

/* Publishers of a topic's retained message, and who subscribes just then. */
static void add_retaining(struct plan *plan, uint64_t at_us)
{
    const char *topic = plan_topics[below(PLAN_TOPICS)];
    unsigned publisher = (unsigned)below(plan->clients), client = (unsigned)below(plan->clients);
    unsigned qos = in_thousand(600) ? 2 : choose_qos();
    uint64_t span_us = in_thousand(500) ? 1000 : 20000;
    for (uint64_t n = 1 + below(3); n > 0; n--)
        add(plan, at_us + below(span_us),
            (struct plan_step){.act = PLAN_PUBLISH,
                               .client = publisher,
                               .topic = topic,
                               .qos = qos,
                               .retain = true,
                               .empty = in_thousand(100)});
    add(plan, at_us + below(span_us),
        (struct plan_step){
            .act = PLAN_SUBSCRIBE, .client = client, .topic = topic, .qos = choose_qos()});
    if (in_thousand(300)) /* a session that nothing was asked of before */
        add(plan, at_us - 1000,
            (struct plan_step){
                .act = PLAN_CONNECT,
                .client = client,
                .connect = {.clean = true, .expiry_s = 30, .receive_maximum = 65535}});
}

/* The answer that says that it is durable. */
static uint32_t answer_to(const struct plan_step *step)
{
    switch (step->act) {
    case PLAN_PUBLISH:
        if (step->qos < 2)
            return CLIENT_GOT_PUBACK;
        return in_thousand(500) ? CLIENT_GOT_PUBREC : CLIENT_GOT_PUBCOMP;
    case PLAN_SUBSCRIBE:
        return CLIENT_GOT_SUBACK;
    case PLAN_UNSUBSCRIBE:
        return CLIENT_GOT_UNSUBACK;
    case PLAN_CONNECT:
        return CLIENT_GOT_CONNACK;
    default:
        return CLIENT_GOT_PUBLISH | CLIENT_GOT_PUBREL;
    }
}

/* What happens about then: the power fails, or the broker is killed; at some time, or as soon as
 * somebody has the answer, or between two syncs. */
static void add_end_of_scene(struct plan *plan, uint64_t at_us, uint32_t answer)
{
    static const uint64_t soon_us[] = {1000, 5000, 20000, 60000};
    struct plan_step step = {.act = in_thousand(850) ? PLAN_POWER : PLAN_CRASH, .for_us = 1000};
    uint64_t luck = below(10);
    if (luck < 4)
        step.upon_packets = in_thousand(800) ? answer : UINT32_C(1) << (2 + below(10));
    else if (luck < 7)
        step.upon_syncs = (unsigned)(1 + below(5));
    else
        at_us += below(soon_us[below(4)]);
    add(plan, at_us, step);
}

/* A subscription of long standing ends, and the power fails when its client knows. */
static void add_unsubscribing(struct plan *plan, uint64_t at_us)
{
    unsigned client = (unsigned)below(plan->clients);
    const char *filter = habitual[client][below(2)];
    add(plan, at_us,
        (struct plan_step){.act = PLAN_CONNECT,
                           .client = client,
                           .connect = {.expiry_s = LEDGER_FOREVER, .receive_maximum = 65535}});
    add(plan, at_us + 100000,
        (struct plan_step){
            .act = PLAN_SUBSCRIBE, .client = client, .topic = filter, .qos = 1 + below(2)});
    add(plan, at_us + 200000,
        (struct plan_step){.act = PLAN_UNSUBSCRIBE, .client = client, .topic = filter});
    add(plan, at_us + 200000,
        (struct plan_step){.act = PLAN_POWER, .for_us = 1000, .upon_packets = CLIENT_GOT_UNSUBACK});
}

/* When all is quiet: to each topic one retained message, and somebody subscribes just then. */
static void add_last_retaining(struct plan *plan, uint64_t at_us)
{
    struct client_connect connect = {.expiry_s = LEDGER_FOREVER, .receive_maximum = 65535};
    unsigned publisher = (unsigned)below(plan->clients);
    unsigned client = (publisher + 1) % plan->clients;
    add(plan, at_us,
        (struct plan_step){.act = PLAN_CONNECT, .client = publisher, .connect = connect});
    connect.clean = true;
    add(plan, at_us, (struct plan_step){.act = PLAN_CONNECT, .client = client, .connect = connect});
    for (unsigned i = 0; i < PLAN_TOPICS; i++) {
        at_us += 500000;
        add(plan, at_us + below(4000),
            (struct plan_step){.act = PLAN_PUBLISH,
                               .client = publisher,
                               .topic = plan_topics[i],
                               .qos = in_thousand(700) ? 2 : 1,
                               .retain = true});
        add(plan, at_us + below(8000),
            (struct plan_step){
                .act = PLAN_SUBSCRIBE, .client = client, .topic = plan_topics[i], .qos = 2});
    }
}

/* Something that has to become durable, and the power fails about then. */
static void add_scene(struct plan *plan, uint64_t at_us, const bool *keeps)
{
    uint64_t luck = below(10);
    if (luck == 9) {
        add_unsubscribing(plan, at_us);
        return;
    }
    if (luck < 3) {
        add_resending(plan, at_us, (unsigned)below(plan->clients));
        add_end_of_scene(plan, at_us, CLIENT_GOT_PUBREC);
        return;
    }
    if (luck < 5) {
        add_retaining(plan, at_us);
        if (in_thousand(500))
            add_end_of_scene(plan, at_us, CLIENT_GOT_SUBACK | CLIENT_GOT_PUBLISH);
        return;
    }
    struct plan_step step = choose_step(plan, keeps);
    while (step.act == PLAN_HOLD)
        step = choose_step(plan, keeps);
    if (step.act == PLAN_PUBLISH && in_thousand(400)) {
        step.act = PLAN_UNSUBSCRIBE;
        step.topic = habitual[step.client][below(2)];
    }
    add(plan, at_us, step);
    add_end_of_scene(plan, at_us, answer_to(&step));
}

/* A session ends while the broker is away and back: its time runs on from its client's leaving. */
static void add_late_return(struct plan *plan, uint64_t at_us)
{
    enum { EXPIRY_S = 6, SLACK_US = 3500000 };
    unsigned client = (unsigned)below(plan->clients);
    struct client_connect connect = {
        .expiry_s = EXPIRY_S, .receive_maximum = 65535, .will_delay_s = 3};
    if (in_thousand(500)) {
        connect.will_topic = plan_topics[below(PLAN_TOPICS)];
        connect.will_qos = 1 + (unsigned)below(2);
    }
    add(plan, at_us, (struct plan_step){.act = PLAN_CONNECT, .client = client, .connect = connect});
    at_us += 500000;
    add(plan, at_us,
        (struct plan_step){.act = PLAN_LEAVE, .client = client, .leaving = CLIENT_CLOSES});
    add(plan, at_us + 3500000 + below(2400000),
        (struct plan_step){.act = in_thousand(500) ? PLAN_POWER : PLAN_CRASH, .for_us = 1000});
    add(plan, at_us + EXPIRY_S * 1000000 + SLACK_US,
        (struct plan_step){.act = PLAN_CONNECT, .client = client, .connect = connect});
}

static int by_time(const void *a, const void *b)
{
    const struct plan_step *x = a, *y = b;
    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

void plan_make(uint64_t seed, struct plan *plan, struct config *config)
{
    bool keeps[PLAN_CLIENTS_MAX];
    chance = chance_of(seed, 6);
    *plan = (struct plan){0};
    choose_config(plan, config);
    plan->clients = (unsigned)(2 + below(PLAN_CLIENTS_MAX - 1));
    uint64_t at_us = 1100000;
    for (unsigned i = 0; i < plan->clients; i++) {
        /* `reject` closes a publisher of 3.1.1: one that is subscribed to its own topic, and whose
         * queue is full, comes again and again with the same PUBLISH. */
        plan->v5[i] = in_thousand(600) ||
                      (plan->limited && config->mqtt.queue_full_policy == QUEUE_FULL_REJECT);
        keeps[i] = in_thousand(700);
        for (unsigned n = 0; n < 2; n++)
            habitual[i][n] = filters[below(plan->v5[i] ? FILTERS : FILTERS - SHARED)];
        struct plan_step step = {
            .act = PLAN_CONNECT, .client = i, .connect = choose_connect(keeps[i])};
        add(plan, at_us + below(20000), step);
        for (uint64_t n = below(3); n > 0; n--)
            add(plan, at_us + 50000 + below(50000),
                (struct plan_step){.act = PLAN_SUBSCRIBE,
                                   .client = i,
                                   .topic =
                                       filters[below(plan->v5[i] ? FILTERS : FILTERS - SHARED)],
                                   .qos = (unsigned)(1 + below(2))});
    }
    at_us += 150000;
    unsigned steps = (unsigned)(40 + below(160));
    uint64_t pace_us = in_thousand(500) ? 3000 : 60000;
    unsigned disasters = (unsigned)below(6);
    bool scenes = in_thousand(750);
    for (unsigned i = 0; i < steps; i++) {
        at_us += below(pace_us) + (in_thousand(20) ? below(4000000) : 0);
        add(plan, at_us, choose_step(plan, keeps));
        if (scenes && in_thousand(60))
            add_scene(plan, at_us, keeps);
    }
    uint64_t quiet_us = at_us;
    if (in_thousand(150)) {
        add_late_return(plan, at_us + 1000000);
        at_us += 11500000;
    }
    if (in_thousand(300)) {
        add_last_retaining(plan, at_us + 6000000);
        at_us += 9000000;
    }
    /* Mostly in the middle of something. */
    for (unsigned i = 0; i < disasters; i++) {
        uint64_t when_us = in_thousand(800) ? plan->steps[below(plan->count)].at_us + below(20000)
                                            : 1200000 + below(quiet_us - 1200000);
        add(plan, when_us, choose_disaster());
    }
    qsort(plan->steps, plan->count, sizeof plan->steps[0], by_time);
    plan->end_us = at_us + 500000;
}
