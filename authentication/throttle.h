/* Slows down who gives wrong passwords, by address and claimed user.
 *
 * From one address a user's password may be wrong a few times; then each further attempt has to
 * wait, 1 s at first and twice as long after each failure, up to a minute. An address that fails
 * with many users waits in the same way with every user but those whose passwords it has had right:
 * a fleet behind it goes on. Everything is forgotten ten minutes after the last failure.
 *
 * Memory is fixed: beyond it, what has been quiet for longest is forgotten. Any thread. */
#ifndef AUTHENTICATION_THROTTLE_H
#define AUTHENTICATION_THROTTLE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"

struct throttle;

/* Beyond `failures` (at least 1) of one user; an address may have ten times as many. NULL: there is
 * no memory. */
struct throttle *throttle_new(const struct hash_key *key, uint32_t failures);
void throttle_free(struct throttle *throttle); /* or NULL */

/* How long it has to wait before its password is tried; 0: not at all. */
uint64_t throttle_wait_ms(struct throttle *throttle, struct bytes address, struct bytes user_name,
                          uint64_t now_ms);
/* What came of a password that was tried. */
void throttle_failed(struct throttle *throttle, struct bytes address, struct bytes user_name,
                     uint64_t now_ms);
void throttle_succeeded(struct throttle *throttle, struct bytes address, struct bytes user_name,
                        uint64_t now_ms);

#endif
