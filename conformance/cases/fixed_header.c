/* The Fixed Header (sections 2.1 and 2.2 of both versions): types, reserved flags, Remaining
 * Length.
 */
#include "conformance/cases/refusal.h"

#include <stdio.h>

/* ---- Reserved flags ---- */

static struct packet example_of(struct client *client, enum packet_type type)
{
    struct packet packet = {.type = type, .packet_id = 7};
    if (type == CONNECT)
        packet = connect_of(client);
    if (type == SUBSCRIBE || type == UNSUBSCRIBE)
        packet.filters[packet.filter_count++].filter = topic_of(client->test, "flags");
    if (type == AUTH)
        packet.reason_code = 0x19;
    return packet;
}

static void refuse_flags(struct refusal *refusal, enum packet_type type)
{
    uint8_t right = type == PUBREL || type == SUBSCRIBE || type == UNSUBSCRIBE ? 0x02 : 0x00;
    struct packet packet = example_of(refusal->client, type);
    packet.force_flags = true;
    for (unsigned bit = 0; bit < 4; bit++) {
        char variant[80];
        packet.forced_flags = (uint8_t)(right ^ (1u << bit));
        snprintf(variant, sizeof variant, "%s with flags 0x%X", packet_name(type),
                 packet.forced_flags);
        if (type == CONNECT)
            refusal_connect(refusal, &packet, 0x81, variant);
        else
            refusal_packet(refusal, &packet, 0x81, variant);
    }
}

CASE(reserved_flags_of_requests_are_checked, .v5 = "MQTT-2.1.3-1 MQTT-3.8.1-1 MQTT-3.10.1-1",
     .v311 = "MQTT-2.2.2-1 MQTT-2.2.2-2 MQTT-3.8.1-1 MQTT-3.10.1-1",
     .sends = "CONNECT, SUBSCRIBE, UNSUBSCRIBE and PINGREQ with each reserved bit wrong in turn",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_reserved_flags accepts_malformed keeps_open")
{
    static const enum packet_type types[] = {CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ};
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        refuse_flags(&refusal, types[i]);
    refusal_end(&refusal);
}

CASE(reserved_flags_of_acknowledgements_are_checked, .v5 = "MQTT-2.1.3-1 MQTT-3.6.1-1",
     .v311 = "MQTT-2.2.2-1 MQTT-2.2.2-2 MQTT-3.6.1-1",
     .sends = "PUBACK, PUBREC, PUBREL and PUBCOMP with each reserved bit wrong in turn",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_reserved_flags accepts_malformed keeps_open")
{
    static const enum packet_type types[] = {PUBACK, PUBREC, PUBREL, PUBCOMP};
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        refuse_flags(&refusal, types[i]);
    refusal_end(&refusal);
}

CASE(reserved_flags_of_auth_are_checked, .v5 = "MQTT-3.15.1-1 MQTT-2.1.3-1",
     .sends = "AUTH with each reserved bit wrong in turn",
     .allowed = "each of them closes the Network Connection",
     .faults = "keeps_open accepts_reserved_flags accepts_malformed")
{
    struct refusal refusal = refusal_begin(test);
    refuse_flags(&refusal, AUTH);
    refusal_end(&refusal);
}

CASE(disconnect_with_reserved_flags_is_no_disconnect, .v5 = "MQTT-3.14.1-1 MQTT-3.1.2-8",
     .v311 = "MQTT-3.14.1-1 MQTT-2.2.2-2 MQTT-3.1.2-8",
     .sends = "DISCONNECT with a reserved bit set, from a client with a will",
     .allowed = "the Network Connection is closed, and the will is published",
     .why = "The packet is malformed, so it is an error that ends the connection and no normal "
            "disconnection that would delete the will.",
     .faults = "accepts_reserved_flags no_will_after_error forgets_will")
{
    struct text topic = topic_of(test, "will");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct refusal refusal = refusal_begin(test);
    for (unsigned bit = 0; bit < 4; bit++) {
        char variant[80];
        snprintf(variant, sizeof variant, "DISCONNECT with flags 0x%X", 1u << bit);
        struct packet connect = connect_of(refusal.client);
        connect.will_topic = topic;
        connect.will_payload = text_printf(test, "will %u", bit);
        client_connect_ok(refusal.client, &connect);
        client_send(
            refusal.client,
            &(struct packet){.type = DISCONNECT, .force_flags = true, .forced_flags = 1u << bit});
        refusal_judge(&refusal, refusal.client, true, 0x81, variant);
        expect_publish(watcher, topic, connect.will_payload);
    }
    refusal_end(&refusal);
}

/* ---- Types ---- */

CASE(reserved_types_are_refused, .v5 = "MQTT-4.13.1-1 MQTT-2.1.3-1",
     .v311 = "MQTT-4.8.0-1 MQTT-2.2.2-2",
     .sends = "packets of type 0 (3.1.1: and 15), with and without a body",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_reserved_type accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    refusal_hex(&refusal, "00 00", 0x81, "type 0");
    refusal_hex(&refusal, "00 02 0001", 0x81, "type 0 with a body");
    refusal_hex(&refusal, "0F 00", 0x81, "type 0 with all flags set");
    if (test->version == VERSION_311) {
        refusal_hex(&refusal, "F0 00", 0, "type 15");
        refusal_hex(&refusal, "F0 02 1900", 0, "type 15 with a body");
    }
    refusal_end(&refusal);
}

CASE(packets_of_servers_are_refused, .v5 = "MQTT-4.13.1-1", .v311 = "MQTT-4.8.0-1",
     .sends = "CONNACK, SUBACK, UNSUBACK and PINGRESP, which only a server sends",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_reserved_type accepts_malformed keeps_open")
{
    bool v5 = test->version == VERSION_5;
    struct refusal refusal = refusal_begin(test);
    refusal_hex(&refusal, v5 ? "20 03 00 00 00" : "20 02 00 00", 0x82, "CONNACK");
    refusal_hex(&refusal, v5 ? "90 04 0001 00 00" : "90 03 0001 00", 0x82, "SUBACK");
    refusal_hex(&refusal, v5 ? "B0 04 0001 00 00" : "B0 02 0001", 0x82, "UNSUBACK");
    refusal_hex(&refusal, "D0 00", 0x82, "PINGRESP");
    refusal_end(&refusal);
}

/* ---- Remaining Length and Variable Byte Integers ---- */

CASE(remaining_length_of_five_bytes_is_refused, .v5 = "MQTT-4.13.1-1 MQTT-1.5.5-1",
     .v311 = "MQTT-4.8.0-1", .sends = "Fixed Headers whose Remaining Length has a fifth byte",
     .allowed = "the Network Connection is closed, though no body follows",
     .faults = "accepts_long_varint accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    refusal_hex(&refusal, "30 80 80 80 80 01", 0x81, "PUBLISH, 80 80 80 80 01");
    refusal_hex(&refusal, "30 FF FF FF FF 7F", 0x81, "PUBLISH, FF FF FF FF 7F");
    refusal_hex(&refusal, "C0 80 80 80 80 00", 0x81, "PINGREQ, 80 80 80 80 00");
    refusal_end(&refusal);
}

static bool answered_alive(struct client *client)
{
    struct packet packet;
    bool closed = false;
    return receive(client, client->test->time_limit_ms, &packet, &closed) &&
           packet.type != DISCONNECT;
}

CASE(variable_byte_integers_are_short, .v5 = "MQTT-1.5.5-1",
     .sends = "all requests that are answered; then a Remaining Length, a Property Length and a "
              "Subscription Identifier with more bytes than need be",
     .allowed =
         "whatever the server sends has the shortest form; what the client sent too long may "
         "close the connection",
     .why = "The rule binds both sides. Whether a receiver has to refuse a longer form that it can "
            "read is debatable, so an acceptance is remarked on only.",
     .faults = "sends_long_varint")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_connected(test, "all");
    client_subscribe(client, topic, 2);
    client_publish(client, topic, TEXT("two"), 2, false);
    take_publish(client, topic, TEXT("two"));
    expect_alive(client);
    client_unsubscribe(client, topic);

    static const struct {
        const char *name, *hex;
    } variants[] = {
        {"PINGREQ with Remaining Length 80 00", "C0 80 00"},
        {"SUBSCRIBE with Property Length 80 00", "82 08 0001 80 00 0001 61 00"},
        {"SUBSCRIBE with Subscription Identifier 81 00", "82 0A 0001 03 0B 81 00 0001 61 00"},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct client *sender = client_connected(test, "long");
        struct buffer bytes = {0};
        buffer_hex(&bytes, variants[i].hex);
        client_send_bytes(sender, bytes.data, bytes.size);
        buffer_free(&bytes);
        if (answered_alive(sender))
            warn_debatable(test, "MQTT-1.5.5-1", "%s was accepted", variants[i].name);
        client_drop(sender);
    }
}

struct length_variant {
    const char *hex_311, *hex_5, *name; /* NULL: not in that version */
};

static void refuse_lengths(struct test *test, const struct length_variant *variants, size_t count)
{
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < count; i++) {
        const char *hex = test->version == VERSION_5 ? variants[i].hex_5 : variants[i].hex_311;
        if (hex)
            refusal_hex(&refusal, hex, 0x81, variants[i].name);
    }
    refusal_end(&refusal);
}

CASE(bytes_left_over_are_refused, .v5 = "MQTT-4.13.1-1", .v311 = "MQTT-4.8.0-1",
     .sends = "packets with bytes behind their last field",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_trailing_bytes accepts_malformed keeps_open")
{
    static const struct length_variant variants[] = {
        {"C0 01 00", "C0 01 00", "PINGREQ with a byte"},
        {"40 03 0001 00", "40 05 0001 00 00 00", "PUBACK with a byte left over"},
        {"50 03 0001 00", "50 05 0001 00 00 00", "PUBREC with a byte left over"},
        {"62 03 0001 00", "62 05 0001 00 00 00", "PUBREL with a byte left over"},
        {"70 03 0001 00", "70 05 0001 00 00 00", "PUBCOMP with a byte left over"},
        {"82 07 0001 0001 61 00 00", "82 08 0001 00 0001 61 00 00",
         "SUBSCRIBE with a byte left over"},
        {"A2 06 0001 0001 61 00", "A2 07 0001 00 0001 61 00", "UNSUBSCRIBE with a byte left over"},
    };
    refuse_lengths(test, variants, sizeof variants / sizeof *variants);
}

CASE(packets_cut_short_are_refused, .v5 = "MQTT-4.13.1-1", .v311 = "MQTT-4.8.0-1",
     .sends = "packets whose Remaining Length ends before their last field",
     .allowed = "each of them closes the Network Connection",
     .faults = "accepts_truncated_packet accepts_malformed keeps_open")
{
    static const struct length_variant variants[] = {
        {"30 00", "30 00", "PUBLISH without a body"},
        {"32 03 0001 61", "32 03 0001 61", "PUBLISH at QoS 1 without a Packet Identifier"},
        {"32 04 0001 61 00", "32 04 0001 61 00", "PUBLISH with half a Packet Identifier"},
        {NULL, "30 03 0001 61", "PUBLISH without Property Length"},
        {"40 00", "40 00", "PUBACK without a body"},
        {"40 01 00", "40 01 00", "PUBACK with half a Packet Identifier"},
        {"50 01 00", "50 01 00", "PUBREC with half a Packet Identifier"},
        {"62 01 00", "62 01 00", "PUBREL with half a Packet Identifier"},
        {"70 01 00", "70 01 00", "PUBCOMP with half a Packet Identifier"},
        {"82 00", "82 00", "SUBSCRIBE without a body"},
        {"82 01 00", "82 01 00", "SUBSCRIBE with half a Packet Identifier"},
        {NULL, "82 02 0001", "SUBSCRIBE without Property Length"},
        {"82 05 0001 0001 61", "82 06 0001 00 0001 61", "SUBSCRIBE without options"},
        {"A2 00", "A2 00", "UNSUBSCRIBE without a body"},
        {NULL, "A2 02 0001", "UNSUBSCRIBE without Property Length"},
        {"A2 03 0001 00", "A2 04 0001 00 00", "UNSUBSCRIBE with half a length"},
    };
    refuse_lengths(test, variants, sizeof variants / sizeof *variants);
}

/* A Property Length of 0 that is left out makes the first byte of what follows the length: 0x00 of
 * a Topic Filter's length is taken for it, and the rest cannot be read. */
CASE(missing_property_length_is_refused, .v5 = "MQTT-2.2.2-1 MQTT-4.13.1-1 MQTT-3.1.4-1",
     .sends = "CONNECT, a will, SUBSCRIBE and UNSUBSCRIBE without their Property Length",
     .allowed = "each of them closes the Network Connection; what the server sends has its own",
     .faults = "omits_property_length accepts_malformed keeps_open")
{
    struct text topic = topic_of(test, "t");
    struct client *client = client_connected(test, "all");
    client_subscribe(client, topic, 1);
    client_publish(client, topic, TEXT("p"), 1, false);
    take_publish(client, topic, TEXT("p"));
    client_unsubscribe(client, topic);

    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    connect.omit_properties = true;
    refusal_connect(&refusal, &connect, 0x81, "CONNECT without Property Length");
    struct packet subscribe = example_of(refusal.client, SUBSCRIBE);
    subscribe.omit_properties = true;
    refusal_packet(&refusal, &subscribe, 0x81, "SUBSCRIBE without Property Length");
    struct packet unsubscribe = example_of(refusal.client, UNSUBSCRIBE);
    unsubscribe.omit_properties = true;
    refusal_packet(&refusal, &unsubscribe, 0x81, "UNSUBSCRIBE without Property Length");
    refusal_end(&refusal);
}
