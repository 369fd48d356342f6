#include "conformance/net/address.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Shared by the one who asks and the thread that waits for the resolver; the last one frees it. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    char *host, *port;
    bool done, abandoned;
    int code;
    struct addrinfo *list;
};

static struct question *question_new(const char *host, const char *port)
{
    struct question *question = calloc(1, sizeof *question);
    pthread_condattr_t attributes;
    if (!question)
        abort();
    pthread_mutex_init(&question->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&question->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    question->host = strdup(host);
    question->port = strdup(port);
    if (!question->host || !question->port)
        abort();
    return question;
}

static void question_free(struct question *question)
{
    if (question->list)
        freeaddrinfo(question->list);
    pthread_cond_destroy(&question->answered);
    pthread_mutex_destroy(&question->lock);
    free(question->host);
    free(question->port);
    free(question);
}

static void *ask(void *context)
{
    struct question *question = context;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(question->host, question->port, &hints, &list);
    if (code == EAI_NONAME || code == EAI_ADDRFAMILY || code == EAI_NODATA) {
        hints.ai_flags = 0; /* a machine that has nothing but its loopback */
        code = getaddrinfo(question->host, question->port, &hints, &list);
    }
    pthread_mutex_lock(&question->lock);
    question->done = true;
    question->code = code;
    question->list = code ? NULL : list;
    bool abandoned = question->abandoned;
    pthread_cond_signal(&question->answered);
    pthread_mutex_unlock(&question->lock);
    if (abandoned)
        question_free(question);
    return NULL;
}

/* Whether there is an answer by the deadline; else the question is the thread's alone. */
static bool await_answer(struct question *question, uint64_t deadline_ms)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    int result = 0;
    pthread_mutex_lock(&question->lock);
    while (!question->done && result == 0)
        result = pthread_cond_timedwait(&question->answered, &question->lock, &deadline);
    bool done = question->done;
    question->abandoned = !done;
    pthread_mutex_unlock(&question->lock);
    return done;
}

struct addrinfo *address_resolve(const char *host, const char *port, uint64_t deadline_ms,
                                 char *error, size_t error_size)
{
    struct question *question = question_new(host, port);
    pthread_t thread;
    if (pthread_create(&thread, NULL, ask, question) != 0) {
        snprintf(error, error_size, "%s port %s: no thread to look it up", host, port);
        question_free(question);
        return NULL;
    }
    pthread_detach(thread);
    if (!await_answer(question, deadline_ms)) {
        snprintf(error, error_size, "%s port %s: the name was not resolved in time", host, port);
        return NULL;
    }
    struct addrinfo *list = question->list;
    question->list = NULL;
    if (!list)
        snprintf(error, error_size, "%s port %s: %s", host, port, gai_strerror(question->code));
    question_free(question);
    return list;
}

void address_free(struct addrinfo *addresses)
{
    freeaddrinfo(addresses);
}
