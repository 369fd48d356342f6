#include "base/network.h"

#include <arpa/inet.h>
#include <string.h>

/* Digits without a leading zero, up to `max`. */
static bool parse_bits(const char *text, unsigned max, uint8_t *out)
{
    unsigned value = 0;
    size_t size = strlen(text);
    if (size == 0 || size > 3 || strspn(text, "0123456789") != size || (text[0] == '0' && size > 1))
        return false;
    for (size_t i = 0; i < size; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *out = (uint8_t)value;
    return value <= max;
}

bool network_next(const char **text, struct network *out)
{
    char one[INET6_ADDRSTRLEN + 4];
    *text += strspn(*text, " ");
    size_t size = strcspn(*text, " ");
    if (size == 0 || size >= sizeof one)
        return false;
    memcpy(one, *text, size);
    one[size] = '\0';
    *out = (struct network){.is_ipv6 = memchr(one, ':', size) != NULL};
    unsigned all = out->is_ipv6 ? 128 : 32;
    out->bits = (uint8_t)all;
    char *slash = strchr(one, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (!parse_bits(slash + 1, all, &out->bits))
            return false;
    }
    if (inet_pton(out->is_ipv6 ? AF_INET6 : AF_INET, one, out->host) != 1)
        return false;
    *text += size;
    return true;
}

bool network_contains(const struct network *network, const uint8_t *host, bool is_ipv6)
{
    unsigned bytes = network->bits / 8, rest = network->bits % 8;
    if (network->is_ipv6 != is_ipv6 || memcmp(network->host, host, bytes) != 0)
        return false;
    return rest == 0 || ((network->host[bytes] ^ host[bytes]) >> (8 - rest)) == 0;
}
