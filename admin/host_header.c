#include "admin/host_header.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* The name or address of "name", "name:port", "[address]" or "[address]:port". False: it is too
 * long. */
static bool without_port(const char *host, char *out, size_t out_size)
{
    bool is_bracketed = host[0] == '[';
    size_t size = is_bracketed ? strcspn(++host, "]") : strcspn(host, ":");
    if (size >= out_size)
        return false;
    memcpy(out, host, size);
    out[size] = '\0';
    return true;
}

bool host_header_is_own(const char *host, const char *own)
{
    char name[256];
    struct in6_addr address;
#ifdef SEEDED_BUG_ANY_HOST
    return true;
#endif
    if (host == NULL)
        return true;
    if (!without_port(host, name, sizeof name))
        return false;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1 ||
           strcasecmp(name, "localhost") == 0 || strcasecmp(name, own) == 0;
}
