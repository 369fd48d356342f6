/* holdfast trace ...: what is done with trace files, without a broker. */
#ifndef TRACE_TRACE_COMMAND_H
#define TRACE_TRACE_COMMAND_H

/* `argv` begins behind the word "trace". Returns the exit status: 0; 1: a transition that is not
 * allowed; 2: the command line, or a file that cannot be read. */
int trace_command(int argc, char **argv);

#endif
