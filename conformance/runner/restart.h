/* Takes the server down and up again with the user's commands, and makes sure that it was so. */
#ifndef CONFORMANCE_RESTART_H
#define CONFORMANCE_RESTART_H

#include "conformance/harness/run_case.h"
#include "conformance/runner/command.h"
#include "conformance/runner/outage.h"

struct restart {
    const struct target *target;
    enum version version;                  /* that the server is asked in whether it is back */
    const char *commands[OUTAGE_KILL + 1]; /* NULL: not given; then the other one serves */
    unsigned command_limit_ms, return_limit_ms;
    char output[COMMAND_OUTPUT_SIZE]; /* of the last command */
};

/* An outage_maker; `restart` is a struct restart. It is an error if a connection made before the
 * command is still open after it: then the server never stopped. */
bool restart_make(void *restart, enum outage kind, char error[OUTAGE_ERROR_SIZE]);

/* Waits until the server accepts MQTT connections; false and a sentence after `limit_ms`. */
bool restart_await(const struct target *target, enum version version, unsigned limit_ms,
                   char *error, size_t error_size);

#endif
