#include "broker/proxied.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/network.h"
#include "broker/connection.h"
#include "proxy/proxy.h"

/* ---- Whose word is taken ---- */

enum status proxied_open(struct listener *listener)
{
    const char *text = listener->config->proxy_from;
    struct network network;
    while (listener->config->proxy_protocol && network_next(&text, &network)) {
        struct network *more =
            realloc(listener->proxies, (listener->proxy_count + 1) * sizeof network);
        if (more == NULL)
            return STATUS_NO_MEMORY;
        more[listener->proxy_count++] = network;
        listener->proxies = more;
    }
    return STATUS_OK;
}

void proxied_close(struct listener *listener)
{
    free(listener->proxies);
}

bool proxied_trusts(const struct listener *listener, const struct address *peer)
{
    for (unsigned i = 0; i < listener->proxy_count; i++) {
        if (network_contains(&listener->proxies[i], peer->host, peer->is_ipv6))
            return true;
    }
#ifdef SEEDED_BUG_ANY_PROXY
    return true;
#endif
    return false;
}

/* ---- The header ---- */

static void refuse(struct connection *connection, const char *why)
{
    char peer[ADDRESS_TEXT_SIZE];
    log_line(LOG_NOTICE, "%s: listener \"%s\": %s", address_text(&connection->peer, peer),
             connection->listener->config->name, why);
    connection_peer_closed(connection, "PROXY failure");
}

static void take_address(struct connection *connection, const struct proxy_header *header)
{
    char balancer[ADDRESS_TEXT_SIZE], peer[ADDRESS_TEXT_SIZE];
    address_text(&connection->peer, balancer);
    connection->awaits_proxy = false;
    connection->input_left = true; /* behind the header */
    if (!header->has_address)
        return;
    connection->peer = (struct address){.port = header->port, .is_ipv6 = header->is_ipv6};
    memcpy(connection->peer.host, header->host, sizeof header->host);
    log_line(LOG_DEBUG, "%s: through the proxy at %s", address_text(&connection->peer, peer),
             balancer);
}

bool proxied_read(struct connection *connection)
{
    uint8_t *data = connection->worker->input;
    /* Looked at and left where it is until it is whole: no part of it is kept. */
    ssize_t size = recv(connection->fd, data, PROXY_HEADER_MAX, MSG_PEEK);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
        connection_peer_closed(connection, size == 0 ? "end of stream" : strerror(errno));
        return false;
    }
    if (size < 0) {
        connection->input_left = errno == EINTR;
        return false;
    }
    struct proxy_header header;
    size_t used;
    const char *why = NULL;
    switch (proxy_parse(data, (size_t)size, &header, &used, &why)) {
    case PROXY_REFUSED:
        refuse(connection, why);
        return false;
    case PROXY_MORE:
        connection->input_left = false; /* what is still to come is told */
        if (connection->hangup)
            connection_peer_closed(connection, "end of stream");
        return false;
    case PROXY_DONE:
        break;
    }
    if (recv(connection->fd, data, used, 0) != (ssize_t)used) {
        refuse(connection, "its PROXY header is gone");
        return false;
    }
    take_address(connection, &header);
    return true;
}
