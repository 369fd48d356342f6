#include "conformance/runner/busy.h"

#include <pthread.h>
#include <time.h>

#include "conformance/harness/case.h"

enum { WAKE_EVERY_MS = 20, NOTES_MAX = 1024 };

/* The latest late wake-ups, in a ring. */
static struct {
    uint64_t due_ms, came_ms;
} notes[NOTES_MAX];
static unsigned note_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static pthread_t thread;
static pthread_cond_t stopped;
static bool running;

void busy_note(uint64_t due_ms, uint64_t came_ms)
{
    if (came_ms < due_ms + BUSY_LATE_MS)
        return;
    pthread_mutex_lock(&mutex);
    notes[note_count % NOTES_MAX].due_ms = due_ms;
    notes[note_count % NOTES_MAX].came_ms = came_ms;
    note_count++;
    pthread_mutex_unlock(&mutex);
}

void busy_forget(void)
{
    pthread_mutex_lock(&mutex);
    note_count = 0;
    pthread_mutex_unlock(&mutex);
}

bool busy_between(uint64_t from_ms, uint64_t to_ms)
{
    bool busy = false;
    pthread_mutex_lock(&mutex);
    unsigned kept = note_count < NOTES_MAX ? note_count : NOTES_MAX;
    for (unsigned i = 0; i < kept && !busy; i++)
        busy = notes[i].due_ms <= to_ms && notes[i].came_ms >= from_ms;
    pthread_mutex_unlock(&mutex);
    return busy;
}

/* True when it is time to end. */
static bool doze(uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000L};
    pthread_mutex_lock(&mutex);
    int status = 0;
    while (running && status == 0)
        status = pthread_cond_timedwait(&stopped, &mutex, &until);
    bool end = !running;
    pthread_mutex_unlock(&mutex);
    return end;
}

static void *watch(void *unused)
{
    for (;;) {
        uint64_t due_ms = clock_ms() + WAKE_EVERY_MS;
        if (doze(due_ms))
            return NULL;
        busy_note(due_ms, clock_ms());
    }
}

void busy_watch_start(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_lock(&mutex);
    running = pthread_create(&thread, NULL, watch, NULL) == 0;
    pthread_mutex_unlock(&mutex);
}

void busy_watch_stop(void)
{
    pthread_mutex_lock(&mutex);
    bool joins = running;
    running = false;
    if (joins)
        pthread_cond_signal(&stopped);
    pthread_mutex_unlock(&mutex);
    if (joins)
        pthread_join(thread, NULL);
    pthread_cond_destroy(&stopped);
}
