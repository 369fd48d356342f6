/* Runs a command of the user's in the shell. */
#ifndef CONFORMANCE_COMMAND_H
#define CONFORMANCE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum { COMMAND_OUTPUT_SIZE = 4096 };

/* `sh -c command`, in a session of its own, until it ends, or is killed after `limit_ms`. True if
 * it ended with status 0. `error` is a sentence otherwise. `output` is the end of what it wrote.
 *
 * The command may leave a server behind: that gets none of our descriptors, and is not waited for
 * though it holds the output open. */
bool command_run(const char *command, unsigned limit_ms, char output[COMMAND_OUTPUT_SIZE],
                 char *error, size_t error_size);

#endif
