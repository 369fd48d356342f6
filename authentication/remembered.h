/* Passwords that have been right, so that the same one need not be hashed slowly again: a device
 * that comes back costs microseconds.
 *
 * What is kept is 128 bits of an HMAC with a key that is drawn when the process starts and never
 * leaves it; it covers the user, the hash in the password file and the password together. So what
 * was remembered is void as soon as the file says something else, and one user's password says
 * nothing about another's, nor about a user that there is not.
 *
 * Memory is fixed: beyond it, what has not been used for longest is forgotten. Any thread. */
#ifndef AUTHENTICATION_REMEMBERED_H
#define AUTHENTICATION_REMEMBERED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct remembered;

/* For `users` of them, or nearly as many, 32 bytes each. NULL: there is no memory, or no
 * randomness. */
struct remembered *remembered_new(size_t users);
void remembered_free(struct remembered *remembered); /* or NULL; wipes the key */

/* Whether it has been right for this user and this hash. */
bool remembered_has(struct remembered *remembered, struct bytes user_name, const char *hash,
                    struct bytes password);
/* It has been right. */
void remembered_add(struct remembered *remembered, struct bytes user_name, const char *hash,
                    struct bytes password);

#endif
