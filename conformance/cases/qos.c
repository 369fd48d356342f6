/* The delivery protocols of section 4.3 between a publisher and the server, and between the server
 * and a subscriber, on one connection. What happens when a connection is lost is redelivery.c's. */
#include "conformance/cases/exchange.h"

CASE(publish_is_answered_as_its_qos_says,
     .v5 = "MQTT-3.3.4-1 MQTT-4.3.2-4 MQTT-4.3.3-8 MQTT-4.3.3-11 MQTT-2.2.1-5",
     .v311 = "MQTT-3.3.4-1 MQTT-4.3.2-2 MQTT-4.3.3-2 MQTT-2.3.1-6",
     .sends = "PUBLISH at QoS 0, 1 and 2, with a subscriber and without one",
     .allowed = "nothing at QoS 0; PUBACK at QoS 1; PUBREC, and PUBCOMP after PUBREL, at QoS 2",
     .faults = "no_puback no_pubrec no_pubcomp puback_for_qos_2 wrong_acknowledgement_id")
{
    struct text topics[] = {topic_of(test, "nobody"), topic_of(test, "somebody")};
    exchange_subscriber(test, "somebody", topics[1], exchange_qos(test, 2));
    struct client *client = client_connected(test, "client");
    for (unsigned i = 0; i < 2; i++) {
        struct packet publish = exchange_publish(topics[i], TEXT("x"), 0);
        client_publish_start(client, &publish);
        expect_alive(client); /* nothing comes before PINGRESP */
        if (test->server->maximum_qos < 1)
            continue;
        publish.qos = 1;
        exchange_expect(client, PUBACK, client_publish_start(client, &publish));
        expect_alive(client);
        if (test->server->maximum_qos < 2)
            continue;
        publish.qos = 2;
        uint16_t id = client_publish_start(client, &publish);
        exchange_expect(client, PUBREC, id);
        expect_alive(client);
        exchange_release(client, id);
        expect_alive(client);
    }
}

/* ---- QoS 1 to the server ---- */

CASE(identifier_is_free_after_puback, .v5 = "MQTT-4.3.2-5", .v311 = "MQTT-4.3.2-2 MQTT-2.3.1-3",
     .sends =
         "four times PUBLISH at QoS 1 under the same identifier, each after PUBACK for the one "
         "before: with another payload and with the same, with DUP 0 and 1",
     .allowed = "all four are delivered: each is a new message, whatever DUP says",
     .faults = "holds_id_after_puback")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 1);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 4; i++) {
        struct packet publish = exchange_publish(topic, i / 2 ? TEXT("b") : TEXT("a"), 1);
        publish.packet_id = 7;
        publish.dup = i > 0;
        client_send(publisher, &publish);
        exchange_expect(publisher, PUBACK, 7);
        take_publish(subscriber, topic, publish.payload);
    }
    expect_alive(subscriber);
}

/* ---- QoS 2 to the server ---- */

/* 5.0 forbids clients to repeat a PUBLISH on a connection that lives [MQTT-4.4.0-1]; whether a
 * server may then close, or owes the PUBREC all the same [MQTT-4.3.3-10], is debatable. 3.1.1
 * leaves no doubt. Returns false if this one closed. */
static bool repeat(struct client *client, struct packet *publish)
{
    struct test *test = client->test;
    struct packet answer;
    bool closed = false;
    publish->dup = true;
    client_send(client, publish);
    if (!receive(client, test->time_limit_ms, &answer, &closed) && !closed)
        fail(test, "a PUBLISH at QoS 2 that is repeated before PUBREL is not answered");
    if (test->version == VERSION_5 && (closed || answer.type == DISCONNECT)) {
        warn_debatable(test, NULL, "closed at a PUBLISH that is repeated before PUBREL");
        return false;
    }
    if (closed)
        fail(test,
             "the server closed at a PUBLISH that is repeated before PUBREL; PUBREC was owed");
    if (answer.type != PUBREC || answer.packet_id != publish->packet_id)
        fail(test, "a PUBLISH repeated under identifier %u is answered with %s for %u",
             publish->packet_id, packet_name(answer.type), answer.packet_id);
    return true;
}

CASE(
    repeated_qos_2_publish_is_delivered_once, .v5 = "MQTT-4.3.3-10 MQTT-4.3.3-8",
    .v311 = "MQTT-4.3.3-2",
    .sends = "PUBLISH at QoS 2, repeated twice with DUP before PUBREL; then a second message",
    .allowed = "PUBREC for each (5.0: to close is debatable); the subscriber gets the message once",
    .faults = "routes_repeated_qos_2 duplicates_qos_2 silent_about_repeated_qos_2")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = exchange_publish(topic, TEXT("once"), 2);
    uint16_t id = client_publish_start(publisher, &publish);
    exchange_expect(publisher, PUBREC, id);
    bool open = repeat(publisher, &publish) && repeat(publisher, &publish);
    if (open) {
        exchange_release(publisher, id);
        take_publish(subscriber, topic, TEXT("once"));
    }
    client_publish(client_connected(test, "other"), topic, TEXT("second"), 2, false);
    struct packet got = expect(subscriber, PUBLISH);
    acknowledge(subscriber, &got);
    if (!open && text_equal(got.payload, TEXT("once"))) /* it may have been delivered, or not */
        got = take_publish(subscriber, topic, TEXT("second"));
    if (!text_equal(got.payload, TEXT("second")))
        fail(test, "a message at QoS 2 is delivered twice");
    expect_quiet(subscriber);
}

CASE(interleaved_qos_2_exchanges, .v5 = "MQTT-4.3.3-8 MQTT-4.3.3-11", .v311 = "MQTT-4.3.3-2",
     .sends =
         "three PUBLISHes at QoS 2, then PUBREL for them in another order, and PUBREL for each "
         "once more",
     .allowed = "PUBREC and PUBCOMP for each packet; each message is delivered once",
     .faults = "duplicates_qos_2 wrong_acknowledgement_id no_pubcomp")
{
    static const uint16_t published[] = {3, 5, 300}, released[] = {5, 300, 3};
    need_qos(test, 2);
    if (test->server->receive_maximum < 3)
        not_applicable(test, "the server's Receive Maximum is below 3");
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 3; i++) {
        struct packet publish = exchange_publish(topic, text_printf(test, "%u", published[i]), 2);
        publish.packet_id = published[i];
        client_send(publisher, &publish);
        exchange_expect(publisher, PUBREC, published[i]);
    }
    for (unsigned i = 0; i < 6; i++) { /* the second time they are not known any more */
        exchange_answer(publisher, PUBREL, released[i % 3], 0);
        struct packet pubcomp = expect(publisher, PUBCOMP);
        if (pubcomp.packet_id != released[i % 3])
            fail(test, "PUBREL for identifier %u is answered with PUBCOMP for %u", released[i % 3],
                 pubcomp.packet_id);
        if (i < 3 && pubcomp.reason_code != 0)
            fail(test, "PUBCOMP with 0x%02X for an identifier that the server holds",
                 pubcomp.reason_code);
    }
    bool seen[3] = {false};
    for (unsigned i = 0; i < 3; i++) { /* onward at PUBLISH or at PUBREL: both are in order */
        struct packet got = expect(subscriber, PUBLISH);
        acknowledge(subscriber, &got);
        for (unsigned k = 0; k < 3; k++) {
            if (!text_equal(got.payload, text_printf(test, "%u", published[k])))
                continue;
            if (seen[k])
                fail(test, "message %u is delivered twice", published[k]);
            seen[k] = true;
        }
    }
    expect_quiet(subscriber);
}

CASE(identifier_is_free_after_pubcomp, .v5 = "MQTT-4.3.3-12", .v311 = "MQTT-4.3.3-2 MQTT-2.3.1-3",
     .sends =
         "four times a whole exchange at QoS 2 under the same identifier: with another payload "
         "and with the same, with DUP 0 and 1",
     .allowed = "all four are delivered: each is a new message, whatever DUP says",
     .faults = "holds_id_after_pubcomp")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 4; i++) {
        struct packet publish = exchange_publish(topic, i / 2 ? TEXT("b") : TEXT("a"), 2);
        publish.packet_id = 7;
        publish.dup = i > 0;
        client_send(publisher, &publish);
        exchange_expect(publisher, PUBREC, 7);
        exchange_release(publisher, 7);
        take_publish(subscriber, topic, publish.payload);
    }
    expect_alive(subscriber);
}

/* Publishes what servers may well refuse; true if it was refused, so that its exchange is over, and
 * the connection is open. */
static bool refused(struct client *client, struct packet *publish)
{
    struct test *test = client->test;
    struct packet answer;
    bool closed = false;
    client_send(client, publish);
    if (!receive(client, test->time_limit_ms, &answer, &closed)) {
        if (!closed)
            fail_statement(test, "MQTT-4.3.3-8", "a PUBLISH at QoS 2 is not answered");
        return false;
    }
    if (answer.type == DISCONNECT)
        return false;
    if (answer.type != PUBREC || answer.packet_id != publish->packet_id)
        fail_statement(test, "MQTT-4.3.3-8", "a PUBLISH at QoS 2 is answered with %s for %u",
                       packet_name(answer.type), answer.packet_id);
    return answer.reason_code >= 0x80 && exchange_settle(client);
}

CASE(identifier_is_free_after_an_error_pubrec, .v5 = "MQTT-4.3.3-9",
     .sends =
         "PUBLISH at QoS 2 that many servers refuse: to a topic below $SYS, or with a payload that "
         "is not the UTF-8 that it claims to be; then another PUBLISH under the same identifier",
     .allowed = "if the first was refused with PUBREC of 0x80 or more, the second is a new message",
     .faults = "holds_id_after_error_pubrec")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct packet attempts[] = {
        exchange_publish(text_printf(test, "$SYS/conformance/%llx", (unsigned long long)test->seed),
                         TEXT("x"), 2),
        exchange_publish(topic_of(test, "text"), TEXT("\xFF\xFE"), 2),
    };
    property_add(&attempts[1].properties, PAYLOAD_FORMAT_INDICATOR, 1);
    for (unsigned i = 0; i < 2; i++) {
        struct client *publisher = client_connected(test, "publisher");
        attempts[i].packet_id = 77;
        if (!refused(publisher, &attempts[i]))
            continue;
        struct packet publish = exchange_publish(topic, TEXT("new"), 2);
        publish.packet_id = 77;
        client_send(publisher, &publish);
        exchange_expect(publisher, PUBREC, 77);
        exchange_release(publisher, 77);
        take_publish(subscriber, topic, TEXT("new"));
        return;
    }
    not_applicable(test, "the server refuses none of these messages with PUBREC");
}

/* ---- From the server ---- */

CASE(qos_2_to_a_subscriber, .v5 = "MQTT-4.3.3-4 MQTT-4.3.3-2 MQTT-2.2.1-5 MQTT-3.6.1-1",
     .v311 = "MQTT-4.3.3-1 MQTT-2.3.1-6 MQTT-3.6.1-1",
     .sends = "three messages at QoS 2; the subscriber sends PUBREC for all of them, then PUBCOMP",
     .allowed = "PUBREL under the identifier of each PUBREC, in any order; then nothing more",
     .faults = "no_pubrel wrong_pubrel_id duplicates_qos_2 sets_dup sends_reserved_flags")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    uint16_t ids[3];
    for (unsigned i = 0; i < 3; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 2, false);
        struct packet got = expect_publish(subscriber, topic, payload);
        if (got.dup)
            fail_statement(test, test->version == VERSION_5 ? "MQTT-4.3.3-2" : "MQTT-4.3.3-1",
                           "a first delivery at QoS 2 has DUP set");
        ids[i] = got.packet_id;
    }
    for (unsigned i = 0; i < 3; i++)
        exchange_answer(subscriber, PUBREC, ids[i], 0);
    for (unsigned i = 0; i < 3; i++) {
        uint16_t id = expect(subscriber, PUBREL).packet_id;
        unsigned at = 0;
        while (at < 3 && ids[at] != id)
            at++;
        if (at == 3)
            fail(test, "PUBREL for identifier %u, which is not one of the three that are due", id);
        ids[at] = 0;
        exchange_answer(subscriber, PUBCOMP, id, 0);
    }
    expect_quiet(subscriber);
}

CASE(repeated_pubrec_brings_no_publish, .v5 = "MQTT-4.3.3-6 MQTT-4.3.3-4", .v311 = "MQTT-4.3.3-1",
     .sends = "PUBREC for a message; after PUBREL came, PUBREC once more; then PUBCOMP",
     .allowed = "PUBREL again (debatable: nothing); never PUBLISH; the exchange can be ended",
     .faults = "no_pubrel publish_at_repeated_pubrec")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("x"), 2, false);
    uint16_t id = expect_publish(subscriber, topic, TEXT("x")).packet_id;
    exchange_answer(subscriber, PUBREC, id, 0);
    exchange_expect(subscriber, PUBREL, id);
    exchange_answer(subscriber, PUBREC, id, 0);
    client_send(subscriber, &(struct packet){.type = PINGREQ});
    struct packet packet = {0};
    bool closed = false, again = false;
    while (receive(subscriber, test->time_limit_ms, &packet, &closed) && packet.type != PINGRESP) {
        if (packet.type != PUBREL || packet.packet_id != id)
            fail(test, "PUBREC that is repeated is answered with %s", packet_name(packet.type));
        again = true;
    }
    if (packet.type != PINGRESP)
        fail(test, closed ? "closed at a PUBREC that was repeated" : "PINGREQ is not answered");
    if (!again)
        warn_debatable(test, "MQTT-4.3.3-4", "a PUBREC that is repeated is not answered");
    exchange_answer(subscriber, PUBCOMP, id, 0);
    client_publish(publisher, topic, TEXT("y"), 2, false);
    take_publish(subscriber, topic, TEXT("y"));
}

CASE(error_pubrec_ends_the_exchange, .v5 = "MQTT-4.3.3-4 MQTT-4.4.0-2",
     .sends =
         "PUBREC with 0x80, 0x87 and 0x97 for three messages at QoS 2; the client comes back to "
         "its session",
     .allowed = "no PUBREL, and nothing is resent",
     .faults = "pubrel_after_error_pubrec resends_refused")
{
    static const uint8_t codes[] = {0x80, 0x87, 0x97};
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 3; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 2, false);
        struct packet got = expect_publish(subscriber, topic, payload);
        exchange_answer(subscriber, PUBREC, got.packet_id, codes[i]);
        expect_alive(subscriber);
    }
    expect_quiet(subscriber);
    client_drop(subscriber);
    exchange_return(subscriber);
    expect_quiet(subscriber);
}

CASE(error_puback_ends_the_exchange, .v5 = "MQTT-4.4.0-2",
     .sends =
         "PUBACK with 0x80, 0x83 and 0x99 for three messages at QoS 1; the client comes back to "
         "its session",
     .allowed = "nothing is resent", .faults = "resends_refused")
{
    static const uint8_t codes[] = {0x80, 0x83, 0x99};
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "subscriber", topic, 1);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 3; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 1, false);
        struct packet got = expect_publish(subscriber, topic, payload);
        exchange_answer(subscriber, PUBACK, got.packet_id, codes[i]);
    }
    expect_alive(subscriber);
    client_drop(subscriber);
    exchange_return(subscriber);
    expect_quiet(subscriber);
}

static void want_other_identifiers(struct client *client, struct text topic,
                                   const struct packet *held, unsigned first, unsigned count)
{
    struct client *publisher = client_connected(client->test, "publisher");
    for (unsigned i = first; i < first + count; i++) {
        struct text payload = text_printf(client->test, "%u", i);
        client_publish(publisher, topic, payload, 1 + i % 2, false);
        struct packet got = take_publish(client, topic, payload);
        for (unsigned k = 0; k < 3; k++)
            if (got.packet_id == held[k].packet_id)
                fail(client->test,
                     "message %u has the identifier %u of one whose exchange has not ended", i,
                     got.packet_id);
    }
    client_disconnect(publisher);
}

CASE(identifiers_in_use_are_not_given_again, .v5 = "MQTT-4.3.2-1 MQTT-4.3.3-1 MQTT-2.2.1-4",
     .v311 = "MQTT-4.3.2-1 MQTT-4.3.3-1 MQTT-2.3.1-4",
     .sends =
         "a subscriber leaves a QoS 1 PUBLISH, a QoS 2 PUBLISH and a PUBREL without answer while "
         "it takes 300 other messages, comes back to its session, and takes 50 more",
     .allowed = "none of the others has the identifier of one of the three",
     .faults = "reuses_packet_id new_id_at_resend")
{
    enum { BEFORE = 300, AFTER = 50 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "held"), other = topic_of(test, "other");
    struct client *client = exchange_stored_subscriber(test, "client", topic, 2);
    client_subscribe(client, other, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct packet held[3];
    for (unsigned i = 0; i < 3; i++) {
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, i == 0 ? 1 : 2, false);
        held[i] = expect_publish(client, topic, payload);
    }
    exchange_answer(client, PUBREC, held[2].packet_id, 0);
    expect_answer(client, PUBREL, held[2].packet_id);
    want_other_identifiers(client, other, held, 0, BEFORE);
    client_disconnect(client);
    exchange_return(client);
    for (unsigned i = 0; i < 2; i++)
        if (expect_publish(client, topic, held[i].payload).packet_id != held[i].packet_id)
            fail_statement(test, "MQTT-4.4.0-1", "resent under another identifier");
    expect_answer(client, PUBREL, held[2].packet_id);
    want_other_identifiers(client, other, held, BEFORE, AFTER);
}

/* 3.1.1 leaves it to senders whether they resend on a connection that lives. */
CASE(nothing_is_resent_while_the_connection_lives, .v5 = "MQTT-4.4.0-1 MQTT-4.3.3-6",
     .sends = "a subscriber that acknowledges neither a QoS 1 PUBLISH, nor a QoS 2 PUBLISH, nor a "
              "PUBREL for two seconds, while it sends and gets other packets",
     .allowed = "none of the three comes again", .faults = "resends_on_live_connection",
     .timing = true)
{
    enum { TURNS = 8, TURN_MS = 250 };
    need_qos(test, 2);
    struct text held = topic_of(test, "held"), other = topic_of(test, "other");
    struct client *subscriber = exchange_subscriber(test, "subscriber", held, 2);
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, held, TEXT("one"), 1, false);
    client_publish(publisher, held, TEXT("two"), 2, false);
    client_publish(publisher, held, TEXT("released"), 2, false);
    struct packet got[3];
    for (unsigned i = 0; i < 3; i++)
        got[i] = expect(subscriber, PUBLISH);
    exchange_answer(subscriber, PUBREC, got[2].packet_id, 0);
    exchange_expect(subscriber, PUBREL, got[2].packet_id);
    client_subscribe(subscriber, other, 1);
    for (unsigned i = 0; i < TURNS; i++) {
        struct packet packet;
        bool closed = false;
        if (receive(subscriber, TURN_MS, &packet, &closed))
            fail(test, "%s for identifier %u without cause", packet_name(packet.type),
                 packet.packet_id);
        client_publish(publisher, other, TEXT("other"), 1, false);
        take_publish(subscriber, other, TEXT("other"));
        expect_alive(subscriber);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (i < 2)
            acknowledge(subscriber, &got[i]);
        else
            exchange_answer(subscriber, PUBCOMP, got[i].packet_id, 0);
    }
    expect_alive(subscriber);
}
