/* Seeded random histories against a model of what a server owes its clients. */
#ifndef CONFORMANCE_EXPLORE_H
#define CONFORMANCE_EXPLORE_H

#include <stdint.h>
#include <stdio.h>

#include "conformance/harness/run_case.h"

/* Plays histories for about so many seconds and writes to `report`: for each violation a shrunk,
 * readable script with its seed; at the end one line that says how many histories were played.
 *
 * Restarts and kills are among the steps where settings->outage is not NULL. It runs alone against
 * the server. Returns how many violations there were; negative: it could not be done, and the
 * report says why. */
int explore(const struct run_settings *settings, enum version version, unsigned seconds,
            uint64_t seed, FILE *report);

#endif
