#include "authentication/verifier.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct verifier {
    pthread_mutex_t mutex; /* of all that follows, `done` excepted */
    pthread_cond_t wanted;
    struct verification *first, **last;
    size_t count, capacity;
    bool stopping;
    void (*done)(struct verification *verification);
    unsigned thread_count;
    pthread_t threads[];
};

/* The oldest; waits for one. NULL: it is time to end. */
static struct verification *take(struct verifier *verifier)
{
    pthread_mutex_lock(&verifier->mutex);
    while (verifier->first == NULL && !verifier->stopping)
        pthread_cond_wait(&verifier->wanted, &verifier->mutex);
    struct verification *verification = verifier->first;
    if (verification != NULL) {
        verifier->first = verification->next;
        if (verifier->first == NULL)
            verifier->last = &verifier->first;
        verifier->count--;
        if (verifier->stopping)
            atomic_store(&verification->abandoned, true);
    }
    pthread_mutex_unlock(&verifier->mutex);
    return verification;
}

static void *run(void *argument)
{
    struct verifier *verifier = argument;
    memory_begin_thread();
    for (struct verification *verification; (verification = take(verifier)) != NULL;) {
        struct bytes password = bytes_of(verification->password, verification->password_size);
        verification->matches = !atomic_load(&verification->abandoned) &&
                                password_matches(verification->hash, password);
        if (verification->password_size > 0)
            explicit_bzero(verification->password, verification->password_size);
        verifier->done(verification);
    }
    return NULL;
}

struct verifier *verifier_new(unsigned threads, size_t capacity,
                              void (*done)(struct verification *verification))
{
    struct verifier *verifier = calloc(1, sizeof *verifier + threads * sizeof(pthread_t));
    if (verifier == NULL)
        return NULL;
    pthread_mutex_init(&verifier->mutex, NULL);
    pthread_cond_init(&verifier->wanted, NULL);
    verifier->last = &verifier->first;
    verifier->capacity = capacity;
    verifier->done = done;
    while (verifier->thread_count < threads &&
           pthread_create(&verifier->threads[verifier->thread_count], NULL, run, verifier) == 0)
        verifier->thread_count++;
    if (verifier->thread_count == threads)
        return verifier;
    verifier_free(verifier);
    return NULL;
}

bool verifier_submit(struct verifier *verifier, struct verification *verification)
{
    pthread_mutex_lock(&verifier->mutex);
    bool fits = verifier->count < verifier->capacity;
    if (fits) {
        verification->next = NULL;
        *verifier->last = verification;
        verifier->last = &verification->next;
        verifier->count++;
        pthread_cond_signal(&verifier->wanted);
    }
    pthread_mutex_unlock(&verifier->mutex);
    return fits;
}

void verifier_free(struct verifier *verifier)
{
    if (verifier == NULL)
        return;
    pthread_mutex_lock(&verifier->mutex);
    verifier->stopping = true;
    pthread_cond_broadcast(&verifier->wanted);
    pthread_mutex_unlock(&verifier->mutex);
    for (unsigned i = 0; i < verifier->thread_count; i++)
        pthread_join(verifier->threads[i], NULL);
    pthread_cond_destroy(&verifier->wanted);
    pthread_mutex_destroy(&verifier->mutex);
    free(verifier);
}
