/* IP networks, as "10.0.0.0/8", "fd00::/8", or one address. Any thread. */
#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct network {
    uint8_t host[16]; /* IPv4: the first four bytes */
    uint8_t bits;
    bool is_ipv6;
};

/* The first of a list that is separated by spaces; moves `*text` behind it. False: there is none,
 * or it is no network, and `*text` stands at it. */
bool network_next(const char **text, struct network *out);

/* `host`: as in struct network. */
bool network_contains(const struct network *network, const uint8_t *host, bool is_ipv6);

#endif
