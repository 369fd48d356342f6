/* `holdfast import`: coming from another broker. */
#ifndef IMPORT_IMPORT_COMMAND_H
#define IMPORT_IMPORT_COMMAND_H

/* The arguments behind "holdfast import", with that as argv[0]. Returns the exit status: 0 done, 1
 * done where something of SECURITY has to be looked at, 2 not done. */
int import_command(int argc, char **argv);

#endif
