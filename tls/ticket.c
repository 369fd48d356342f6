#include "tls/ticket.h"

#include "tls/tls_internal.h" /* before any other header of wolfSSL's */

#include <stdlib.h>
#include <sys/random.h>
#include <wolfssl/wolfcrypt/aes.h>

#include "base/check.h"

void ticket_claim_fini(struct ticket_claim *claim)
{
    identity_fini(&claim->identity);
    free(claim->peer);
    *claim = (struct ticket_claim){0};
}

/* ---- The claim in bytes ----
 *
 *   proven_s  8   of the names, in their order: size 2 each   the names   links 1
 *   with links: not_after_s 8, anchor 16, and of each link issuer 16, certificate 16
 *
 * and behind it its own size, 2, so that it is found from the end. */

enum { SIZE_SIZE = 2, NO_CLAIM = 0xffff };

static uint8_t *put_time(uint8_t *p, int64_t time_s)
{
    return put_u32(put_u32(p, (uint32_t)((uint64_t)time_s >> 32)), (uint32_t)time_s);
}

static uint8_t *put_id(uint8_t *p, const struct certificate_id *id)
{
    return put_bytes(p, bytes_of(id->bytes, sizeof id->bytes));
}

static size_t claim_size(const struct ticket_claim *claim)
{
    size_t size = 8 + 1;
    for (unsigned i = 0; i < IDENTITY_NAMES; i++)
        size += SIZE_SIZE + claim->identity.sizes[i];
    if (claim->peer != NULL)
        size += 8 + CERTIFICATE_ID_SIZE + claim->peer->count * 2 * CERTIFICATE_ID_SIZE;
    return size;
}

static uint8_t *put_claim(uint8_t *p, const struct ticket_claim *claim)
{
    const struct peer *peer = claim->peer;
    p = put_time(p, claim->proven_s);
    for (unsigned i = 0; i < IDENTITY_NAMES; i++)
        p = put_u16(p, claim->identity.sizes[i]);
    for (unsigned i = 0; i < IDENTITY_NAMES; i++)
        p = put_bytes(p, identity_name(&claim->identity, i));
    *p++ = peer != NULL ? (uint8_t)peer->count : 0;
    if (peer == NULL)
        return p;
    p = put_id(put_time(p, peer->not_after_s), &peer->anchor);
    for (size_t i = 0; i < peer->count; i++)
        p = put_id(put_id(p, &peer->links[i].issuer), &peer->links[i].certificate);
    return p;
}

/* What is read has been sealed by us: that it does not fit is a fault of ours, and still no reason
 * to read over its end. */
static bool take(struct bytes *in, size_t size, struct bytes *out)
{
    if (in->size < size)
        return false;
    *out = bytes_of(in->data, size);
    *in = bytes_of(in->data + size, in->size - size);
    return true;
}

static bool take_time(struct bytes *in, int64_t *out_s)
{
    struct bytes part;
    if (!take(in, 8, &part))
        return false;
    *out_s = (int64_t)((uint64_t)get_u32(part.data) << 32 | get_u32(part.data + 4));
    return true;
}

static bool take_id(struct bytes *in, struct certificate_id *out)
{
    struct bytes part;
    if (!take(in, sizeof out->bytes, &part))
        return false;
    memcpy(out->bytes, part.data, sizeof out->bytes);
    return true;
}

static bool take_names(struct bytes *in, struct identity *out)
{
    struct bytes sizes;
    struct bytes names[IDENTITY_NAMES];
    if (!take(in, sizeof(uint16_t) * IDENTITY_NAMES, &sizes))
        return false;
    for (unsigned i = 0; i < IDENTITY_NAMES; i++) {
        if (!take(in, get_u16(sizes.data + sizeof(uint16_t) * i), &names[i]))
            return false;
    }
    return identity_from_names(names, out) == STATUS_OK;
}

static bool take_links(struct bytes *in, size_t count, struct peer *out)
{
    *out = (struct peer){.count = count};
    if (!take_time(in, &out->not_after_s) || !take_id(in, &out->anchor))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!take_id(in, &out->links[i].issuer) || !take_id(in, &out->links[i].certificate))
            return false;
    }
    return true;
}

static bool take_peer(struct bytes *in, struct peer **out)
{
    struct bytes count;
    if (!take(in, 1, &count))
        return false;
    if (count.data[0] == 0)
        return true;
    *out = malloc(sizeof **out + count.data[0] * sizeof(*out)->links[0]);
    return *out != NULL && take_links(in, count.data[0], *out);
}

static bool take_claim(struct bytes in, struct ticket_claim *out)
{
    *out = (struct ticket_claim){0};
    if (take_time(&in, &out->proven_s) && take_names(&in, &out->identity) &&
        take_peer(&in, &out->peer) && in.size == 0)
        return true;
    ticket_claim_fini(out);
    return false;
}

/* ---- Sealing (AES-256-GCM, the key's name as associated data) ---- */

static bool encrypt(const struct ticket_key *key, const struct ticket_seal *seal, uint8_t *data,
                    size_t size)
{
    Aes aes;
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return false;
    bool ok = wc_AesGcmSetKey(&aes, key->key, sizeof key->key) == 0 &&
              wc_AesGcmEncrypt(&aes, data, data, (word32)size, seal->iv, TICKET_IV_SIZE, seal->tag,
                               TICKET_TAG_SIZE, seal->name, TICKET_KEY_NAME_SIZE) == 0;
    wc_AesFree(&aes);
    explicit_bzero(&aes, sizeof aes);
    return ok;
}

static bool decrypt(const struct ticket_key *key, const struct ticket_seal *seal, uint8_t *data,
                    size_t size)
{
    Aes aes;
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return false;
    bool ok = wc_AesGcmSetKey(&aes, key->key, sizeof key->key) == 0 &&
              wc_AesGcmDecrypt(&aes, data, data, (word32)size, seal->iv, TICKET_IV_SIZE, seal->tag,
                               TICKET_TAG_SIZE, seal->name, TICKET_KEY_NAME_SIZE) == 0;
    wc_AesFree(&aes);
    explicit_bzero(&aes, sizeof aes);
    return ok;
}

size_t ticket_seal(struct ticket_keys *keys, int64_t now_s, const struct ticket_claim *claim,
                   const struct ticket_seal *seal, uint8_t *data, size_t size, size_t capacity)
{
    struct ticket_key key;
    uint8_t *end = data + size;
    size_t wanted = claim_size(claim);
    CHECK(capacity >= size + SIZE_SIZE);
    bool has_room = wanted < NO_CLAIM && wanted + SIZE_SIZE <= capacity - size;
    if (has_room)
        end = put_claim(end, claim);
    end = put_u16(end, has_room ? (uint16_t)wanted : NO_CLAIM);
    bool ok = ticket_keys_current(keys, now_s, &key) &&
              getrandom(seal->iv, TICKET_IV_SIZE, 0) == TICKET_IV_SIZE;
    memcpy(seal->name, key.name, sizeof key.name);
    ok = ok && encrypt(&key, seal, data, (size_t)(end - data));
    explicit_bzero(&key, sizeof key);
    return ok ? (size_t)(end - data) : 0;
}

size_t ticket_open(struct ticket_keys *keys, int64_t now_s, const struct ticket_seal *seal,
                   uint8_t *data, size_t size, struct ticket_claim *out)
{
    struct ticket_key key;
    *out = (struct ticket_claim){0};
    if (size < SIZE_SIZE || !ticket_keys_find(keys, seal->name, now_s, &key))
        return 0;
    bool ok = decrypt(&key, seal, data, size);
    explicit_bzero(&key, sizeof key);
    if (!ok)
        return 0;
    size -= SIZE_SIZE;
    size_t claimed = get_u16(data + size);
    if (claimed == NO_CLAIM || claimed > size ||
        !take_claim(bytes_of(data + size - claimed, claimed), out))
        return 0;
    return size - claimed;
}
