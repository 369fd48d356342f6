#include "broker/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

_Static_assert(ADDRESS_TEXT_SIZE >= INET6_ADDRSTRLEN + sizeof "[]:65535" - 1, "the longest fits");

struct address address_of(const struct sockaddr *from)
{
    struct address address = {.is_ipv6 = from->sa_family == AF_INET6};
    if (address.is_ipv6) {
        struct sockaddr_in6 ipv6;
        memcpy(&ipv6, from, sizeof ipv6);
        memcpy(address.host, &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
        address.port = ntohs(ipv6.sin6_port);
    } else {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, from, sizeof ipv4);
        memcpy(address.host, &ipv4.sin_addr, sizeof ipv4.sin_addr);
        address.port = ntohs(ipv4.sin_port);
    }
    return address;
}

const char *address_text(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    inet_ntop(address->is_ipv6 ? AF_INET6 : AF_INET, address->host, host, sizeof host);
    snprintf(out, ADDRESS_TEXT_SIZE, address->is_ipv6 ? "[%s]:%u" : "%s:%u", host, address->port);
    return out;
}
