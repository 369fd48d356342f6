#include <stdio.h>

#include "base/log.h"
#include "broker/connection.h"
#include "broker/session.h"

const char *connection_name(const struct connection *connection, char *out, size_t capacity)
{
    char peer[ADDRESS_TEXT_SIZE];
    address_text(&connection->peer, peer);
    int used = connection->session == NULL ? snprintf(out, capacity, "%s", peer)
                                           : snprintf(out, capacity, "client \"%s\" at %s",
                                                      session_name(connection->session), peer);
    struct bytes user_name = connection->principal->user_name;
    char shown[80];
    if (user_name.size > 0 && used > 0 && (size_t)used < capacity)
        snprintf(out + used, capacity - (size_t)used, ", user \"%s\"",
                 log_text(user_name.data, user_name.size, shown, sizeof shown));
    return out;
}
