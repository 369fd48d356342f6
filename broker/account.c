#include "broker/account.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct accounts {
    pthread_mutex_t mutex; /* of the buckets, and of what is in their chains */
    struct hash_key key;
    struct account *buckets[BUCKETS];
};

struct accounts *accounts_new(const struct hash_key *key)
{
    struct accounts *accounts = calloc(1, sizeof *accounts);
    if (accounts == NULL)
        return NULL;
    pthread_mutex_init(&accounts->mutex, NULL);
    accounts->key = *key;
    return accounts;
}

void accounts_free(struct accounts *accounts)
{
    if (accounts != NULL)
        pthread_mutex_destroy(&accounts->mutex);
    free(accounts);
}

static struct account *find(struct account *account, uint64_t hash, uint32_t listener,
                            struct bytes user_name)
{
    while (account != NULL && (account->hash != hash || account->listener != listener ||
                               !bytes_equal(account->user_name, user_name)))
        account = account->next;
    return account;
}

static struct account *add(struct account **chain, uint64_t hash, uint32_t listener,
                           struct bytes user_name)
{
    struct account *account = calloc(1, sizeof *account + user_name.size);
    if (account == NULL)
        return NULL;
    memcpy(account + 1, user_name.data, user_name.size);
    account->user_name = bytes_of((const uint8_t *)(account + 1), user_name.size);
    account->hash = hash;
    account->listener = listener;
    account->next = *chain;
    *chain = account;
    return account;
}

struct account *accounts_join(struct accounts *accounts, uint32_t listener, struct bytes user_name)
{
    uint64_t hash = hash_bytes(&accounts->key, user_name.data, user_name.size);
    struct account **chain = &accounts->buckets[hash % BUCKETS];
    pthread_mutex_lock(&accounts->mutex);
    struct account *account = find(*chain, hash, listener, user_name);
    if (account == NULL)
        account = add(chain, hash, listener, user_name);
    if (account != NULL)
        account->connections++;
    pthread_mutex_unlock(&accounts->mutex);
    return account;
}

void accounts_leave(struct accounts *accounts, struct account *account)
{
    struct account **at = &accounts->buckets[account->hash % BUCKETS];
    pthread_mutex_lock(&accounts->mutex);
    if (--account->connections == 0) {
        while (*at != account)
            at = &(*at)->next;
        *at = account->next;
        free(account);
    }
    pthread_mutex_unlock(&accounts->mutex);
}

uint32_t accounts_connections(struct accounts *accounts, const struct account *account)
{
    pthread_mutex_lock(&accounts->mutex);
    uint32_t connections = account->connections;
    pthread_mutex_unlock(&accounts->mutex);
    return connections;
}
