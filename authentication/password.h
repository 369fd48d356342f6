/* Passwords against their hashes. No function here keeps a password, or leaves a copy of one.
 *
 * Three kinds of hashes are read: `$7$ITERATIONS$SALT$HASH`, PBKDF2 with SHA-512 as
 * mosquitto_passwd writes it, and `$y$...`, yescrypt as crypt(5) has it. (crypt(5) gives $7$
 * another meaning; here it is mosquitto's.) `SCRAM-SHA-256$...` is what SCRAM needs, and a password
 * can be held against it, too. */
#ifndef AUTHENTICATION_PASSWORD_H
#define AUTHENTICATION_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* The longest hash with its zero, and the longest password that crypt(3) takes. */
enum { PASSWORD_HASH_SIZE = 256, PASSWORD_SIZE_MAX = 511 };

/* Why `hash` cannot be used; NULL: it can. */
const char *password_hash_fault(const char *hash);

/* Whether it is the one. Takes the time of the hash, some 20 ms for a new one, whether it is or
 * not; memory too, 16 MiB for yescrypt: false where there is none. Any thread. */
bool password_matches(const char *hash, struct bytes password);

/* What takes as long as a new hash and matches nothing. */
extern const char password_nobody[];

/* Hashes a new password, with a salt from the system. INVALID: it is empty, too long, or has a zero
 * byte. */
enum status MUST_USE password_hash(struct bytes password, char out[PASSWORD_HASH_SIZE]);
/* The same, for SCRAM-SHA-256. INVALID: it is not of printable ASCII either, about which all
 * clients agree (SASLprep, RFC 4013, changes others). */
enum status MUST_USE password_hash_scram(struct bytes password, uint32_t iterations,
                                         char out[PASSWORD_HASH_SIZE]);

#endif
