/* The phase in which the server is restarted or killed: all cases that run meet, the server goes
 * down and comes up once, all go on.
 *
 * Threads: members wait in their own threads; the outage is made in one of the phase's own. */
#ifndef CONFORMANCE_OUTAGE_H
#define CONFORMANCE_OUTAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conformance/harness/case.h"

enum { OUTAGE_ERROR_SIZE = 1024 };

/* Takes the server down and brings it up; false and a sentence if it did not work. */
typedef bool outage_maker(void *context, enum outage kind, char error[OUTAGE_ERROR_SIZE]);

struct outage_phase {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    outage_maker *make;
    void *context;
    unsigned threads, unended; /* so many can run at a time; so many have not left */
    unsigned waiting[OUTAGE_KILL + 1];
    unsigned made; /* outages so far */
    bool ending;
    char error[OUTAGE_ERROR_SIZE]; /* of the last outage; "" */
};

/* A case in the phase. Zeroed: in none. */
struct outage_member {
    struct outage_phase *phase;
    bool left;
    atomic_uint_fast64_t paused_since_ms, paused_ms; /* time that is not the case's own */
    char error[OUTAGE_ERROR_SIZE];                   /* why an outage did not happen; "" */
};

/* `members` cases will enter and leave, `threads` of them at a time. False: no thread. */
bool outage_begin(struct outage_phase *phase, unsigned members, unsigned threads,
                  outage_maker *make, void *context);
/* When all have left. */
void outage_end(struct outage_phase *phase);

/* Fewer threads than thought can run. */
void outage_set_threads(struct outage_phase *phase, unsigned threads);

void outage_enter(struct outage_phase *phase, struct outage_member *member);
/* The case has ended, or is not waited for any more. Again does nothing. */
void outage_leave(struct outage_member *member);

/* For run_settings.outage: blocks until the server is back. `member` is a struct outage_member. */
void outage_wait(void *member, enum outage kind);

/* How long the case has been waiting in outages, up to now. */
uint64_t outage_paused_ms(struct outage_member *member);

#endif
