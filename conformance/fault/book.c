#include "conformance/fault/book.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/fault/session.h"

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

bool book_ends_client(struct link *link, const struct packet *packet)
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

bool book_ends_server(struct link *link, const struct packet *packet)
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

void book_client(struct link *link, struct passing *passing)
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

void book_client_after(struct link *link, const struct packet *packet)
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
        session->clean_started = link_connect(link, &connect) && connect.clean_start;
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

void book_server(struct link *link, struct passing *passing)
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

void book_leave(struct link *link)
{
    struct session *session = link->session;
    if (!session || session->link != link)
        return;
    session->link = NULL;
    session->left_at_ms = proxy_now_ms();
    struct packet connect;
    if (link_connect(link, &connect) && connect.will_topic.data) {
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
