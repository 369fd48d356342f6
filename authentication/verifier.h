/* Threads that try passwords, so that no worker stands still for it: a hash takes some 20 ms.
 *
 * The queue is bounded and first come, first served. What does not fit is refused at once: a longer
 * queue would only do work for peers whose time is over when it comes to them. */
#ifndef AUTHENTICATION_VERIFIER_H
#define AUTHENTICATION_VERIFIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authentication/password.h"
#include "base/bytes.h"

/* One password to be tried against one hash. Embedded in something larger. */
struct verification {
    struct verification *next; /* in the queue; afterwards its owner's */
    _Atomic bool abandoned;    /* nobody waits for the outcome: it need not be tried */
    bool matches;              /* the outcome */
    char hash[PASSWORD_HASH_SIZE];
    size_t password_size;
    uint8_t *password; /* the owner's memory; wiped when it was tried, or is not going to be */
};

struct verifier;

/* `done` is called on one of the threads, for each that was submitted, once; it takes the
 * verification back. NULL when there is no memory, or no thread can be had. */
struct verifier *verifier_new(unsigned threads, size_t capacity,
                              void (*done)(struct verification *verification));
/* Any thread. Takes the verification. False: there is no room; it is the caller's still. */
bool verifier_submit(struct verifier *verifier, struct verification *verification);
/* Gives back what is in the queue, untried, and ends the threads. */
void verifier_free(struct verifier *verifier); /* or NULL */

#endif
