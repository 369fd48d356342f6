#include "admin/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "broker/worker.h"

static void say(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd < 0 ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        log_line(LOG_WARNING, "systemd cannot be told \"%.*s\": %s", (int)strcspn(state, "\n"),
                 state, strerror(errno));
    if (fd >= 0)
        close(fd);
}

void service_ready(void)
{
    say("READY=1\nSTATUS=serving");
}

void service_reloading(void)
{
    struct timespec now;
    char state[80];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    say(state);
}

void service_stopping(void)
{
    say("STOPPING=1\nSTATUS=what is acknowledged goes to disk");
}

/* ---- The watchdog ---- */

static uint64_t turns_of(const struct worker *worker)
{
    struct distribution_reading reading = {0};
    uint64_t turns = 0;
    distribution_read(&worker->counters.turn_us, &reading);
    for (unsigned i = 0; i <= DISTRIBUTION_BOUNDS; i++)
        turns += reading.counts[i];
    return turns;
}

bool service_looks_alive(struct service *service)
{
    bool alive = true;
    for (unsigned i = 0; i < service->broker->worker_count; i++) {
        struct worker *worker = &service->broker->workers[i];
        uint64_t turns = turns_of(worker);
        if (turns == service->turns[i]) {
            alive = false;
            log_line(LOG_WARNING,
                     "worker %u has not finished a turn for %" PRIu64
                     " ms: the watchdog is not fed",
                     i, service->interval_us / 1000);
        }
        service->turns[i] = turns;
        worker_wake(worker); /* one that has nothing to do would sleep */
    }
#ifdef SEEDED_BUG_WATCHDOG_BLIND
    return true;
#endif
    return alive;
}

/* A third of what is asked for: a look may come between two turns, and the next is in time. Only if
 * it is meant for this process. */
static uint64_t watchdog_interval_us(void)
{
    const char *asked = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (asked == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    return strtoull(asked, NULL, 10) / 3;
}

void service_init(struct service *service, struct broker *broker)
{
    *service = (struct service){
        .broker = broker, .interval_us = watchdog_interval_us(), .look_ms = UINT64_MAX};
    if (service->interval_us > 0)
        service->look_ms = broker_clock_ms() + service->interval_us / 1000;
    for (unsigned i = 0; i < broker->worker_count; i++)
        worker_wake(&broker->workers[i]);
}

static void look(struct service *service, uint64_t now_ms)
{
    if (service->interval_us == 0 || now_ms < service->look_ms)
        return;
    if (service_looks_alive(service))
        say("WATCHDOG=1");
    service->look_ms = now_ms + service->interval_us / 1000;
}

int service_await(struct service *service, const sigset_t *signals, uint64_t limit_ms)
{
    uint64_t now_ms = broker_clock_ms();
    uint64_t end_ms = limit_ms > 0 ? now_ms + limit_ms : UINT64_MAX;
    while (now_ms < end_ms) {
        uint64_t next_ms = service->look_ms < end_ms ? service->look_ms : end_ms;
        if (next_ms > now_ms + LOG_WINDOW_MS)
            next_ms = now_ms + LOG_WINDOW_MS;
        uint64_t wait_ms = next_ms > now_ms ? next_ms - now_ms : 0;
        const struct timespec wait = {.tv_sec = (time_t)(wait_ms / 1000),
                                      .tv_nsec = (long)(wait_ms % 1000 * 1000000)};
        int got = sigtimedwait(signals, NULL, &wait);
        if (got > 0)
            return got;
        now_ms = broker_clock_ms();
        look(service, now_ms);
        log_say_left_out(false);
    }
    return 0;
}
