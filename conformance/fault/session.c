#include "conformance/fault/session.h"

#include <stdlib.h>
#include <string.h>

#include "conformance/fault/topic.h"

enum { BUCKETS = 65536 };

static struct session *sessions; /* the newest first */
static struct published *messages[BUCKETS];

static void *zeroed(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        abort();
    return memory;
}

static struct text text_copy(struct text text)
{
    uint8_t *data = zeroed(text.size + 1);
    if (text.size)
        memcpy(data, text.data, text.size);
    return (struct text){data, text.size};
}

/* ---- Sessions ---- */

struct session *session_first(void)
{
    return sessions;
}

struct session *session_find(struct text id)
{
    for (struct session *session = sessions; session; session = session->next) {
        if (text_equal(session->id, id))
            return session;
    }
    return NULL;
}

struct session *session_of(struct text id)
{
    struct session *session = session_find(id);
    if (session)
        return session;
    session = zeroed(sizeof *session);
    session->id = text_copy(id);
    session->next = sessions;
    session->outages = proxy_outages();
    sessions = session;
    return session;
}

void session_clear(struct session *session)
{
    while (session->subscriptions)
        session_unsubscribe(session, session->subscriptions->filter);
    while (session->exchanges)
        session_exchange_end(session, session->exchanges->packet_id);
    id_set_clear(&session->inbound);
    id_set_clear(&session->answered_client);
    id_set_clear(&session->answered_server);
    id_set_clear(&session->injected_client);
    id_set_clear(&session->injected_server);
}

/* ---- Subscriptions ---- */

struct subscription *session_subscription(struct session *session, struct text filter)
{
    for (struct subscription *at = session->subscriptions; at; at = at->next) {
        if (text_equal(at->filter, filter))
            return at;
    }
    return NULL;
}

void session_subscribe(struct session *session, struct text filter, uint8_t options,
                       uint32_t identifier, uint8_t granted)
{
    struct subscription *subscription = session_subscription(session, filter);
    if (!subscription) {
        subscription = zeroed(sizeof *subscription);
        subscription->filter = text_copy(filter);
        subscription->next = session->subscriptions;
        session->subscriptions = subscription;
    }
    subscription->options = options;
    subscription->identifier = identifier;
    subscription->granted = granted;
}

void session_unsubscribe(struct session *session, struct text filter)
{
    for (struct subscription **at = &session->subscriptions; *at; at = &(*at)->next) {
        struct subscription *subscription = *at;
        if (!text_equal(subscription->filter, filter))
            continue;
        *at = subscription->next;
        free((void *)subscription->filter.data);
        free(subscription);
        return;
    }
}

struct subscription *session_match(struct session *session, struct text topic,
                                   struct subscription *after)
{
    struct subscription *at = after ? after->next : session->subscriptions;
    while (at && !topic_matches(at->filter, topic))
        at = at->next;
    return at;
}

/* ---- Exchanges ---- */

struct exchange *session_exchange(struct session *session, uint16_t packet_id)
{
    struct exchange *at = session->exchanges;
    while (at && at->packet_id != packet_id)
        at = at->next;
    return at;
}

void session_exchange_begin(struct session *session, uint16_t packet_id, uint8_t qos,
                            const struct published *origin, struct kept *publish)
{
    session_exchange_end(session, packet_id);
    struct exchange *exchange = zeroed(sizeof *exchange);
    *exchange = (struct exchange){.packet_id = packet_id,
                                  .qos = qos,
                                  .sent_at_ms = proxy_now_ms(),
                                  .origin = origin,
                                  .publish = publish};
    struct exchange **at = &session->exchanges;
    while (*at)
        at = &(*at)->next;
    *at = exchange;
}

void session_exchange_end(struct session *session, uint16_t packet_id)
{
    for (struct exchange **at = &session->exchanges; *at; at = &(*at)->next) {
        struct exchange *exchange = *at;
        if (exchange->packet_id != packet_id)
            continue;
        *at = exchange->next;
        free(exchange->publish);
        free(exchange);
        return;
    }
}

unsigned session_exchange_count(const struct session *session)
{
    unsigned count = 0;
    for (const struct exchange *at = session->exchanges; at; at = at->next)
        count++;
    return count;
}

/* ---- Messages ---- */

/* FNV-1a over the topic, a byte that no topic holds, and the payload. */
static uint64_t message_hash(struct text topic, struct text payload)
{
    static const uint8_t between = 0;
    const struct text parts[] = {topic, {&between, 1}, payload};
    uint64_t hash = 0xcbf29ce484222325u;
    for (unsigned part = 0; part < 3; part++) {
        for (size_t i = 0; i < parts[part].size; i++)
            hash = (hash ^ parts[part].data[i]) * 0x100000001b3u;
    }
    return hash;
}

static struct published *find_hash(uint64_t hash)
{
    struct published *at = messages[hash % BUCKETS];
    while (at && at->hash != hash)
        at = at->next;
    return at;
}

struct published *published_note(struct text topic, struct text payload)
{
    uint64_t hash = message_hash(topic, payload);
    struct published *message = find_hash(hash);
    if (!message) {
        message = zeroed(sizeof *message);
        message->hash = hash;
        message->next = messages[hash % BUCKETS];
        messages[hash % BUCKETS] = message;
    }
    message->at_ms = proxy_now_ms();
    return message;
}

struct published *published_find(struct text topic, struct text payload)
{
    return find_hash(message_hash(topic, payload));
}

bool published_offline(const struct link *link, const struct passing *passing)
{
    const struct published *origin = passing->origin;
    if (!origin || !link->session || !link->session->left_at_ms)
        return false;
    if (passing->packet.retain && link->subscribes)
        return false; /* a retained message for a new subscription */
    return origin->at_ms >= link->session->left_at_ms && origin->at_ms <= link->connected_at_ms;
}
