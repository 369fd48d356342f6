/* routing/reclaim.h without a thread: what is deferred is released by the scheduler, at any time
 * after each reader that was online has let go. */
#include "routing/reclaim.h"

#include <stdlib.h>

#include "base/check.h"
#include "sim/reclaim.h"
#include "sim/task.h"

struct deferred {
    void (*release)(void *pointer);
    void *pointer;
    uint64_t number;
    struct deferred *next;
};

static struct {
    struct {
        bool registered, online;
        uint64_t seen; /* the last deferred before it let go */
    } readers[TASKS_MAX];
    struct deferred *first, **last;
    uint64_t number;
} reclaim = {.last = &reclaim.first};

void reclaim_thread_register(void)
{
    unsigned self = task_current();
    CHECK(!reclaim.readers[self].registered);
    reclaim.readers[self].registered = true;
    reclaim.readers[self].online = true;
    reclaim.readers[self].seen = reclaim.number;
}

void reclaim_thread_unregister(void)
{
    unsigned self = task_current();
    CHECK(reclaim.readers[self].registered);
    reclaim.readers[self].registered = reclaim.readers[self].online = false;
}

void reclaim_offline(void)
{
    unsigned self = task_current();
    CHECK(reclaim.readers[self].online);
    reclaim.readers[self].online = false;
}

void reclaim_online(void)
{
    unsigned self = task_current();
    CHECK(reclaim.readers[self].registered && !reclaim.readers[self].online);
    reclaim.readers[self].online = true;
    reclaim.readers[self].seen = reclaim.number;
}

void reclaim_quiescent(void)
{
    unsigned self = task_current();
    CHECK(reclaim.readers[self].online);
    reclaim.readers[self].seen = reclaim.number;
}

void reclaim_defer(void (*release)(void *pointer), void *pointer)
{
    struct deferred *deferred = malloc(sizeof *deferred);
    CHECK(deferred != NULL);
    *deferred = (struct deferred){release, pointer, ++reclaim.number, NULL};
    *reclaim.last = deferred;
    reclaim.last = &deferred->next;
}

void reclaim_barrier(void)
{
    bool was_online = reclaim.readers[task_current()].online;
    if (was_online)
        reclaim_offline();
    for (uint64_t until = reclaim.number; reclaim.first != NULL && reclaim.first->number <= until;)
        task_sleep(10);
    if (was_online)
        reclaim_online();
}

bool reclaim_step(void)
{
    struct deferred *first = reclaim.first;
    if (first == NULL)
        return false;
    for (unsigned i = 0; i < TASKS_MAX; i++) {
        if (reclaim.readers[i].online && reclaim.readers[i].seen < first->number)
            return false;
    }
    reclaim.first = first->next;
    if (reclaim.first == NULL)
        reclaim.last = &reclaim.first;
    first->release(first->pointer);
    free(first);
    return true;
}

void reclaim_crash(void)
{
    for (unsigned i = 0; i < TASKS_MAX; i++)
        reclaim.readers[i].registered = reclaim.readers[i].online = false;
    reclaim.first = NULL;
    reclaim.last = &reclaim.first;
}
