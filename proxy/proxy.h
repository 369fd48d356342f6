/* The PROXY protocol, versions 1 and 2: what a load balancer says of a connection in front of its
 * bytes. Pure: no state, no I/O. Whom to believe is the caller's affair. Any thread. */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the longest header that is taken: of version 2, whose additional fields (TLVs) nobody
 * reads. */
enum { PROXY_HEADER_MAX = 2048 };

struct proxy_header {
    bool has_address; /* false: the balancer's own connection, or it does not say whose */
    bool is_ipv6;
    uint8_t host[16]; /* IPv4: the first four bytes */
    uint16_t port;
};

enum proxy_result {
    PROXY_MORE, /* so far it may be one */
    PROXY_DONE,
    PROXY_REFUSED,
};

/* `data` is all that has come. DONE: `*out_used` bytes are the header. REFUSED: `*out_why` says
 * why. PROXY_HEADER_MAX bytes are never too few. */
enum proxy_result proxy_parse(const uint8_t *data, size_t size, struct proxy_header *out,
                              size_t *out_used, const char **out_why);

#endif
