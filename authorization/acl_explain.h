/* holdfast acl explain: what a list says, and which of its lines says it. */
#ifndef AUTHORIZATION_ACL_EXPLAIN_H
#define AUTHORIZATION_ACL_EXPLAIN_H

/* `argv` is behind "holdfast": "acl", "explain", and so on. Writes to standard output, and errors
 * to standard error. Returns the exit status: 0 all allowed, 1 something denied, 2 an error. */
int acl_explain_run(int argc, char **argv);

#endif
