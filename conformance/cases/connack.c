/* CONNACK (section 3.2): it comes first and once, and says only what may be said. */
#include "conformance/cases/exchange.h"
#include "conformance/cases/refusal.h"

/* Sends several packets in one write. */
static void send_together(struct client *client, const struct packet *packets, unsigned count)
{
    struct buffer bytes = {0};
    for (unsigned i = 0; i < count; i++)
        packet_write(&bytes, client->version, &packets[i]);
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
}

CASE(connack_is_the_first_packet, .v5 = "MQTT-3.2.0-1 MQTT-3.1.4-5 MQTT-3.2.0-2",
     .v311 = "MQTT-3.2.0-1 MQTT-3.1.4-4",
     .sends = "CONNECT, SUBSCRIBE, PINGREQ and PUBLISH in one write, before CONNACK is there",
     .allowed = "CONNACK with Success first, and once; then the answers to all the others. The "
                "message may be delivered or not: it is sent before SUBACK",
     .faults = "sends_before_connack connack_twice no_connack")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_new(test, "early");
    const struct packet packets[] = {
        connect_of(client),
        {.type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1},
        {.type = PINGREQ},
        {.type = PUBLISH,
         .topic = topic,
         .payload = TEXT("early"),
         .qos = test->server->maximum_qos > 0,
         .packet_id = test->server->maximum_qos > 0},
    };
    const unsigned answers = test->server->maximum_qos > 0 ? 3 : 2;
    client_open(client);
    send_together(client, packets, 4);
    struct packet connack = expect(client, CONNACK);
    if (connack.reason_code != 0)
        fail(test, "refused with 0x%02X", connack.reason_code);
    bool answered[16] = {0};
    for (unsigned count = 0; count < answers;) {
        struct packet packet;
        bool closed = false;
        if (!receive(client, test->time_limit_ms, &packet, &closed))
            fail(test, "%s before all of SUBACK, PINGRESP and PUBACK had come",
                 closed ? "the connection was closed" : "nothing came");
        if (packet.type == CONNACK)
            fail_statement(test, test->version == VERSION_5 ? "MQTT-3.2.0-2" : "MQTT-3.2.0-1",
                           "CONNACK was sent twice");
        if (answered[packet.type])
            fail(test, "%s was sent twice", packet_name(packet.type));
        answered[packet.type] = true;
        count += packet.type == SUBACK || packet.type == PINGRESP || packet.type == PUBACK;
    }
    if (!exchange_settle(client))
        fail(test, "the connection was closed");
}

CASE(connack_comes_before_what_waits, .v5 = "MQTT-3.2.0-1", .v311 = "MQTT-3.2.0-1",
     .sends = "CONNECT to a session with messages that wait, from a publisher that never pauses",
     .allowed = "CONNACK before the first of the messages, at each of several returns",
     .faults = "waiting_before_connack")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_connected_stored(test, "busy", 60);
    struct client *publisher = client_connected(test, "pub");
    client_subscribe(client, topic, 1);
    for (unsigned i = 0; i < 5; i++) {
        client_drop(client);
        struct text payload = text_printf(test, "%u", i);
        client_publish(publisher, topic, payload, 1, false);
        client_resume(client, 60); /* fails if anything but CONNACK is first */
        take_publish(client, topic, payload);
        expect_alive(client); /* the acknowledgement has been read */
    }
}

CASE(connack_is_well_formed, .v5 = "MQTT-3.2.2-1 MQTT-3.2.2-8 MQTT-2.2.2-1 MQTT-3.1.2-28",
     .v311 = "MQTT-3.2.2-1 MQTT-3.1.4-4",
     .sends = "CONNECT with Clean Start 1 and 0, with and without a will",
     .allowed = "CONNACK with Success, its reserved flags 0, every property once and in its range",
     .faults = "connack_reserved_flags undefined_connack_code unsuitable_property "
               "response_information_unasked")
{
    for (unsigned i = 0; i < 4; i++) {
        struct client *client = client_new(test, "plain");
        struct packet connect = connect_of(client);
        connect.clean_start = i & 1;
        if (i & 2)
            connect.will_topic = topic_of(test, "will");
        const struct packet *connack = client_connect(client, &connect);
        if (connack->reason_code != 0)
            fail(test, "CONNECT was refused with 0x%02X", connack->reason_code);
        if (property_find(&connack->properties, RESPONSE_INFORMATION))
            fail_statement(test, "MQTT-3.1.2-28",
                           "CONNACK has Response Information that was not requested");
        client_disconnect(client);
    }
}

CASE(
    assigned_identifier_only_where_none_was_given, .v5 = "MQTT-3.2.2-16 MQTT-3.1.3-7",
    .sends = "CONNECT with a Client Identifier",
    .allowed = "CONNACK without an Assigned Client Identifier (remarked on), or with the one given",
    .faults = "assigned_id_is_not_used")
{
    struct client *client = client_connected_stored(test, "given", 60);
    const struct property *assigned =
        property_find(&client->connack.properties, ASSIGNED_CLIENT_IDENTIFIER);
    if (!assigned)
        return;
    if (!text_equal(assigned->text, client->id))
        fail(test, "a client that gave its identifier was assigned another");
    warn_debatable(test, "MQTT-3.2.2-16", "a client that gave its identifier was assigned it");
}

/* ---- Refusals ---- */

/* A CONNECT that has to be refused with a CONNACK, from a client whose session is stored. */
static const struct packet *refused_connack(struct client *client)
{
    struct test *test = client->test;
    struct packet connect = connect_of(client);
    connect.clean_start = false;
    struct packet connack;
    bool closed = false;
    if (test->version == VERSION_5)
        property_add_text(&connect.properties, AUTHENTICATION_METHOD, TEXT("no such method"));
    else
        connect.client_id = TEXT("");
    client_open(client);
    client_send(client, &connect);
    if (!receive(client, test->time_limit_ms, &connack, &closed)) {
        if (closed && test->version == VERSION_5)
            return NULL; /* it may, [MQTT-4.13.1-1] */
        fail(test, "a CONNECT that has to be refused was not answered");
    }
    if (connack.type != CONNACK || connack.reason_code == 0)
        fail(test, "a CONNECT that has to be refused was answered with %s 0x%02X",
             packet_name(connack.type), connack.reason_code);
    client->connack = connack;
    return &client->connack;
}

CASE(refusal_denies_the_session, .v5 = "MQTT-3.2.2-6 MQTT-3.2.2-7 MQTT-4.13.2-1",
     .v311 = "MQTT-3.2.2-4 MQTT-3.2.2-5",
     .sends = "a CONNECT that has to be refused: 5.0 with an Authentication Method that does not "
              "exist, by a client with a stored session; 3.1.1 without Client Identifier and with "
              "Clean Session 0",
     .allowed = "CONNACK with an error and Session Present 0, then the end of the connection; the "
                "session stays",
     .faults = "session_present_in_refusal keeps_open_after_refusal keeps_open")
{
    struct client *client = client_connected_stored(test, "stored", 60);
    client_drop(client);
    const struct packet *connack = refused_connack(client);
    if (connack && connack->session_present)
        fail(test, "CONNACK 0x%02X says Session Present 1", connack->reason_code);
    if (connack)
        expect_closed(client, 0);
    client_drop(client);
    client_resume(client, 60);
    if (!client->connack.session_present)
        fail_statement(test, test->version == VERSION_5 ? "MQTT-3.1.2-23" : "MQTT-3.1.2-4",
                       "the session was lost to a CONNECT that was refused");
}

CASE(failed_checks_close_the_connection, .v5 = "MQTT-3.1.4-2 MQTT-3.2.2-7", .v311 = "MQTT-3.2.2-5",
     .sends =
         "CONNECT with a user and a password that nobody has, and one that has to be refused "
         "(5.0: an unknown Authentication Method; 3.1.1: no Client Identifier and Clean Session "
         "0)",
     .allowed = "the first may be accepted; whoever is refused is closed",
     .faults = "keeps_open_after_refusal keeps_open")
{
    struct client *client = client_new(test, "checked");
    for (unsigned i = 0; i < 2; i++) {
        struct packet connect = connect_of(client), connack;
        bool closed = false;
        if (i == 0) {
            connect.user_name = TEXT("nobody");
            connect.password = TEXT("no password");
        } else if (test->version == VERSION_5) {
            property_add_text(&connect.properties, AUTHENTICATION_METHOD, TEXT("no such method"));
        } else {
            connect.client_id = TEXT("");
            connect.clean_start = false;
        }
        client_open(client);
        client_send(client, &connect);
        if (receive(client, test->time_limit_ms, &connack, &closed) && connack.reason_code != 0)
            expect_closed(client, 0);
        client_drop(client);
    }
}

CASE(nothing_is_processed_after_a_refusal, .v5 = "MQTT-3.1.4-6", .v311 = "MQTT-3.1.4-5",
     .sends = "a CONNECT that has to be refused, with SUBSCRIBE and PUBLISH in the same write",
     .allowed = "the refusal and nothing else: no SUBACK, no message delivered, no will published",
     .faults = "processes_after_refusal publishes_will_of_refused accepts_bad_connect_flags")
{
    struct text topic = topic_of(test, "t");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct client *client = client_new(test, "refused");
        struct packet packets[] = {
            connect_of(client),
            {.type = PUBLISH, .topic = topic, .payload = TEXT("never")},
            {.type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1},
            {.type = PINGREQ},
        };
        packets[0].will_topic = topic;
        packets[0].will_payload = TEXT("nor this");
        packets[0].will_qos = i == 0 ? 3 : 0; /* malformed; then well-formed and not acceptable */
        if (i == 1 && test->version == VERSION_5)
            property_add_text(&packets[0].properties, AUTHENTICATION_METHOD, TEXT("no method"));
        if (i == 1 && test->version == VERSION_311) {
            packets[0].client_id = TEXT("");
            packets[0].clean_start = false;
        }
        client_open(client);
        send_together(client, packets, 4);
        struct packet packet;
        bool closed = false;
        while (receive(client, test->time_limit_ms, &packet, &closed))
            if (packet.type != CONNACK || packet.reason_code == 0)
                fail(test, "%s was sent to a client that has to be refused",
                     packet_name(packet.type));
        if (!closed)
            fail(test, "the Network Connection was not closed");
    }
    expect_quiet(watcher);
}

/* ---- Sizes ---- */

static size_t size_of(struct client *client, const struct packet *packet)
{
    struct buffer bytes = {0};
    packet_write(&bytes, client->version, packet);
    size_t size = bytes.size;
    buffer_free(&bytes);
    return size;
}

CASE(connack_fits_the_clients_maximum, .v5 = "MQTT-3.1.2-24 MQTT-3.2.2-19 MQTT-3.2.2-20",
     .sends =
         "CONNECT with Maximum Packet Size from 1 to 64, accepted ones and ones that have to be "
         "refused",
     .allowed = "CONNACK within that size, or the end of the connection",
     .faults = "connack_exceeds_maximum_size")
{
    struct client *client = client_new(test, "small");
    for (uint32_t i = 0; i < 128; i++) {
        uint32_t maximum = i / 2 + 1;
        struct packet connect = connect_of(client), connack;
        bool closed = false;
        property_add(&connect.properties, MAXIMUM_PACKET_SIZE, maximum);
        if (i % 2)
            property_add_text(&connect.properties, AUTHENTICATION_METHOD, TEXT("no method"));
        client_open(client);
        client_send(client, &connect);
        if (receive(client, test->time_limit_ms, &connack, &closed)) {
            if (connack.type != CONNACK)
                fail(test, "CONNECT was answered with %s", packet_name(connack.type));
            if (size_of(client, &connack) > maximum)
                fail(test, "CONNACK has %zu bytes, and the client's Maximum Packet Size is %u",
                     size_of(client, &connack), maximum);
        } else if (!closed) {
            fail_statement(test, "MQTT-3.1.4-5", "Maximum Packet Size %u: no answer to CONNECT",
                           maximum);
        }
        client_drop(client);
    }
}
