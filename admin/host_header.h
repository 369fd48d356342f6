/* Whether a request was meant for this server: a page in somebody's browser can have the name that
 * it came from resolve to this address (DNS rebinding), and would then read what is answered
 * without a token. Its requests carry that name. */
#ifndef ADMIN_HOST_HEADER_H
#define ADMIN_HOST_HEADER_H

#include <stdbool.h>

/* `host` is the value of the Host header; NULL: there is none, and so no browser. `own` is the host
 * that the listener was configured with. An IP address is trusted: nobody's name resolves to it. */
bool host_header_is_own(const char *host, const char *own);

#endif
