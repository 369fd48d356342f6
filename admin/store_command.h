/* holdfast store: backup, verify, compact. */
#ifndef ADMIN_STORE_COMMAND_H
#define ADMIN_STORE_COMMAND_H

/* `argv[0]` is the word "store". Returns the exit status: 0; 1: it was not done, or there is
 * damage; 2: the command line or the configuration. */
int store_command(int argc, char **argv);

#endif
