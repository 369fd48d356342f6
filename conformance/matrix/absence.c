#include "conformance/matrix/absence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    EXPIRY_SHORT_S = 1,
    EXPIRY_LONG_S = 3600,
    EXPIRY_UNLIMITED = 0xFFFFFFFF,
    COUNTED_S = 100,
    EXPIRING_S = 1,
    KEEP_ALIVE_S = 2, /* where it is to run out */
    KEEP_ALIVE_LIMIT_MS = KEEP_ALIVE_S * 1500,
    RECEIVE_MAXIMUM_BEFORE = 10,
    CLOSE_LIMIT_MS = 1000,
    ENDED_AFTER_MS = 3500, /* a session with an expiry of a second, with the same tolerance again */
    COUNTED_AFTER_MS = 2600,
    IDENTIFIER_EXACT = 1, /* bits of absence.identifiers, and the Subscription Identifiers */
    IDENTIFIER_PLUS = 2,
};

static _Noreturn void broken(struct absence *absence, const char *v5, const char *v311,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

static _Noreturn void broken(struct absence *absence, const char *v5, const char *v311,
                             const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fail_statement(absence->test, absence->test->version == VERSION_5 ? v5 : v311, "%.*s%s",
                   (int)absence->prefix.size, (const char *)absence->prefix.data, text);
}

static bool is_v5(const struct absence *absence)
{
    return absence->test->version == VERSION_5;
}

static uint8_t value(const struct absence *absence, enum dimension dimension)
{
    return absence->combination->values[dimension];
}

/* ---- What the server offers ---- */

const char *absence_obstacle(const struct combination *combination,
                             const struct server_features *server)
{
    enum filter_kind filter = combination->values[DIMENSION_FILTER];
    bool wild = filter == FILTER_PLUS || filter == FILTER_HASH || filter == FILTER_OVERLAPPING;
    if (combination->values[DIMENSION_PUBLISHED] > server->maximum_qos)
        return "the server does not take this QoS";
    if (wild && !server->wildcard_available)
        return "the server has no wildcards";
    if (filter == FILTER_SHARED && !server->shared_available)
        return "the server has no Shared Subscriptions";
    return NULL;
}

/* ---- Coming ---- */

static uint32_t expiry_s(const struct absence *absence)
{
    switch (value(absence, DIMENSION_SESSION)) {
    case SESSION_SHORT:
    case SESSION_LENGTHENED:
        return EXPIRY_SHORT_S;
    case SESSION_LONG:
    case SESSION_SHORTENED:
        return EXPIRY_LONG_S;
    case SESSION_UNLIMITED:
        return EXPIRY_UNLIMITED;
    default:
        return 0;
    }
}

static struct packet subscriber_connect(struct absence *absence, const char *will)
{
    struct packet connect = connect_of(absence->subscriber);
    connect.clean_start = value(absence, DIMENSION_SESSION) == SESSION_CLEAN;
    if (value(absence, DIMENSION_LEAVING) == LEAVING_TIMEOUT)
        connect.keep_alive_s = KEEP_ALIVE_S;
    connect.will_topic = absence->will_topic;
    connect.will_payload = text_of(will);
    if (is_v5(absence)) {
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, expiry_s(absence));
        property_add(&connect.properties, RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_BEFORE);
    }
    return connect;
}

static void subscribe_one(struct absence *absence, struct text filter, uint32_t identifier)
{
    uint8_t options = value(absence, DIMENSION_GRANTED);
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 1};
    if (is_v5(absence))
        options |= SUBSCRIBE_RETAIN_AS_PUBLISHED;
    if (absence->with_identifiers)
        property_add(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, identifier);
    subscribe.filters[0] = (struct filter){filter, options};
    struct packet suback = client_subscribe_raw(absence->subscriber, &subscribe);
    uint8_t code = suback.reason_codes.data[0];
    if (code != (options & 3))
        broken(absence, "MQTT-3.8.4-7", "MQTT-3.8.4-5",
               "SUBSCRIBE at QoS %u was answered with 0x%02X", options & 3, code);
}

static void subscribe(struct absence *absence, const char *name)
{
    struct test *test = absence->test;
    switch (value(absence, DIMENSION_FILTER)) {
    case FILTER_PLUS:
        subscribe_one(absence, topic_of(test, "%s/+/b", name), IDENTIFIER_PLUS);
        break;
    case FILTER_HASH:
        subscribe_one(absence, topic_of(test, "%s/#", name), IDENTIFIER_PLUS);
        break;
    case FILTER_SHARED:
        subscribe_one(absence,
                      text_printf(test, "$share/group/%.*s", (int)absence->topic.size,
                                  (const char *)absence->topic.data),
                      IDENTIFIER_EXACT);
        break;
    case FILTER_OVERLAPPING:
        subscribe_one(absence, topic_of(test, "%s/+/b", name), IDENTIFIER_PLUS);
        subscribe_one(absence, absence->topic, IDENTIFIER_EXACT);
        break;
    default:
        subscribe_one(absence, absence->topic, IDENTIFIER_EXACT);
    }
}

static uint8_t identifiers_owed(const struct absence *absence)
{
    if (!absence->with_identifiers)
        return 0;
    switch (value(absence, DIMENSION_FILTER)) {
    case FILTER_PLUS:
    case FILTER_HASH:
        return IDENTIFIER_PLUS;
    case FILTER_OVERLAPPING:
        return IDENTIFIER_EXACT | IDENTIFIER_PLUS;
    default:
        return IDENTIFIER_EXACT;
    }
}

static void publish(struct absence *absence, unsigned message)
{
    struct packet publish = {.type = PUBLISH,
                             .topic = absence->topic,
                             .qos = value(absence, DIMENSION_PUBLISHED),
                             .payload = text_printf(absence->test, "%u", message)};
    publish.retain =
        absence->with_retain && (message == MESSAGE_SECOND || message == MESSAGE_RETAINED);
    if (is_v5(absence) && message == MESSAGE_COUNTED)
        property_add(&publish.properties, MESSAGE_EXPIRY_INTERVAL, COUNTED_S);
    if (is_v5(absence) && message == MESSAGE_EXPIRING)
        property_add(&publish.properties, MESSAGE_EXPIRY_INTERVAL, EXPIRING_S);
    client_publish_packet(absence->publisher, &publish);
}

/* ---- The exchange of two messages, as far as it shall go ---- */

/* The messages that a PUBLISH can hold are one digit. */
static unsigned message_of(struct absence *absence, const struct packet *packet)
{
    unsigned message = packet->payload.size == 1 ? packet->payload.data[0] - '0' : MESSAGES;
    if (packet->type != PUBLISH || message >= MESSAGES ||
        !text_equal(packet->topic, absence->topic))
        broken(absence, "MQTT-3.3.2-3", "MQTT-3.3.2-3", "%s \"%.*s\" came, which is none of ours",
               packet_name(packet->type), (int)packet->payload.size,
               (const char *)packet->payload.data);
    return message;
}

static void note_begun(struct absence *absence, const struct packet *publish)
{
    if (absence->begun_count == BEGUN_MAX)
        broken(absence, "MQTT-3.3.4-5", "MQTT-3.3.5-1",
               "more copies of two messages came than there are subscriptions");
    absence->begun[absence->begun_count++] =
        (struct begun){.message = message_of(absence, publish), .packet_id = publish->packet_id};
}

/* Reads two messages; where subscriptions overlap there may be two copies of each. */
static void read_begun(struct absence *absence)
{
    struct client *subscriber = absence->subscriber;
    for (unsigned n = 0; n < 2; n++) {
        struct packet packet = expect(subscriber, PUBLISH);
        note_begun(absence, &packet);
    }
    struct packet packet;
    bool closed;
    while (value(absence, DIMENSION_FILTER) == FILTER_OVERLAPPING &&
           receive(subscriber, absence->test->quiet_ms, &packet, &closed))
        note_begun(absence, &packet);
}

static void answer(struct client *client, enum packet_type type, uint16_t packet_id)
{
    client_send(client,
                &(struct packet){.type = type, .packet_id = packet_id, .omit_reason_code = true});
}

static void advance(struct absence *absence)
{
    struct client *subscriber = absence->subscriber;
    enum step step = value(absence, DIMENSION_STEP);
    uint8_t qos = combination_qos(absence->combination);
    for (unsigned i = 0; i < absence->begun_count && step != STEP_PUBLISHED; i++) {
        struct begun *begun = &absence->begun[i];
        answer(subscriber, qos == 1 ? PUBACK : PUBREC, begun->packet_id);
        if (qos == 2 && step != STEP_RECEIVED)
            expect_answer(subscriber, PUBREL, begun->packet_id);
        if (qos == 2 && step == STEP_FINISHED)
            answer(subscriber, PUBCOMP, begun->packet_id);
        begun->settled = step == STEP_FINISHED;
    }
    if (step == STEP_FINISHED)
        expect_alive(subscriber); /* so that the server has read the last of them */
}

void absence_begin(struct absence *absence, struct test *test,
                   const struct combination *combination, struct text prefix)
{
    char name[80];
    combination_name(combination, name, sizeof name);
    *absence = (struct absence){
        .test = test,
        .combination = combination,
        .prefix = prefix,
        .publisher = client_connected(test, "publisher"),
        .subscriber = client_new(test, "absent"),
        .topic = topic_of(test, "%s/a/b", name),
        .will_topic = topic_of(test, "will/%s", name),
        .with_identifiers =
            test->version == VERSION_5 && test->server->subscription_identifier_available,
        .with_retain = test->server->retain_available,
    };
    client_subscribe(absence->publisher, absence->will_topic, 0);
    struct packet connect = subscriber_connect(absence, "left");
    client_connect_ok(absence->subscriber, &connect);
    subscribe(absence, name);
    if (value(absence, DIMENSION_STEP) == STEP_IDLE)
        return;
    publish(absence, MESSAGE_FIRST);
    publish(absence, MESSAGE_SECOND);
    read_begun(absence);
    advance(absence);
}

/* ---- Leaving ---- */

static void disconnect(struct absence *absence, uint8_t reason_code)
{
    struct client *subscriber = absence->subscriber;
    struct packet packet = {.type = DISCONNECT, .reason_code = reason_code};
    enum session_kind session = value(absence, DIMENSION_SESSION);
    if (session == SESSION_LENGTHENED)
        property_add(&packet.properties, SESSION_EXPIRY_INTERVAL, EXPIRY_LONG_S);
    if (session == SESSION_SHORTENED)
        property_add(&packet.properties, SESSION_EXPIRY_INTERVAL, EXPIRY_SHORT_S);
    client_send(subscriber, &packet);
    struct packet late; /* sent before the server read it */
    bool closed = false;
    while (receive(subscriber, CLOSE_LIMIT_MS, &late, &closed))
        ;
    absence->noticed = closed;
    client_drop(subscriber);
}

/* A second connection of the session, which is closed at once. What is resent on it is unread. */
static void take_over(struct absence *absence)
{
    struct client *twin = client_new(absence->test, "twin");
    struct packet connect = subscriber_connect(absence, "taken over");
    connect.clean_start = false;
    twin->id = absence->subscriber->id;
    client_connect_ok(twin, &connect);
    if (!twin->connack.session_present)
        broken(absence, "MQTT-3.2.2-3", "MQTT-3.2.2-2",
               "Session Present is 0 at the takeover of a session that goes on");
    client_drop(absence->subscriber);
    client_drop(twin);
}

void absence_leave(struct absence *absence)
{
    switch (value(absence, DIMENSION_LEAVING)) {
    case LEAVING_DISCONNECT:
        disconnect(absence, 0x00);
        break;
    case LEAVING_DISCONNECT_WITH_WILL:
        disconnect(absence, 0x04);
        break;
    case LEAVING_CLOSE:
        client_drop(absence->subscriber);
        break;
    case LEAVING_RESET:
        client_reset(absence->subscriber);
        break;
    case LEAVING_TAKEOVER:
        take_over(absence);
        break;
    default:
        break; /* the keep alive runs out */
    }
}

/* The will tells when the server has noticed. Whether it has to come is the matter of other cases:
 * without it, what is published next may be sent into a connection that is no more. */
void absence_await_end(struct absence *absence)
{
    enum leaving leaving = value(absence, DIMENSION_LEAVING);
    struct test *test = absence->test;
    struct text owed = leaving == LEAVING_TAKEOVER ? TEXT("taken over") : TEXT("left");
    unsigned limit_ms = test->time_limit_ms;
    if (leaving == LEAVING_DISCONNECT)
        return;
    if (leaving == LEAVING_TIMEOUT)
        limit_ms += KEEP_ALIVE_LIMIT_MS;
    absence->noticed = false;
    struct packet will;
    bool closed;
    while (!absence->noticed && receive(absence->publisher, limit_ms, &will, &closed))
        absence->noticed = will.type == PUBLISH && text_equal(will.payload, owed);
    client_drop(absence->subscriber);
}

void absence_publish(struct absence *absence)
{
    absence->counted_before_ms = clock_ms();
    publish(absence, MESSAGE_COUNTED);
    absence->counted_after_ms = clock_ms();
    for (unsigned message = MESSAGE_RETAINED; message <= MESSAGE_LAST; message++)
        publish(absence, message);
}

unsigned absence_duration_ms(const struct absence *absence)
{
    return combination_survives(absence->combination) ? COUNTED_AFTER_MS : ENDED_AFTER_MS;
}

/* ---- The return: what may come ---- */

static void check_expiry(struct absence *absence, const struct packet *packet)
{
    uint64_t now_ms = clock_ms();
    uint64_t least_s = (now_ms - absence->counted_after_ms) / 1000;
    uint64_t most_s = (now_ms - absence->counted_before_ms) / 1000 + 1;
    uint32_t left = property_number(&packet->properties, MESSAGE_EXPIRY_INTERVAL, 0);
    /* A second of tolerance: clocks of servers may tick in seconds. */
    if (left > COUNTED_S - least_s + 1 || left + most_s + 1 < COUNTED_S)
        broken(absence, "MQTT-3.3.2-6", NULL,
               "a Message Expiry Interval of %u is left of %u after %llu ms", left, COUNTED_S,
               (unsigned long long)(now_ms - absence->counted_before_ms));
}

/* The Subscription Identifiers of a copy, as bits. */
static uint8_t check_identifiers(struct absence *absence, const struct packet *packet,
                                 unsigned message)
{
    uint8_t got = 0, owed = identifiers_owed(absence);
    for (unsigned i = 0; i < packet->properties.count; i++) {
        const struct property *property = &packet->properties.list[i];
        if (property->id != SUBSCRIPTION_IDENTIFIER)
            continue;
        if ((property->number & ~UINT32_C(3)) != 0)
            broken(absence, "MQTT-3.3.4-3", NULL, "the unknown Subscription Identifier %u",
                   property->number);
        got |= (uint8_t)property->number;
    }
    if ((got & owed) != got || (owed != 0 && got == 0))
        broken(absence, "MQTT-3.3.4-3", NULL,
               "message %u came with the Subscription Identifiers 0x%X (as bits), of 0x%X", message,
               got, owed);
    return got;
}

/* One copy, or one for each of two subscriptions; those of one subscription in order. */
static void check_order(struct absence *absence, unsigned message, uint8_t identifiers)
{
    unsigned limit = value(absence, DIMENSION_FILTER) == FILTER_OVERLAPPING ? 2 : 1;
    bool known = absence->with_identifiers;
    if (!is_v5(absence) && combination_qos(absence->combination) == 0)
        limit = MESSAGES; /* what is made QoS 0 may be repeated [MQTT-3.8.4-6] */
    if (absence->copies[message] >= limit ||
        (known && (absence->identifiers[message] & identifiers) != 0))
        broken(absence, "MQTT-4.4.0-1", "MQTT-4.4.0-1", "message %u came once more than it had to",
               message);
    bool first = known || absence->copies[message] == 0;
    absence->copies[message]++;
    absence->identifiers[message] |= identifiers;
    if (!first || value(absence, DIMENSION_FILTER) == FILTER_SHARED)
        return;
    if (message + 1 < absence->latest[identifiers])
        broken(absence, "MQTT-4.6.0-5", "MQTT-4.6.0-6", "message %u came after message %u", message,
               absence->latest[identifiers] - 1);
    absence->latest[identifiers] = message + 1;
}

static struct begun *find_begun(struct absence *absence, unsigned message, uint16_t packet_id)
{
    for (unsigned i = 0; i < absence->begun_count; i++) {
        struct begun *begun = &absence->begun[i];
        if (begun->packet_id == packet_id && (begun->message == message || message == MESSAGES))
            return begun;
    }
    return NULL;
}

/* After a kill the server may not know that it had read the last acknowledgement. */
static bool may_be_forgotten(const struct absence *absence)
{
    return value(absence, DIMENSION_OUTAGE) == OUTAGE_KILL &&
           value(absence, DIMENSION_STEP) == STEP_FINISHED;
}

static void check_resent(struct absence *absence, const struct packet *packet, unsigned message)
{
    struct begun *begun = find_begun(absence, message, packet->packet_id);
    enum step step = value(absence, DIMENSION_STEP);
    if (begun == NULL)
        broken(absence, "MQTT-4.4.0-1", "MQTT-4.4.0-1",
               "message %u is resent under the Packet Identifier %u, which it did not have",
               message, packet->packet_id);
    if (step == STEP_RELEASED || (step == STEP_FINISHED && packet->qos == 2))
        broken(absence, "MQTT-4.3.3-6", "MQTT-4.3.3-1",
               "PUBLISH is resent though PUBREL had been sent");
    if (begun->settled && !may_be_forgotten(absence))
        broken(absence, "MQTT-4.4.0-1", "MQTT-4.4.0-1",
               "message %u is resent though it was acknowledged", message);
    if (!packet->dup)
        broken(absence, "MQTT-3.3.1-1", "MQTT-3.3.1-1", "message %u is resent without DUP",
               message);
    begun->settled = true;
}

static void check_new(struct absence *absence, const struct packet *packet, unsigned message)
{
    if (packet->dup && absence->noticed)
        broken(absence, "MQTT-3.3.1-3", "MQTT-3.3.1-3", "DUP at the first delivery of message %u",
               message);
    if (is_v5(absence) && message == MESSAGE_EXPIRING && absence->noticed)
        broken(absence, "MQTT-3.3.2-5", NULL, "a message came that had expired");
    if (is_v5(absence) && message == MESSAGE_COUNTED)
        check_expiry(absence, packet);
}

static void check_publish(struct absence *absence, const struct packet *packet)
{
    unsigned message = message_of(absence, packet);
    uint8_t qos = combination_qos(absence->combination);
    bool retain = is_v5(absence) && absence->with_retain &&
                  (message == MESSAGE_SECOND || message == MESSAGE_RETAINED);
    if (packet->qos != qos)
        broken(absence, "MQTT-3.8.4-8", "MQTT-3.8.4-6", "message %u came at QoS %u, not %u",
               message, packet->qos, qos);
    if (packet->retain != retain)
        broken(absence, "MQTT-3.3.1-13", "MQTT-3.3.1-9", "message %u came with RETAIN %d, not %d",
               message, packet->retain, retain);
    uint8_t identifiers = check_identifiers(absence, packet, message);
    check_order(absence, message, identifiers);
    if (message <= MESSAGE_SECOND)
        check_resent(absence, packet, message);
    else
        check_new(absence, packet, message);
}

static void check_pubrel(struct absence *absence, const struct packet *packet)
{
    struct begun *begun = find_begun(absence, MESSAGES, packet->packet_id);
    enum step step = value(absence, DIMENSION_STEP);
    if (begun == NULL || step == STEP_PUBLISHED || (begun->settled && !may_be_forgotten(absence)))
        broken(absence, "MQTT-4.4.0-1", "MQTT-4.4.0-1",
               "PUBREL came for %u, for which no PUBREC was sent or the exchange had ended",
               packet->packet_id);
    begun->settled = true;
    /* Section 4.9 lets any PUBCOMP raise the send quota, that of an earlier connection's exchange
     * too, so a PUBLISH more may come than Receive Maximum says. */
    absence->allowance += absence->allowance < HELD_MAX;
    answer(absence->subscriber, PUBCOMP, packet->packet_id);
}

/* ---- The return: what has to come ---- */

static bool is_owed(const struct absence *absence, unsigned message)
{
    if (combination_qos(absence->combination) == 0 || message == MESSAGE_AFTERWARDS)
        return false;
    if (message <= MESSAGE_SECOND || (is_v5(absence) && message == MESSAGE_EXPIRING))
        return false;
    return absence->copies[message] == 0 ||
           (absence->identifiers[message] & identifiers_owed(absence)) != identifiers_owed(absence);
}

/* The first thing that is owed and has not come, in words; NULL: none. */
static const char *missing(const struct absence *absence, char *line, size_t size)
{
    for (unsigned i = 0; i < absence->begun_count; i++) {
        const struct begun *begun = &absence->begun[i];
        if (begun->settled)
            continue;
        snprintf(line, size, "%s %u of the exchange that was begun",
                 value(absence, DIMENSION_STEP) == STEP_PUBLISHED ? "PUBLISH" : "PUBREL",
                 begun->packet_id);
        return line;
    }
    for (unsigned message = MESSAGE_COUNTED; message < MESSAGE_AFTERWARDS; message++) {
        if (!is_owed(absence, message))
            continue;
        snprintf(line, size, "message %u", message);
        return line;
    }
    return NULL;
}

static void acknowledge_oldest(struct absence *absence)
{
    struct packet oldest = absence->held[0];
    absence->held_count--;
    memmove(&absence->held[0], &absence->held[1], absence->held_count * sizeof oldest);
    answer(absence->subscriber, oldest.qos == 1 ? PUBACK : PUBREC, oldest.packet_id);
    if (oldest.qos == 1)
        return;
    expect_answer(absence->subscriber, PUBREL, oldest.packet_id);
    answer(absence->subscriber, PUBCOMP, oldest.packet_id);
}

/* Holds as many PUBLISHes as it may, 5.0: so that one too many shows. */
static void take(struct absence *absence, const struct packet *packet)
{
    if (packet->type == PUBREL) {
        check_pubrel(absence, packet);
        return;
    }
    if (packet->type == PUBLISH && packet->qos > 0 && absence->held_count >= absence->allowance)
        broken(absence, "MQTT-3.3.4-9", NULL, "a PUBLISH more came than Receive Maximum %u allows",
               RECEIVE_MAXIMUM_AFTER);
    check_publish(absence, packet);
    if (packet->qos > 0)
        absence->held[absence->held_count++] = *packet;
    if (!is_v5(absence) && absence->held_count > 0)
        acknowledge_oldest(absence);
}

/* Takes what comes within `ms`; false: nothing did. */
static bool take_within(struct absence *absence, unsigned ms)
{
    struct packet packet;
    bool closed = false;
    if (receive(absence->subscriber, ms, &packet, &closed)) {
        take(absence, &packet);
        return true;
    }
    if (closed)
        broken(absence, "MQTT-4.1.0-1", "MQTT-4.1.0-2", "the Network Connection was closed");
    return false;
}

static void take_all(struct absence *absence)
{
    struct test *test = absence->test;
    char line[80];
    while (missing(absence, line, sizeof line) != NULL) {
        bool full = absence->held_count >= RECEIVE_MAXIMUM_AFTER;
        if (full && !absence->quota_checked) {
            absence->quota_checked = true;
            while (take_within(absence, test->quiet_ms))
                ;
            acknowledge_oldest(absence);
        } else if (full || (absence->held_count > 0 && !take_within(absence, test->quiet_ms))) {
            acknowledge_oldest(absence); /* a server may wait though it need not */
        } else if (absence->held_count == 0 && !take_within(absence, test->time_limit_ms)) {
            broken(absence, absence->begun_count > 0 ? "MQTT-4.4.0-1" : "MQTT-4.5.0-1",
                   absence->begun_count > 0 ? "MQTT-4.4.0-1" : "MQTT-3.1.2-5", "%s never came",
                   missing(absence, line, sizeof line));
        }
    }
    while (absence->held_count > 0)
        acknowledge_oldest(absence);
    while (take_within(absence, test->quiet_ms)) {
        while (absence->held_count > 0)
            acknowledge_oldest(absence);
    }
}

static void check_works(struct absence *absence)
{
    publish(absence, MESSAGE_AFTERWARDS);
    while (absence->copies[MESSAGE_AFTERWARDS] == 0) {
        if (!take_within(absence, absence->test->time_limit_ms))
            broken(absence, "MQTT-3.1.2-5", "MQTT-3.1.2-4",
                   "the subscription of the resumed session brings no new message");
    }
    while (absence->held_count > 0)
        acknowledge_oldest(absence);
}

static void check_ended(struct absence *absence)
{
    if (absence->subscriber->connack.session_present)
        broken(absence, "MQTT-4.1.0-2", "MQTT-3.1.2-6",
               "Session Present is 1 for a session that has ended");
    publish(absence, MESSAGE_AFTERWARDS);
    if (take_within(absence, absence->test->quiet_ms))
        broken(absence, "MQTT-4.1.0-2", "MQTT-3.1.2-6",
               "a session that has ended brought something");
}

void absence_return(struct absence *absence)
{
    struct client *subscriber = absence->subscriber;
    struct packet connect = connect_of(absence->publisher);
    if (value(absence, DIMENSION_OUTAGE) != OUTAGE_NONE)
        client_connect_ok(absence->publisher, &connect);
    connect = connect_of(subscriber);
    connect.clean_start = false;
    absence->allowance = RECEIVE_MAXIMUM_AFTER;
    if (is_v5(absence)) {
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, EXPIRY_LONG_S);
        property_add(&connect.properties, RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_AFTER);
    }
    client_connect_ok(subscriber, &connect);
    if (!combination_survives(absence->combination)) {
        check_ended(absence);
        return;
    }
    if (!subscriber->connack.session_present)
        broken(absence, "MQTT-3.2.2-3", "MQTT-3.2.2-2",
               "Session Present is 0 for a stored session");
    take_all(absence);
    check_works(absence);
    client_disconnect(subscriber);
    client_disconnect(absence->publisher);
}
