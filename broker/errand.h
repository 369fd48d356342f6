/* Something to be done on a worker's thread, between two turns, for a thread that is no worker's.
 */
#ifndef BROKER_ERRAND_H
#define BROKER_ERRAND_H

#include <pthread.h>
#include <stdbool.h>

struct worker;

struct errand {
    void (*run)(struct worker *worker, struct errand *errand);
    pthread_mutex_t mutex;
    pthread_cond_t done_cond;
    bool done; /* under the mutex */
};

/* Has it run and returns when it has. While the workers run; by one thread at a time. */
void errand_send(struct worker *worker, struct errand *errand);
/* The worker: runs what has been sent. */
void errand_run_all(struct worker *worker);

#endif
