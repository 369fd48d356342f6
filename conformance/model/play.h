/* Plays a history against the server, and asks the reference of everything that is seen. */
#ifndef CONFORMANCE_PLAY_H
#define CONFORMANCE_PLAY_H

#include "conformance/harness/run_case.h"
#include "conformance/model/history.h"

/* `kind` says what the outage of a history is. `out` as of run_case(): FAILED where the server did
 * what it may not. */
void play(const struct history *history, enum outage kind, const struct run_settings *settings,
          struct outcome *out);

#endif
