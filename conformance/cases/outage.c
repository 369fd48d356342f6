/* Sessions, messages and retained messages over a restart of the server and over SIGKILL.
 *
 * Ownership is what an acknowledgement promises [MQTT-4.3.2-4], [MQTT-4.3.3-8], so what had been
 * acknowledged has to be there afterwards. What the server did not tell anybody may be lost with a
 * kill: whether it has read a PUBACK, for one. Sessions are to be kept for their whole duration
 * [MQTT-3.1.2-23]; the specification says that they can be lost with the hardware (section 4.1.1,
 * not normative), but neither a restart nor the end of a process is that. */
#include "conformance/cases/exchange.h"
#include "conformance/cases/subscription.h"

enum { LONG_S = 3600 };

/* The same case with a restart and with a kill. */
#define OUTAGE_PAIR(name_, faults_, ...)                                                           \
    static void name_(struct test *test);                                                          \
    CASE(name_##_restart, .outage = OUTAGE_RESTART, .faults = faults_, __VA_ARGS__)                \
    {                                                                                              \
        name_(test);                                                                               \
    }                                                                                              \
    CASE(name_##_kill, .outage = OUTAGE_KILL, .faults = faults_, __VA_ARGS__)                      \
    {                                                                                              \
        name_(test);                                                                               \
    }                                                                                              \
    static void name_(struct test *test)

/* A new session that outlives its connection, begun with Clean Start 0: servers have lost those
 * that began with 1, which is a case of its own and shall not hide the others. */
static struct client *new_stored(struct test *test, const char *role, uint32_t expiry_s)
{
    struct client *client = client_new(test, role);
    client_resume(client, expiry_s);
    return client;
}

static void come_back(struct client *client)
{
    client_resume(client, LONG_S);
    if (!client->connack.session_present)
        fail_statement(client->test, client->version == VERSION_5 ? "MQTT-3.2.2-3" : "MQTT-3.2.2-2",
                       "Session Present is 0 for a session that was stored before the outage");
}

static void connect_again(struct client *client)
{
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
}

static struct text number(struct test *test, unsigned n)
{
    return text_printf(test, "%u", n);
}

static void publish_numbers(struct client *publisher, struct text topic, unsigned from, unsigned to,
                            uint8_t qos)
{
    for (unsigned i = from; i < to; i++)
        client_publish(publisher, topic, number(publisher->test, i), qos, false);
}

/* Messages in their order, each for the first time. */
static void take_new(struct client *client, struct text topic, unsigned from, unsigned to,
                     uint8_t qos)
{
    for (unsigned i = from; i < to; i++) {
        struct packet publish = take_publish(client, topic, number(client->test, i));
        if (publish.dup)
            fail_statement(client->test, "MQTT-3.3.1-3", "DUP at the first delivery of message %u",
                           i);
        if (publish.qos != qos)
            fail(client->test, "message %u came at QoS %u, not %u", i, publish.qos, qos);
    }
}

/* ---- Sessions ---- */

OUTAGE_PAIR(
    stored_session_survives, "forgets_sessions_at_outage forgets_subscriptions_at_outage",
    .v5 = "MQTT-3.1.2-23 MQTT-3.1.2-5 MQTT-4.1.0-1 MQTT-3.2.2-3",
    .v311 = "MQTT-3.1.2-4 MQTT-4.1.0-1 MQTT-3.2.2-2",
    .sends = "SUBSCRIBE to three filters, one with +, UNSUBSCRIBE from one, in sessions that "
             "are away and that are connected when the outage comes; then messages to all",
    .allowed = "Session Present 1, the messages of the two subscriptions, none of the third")
{
    need_qos(test, 1);
    need_wildcard(test);
    struct client *sessions[2] = {new_stored(test, "away", LONG_S),
                                  new_stored(test, "there", LONG_S)};
    struct text kept = topic_of(test, "kept"), removed = topic_of(test, "removed");
    struct text wild = topic_of(test, "wild/x");
    for (unsigned i = 0; i < 2; i++) {
        client_subscribe(sessions[i], kept, 1);
        client_subscribe(sessions[i], removed, 1);
        client_subscribe(sessions[i], topic_of(test, "wild/+"), 0);
        client_unsubscribe(sessions[i], removed);
    }
    client_disconnect(sessions[0]);
    outage(test);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 2; i++)
        come_back(sessions[i]);
    client_publish(publisher, removed, TEXT("removed"), 1, false);
    client_publish(publisher, kept, TEXT("kept"), 1, false);
    client_publish(publisher, wild, TEXT("wild"), 1, false);
    for (unsigned i = 0; i < 2; i++) {
        take_publish(sessions[i], kept, TEXT("kept"));
        take_publish(sessions[i], wild, TEXT("wild"));
        expect_quiet(sessions[i]);
    }
}

OUTAGE_PAIR(
    clean_started_session_survives, "forgets_sessions_at_outage forgets_clean_started_session",
    .v5 = "MQTT-3.1.2-23 MQTT-3.2.2-3 MQTT-4.1.0-1",
    .sends = "a session with Clean Start 1 and an expiry of an hour",
    .allowed = "Session Present 1 after the outage",
    .why = "Clean Start says what becomes of the session before, not whether the new one is "
           "stored")
{
    struct client *client = client_connected_stored(test, "clean", LONG_S);
    client_disconnect(client);
    outage(test);
    come_back(client);
}

OUTAGE_PAIR(ended_session_stays_ended, "keeps_ended_session claims_session_present",
            .v5 = "MQTT-4.1.0-2 MQTT-3.1.2-4 MQTT-3.2.2-3", .v311 = "MQTT-3.1.2-6 MQTT-3.2.2-3",
            .sends = "a session without expiry that is connected at the outage, and a stored one "
                     "with a message that was ended by Clean Start 1 before; both come back with "
                     "Clean Start 0",
            .allowed = "Session Present 0, no message and no subscription")
{
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *connected = client_connected(test, "connected");
    struct client *cleaned = new_stored(test, "cleaned", LONG_S);
    struct text topic = topic_of(test, "ended");
    client_subscribe(connected, topic, 1);
    client_subscribe(cleaned, topic, 1);
    client_disconnect(cleaned);
    client_publish(publisher, topic, TEXT("before"), 1, false);
    take_publish(connected, topic, TEXT("before"));
    connect_again(cleaned);
    client_disconnect(cleaned);
    outage(test);
    connect_again(publisher);
    struct client *both[2] = {connected, cleaned};
    for (unsigned i = 0; i < 2; i++) {
        client_resume(both[i], 0);
        if (both[i]->connack.session_present)
            fail_statement(test, "MQTT-3.2.2-3",
                           "Session Present is 1 for a session that ended %s the outage",
                           i == 0 ? "with" : "before");
    }
    client_publish(publisher, topic, TEXT("after"), 1, false);
    expect_quiet(connected);
    expect_quiet(cleaned);
}

OUTAGE_PAIR(
    expiries_count_over_an_outage, "restarts_expiry_at_outage forgets_messages_at_outage",
    .v5 = "MQTT-3.3.2-6 MQTT-3.3.2-5 MQTT-4.1.0-2 MQTT-3.1.2-23",
    .sends = "messages with Message Expiry Interval 100 and 6 s, and a session with an expiry "
             "of 6 s, 4 s before the outage; the sessions return after more than 8 s in all",
    .allowed = "the first message with 100 s less the time that passed (tolerance: a second "
               "too few, one too many), the second not at all; the session is gone "
               "(tolerance: 2 s)",
    .timing = true, .limit_s = 60)
{
    enum { INTERVAL_S = 100, SHORT_S = 6, BEFORE_MS = 4000, ALL_MS = 8300 };
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *stored = new_stored(test, "stored", LONG_S);
    struct client *brief = new_stored(test, "brief", SHORT_S);
    struct text topic = topic_of(test, "expiry");
    client_subscribe(stored, topic, 1);
    client_subscribe(brief, topic, 1);
    client_disconnect(stored);
    client_disconnect(brief);
    uint64_t start_ms = clock_ms();
    static const uint32_t intervals[] = {INTERVAL_S, SHORT_S};
    for (unsigned i = 0; i < 2; i++) {
        struct packet publish = {.type = PUBLISH, .qos = 1, .topic = topic};
        publish.payload = number(test, intervals[i]);
        property_add(&publish.properties, MESSAGE_EXPIRY_INTERVAL, intervals[i]);
        client_publish_packet(publisher, &publish);
    }
    uint64_t published_ms = clock_ms();
    let_pass_ms(test, BEFORE_MS);
    outage(test);
    uint64_t passed_ms = clock_ms() - published_ms;
    if (passed_ms < ALL_MS)
        let_pass_ms(test, (unsigned)(ALL_MS - passed_ms));
    come_back(stored);
    struct packet publish = take_publish(stored, topic, number(test, INTERVAL_S));
    uint32_t left = property_number(&publish.properties, MESSAGE_EXPIRY_INTERVAL, 0);
    uint64_t least_s = (clock_ms() - published_ms) / 1000,
             most_s = (clock_ms() - start_ms) / 1000 + 1;
    if (left > INTERVAL_S - least_s + 1 || left + 1 + most_s < INTERVAL_S)
        fail_statement(test, "MQTT-3.3.2-6",
                       "a Message Expiry Interval of %u is left of %u after %llu ms", left,
                       INTERVAL_S, (unsigned long long)(clock_ms() - published_ms));
    expect_quiet(stored);
    client_resume(brief, SHORT_S);
    if (brief->connack.session_present)
        fail_statement(test, "MQTT-4.1.0-2",
                       "a session with an expiry of %u s is there after %llu ms", SHORT_S,
                       (unsigned long long)(clock_ms() - published_ms));
}

OUTAGE_PAIR(subscription_options_survive,
            "forgets_subscriptions_at_outage ignores_retain_as_published "
            "drops_subscription_identifier ignores_no_local",
            .v5 = "MQTT-4.1.0-1 MQTT-3.3.1-13 MQTT-3.3.4-3 MQTT-3.8.3-3 MQTT-3.8.4-8",
            .sends =
                "a stored subscription at QoS 1 with No Local, Retain As Published and "
                "identifier 21; after the outage messages from the subscriber and from another "
                "client, retained and not, at QoS 2",
            .allowed = "only the other's, at QoS 1, with RETAIN as published and the identifier")
{
    need_qos(test, 2);
    need_retain(test);
    need_subscription_identifier(test);
    struct client *subscriber = new_stored(test, "subscriber", LONG_S);
    struct text topic = topic_of(test, "options");
    subscription_make(subscriber, topic, 1 | SUBSCRIBE_NO_LOCAL | SUBSCRIBE_RETAIN_AS_PUBLISHED,
                      21);
    client_disconnect(subscriber);
    outage(test);
    struct client *publisher = client_connected(test, "publisher");
    come_back(subscriber);
    client_publish(subscriber, topic, TEXT("own"), 1, false);
    for (unsigned i = 0; i < 2; i++) {
        client_publish(publisher, topic, number(test, i), 2, i == 1);
        struct packet publish = take_publish(subscriber, topic, number(test, i));
        if (publish.qos != 1)
            fail_statement(test, "MQTT-3.8.4-8", "granted QoS 1, delivered at QoS %u", publish.qos);
        if (publish.retain != (i == 1))
            fail_statement(test, "MQTT-3.3.1-13", "RETAIN %d in spite of Retain As Published",
                           publish.retain);
        if (subscription_identifiers(&publish) != 1U << 21)
            fail_statement(test, "MQTT-3.3.4-3", "without its Subscription Identifier");
    }
    expect_quiet(subscriber);
}

/* ---- Messages that wait ---- */

OUTAGE_PAIR(
    waiting_messages_survive, "forgets_messages_at_outage reorders_at_outage acknowledges_early",
    .v5 = "MQTT-4.5.0-1 MQTT-4.3.2-4 MQTT-4.3.3-8 MQTT-4.6.0-5 MQTT-3.3.1-3",
    .v311 = "MQTT-4.5.0-1 MQTT-4.3.2-2 MQTT-4.3.3-2 MQTT-3.1.2-5 MQTT-4.6.0-6",
    .sends = "40 messages each at QoS 1 and 2, all acknowledged, for a session that is away; "
             "after the outage ten more of each, then the session returns",
    .allowed = "all 100 once, those of one topic in their order, with DUP 0")
{
    enum { BEFORE = 40, ALL = 50 };
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *away = new_stored(test, "away", LONG_S);
    struct text topics[3] = {{0}, topic_of(test, "once"), topic_of(test, "exactly")};
    for (uint8_t qos = 1; qos <= 2; qos++)
        client_subscribe(away, topics[qos], qos);
    client_disconnect(away);
    for (uint8_t qos = 1; qos <= 2; qos++)
        publish_numbers(publisher, topics[qos], 0, BEFORE, qos);
    outage(test);
    connect_again(publisher);
    for (uint8_t qos = 1; qos <= 2; qos++)
        publish_numbers(publisher, topics[qos], BEFORE, ALL, qos);
    come_back(away);
    unsigned next[3] = {0, 0, 0};
    while (next[1] < ALL || next[2] < ALL) {
        struct packet publish = expect(away, PUBLISH);
        if (publish.qos == 0 || !text_equal(publish.topic, topics[publish.qos]))
            fail(test, "QoS %u for \"%.*s\"", publish.qos, (int)publish.topic.size,
                 publish.topic.data);
        if (!text_equal(publish.payload, number(test, next[publish.qos])))
            fail(test, "message \"%.*s\" at QoS %u came where %u was due",
                 (int)publish.payload.size, publish.payload.data, publish.qos, next[publish.qos]);
        if (publish.dup)
            fail_statement(test, "MQTT-3.3.1-3", "DUP at the first delivery");
        next[publish.qos]++;
        acknowledge(away, &publish);
    }
    expect_quiet(away);
}

OUTAGE_PAIR(waiting_messages_keep_all_they_had,
            "loses_retain_as_published_offline loses_subscription_identifier_offline "
            "drops_user_properties drops_content_type",
            .v5 = "MQTT-3.3.1-13 MQTT-3.3.4-3 MQTT-3.3.2-17 MQTT-3.3.2-20 MQTT-3.3.2-16",
            .sends =
                "a retained message with Content Type, Correlation Data and a User Property, for "
                "a session that is away and subscribed with Retain As Published and "
                "identifier 5",
            .allowed = "after the outage all of it")
{
    need_qos(test, 1);
    need_retain(test);
    need_subscription_identifier(test);
    struct client *publisher = client_connected(test, "publisher");
    struct client *away = new_stored(test, "away", LONG_S);
    struct text topic = topic_of(test, "all");
    subscription_make(away, topic, 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED, 5);
    client_disconnect(away);
    struct packet publish = {
        .type = PUBLISH, .qos = 1, .retain = true, .topic = topic, .payload = TEXT("\0\xFF")};
    property_add_text(&publish.properties, CONTENT_TYPE, TEXT("bytes"));
    property_add_text(&publish.properties, CORRELATION_DATA, TEXT("\0"));
    property_add_user(&publish.properties, "name", "value");
    client_publish_packet(publisher, &publish);
    outage(test);
    come_back(away);
    struct packet came = take_publish(away, topic, TEXT("\0\xFF"));
    if (!came.retain)
        fail_statement(test, "MQTT-3.3.1-13", "RETAIN was lost");
    if (subscription_identifiers(&came) != 1U << 5)
        fail_statement(test, "MQTT-3.3.4-3", "the Subscription Identifier was lost");
    const struct property *type = property_find(&came.properties, CONTENT_TYPE);
    const struct property *data = property_find(&came.properties, CORRELATION_DATA);
    const struct property *user = property_find(&came.properties, USER_PROPERTY);
    if (type == NULL || !text_equal(type->text, TEXT("bytes")))
        fail_statement(test, "MQTT-3.3.2-20", "the Content Type was lost");
    if (data == NULL || !text_equal(data->text, TEXT("\0")))
        fail_statement(test, "MQTT-3.3.2-16", "the Correlation Data was lost");
    if (user == NULL || !text_equal(user->text, TEXT("name")) ||
        !text_equal(user->value, TEXT("value")))
        fail_statement(test, "MQTT-3.3.2-17", "the User Property was lost");
}

OUTAGE_PAIR(shared_messages_survive, "forgets_messages_at_outage forgets_subscriptions_at_outage",
            .v5 = "MQTT-4.5.0-1 MQTT-4.8.2-3",
            .sends = "20 messages at QoS 1 for a group of two stored sessions that are away; after "
                     "the outage 20 more, then both return",
            .allowed = "each message once, to either of them")
{
    enum { BEFORE = 20, ALL = 40 };
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct text topic = topic_of(test, "shared");
    struct text filter = text_printf(test, "$share/g/%.*s", (int)topic.size, topic.data);
    struct client *members[2];
    for (unsigned i = 0; i < 2; i++) {
        members[i] = new_stored(test, "member", LONG_S);
        client_subscribe(members[i], filter, 1);
    }
    for (unsigned i = 0; i < 2; i++)
        client_disconnect(members[i]);
    publish_numbers(publisher, topic, 0, BEFORE, 1);
    outage(test);
    connect_again(publisher);
    publish_numbers(publisher, topic, BEFORE, ALL, 1);
    bool seen[ALL] = {false};
    unsigned came = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct packet publish;
        bool closed = false;
        come_back(members[i]);
        while (receive(members[i], test->quiet_ms, &publish, &closed)) {
            unsigned n = 0;
            while (n < ALL && !text_equal(publish.payload, number(test, n)))
                n++;
            if (n == ALL || seen[n])
                fail(test, "message \"%.*s\" came a second time, or was never published",
                     (int)publish.payload.size, publish.payload.data);
            seen[n] = true;
            came++;
            acknowledge(members[i], &publish);
        }
    }
    if (came != ALL)
        fail(test, "%u of %u messages came", came, ALL);
}

/* ---- Messages on their way to a subscriber ---- */

OUTAGE_PAIR(unacknowledged_messages_are_resent,
            "forgets_unacknowledged_at_outage clears_dup_at_outage reorders_at_outage "
            "forgets_messages_at_outage",
            .v5 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.3.2-3 MQTT-4.3.3-3 MQTT-2.2.1-4",
            .v311 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.3.2-1 MQTT-4.3.3-1 MQTT-2.3.1-4",
            .sends =
                "two messages each at QoS 1 and 2 that a connected subscriber has read and not "
                "acknowledged; after the outage two more of each, then it returns",
            .allowed = "the four again with DUP under their Packet Identifiers, and the new ones "
                       "with DUP 0 under others; those of one topic in their order")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = new_stored(test, "subscriber", LONG_S);
    struct text topics[3] = {{0}, topic_of(test, "once"), topic_of(test, "exactly")};
    uint16_t identifiers[3][2];
    for (uint8_t qos = 1; qos <= 2; qos++)
        client_subscribe(subscriber, topics[qos], qos);
    for (unsigned i = 0; i < 2; i++) {
        for (uint8_t qos = 1; qos <= 2; qos++) {
            publish_numbers(publisher, topics[qos], i, i + 1, qos);
            struct packet publish = expect_publish(subscriber, topics[qos], number(test, i));
            identifiers[qos][i] = publish.packet_id;
        }
    }
    outage(test);
    connect_again(publisher);
    for (uint8_t qos = 1; qos <= 2; qos++)
        publish_numbers(publisher, topics[qos], 2, 4, qos);
    come_back(subscriber);
    unsigned next[3] = {0, 0, 0};
    struct packet came[8];
    for (unsigned n = 0; n < 8; n++) {
        came[n] = expect(subscriber, PUBLISH);
        uint8_t qos = came[n].qos;
        unsigned i = next[qos]++;
        if (qos == 0 || i >= 4 || !text_equal(came[n].payload, number(test, i)))
            fail(test, "\"%.*s\" at QoS %u is not due", (int)came[n].payload.size,
                 came[n].payload.data, qos);
        if (i < 2 && came[n].packet_id != identifiers[qos][i])
            fail(test, "message %u at QoS %u was sent under %u and is resent under %u", i, qos,
                 identifiers[qos][i], came[n].packet_id);
        if (came[n].dup != (i < 2))
            fail_statement(test, i < 2 ? "MQTT-3.3.1-1" : "MQTT-3.3.1-3",
                           "DUP is %d for message %u, of which 0 and 1 had been sent", came[n].dup,
                           i);
    }
    for (unsigned n = 0; n < 8; n++)
        acknowledge(subscriber, &came[n]);
    expect_quiet(subscriber);
}

OUTAGE_PAIR(owed_pubrel_is_resent, "forgets_pubrel_at_outage forgets_unacknowledged_at_outage",
            .v5 = "MQTT-4.4.0-1 MQTT-4.3.3-5 MQTT-4.3.3-6", .v311 = "MQTT-4.4.0-1 MQTT-4.3.3-1",
            .sends = "two QoS 2 messages to a subscriber that has got PUBREL for both and sent no "
                     "PUBCOMP; the outage; it returns",
            .allowed = "both PUBRELs again, and never the PUBLISH; nothing more after PUBCOMP")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = new_stored(test, "subscriber", LONG_S);
    struct text topic = topic_of(test, "released");
    uint16_t identifiers[2];
    client_subscribe(subscriber, topic, 2);
    for (unsigned i = 0; i < 2; i++) {
        publish_numbers(publisher, topic, i, i + 1, 2);
        struct packet publish = expect_publish(subscriber, topic, number(test, i));
        identifiers[i] = publish.packet_id;
        exchange_answer(subscriber, PUBREC, publish.packet_id, 0);
        exchange_expect(subscriber, PUBREL, publish.packet_id);
    }
    outage(test);
    come_back(subscriber);
    unsigned seen = 0;
    for (unsigned n = 0; n < 2; n++) {
        struct packet pubrel = expect(subscriber, PUBREL);
        for (unsigned i = 0; i < 2; i++)
            seen |= pubrel.packet_id == identifiers[i] ? 1U << i : 0;
    }
    if (seen != 3)
        fail(test, "PUBREL came for other identifiers than %u and %u", identifiers[0],
             identifiers[1]);
    for (unsigned i = 0; i < 2; i++)
        exchange_answer(subscriber, PUBCOMP, identifiers[i], 0);
    expect_quiet(subscriber);
    client_disconnect(subscriber);
    come_back(subscriber);
    expect_quiet(subscriber);
}

/* A kill may lose acknowledgements that the server has read: nobody was told that it did. */
OUTAGE_PAIR(backlog_goes_on_where_it_was,
            "forgets_messages_at_outage clears_dup_at_outage reorders_at_outage",
            .v5 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.6.0-5 MQTT-4.5.0-1",
            .v311 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.6.0-6 MQTT-4.5.0-1",
            .sends =
                "20 messages at QoS 1 wait; at the return four are acknowledged and three more "
                "read; the outage; the second return",
            .allowed = "message 4 to 19 in order, those that were read with DUP. After a kill also "
                       "the first four again with DUP")
{
    enum { ACKNOWLEDGED = 4, READ = 7, ALL = 20 };
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = new_stored(test, "subscriber", LONG_S);
    struct text topic = topic_of(test, "goes_on");
    client_subscribe(subscriber, topic, 1);
    client_disconnect(subscriber);
    publish_numbers(publisher, topic, 0, ALL, 1);
    come_back(subscriber);
    take_new(subscriber, topic, 0, ACKNOWLEDGED, 1);
    for (unsigned i = ACKNOWLEDGED; i < READ; i++)
        expect_publish(subscriber, topic, number(test, i));
    exchange_settle(subscriber);
    outage(test);
    come_back(subscriber);
    unsigned next = 0, again = 0;
    while (next < ALL) {
        struct packet publish = expect(subscriber, PUBLISH);
        if (next == 0 && !text_equal(publish.payload, number(test, 0)))
            while (next < ACKNOWLEDGED && !text_equal(publish.payload, number(test, next)))
                next++;
        if (!text_equal(publish.payload, number(test, next)))
            fail(test, "\"%.*s\" came where message %u was due", (int)publish.payload.size,
                 publish.payload.data, next);
        if (next < READ && !publish.dup)
            fail_statement(test, "MQTT-3.3.1-1", "message %u was sent before and comes without DUP",
                           next);
        again += next < ACKNOWLEDGED;
        next++;
        acknowledge(subscriber, &publish);
    }
    if (again > 0 && test->definition->outage == OUTAGE_RESTART)
        fail_statement(test, "MQTT-4.4.0-1",
                       "%u messages were resent that the server had read the PUBACK of", again);
    expect_quiet(subscriber);
}

CASE(finished_deliveries_are_not_repeated_restart, .outage = OUTAGE_RESTART,
     .v5 = "MQTT-4.4.0-1 MQTT-4.3.3-6", .v311 = "MQTT-4.4.0-1 MQTT-4.3.3-1",
     .sends = "five messages each at QoS 1 and 2 that the subscriber has acknowledged to the end, "
              "and PINGRESP has come after that; the outage",
     .allowed = "none of them comes again",
     .why = "a restart, not a kill: the server has time to store what it has read",
     .faults = "resends_acknowledged_at_outage")
{
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = new_stored(test, "subscriber", LONG_S);
    struct text topic = topic_of(test, "finished");
    client_subscribe(subscriber, topic, 2);
    for (unsigned i = 0; i < 10; i++) {
        publish_numbers(publisher, topic, i, i + 1, (uint8_t)(1 + i % 2));
        take_publish(subscriber, topic, number(test, i));
    }
    expect_alive(subscriber);
    outage(test);
    come_back(subscriber);
    expect_quiet(subscriber);
}

/* ---- Messages on their way from a publisher ---- */

/* A stored publisher has sent a QoS 2 message and got PUBREC. */
static uint16_t begin_exactly(struct client *publisher, struct text topic, struct text payload)
{
    struct packet publish = exchange_publish(topic, payload, 2);
    uint16_t id = client_publish_start(publisher, &publish);
    exchange_expect(publisher, PUBREC, id);
    return id;
}

static void only_once(struct client *subscriber, struct text topic, struct text payload)
{
    come_back(subscriber);
    take_publish(subscriber, topic, payload);
    expect_quiet(subscriber);
}

OUTAGE_PAIR(pubrel_after_an_outage_delivers_once, "forgets_messages_at_outage no_pubcomp",
            .v5 = "MQTT-4.3.3-8 MQTT-4.3.3-11 MQTT-4.5.0-1", .v311 = "MQTT-4.3.3-2 MQTT-4.5.0-1",
            .sends = "a publisher's QoS 2 message that was answered with PUBREC; the outage; the "
                     "publisher returns and sends PUBREL; the subscriber returns",
            .allowed = "PUBCOMP 0x00, and one copy")
{
    need_qos(test, 2);
    struct client *publisher = new_stored(test, "publisher", LONG_S);
    struct client *away = new_stored(test, "away", LONG_S);
    struct text topic = topic_of(test, "released");
    client_subscribe(away, topic, 2);
    client_disconnect(away);
    uint16_t id = begin_exactly(publisher, topic, TEXT("once"));
    outage(test);
    come_back(publisher);
    exchange_release(publisher, id);
    only_once(away, topic, TEXT("once"));
}

OUTAGE_PAIR(publish_repeated_after_an_outage_delivers_once,
            "forgets_qos_2_at_outage forgets_messages_at_outage",
            .v5 = "MQTT-4.3.3-10 MQTT-4.3.3-8 MQTT-4.1.0-1", .v311 = "MQTT-4.3.3-2 MQTT-4.1.0-1",
            .sends = "a publisher's QoS 2 message that was answered with PUBREC; the outage; the "
                     "publisher returns, sends PUBLISH with DUP again, and PUBREL",
            .allowed = "PUBREC and PUBCOMP, and one copy for the subscriber",
            .why = "the PUBREC may have been lost with the connection; the publisher can't know")
{
    need_qos(test, 2);
    struct client *publisher = new_stored(test, "publisher", LONG_S);
    struct client *away = new_stored(test, "away", LONG_S);
    struct text topic = topic_of(test, "repeated");
    client_subscribe(away, topic, 2);
    client_disconnect(away);
    uint16_t id = begin_exactly(publisher, topic, TEXT("once"));
    outage(test);
    come_back(publisher);
    struct packet again = exchange_publish(topic, TEXT("once"), 2);
    again.packet_id = id;
    again.dup = true;
    client_publish_packet(publisher, &again);
    only_once(away, topic, TEXT("once"));
}

OUTAGE_PAIR(finished_identifier_is_free_after_an_outage, "forgets_messages_at_outage",
            .v5 = "MQTT-4.3.3-12 MQTT-4.5.0-1", .v311 = "MQTT-4.3.3-2 MQTT-4.5.0-1",
            .sends =
                "a QoS 2 exchange of a stored publisher to its end; the outage; another message "
                "under the same Packet Identifier",
            .allowed = "both messages, each once")
{
    need_qos(test, 2);
    struct client *publisher = new_stored(test, "publisher", LONG_S);
    struct client *away = new_stored(test, "away", LONG_S);
    struct text topic = topic_of(test, "free");
    client_subscribe(away, topic, 2);
    client_disconnect(away);
    struct packet first = exchange_publish(topic, TEXT("first"), 2);
    client_publish_packet(publisher, &first);
    outage(test);
    come_back(publisher);
    struct packet second = exchange_publish(topic, TEXT("second"), 2);
    second.packet_id = first.packet_id;
    client_publish_packet(publisher, &second);
    come_back(away);
    take_publish(away, topic, TEXT("first"));
    take_publish(away, topic, TEXT("second"));
    expect_quiet(away);
}

/* ---- Retained messages ---- */

OUTAGE_PAIR(
    retained_messages_survive, "forgets_retained_at_outage keeps_retained_after_empty",
    .v5 = "MQTT-3.3.1-5 MQTT-3.3.1-6 MQTT-3.3.2-20 MQTT-3.3.2-17",
    .v311 = "MQTT-3.3.1-5 MQTT-3.3.1-10 MQTT-3.1.2-7",
    .sends = "retained messages at QoS 1 and 2, one replaced, one removed, all acknowledged; "
             "the outage; SUBSCRIBE",
    .allowed = "the last of each topic with its QoS (5.0: and properties), none for the one "
               "removed")
{
    need_qos(test, 2);
    need_retain(test);
    struct client *publisher = client_connected(test, "publisher");
    struct text once = topic_of(test, "once"), exactly = topic_of(test, "exactly");
    struct text removed = topic_of(test, "removed");
    client_publish(publisher, once, TEXT("old"), 2, true);
    client_publish(publisher, removed, TEXT("old"), 1, true);
    struct packet publish = exchange_publish(once, TEXT("new"), 1);
    publish.retain = true;
    if (test->version == VERSION_5) {
        property_add_text(&publish.properties, CONTENT_TYPE, TEXT("text"));
        property_add_user(&publish.properties, "name", "value");
    }
    client_publish_packet(publisher, &publish);
    client_publish(publisher, exactly, TEXT("\0"), 2, true);
    client_publish(publisher, removed, (struct text){0}, 1, true);
    outage(test);
    struct client *subscriber = client_connected(test, "subscriber");
    client_subscribe(subscriber, once, 2);
    struct packet first = take_publish(subscriber, once, TEXT("new"));
    client_subscribe(subscriber, exactly, 2);
    struct packet second = take_publish(subscriber, exactly, TEXT("\0"));
    if (first.qos != 1 || second.qos != 2)
        fail(test, "retained at QoS 1 and 2, and sent at QoS %u and %u", first.qos, second.qos);
    if (!first.retain || !second.retain)
        fail(test, "retained messages without RETAIN");
    const struct property *type = property_find(&first.properties, CONTENT_TYPE);
    if (test->version == VERSION_5 && (type == NULL || !text_equal(type->text, TEXT("text"))))
        fail_statement(test, "MQTT-3.3.2-20", "the Content Type was lost");
    if (test->version == VERSION_5 && property_find(&first.properties, USER_PROPERTY) == NULL)
        fail_statement(test, "MQTT-3.3.2-17", "the User Property was lost");
    client_subscribe(subscriber, removed, 2);
    expect_quiet(subscriber);
}

/* ---- Wills ---- */

static struct client *connected_with_will(struct test *test, struct text topic, const char *payload,
                                          uint32_t expiry_s, uint32_t delay_s)
{
    struct client *client = client_new(test, "mortal");
    struct packet connect = connect_of(client);
    connect.will_topic = topic;
    connect.will_payload = text_of(payload);
    connect.will_qos = 1;
    connect.clean_start = expiry_s == 0;
    if (test->version == VERSION_5 && expiry_s > 0)
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, expiry_s);
    if (delay_s > 0)
        property_add(&connect.will_properties, WILL_DELAY_INTERVAL, delay_s);
    client_connect_ok(client, &connect);
    return client;
}

OUTAGE_PAIR(wills_of_the_disconnected_are_published, "forgets_will_at_outage forgets_will",
            .v5 = "MQTT-3.1.2-8 MQTT-3.1.2-7 MQTT-3.1.2-10", .v311 = "MQTT-3.1.2-8 MQTT-3.1.2-10",
            .sends =
                "clients with a will and a session that ends with the connection, and with one "
                "that is stored, connected when the outage comes; one that had sent DISCONNECT; "
                "a stored subscriber returns",
            .allowed = "the wills of the first two, each once, from before or after the outage",
            .why = "section 3.1.2.5: at a shutdown or failure the server may put off publishing "
                   "wills until it is back",
            .timing = true)
{
    need_qos(test, 1);
    struct client *watcher = new_stored(test, "watcher", LONG_S);
    struct text topic = topic_of(test, "will");
    client_subscribe(watcher, topic, 1);
    connected_with_will(test, topic, "ended", 0, 0);
    connected_with_will(test, topic, "stored", LONG_S, 0);
    client_disconnect(connected_with_will(test, topic, "left", LONG_S, 0));
    outage(test);
    come_back(watcher);
    bool ended = false, stored = false;
    for (unsigned n = 0; n < 2; n++) {
        struct packet will;
        bool closed = false;
        if (!receive(watcher, test->time_limit_ms, &will, &closed))
            fail(test, "%s of two wills was published", n == 0 ? "none" : "only one");
        acknowledge(watcher, &will);
        ended |= text_equal(will.payload, TEXT("ended"));
        stored |= text_equal(will.payload, TEXT("stored"));
    }
    if (!ended || !stored)
        fail(test, "a will came that was not owed, or one came twice");
    expect_quiet(watcher);
}

OUTAGE_PAIR(delayed_wills_survive, "forgets_will_at_outage ignores_will_delay",
            .v5 = "MQTT-3.1.2-8 MQTT-3.1.3-9 MQTT-4.1.0-1",
            .sends =
                "stored sessions with Will Delay Intervals of 3 s and of an hour, connected when "
                "the outage comes; the second client comes back after it; a stored subscriber "
                "watches",
            .allowed = "the first will, within 3 s and the time limit after the outage; never the "
                       "second",
            .timing = true)
{
    enum { DELAY_S = 3 };
    need_qos(test, 1);
    struct client *watcher = new_stored(test, "watcher", LONG_S);
    struct text topic = topic_of(test, "will");
    client_subscribe(watcher, topic, 1);
    connected_with_will(test, topic, "due", LONG_S, DELAY_S);
    struct client *returns = connected_with_will(test, topic, "not due", LONG_S, LONG_S);
    outage(test);
    come_back(returns);
    come_back(watcher);
    struct packet will;
    bool closed = false;
    if (!receive(watcher, test->time_limit_ms + DELAY_S * 1000, &will, &closed))
        fail(test, "the will was not published");
    if (!text_equal(will.payload, TEXT("due")))
        fail_statement(test, "MQTT-3.1.3-9", "the will of a client that came back was published");
    acknowledge(watcher, &will);
    expect_quiet(watcher);
}
