/* What the process may ask of the system, once it serves, and whether it leaves a core.
 *
 * A filter of system calls (seccomp) for all threads, those to come included, for good: files, the
 * connections that are accepted, memory, threads. No other program, no process, no code that was
 * not there at the start, no connection to the network of its own making. The list is made by hand
 * and by what the test suite needs, which runs with `kill`: docs/security.md. */
#ifndef BROKER_SANDBOX_H
#define BROKER_SANDBOX_H

#include <stdbool.h>

#include "config/config.h"

/* Closes it behind the calling process. A system that has no such filter, or another machine than
 * those whose calls are known: a line in the log, and the broker serves without. Once, when
 * everything is open. */
void sandbox_close(enum sandbox sandbox);

/* Whether a crash leaves a core, with keys and messages in it, and whether other processes of the
 * same user may look into this one. Again after a change of the user, which resets it. */
void sandbox_allow_cores(bool allowed);

#endif
