/* Enhanced authentication (5.0 sections 3.15 and 4.12) as far as a client can see it that knows no
 * method of the server's: what is not supported or not agreed on has to be refused. */
#include "conformance/cases/refusal.h"

CASE(unknown_method_is_refused, .v5 = "MQTT-4.12.0-1 MQTT-4.12.0-4 MQTT-4.13.2-1",
     .sends = "CONNECT with Authentication Methods that no server has, with and without data",
     .allowed = "the Network Connection is closed, perhaps after CONNACK 0x8C or 0x87",
     .faults = "accepts_auth_method keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    for (unsigned i = 0; i < 3; i++) {
        struct packet connect = connect_of(refusal.client);
        property_add_text(&connect.properties, AUTHENTICATION_METHOD,
                          i == 2 ? TEXT("") : TEXT("no such method"));
        if (i == 1)
            property_add_text(&connect.properties, AUTHENTICATION_DATA, TEXT("data"));
        refusal_connect(&refusal, &connect, 0,
                        i == 2 ? "an empty Authentication Method" : "an unknown one");
    }
    refusal_end(&refusal);
}

CASE(nothing_is_done_before_authentication, .v5 = "MQTT-3.1.2-30 MQTT-3.1.4-6",
     .sends = "CONNECT with an Authentication Method, and in the same write a PUBLISH",
     .allowed = "the connection is closed, and the message is not delivered",
     .faults = "accepts_auth_method processes_after_refusal")
{
    struct text topic = topic_of(test, "t");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    struct packet publish = {.type = PUBLISH, .topic = topic, .payload = TEXT("never")};
    property_add_text(&connect.properties, AUTHENTICATION_METHOD, TEXT("no such method"));
    struct buffer bytes = {0};
    packet_write(&bytes, VERSION_5, &connect);
    packet_write(&bytes, VERSION_5, &publish);
    refusal_connect_bytes(&refusal, &bytes, 0, "CONNECT with a method, then PUBLISH");
    refusal_end(&refusal);
    expect_quiet(watcher);
}

CASE(auth_without_a_method_is_refused, .v5 = "MQTT-4.12.0-7 MQTT-4.12.1-1 MQTT-4.13.1-1",
     .sends = "AUTH from a client that named no Authentication Method: to continue, to "
              "re-authenticate, with a method and without",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_auth_without_method keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    static const uint8_t codes[] = {0x00, 0x18, 0x19};
    for (unsigned i = 0; i < 6; i++) {
        struct packet auth = {.type = AUTH, .reason_code = codes[i / 2]};
        if (i % 2)
            property_add_text(&auth.properties, AUTHENTICATION_METHOD, TEXT("method"));
        refusal_packet(&refusal, &auth, 0x82, i % 2 ? "AUTH with a method" : "AUTH without one");
    }
    refusal_hex(&refusal, "F0 00", 0x82, "AUTH of two bytes");
    refusal_hex(&refusal, "F0 01 01", 0, "AUTH 0x01");
    refusal_end(&refusal);
}

CASE(no_auth_for_clients_without_a_method, .v5 = "MQTT-4.12.0-6",
     .sends = "CONNECT without an Authentication Method, then a subscription and a message",
     .allowed = "no AUTH, and no Authentication Method or Authentication Data in CONNACK",
     .faults = "method_in_connack_unasked auth_unasked")
{
    struct client *client = client_connected(test, "plain");
    static const enum property_id unasked[] = {AUTHENTICATION_METHOD, AUTHENTICATION_DATA};
    for (unsigned i = 0; i < 2; i++)
        if (property_find(&client->connack.properties, unasked[i]))
            fail(test, "CONNACK has an %s that the client did not ask for",
                 property_name(unasked[i]));
    struct text topic = topic_of(test, "t");
    client_subscribe(client, topic, 0);
    client_publish(client, topic, TEXT("p"), 0, false);
    expect_publish(client, topic, TEXT("p"));
    expect_quiet(client);
}
