/* Where a peer is: IP address and port, small, because each idle connection keeps one. Any thread.
 */
#ifndef BROKER_ADDRESS_H
#define BROKER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

struct address {
    uint8_t host[16]; /* IPv4: the first four bytes */
    uint16_t port;
    bool is_ipv6;
};

enum { ADDRESS_TEXT_SIZE = 56 };

/* Of a socket address of either family. */
struct address address_of(const struct sockaddr *from);
/* "127.0.0.1:1883" or "[::1]:1883"; returns `out`. */
const char *address_text(const struct address *address, char out[ADDRESS_TEXT_SIZE]);

#endif
