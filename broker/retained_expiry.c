#include "broker/retained_expiry.h"

#include "broker/worker.h"

/* At most a millisecond or two at a time; a million topics are looked at in half a minute. */
enum { SLICE_MS = 100, IDLE_MS = 1000, SLICE_PLACES = 16384 };

static void removed(void *context, const struct message *message)
{
    store_batch_retained_expire(worker_batch(context), message->stored.topic,
                                message->stored.number);
}

static void slice(struct worker *worker, struct worker_timer *timer)
{
    struct retained *retained = worker->broker->retained;
#ifndef SEEDED_BUG_RETAINED_STAYS
    if (retained_expiring(retained) > 0)
        retained_expire(retained, &worker->retained_cursor, SLICE_PLACES, worker->store_now_ms,
                        removed, worker);
#endif
    worker_timer_set(worker, timer,
                     worker->now_ms + (retained_expiring(retained) > 0 ? SLICE_MS : IDLE_MS));
}

void retained_expiry_start(struct worker *worker)
{
    worker_timer_init(&worker->retained_timer, slice);
    worker_timer_set(worker, &worker->retained_timer, worker->now_ms);
}
