/* What a running broker knows of one session, and of one topic for it, in sentences.
 *
 * Run on the worker's thread, by errand_send(). It reads and changes nothing. */
#ifndef ADMIN_WHY_H
#define ADMIN_WHY_H

#include "base/bytes.h"
#include "broker/errand.h"
#include "broker/worker.h"

struct why {
    struct errand errand;
    struct bytes client, topic; /* borrowed; no topic: the session as a whole */
    struct bytes shared;        /* why_others(): the Topic Filter of a shared subscription */
    struct buffer answer;       /* sentences, each with '\n' behind it */
    struct buffer found_shared; /* why_session(): that filter, if one matches */
};

/* As `errand.run`. On the home of the session. */
void why_session(struct worker *worker, struct errand *errand);
/* On each worker: which of its sessions got a message of the topic by the shared subscription. */
void why_others(struct worker *worker, struct errand *errand);

void why_fini(struct why *why);

#endif
