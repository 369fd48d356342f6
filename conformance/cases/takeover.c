/* A Client Identifier that is connected already (section 3.1.4): the old connection has to go. */
#include "conformance/harness/case.h"

/* Another connection of the same client. */
static struct client *twin_of(struct client *client)
{
    struct client *twin = client_new(client->test, "twin");
    twin->id = client->id;
    return twin;
}

static void connect_clean(struct client *client)
{
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
}

/* Waits for the end; returns whether DISCONNECT 0x8E came before it. */
static bool expect_taken_over(struct client *old)
{
    struct test *test = old->test;
    struct packet packet;
    bool closed = false, told = false;
    while (receive(old, test->time_limit_ms, &packet, &closed)) {
        if (packet.type != DISCONNECT)
            continue; /* something under way */
        if (packet.reason_code != 0x8E)
            fail_statement(test, "MQTT-3.1.4-3",
                           "the old connection got DISCONNECT 0x%02X instead of 0x8E",
                           packet.reason_code);
        told = true;
    }
    if (!closed)
        fail(test, "the old connection was not closed");
    return told;
}

CASE(takeover_closes_the_old_connection, .v5 = "MQTT-3.1.4-3", .v311 = "MQTT-3.1.4-2",
     .sends =
         "CONNECT with the Client Identifier of a client that is connected, with Clean Start 1 "
         "and 0",
     .allowed =
         "the old connection gets DISCONNECT 0x8E (3.1.1: nothing) and is closed; the new one "
         "works",
     .faults = "allows_two_connections closes_new_at_takeover silent_takeover wrong_takeover_code")
{
    for (unsigned clean = 0; clean < 2; clean++) {
        struct client *old = client_connected_stored(test, "old", 60), *new = twin_of(old);
        if (clean)
            connect_clean(new);
        else
            client_resume(new, 60);
        if (!expect_taken_over(old) && test->version == VERSION_5)
            fail(test, "the old connection was closed without DISCONNECT 0x8E");
        expect_alive(new);
    }
}

CASE(
    takeover_resumes_the_session, .v5 = "MQTT-3.1.4-3 MQTT-3.1.2-5 MQTT-3.2.2-3",
    .v311 = "MQTT-3.1.4-2 MQTT-3.1.2-4 MQTT-3.2.2-2",
    .sends =
        "a takeover with Clean Start 0 while a QoS 1 message is not acknowledged; then another "
        "message",
    .allowed = "Session Present 1, the first message again and the second, both on the new "
               "connection",
    .faults = "forgets_session forgets_subscriptions forgets_unacknowledged denies_session_present")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *old = client_connected_stored(test, "old", 60), *new = twin_of(old);
    client_subscribe(old, topic, 1);
    client_publish(publisher, topic, TEXT("held"), 1, false);
    expect_publish(old, topic, TEXT("held"));
    client_resume(new, 60);
    if (!new->connack.session_present)
        fail_statement(test, test->version == VERSION_5 ? "MQTT-3.2.2-3" : "MQTT-3.2.2-2",
                       "Session Present is 0 after a takeover with Clean Start 0");
    take_publish(new, topic, TEXT("held"));
    client_publish(publisher, topic, TEXT("next"), 1, false);
    take_publish(new, topic, TEXT("next"));
    expect_taken_over(old);
}

CASE(takeover_with_clean_start_discards_the_session, .v5 = "MQTT-3.1.4-4 MQTT-3.1.2-4",
     .v311 = "MQTT-3.1.4-3 MQTT-3.1.2-6",
     .sends =
         "a takeover with Clean Start 1 while a QoS 1 message is not acknowledged; then another "
         "message to the old subscription",
     .allowed = "Session Present 0 and no message",
     .faults = "keeps_session_at_clean_start resends_after_clean_start")
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "t");
    struct client *publisher = client_connected(test, "pub");
    struct client *old = client_connected_stored(test, "old", 60), *new = twin_of(old);
    client_subscribe(old, topic, 1);
    client_publish(publisher, topic, TEXT("held"), 1, false);
    expect_publish(old, topic, TEXT("held"));
    connect_clean(new);
    if (new->connack.session_present)
        fail_statement(test, test->version == VERSION_5 ? "MQTT-3.2.2-2" : "MQTT-3.2.2-1",
                       "Session Present is 1 after Clean Start 1");
    client_publish(publisher, topic, TEXT("next"), 1, false);
    expect_quiet(new);
}

CASE(takeovers_in_a_row_leave_one_connection, .v5 = "MQTT-3.1.4-3", .v311 = "MQTT-3.1.4-2",
     .sends = "twelve CONNECTs of one Client Identifier, written without waiting for CONNACK",
     .allowed = "all connections are closed but one, and that one works",
     .faults = "allows_two_connections closes_new_at_takeover")
{
    enum { TWINS = 12 };
    struct client *twins[TWINS];
    for (unsigned i = 0; i < TWINS; i++) {
        twins[i] = client_new(test, "twin");
        twins[i]->id = twins[0]->id;
        client_open(twins[i]);
    }
    for (unsigned i = 0; i < TWINS; i++) {
        struct packet connect = connect_of(twins[i]);
        client_send(twins[i], &connect);
    }
    /* Which of them the server reads last is its own affair. The survivor is the one that answers
     * PINGREQ when all the others have been seen to close. */
    unsigned open = TWINS, last = TWINS;
    bool is_closed[TWINS] = {0}, accepted[TWINS] = {0};
    uint64_t end_ms = clock_ms() + test->time_limit_ms;
    while (open > 1 && clock_ms() < end_ms) {
        for (unsigned i = 0; i < TWINS; i++) {
            struct packet packet;
            bool closed = false;
            while (!is_closed[i] && receive(twins[i], 20, &packet, &closed)) {
                accepted[i] |= packet.type == CONNACK;
                if (packet.type == CONNACK && packet.reason_code != 0)
                    fail(test, "a CONNECT was refused with 0x%02X", packet.reason_code);
            }
            if (closed && !is_closed[i]) {
                is_closed[i] = true;
                open--;
            }
        }
    }
    if (open != 1)
        fail(test, "%u of %u connections of one client are open", open, TWINS);
    for (unsigned i = 0; i < TWINS; i++)
        if (!is_closed[i])
            last = i;
    if (!accepted[last])
        expect(twins[last], CONNACK);
    expect_alive(twins[last]);
}

CASE(takeover_leaves_others_alone, .v5 = "MQTT-3.1.4-3 MQTT-3.1.3-2",
     .v311 = "MQTT-3.1.4-2 MQTT-3.1.3-2",
     .sends = "a takeover while a client whose identifier differs in the last letter is connected",
     .allowed = "the other one is not disturbed", .faults = "truncates_client_id")
{
    struct client *old = client_connected(test, "old");
    struct client *other = client_new(test, "other");
    uint8_t *id = test_alloc(test, old->id.size);
    for (size_t i = 0; i < old->id.size; i++)
        id[i] = old->id.data[i];
    id[old->id.size - 1] = id[old->id.size - 1] == 'z' ? 'y' : 'z';
    other->id = (struct text){id, old->id.size};
    connect_clean(other);
    connect_clean(twin_of(old));
    expect_taken_over(old);
    expect_quiet(other);
}

CASE(takeover_across_versions, .v5 = "MQTT-3.1.4-3", .v311 = "MQTT-3.1.4-2",
     .sends =
         "CONNECT in the other version with the Client Identifier of a client that is connected",
     .allowed = "the old connection is closed; a server without the other version refuses",
     .faults = "allows_two_connections")
{
    struct client *old = client_connected(test, "old"), *new = twin_of(old);
    new->version = test->version == VERSION_5 ? VERSION_311 : VERSION_5;
    struct packet connect = connect_of(new), connack;
    bool closed = false;
    client_open(new);
    client_send(new, &connect);
    if (!receive(new, test->time_limit_ms, &connack, &closed) || connack.type != CONNACK ||
        connack.reason_code != 0)
        not_applicable(test, "the server does not take the other version");
    expect_taken_over(old);
    expect_alive(new);
}
