#include "authentication/throttle.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    WAYS = 4,
    SETS = 4096,
    FIRST_WAIT_MS = 1000,
    LONGEST_WAIT_MS = 60 * 1000,
    FORGOTTEN_MS = 10 * 60 * 1000,
    ADDRESS_FACTOR = 10,
};

/* Failures of a user at an address, or of an address with anybody. */
struct record {
    uint64_t tag;
    uint64_t latest_ms; /* a failure; of a user also a success */
    uint32_t failures;
    bool trusted; /* its password was right, the last time */
};

struct throttle {
    pthread_mutex_t mutex; /* of the records */
    struct hash_key key;
    uint32_t failures;
    struct record records[SETS][WAYS];
};

struct throttle *throttle_new(const struct hash_key *key, uint32_t failures)
{
    struct throttle *throttle = calloc(1, sizeof *throttle);
    if (throttle == NULL)
        return NULL;
    pthread_mutex_init(&throttle->mutex, NULL);
    throttle->key = *key;
    throttle->failures = failures;
    return throttle;
}

void throttle_free(struct throttle *throttle)
{
    if (throttle != NULL)
        pthread_mutex_destroy(&throttle->mutex);
    free(throttle);
}

static uint64_t tag_of(const struct throttle *throttle, struct bytes address,
                       const struct bytes *user_name)
{
    struct hash_key key = throttle->key;
    key.k0 ^= hash_bytes(&throttle->key, address.data, address.size);
    uint64_t tag = user_name == NULL ? key.k0 : hash_bytes(&key, user_name->data, user_name->size);
    return tag != 0 ? tag : 1; /* 0 is an empty record */
}

/* The record of a tag; NULL if there is none, or it is to be forgotten. */
static struct record *find(struct throttle *throttle, uint64_t tag, uint64_t now_ms)
{
    struct record *set = throttle->records[tag % SETS];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].tag == tag)
            return now_ms - set[i].latest_ms < FORGOTTEN_MS ? &set[i] : NULL;
    }
    return NULL;
}

/* The same, made in place of the one that has been quiet for longest. */
static struct record *take(struct throttle *throttle, uint64_t tag, uint64_t now_ms)
{
    struct record *set = throttle->records[tag % SETS], *oldest = set;
    struct record *found = find(throttle, tag, now_ms);
    if (found != NULL)
        return found;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].tag == tag) {
            oldest = &set[i];
            break;
        }
        if (set[i].latest_ms < oldest->latest_ms)
            oldest = &set[i];
    }
    *oldest = (struct record){.tag = tag, .latest_ms = now_ms};
    return oldest;
}

static uint64_t wait_of(const struct record *record, uint64_t allowed, uint64_t now_ms)
{
    if (record == NULL || record->failures < allowed)
        return 0;
    uint64_t doublings = record->failures - allowed;
    uint64_t wait = doublings < 6 ? (uint64_t)FIRST_WAIT_MS << doublings : LONGEST_WAIT_MS;
    uint64_t due = record->latest_ms + wait;
    return due > now_ms ? due - now_ms : 0;
}

uint64_t throttle_wait_ms(struct throttle *throttle, struct bytes address, struct bytes user_name,
                          uint64_t now_ms)
{
    pthread_mutex_lock(&throttle->mutex);
    const struct record *user = find(throttle, tag_of(throttle, address, &user_name), now_ms);
    const struct record *all = find(throttle, tag_of(throttle, address, NULL), now_ms);
    uint64_t wait = wait_of(user, throttle->failures, now_ms);
    uint64_t wait_all = wait_of(all, (uint64_t)throttle->failures * ADDRESS_FACTOR, now_ms);
    if (wait_all > wait && (user == NULL || !user->trusted))
        wait = wait_all;
    pthread_mutex_unlock(&throttle->mutex);
    return wait;
}

static void count(struct record *record, uint64_t now_ms)
{
#ifndef SEEDED_BUG_FAILURES_FORGOTTEN
    record->failures += record->failures < UINT32_MAX;
#endif
    record->latest_ms = now_ms;
}

void throttle_failed(struct throttle *throttle, struct bytes address, struct bytes user_name,
                     uint64_t now_ms)
{
    pthread_mutex_lock(&throttle->mutex);
    count(take(throttle, tag_of(throttle, address, &user_name), now_ms), now_ms);
    count(take(throttle, tag_of(throttle, address, NULL), now_ms), now_ms);
    pthread_mutex_unlock(&throttle->mutex);
}

void throttle_succeeded(struct throttle *throttle, struct bytes address, struct bytes user_name,
                        uint64_t now_ms)
{
    pthread_mutex_lock(&throttle->mutex);
    struct record *record = take(throttle, tag_of(throttle, address, &user_name), now_ms);
    record->failures = 0;
    record->trusted = true;
    record->latest_ms = now_ms;
    pthread_mutex_unlock(&throttle->mutex);
}
