#include "tls/ticket_keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct aged_key {
    struct ticket_key key;
    int64_t since_s;
    bool exists;
};

struct ticket_keys {
    pthread_mutex_t lock; /* of what follows */
    struct aged_key current;
    struct aged_key last;
    uint32_t lifetime_s;
    _Atomic uint32_t references;
};

static void forget(struct aged_key *key)
{
    explicit_bzero(key, sizeof *key);
}

static bool is_within(const struct aged_key *key, int64_t now_s, int64_t limit_s)
{
    return key->exists && now_s >= key->since_s && now_s - key->since_s < limit_s;
}

/* Keys go by time, whether a ticket is asked for or not. */
static bool turn(struct ticket_keys *keys, int64_t now_s)
{
    int64_t lifetime_s = keys->lifetime_s;
    if (!is_within(&keys->current, now_s, lifetime_s)) {
        keys->last = keys->current;
        forget(&keys->current);
        struct ticket_key *key = &keys->current.key;
        if (getrandom(key, sizeof *key, 0) != sizeof *key)
            return false;
        keys->current.since_s = now_s;
        keys->current.exists = true;
    }
#ifndef SEEDED_BUG_TICKET_KEY_KEPT
    if (!is_within(&keys->last, now_s, 2 * lifetime_s))
        forget(&keys->last);
#endif
    return true;
}

enum status ticket_keys_new(uint32_t lifetime_s, int64_t now_s, struct ticket_keys **out)
{
    *out = NULL;
    struct ticket_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return STATUS_NO_MEMORY;
    pthread_mutex_init(&keys->lock, NULL);
    atomic_init(&keys->references, 1);
    keys->lifetime_s = lifetime_s;
    if (!turn(keys, now_s)) {
        ticket_keys_free(keys);
        return STATUS_IO;
    }
    *out = keys;
    return STATUS_OK;
}

struct ticket_keys *ticket_keys_hold(struct ticket_keys *keys)
{
    atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
    return keys;
}

void ticket_keys_free(struct ticket_keys *keys)
{
    if (keys == NULL || atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&keys->lock);
    explicit_bzero(keys, sizeof *keys);
    free(keys);
}

uint32_t ticket_keys_lifetime_s(const struct ticket_keys *keys)
{
    return keys->lifetime_s;
}

bool ticket_keys_current(struct ticket_keys *keys, int64_t now_s, struct ticket_key *out)
{
    pthread_mutex_lock(&keys->lock);
    bool ok = turn(keys, now_s);
    *out = keys->current.key;
    pthread_mutex_unlock(&keys->lock);
    return ok;
}

static bool is_named(const struct aged_key *key, const uint8_t *name)
{
    return key->exists && memcmp(key->key.name, name, sizeof key->key.name) == 0;
}

bool ticket_keys_find(struct ticket_keys *keys, const uint8_t *name, int64_t now_s,
                      struct ticket_key *out)
{
    bool found = true;
    pthread_mutex_lock(&keys->lock);
    if (turn(keys, now_s) && is_named(&keys->current, name))
        *out = keys->current.key;
    else if (is_named(&keys->last, name))
        *out = keys->last.key;
    else
        found = false;
    pthread_mutex_unlock(&keys->lock);
    return found;
}
