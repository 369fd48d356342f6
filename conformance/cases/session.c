/* Sessions (section 4.1; Clean Start and the Session Expiry Interval of CONNECT, Session Present).
 */
#include "conformance/harness/case.h"

static const char *id_of(const struct test *test, const char *v5, const char *v311)
{
    return test->version == VERSION_5 ? v5 : v311;
}

static void expect_present(struct client *client, bool present, const char *when)
{
    struct test *test = client->test;
    if (client->connack.session_present == present)
        return;
    fail_statement(test,
                   present ? id_of(test, "MQTT-3.2.2-3", "MQTT-3.2.2-2")
                           : id_of(test, "MQTT-3.2.2-3", "MQTT-3.2.2-3"),
                   "%s: Session Present is %u instead of %u", when, client->connack.session_present,
                   present);
}

/* CONNECT with a Clean Start of its own choice; 5.0: with that expiry. 3.1.1 has one bit for both.
 */
static void connect_with(struct client *client, bool clean_start, uint32_t expiry_s)
{
    struct packet connect = connect_of(client);
    connect.clean_start = clean_start;
    if (client->version == VERSION_5 && expiry_s > 0)
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, expiry_s);
    client_connect_ok(client, &connect);
}

/* ---- Session Present ---- */

CASE(session_present_tells_the_truth, .v5 = "MQTT-3.2.2-2 MQTT-3.2.2-3 MQTT-3.1.2-6 MQTT-3.1.4-4",
     .v311 = "MQTT-3.2.2-1 MQTT-3.2.2-2 MQTT-3.2.2-3 MQTT-3.1.4-3",
     .sends = "one client again and again: with Clean Start 0 and no session, with a stored one, "
              "with Clean Start 1, after a session that was not stored",
     .allowed = "Session Present 1 exactly where Clean Start is 0 and a session is stored",
     .faults = "claims_session_present denies_session_present session_present_after_clean_start "
               "keeps_ended_session forgets_session")
{
    bool v5 = test->version == VERSION_5;
    struct client *client = client_new(test, "present");
    connect_with(client, false, 60);
    expect_present(client, false, "no session was there");
    client_disconnect(client);
    connect_with(client, false, 60);
    expect_present(client, true, "the session was stored");
    client_drop(client);
    connect_with(client, false, 60);
    expect_present(client, true, "the session was stored and its connection broke");
    client_drop(client);
    connect_with(client, true, v5 ? 60 : 0);
    if (client->connack.session_present)
        fail_statement(test, id_of(test, "MQTT-3.2.2-2", "MQTT-3.2.2-1"),
                       "Session Present is 1 after Clean Start 1");
    client_disconnect(client);
    connect_with(client, false, 60);
    expect_present(client, v5,
                   v5 ? "stored by a CONNECT with Clean Start 1 and an expiry"
                      : "the last session had Clean Session 1");
    client_disconnect(client);
    connect_with(client, true, 0);
    client_disconnect(client);
    connect_with(client, false, 60);
    expect_present(client, false, "the last session ended with its connection");
}

/* ---- Clean Start ---- */

CASE(clean_start_discards_the_session, .v5 = "MQTT-3.1.2-4", .v311 = "MQTT-3.1.2-6",
     .sends =
         "Clean Start 1 to a session with a subscription and messages that wait; then a message "
         "to its old subscription",
     .allowed = "Session Present 0 and no message, now and at the next return",
     .faults = "keeps_session_at_clean_start keeps_subscriptions_at_clean_start")
{
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *client = client_connected_stored(test, "client", 60);
    client_subscribe(client, topic, 1);
    client_drop(client);
    client_publish(publisher, topic, TEXT("waited"), 1, false);
    connect_with(client, true, 60);
    client_publish(publisher, topic, TEXT("live"), 1, false);
    expect_quiet(client);
    client_disconnect(client);
    client_resume(client, 60);
    expect_quiet(client);
}

CASE(clean_start_discards_what_was_not_acknowledged, .v5 = "MQTT-3.1.2-4", .v311 = "MQTT-3.1.2-6",
     .sends =
         "Clean Start 1 to a session with a PUBLISH in either direction that is not completed, "
         "then a QoS 2 PUBLISH under the old Packet Identifier",
     .allowed = "nothing is resent, and the PUBLISH is a new message, which is delivered",
     .faults = "keeps_session_at_clean_start holds_ids_over_clean_start resends_after_clean_start")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "t"), other = topic_of(test, "other");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, other, 2);
    struct client *client = client_connected_stored(test, "client", 60);
    client_subscribe(client, topic, 2);
    client_publish(watcher, topic, TEXT("held"), 2, false);
    expect_publish(client, topic, TEXT("held"));
    struct packet publish = {
        .type = PUBLISH, .qos = 2, .packet_id = 77, .topic = other, .payload = TEXT("first")};
    client_send(client, &publish);
    expect(client, PUBREC);
    client_drop(client);

    connect_with(client, true, 60);
    publish.payload = TEXT("second");
    client_send(client, &publish);
    expect(client, PUBREC); /* the next packet: nothing was resent before it */
    client_send(client, &(struct packet){.type = PUBREL, .packet_id = 77});
    expect(client, PUBCOMP);
    /* The first is delivered only by a server that does so at PUBLISH and not at PUBREL. */
    struct packet got = expect(watcher, PUBLISH);
    acknowledge(watcher, &got);
    if (text_equal(got.payload, TEXT("first")))
        take_publish(watcher, other, TEXT("second"));
    else if (!text_equal(got.payload, TEXT("second")))
        fail(test, "a message came that nobody sent");
    expect_quiet(client);
}

CASE(clean_start_with_expiry_is_stored, .v5 = "MQTT-3.1.2-23 MQTT-3.1.2-5 MQTT-4.1.0-2",
     .sends = "CONNECT with Clean Start 1 and a Session Expiry Interval, SUBSCRIBE, the end of the "
              "connection, a message, CONNECT with Clean Start 0",
     .allowed = "Session Present 1 and the message",
     .why = "Clean Start says what is done with the old session, not with the new one.",
     .faults = "forgets_clean_started_session")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_new(test, "clean");
    connect_with(client, true, 60);
    client_subscribe(client, topic, 1);
    client_drop(client);
    client_publish(client_connected(test, "pub"), topic, TEXT("kept"), 1, false);
    connect_with(client, false, 60);
    expect_present(client, true, "stored by a CONNECT with Clean Start 1 and an expiry");
    take_publish(client, topic, TEXT("kept"));
}

CASE(session_ends_with_its_connection, .v5 = "MQTT-4.1.0-2 MQTT-3.2.2-3 MQTT-3.1.2-6",
     .v311 = "MQTT-3.1.2-6 MQTT-3.2.2-3",
     .sends = "SUBSCRIBE in a session without expiry (3.1.1: Clean Session 1), the end of the "
              "connection, a message, CONNECT with Clean Start 0",
     .allowed = "Session Present 0, no message, and no subscription",
     .faults = "keeps_ended_session claims_session_present")
{
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *client = client_connected(test, "brief");
    client_subscribe(client, topic, 1);
    client_disconnect(client);
    client_publish(publisher, topic, TEXT("waited"), 1, false);
    connect_with(client, false, 60);
    expect_present(client, false, "the session ended with its connection");
    client_publish(publisher, topic, TEXT("live"), 1, false);
    expect_quiet(client);
}

/* ---- What is kept ---- */

CASE(
    session_is_resumed, .v5 = "MQTT-3.1.2-5 MQTT-3.1.2-23 MQTT-4.1.0-1",
    .v311 = "MQTT-3.1.2-4 MQTT-3.1.2-5 MQTT-4.1.0-1 MQTT-4.1.0-2",
    .sends = "SUBSCRIBE to three filters, UNSUBSCRIBE from one, DISCONNECT, messages at QoS 1 and "
             "2, return; then more messages",
    .allowed = "all messages of the two subscriptions at their QoS, those that waited and those "
               "that did not; none of the third",
    .faults = "forgets_session forgets_subscriptions loses_offline_messages denies_session_present")
{
    need_qos(test, 2);
    struct text one = topic_of(test, "one"), two = topic_of(test, "two");
    struct text gone = topic_of(test, "gone");
    struct client *publisher = client_connected(test, "pub");
    struct client *client = client_connected_stored(test, "kept", 60);
    client_subscribe(client, one, 1);
    client_subscribe(client, two, 2);
    client_subscribe(client, gone, 1);
    client_unsubscribe(client, gone);
    client_disconnect(client);
    for (unsigned round = 0; round < 2; round++) {
        client_publish(publisher, gone, TEXT("no"), 1, false);
        client_publish(publisher, one, TEXT("1"), 1, false);
        client_publish(publisher, two, TEXT("2"), 2, false);
        if (round == 0) {
            client_resume(client, 60);
            expect_present(client, true, "the session was stored");
        }
        /* The two topics may come in either order: only one topic has one [MQTT-4.6.0-6]. */
        bool seen[3] = {0};
        for (unsigned i = 0; i < 2; i++) {
            struct packet packet = expect(client, PUBLISH);
            unsigned qos = text_equal(packet.topic, one)   ? 1
                           : text_equal(packet.topic, two) ? 2
                                                           : 0;
            if (qos == 0 || seen[qos])
                fail(test, "a message came that was not owed");
            if (packet.qos != qos)
                fail(test, "a message came at QoS %u instead of %u", packet.qos, qos);
            seen[qos] = true;
            acknowledge(client, &packet);
        }
    }
    expect_quiet(client);
}

CASE(every_way_of_leaving_keeps_the_session, .v5 = "MQTT-3.1.2-23 MQTT-3.1.2-5",
     .v311 = "MQTT-3.1.2-4 MQTT-3.1.2-5",
     .sends = "a stored session that is left by DISCONNECT, a closed socket, a reset, a malformed "
              "packet and a takeover, with a message meanwhile",
     .allowed = "Session Present 1 and the message, each time",
     .faults = "forgets_session denies_session_present loses_offline_messages")
{
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *client = client_connected_stored(test, "leaves", 60);
    client_subscribe(client, topic, 1);
    static const char *const ways[] = {"DISCONNECT", "a closed socket", "a reset",
                                       "a malformed packet", "a takeover"};
    for (unsigned way = 0; way < 5; way++) {
        struct client *next = client;
        expect_alive(client); /* its acknowledgement has been read */
        if (way == 0)
            client_disconnect(client);
        else if (way == 1)
            client_drop(client);
        else if (way == 2)
            client_reset(client);
        else if (way == 3) {
            client_send_hex(client, "00 00");
            expect_closed(client, 0);
        } else {
            next = client_new(test, "leaves");
            next->id = client->id;
        }
        struct text payload = text_printf(test, "%u", way);
        client_publish(publisher, topic, payload, 1, false);
        if (way == 4) {
            take_publish(client, topic, payload);
            expect_alive(client);
        }
        client_resume(next, 60);
        expect_present(next, true, ways[way]);
        if (way < 4)
            take_publish(next, topic, payload);
    }
}

CASE(received_qos_2_is_remembered, .v5 = "MQTT-3.1.2-5 MQTT-4.1.0-1",
     .v311 = "MQTT-3.1.2-4 MQTT-4.1.0-1",
     .sends = "a QoS 2 PUBLISH, answered with PUBREC; the end of the connection; at the return the "
              "same PUBLISH with DUP, then PUBREL",
     .allowed = "PUBREC and PUBCOMP, and one delivery in all",
     .why = "Section 4.1: QoS 2 messages that have been received and not released are part of the "
            "Session State.",
     .faults = "forgets_qos_2_at_reconnect forgets_session")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "t");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 2);
    struct client *client = client_connected_stored(test, "sender", 60);
    struct packet publish = {
        .type = PUBLISH, .qos = 2, .packet_id = 9, .topic = topic, .payload = TEXT("once")};
    client_send(client, &publish);
    expect(client, PUBREC);
    client_drop(client);
    client_resume(client, 60);
    publish.dup = true;
    client_send(client, &publish);
    expect(client, PUBREC);
    client_send(client, &(struct packet){.type = PUBREL, .packet_id = 9});
    expect(client, PUBCOMP);
    take_publish(watcher, topic, TEXT("once"));
    expect_quiet(watcher);
}

CASE(
    retained_messages_outlive_their_session, .v5 = "MQTT-3.1.2-4", .v311 = "MQTT-3.1.2-7",
    .sends = "a retained message from a session that then ends, by DISCONNECT and by Clean Start 1",
    .allowed = "a new subscriber gets the message, both times",
    .faults = "deletes_retained_with_session never_retains")
{
    need_retain(test);
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    client_publish(publisher, topic, TEXT("stays"), 1, true);
    client_disconnect(publisher);
    for (unsigned i = 0; i < 2; i++) {
        struct client *subscriber = client_connected(test, "sub");
        client_subscribe(subscriber, topic, 1);
        take_publish(subscriber, topic, TEXT("stays"));
        client_disconnect(subscriber);
        connect_with(publisher, true, 0); /* Clean Start 1 ends the session, if there is one */
        client_disconnect(publisher);
    }
}
