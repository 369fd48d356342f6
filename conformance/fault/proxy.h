/* The loop under the links: sockets, timers, outages. */
#ifndef CONFORMANCE_FAULT_PROXY_H
#define CONFORMANCE_FAULT_PROXY_H

#include "conformance/fault/fault.h"

struct proxy_settings {
    const char *listen_host;
    unsigned listen_port; /* 0: any that is free */
    const char *server_host, *server_port;
    bool websocket;
    const struct fault *fault;
};

/* Serves until SIGTERM or SIGINT; "listening on PORT" on standard output when it is ready. Returns
 * the program's exit status. */
int proxy_run(const struct proxy_settings *settings);
const struct proxy_settings *proxy_settings(void);

/* ---- For link.c ---- */

/* Has `side->out` written, and the socket closed if it is to be. */
void proxy_flush(struct side *side);
/* Closes at once. */
void proxy_close(struct side *side, bool reset);
/* A link whose client is the proxy itself; NULL: the server can't be reached. */
struct link *proxy_agent(void);
/* The same, connected until the server goes, so that it is noticed when it does. */
void proxy_post_sentry(void);

/* ---- Of link.c, for the loop ---- */

/* The peer has sent bytes, or has ended. */
void link_feed(struct side *side, const uint8_t *data, size_t size);
void link_ended(struct side *side, bool reset);
/* Frees what it holds; the sockets are closed. */
void link_fini(struct link *link);

#endif
