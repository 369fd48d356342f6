/* The will (section 3.1.2.5): when it is published, when not, and how. wills_delay.c has 5.0's
 * delay.
 */
#include "conformance/cases/refusal.h"

struct scene {
    struct text topic;
    struct client *watcher, *client;
};

static struct scene scene_of(struct test *test)
{
    struct scene scene = {.topic = topic_of(test, "will"),
                          .watcher = client_connected(test, "watcher"),
                          .client = client_new(test, "mortal")};
    client_subscribe(scene.watcher, scene.topic, test->server->maximum_qos);
    return scene;
}

static struct packet connect_with_will(const struct scene *scene)
{
    struct packet connect = connect_of(scene->client);
    connect.will_topic = scene->topic;
    connect.will_payload = TEXT("will");
    return connect;
}

static struct scene connected_with_will(struct test *test)
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    client_connect_ok(scene.client, &connect);
    return scene;
}

static struct packet expect_will(const struct scene *scene)
{
    return take_publish(scene->watcher, scene->topic, TEXT("will"));
}

/* ---- Each way of leaving ---- */

CASE(will_at_a_closed_socket, .v5 = "MQTT-3.1.2-7 MQTT-3.1.2-8", .v311 = "MQTT-3.1.2-8",
     .sends = "the end of the socket without DISCONNECT, of a client with a will",
     .allowed = "the will is published, once, and not before",
     .faults = "forgets_will will_twice will_before_close")
{
    struct scene scene = connected_with_will(test);
    expect_quiet(scene.watcher);
    client_drop(scene.client);
    expect_will(&scene);
    expect_quiet(scene.watcher);
}

CASE(will_at_a_reset, .v5 = "MQTT-3.1.2-8", .v311 = "MQTT-3.1.2-8",
     .sends = "a TCP reset by a client with a will", .allowed = "the will is published",
     .faults = "forgets_will no_will_after_reset")
{
    struct scene scene = connected_with_will(test);
    client_reset(scene.client);
    expect_will(&scene);
}

CASE(will_at_a_protocol_error, .v5 = "MQTT-3.1.2-8 MQTT-4.13.1-1",
     .v311 = "MQTT-3.1.2-8 MQTT-4.8.0-1",
     .sends = "a packet of type 0, a second CONNECT and ill-formed UTF-8, by clients with a will",
     .allowed = "the connection is closed and the will is published, each time",
     .faults = "no_will_after_error forgets_will")
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    for (unsigned i = 0; i < 3; i++) {
        client_connect_ok(scene.client, &connect);
        if (i == 0)
            client_send_hex(scene.client, "00 00");
        else if (i == 1)
            client_send(scene.client, &connect);
        else
            client_send(scene.client, &(struct packet){.type = PUBLISH, .topic = TEXT("a\xFFz")});
        expect_closed(scene.client, 0);
        expect_will(&scene);
    }
}

CASE(will_at_a_takeover, .v5 = "MQTT-3.1.2-8 MQTT-3.1.4-3", .v311 = "MQTT-3.1.2-8 MQTT-3.1.4-2",
     .sends = "a takeover of a client with a will, with Clean Start 1 and without a will delay",
     .allowed = "the will of the old connection is published",
     .faults = "no_will_at_takeover forgets_will")
{
    struct scene scene = connected_with_will(test);
    struct client *twin = client_new(test, "twin");
    twin->id = scene.client->id;
    struct packet connect = connect_of(twin);
    client_connect_ok(twin, &connect);
    expect_will(&scene);
    expect_alive(twin);
}

CASE(will_at_disconnect_0x04, .v5 = "MQTT-3.1.2-8",
     .sends = "DISCONNECT 0x04 (Disconnect with Will Message)", .allowed = "the will is published",
     .faults = "no_will_after_0x04 forgets_will")
{
    struct scene scene = connected_with_will(test);
    refusal_leave(scene.client, &(struct packet){.type = DISCONNECT, .reason_code = 0x04});
    expect_will(&scene);
}

CASE(will_at_a_disconnect_with_an_error, .v5 = "MQTT-3.1.2-8",
     .sends = "DISCONNECT with each of the errors that a client may give",
     .allowed = "the will is published each time: only 0x00 deletes it",
     .faults = "no_will_after_0x04 forgets_will")
{
    static const uint8_t codes[] = {0x80, 0x81, 0x82, 0x83, 0x90, 0x93,
                                    0x94, 0x95, 0x96, 0x97, 0x98, 0x99};
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    for (size_t i = 0; i < sizeof codes; i++) {
        client_connect_ok(scene.client, &connect);
        refusal_leave(scene.client, &(struct packet){.type = DISCONNECT, .reason_code = codes[i]});
        struct packet got;
        bool closed = false;
        if (!receive(scene.watcher, test->time_limit_ms, &got, &closed))
            fail(test, "no will was published at DISCONNECT 0x%02X", codes[i]);
        acknowledge(scene.watcher, &got);
    }
}

CASE(no_will_at_a_normal_disconnect, .v5 = "MQTT-3.14.4-3 MQTT-3.1.2-8 MQTT-3.1.2-10",
     .v311 = "MQTT-3.14.4-3 MQTT-3.1.2-8 MQTT-3.1.2-10",
     .sends = "DISCONNECT 0x00, in its short form and (5.0) with code and Property Length",
     .allowed = "no will is published", .faults = "will_after_disconnect")
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    static const char *const forms[] = {"E0 00", "E0 01 00", "E0 02 00 00"};
    for (unsigned i = 0; i < (test->version == VERSION_5 ? 3 : 1); i++) {
        client_connect_ok(scene.client, &connect);
        client_send_hex(scene.client, forms[i]);
        refusal_await_end(scene.client);
    }
    expect_quiet(scene.watcher);
}

CASE(no_will_of_an_earlier_connection, .v5 = "MQTT-3.1.2-10 MQTT-3.1.2-8",
     .v311 = "MQTT-3.1.2-10 MQTT-3.1.2-12",
     .sends =
         "in one stored session: a connection with a will and DISCONNECT, then a connection "
         "without a will that breaks; a will that was published, then a connection without one "
         "that breaks",
     .allowed = "the one will that is owed, and no other", .faults = "keeps_will will_twice")
{
    struct scene scene = scene_of(test);
    struct packet with = connect_with_will(&scene);
    with.clean_start = false;
    if (test->version == VERSION_5)
        property_add(&with.properties, SESSION_EXPIRY_INTERVAL, 60);
    client_connect_ok(scene.client, &with);
    client_disconnect(scene.client);
    client_resume(scene.client, 60);
    client_drop(scene.client);
    client_connect_ok(scene.client, &with);
    client_drop(scene.client);
    expect_will(&scene);
    client_resume(scene.client, 60);
    client_drop(scene.client);
    expect_quiet(scene.watcher);
}

CASE(no_will_of_a_refused_connect, .v5 = "MQTT-3.1.4-6 MQTT-3.1.2-7",
     .v311 = "MQTT-3.1.4-5 MQTT-3.1.2-8",
     .sends =
         "a CONNECT with a will that has to be refused (5.0: an Authentication Method that does "
         "not exist; 3.1.1: no Client Identifier and Clean Session 0)",
     .allowed = "no will is published", .faults = "publishes_will_of_refused")
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene), packet;
    bool closed = false;
    if (test->version == VERSION_5) {
        property_add_text(&connect.properties, AUTHENTICATION_METHOD, TEXT("no such method"));
    } else {
        connect.client_id = TEXT("");
        connect.clean_start = false;
    }
    client_open(scene.client);
    client_send(scene.client, &connect);
    while (receive(scene.client, test->time_limit_ms, &packet, &closed))
        if (packet.type == CONNACK && packet.reason_code == 0)
            fail(test, "a CONNECT that has to be refused was accepted");
    expect_quiet(scene.watcher);
}

/* ---- How it is published ---- */

CASE(will_has_its_qos, .v5 = "MQTT-3.1.2-8 MQTT-3.1.2-12", .v311 = "MQTT-3.1.2-8 MQTT-3.1.2-14",
     .sends = "wills with Will QoS 0, 1 and 2",
     .allowed = "each is delivered at its QoS to a subscriber at the highest",
     .faults = "will_at_qos_0 forgets_will")
{
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    for (uint8_t qos = 0; qos <= test->server->maximum_qos; qos++) {
        connect.will_qos = qos;
        client_connect_ok(scene.client, &connect);
        client_drop(scene.client);
        struct packet will = expect_will(&scene);
        if (will.qos != qos)
            fail(test, "a will with Will QoS %u was delivered at QoS %u", qos, will.qos);
    }
}

CASE(will_without_retain_is_not_retained, .v5 = "MQTT-3.1.2-14", .v311 = "MQTT-3.1.2-16",
     .sends = "a will with Will Retain 0, to a topic with a retained message and to one without",
     .allowed = "it is delivered and not stored: a new subscriber gets the retained message of "
                "before, or none",
     .faults = "sets_will_retain forgets_will")
{
    need_retain(test);
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    for (unsigned i = 0; i < 2; i++) {
        client_connect_ok(scene.client, &connect);
        client_drop(scene.client);
        expect_will(&scene);
        struct client *late = client_connected(test, "late");
        client_subscribe(late, scene.topic, 1);
        if (i == 1)
            take_publish(late, scene.topic, TEXT("retained"));
        expect_quiet(late);
        client_disconnect(late);
        if (i == 0) {
            client_publish(scene.watcher, scene.topic, TEXT("retained"), 1, true);
            take_publish(scene.watcher, scene.topic, TEXT("retained"));
        }
    }
}

CASE(will_with_retain_is_retained, .v5 = "MQTT-3.1.2-15", .v311 = "MQTT-3.1.2-17",
     .sends = "a will with Will Retain 1",
     .allowed = "it is delivered to subscribers, and with RETAIN 1 to a new one, after the session "
                "has ended, too",
     .faults = "clears_will_retain forgets_will never_retains clears_retain")
{
    need_retain(test);
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    connect.will_retain = true;
    client_connect_ok(scene.client, &connect);
    client_drop(scene.client);
    struct packet live = expect_will(&scene);
    if (live.retain)
        fail_statement(test, test->version == VERSION_5 ? "MQTT-3.3.1-12" : "MQTT-3.3.1-9",
                       "a will was delivered with RETAIN 1 to a subscription that existed");
    struct client *late = client_connected(test, "late");
    client_subscribe(late, scene.topic, 1);
    struct packet got = take_publish(late, scene.topic, TEXT("will"));
    if (!got.retain)
        fail_statement(test, test->version == VERSION_5 ? "MQTT-3.1.2-15" : "MQTT-3.3.1-8",
                       "a retained will was delivered to a new subscription with RETAIN 0");
}

CASE(will_payload_is_any_bytes, .v5 = "MQTT-3.1.2-7", .v311 = "MQTT-3.1.2-8",
     .sends =
         "wills with an empty payload, with U+0000 and bytes that are no UTF-8, and with 65,535 "
         "bytes",
     .allowed = "each is delivered with exactly these bytes",
     .faults = "alters_payload drops_empty_messages truncates_large_messages forgets_will")
{
    enum { LONGEST = 65535 };
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    uint8_t *bytes = test_alloc(test, LONGEST);
    for (unsigned i = 0; i < LONGEST; i++)
        bytes[i] = (uint8_t)i;
    const struct text payloads[] = {TEXT(""), {bytes, 256}, {bytes, LONGEST}};
    bool long_one = test->server->maximum_packet_size > LONGEST + 1000;
    for (unsigned i = 0; i < (long_one ? 3 : 2); i++) {
        connect.will_payload = payloads[i];
        client_connect_ok(scene.client, &connect);
        client_drop(scene.client);
        take_publish(scene.watcher, scene.topic, payloads[i]);
    }
}

CASE(empty_retained_will_removes_the_retained_message, .v5 = "MQTT-3.1.2-15 MQTT-3.3.1-6",
     .v311 = "MQTT-3.1.2-17 MQTT-3.3.1-10",
     .sends = "a will with Will Retain 1 and no payload, to a topic with a retained message",
     .allowed = "the retained message is removed",
     .faults = "keeps_retained_after_empty forgets_will")
{
    need_retain(test);
    need_qos(test, 1);
    struct scene scene = scene_of(test);
    client_publish(scene.watcher, scene.topic, TEXT("retained"), 1, true);
    take_publish(scene.watcher, scene.topic, TEXT("retained"));
    struct packet connect = connect_with_will(&scene);
    connect.will_payload = TEXT("");
    connect.will_retain = true;
    client_connect_ok(scene.client, &connect);
    client_drop(scene.client);
    take_publish(scene.watcher, scene.topic, TEXT(""));
    struct client *late = client_connected(test, "late");
    client_subscribe(late, scene.topic, 1);
    expect_quiet(late);
}

CASE(own_will_waits_in_the_own_session, .v5 = "MQTT-3.1.2-8 MQTT-3.1.2-5",
     .v311 = "MQTT-3.1.2-8 MQTT-3.1.2-5",
     .sends = "a client with a stored session that subscribes to the topic of its own will, at QoS "
              "1, and breaks its connection",
     .allowed = "the will is among the messages that wait for it",
     .faults = "forgets_will loses_offline_messages forgets_session")
{
    need_qos(test, 1);
    struct scene scene = scene_of(test);
    struct packet connect = connect_with_will(&scene);
    connect.will_qos = 1;
    connect.clean_start = false;
    if (test->version == VERSION_5)
        property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 60);
    client_connect_ok(scene.client, &connect);
    client_subscribe(scene.client, scene.topic, 1);
    client_drop(scene.client);
    expect_will(&scene);
    client_resume(scene.client, 60);
    take_publish(scene.client, scene.topic, TEXT("will"));
}
