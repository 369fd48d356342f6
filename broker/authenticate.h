/* Who a Client is: what its certificate or its password proves, or nobody.
 *
 * A password is tried on a thread of its own (authentication/verifier.h). Meanwhile the connection
 * is AUTHENTICATING: its CONNECT waits in its input, no other packet is looked at, and its time for
 * a CONNECT runs on. The outcome comes back to its worker, which looks at the CONNECT once more. */
#ifndef BROKER_AUTHENTICATE_H
#define BROKER_AUTHENTICATE_H

#include "authentication/verifier.h"
#include "broker/connection.h"

enum authenticate_outcome {
    AUTHENTICATE_PROVEN, /* connection->principal says who */
    AUTHENTICATE_REFUSED,
    AUTHENTICATE_EXCHANGES, /* the same, when exchange_auth() has had its proof */
    AUTHENTICATE_WAITS, /* CONNECT is to be handled again when connection_continue() is called */
};

/* On the worker of the Client Identifier. `owner` is whose session it would be. */
enum authenticate_outcome authenticate(struct connection *connection, const struct connect *connect,
                                       struct bytes client_identifier, struct bytes owner);

/* Whether its password has been tried. */
bool authenticate_is_done(const struct connection *connection);

/* Closes connections whose CONNECT came earlier, for the same session, and whose passwords are
 * still being tried: this one takes them over. */
void authenticate_supersede(struct connection *connection, struct bytes client_identifier,
                            struct bytes owner);

/* CONNECT has been decided on, or the connection ends: nobody waits for the outcome any more. */
void authenticate_abandon(struct connection *connection);

/* Goes on with connections whose passwords have been tried: once a turn. */
void authenticate_collect(struct worker *worker);

/* Whether this user has to wait before a password or a proof of it is tried; and what came of one.
 */
bool authenticate_has_to_wait(const struct connection *connection, struct bytes user_name);
void authenticate_remember(const struct connection *connection, struct bytes user_name, bool right);

/* For verifier_new(): gives the outcome to the worker. */
void authenticate_done(struct verification *verification);

#endif
