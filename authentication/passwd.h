/* holdfast passwd: sets and deletes passwords in a password file. */
#ifndef AUTHENTICATION_PASSWD_H
#define AUTHENTICATION_PASSWD_H

/* With "passwd" as argv[0]. Returns the exit status: 0; 1 where something went wrong, and the file
 * is as it was; 2 for a command line that it does not understand. */
int passwd_command(int argc, char **argv);

#endif
