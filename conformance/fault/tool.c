/* What hooks do with packets: the tools that fault.h declares. */
#include "conformance/fault/proxy.h"
#include "conformance/fault/session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_OWN_ID = 61000 }; /* a client or server that uses as many at once is not expected */

/* ---- Properties and copies ---- */

void property_remove(struct properties *properties, enum property_id id)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < properties->count; i++) {
        if (properties->list[i].id != (uint32_t)id)
            properties->list[kept++] = properties->list[i];
    }
    properties->count = kept;
}

void property_set(struct properties *properties, enum property_id id, uint32_t number)
{
    for (unsigned i = 0; i < properties->count; i++) {
        if (properties->list[i].id == (uint32_t)id) {
            properties->list[i].number = number;
            return;
        }
    }
    property_add(properties, id, number);
}

struct kept *passing_keep(const struct link *link, const struct passing *passing)
{
    struct buffer bytes = {0};
    if (passing->changed)
        packet_write(&bytes, link->version, &passing->packet);
    else
        buffer_bytes(&bytes, passing->bytes.data, passing->bytes.size);
    struct kept *kept = kept_new(bytes.data, bytes.size, passing->from_server);
    kept->packet_id = passing->packet.packet_id;
    buffer_free(&bytes);
    return kept;
}

bool kept_read(const struct kept *kept, const struct link *link, struct packet *out)
{
    size_t used;
    struct packet_fault mistake;
    return packet_read(kept->bytes, kept->size, link->version, kept->from_server, out, &used,
                       &mistake) == READ_PACKET;
}

bool link_connect(const struct link *link, struct packet *out)
{
    return link->connect && kept_read(link->connect, link, out);
}

bool link_named_method(const struct link *link)
{
    struct packet connect;
    return link_connect(link, &connect) &&
           property_find(&connect.properties, AUTHENTICATION_METHOD);
}

/* ---- Packets that go no further, or later ---- */

void swallow_from_client(struct link *link, struct passing *passing)
{
    const struct packet *publish = &passing->packet;
    drop(passing);
    if (!publish->qos || !link->session)
        return;
    enum packet_type type = publish->qos == 1 ? PUBACK : PUBREC;
    if (type == PUBREC)
        id_set_add(&link->session->answered_client, publish->packet_id);
    link_to_client(link, &(struct packet){.type = type, .packet_id = publish->packet_id});
}

void swallow_from_server(struct link *link, struct passing *passing)
{
    const struct packet *publish = &passing->packet;
    drop(passing);
    if (!publish->qos || !link->session)
        return;
    session_exchange_end(link->session, publish->packet_id);
    enum packet_type type = publish->qos == 1 ? PUBACK : PUBREC;
    if (type == PUBREC)
        id_set_add(&link->session->answered_server, publish->packet_id);
    link_to_server(link, &(struct packet){.type = type, .packet_id = publish->packet_id});
}

static void send_now(struct link *link, struct kept *kept)
{
    link_to_server_bytes(link, kept->bytes, kept->size);
}

void send_later(struct link *link, struct passing *passing, unsigned ms)
{
    link_later(link, ms, send_now, passing_keep(link, passing));
    drop(passing);
}

/* ---- Packets of the proxy's own ---- */

static uint16_t own_id(struct session *session)
{
    unsigned next = session->next_injected++;
    return (uint16_t)(FIRST_OWN_ID + next % (65536 - FIRST_OWN_ID));
}

void inject_to_client(struct link *link, const struct packet *publish)
{
    struct packet copy = *publish;
    if (copy.qos && link->session) {
        copy.packet_id = own_id(link->session);
        id_set_add(&link->session->injected_client, copy.packet_id);
    }
    link_to_client(link, &copy);
}

void inject_to_server(struct link *link, const struct packet *publish)
{
    struct packet copy = *publish;
    if (copy.qos && link->session) {
        copy.packet_id = own_id(link->session);
        id_set_add(&link->session->injected_server, copy.packet_id);
    }
    link_to_server(link, &copy);
}

void inject_subscribe(struct link *link, const struct packet *subscribe)
{
    struct packet copy = *subscribe;
    copy.packet_id = own_id(link->session);
    id_set_add(&link->own_requests, copy.packet_id);
    link_to_server(link, &copy);
}

static void agent_connect(struct link *agent, struct text client_id)
{
    agent->version = VERSION_311;
    link_to_server(agent, &(struct packet){.type = CONNECT,
                                           .clean_start = true,
                                           .keep_alive_s = 60,
                                           .client_id = client_id});
}

void proxy_post_sentry(void)
{
    struct link *agent = proxy_agent();
    char id[24];
    if (!agent)
        return;
    snprintf(id, sizeof id, "sentry%u", proxy_outages() * 65536u + (unsigned)getpid() % 65536u);
    agent->sentry = true;
    agent->version = VERSION_311;
    link_to_server(
        agent, &(struct packet){.type = CONNECT, .clean_start = true, .client_id = text_of(id)});
}

void proxy_end_session(struct text client_id)
{
    struct link *agent = proxy_agent();
    if (!agent)
        return;
    agent_connect(agent, client_id);
    link_to_server(agent, &(struct packet){.type = DISCONNECT});
}

void proxy_publish(struct text topic, struct text payload, bool retain)
{
    static unsigned number;
    struct link *agent = proxy_agent();
    if (!agent)
        return;
    char id[32];
    snprintf(id, sizeof id, "fault%u", ++number);
    agent_connect(agent, text_of(id));
    link_to_server(
        agent,
        &(struct packet){.type = PUBLISH, .topic = topic, .payload = payload, .retain = retain});
    link_to_server(agent, &(struct packet){.type = DISCONNECT});
}
