/* holdfast kick: has a running broker send a client away. */
#ifndef ADMIN_KICK_COMMAND_H
#define ADMIN_KICK_COMMAND_H

/* `argv[0]` is the word "kick". Returns the exit status: 0; 1: nobody answers, or the client is not
 * connected; 2: the command line. */
int kick_command(int argc, char **argv);

#endif
