/* A password file as mosquitto has it: a line `USER:HASH` for each user, blank lines, and comments
 * behind `#` at the beginning of a line. One comment has a meaning: `#decoys:KEY`, 32 random bytes
 * in base64, is what is made up of for SCRAM about users that there are not. Immutable once read;
 * any thread. */
#ifndef AUTHENTICATION_PASSWORD_FILE_H
#define AUTHENTICATION_PASSWORD_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "authentication/scram_credential.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/status.h"

enum { PASSWORD_FILE_MAX = 256 * 1024 * 1024 }; /* bytes: about two million users */

struct password_file;

extern const char password_file_decoys[]; /* "#decoys:" */

/* Where it does not return OK, `error` says in one line what is wrong, and where. A line that is no
 * user with a hash, or a user's second one, makes the whole file unsound: what its author meant is
 * not to be guessed at. */
enum status MUST_USE password_file_load(const char *path, struct password_file **out, char *error,
                                        size_t error_size);
/* The same from memory; `path` is what messages call it. */
enum status MUST_USE password_file_parse(const char *path, struct bytes text,
                                         struct password_file **out, char *error,
                                         size_t error_size);
void password_file_free(struct password_file *file);

size_t password_file_count(const struct password_file *file);

/* The user's hash, for as long as the file; NULL: there is no such user. */
const char *password_file_find(const struct password_file *file, struct bytes user_name);

/* What to spend time on for a user that there is not: somebody's hash, the same whenever it is
 * asked for with this key. So the time that an answer takes does not tell who exists, in a file
 * with quick and slow hashes neither. */
const char *password_file_decoy(const struct password_file *file, const struct hash_key *key,
                                struct bytes user_name);

/* Whether anybody in it can be known by SCRAM. */
bool password_file_has_scram(const struct password_file *file);
/* What SCRAM knows of a user. False: it knows nothing, and `out` is made up: the same whenever it
 * is asked for, with the iterations of the first user who has any, so that nobody learns who
 * exists. It hangs on the file's `#decoys:`, or on `key` where there is no such line. */
bool password_file_scram(const struct password_file *file, const struct hash_key *key,
                         struct bytes user_name, struct scram_credential *out);

#endif
