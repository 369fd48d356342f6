/* Protocol Name and Protocol Version of CONNECT (sections 3.1.2.1 and 3.1.2.2).
 *
 * A server may answer in the form of its own version: CONNACK 0x01 of 3.1.1 or 0x84 of 5.0. */
#include "conformance/harness/case.h"

#include <stdio.h>

/* What was answered before the end: the code of a CONNACK, or -1 for nothing. */
static int refusal_of(struct client *client, const struct packet *connect, const char *variant)
{
    struct test *test = client->test;
    struct packet packet;
    bool closed = false;
    int code = -1;
    client_open(client);
    client_send(client, connect);
    while (receive(client, test->time_limit_ms, &packet, &closed)) {
        if (packet.type != CONNACK || packet.reason_code == 0)
            fail(test, "%s: answered with %s 0x%02X", variant, packet_name(packet.type),
                 packet.reason_code);
        code = packet.reason_code;
    }
    if (!closed)
        fail(test, "%s: the Network Connection was not closed", variant);
    client_drop(client);
    return code;
}

CASE(protocol_name_has_to_be_mqtt, .v5 = "MQTT-3.1.2-1 MQTT-3.1.4-1", .v311 = "MQTT-3.1.2-1",
     .sends = "CONNECT with protocol names that are not MQTT: in lower case, cut short, longer, "
              "empty, that of 3.1 with a level that it has not got",
     .allowed = "the Network Connection is closed, perhaps after a CONNACK that refuses",
     .faults = "accepts_protocol_name keeps_open")
{
    static const char *const names[] = {"mqtt", "MQT", "MQTTX", "", "MQIsdp", "HTTP", "MQTT "};
    struct client *client = client_new(test, "name");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct packet connect = connect_of(client);
        connect.protocol_name = text_of(names[i]);
        char variant[60];
        snprintf(variant, sizeof variant, "the protocol name \"%s\"", names[i]);
        refusal_of(client, &connect, variant);
    }
}

CASE(protocol_level_has_to_exist, .v5 = "MQTT-3.1.2-2 MQTT-3.2.2-7", .v311 = "MQTT-3.1.2-2",
     .sends = "CONNECT with the protocol levels 0, 1, 2, 6, 7, 0x44 and 255",
     .allowed = "5.0: the end of the connection, perhaps after CONNACK 0x84; 3.1.1: CONNACK 0x01 "
                "first; each in the form of either version",
     .faults = "accepts_protocol_level keeps_open silent_about_protocol_level wrong_return_code")
{
    static const uint8_t levels[] = {1, 2, 6, 7, 0x44, 255};
    struct client *client = client_new(test, "level");
    for (size_t i = 0; i < sizeof levels; i++) {
        struct packet connect = connect_of(client);
        connect.protocol_level = levels[i];
        char variant[60];
        snprintf(variant, sizeof variant, "protocol level %u", levels[i]);
        int code = refusal_of(client, &connect, variant);
        if (code < 0 && test->version == VERSION_311)
            fail(test, "%s: closed without CONNACK 0x01", variant);
        if (code >= 0 && code != 0x01 && code != 0x84)
            fail(test, "%s: refused with 0x%02X, not 0x84 or 0x01", variant, (unsigned)code);
    }
    /* 0 stands for the right one in struct packet. */
    struct packet packet;
    bool closed = false;
    client_open(client);
    client_send_hex(client, test->version == VERSION_5
                                ? "10 10 0004 4D515454 00 02 003C 00 0003 616263"
                                : "10 0F 0004 4D515454 00 02 003C 0003 616263");
    while (receive(client, test->time_limit_ms, &packet, &closed))
        if (packet.reason_code == 0)
            fail(test, "protocol level 0: accepted");
    if (!closed)
        fail(test, "protocol level 0: the Network Connection was not closed");
}
