#include "routing/reclaim.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Without _LGPL_SOURCE: liburcu's code is called, not inlined into ours. */
#include <urcu/urcu-qsbr.h>

#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"

/* ThreadSanitizer does not see liburcu's synchronisation. Two edges are told to it: a batch's
 * content reaches the reclaiming thread, and each reader's last look at the memory comes before. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RECLAIM_TSAN
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define RECLAIM_TSAN
#endif
#ifdef RECLAIM_TSAN
#include <sanitizer/tsan_interface.h>
#define TSAN_ACQUIRE(address) __tsan_acquire(address)
#define TSAN_RELEASE(address) __tsan_release(address)
#else
#define TSAN_ACQUIRE(address) (void)(address)
#define TSAN_RELEASE(address) (void)(address)
#endif

enum { BATCH_CAPACITY = 62 }; /* a batch is 1 KiB */

struct deferred {
    void (*release)(void *pointer);
    void *pointer;
};

struct batch {
    struct rcu_head head;
    uint32_t count;
    sem_t *done; /* a barrier waits for it */
    struct deferred deferred[BATCH_CAPACITY];
};

static _Thread_local struct {
    bool registered;
    bool online;
    struct batch *batch; /* not given to liburcu yet */
} self;

static char readers; /* stands for all readers' quiescent states */

static pthread_once_t started = PTHREAD_ONCE_INIT;

static void begin(struct rcu_head *head)
{
    (void)head;
    memory_begin_thread();
}

/* liburcu starts its thread on first use, with the signal mask of whoever comes first. The first
 * thing that it does is ours. */
static void start(void)
{
    static struct rcu_head first;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct call_rcu_data *reclaiming = urcu_qsbr_get_default_call_rcu_data();
    CHECK(reclaiming != NULL);
    pthread_setname_np(urcu_qsbr_get_call_rcu_thread(reclaiming), "reclaim");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    urcu_qsbr_call_rcu(&first, begin);
}

static void run(struct rcu_head *head)
{
    struct batch *batch = CONTAINER_OF(head, struct batch, head);
    TSAN_ACQUIRE(batch);
    TSAN_ACQUIRE(&readers);
    for (uint32_t i = 0; i < batch->count; i++)
        batch->deferred[i].release(batch->deferred[i].pointer);
    if (batch->done != NULL)
        sem_post(batch->done);
    free(batch);
}

static void flush(void)
{
    struct batch *batch = self.batch;
    if (batch == NULL)
        return;
    self.batch = NULL;
    pthread_once(&started, start);
    TSAN_RELEASE(batch);
    urcu_qsbr_call_rcu(&batch->head, run);
}

static struct batch *batch_of_self(void)
{
    if (self.batch == NULL) {
        self.batch = malloc(sizeof *self.batch);
        if (self.batch != NULL) {
            self.batch->count = 0;
            self.batch->done = NULL;
        }
    }
    return self.batch;
}

void reclaim_thread_register(void)
{
    CHECK(!self.registered);
    pthread_once(&started, start);
    urcu_qsbr_register_thread();
    self.registered = true;
    self.online = true;
}

void reclaim_thread_unregister(void)
{
    CHECK(self.registered);
    flush();
    TSAN_RELEASE(&readers);
    urcu_qsbr_unregister_thread();
    self.registered = false;
    self.online = false;
}

void reclaim_offline(void)
{
    CHECK(self.online);
    flush();
    TSAN_RELEASE(&readers);
    urcu_qsbr_thread_offline();
    self.online = false;
}

void reclaim_online(void)
{
    CHECK(self.registered && !self.online);
    urcu_qsbr_thread_online();
    self.online = true;
}

void reclaim_quiescent(void)
{
    CHECK(self.online);
    flush();
    TSAN_RELEASE(&readers);
    urcu_qsbr_quiescent_state();
}

void reclaim_defer(void (*release)(void *pointer), void *pointer)
{
    struct batch *batch = batch_of_self();
    if (batch == NULL) {
        log_line(LOG_ERROR,
                 "out of memory: freeing memory failed for lack of memory, some is lost");
        return;
    }
    batch->deferred[batch->count++] = (struct deferred){release, pointer};
    if (batch->count == BATCH_CAPACITY || !self.online)
        flush();
}

void reclaim_barrier(void)
{
    sem_t done;
    bool was_online = self.online;
    flush();
    if (was_online)
        reclaim_offline();
    CHECK(sem_init(&done, 0, 0) == 0);
    /* liburcu's one default thread runs batches in the order in which they were given to it. */
    struct batch *batch = batch_of_self();
    CHECK(batch != NULL);
    batch->done = &done;
    flush();
    while (sem_wait(&done) != 0)
        ; /* EINTR */
    sem_destroy(&done);
    if (was_online)
        reclaim_online();
}
