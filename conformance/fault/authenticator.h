/* Two Authentication Methods in front of the server, which need not have any: the faults of
 * enhanced authentication are breaches of these.
 *
 * AUTHENTICATOR_METHOD has fixed words: the client says AUTHENTICATOR_HELLO with its CONNECT, or
 * with the AUTH that re-authenticates, is asked once, and has to answer AUTHENTICATOR_ANSWER. The
 * other is SCRAM-SHA-256 (scram.h), which takes as many steps. The server sees a CONNECT without a
 * method. Any other method is the server's own affair. */
#ifndef CONFORMANCE_FAULT_AUTHENTICATOR_H
#define CONFORMANCE_FAULT_AUTHENTICATOR_H

#include "conformance/fault/scram.h"

struct kept;
struct link;
struct passing;

#define AUTHENTICATOR_METHOD "CONFORMANCE"
#define AUTHENTICATOR_HELLO "hello"
#define AUTHENTICATOR_ANSWER "the suite"

/* What a fault breaks here, whatever the method; 0: nothing. */
enum authenticator_breach {
    AUTHENTICATOR_SOUND,
    AUTHENTICATOR_TAKES_ANY_ANSWER,
    AUTHENTICATOR_TAKES_ANY_CODE,
    AUTHENTICATOR_TAKES_ANY_METHOD,
    AUTHENTICATOR_REFUSES_AGAIN,
};

enum authenticator_state {
    AUTHENTICATOR_NONE,
    AUTHENTICATOR_ASKED, /* CONNECT is held back */
    AUTHENTICATOR_ANSWERED,
    AUTHENTICATOR_DONE, /* CONNACK has passed */
    AUTHENTICATOR_ASKED_AGAIN,
};

struct authenticator {
    enum authenticator_state state;
    struct kept *connect; /* as the server is to see it */
    bool by_scram;
    struct scram_server scram;
};

/* Whether the client's packet is part of the exchange, and so goes no further. */
bool authenticator_client(struct link *link, const struct passing *passing);
/* Names the method in the CONNACK of a client that has been authenticated. */
void authenticator_server(struct link *link, struct passing *passing);
void authenticator_fini(struct authenticator *authenticator);

#endif
