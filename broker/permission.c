#include "broker/permission.h"

#include "base/check.h"
#include "base/memory.h"
#include "broker/policy.h"
#include "broker/session.h"

bool permission_find(struct connection *connection, struct bytes client_identifier)
{
    const struct principal *principal = connection->principal;
    const struct acl *acl = connection->worker->policy->acl;
    struct acl_client *rights = NULL;
    if (acl != NULL) {
        struct acl_subject subject = {
            .client_identifier = client_identifier,
            .user_name = principal->user_name,
            .listener = bytes_of_text(connection->listener->config->name),
            .certificate_subject = principal->subject,
            .anonymous = principal->user_name.size == 0,
        };
        rights = acl_client_new(acl, &subject);
        if (rights == NULL)
            return false;
    }
    acl_client_free(connection->rights);
    connection->rights = rights;
    return true;
}

/* Its Client has done nothing to be sent away for, with its Will Message published. */
static void renew(struct connection *connection)
{
    struct bytes client_identifier = connection->session->client_identifier;
    if (permission_find(connection, client_identifier))
        return;
#ifdef SEEDED_BUG_SENT_AWAY_FOR_MEMORY
    connection_event(connection, CONNECTION_EVENT_STOPPED, REASON_SERVER_BUSY, "5.0 section 4.13.2",
                     "out of memory");
    return;
#endif
    memory_use_reserve();
    bool found = permission_find(connection, client_identifier);
    CHECK(found);
}

void permission_renew(struct worker *worker)
{
#ifdef SEEDED_BUG_RIGHTS_OF_YESTERDAY
    return;
#endif
    for (struct list *node = worker->connections.next; node != &worker->connections;
         node = node->next) {
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        if (connection->session != NULL) {
            renew(connection);
            continue;
        }
        /* They point into a list that is about to go. */
        acl_client_free(connection->rights);
        connection->rights = NULL;
    }
}

bool permission_granted(const struct connection *connection, enum acl_action action,
                        struct bytes topic)
{
    return acl_client_may(connection->rights, action, topic).allowed;
}

bool permission_to_subscribe(const struct connection *connection, struct bytes filter)
{
    return connection->rights == NULL ||
           acl_client_may_subscribe(connection->rights, filter).allowed;
}
