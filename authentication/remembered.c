#include "authentication/remembered.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>

enum { WAYS = 8, DIGEST_SIZE = 32 };

struct tag {
    uint64_t word[2]; /* both 0: empty */
};

struct set {
    struct tag tags[WAYS]; /* the one that was used last comes first */
};

struct remembered {
    pthread_mutex_t mutex; /* of the sets */
    uint8_t key[DIGEST_SIZE];
    size_t set_count;
    struct set sets[];
};

struct remembered *remembered_new(size_t users)
{
    size_t sets = 2 * users / WAYS + 1; /* twice the room: sets do not fill evenly */
    struct remembered *remembered = calloc(1, sizeof *remembered + sets * sizeof(struct set));
    if (remembered == NULL)
        return NULL;
    remembered->set_count = sets;
    pthread_mutex_init(&remembered->mutex, NULL);
    if (getrandom(remembered->key, sizeof remembered->key, 0) == sizeof remembered->key)
        return remembered;
    remembered_free(remembered);
    return NULL;
}

void remembered_free(struct remembered *remembered)
{
    if (remembered == NULL)
        return;
    explicit_bzero(remembered->key, sizeof remembered->key);
    pthread_mutex_destroy(&remembered->mutex);
    free(remembered);
}

static bool add(Hmac *hmac, const void *data, size_t size)
{
    uint32_t length = (uint32_t)size; /* so that no two triples are the same bytes */
    return size <= UINT32_MAX && wc_HmacUpdate(hmac, (const byte *)&length, sizeof length) == 0 &&
           (size == 0 || wc_HmacUpdate(hmac, data, length) == 0);
}

static bool tag_of(const struct remembered *remembered, struct bytes user_name, const char *hash,
                   struct bytes password, struct tag *out)
{
    Hmac hmac;
    uint8_t digest[DIGEST_SIZE];
    if (wc_HmacInit(&hmac, NULL, INVALID_DEVID) != 0)
        return false;
    bool sound = wc_HmacSetKey(&hmac, WC_SHA256, remembered->key, sizeof remembered->key) == 0 &&
#ifndef SEEDED_BUG_REMEMBERED_FOR_ALL
                 add(&hmac, user_name.data, user_name.size) &&
#endif
                 add(&hmac, hash, strlen(hash)) &&
#ifndef SEEDED_BUG_REMEMBERED_UNREAD
                 add(&hmac, password.data, password.size) &&
#endif
                 wc_HmacFinal(&hmac, digest) == 0;
    wc_HmacFree(&hmac);
    if (sound)
        memcpy(out, digest, sizeof *out);
    explicit_bzero(digest, sizeof digest);
    return sound && (out->word[0] | out->word[1]) != 0;
}

/* Where the tag is; WAYS: nowhere. */
static unsigned find(const struct set *set, const struct tag *tag)
{
    unsigned at = 0;
    while (at < WAYS &&
           ((set->tags[at].word[0] ^ tag->word[0]) | (set->tags[at].word[1] ^ tag->word[1])) != 0)
        at++;
    return at;
}

static void put_first(struct set *set, unsigned at, const struct tag *tag)
{
    memmove(&set->tags[1], &set->tags[0], at * sizeof set->tags[0]);
    set->tags[0] = *tag;
}

static struct set *set_of(struct remembered *remembered, const struct tag *tag)
{
    return &remembered->sets[tag->word[0] % remembered->set_count];
}

bool remembered_has(struct remembered *remembered, struct bytes user_name, const char *hash,
                    struct bytes password)
{
    struct tag tag;
    if (!tag_of(remembered, user_name, hash, password, &tag))
        return false;
    pthread_mutex_lock(&remembered->mutex);
    struct set *set = set_of(remembered, &tag);
    unsigned at = find(set, &tag);
    if (at < WAYS)
        put_first(set, at, &tag);
    pthread_mutex_unlock(&remembered->mutex);
    return at < WAYS;
}

void remembered_add(struct remembered *remembered, struct bytes user_name, const char *hash,
                    struct bytes password)
{
    struct tag tag;
    if (!tag_of(remembered, user_name, hash, password, &tag))
        return;
    pthread_mutex_lock(&remembered->mutex);
    struct set *set = set_of(remembered, &tag);
    unsigned at = find(set, &tag);
    put_first(set, at < WAYS ? at : WAYS - 1, &tag);
    pthread_mutex_unlock(&remembered->mutex);
}
