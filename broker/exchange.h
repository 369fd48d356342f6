/* Enhanced authentication (5.0 sections 3.15 and 4.12): the AUTH packets of a connection, stepped
 * by the authentication machine. The methods are SCRAM-SHA-256, for users whom the password file
 * has a line of that kind for, and SCRAM-SHA-256-PLUS for the same, bound to the TLS channel, where
 * the connection has one that can be told from others (tls_channel()).
 *
 * Until CONNACK the connection is EXCHANGING: its CONNECT is kept here, nothing but AUTH and
 * DISCONNECT is taken, in small packets, and its time for a CONNECT runs on. All calculations are
 * some microseconds, on the worker. */
#ifndef BROKER_EXCHANGE_H
#define BROKER_EXCHANGE_H

#include "broker/authenticate.h"
#include "broker/connection.h"

/* The longest packet of a Client in an exchange: SCRAM's messages fit. */
enum { EXCHANGE_PACKET_MAX = 4096 };

/* Whether a CONNECT names a method; one of MQTT 3.1.1 cannot. */
static inline bool exchange_is_wanted(const struct connect *connect)
{
    return properties_has(&connect->properties, PROPERTY_AUTHENTICATION_METHOD);
}

/* Whether a Client can be known by this method on this connection. */
bool exchange_has_method(const struct connection *connection, struct bytes method);

/* A CONNECT with such a method. EXCHANGES: the Client has been challenged, and the packet is to be
 * given to exchange_keep(). PROVEN: it is handled again, and exchange_user_name() says by whom. */
enum authenticate_outcome exchange_connect(struct connection *connection,
                                           const struct connect *connect);
/* Copies the packet; without memory for it, the Client is refused. */
void exchange_keep(struct connection *connection, struct bytes packet);

/* An AUTH. Behind a proof the kept CONNECT is handled again. */
void exchange_auth(struct connection *connection, const struct auth *auth);

/* Whom the Client claims to be, and is, if the exchange is at its end. Empty: there is none. */
struct bytes exchange_user_name(const struct connection *connection);
/* What CONNACK says of it. */
void exchange_describe(const struct connection *connection, struct properties *out);
/* What is kept for a Client that has not proven anything yet, in bytes. */
size_t exchange_memory(const struct connection *connection);
/* Forgets the exchange, but not the method. */
void exchange_end(struct connection *connection);

#endif
