/* A thread that asks workers for others who must not wait for them. What it is given it does one
 * after the other. */
#ifndef ADMIN_ASKER_H
#define ADMIN_ASKER_H

#include <stdbool.h>

#include "base/status.h"

struct asker;

struct asker_job {
    /* On the asker's thread. `stopping`: there is no time to do it; its end is told all the same.
     */
    void (*run)(struct asker_job *job, bool stopping);
    struct asker_job *next;
};

enum status MUST_USE asker_open(struct asker **out);
/* Any thread; the job is the asker's until it has run. False: it has been stopped. */
bool MUST_USE asker_ask(struct asker *asker, struct asker_job *job);
/* Ends what is begun, tells the others that they are not done, and takes no more. */
void asker_stop(struct asker *asker);
void asker_free(struct asker *asker /* takes */);

#endif
