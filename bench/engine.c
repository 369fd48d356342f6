#include "bench/engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/process.h"

enum {
    EVENTS = 512,
    CONNECTING_MOST = 64,
    COMPLAINTS_MOST = 5,
};

static const uint64_t TURN_NS = 20000000;
static const uint64_t CONNECT_TIMEOUT_NS = 60000000000;
static const uint64_t STALL_NS = 2000000000;

void engine_init(struct engine *engine, const struct options *options)
{
    *engine = (struct engine){.options = options};
    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->scratch = malloc(CLIENT_SCRATCH_SIZE);
    CHECK(engine->epoll_fd >= 0 && engine->scratch);
    engine->server =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    CHECK(inet_pton(AF_INET, options->host, &engine->server.sin_addr) == 1);
    engine->now_ns = process_now_ns();
    snprintf(engine->run_id, sizeof engine->run_id, "%x-%x", (unsigned)getpid() & 0xfffff,
             (unsigned)(engine->now_ns >> 20) & 0xfffff);
    prctl(PR_SET_TIMERSLACK, 1); /* the latency schedule is finer than the usual 50 us */
}

void engine_fini(struct engine *engine)
{
    engine->closing = true;
    for (unsigned i = 0; i < engine->client_count; i++) {
        client_close(engine, &engine->clients[i]);
        buffer_fini(&engine->clients[i].out);
        buffer_fini(&engine->clients[i].held);
    }
    for (unsigned i = 0; i < engine->publisher_count; i++)
        publisher_fini(&engine->publishers[i]);
    free(engine->clients);
    free(engine->publishers);
    free(engine->groups);
    free(engine->unwritten);
    free(engine->scratch);
    delay_fini(&engine->delayed);
    close(engine->epoll_fd);
}

static void *zeroed(unsigned count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    CHECK(memory);
    return memory;
}

void engine_reserve(struct engine *engine, unsigned clients, unsigned publishers, unsigned groups)
{
    CHECK(!engine->clients);
    engine->clients = zeroed(clients, sizeof *engine->clients);
    engine->publishers = zeroed(publishers, sizeof *engine->publishers);
    engine->groups = zeroed(groups, sizeof *engine->groups);
    engine->unwritten = zeroed(publishers + EVENTS, sizeof(struct client *));
    engine->client_count = clients;
    engine->publisher_count = publishers;
    engine->group_count = groups;
}

void engine_fail(struct engine *engine, const struct client *client, const char *what)
{
    engine->failures++;
    if (engine->failures <= COMPLAINTS_MOST)
        fprintf(stderr, "hf-bench: %s: %s: %s\n", engine->options->label, client->id, what);
}

/* What a group still waits for; credit beyond that may be sent. */
static uint64_t outstanding(const struct group *group)
{
    uint64_t owed = group->sent * (group->fan > 0 ? group->fan : 1);
    uint64_t settled = group->received + group->lost;
    return owed > settled ? owed - settled : 0;
}

static unsigned room_of(const struct group *group, unsigned credit)
{
    unsigned fan = group->fan > 0 ? group->fan : 1;
    uint64_t ahead = (outstanding(group) + fan - 1) / fan;
    return ahead < credit ? credit - (unsigned)ahead : 0;
}

/* Lets each publisher have its turn, as far as the credit of its group goes. */
static void publish(struct engine *engine)
{
    for (unsigned i = 0; i < engine->group_count; i++) {
        struct group *group = &engine->groups[i];
        unsigned room = room_of(group, engine->options->credit);
        for (unsigned tries = 0; tries < group->count && room > 0; tries++) {
            struct publisher *publisher = &engine->publishers[group->first + group->next];
            group->next = (group->next + 1) % group->count;
            room -= publisher_send(publisher, engine, room);
        }
    }
}

static void send_delayed(struct engine *engine)
{
    while (delay_next_ns(&engine->delayed) <= engine->now_ns) {
        struct delayed_ack ack = delay_pop(&engine->delayed);
        if (ack.client->state == CLIENT_CLOSED)
            continue;
        wire_ack(&ack.client->out, ack.type, ack.id);
        if (delay_next_ns(&engine->delayed) > engine->now_ns ||
            delay_next_client(&engine->delayed) != ack.client)
            client_write(engine, ack.client, (struct bytes){0});
    }
}

static void write_rest(struct engine *engine)
{
    for (unsigned i = 0; i < engine->unwritten_count; i++) {
        struct client *client = engine->unwritten[i];
        if (client->out.size > 0 && client->state != CLIENT_CLOSED)
            client_write(engine, client, (struct bytes){0});
    }
    engine->unwritten_count = 0;
}

/* When the next scheduled message is due. */
static uint64_t next_due_ns(const struct engine *engine)
{
    uint64_t due_ns = UINT64_MAX;
    for (unsigned i = 0; i < engine->publisher_count; i++) {
        const struct publisher *publisher = &engine->publishers[i];
        bool full = publisher->qos > 0 && publisher->in_flight == publisher->window;
        if (publisher->interval_ns > 0 && !full && !publisher->client->blocked &&
            publisher->due_ns < due_ns)
            due_ns = publisher->due_ns;
    }
    return due_ns;
}

static void turn(struct engine *engine, uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    if (engine->latency && engine->publishing) {
        uint64_t due_ns = next_due_ns(engine);
        if (due_ns < until_ns)
            until_ns = due_ns;
    }
    if (delay_next_ns(&engine->delayed) < until_ns)
        until_ns = delay_next_ns(&engine->delayed);
    uint64_t wait_ns = until_ns > engine->now_ns ? until_ns - engine->now_ns : 0;
    struct timespec wait = {.tv_nsec = (long)(wait_ns < TURN_NS ? wait_ns : TURN_NS)};
    int count = epoll_pwait2(engine->epoll_fd, events, EVENTS, &wait, NULL);
    CHECK(count >= 0 || errno == EINTR);
    engine->now_ns = process_now_ns();
    for (int i = 0; i < count; i++)
        client_event(engine, events[i].data.ptr, events[i].events);
    send_delayed(engine);
    if (engine->publishing)
        publish(engine);
    write_rest(engine);
}

/* What has not come for so long does not come: the credit is given back, the loss reported. */
static void give_up_stalled(struct engine *engine)
{
    for (unsigned i = 0; i < engine->group_count; i++) {
        struct group *group = &engine->groups[i];
        if (group->received != group->seen || outstanding(group) == 0) {
            group->seen = group->received;
            group->seen_ns = engine->now_ns;
        } else if (engine->now_ns - group->seen_ns > STALL_NS) {
            group->lost += outstanding(group);
        }
    }
}

void engine_run(struct engine *engine, uint64_t until_ns, bool (*done)(struct engine *engine))
{
    uint64_t look_ns = 0;
    for (unsigned i = 0; i < engine->group_count; i++)
        engine->groups[i].seen_ns = engine->now_ns;
    while (engine->now_ns < until_ns && engine->failures == 0 && !(done && done(engine))) {
        turn(engine, until_ns);
        if (engine->now_ns >= look_ns) {
            give_up_stalled(engine);
            look_ns = engine->now_ns + STALL_NS / 10;
        }
    }
}

struct client *engine_name(struct engine *engine, unsigned index, char role)
{
    struct client *client = &engine->clients[index];
    snprintf(client->id, sizeof client->id, "%s-%c%u", engine->run_id, role, index);
    client->clean_start = true;
    client->qos = (uint8_t)engine->options->qos;
    client->expiry_s = engine->options->expiry;
    return client;
}

bool engine_connect(struct engine *engine, unsigned first, unsigned count)
{
    unsigned opened = 0;
    unsigned ready_before = engine->ready;
    uint64_t until_ns = engine->now_ns + CONNECT_TIMEOUT_NS;
    while (engine->ready - ready_before < count && engine->failures == 0) {
        while (opened < count && opened - (engine->ready - ready_before) < CONNECTING_MOST)
            client_open(engine, &engine->clients[first + opened++]);
        turn(engine, until_ns);
        if (engine->now_ns >= until_ns)
            engine_fail(engine, &engine->clients[first], "not all clients could connect in time");
    }
    return engine->failures == 0;
}

void engine_disconnect(struct engine *engine, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        struct client *client = &engine->clients[i];
        if (client->state == CLIENT_CLOSED)
            continue;
        wire_empty(&client->out, WIRE_DISCONNECT);
        client_write(engine, client, (struct bytes){0});
        client_close(engine, client);
    }
}

void engine_set_budget(struct engine *engine, unsigned messages)
{
    unsigned count = engine->publisher_count;
    for (unsigned i = 0; i < count; i++)
        engine->publishers[i].left = messages / count + (i < messages % count);
}

void engine_set_schedule(struct engine *engine)
{
    unsigned count = engine->publisher_count;
    uint64_t interval_ns = count * 1000000000ull / engine->options->rate;
    for (unsigned i = 0; i < count; i++) {
        engine->publishers[i].interval_ns = interval_ns;
        engine->publishers[i].due_ns = engine->now_ns + i * interval_ns / count;
    }
}

bool engine_finished(struct engine *engine)
{
    for (unsigned i = 0; i < engine->publisher_count; i++)
        if (engine->publishers[i].left > 0)
            return false;
    return engine_settled(engine);
}

bool engine_settled(struct engine *engine)
{
    for (unsigned i = 0; i < engine->group_count; i++)
        if (outstanding(&engine->groups[i]) > 0)
            return false;
    for (unsigned i = 0; i < engine->publisher_count; i++)
        if (!publisher_settled(&engine->publishers[i]))
            return false;
    return true;
}

void engine_settle(struct engine *engine)
{
    engine->publishing = false;
    uint64_t seen = 0;
    for (;;) {
        engine_run(engine, engine->now_ns + STALL_NS + STALL_NS / 2, engine_settled);
        struct engine_totals totals = engine_totals(engine);
        if (engine_settled(engine) || engine->failures > 0 ||
            totals.acked + totals.received == seen)
            return;
        seen = totals.acked + totals.received;
    }
}

struct engine_totals engine_totals(const struct engine *engine)
{
    struct engine_totals totals = {0};
    for (unsigned i = 0; i < engine->group_count; i++) {
        const struct group *group = &engine->groups[i];
        totals.received += group->received;
        totals.lost += group->lost;
        totals.expected += group->sent * (group->fan > 0 ? group->fan : 1);
    }
    for (unsigned i = 0; i < engine->publisher_count; i++) {
        totals.sent += engine->publishers[i].sent;
        totals.acked += engine->publishers[i].acked;
    }
    return totals;
}
