/* Emptying the broker before it stops, so that a fleet does not come back all at once: no new
 * connection is accepted, and those that are there are closed at a rate. One that is done cannot be
 * taken back. */
#ifndef VERBS_DRAIN_H
#define VERBS_DRAIN_H

#include "verbs/verb.h"

/* As `run` of a verb: begins, and the process gets SIGTERM when the last client has gone. */
void drain_begin(struct verb_call *call);
/* The process stops, drained or not: ends the thread, if there is one. Behind the last verb. */
void drain_end(void);

#endif
