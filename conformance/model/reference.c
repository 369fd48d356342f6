#include "conformance/model/reference.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const model_topics[MODEL_TOPICS] = {"a", "b", "a/x", "b/y/z"};
const char *const model_filters[MODEL_FILTERS] = {"a", "b", "a/x", "+", "a/#", "#", "+/+/z"};

struct message {
    unsigned publisher, topic;
    uint8_t qos;
    bool retain, owned, was_cut;
};

/* Whether the server may take the message in only now: its connection broke before the answer. */
static bool message_is_under_way(const struct message *message)
{
    return message->was_cut && !message->owned;
}

/* What a session is owed of one message. */
struct owed {
    unsigned message;
    uint8_t qos_mask; /* bit q: may come at QoS q */
    bool retained;    /* sent because of a subscription */
    bool may_retain_0, may_retain_1;
    bool must;       /* else it may come */
    unsigned copies; /* at most so many */
    unsigned received;
    unsigned connection; /* of the session, when it was published */
};

enum progress {
    SEEN,     /* PUBLISH came */
    RECORDED, /* PUBREC left */
    RELEASED, /* PUBREL came */
    DONE,     /* PUBACK or PUBCOMP left */
};

/* An exchange as the client knows it. Kept when it is done: a server that forgot may repeat it. */
struct exchange {
    uint16_t packet_id;
    unsigned message;
    uint8_t qos;
    enum progress progress;
    bool heard;          /* the server knows the last step that the client took */
    unsigned connection; /* on which it was last seen */
};

struct subscription {
    bool exists;
    uint8_t options;
};

struct session {
    bool exists, connected, stored;
    bool had_outage;     /* the server may have forgotten acknowledgements */
    unsigned connection; /* counts up */
    struct subscription subscriptions[MODEL_FILTERS];
    struct owed *owed;
    unsigned owed_count, owed_capacity;
    struct exchange *exchanges;
    unsigned exchange_count, exchange_capacity;
    unsigned newest[MODEL_CLIENTS][MODEL_TOPICS][3]; /* first seen last, per publisher and QoS */
};

struct reference {
    enum version version;
    struct session sessions[MODEL_CLIENTS];
    struct message *messages; /* number - 1 */
    unsigned message_count, message_capacity;
    unsigned retained[MODEL_TOPICS]; /* number, or 0 */
    char sentence[320];
    const char *statement;
};

/* ---- Small things ---- */

static void *grown(void *array, unsigned count, unsigned *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 32 : *capacity * 2;
    void *more = realloc(array, *capacity * size);
    if (more == NULL)
        abort();
    return more;
}

__attribute__((format(printf, 4, 5))) static const char *
wrong(struct reference *reference, const char *v5, const char *v311, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reference->sentence, sizeof reference->sentence, format, arguments);
    va_end(arguments);
    reference->statement = reference->version == VERSION_5 ? v5 : v311;
    return reference->sentence;
}

const char *reference_statement(const struct reference *reference)
{
    return reference->statement;
}

static struct message *message_at(struct reference *reference, unsigned number)
{
    return &reference->messages[number - 1];
}

bool reference_topic_matches(const char *filter, const char *topic)
{
    for (;;) {
        if (strcmp(filter, "#") == 0)
            return true;
        size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");
        bool plus = f == 1 && filter[0] == '+';
        if (!plus && (f != t || strncmp(filter, topic, f) != 0))
            return false;
        if (topic[t] == '\0')
            return filter[f] == '\0' || strcmp(filter + f, "/#") == 0;
        if (filter[f] == '\0')
            return false;
        filter += f + 1;
        topic += t + 1;
    }
}

struct reference *reference_new(enum version version)
{
    struct reference *reference = calloc(1, sizeof *reference);
    if (reference == NULL)
        abort();
    reference->version = version;
    reference->statement = "";
    return reference;
}

static void session_clear(struct session *session)
{
    unsigned connection = session->connection;
    free(session->owed);
    free(session->exchanges);
    *session = (struct session){.connection = connection};
}

void reference_free(struct reference *reference)
{
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        session_clear(&reference->sessions[i]);
    free(reference->messages);
    free(reference);
}

/* ---- Connections ---- */

const char *reference_connected(struct reference *reference, unsigned client, bool clean_start,
                                bool stored, bool session_present)
{
    struct session *session = &reference->sessions[client];
    bool present = session->exists && !clean_start;
    if (!present)
        session_clear(session);
    session->exists = session->connected = true;
    session->stored = stored;
    session->connection++;
    if (session_present && !present)
        return clean_start ? wrong(reference, "MQTT-3.2.2-2", "MQTT-3.2.2-1",
                                   "Session Present is 1 after Clean Start")
                           : wrong(reference, "MQTT-3.2.2-3", "MQTT-3.2.2-3",
                                   "Session Present is 1, but no session was stored");
    if (!session_present && present)
        return wrong(reference, "MQTT-3.1.2-5", "MQTT-3.1.2-4",
                     "Session Present is 0: the stored session is gone");
    return NULL;
}

void reference_heard(struct reference *reference, unsigned client)
{
    struct session *session = &reference->sessions[client];
    /* What was sent on an earlier connection may be lost with it. */
    for (unsigned i = 0; i < session->exchange_count; i++)
        session->exchanges[i].heard |= session->exchanges[i].connection == session->connection;
}

void reference_left(struct reference *reference, unsigned client, bool heard)
{
    struct session *session = &reference->sessions[client];
    session->connected = false;
    if (heard)
        reference_heard(reference, client);
    if (!session->stored)
        session_clear(session);
}

void reference_outage(struct reference *reference)
{
    for (unsigned client = 0; client < MODEL_CLIENTS; client++) {
        struct session *session = &reference->sessions[client];
        reference_left(reference, client, false);
        session->had_outage = true;
        for (unsigned i = 0; i < session->exchange_count; i++)
            session->exchanges[i].heard = false;
    }
}

/* ---- Subscriptions ---- */

static struct owed *owed_add(struct session *session)
{
    session->owed =
        grown(session->owed, session->owed_count, &session->owed_capacity, sizeof *session->owed);
    struct owed *owed = &session->owed[session->owed_count++];
    *owed = (struct owed){.connection = session->connection};
    return owed;
}

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static void owe_retained(struct reference *reference, struct session *session, unsigned filter,
                         uint8_t options)
{
    for (unsigned topic = 0; topic < MODEL_TOPICS; topic++) {
        unsigned number = reference->retained[topic];
        if (number == 0 || !reference_topic_matches(model_filters[filter], model_topics[topic]))
            continue;
        struct owed *owed = owed_add(session);
        owed->message = number;
        owed->qos_mask = (uint8_t)(1 << lower(message_at(reference, number)->qos, options & 3));
        owed->retained = true;
        owed->may_retain_1 = true;
        owed->copies = 1;
        /* Whether No Local holds for retained messages is a matter of reading. */
        bool own = (options & SUBSCRIBE_NO_LOCAL) != 0 &&
                   session == &reference->sessions[message_at(reference, number)->publisher];
        owed->must = owed->qos_mask != 1 && !own;
    }
}

void reference_unsubscribed(struct reference *reference, unsigned client, unsigned filter)
{
    struct session *session = &reference->sessions[client];
    session->subscriptions[filter].exists = false;
    /* What waits may still come; what has begun has to be completed, and is an exchange. */
    for (unsigned i = 0; i < session->owed_count; i++) {
        unsigned topic = message_at(reference, session->owed[i].message)->topic;
        if (reference_topic_matches(model_filters[filter], model_topics[topic]))
            session->owed[i].must = false;
    }
}

/* ---- Publishing ---- */

/* What the message is to the session by its subscriptions of now; copies 0: nothing. */
static struct owed match(struct reference *reference, unsigned client, unsigned number)
{
    const struct message *message = message_at(reference, number);
    struct session *session = &reference->sessions[client];
    struct owed found = {.message = number, .connection = session->connection};
    uint8_t best = 0;
    for (unsigned i = 0; session->exists && i < MODEL_FILTERS; i++) {
        const struct subscription *subscription = &session->subscriptions[i];
        if (!subscription->exists ||
            !reference_topic_matches(model_filters[i], model_topics[message->topic]) ||
            ((subscription->options & SUBSCRIBE_NO_LOCAL) != 0 && message->publisher == client))
            continue;
        uint8_t qos = lower(message->qos, subscription->options & 3);
        found.copies++;
        found.qos_mask |= (uint8_t)(1 << qos);
        best = qos > best ? qos : best;
        bool kept = (subscription->options & SUBSCRIBE_RETAIN_AS_PUBLISHED) != 0 && message->retain;
        found.may_retain_1 = found.may_retain_1 || kept;
        found.may_retain_0 = found.may_retain_0 || !kept;
    }
    found.must = best > 0;
    return found;
}

static struct owed *owed_live(struct session *session, unsigned number)
{
    for (unsigned i = 0; i < session->owed_count; i++) {
        if (session->owed[i].message == number && !session->owed[i].retained)
            return &session->owed[i];
    }
    return NULL;
}

/* The message was taken in before or is now: it must come if it had to in both cases. */
static void owed_join(struct owed *before, const struct owed *found, unsigned copies)
{
    before->qos_mask |= found->qos_mask;
    before->may_retain_0 = before->may_retain_0 || found->may_retain_0;
    before->may_retain_1 = before->may_retain_1 || found->may_retain_1;
    before->must = before->must && found->must;
    before->copies = copies;
}

static void route(struct reference *reference, unsigned number, bool again)
{
    for (unsigned client = 0; client < MODEL_CLIENTS; client++) {
        struct session *session = &reference->sessions[client];
        struct owed found = match(reference, client, number);
        struct owed *before = again ? owed_live(session, number) : NULL;
        if (found.copies == 0) {
            if (before != NULL) /* it may have been taken in only now */
                before->must = false;
        } else if (before == NULL) {
            found.must = found.must && !again;
            *owed_add(session) = found;
        } else {
            /* Taken in then or now; at QoS 1 perhaps both times. */
            unsigned more = message_at(reference, number)->qos < 2 ? before->copies : 0;
            unsigned most = before->copies > found.copies ? before->copies : found.copies;
            owed_join(before, &found, more > 0 ? more + found.copies : most);
        }
    }
}

unsigned reference_publish(struct reference *reference, unsigned client, unsigned topic,
                           uint8_t qos, bool retain)
{
    reference->messages = grown(reference->messages, reference->message_count,
                                &reference->message_capacity, sizeof *reference->messages);
    reference->messages[reference->message_count++] =
        (struct message){.publisher = client, .topic = topic, .qos = qos, .retain = retain};
    unsigned number = reference->message_count;
    route(reference, number, false);
    return number;
}

void reference_publish_cut(struct reference *reference, unsigned number)
{
    message_at(reference, number)->was_cut = true;
}

void reference_publish_again(struct reference *reference, unsigned number)
{
    route(reference, number, true);
}

void reference_publish_owned(struct reference *reference, unsigned number)
{
    struct message *message = message_at(reference, number);
    message->owned = true;
    if (message->retain)
        reference->retained[message->topic] = number;
}

/* A subscription of now may match a message that is still under way. */
static void owe_late(struct reference *reference, unsigned client, unsigned number)
{
    struct session *session = &reference->sessions[client];
    struct owed found = match(reference, client, number);
    struct owed *before = owed_live(session, number);
    if (found.copies == 0)
        return;
    if (before == NULL) {
        found.must = false;
        *owed_add(session) = found;
    } else {
        owed_join(before, &found, before->copies > found.copies ? before->copies : found.copies);
    }
}

void reference_subscribed(struct reference *reference, unsigned client, unsigned filter,
                          uint8_t options)
{
    struct session *session = &reference->sessions[client];
    struct subscription *subscription = &session->subscriptions[filter];
    unsigned handling = options >> 4;
    if (handling == 0 || (handling == 1 && !subscription->exists))
        owe_retained(reference, session, filter, options);
    *subscription = (struct subscription){.exists = true, .options = options};
    for (unsigned number = 1; number <= reference->message_count; number++) {
        if (message_is_under_way(message_at(reference, number)))
            owe_late(reference, client, number);
    }
}

/* ---- Deliveries ---- */

static struct exchange *exchange_of(struct session *session, uint16_t packet_id, unsigned number)
{
    for (unsigned i = session->exchange_count; i > 0; i--) {
        struct exchange *exchange = &session->exchanges[i - 1];
        if (exchange->packet_id == packet_id && (number == 0 || exchange->message == number))
            return exchange;
    }
    return NULL;
}

static const char *saw_again(struct reference *reference, const struct session *session,
                             struct exchange *exchange, const struct packet *publish)
{
    unsigned number = exchange->message;
    if (exchange->connection == session->connection && reference->version == VERSION_5)
        return wrong(reference, "MQTT-4.4.0-1", "", "message %u came twice on one connection",
                     number);
    if (!publish->dup)
        return wrong(reference, "MQTT-3.3.1-1", "MQTT-3.3.1-1", "message %u came again without DUP",
                     number);
    if (publish->qos != exchange->qos)
        return wrong(reference, "MQTT-4.4.0-1", "MQTT-4.4.0-1",
                     "message %u came again at QoS %u, first at %u", number, publish->qos,
                     exchange->qos);
    if (exchange->progress == RELEASED || (exchange->qos == 2 && exchange->progress == DONE))
        return wrong(reference, "MQTT-4.3.3-6", "MQTT-4.3.3-1",
                     "message %u came again as PUBLISH after its PUBREL", number);
    if (exchange->progress != SEEN && exchange->heard)
        return wrong(reference, exchange->qos == 2 ? "MQTT-4.3.3-4" : "MQTT-4.3.2-3",
                     exchange->qos == 2 ? "MQTT-4.3.3-1" : "MQTT-4.3.2-1",
                     "message %u came again although its %s had been taken in", number,
                     exchange->qos == 2 ? "PUBREC" : "PUBACK");
    exchange->connection = session->connection;
    if (exchange->qos == 1)
        exchange->progress = SEEN;
    return NULL;
}

/* The entry that this delivery is one of, or NULL with the sentence set. A copy with RETAIN 1 is
 * rather one that was owed because of a subscription, as those come in no other way. */
static struct owed *owed_for(struct reference *reference, struct session *session, unsigned number,
                             const struct packet *publish)
{
    const char *why = "it matched no subscription of this session";
    struct owed *live = NULL;
    for (unsigned i = 0; i < session->owed_count; i++) {
        struct owed *owed = &session->owed[i];
        if (owed->message != number)
            continue;
        if ((owed->qos_mask & 1 << publish->qos) == 0)
            why = "it is owed at another QoS";
        else if (publish->retain ? !owed->may_retain_1 : !owed->may_retain_0)
            why = "its RETAIN flag is wrong";
        else if (owed->received >= owed->copies &&
                 !(publish->qos == 1 && session->had_outage && owed->received > 0))
            why = "it came before, and is owed no more often";
        else if (owed->retained || !publish->retain)
            return owed;
        else
            live = owed;
    }
    if (live != NULL)
        return live;
    const char *v5 = "MQTT-4.5.0-1", *v311 = "MQTT-4.5.0-1";
    if (strstr(why, "RETAIN") != NULL) {
        v5 = "MQTT-3.3.1-12";
        v311 = "MQTT-3.3.1-9";
    } else if (strstr(why, "QoS") != NULL) {
        v5 = "MQTT-3.8.4-8";
        v311 = "MQTT-3.8.4-6";
    } else if (publish->qos == 2) {
        v5 = "MQTT-4.3.3-2";
        v311 = "MQTT-4.3.3-1";
    }
    wrong(reference, v5, v311, "message %u came (QoS %u, RETAIN %u, DUP %u): %s", number,
          publish->qos, publish->retain, publish->dup, why);
    return NULL;
}

/* Whether a copy with RETAIN 1 may be owed because of a subscription. */
static bool is_owed_retained(const struct session *session, unsigned number)
{
    for (unsigned i = 0; i < session->owed_count; i++) {
        if (session->owed[i].retained && session->owed[i].message == number)
            return true;
    }
    return false;
}

/* The first sight of a message in order [MQTT-4.6.0-5]. Of two copies with RETAIN 1 it is not known
 * which is the retained message, which has no place in the order. */
static const char *check_order(struct reference *reference, struct session *session,
                               const struct owed *owed, const struct packet *publish)
{
    const struct message *message = message_at(reference, owed->message);
    unsigned *newest = &session->newest[message->publisher][message->topic][publish->qos];
    if (owed->retained || message->was_cut || owed->received > 0 ||
        (publish->retain && is_owed_retained(session, owed->message)))
        return NULL;
    if (owed->message < *newest)
        return wrong(reference, "MQTT-4.6.0-5", "MQTT-4.6.0-6",
                     "message %u came after message %u: same publisher, topic and QoS",
                     owed->message, *newest);
    *newest = owed->message;
    return NULL;
}

const char *reference_saw_publish(struct reference *reference, unsigned client, unsigned topic,
                                  unsigned number, const struct packet *publish)
{
    struct session *session = &reference->sessions[client];
    if (number == 0 || number > reference->message_count)
        return wrong(reference, "MQTT-4.5.0-1", "MQTT-4.5.0-1",
                     "a message came that nobody has published");
    if (message_at(reference, number)->topic != topic)
        return wrong(reference, "MQTT-3.3.2-3", "MQTT-3.3.2-3",
                     "message %u came under another topic", number);
    if (publish->qos > 0) {
        struct exchange *exchange = exchange_of(session, publish->packet_id, number);
        if (exchange != NULL && (exchange->progress != DONE || publish->dup))
            return saw_again(reference, session, exchange, publish);
        exchange = exchange_of(session, publish->packet_id, 0);
        if (exchange != NULL && exchange->progress != DONE)
            return wrong(reference, "MQTT-2.2.1-4", "MQTT-2.3.1-4",
                         "packet identifier %u stands for message %u while message %u is still "
                         "open under it",
                         publish->packet_id, number, exchange->message);
    }
    struct owed *owed = owed_for(reference, session, number, publish);
    if (owed == NULL)
        return reference->sentence;
    if (publish->dup && owed->connection == session->connection)
        return wrong(reference, "MQTT-3.3.1-3", "MQTT-3.3.1-3",
                     "message %u came with DUP at its first sending", number);
    const char *order = check_order(reference, session, owed, publish);
    if (order != NULL)
        return order;
    owed->received++;
    if (publish->qos == 0)
        return NULL;
    session->exchanges = grown(session->exchanges, session->exchange_count,
                               &session->exchange_capacity, sizeof *session->exchanges);
    session->exchanges[session->exchange_count++] = (struct exchange){
        .packet_id = publish->packet_id,
        .message = number,
        .qos = publish->qos,
        .connection = session->connection,
    };
    return NULL;
}

const char *reference_saw_pubrel(struct reference *reference, unsigned client, uint16_t packet_id)
{
    struct session *session = &reference->sessions[client];
    for (unsigned i = session->exchange_count; i > 0; i--) {
        struct exchange *exchange = &session->exchanges[i - 1];
        if (exchange->packet_id != packet_id || exchange->qos != 2)
            continue;
        if (exchange->progress == SEEN)
            break;
        if (exchange->progress == DONE && exchange->heard)
            break;
        if (exchange->progress == RECORDED)
            exchange->progress = RELEASED;
        exchange->connection = session->connection;
        return NULL;
    }
    return wrong(reference, "MQTT-4.3.3-4", "MQTT-4.3.3-1",
                 "PUBREL %u came, for which there is no PUBREC to answer", packet_id);
}

void reference_acknowledges(struct reference *reference, unsigned client, enum packet_type type,
                            uint16_t packet_id)
{
    struct session *session = &reference->sessions[client];
    for (unsigned i = session->exchange_count; i > 0; i--) {
        struct exchange *exchange = &session->exchanges[i - 1];
        if (exchange->packet_id != packet_id || exchange->qos != (type == PUBACK ? 1 : 2))
            continue;
        if (type == PUBREC) {
            if (exchange->progress == SEEN)
                exchange->progress = RECORDED;
        } else {
            exchange->progress = DONE;
        }
        exchange->heard = false;
        return;
    }
}

/* ---- What is missing ---- */

/* A copy with RETAIN 1 can be that of either of two reasons to send it, so they are counted
 * together: whether fewer copies have come than there are reasons. */
static bool is_missing(const struct session *session, unsigned message)
{
    unsigned reasons = 0, received = 0;
    for (unsigned i = 0; i < session->owed_count; i++) {
        const struct owed *owed = &session->owed[i];
        if (owed->message != message)
            continue;
        reasons += owed->must;
        received += owed->received;
    }
    return received < reasons;
}

const char *reference_owes(struct reference *reference, unsigned client)
{
    struct session *session = &reference->sessions[client];
    if (!session->connected)
        return NULL;
    for (unsigned i = 0; i < session->owed_count; i++) {
        const struct owed *owed = &session->owed[i];
        const struct message *message = message_at(reference, owed->message);
        if (owed->must && owed->received == 0 && message->owned &&
            is_missing(session, owed->message))
            return wrong(reference, "MQTT-4.5.0-1", "MQTT-4.5.0-1",
                         "message %u, published at QoS %u to %s and acknowledged, never came%s",
                         owed->message, message->qos, model_topics[message->topic],
                         owed->retained ? " as a retained message" : "");
    }
    for (unsigned i = 0; i < session->exchange_count; i++) {
        const struct exchange *exchange = &session->exchanges[i];
        if (exchange->progress == SEEN && exchange->connection != session->connection)
            return wrong(reference, "MQTT-4.4.0-1", "MQTT-4.4.0-1",
                         "message %u was not acknowledged before the connection ended, and did "
                         "not come again",
                         exchange->message);
        if (exchange->progress == RECORDED)
            return wrong(reference, "MQTT-4.3.3-4", "MQTT-4.3.3-1",
                         "PUBREC %u of message %u was not answered with PUBREL",
                         exchange->packet_id, exchange->message);
    }
    return NULL;
}
