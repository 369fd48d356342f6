/* What the access control list lets a connection do (authorization/acl.h, docs/authorization.md).
 *
 * On the thread of the connection's worker. Where no list is set a connection has no `rights`, and
 * may do everything: one branch. */
#ifndef BROKER_PERMISSION_H
#define BROKER_PERMISSION_H

#include "authorization/acl.h"
#include "broker/connection.h"

/* Finds the rights of a Client by this name. False: no memory; nothing is allowed then. */
bool MUST_USE permission_find(struct connection *connection, struct bytes client_identifier);
/* The worker has taken over another policy: finds those of all its Clients again. */
void permission_renew(struct worker *worker);

bool permission_granted(const struct connection *connection, enum acl_action action,
                        struct bytes topic);

static inline bool permission_to_publish(const struct connection *connection, struct bytes topic)
{
    return __builtin_expect(connection->rights == NULL, true) ||
           permission_granted(connection, ACL_WRITE, topic);
}

static inline bool permission_to_receive(const struct connection *connection, struct bytes topic)
{
    return __builtin_expect(connection->rights == NULL, true) ||
           permission_granted(connection, ACL_READ, topic);
}

/* `filter` is a plain Topic Filter, or what is shared. */
bool permission_to_subscribe(const struct connection *connection, struct bytes filter);

#endif
