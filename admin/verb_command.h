/* `holdfast sessions`, `session`, `retained`, `stats`, `drain`: verbs as commands. */
#ifndef ADMIN_VERB_COMMAND_H
#define ADMIN_VERB_COMMAND_H

#include <stdbool.h>

bool verb_command_is(const char *name);
/* `argv[0]` is its name. Returns the exit status. */
int verb_command(int argc, char **argv);

#endif
