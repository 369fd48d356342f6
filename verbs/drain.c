#include "verbs/drain.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/worker.h"

enum {
    RATE_DEFAULT = 100,
    RATE_MAX = 100000,
    STEP_MS = 100,
    STEPS_A_SECOND = 1000 / STEP_MS,
    LOOKED_AT_TURN = 65536, /* some that are closing already are passed over */
};

/* The only one there is; what the thread changes is its own. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool begun;  /* of the one verb at a time */
    bool ending; /* under the mutex */
    struct broker *broker;
    uint64_t rate;
    uint8_t reason;
} drain = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct step {
    struct errand errand;
    uint64_t wanted, done;
};

static void close_listeners(struct worker *worker, struct errand *errand)
{
    (void)errand;
    worker_close_listeners(worker);
}

static void send_some_away(struct worker *worker, struct errand *errand)
{
    struct step *step = CONTAINER_OF(errand, struct step, errand);
    unsigned looked_at = 0;
    for (struct list *node = worker->connections.next, *next;
         node != &worker->connections && looked_at < LOOKED_AT_TURN; node = next, looked_at++) {
        next = node->next;
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        if (connection->closed || connection->state == CONNECTION_STATE_CLOSING)
            continue;
        if (step->done == step->wanted)
            return;
        connection_event(connection, CONNECTION_EVENT_STOPPED, drain.reason, "5.0 section 4.13.2",
                         "the broker is being drained");
        step->done++;
    }
}

/* What the kernel has accepted for us and nobody has seen is refused like what comes now. Sockets
 * that somebody else holds, too, keep who connects for the broker that follows. */
static void refuse_new(void)
{
    struct broker *broker = drain.broker;
    struct errand errand = {.run = close_listeners};
    for (unsigned i = 0; i < broker->worker_count; i++)
        errand_send(&broker->workers[i], &errand);
    for (unsigned i = 0; i < broker->listener_count; i++) {
        if (!broker->listeners[i].inherited)
            shutdown(broker->listeners[i].fd, SHUT_RDWR);
    }
}

static uint64_t connections(const struct broker *broker)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < broker->listener_count; i++)
        count += atomic_load_explicit(&broker->listeners[i].connections, memory_order_relaxed);
    return count;
}

/* Up to `wanted`, by all workers together. */
static void step(uint64_t wanted)
{
    static unsigned first; /* not always the same worker's clients */
    struct step step = {.errand = {.run = send_some_away}, .wanted = wanted};
    if (!verb_begin())
        return; /* a worker hangs: it goes on at the next step */
    first++;
    for (unsigned i = 0; i < drain.broker->worker_count; i++)
        errand_send(&drain.broker->workers[(first + i) % drain.broker->worker_count], &step.errand);
    verb_end();
}

/* False: the process stops. */
static bool pause_until(struct timespec *until)
{
    until->tv_nsec += STEP_MS * 1000000L;
    if (until->tv_nsec >= 1000000000L) {
        until->tv_sec++;
        until->tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&drain.mutex);
    while (!drain.ending &&
           pthread_cond_clockwait(&drain.changed, &drain.mutex, CLOCK_MONOTONIC, until) == 0)
        continue;
    bool goes_on = !drain.ending;
    pthread_mutex_unlock(&drain.mutex);
    return goes_on;
}

static void *run(void *argument)
{
    (void)argument;
    struct timespec until;
    uint64_t due = 0; /* in steps' parts of a client */
    memory_begin_thread();
    clock_gettime(CLOCK_MONOTONIC, &until);
    while (connections(drain.broker) > 0) {
        due += drain.rate;
#ifdef SEEDED_BUG_DRAINED_AT_ONCE
        due = UINT32_MAX;
#endif
        step(due / STEPS_A_SECOND);
        due %= STEPS_A_SECOND;
        if (!pause_until(&until))
            return NULL;
    }
    log_line(LOG_NOTICE, "drained: nobody is connected");
    kill(getpid(), SIGTERM);
    return NULL;
}

static bool parse_reason(struct verb_call *call, uint8_t *out)
{
    struct bytes reason;
    if (!verb_text(call, "reason", false, &reason))
        return false;
    *out = REASON_SERVER_SHUTTING_DOWN;
    if (reason.size == 0 || bytes_equal(reason, bytes_of_text("shutting_down")))
        return true;
    *out = REASON_USE_ANOTHER_SERVER;
    return bytes_equal(reason, bytes_of_text("use_another_server")) ||
           verb_refuse(call, 400, "\"reason\" is shutting_down or use_another_server");
}

void drain_begin(struct verb_call *call)
{
    uint64_t rate;
    uint8_t reason;
    if (!verb_number(call, "rate", 1, RATE_MAX, RATE_DEFAULT, &rate) ||
        !parse_reason(call, &reason))
        return;
    if (drain.begun) {
        verb_refuse(call, 409, "it is being drained already");
        return;
    }
    drain.broker = call->broker;
    drain.rate = rate;
    drain.reason = reason;
    uint64_t clients = connections(call->broker);
    log_line(LOG_NOTICE, "drain: %llu connections, %llu a second", (unsigned long long)clients,
             (unsigned long long)rate);
    refuse_new();
    if (pthread_create(&drain.thread, NULL, run, NULL) != 0) {
        verb_refuse(call, 503, "there is no thread to do it");
        return;
    }
    pthread_setname_np(drain.thread, "drain");
    drain.begun = true;
    call->code = 202;
    call->result =
        json_pack("{s:I, s:I}", "connections", (json_int_t)clients, "rate", (json_int_t)rate);
}

void drain_end(void)
{
    if (!drain.begun)
        return;
    pthread_mutex_lock(&drain.mutex);
    drain.ending = true;
    pthread_cond_signal(&drain.changed);
    pthread_mutex_unlock(&drain.mutex);
    pthread_join(drain.thread, NULL);
}
