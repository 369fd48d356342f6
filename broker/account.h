/* What the users of each listener have in use: their connections, and the rates that these share.
 * A user that has none has no account. Any thread. */
#ifndef BROKER_ACCOUNT_H
#define BROKER_ACCOUNT_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "broker/rate.h"

struct accounts;

struct account {
    struct rate messages, bytes;
    /* accounts_join's: */
    struct account *next;
    uint32_t listener, connections;
    uint64_t hash;
    struct bytes user_name; /* behind it */
};

struct accounts *accounts_new(const struct hash_key *key); /* NULL: no memory */
void accounts_free(struct accounts *accounts);             /* all have left; or NULL */

/* One more connection of a user, or the first, to leave by accounts_leave(). NULL: no memory. */
struct account *accounts_join(struct accounts *accounts, uint32_t listener, struct bytes user_name);
void accounts_leave(struct accounts *accounts, struct account *account /* takes */);

/* With the one that asks. */
uint32_t accounts_connections(struct accounts *accounts, const struct account *account);

#endif
