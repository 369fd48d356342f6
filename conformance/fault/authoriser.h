/* Authorisation in front of the server, which need not have any: the faults of authorisation are
 * breaches of this one.
 *
 * A PUBLISH to AUTHORISER_TOPIC and a subscription to AUTHORISER_FILTER are denied to everybody, as
 * is a will to that topic, which is left out of a CONNECT that is accepted all the same. */
#ifndef CONFORMANCE_FAULT_AUTHORISER_H
#define CONFORMANCE_FAULT_AUTHORISER_H

#include <stdbool.h>

struct link;
struct passing;

#define AUTHORISER_TOPIC "conformance/denied"
#define AUTHORISER_FILTER "conformance/forbidden/#"

/* What a fault breaks here; 0: nothing. */
enum authoriser_breach {
    AUTHORISER_SOUND,
    AUTHORISER_DELIVERS,
    AUTHORISER_DELIVERS_BY_ALIAS,
    AUTHORISER_RETAINS,
    AUTHORISER_CONFIRMS,
    AUTHORISER_SAYS_NOTHING,
    AUTHORISER_HOLDS_ID,
    AUTHORISER_PUBLISHES_WILL,
    AUTHORISER_GRANTS,
    AUTHORISER_FAILS_ALL,
    AUTHORISER_SUBSCRIBES_SECRETLY,
};

/* Drops what is denied and answers it. */
void authoriser_client(struct link *link, struct passing *passing);
/* Puts the codes of denied filters, which the server has not seen, into its SUBACK. */
void authoriser_server(struct link *link, struct passing *passing);

#endif
