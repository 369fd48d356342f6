#include "admin/asker.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>

/* JSON nests as deep as it is asked to: up to 2048 calls of jansson's. */
enum { STACK_SIZE = 4 * 1024 * 1024 };

struct asker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct asker_job *first, **last; /* under the mutex, as what follows */
    bool closing;
};

static void *run(void *argument)
{
    struct asker *asker = argument;
    memory_begin_thread();
    pthread_mutex_lock(&asker->mutex);
    for (;;) {
        struct asker_job *job = asker->first;
        if (job == NULL && asker->closing)
            break;
        if (job == NULL) {
            pthread_cond_wait(&asker->changed, &asker->mutex);
            continue;
        }
        asker->first = job->next;
        if (asker->first == NULL)
            asker->last = &asker->first;
        bool stopping = asker->closing;
        pthread_mutex_unlock(&asker->mutex);
        job->run(job, stopping);
        pthread_mutex_lock(&asker->mutex);
    }
    pthread_mutex_unlock(&asker->mutex);
    return NULL;
}

enum status asker_open(struct asker **out)
{
    pthread_attr_t attributes;
    *out = NULL;
    struct asker *asker = calloc(1, sizeof *asker);
    if (asker == NULL)
        return STATUS_NO_MEMORY;
    asker->last = &asker->first;
    pthread_mutex_init(&asker->mutex, NULL);
    pthread_cond_init(&asker->changed, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    int failure = pthread_create(&asker->thread, &attributes, run, asker);
    pthread_attr_destroy(&attributes);
    if (failure != 0) {
        free(asker);
        return STATUS_NO_MEMORY;
    }
    pthread_setname_np(asker->thread, "admin-asker");
    *out = asker;
    return STATUS_OK;
}

bool asker_ask(struct asker *asker, struct asker_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&asker->mutex);
    bool takes = !asker->closing;
    if (takes) {
        *asker->last = job;
        asker->last = &job->next;
        pthread_cond_signal(&asker->changed);
    }
    pthread_mutex_unlock(&asker->mutex);
    return takes;
}

void asker_stop(struct asker *asker)
{
    pthread_mutex_lock(&asker->mutex);
    asker->closing = true;
    pthread_cond_signal(&asker->changed);
    pthread_mutex_unlock(&asker->mutex);
    pthread_join(asker->thread, NULL);
}

void asker_free(struct asker *asker)
{
    pthread_cond_destroy(&asker->changed);
    pthread_mutex_destroy(&asker->mutex);
    free(asker);
}
