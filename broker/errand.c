#include "broker/errand.h"

#include "base/check.h"
#include "broker/worker.h"

void errand_send(struct worker *worker, struct errand *errand)
{
    pthread_mutex_init(&errand->mutex, NULL);
    pthread_cond_init(&errand->done_cond, NULL);
    errand->done = false;
    bool posted = mailbox_post(worker->errands, errand);
    CHECK(posted); /* there is one at a time */
    worker_wake(worker);
    pthread_mutex_lock(&errand->mutex);
    while (!errand->done)
        pthread_cond_wait(&errand->done_cond, &errand->mutex);
    pthread_mutex_unlock(&errand->mutex);
    pthread_cond_destroy(&errand->done_cond);
    pthread_mutex_destroy(&errand->mutex);
}

void errand_run_all(struct worker *worker)
{
    for (struct errand *errand; (errand = mailbox_take(worker->errands)) != NULL;) {
        errand->run(worker, errand);
        pthread_mutex_lock(&errand->mutex);
        errand->done = true;
        pthread_cond_signal(&errand->done_cond);
        pthread_mutex_unlock(&errand->mutex); /* it may be gone now */
    }
}
