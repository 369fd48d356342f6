#include "sim/world.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/broker.h"
#include "broker/worker.h"
#include "config/config.h"
#include "sim/chance.h"
#include "sim/client.h"
#include "sim/disk.h"
#include "sim/history.h"
#include "sim/kernel.h"
#include "sim/ledger.h"
#include "sim/net.h"
#include "sim/plan.h"
#include "sim/reclaim.h"
#include "sim/task.h"
#include "sim/vfs.h"

enum {
    CALM_US = 120000000, /* after so long everything must have arrived */
    QUIET_US = 6000000,  /* nothing happens for so long: nothing will */
    LIFE_STEPS_MAX = 20000000,
    SILENCE_US = 1500000, /* in `flush` all is on the disk then, of what came before */
    ARMED_US = 3000000,   /* so long a disaster waits for its event */
};

enum life { LIFE_DOWN, LIFE_STARTING, LIFE_UP, LIFE_STOPPING, LIFE_EXITED };

static struct {
    struct plan plan;
    struct config config;
    struct client_customs customs;
    struct client *clients[PLAN_CLIENTS_MAX + 2]; /* the last ones look at the end */
    unsigned count;
    struct chance chance;
    struct broker *broker;
    enum life life;
    bool stop;
    uint64_t start_at_us, fault_until_us, clock_right_at_us, trouble_until_us;
    int64_t clock_ms;
    const struct plan_step *armed; /* a disaster that waits for its event; NULL: none */
    uint64_t armed_until_us, armed_syncs;
    uint64_t lives, steps;
} world;

/* ---- The broker's lives ---- */

static bool has_durability(enum store_durability durability)
{
    return world.config.sqlite.durability == durability;
}

static void *broker_main(void *argument)
{
    char error[512];
    struct broker *broker = argument;
    if (broker_start(broker, &world.config, error, sizeof error) != STATUS_OK) {
        if (world.trouble_until_us > task_now_us()) { /* its disk fails: tried again later */
            ledger_note("the broker does not start: %s", error);
            world.life = LIFE_EXITED;
            world.start_at_us = task_now_us() + 500000;
            return NULL;
        }
        ledger_fail("the broker does not start: %s", error);
    }
    broker->queue_memory_bytes = world.plan.queue_memory_bytes;
    world.life = LIFE_UP;
    ledger_broker_up();
    ledger_note("the broker is up");
    while (!world.stop)
        task_block(&world.stop, TASK_NEVER);
    broker_stop(broker);
    world.life = LIFE_EXITED;
    return NULL;
}

static void start(void)
{
    world.broker = calloc(1, sizeof *world.broker); /* lives are not freed: a crash frees nothing */
    CHECK(world.broker != NULL);
    world.stop = false;
    world.life = LIFE_STARTING;
    world.start_at_us = UINT64_MAX;
    world.lives++;
    task_start("main", broker_main, world.broker);
}

static void clients_lose_broker(void)
{
    for (unsigned i = 0; i < world.count; i++)
        client_broker_down(world.clients[i]);
    ledger_broker_down();
    if (has_durability(STORE_DURABILITY_NONE))
        ledger_all_lost();
}

/* What the kernel does when a process is gone, however it came to that. */
static void bury(bool power)
{
    task_abandon_all();
    reclaim_crash();
    kernel_crash(power);
    world.life = LIFE_DOWN;
    if (has_durability(STORE_DURABILITY_NONE))
        ledger_all_lost(); /* what came while it was stopping, too */
}

static uint64_t packets(void);
static void run_until(uint64_t until_us);

/* `flush` promises what is older than flush_interval: nothing new is asked for until all is. */
static void await_silence(void)
{
    for (uint64_t before = UINT64_MAX; packets() != before;) {
        before = packets();
        run_until(task_now_us() + SILENCE_US);
    }
}

/* Under `flush` nobody can tell what is lost otherwise. */
static bool may_end_now(void)
{
    if (!has_durability(STORE_DURABILITY_FLUSH))
        return true;
    if (world.life != LIFE_UP || task_now_us() < world.trouble_until_us)
        return false;
    await_silence();
    return world.life == LIFE_UP;
}

static void crash(const struct plan_step *step)
{
    bool power = step->act == PLAN_POWER;
    ledger_note("---- %s", power ? "the power fails" : "the broker is killed");
    bury(power);
    clients_lose_broker();
    world.start_at_us = task_now_us() + step->for_us;
    if (power && step->clock_ms != 0 && world.clock_ms == 0) {
        ledger_note("---- the clock shows another year");
        ledger_clock_unsure();
        world.clock_ms = step->clock_ms;
        kernel_step_wall(world.clock_ms);
        world.clock_right_at_us = world.start_at_us + 1000000;
    }
}

static void arm(const struct plan_step *step)
{
    world.armed = step;
    world.armed_until_us = task_now_us() + ARMED_US;
    world.armed_syncs = disk_statistics().syncs_done + step->upon_syncs;
}

/* `client`: who has just had its turn, or NULL. */
static void look_for_event(struct client *client)
{
    uint32_t took = client != NULL ? client_got(client) : 0;
    const struct plan_step *step = world.armed;
    if (step == NULL)
        return;
    if (task_now_us() >= world.armed_until_us) {
        world.armed = NULL;
    } else if ((took & step->upon_packets) != 0 ||
               (step->upon_syncs > 0 && disk_statistics().syncs_done >= world.armed_syncs)) {
        world.armed = NULL;
        crash(step);
    }
}

static void stop(void)
{
    if (world.life != LIFE_UP)
        return;
    ledger_note("---- the broker is stopped");
    world.life = LIFE_STOPPING;
    world.stop = true;
    task_wake(&world.stop);
    clients_lose_broker();
}

/* ---- The plan ---- */

static void begin_fault(const struct plan_step *step)
{
    static const char *const words[] = {"is sound", "is full", "fails to sync", "fails to write"};
    ledger_note("---- the disk %s", words[step->fault]);
    disk_set_fault((enum disk_fault)step->fault);
    ledger_disk_fails();
    world.fault_until_us = task_now_us() + step->for_us;
    world.trouble_until_us = world.fault_until_us + 5000000;
    for (unsigned i = 0; i < world.count; i++)
        client_excuse(world.clients[i]);
}

static void connect(struct client *client, const struct client_connect *how)
{
    if (world.life != LIFE_UP)
        return;
    client_connect(client, how);
    if (task_now_us() < world.trouble_until_us)
        client_excuse(client);
}

static void carry_out(const struct plan_step *step)
{
    struct client *client = world.clients[step->client];
    switch (step->act) {
    case PLAN_CONNECT:
        connect(client, &step->connect);
        break;
    case PLAN_DISCONNECT:
        client_disconnect(client);
        break;
    case PLAN_LEAVE:
        client_leave(client, step->leaving);
        break;
    case PLAN_PUBLISH:
        client_publish(client, &(struct ledger_publish){.topic = step->topic,
                                                        .qos = step->qos,
                                                        .retain = step->retain,
                                                        .empty = step->empty,
                                                        .big = step->big,
                                                        .expiry_s = step->message_expiry_s});
        break;
    case PLAN_SUBSCRIBE:
        client_subscribe(client, step->topic, step->qos);
        break;
    case PLAN_UNSUBSCRIBE:
        client_unsubscribe(client, step->topic);
        break;
    case PLAN_RESEND:
        client_resend(client);
        break;
    case PLAN_HOLD:
        client_hold(client, task_now_us() + step->for_us);
        break;
    case PLAN_CRASH:
    case PLAN_POWER:
        if (!has_durability(STORE_DURABILITY_FLUSH) &&
            (step->upon_packets != 0 || step->upon_syncs > 0))
            arm(step);
        else if (may_end_now())
            crash(step);
        break;
    case PLAN_RESTART:
        if (may_end_now()) {
            stop();
            world.start_at_us = task_now_us() + step->for_us;
        }
        break;
    case PLAN_FAULT:
        if (!has_durability(STORE_DURABILITY_FLUSH) || world.life == LIFE_UP)
            begin_fault(step);
        break;
    }
}

/* ---- The scheduler ---- */

static void lower(uint64_t *next_us, uint64_t at_us)
{
    if (at_us < *next_us)
        *next_us = at_us;
}

/* What the world itself has to do now. */
static void look_after(uint64_t *next_us)
{
    uint64_t now_us = task_now_us();
    if (world.life == LIFE_EXITED)
        bury(false);
    if (world.life == LIFE_DOWN && world.start_at_us <= now_us)
        start();
    if (world.fault_until_us <= now_us) {
        world.fault_until_us = UINT64_MAX;
        ledger_note("---- the disk works");
        disk_set_fault(DISK_SOUND);
    }
    if (world.clock_right_at_us <= now_us) {
        world.clock_right_at_us = UINT64_MAX;
        kernel_step_wall(-world.clock_ms);
        world.clock_ms = 0;
    }
    if (world.life == LIFE_DOWN)
        lower(next_us, world.start_at_us);
    lower(next_us, world.fault_until_us);
    lower(next_us, world.clock_right_at_us);
}

/* One step of somebody, or of time; not beyond `until_us`. */
static void step(uint64_t until_us)
{
    uint64_t next_us = until_us;
    struct client *ready[PLAN_CLIENTS_MAX + 2];
    unsigned count = 0;
    if (++world.steps > LIFE_STEPS_MAX)
        ledger_fail("the broker does not come to rest");
    look_after(&next_us);
    lower(&next_us, net_advance(task_now_us(), kernel_sockets_changed));
    for (unsigned i = 0; i < world.count; i++) {
        if (client_ready(world.clients[i], &next_us))
            ready[count++] = world.clients[i];
    }
    struct client *turn = NULL;
    bool tasks = task_runnable(&next_us);
    if (count > 0 && (!tasks || chance_in_thousand(&world.chance, 300)))
        client_step(turn = ready[chance_below(&world.chance, count)]);
    else if (tasks)
        task_run_one();
    else
        task_advance(next_us);
    if (tasks || count > 0)
        task_advance(task_now_us() + chance_below(&world.chance, 4));
    if (chance_in_thousand(&world.chance, 100))
        reclaim_step();
    look_for_event(turn);
}

static void run_until(uint64_t until_us)
{
    while (task_now_us() < until_us)
        step(until_us);
}

/* ---- The calm ---- */

static void reconnect(unsigned i)
{
    struct client_connect how = {.expiry_s = LEDGER_FOREVER, .receive_maximum = 10};
    if (!client_connected(world.clients[i]))
        connect(world.clients[i], &how);
}

static bool at_rest(unsigned clients)
{
    for (unsigned i = 0; i < clients; i++) {
        if (!client_at_rest(world.clients[i]))
            return false;
    }
    return true;
}

static uint64_t packets(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < world.count; i++)
        sum += client_packets(world.clients[i]);
    return sum;
}

/* Until nothing has happened for a while. */
static void settle(unsigned clients)
{
    uint64_t end_us = task_now_us() + CALM_US, quiet_us = task_now_us() + QUIET_US;
    uint64_t before = packets();
    while (task_now_us() < quiet_us || !at_rest(clients)) {
        run_until(task_now_us() + 250000);
        if (packets() != before)
            quiet_us = task_now_us() + QUIET_US;
        before = packets();
        for (unsigned i = 0; i < clients; i++)
            reconnect(i);
        if (task_now_us() < end_us)
            continue;
        for (unsigned i = 0; i < clients; i++) {
            if (!client_at_rest(world.clients[i]))
                ledger_fail("c%u does not come to rest: it is %s", i,
                            client_state(world.clients[i]));
        }
        ledger_fail("packets come without end");
    }
}

/* A message to each topic shows which subscriptions there are. */
static void probe(void)
{
    struct client_connect how = {.clean = true, .receive_maximum = 100};
    struct client *client = world.clients[world.count] =
        client_new(world.count, true, &world.customs);
    world.count++;
    connect(client, &how);
    run_until(task_now_us() + 1000000);
    for (unsigned i = 0; i < PLAN_TOPICS; i++)
        client_publish(client, &(struct ledger_publish){.topic = plan_topics[i], .qos = 2});
    run_until(task_now_us() + 1000000);
    client_disconnect(client);
}

/* A new client sees what is retained. */
static void look_at_retained(void)
{
    struct client_connect how = {.clean = true, .receive_maximum = 100};
    struct client *client = world.clients[world.count] =
        client_new(world.count, true, &world.customs);
    world.count++;
    connect(client, &how);
    run_until(task_now_us() + 2000000);
    client_subscribe(client, "#", 2);
    run_until(task_now_us() + 3000000);
    ledger_retained(world.count - 1);
    client_disconnect(client);
}

/* All is acknowledged: nothing is kept. */
static void look_at_memory(void)
{
    for (unsigned i = 0; i < world.broker->worker_count; i++) {
        const struct worker *worker = &world.broker->workers[i];
        if (worker->queued_bytes != 0)
            ledger_fail("worker %u has %" PRIu64 " bytes queued for sessions that are owed nothing",
                        i, worker->queued_bytes);
        if (worker->recorded_bytes != 0)
            ledger_fail("worker %u keeps %" PRIu64 " bytes of messages that nobody is owed", i,
                        worker->recorded_bytes);
    }
    if (store_messages(world.broker->store) != 0)
        ledger_fail("the store has %" PRIu64 " messages that nobody is owed",
                    store_messages(world.broker->store));
}

static const char *const empty_tables[] = {"message", "segment", "progress", "inbound", "ended"};

/* On a stack of the machine's, because SQLite may wait. */
static void *look_at_store(void *argument)
{
    sqlite3 *db;
    if (has_durability(STORE_DURABILITY_NONE)) {
        if (disk_find("holdfast.db") != NULL)
            ledger_fail("there is a database, and nothing is to be stored");
        return NULL;
    }
    if (sqlite3_open_v2(KERNEL_DIRECTORY "/holdfast.db", &db, SQLITE_OPEN_READWRITE, NULL) !=
        SQLITE_OK)
        ledger_fail("the database does not open at the end");
    for (unsigned i = 0; i < sizeof empty_tables / sizeof empty_tables[0]; i++) {
        char sql[64];
        sqlite3_stmt *statement;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", empty_tables[i]);
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
            ledger_fail("%s cannot be counted: %s", empty_tables[i], sqlite3_errmsg(db));
        if (sqlite3_column_int64(statement, 0) != 0)
            ledger_fail("%lld rows of %s are left when nothing is owed",
                        (long long)sqlite3_column_int64(statement, 0), empty_tables[i]);
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
    return NULL;
}

static void calm_down(void)
{
    uint64_t none = UINT64_MAX;
    ledger_note("---- all is calm");
    world.armed = NULL;
    net_calm();
    if (world.fault_until_us != UINT64_MAX)
        world.fault_until_us = task_now_us();
    look_after(&none);
    if (world.life == LIFE_DOWN && world.start_at_us == UINT64_MAX)
        world.start_at_us = task_now_us();
    for (unsigned i = 0; i < world.count; i++)
        client_hold(world.clients[i], 0);
    unsigned clients = world.count;
    settle(clients);
    probe();
    settle(clients);
    ledger_finish();
    look_at_retained();
    run_until(task_now_us() + 3000000);
    look_at_memory();
    world.start_at_us = UINT64_MAX;
    stop();
    uint64_t end_us = task_now_us() + CALM_US;
    while (world.life != LIFE_DOWN) {
        step(end_us);
        if (world.life != LIFE_DOWN && task_now_us() >= end_us)
            ledger_fail("the broker does not stop");
    }
    unsigned auditor = task_start("auditor", look_at_store, NULL);
    while (!task_ended(auditor))
        step(UINT64_MAX);
}

/* ---- A run ---- */

/* For whatever reason: of a session the first is said at once, others within ten seconds, and a
 * kill in between leaves them unsaid. */
static void look_at_log(const char *line, int size)
{
    static const char dropped[] = " dropped";
    if (memmem(line, (size_t)size, dropped, sizeof dropped - 1) != NULL)
        ledger_drop_said();
    history_log(line, size);
}

static void begin(uint64_t seed)
{
    char error[256];
    CHECK(config_load(NULL, &world.config, error, sizeof error) == STATUS_OK);
    free(world.config.sqlite.mounted_file_path);
    world.config.sqlite.mounted_file_path = strdup(KERNEL_DIRECTORY);
    world.chance = chance_of(seed, 7);
    world.start_at_us = world.fault_until_us = world.clock_right_at_us = UINT64_MAX;
    plan_make(seed, &world.plan, &world.config);
    task_begin(seed, &world.plan.habits);
    kernel_log = look_at_log;
    static const enum ledger_policy policies[] = {[QUEUE_FULL_DROP_NEWEST] = LEDGER_DROP_NEWEST,
                                                  [QUEUE_FULL_DROP_OLDEST] = LEDGER_DROP_OLDEST,
                                                  [QUEUE_FULL_REJECT] = LEDGER_REJECT};
    ledger_limit(world.plan.limited ? world.config.mqtt.max_queued_messages : 0,
                 policies[world.config.mqtt.queue_full_policy]);
    kernel_begin(seed);
    net_begin(seed);
    disk_begin(seed);
    vfs_begin(seed);
    world.customs = (struct client_customs){
        .resent = world.config.sqlite.resend_interval_ms > 0,
        .limited = world.plan.limited,
    };
    for (unsigned i = 0; i < world.plan.clients; i++)
        world.clients[world.count++] = client_new(i, world.plan.v5[i], &world.customs);
}

void world_run(uint64_t seed, const uint8_t *left_out, struct world_result *out)
{
    begin(seed);
    start();
    for (unsigned i = 0; i < world.plan.count; i++) {
        if (left_out != NULL && left_out[i] != 0)
            continue;
        run_until(world.plan.steps[i].at_us);
        carry_out(&world.plan.steps[i]);
    }
    run_until(world.plan.end_us);
    calm_down();
    *out = (struct world_result){
        .steps = world.plan.count,
        .messages = ledger_messages(),
        .switches = task_switches(),
        .lives = world.lives,
        .syncs = disk_statistics().syncs,
        .sum = history_sum(),
        .simulated_us = task_now_us(),
    };
}
