#include "conformance/runner/outage.h"

#include <stdio.h>
#include <string.h>

static unsigned waiting_of(const struct outage_phase *phase)
{
    return phase->waiting[OUTAGE_RESTART] + phase->waiting[OUTAGE_KILL];
}

/* Whether everyone who can come has come. Those that there is no thread for yet meet later. */
static bool is_complete(const struct outage_phase *phase)
{
    unsigned expected = phase->threads < phase->unended ? phase->threads : phase->unended;
    return waiting_of(phase) > 0 && waiting_of(phase) >= expected;
}

static void make_outage(struct outage_phase *phase)
{
    bool wanted[OUTAGE_KILL + 1] = {
        [OUTAGE_RESTART] = phase->waiting[OUTAGE_RESTART] > 0,
        [OUTAGE_KILL] = phase->waiting[OUTAGE_KILL] > 0,
    };
    char error[OUTAGE_ERROR_SIZE] = "";
    pthread_mutex_unlock(&phase->mutex);
    for (enum outage kind = OUTAGE_RESTART; kind <= OUTAGE_KILL; kind++) {
        if (wanted[kind] && !phase->make(phase->context, kind, error))
            break;
    }
    pthread_mutex_lock(&phase->mutex);
    memcpy(phase->error, error, sizeof error);
    memset(phase->waiting, 0, sizeof phase->waiting);
    phase->made++;
    pthread_cond_broadcast(&phase->changed);
}

static void *make_outages(void *argument)
{
    struct outage_phase *phase = argument;
    pthread_mutex_lock(&phase->mutex);
    while (!phase->ending) {
        if (is_complete(phase))
            make_outage(phase);
        else
            pthread_cond_wait(&phase->changed, &phase->mutex);
    }
    pthread_mutex_unlock(&phase->mutex);
    return NULL;
}

bool outage_begin(struct outage_phase *phase, unsigned members, unsigned threads,
                  outage_maker *make, void *context)
{
    *phase = (struct outage_phase){
        .make = make, .context = context, .unended = members, .threads = threads};
    pthread_mutex_init(&phase->mutex, NULL);
    pthread_cond_init(&phase->changed, NULL);
    return pthread_create(&phase->thread, NULL, make_outages, phase) == 0;
}

void outage_end(struct outage_phase *phase)
{
    pthread_mutex_lock(&phase->mutex);
    phase->ending = true;
    pthread_cond_broadcast(&phase->changed);
    pthread_mutex_unlock(&phase->mutex);
    pthread_join(phase->thread, NULL);
    pthread_cond_destroy(&phase->changed);
    pthread_mutex_destroy(&phase->mutex);
}

void outage_set_threads(struct outage_phase *phase, unsigned threads)
{
    pthread_mutex_lock(&phase->mutex);
    phase->threads = threads;
    pthread_cond_broadcast(&phase->changed);
    pthread_mutex_unlock(&phase->mutex);
}

void outage_enter(struct outage_phase *phase, struct outage_member *member)
{
    *member = (struct outage_member){.phase = phase};
}

void outage_leave(struct outage_member *member)
{
    struct outage_phase *phase = member->phase;
    pthread_mutex_lock(&phase->mutex);
    if (!member->left) {
        member->left = true;
        phase->unended--;
        pthread_cond_broadcast(&phase->changed);
    }
    pthread_mutex_unlock(&phase->mutex);
}

void outage_wait(void *argument, enum outage kind)
{
    struct outage_member *member = argument;
    struct outage_phase *phase = member->phase;
    uint64_t since_ms = clock_ms();
    pthread_mutex_lock(&phase->mutex);
    if (!member->left) {
        unsigned before = phase->made;
        atomic_store(&member->paused_since_ms, since_ms);
        phase->waiting[kind]++;
        pthread_cond_broadcast(&phase->changed);
        while (phase->made == before)
            pthread_cond_wait(&phase->changed, &phase->mutex);
        if (phase->error[0])
            memcpy(member->error, phase->error, sizeof member->error);
        atomic_fetch_add(&member->paused_ms, clock_ms() - since_ms);
        atomic_store(&member->paused_since_ms, 0);
    }
    pthread_mutex_unlock(&phase->mutex);
}

uint64_t outage_paused_ms(struct outage_member *member)
{
    uint64_t since_ms = atomic_load(&member->paused_since_ms);
    uint64_t now_ms = clock_ms();
    return atomic_load(&member->paused_ms) + (since_ms ? now_ms - since_ms : 0);
}
