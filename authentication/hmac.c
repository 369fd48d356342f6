#include "authentication/hmac.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>

bool hmac_sha256(struct bytes key, const struct bytes *parts, size_t count, uint8_t out[HMAC_SIZE])
{
    Hmac hmac;
    bool sound = wc_HmacInit(&hmac, NULL, INVALID_DEVID) == 0;
    if (sound) {
        sound = wc_HmacSetKey(&hmac, WC_SHA256, key.data, (word32)key.size) == 0;
        for (size_t i = 0; sound && i < count; i++)
            sound = parts[i].size == 0 ||
                    wc_HmacUpdate(&hmac, parts[i].data, (word32)parts[i].size) == 0;
        sound = sound && wc_HmacFinal(&hmac, out) == 0;
        wc_HmacFree(&hmac);
    }
    if (!sound)
        memset(out, 0, HMAC_SIZE);
    return sound;
}

bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}
