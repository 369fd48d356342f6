/* The keys that session tickets are sealed with: one in use, and the one before it.
 *
 * A key seals for the lifetime of a ticket and opens for twice as long; then nothing in this
 * process can open what it has sealed. Shared by all threads; counted. */
#ifndef TLS_TICKET_KEYS_H
#define TLS_TICKET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { TICKET_KEY_NAME_SIZE = 16, TICKET_KEY_SIZE = 32 };

struct ticket_key {
    uint8_t name[TICKET_KEY_NAME_SIZE];
    uint8_t key[TICKET_KEY_SIZE];
};

struct ticket_keys;

/* `lifetime_s` is at least 1. IO: the system has no random numbers. */
enum status MUST_USE ticket_keys_new(uint32_t lifetime_s, int64_t now_s, struct ticket_keys **out);
struct ticket_keys *ticket_keys_hold(struct ticket_keys *keys);
void ticket_keys_free(struct ticket_keys *keys); /* or NULL */
uint32_t ticket_keys_lifetime_s(const struct ticket_keys *keys);

/* Copies, which the caller wipes. `now_s` is since 1970; a clock that is set back costs keys. */
bool ticket_keys_current(struct ticket_keys *keys, int64_t now_s, struct ticket_key *out);
/* False: there is no such key any more, or there never was. */
bool ticket_keys_find(struct ticket_keys *keys, const uint8_t *name, int64_t now_s,
                      struct ticket_key *out);

#endif
