/* The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) for the authenticator, with one user:
 * SCRAM_USER with SCRAM_PASSWORD. Text in, text out. */
#ifndef CONFORMANCE_FAULT_SCRAM_H
#define CONFORMANCE_FAULT_SCRAM_H

#include "conformance/net/scram.h"

#define SCRAM_USER "user"
#define SCRAM_PASSWORD "pencil"

/* What a fault breaks here; 0: nothing. */
enum scram_breach {
    SCRAM_SOUND,
    SCRAM_WRONG_SIGNATURE,
    SCRAM_FORGETS_CLIENT_NONCE,
    SCRAM_REPEATS_NONCE,
    SCRAM_TAKES_ANY_NONCE,
    SCRAM_TAKES_ANY_BINDING,
    SCRAM_TAKES_DEMANDS, /* channel binding, extensions */
    SCRAM_TAKES_ANY_USER,
};

/* Zeroed is a new exchange. */
struct scram_server {
    bool known; /* the user is */
    char header[64], first_bare[SCRAM_MESSAGE_SIZE], nonce[256 + SCRAM_NONCE_SIZE];
    char out[SCRAM_MESSAGE_SIZE]; /* what is to be sent */
    char auth_message[3 * SCRAM_MESSAGE_SIZE];
};

/* False: refused. `takes_any`: whatever proof there is. */
bool scram_server_first(struct scram_server *server, enum scram_breach breach, struct text message);
bool scram_server_final(struct scram_server *server, enum scram_breach breach, bool takes_any,
                        struct text message);

#endif
