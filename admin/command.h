/* The options of a command: `holdfast kick --client ID`. */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include <stdbool.h>

struct command_option {
    const char *name;
    const char **value; /* NULL: it has none, and `flag` says that it is there */
    bool *flag;
};

enum { COMMAND_GOES_ON = -1, COMMAND_MISUSED = 2 };

/* Reads all of `argv`, behind its first; `options` ends with one that has no name. --config has -c,
 * --help and -h print `usage`. Returns COMMAND_GOES_ON, or the exit status. */
int command_parse(int argc, char **argv, const struct command_option *options, const char *usage);

/* Says how it is used; returns COMMAND_MISUSED. */
int command_misused(const char *usage);

#endif
