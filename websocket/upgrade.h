/* The opening handshake (RFC 6455 section 4.2): a request's bytes, and the response to it. */
#ifndef WEBSOCKET_UPGRADE_H
#define WEBSOCKET_UPGRADE_H

#include "base/bytes.h"

enum { UPGRADE_REQUEST_MAX = 8192 };

/* Why a request is refused. */
struct upgrade_refusal {
    unsigned status; /* of HTTP */
    const char *why;
};

/* The size of the request with the empty line at its end, or 0: there is more to come. */
size_t upgrade_request_size(struct bytes bytes);

/* Judges a whole request. Appends the response, whichever it is, to `output`. False: refused;
 * NULL in `out->why`: no memory. */
bool upgrade_answer(struct bytes request, const char *origins, struct buffer *output,
                    struct upgrade_refusal *out);
/* The same for a request that is no end of. */
void upgrade_refuse(const struct upgrade_refusal *refusal, struct buffer *output);

#endif
