/* holdfast why: asks a running broker. */
#ifndef ADMIN_WHY_COMMAND_H
#define ADMIN_WHY_COMMAND_H

/* `argv[0]` is the word "why". Returns the exit status: 0; 1: nobody answers; 2: the command line.
 */
int why_command(int argc, char **argv);

#endif
