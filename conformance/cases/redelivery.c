/* What a server resends when a client comes back to its session, and what it does not
 * (section 4.4).
 */
#include "conformance/cases/exchange.h"

/* The resent form of a PUBLISH: the same, with DUP. */
static struct packet want_resent(struct client *client, const struct packet *first)
{
    struct test *test = client->test;
    struct packet again = expect(client, PUBLISH);
    if (!text_equal(again.payload, first->payload) || !text_equal(again.topic, first->topic))
        fail(test,
             "resent is not the PUBLISH that is owed next, in the order in which they were sent");
    if (again.packet_id != first->packet_id || again.qos != first->qos)
        fail(test, "resent at QoS %u under identifier %u; it was sent at QoS %u under %u",
             again.qos, again.packet_id, first->qos, first->packet_id);
    if (!again.dup)
        fail_statement(test, "MQTT-3.3.1-1", "a PUBLISH that is resent has DUP 0");
    return again;
}

/* The two ways to lose a connection without a DISCONNECT, and the orderly one. */
static void leave(struct client *client, unsigned way)
{
    if (way == 0)
        client_drop(client);
    else if (way == 1)
        client_reset(client);
    else
        client_disconnect(client);
}

enum { WAYS = 3 };

CASE(unacknowledged_publish_is_resent, .v5 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.3.2-3 MQTT-4.3.3-3",
     .v311 = "MQTT-4.4.0-1 MQTT-3.3.1-1 MQTT-4.3.2-1 MQTT-4.3.3-1 MQTT-2.3.1-4",
     .sends =
         "messages at QoS 1 and 2 that the subscriber does not acknowledge; it closes its socket, "
         "resets it, sends DISCONNECT, and comes back each time",
     .allowed =
         "each is resent at each return: same identifier, QoS, topic, payload and order, DUP 1",
     .faults = "forgets_unacknowledged clears_dup new_id_at_resend reorders_resent")
{
    enum { MESSAGES = 6 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct packet first[MESSAGES];
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, i % 3 == 0 ? 1 : 2, false);
        first[i] = expect_publish(subscriber, topic, payload);
    }
    for (unsigned way = 0; way <= WAYS; way++) {
        for (unsigned i = 0; i < MESSAGES && way > 0; i++) {
            struct packet again = want_resent(subscriber, &first[i]);
            if (way == WAYS)
                acknowledge(subscriber, &again);
        }
        if (way == WAYS)
            break;
        leave(subscriber, way);
        exchange_return(subscriber);
    }
    expect_quiet(subscriber);
}

CASE(only_what_is_owed_is_resent, .v5 = "MQTT-4.4.0-1 MQTT-4.3.2-3 MQTT-4.3.3-3",
     .v311 = "MQTT-4.4.0-1 MQTT-4.3.2-1 MQTT-4.3.3-1",
     .sends = "eight messages at QoS 1 and 2; every second one is acknowledged, out of order; the "
              "client comes back, acknowledges the rest, and comes back again",
     .allowed = "first the other four, in their order, with DUP; then nothing",
     .faults = "resends_acknowledged forgets_unacknowledged reorders_resent")
{
    enum { MESSAGES = 8 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct packet first[MESSAGES];
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, i % 4 < 2 ? 1 : 2, false);
        first[i] = expect_publish(subscriber, topic, payload);
    }
    for (unsigned i = MESSAGES; i-- > 0;)
        if (i % 2 == 0)
            acknowledge(subscriber, &first[i]);
    expect_alive(subscriber);
    client_drop(subscriber);
    exchange_return(subscriber);
    for (unsigned i = 1; i < MESSAGES; i += 2) {
        struct packet again = want_resent(subscriber, &first[i]);
        acknowledge(subscriber, &again);
    }
    expect_alive(subscriber);
    client_drop(subscriber);
    exchange_return(subscriber);
    expect_quiet(subscriber);
}

CASE(resent_comes_before_new, .v5 = "MQTT-4.6.0-5 MQTT-4.4.0-1 MQTT-3.3.1-3",
     .v311 = "MQTT-4.6.0-6 MQTT-4.4.0-1 MQTT-3.3.1-3",
     .sends = "at QoS 1, then at QoS 2: three messages that are not acknowledged, three while the "
              "client is away, and three when it is back",
     .allowed = "all nine in the order they were published; DUP with the first three only",
     .faults = "reorders_offline sets_dup clears_dup loses_offline_messages")
{
    enum { EACH = 3 };
    need_qos(test, 2);
    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct text topic = topic_of(test, "%u", qos);
        struct client *subscriber =
            exchange_stored_subscriber(test, qos == 1 ? "one" : "two", topic, 2);
        struct client *publisher = client_connected(test, "publisher");
        for (unsigned i = 0; i < 3 * EACH; i++) {
            struct text payload = text_printf(test, "%u", i);
            if (i == EACH)
                client_disconnect(subscriber);
            if (i == 2 * EACH)
                exchange_return(subscriber);
            client_publish(publisher, topic, payload, qos, false);
            if (i < EACH)
                expect_publish(subscriber, topic, payload);
        }
        for (unsigned i = 0; i < 3 * EACH; i++) {
            struct packet got = take_publish(subscriber, topic, text_printf(test, "%u", i));
            if (got.dup != (i < EACH))
                fail_statement(test, i < EACH ? "MQTT-3.3.1-1" : "MQTT-3.3.1-3",
                               "%s at QoS %u has DUP %d",
                               i < EACH ? "a resent PUBLISH" : "a first delivery", qos, got.dup);
        }
    }
}

CASE(pubrel_is_resent_and_never_publish, .v5 = "MQTT-4.4.0-1 MQTT-4.3.3-5 MQTT-4.3.3-6",
     .v311 = "MQTT-4.4.0-1 MQTT-4.3.3-1",
     .sends =
         "three messages at QoS 2 with PUBREC, and no PUBCOMP; the client loses its connection "
         "twice, and comes back",
     .allowed = "three PUBRELs at each return, in any order, and no PUBLISH; nothing after PUBCOMP",
     .faults = "forgets_pubrel publish_instead_of_pubrel wrong_pubrel_id")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    uint16_t ids[3];
    for (unsigned i = 0; i < 3; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 2, false);
        ids[i] = expect_publish(subscriber, topic, payload).packet_id;
        exchange_answer(subscriber, PUBREC, ids[i], 0);
        exchange_expect(subscriber, PUBREL, ids[i]);
    }
    for (unsigned times = 0; times < 2; times++) {
        leave(subscriber, times);
        exchange_return(subscriber);
        bool seen[3] = {false};
        for (unsigned i = 0; i < 3; i++) {
            uint16_t id = expect(subscriber, PUBREL).packet_id;
            unsigned at = 0;
            while (at < 3 && (ids[at] != id || seen[at]))
                at++;
            if (at == 3)
                fail(test, "PUBREL for identifier %u, which is not owed", id);
            seen[at] = true;
        }
    }
    for (unsigned i = 0; i < 3; i++)
        exchange_answer(subscriber, PUBCOMP, ids[i], 0);
    expect_alive(subscriber);
    client_drop(subscriber);
    exchange_return(subscriber);
    expect_quiet(subscriber);
}

/* The failure of a server that keeps only "sent" of a message: the PUBREC is lost with the
 * connection, and what it owes is a guess. Either packet is right here, but only one of them. */
CASE(pubrec_lost_with_the_connection, .v5 = "MQTT-4.4.0-1 MQTT-4.3.3-4", .v311 = "MQTT-4.4.0-1",
     .sends = "PUBREC for a QoS 2 message, and at once the end of the connection; the client comes "
              "back",
     .allowed = "PUBREL if the server has read the PUBREC, else PUBLISH with DUP; under the same "
                "identifier, and the exchange can be ended",
     .faults = "forgets_received forgets_session")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 2);
    client_publish(client_connected(test, "publisher"), topic, TEXT("x"), 2, false);
    struct packet first = expect_publish(subscriber, topic, TEXT("x"));
    exchange_answer(subscriber, PUBREC, first.packet_id, 0);
    client_drop(subscriber);
    exchange_return(subscriber);
    struct packet packet;
    bool closed = false;
    if (!receive(subscriber, test->time_limit_ms, &packet, &closed))
        fail(test, "neither PUBREL nor PUBLISH is resent");
    if (packet.packet_id != first.packet_id || (packet.type != PUBREL && packet.type != PUBLISH))
        fail(test, "%s under identifier %u is sent; owed is PUBREL or PUBLISH under %u",
             packet_name(packet.type), packet.packet_id, first.packet_id);
    if (packet.type == PUBLISH && (!packet.dup || !text_equal(packet.payload, TEXT("x"))))
        fail_statement(test, "MQTT-3.3.1-1", "resent with DUP %d and %zu bytes", packet.dup,
                       packet.payload.size);
    if (packet.type == PUBREL)
        exchange_answer(subscriber, PUBCOMP, packet.packet_id, 0);
    else
        acknowledge(subscriber, &packet);
    expect_alive(subscriber);
    client_drop(subscriber);
    exchange_return(subscriber);
    expect_quiet(subscriber);
}

CASE(takeover_resends, .v5 = "MQTT-4.4.0-1 MQTT-3.3.1-1", .v311 = "MQTT-4.4.0-1 MQTT-3.3.1-1",
     .sends =
         "a QoS 1 and a QoS 2 message that are not acknowledged; the client connects again with "
         "Clean Start 0 while its first connection is open",
     .allowed = "the new connection gets both again, with DUP and their identifiers",
     .faults = "forgets_unacknowledged clears_dup")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *old = exchange_stored_subscriber(test, "client", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("1"), 1, false);
    struct packet one = expect_publish(old, topic, TEXT("1"));
    client_publish(publisher, topic, TEXT("2"), 2, false);
    struct packet two = expect_publish(old, topic, TEXT("2"));
    struct client *taking = client_new(test, "taking");
    taking->id = old->id;
    exchange_return(taking);
    one = want_resent(taking, &one);
    two = want_resent(taking, &two);
    acknowledge(taking, &one);
    acknowledge(taking, &two);
    expect_alive(taking);
}

CASE(new_session_is_owed_nothing, .v5 = "MQTT-3.1.2-4 MQTT-4.4.0-1", .v311 = "MQTT-3.1.2-6",
     .sends =
         "messages that are not acknowledged, one with PUBREC, one waiting; the client comes back "
         "with Clean Start 1 (3.1.1: Clean Session 1)",
     .allowed = "nothing is resent",
     .faults = "keeps_session_at_clean_start resends_after_clean_start")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 3; i++) {
        client_publish(publisher, topic, TEXT("x"), i == 0 ? 1 : 2, false);
        struct packet got = expect_publish(subscriber, topic, TEXT("x"));
        if (i < 2)
            continue;
        exchange_answer(subscriber, PUBREC, got.packet_id, 0);
        exchange_expect(subscriber, PUBREL, got.packet_id);
    }
    client_disconnect(subscriber);
    client_publish(publisher, topic, TEXT("x"), 1, false);
    struct packet connect = connect_of(subscriber);
    client_connect_ok(subscriber, &connect);
    if (subscriber->connack.session_present)
        fail(test, "Session Present 1 after Clean Start 1");
    expect_quiet(subscriber);
}

/* ---- What the server still knows of a publisher that comes back ---- */

CASE(qos_2_identifiers_survive_a_reconnect, .v5 = "MQTT-4.3.3-10 MQTT-4.3.3-12",
     .v311 = "MQTT-4.3.3-2",
     .sends =
         "PUBLISH at QoS 2, PUBREC comes; the publisher loses its connection, comes back, repeats "
         "the PUBLISH with DUP, and sends PUBREL; the same with PUBREL alone",
     .allowed = "PUBREC and PUBCOMP; the message is delivered once",
     .faults = "forgets_qos_2_at_reconnect no_pubcomp")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected_stored(test, "publisher", EXCHANGE_EXPIRY_S);
    for (unsigned i = 0; i < 2; i++) {
        struct packet publish = exchange_publish(topic, text_printf(test, "%u", i), 2);
        publish.packet_id = 7;
        client_send(publisher, &publish);
        exchange_expect(publisher, PUBREC, 7);
        leave(publisher, i);
        exchange_return(publisher);
        if (i == 0) {
            publish.dup = true;
            client_send(publisher, &publish);
            exchange_expect(publisher, PUBREC, 7);
        }
        exchange_release(publisher, 7);
        take_publish(subscriber, topic, publish.payload);
        expect_alive(subscriber);
    }
    expect_quiet(subscriber);
}

CASE(
    new_session_holds_no_identifiers, .v5 = "MQTT-3.1.2-4 MQTT-4.3.3-12",
    .v311 = "MQTT-3.1.2-6 MQTT-4.3.3-2",
    .sends =
        "PUBLISH at QoS 2, PUBREC comes; the publisher comes back with Clean Start 1 (3.1.1: Clean "
        "Session 1) and uses the identifier for another message",
    .allowed = "the second one is a new message and is delivered; the first may be, too",
    .faults = "keeps_session_at_clean_start holds_ids_over_clean_start")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected_stored(test, "publisher", EXCHANGE_EXPIRY_S);
    struct packet publish = exchange_publish(topic, TEXT("first"), 2);
    publish.packet_id = 7;
    client_send(publisher, &publish);
    exchange_expect(publisher, PUBREC, 7);
    client_disconnect(publisher);
    struct packet connect = connect_of(publisher);
    client_connect_ok(publisher, &connect);
    publish.payload = TEXT("second");
    client_send(publisher, &publish);
    exchange_expect(publisher, PUBREC, 7);
    exchange_release(publisher, 7);
    struct packet got = expect(subscriber, PUBLISH);
    acknowledge(subscriber, &got);
    if (text_equal(got.payload, TEXT("first")))
        got = take_publish(subscriber, topic, TEXT("second"));
    if (!text_equal(got.payload, TEXT("second")))
        fail(test, "the message of the new session is not delivered");
    expect_quiet(subscriber);
}

/* ---- Several subscribers of one message ---- */

CASE(
    acknowledgement_of_one_is_not_that_of_another, .v5 = "MQTT-4.4.0-1 MQTT-4.5.0-1 MQTT-4.3.2-3",
    .v311 = "MQTT-4.4.0-1 MQTT-4.5.0-1 MQTT-4.3.2-1",
    .sends =
        "messages at QoS 1 and 2 for three stored sessions: one acknowledges them, one gets them "
        "and does not, one is away; then both others come back",
    .allowed = "the second gets them again with DUP, the third for the first time",
    .why = "servers that store a message once for all have deleted it at the first acknowledgement",
    .faults = "forgets_unacknowledged loses_offline_messages clears_dup")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *quick = exchange_stored_subscriber(test, "quick", topic, 2);
    struct client *slow = exchange_stored_subscriber(test, "slow", topic, 2);
    struct client *away = exchange_stored_subscriber(test, "away", topic, 2);
    client_disconnect(away);
    struct client *publisher = client_connected(test, "publisher");
    struct packet held[2];
    for (unsigned i = 0; i < 2; i++) {
        struct text payload = text_printf(test, "QoS %u", i + 1);
        client_publish(publisher, topic, payload, (uint8_t)(i + 1), false);
        held[i] = expect_publish(slow, topic, payload);
        take_publish(quick, topic, payload);
    }
    expect_alive(quick);
    client_disconnect(quick);
    client_drop(slow);
    exchange_return(slow);
    for (unsigned i = 0; i < 2; i++)
        held[i] = want_resent(slow, &held[i]);
    for (unsigned i = 0; i < 2; i++)
        acknowledge(slow, &held[i]);
    exchange_return(away);
    for (unsigned i = 0; i < 2; i++)
        if (take_publish(away, topic, held[i].payload).dup)
            fail_statement(test, "MQTT-3.3.1-3", "a first delivery has DUP set");
    exchange_return(quick);
    expect_quiet(quick);
    expect_alive(slow);
    expect_alive(away);
}
