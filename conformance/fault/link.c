/* The way of a packet: framed, read, noted, shown to the fault, written. */
#include "conformance/fault/proxy.h"
#include "conformance/fault/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LARGEST_LOOKED_AT = 16 << 20, /* bytes of a client's packet; larger ones pass unread */
    RIGHT_SUBPROTOCOLS = 3,       /* links: who first asks the server what it can is not put off */
    FIRST_OWN_ID = 61000,         /* a client or server that uses as many at once is not expected */
};

static const struct fault_hooks *hooks(void)
{
    return proxy_settings()->fault->hooks;
}

/* ---- Writing ---- */

void link_to_client_bytes(struct link *link, const void *data, size_t size)
{
    if (link->client.fd < 0 || link->client.closing)
        return;
    if (proxy_settings()->websocket)
        websocket_front_write(&link->websocket, hooks()->websocket, data, size, &link->client.out);
    else
        buffer_bytes(&link->client.out, data, size);
    proxy_flush(&link->client);
}

void link_to_server_bytes(struct link *link, const void *data, size_t size)
{
    if (link->server.fd < 0 || link->server.closing)
        return;
    buffer_bytes(&link->server.out, data, size);
    proxy_flush(&link->server);
}

void link_to_client(struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    link_to_client_bytes(link, bytes.data, bytes.size);
    buffer_free(&bytes);
}

void link_to_server(struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    link_to_server_bytes(link, bytes.data, bytes.size);
    buffer_free(&bytes);
}

static void close_client(struct link *link)
{
    if (proxy_settings()->websocket && !link->client.closing)
        websocket_front_end(&link->websocket, &link->client.out);
    link->client.closing = true;
    proxy_flush(&link->client);
}

static void leave(struct link *link)
{
    struct session *session = link->session;
    if (!session || session->link != link)
        return;
    session->link = NULL;
    session->left_at_ms = proxy_now_ms();
    struct packet connect;
    if (link->connect && kept_read(link->connect, link, &connect) && connect.will_topic.data) {
        struct published *will = published_find(connect.will_topic, connect.will_payload);
        if (will)
            will->at_ms = session->left_at_ms;
    }
    session->expiry_s = link->expiry_s;
    if (!link->expiry_s) {
        session->exists = false;
        session_clear(session);
    }
}

void link_orphan(struct link *link)
{
    leave(link);
    link->orphaned = true;
    proxy_close(&link->server, false);
}

void link_close(struct link *link, uint8_t reason_code)
{
    if (reason_code && is_5(link)) {
        enum packet_type type = link->connected ? DISCONNECT : CONNACK;
        link_to_client(link, &(struct packet){.type = type, .reason_code = reason_code});
    }
    close_client(link);
    link->server.closing = true;
    proxy_flush(&link->server);
}

/* ---- Tools of hooks ---- */

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

/* ---- Keeping book ---- */

/* The Topic Name that a PUBLISH means, by the aliases set before on that side. */
static struct text resolve(struct side *from, const struct packet *publish)
{
    uint32_t alias = property_number(&publish->properties, TOPIC_ALIAS, 0);
    if (!alias || alias > UINT16_MAX)
        return publish->topic;
    if (!from->aliases)
        from->aliases = calloc(UINT16_MAX + 1, sizeof *from->aliases);
    struct text *known = &from->aliases[alias];
    if (publish->topic.size) {
        uint8_t *copy = malloc(publish->topic.size);
        memcpy(copy, publish->topic.data, publish->topic.size);
        free((void *)known->data);
        *known = (struct text){copy, publish->topic.size};
    }
    return *known;
}

static void note_published(struct link *link, struct text topic, struct text payload,
                           const struct properties *properties, uint8_t qos, bool retain, bool dup,
                           bool will)
{
    struct published *message = dup ? published_find(topic, payload) : NULL;
    if (!message) /* else it is as old as at its first attempt */
        message = published_note(topic, payload);
    message->dup = dup;
    message->retain = retain;
    message->qos = qos;
    message->expiry_s = property_number(properties, MESSAGE_EXPIRY_INTERVAL, UINT32_MAX);
    message->publisher = link->session;
    message->will = will;
}

static void note_connect(struct link *link, const struct passing *passing)
{
    const struct packet *connect = &passing->packet;
    if (link->connects++)
        return;
    const struct properties *properties = &connect->properties;
    link->connect = passing_keep(link, passing);
    link->receive_maximum = (uint16_t)property_number(properties, RECEIVE_MAXIMUM, UINT16_MAX);
    link->topic_alias_maximum = (uint16_t)property_number(properties, TOPIC_ALIAS_MAXIMUM, 0);
    link->maximum_packet_size = property_number(properties, MAXIMUM_PACKET_SIZE, UINT32_MAX);
    link->keep_alive_s = connect->keep_alive_s;
    link->expiry_s = is_5(link) ? property_number(properties, SESSION_EXPIRY_INTERVAL, 0)
                                : (connect->clean_start ? 0 : UINT32_MAX);
    if (connect->client_id.size) {
        link->session = session_of(connect->client_id);
        link->after_outage = link->session->outages < proxy_outages();
        link->session->outages = proxy_outages();
    }
    if (connect->will_topic.data) {
        note_published(link, connect->will_topic, connect->will_payload, &connect->will_properties,
                       connect->will_qos, connect->will_retain, false, true);
    }
}

/* Whether the packet belongs to an exchange that the proxy plays: it ends here. */
static bool client_packet_is_ours(struct link *link, const struct packet *packet)
{
    struct session *session = link->session;
    if (!session)
        return false;
    uint16_t id = packet->packet_id;
    switch (packet->type) {
    case PUBREL:
        if (!id_set_remove(&session->answered_client, id))
            return false;
        id_set_remove(&session->inbound, id);
        link_to_client(link, &(struct packet){.type = PUBCOMP, .packet_id = id});
        return true;
    case PUBREC:
        if (!id_set_has(&session->injected_client, id))
            return false;
        if (packet->reason_code < 0x80)
            link_to_client(link, &(struct packet){.type = PUBREL, .packet_id = id});
        else
            id_set_remove(&session->injected_client, id);
        return true;
    case PUBACK:
    case PUBCOMP:
        return id_set_remove(&session->injected_client, id);
    default:
        return false;
    }
}

static bool server_packet_is_ours(struct link *link, const struct packet *packet)
{
    struct session *session = link->session;
    if (!session)
        return false;
    uint16_t id = packet->packet_id;
    switch (packet->type) {
    case PUBREL:
        if (!id_set_remove(&session->answered_server, id))
            return false;
        link_to_server(link, &(struct packet){.type = PUBCOMP, .packet_id = id});
        return true;
    case PUBREC:
        if (!id_set_has(&session->injected_server, id))
            return false;
        if (packet->reason_code < 0x80)
            link_to_server(link, &(struct packet){.type = PUBREL, .packet_id = id});
        else
            id_set_remove(&session->injected_server, id);
        return true;
    case PUBACK:
    case PUBCOMP:
        return id_set_remove(&session->injected_server, id);
    case SUBACK:
    case UNSUBACK:
        return id_set_remove(&link->own_requests, id);
    default:
        return false;
    }
}

static void note_client(struct link *link, struct passing *passing)
{
    const struct packet *packet = &passing->packet;
    switch (packet->type) {
    case CONNECT:
        note_connect(link, passing);
        break;
    case PUBLISH:
        passing->topic = resolve(&link->client, packet);
        note_published(link, passing->topic, packet->payload, &packet->properties, packet->qos,
                       packet->retain, packet->dup, false);
        break;
    case SUBSCRIBE:
        link->subscribes++;
        queue_push(&link->subscribing, passing_keep(link, passing));
        break;
    case DISCONNECT:
        link->disconnected = true;
        link->expiry_s =
            property_number(&packet->properties, SESSION_EXPIRY_INTERVAL, link->expiry_s);
        break;
    default:
        break;
    }
}

static void note_client_after(struct link *link, const struct packet *packet)
{
    struct session *session = link->session;
    if (!session)
        return;
    struct exchange *exchange = session_exchange(session, packet->packet_id);
    switch (packet->type) {
    case PUBLISH:
        if (packet->qos == 2)
            id_set_add(&session->inbound, packet->packet_id);
        break;
    case PUBREC:
        if (exchange && packet->reason_code < 0x80)
            exchange->received = true;
        else if (exchange)
            session_exchange_end(session, packet->packet_id);
        break;
    case PUBACK:
    case PUBCOMP:
        session_exchange_end(session, packet->packet_id);
        break;
    case UNSUBSCRIBE:
        for (unsigned i = 0; i < packet->filter_count; i++)
            session_unsubscribe(session, packet->filters[i].filter);
        break;
    default:
        break;
    }
}

static void note_connack(struct link *link, const struct packet *connack)
{
    if (connack->reason_code)
        return;
    const struct property *assigned =
        property_find(&connack->properties, ASSIGNED_CLIENT_IDENTIFIER);
    if (assigned)
        link->session = session_of(assigned->text);
    if (!link->session) {
        char name[40];
        snprintf(name, sizeof name, "without an identifier: %u", link->number);
        link->session = session_of(text_of(name));
    }
    link->connack = *connack;
    link->expiry_s = property_number(&connack->properties, SESSION_EXPIRY_INTERVAL, link->expiry_s);
    struct session *session = link->session;
    if (!connack->session_present) {
        session_clear(session);
        struct packet connect;
        session->clean_started =
            link->connect && kept_read(link->connect, link, &connect) && connect.clean_start;
    }
    session->link = link;
    session->exists = true;
    link->connected = true;
    link->connected_at_ms = proxy_now_ms();
}

static void note_suback(struct link *link, const struct packet *suback)
{
    struct queue others = {0};
    for (struct kept *kept; (kept = queue_pop(&link->subscribing));) {
        struct packet subscribe;
        if (kept->packet_id != suback->packet_id) {
            queue_push(&others, kept);
            continue;
        }
        if (link->session && kept_read(kept, link, &subscribe)) {
            uint32_t identifier =
                property_number(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, 0);
            for (unsigned i = 0; i < subscribe.filter_count && i < suback->reason_codes.size; i++) {
                uint8_t code = suback->reason_codes.data[i];
                if (code <= 2)
                    session_subscribe(link->session, subscribe.filters[i].filter,
                                      subscribe.filters[i].options, identifier, code);
            }
        }
        free(kept);
    }
    link->subscribing = others;
}

static void note_server(struct link *link, struct passing *passing)
{
    struct packet *packet = &passing->packet;
    switch (packet->type) {
    case CONNACK:
        note_connack(link, packet);
        break;
    case SUBACK:
        note_suback(link, packet);
        break;
    case PUBLISH:
        passing->topic = resolve(&link->server, packet);
        passing->origin = published_find(passing->topic, packet->payload);
        if (packet->qos && link->session)
            session_exchange_begin(link->session, packet->packet_id, packet->qos, passing->origin,
                                   passing_keep(link, passing));
        break;
    default:
        break;
    }
}

/* ---- Passing ---- */

/* The version of the CONNECT at `data`, or that of the link. */
static enum version version_of(const struct link *link, const uint8_t *data, size_t size)
{
    size_t at = 1;
    if (link->connects || !size || data[0] >> 4 != CONNECT)
        return link->version;
    while (at < size && at < 5 && data[at] & 0x80)
        at++;
    at++;
    if (at + 2 > size)
        return link->version;
    size_t level = at + 2 + ((size_t)data[at] << 8 | data[at + 1]);
    if (level >= size)
        return link->version;
    return data[level] == 5 ? VERSION_5 : VERSION_311;
}

static void forward(struct link *link, const struct passing *passing,
                    void (*send)(struct link *, const struct packet *),
                    void (*send_bytes)(struct link *, const void *, size_t))
{
    if (passing->dropped)
        return;
    if (passing->changed)
        send(link, &passing->packet);
    else
        send_bytes(link, passing->bytes.data, passing->bytes.size);
}

static void read_passing(struct link *link, struct passing *passing, const uint8_t *data,
                         size_t size, bool from_server)
{
    size_t used = 0;
    passing->bytes = (struct text){data, size};
    passing->from_server = from_server;
    enum read_result result = packet_read(data, size, link->version, from_server, &passing->packet,
                                          &used, &passing->mistake);
    passing->readable = result == READ_PACKET && used == size;
    if (!passing->readable)
        memset(&passing->packet, 0, sizeof passing->packet);
}

static void pass_from_client(struct link *link, const uint8_t *data, size_t size)
{
    struct passing passing = {0};
    link->version = version_of(link, data, size);
    read_passing(link, &passing, data, size, false);
    link->client_packet_at_ms = proxy_now_ms();
    if (passing.readable && client_packet_is_ours(link, &passing.packet))
        return;
    if (link->orphaned) {
        if (is(&passing, PINGREQ))
            link_to_client(link, &(struct packet){.type = PINGRESP});
        return;
    }
    struct packet *before = NULL;
    if (passing.readable) {
        note_client(link, &passing);
        before = proxy_scratch(sizeof *before);
        *before = passing.packet;
    }
    if (hooks()->client)
        hooks()->client(link, &passing);
    if (passing.dropped || !authenticator_client(link, &passing))
        forward(link, &passing, link_to_server, link_to_server_bytes);
    if (before)
        note_client_after(link, before);
}

static void pass_from_server(struct link *link, const uint8_t *data, size_t size)
{
    struct passing passing = {0};
    read_passing(link, &passing, data, size, true);
    if (passing.readable) {
        if (server_packet_is_ours(link, &passing.packet))
            return;
        note_server(link, &passing);
        if (is(&passing, PUBCOMP) && link->session)
            id_set_remove(&link->session->inbound, passing.packet.packet_id);
        authenticator_server(link, &passing);
    }
    if (hooks()->server)
        hooks()->server(link, &passing);
    forward(link, &passing, link_to_client, link_to_client_bytes);
    if (hooks()->after_server)
        hooks()->after_server(link, &passing);
}

void link_from_server(struct link *link, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, link->version, packet);
    pass_from_server(link, bytes.data, bytes.size);
    buffer_free(&bytes);
}

/* How many bytes the packet at the front has; 0: its length is not known yet; SIZE_MAX: never. */
static size_t frame_size(const uint8_t *data, size_t size)
{
    size_t length = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (1 + i >= size)
            return 0;
        length |= (size_t)(data[1 + i] & 0x7f) << (7 * i);
        if (!(data[1 + i] & 0x80))
            return 2 + i + length;
    }
    return SIZE_MAX;
}

/* Passes bytes that are no packet. */
static void pass_raw(struct side *from, const uint8_t *data, size_t size)
{
    struct link *link = from->link;
    (from == &link->client ? link_to_server_bytes : link_to_client_bytes)(link, data, size);
}

/* Takes one packet, or what there is of something else; returns how many bytes; 0: more is needed.
 */
static size_t take(struct side *from, const uint8_t *data, size_t size)
{
    struct link *link = from->link;
    if (from->raw_left) {
        size_t part = size < from->raw_left ? size : from->raw_left;
        from->raw_left -= part;
        pass_raw(from, data, part);
        return part;
    }
    size_t frame = link->raw ? SIZE_MAX : frame_size(data, size);
    if (frame == SIZE_MAX) {
        struct passing passing = {.bytes = {data, size},
                                  .mistake = {.statement = "MQTT-1.5.5-1",
                                              .offset = 1,
                                              .what = "longer than four bytes"}};
        if (!link->raw && from == &link->client && hooks()->client)
            hooks()->client(link, &passing);
        if (passing.dropped)
            return size;
        link->raw = true;
        pass_raw(from, data, size);
        return size;
    }
    if (frame > LARGEST_LOOKED_AT) {
        from->raw_left = frame;
        return take(from, data, size);
    }
    if (!frame || frame > size)
        return 0;
    (from == &link->client ? pass_from_client : pass_from_server)(link, data, frame);
    return frame;
}

static void link_read(struct side *side)
{
    struct link *link = side->link;
    size_t at = 0;
    if (link->agent)
        at = side->in.size;
    while (at < side->in.size && side->fd >= 0) {
        size_t taken = take(side, side->in.data + at, side->in.size - at);
        if (!taken)
            break;
        at += taken;
    }
    side->in.size -= at;
    if (at)
        memmove(side->in.data, side->in.data + at, side->in.size);
}

void link_feed(struct side *side, const uint8_t *data, size_t size)
{
    struct link *link = side->link;
    if (!proxy_settings()->websocket || side != &link->client) {
        buffer_bytes(&side->in, data, size);
        link_read(side);
        return;
    }
    enum websocket_breach breach = hooks()->websocket;
    if (breach == WEBSOCKET_WRONG_SUBPROTOCOL && link->number <= RIGHT_SUBPROTOCOLS)
        breach = WEBSOCKET_SOUND;
    websocket_front_feed(&link->websocket, breach, data, size, &side->in, &side->out);
    proxy_flush(side);
    link_read(side);
    if (link->websocket.ended && !side->ended && !side->closing)
        link_ended(side, false);
}

static void server_ended(struct link *link)
{
    proxy_close(&link->server, false);
    if (link->client.fd < 0 || link->client.ended || link->client.closing) {
        leave(link);
        return;
    }
    if (hooks()->server_closed && hooks()->server_closed(link)) {
        link_orphan(link);
        return;
    }
    leave(link);
    close_client(link);
}

void link_server_gone(struct link *link)
{
    server_ended(link);
}

void link_ended(struct side *side, bool reset)
{
    struct link *link = side->link;
    side->ended = true;
    if (side == &link->server) {
        server_ended(link);
        return;
    }
    if (side->in.size && !reset) /* half a packet */
        link_to_server_bytes(link, side->in.data, side->in.size);
    if (hooks()->client_closed)
        hooks()->client_closed(link);
    leave(link);
    if (reset) {
        proxy_close(&link->client, false);
        proxy_close(&link->server, true);
        return;
    }
    link->client.closing = true;
    proxy_flush(&link->client);
    link->server.closing = true;
    proxy_flush(&link->server);
}

static void side_fini(struct side *side)
{
    buffer_free(&side->in);
    buffer_free(&side->out);
    for (unsigned i = 0; side->aliases && i <= UINT16_MAX; i++)
        free((void *)side->aliases[i].data);
    free(side->aliases);
}

void link_fini(struct link *link)
{
    leave(link);
    side_fini(&link->client);
    side_fini(&link->server);
    free(link->connect);
    queue_clear(&link->subscribing);
    id_set_clear(&link->own_requests);
    authenticator_fini(&link->authenticator);
    websocket_front_fini(&link->websocket);
    queue_clear(&link->memory.queue);
    id_set_clear(&link->memory.ids);
}
