/* The broker as a service of systemd (sd_notify(3), Type=notify): says when it serves, reloads and
 * stops, and feeds the watchdog as long as every worker's loop goes round. Where nobody asks for
 * that ($NOTIFY_SOCKET, $WATCHDOG_USEC), nothing is said. The main thread. */
#ifndef ADMIN_SERVICE_H
#define ADMIN_SERVICE_H

#include <signal.h>

#include "broker/broker.h"

struct service {
    struct broker *broker;
    uint64_t interval_us;        /* between two looks; 0: there is no watchdog */
    uint64_t look_ms;            /* the next one, boot clock; UINT64_MAX: never */
    uint64_t turns[WORKERS_MAX]; /* of each worker's loop, at the last look */
};

void service_init(struct service *service, struct broker *broker);

void service_ready(void);
void service_reloading(void); /* service_ready() follows, whatever came of it */
void service_stopping(void);

/* Waits for one of these signals, and looks after the watchdog meanwhile. Returns the signal, or 0
 * when `limit_ms` have passed (0: no limit). */
int service_await(struct service *service, const sigset_t *signals, uint64_t limit_ms);

/* Whether every worker has finished a turn since the last look, and wakes each for the next. */
bool service_looks_alive(struct service *service);

#endif
