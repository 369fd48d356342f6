/* CONNECT as a packet (section 3.1): when it may come, its flags, and what its Payload must hold.
 */
#include "conformance/cases/refusal.h"

#include <stdio.h>

/* ---- The first packet, and only the first ---- */

CASE(first_packet_has_to_be_connect, .v5 = "MQTT-3.1.0-1 MQTT-3.14.0-1", .v311 = "MQTT-3.1.0-1",
     .sends = "each other packet of a client as the first one of a Network Connection",
     .allowed = "the Network Connection is closed without any packet; a PUBLISH goes nowhere",
     .faults = "accepts_packet_before_connect keeps_open disconnect_before_connack")
{
    struct text topic = topic_of(test, "first");
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic, 0);
    struct refusal refusal = refusal_begin(test);
    const struct packet first[] = {
        {.type = PUBLISH, .topic = topic, .payload = TEXT("never")},
        {.type = PUBLISH, .topic = topic, .qos = 1, .packet_id = 1},
        {.type = PUBACK, .packet_id = 1},
        {.type = PUBREC, .packet_id = 1},
        {.type = PUBREL, .packet_id = 1},
        {.type = PUBCOMP, .packet_id = 1},
        {.type = SUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1},
        {.type = UNSUBSCRIBE, .packet_id = 1, .filters = {{topic, 0}}, .filter_count = 1},
        {.type = PINGREQ},
        {.type = DISCONNECT},
        {.type = AUTH, .reason_code = 0x18},
    };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (test->version == VERSION_5 || first[i].type != AUTH)
            refusal_connect(&refusal, &first[i], 0, packet_name(first[i].type));
    refusal_end(&refusal);
    expect_quiet(watcher);
}

CASE(second_connect_is_refused, .v5 = "MQTT-3.1.0-2 MQTT-3.2.0-2", .v311 = "MQTT-3.1.0-2",
     .sends = "a second CONNECT, the same as the first or with another Client Identifier",
     .allowed = "the Network Connection is closed; no second CONNACK",
     .faults = "accepts_second_connect keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    refusal_packet(&refusal, &connect, 0x82, "the same CONNECT again");
    connect.client_id = client_new(test, "other")->id;
    refusal_packet(&refusal, &connect, 0x82, "CONNECT with another Client Identifier");
    refusal_end(&refusal);
}

CASE(second_connect_takes_nothing_over, .v5 = "MQTT-3.1.0-2 MQTT-3.1.3-2",
     .v311 = "MQTT-3.1.0-2 MQTT-3.1.3-2",
     .sends = "a second CONNECT that names the Client Identifier of somebody else",
     .allowed = "its own Network Connection is closed; the other client is left in peace",
     .faults = "accepts_second_connect")
{
    struct client *other = client_connected(test, "other");
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    connect.client_id = other->id;
    refusal_packet(&refusal, &connect, 0x82, "CONNECT with another's Client Identifier");
    refusal_end(&refusal);
    expect_quiet(other);
}

/* ---- Connect Flags against the Payload ---- */

enum {
    CLEAN = 0x02,
    WILL = 0x04,
    WILL_QOS_1 = 0x08,
    WILL_QOS_2 = 0x10,
    WILL_RETAIN = 0x20,
    PASSWORD = 0x40,
    USER_NAME = 0x80,
};

enum { HAS_WILL_TOPIC = 1, HAS_WILL_PAYLOAD = 2, HAS_USER_NAME = 4, HAS_PASSWORD = 8 };
enum { HAS_WILL = HAS_WILL_TOPIC | HAS_WILL_PAYLOAD };

/* A CONNECT with these flags and these fields, whether or not they belong together. */
static struct buffer connect_bytes(struct client *client, unsigned flags, unsigned fields)
{
    struct buffer body = {0}, bytes = {0};
    bool v5 = client->version == VERSION_5;
    buffer_string(&body, TEXT("MQTT"));
    buffer_u8(&body, client->version);
    buffer_u8(&body, flags);
    buffer_u16(&body, 60);
    if (v5)
        buffer_varint(&body, 0);
    buffer_string(&body, client->id);
    if (v5 && fields & HAS_WILL)
        buffer_varint(&body, 0);
    if (fields & HAS_WILL_TOPIC)
        buffer_string(&body, topic_of(client->test, "will"));
    if (fields & HAS_WILL_PAYLOAD)
        buffer_string(&body, TEXT("will"));
    if (fields & HAS_USER_NAME)
        buffer_string(&body, TEXT("user"));
    if (fields & HAS_PASSWORD)
        buffer_string(&body, TEXT("secret"));
    buffer_frame(&bytes, 0x10, &body);
    buffer_free(&body);
    return bytes;
}

struct flag_variant {
    const char *name;
    unsigned flags, fields;
};

static void refuse_flags(struct test *test, const struct flag_variant *variants, size_t count)
{
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < count; i++) {
        struct buffer bytes = connect_bytes(refusal.client, variants[i].flags, variants[i].fields);
        refusal_connect_bytes(&refusal, &bytes, 0x81, variants[i].name);
    }
    refusal_end(&refusal);
}

#define REFUSE_FLAGS(test, ...)                                                                    \
    do {                                                                                           \
        static const struct flag_variant variants[] = {__VA_ARGS__};                               \
        refuse_flags(test, variants, sizeof variants / sizeof *variants);                          \
    } while (0)

CASE(reserved_connect_flag_is_checked, .v5 = "MQTT-3.1.2-3 MQTT-3.1.4-1",
     .v311 = "MQTT-3.1.2-3 MQTT-3.1.4-1 MQTT-3.2.2-6",
     .sends = "CONNECT with the reserved bit of the Connect Flags set, with and without a will",
     .allowed = "the Network Connection is closed; 3.1.1: without CONNACK",
     .faults = "accepts_reserved_connect_flag accepts_malformed keeps_open "
               "connack_for_malformed_connect")
{
    REFUSE_FLAGS(test, {"flags 0x03", CLEAN | 1, 0}, {"flags 0x01", 1, 0},
                 {"flags 0x07", CLEAN | WILL | 1, HAS_WILL});
}

CASE(will_qos_3_is_refused, .v5 = "MQTT-3.1.2-12 MQTT-3.1.4-1", .v311 = "MQTT-3.1.2-14",
     .sends = "CONNECT with both bits of Will QoS set",
     .allowed = "the Network Connection is closed; 3.1.1: without CONNACK",
     .faults = "accepts_will_qos_3 accepts_malformed keeps_open")
{
    REFUSE_FLAGS(
        test, {"Will QoS 3", CLEAN | WILL | WILL_QOS_1 | WILL_QOS_2, HAS_WILL},
        {"Will QoS 3, retained", CLEAN | WILL | WILL_RETAIN | WILL_QOS_1 | WILL_QOS_2, HAS_WILL});
}

CASE(will_bits_without_a_will_are_refused, .v5 = "MQTT-3.1.2-11 MQTT-3.1.2-13",
     .v311 = "MQTT-3.1.2-11 MQTT-3.1.2-13 MQTT-3.1.2-15",
     .sends = "CONNECT with Will Flag 0 and Will QoS 1, 2, 3 or Will Retain 1",
     .allowed = "the Network Connection is closed; 3.1.1: without CONNACK",
     .faults = "accepts_bad_connect_flags accepts_malformed keeps_open")
{
    REFUSE_FLAGS(test, {"Will QoS 1 without a will", CLEAN | WILL_QOS_1, 0},
                 {"Will QoS 2 without a will", CLEAN | WILL_QOS_2, 0},
                 {"Will QoS 3 without a will", CLEAN | WILL_QOS_1 | WILL_QOS_2, 0},
                 {"Will Retain without a will", CLEAN | WILL_RETAIN, 0});
}

CASE(will_fields_match_the_will_flag, .v5 = "MQTT-3.1.2-9 MQTT-3.1.4-1",
     .v311 = "MQTT-3.1.2-9 MQTT-3.1.2-11",
     .sends = "CONNECT with Will Flag 1 and no will or no Will Payload, or with Will Flag 0 and a "
              "will",
     .allowed = "the Network Connection is closed; 3.1.1: without CONNACK",
     .faults = "accepts_bad_connect_flags accepts_malformed keeps_open")
{
    REFUSE_FLAGS(test, {"Will Flag without a will", CLEAN | WILL, 0},
                 {"Will Flag without Will Payload", CLEAN | WILL, HAS_WILL_TOPIC},
                 {"a will without Will Flag", CLEAN, HAS_WILL});
}

CASE(user_name_matches_its_flag, .v5 = "MQTT-3.1.2-16 MQTT-3.1.2-17",
     .v311 = "MQTT-3.1.2-18 MQTT-3.1.2-19",
     .sends = "CONNECT with User Name Flag 1 and no User Name, or the other way round",
     .allowed = "the Network Connection is closed; 3.1.1: without CONNACK",
     .faults = "accepts_bad_connect_flags accepts_malformed keeps_open")
{
    REFUSE_FLAGS(test, {"User Name Flag without User Name", CLEAN | USER_NAME, 0},
                 {"User Name without its flag", CLEAN, HAS_USER_NAME});
}

CASE(password_matches_its_flag, .v5 = "MQTT-3.1.2-18 MQTT-3.1.2-19",
     .v311 = "MQTT-3.1.2-20 MQTT-3.1.2-21",
     .sends = "CONNECT with Password Flag 1 and no Password, or the other way round",
     .allowed = "the Network Connection is closed; 3.1.1: without CONNACK",
     .faults = "accepts_bad_connect_flags accepts_malformed keeps_open")
{
    REFUSE_FLAGS(test,
                 {"Password Flag without Password", CLEAN | USER_NAME | PASSWORD, HAS_USER_NAME},
                 {"Password without its flag", CLEAN | USER_NAME, HAS_USER_NAME | HAS_PASSWORD});
}

CASE(password_without_user_name_is_refused, .v311 = "MQTT-3.1.2-22",
     .sends = "CONNECT with a Password and no User Name",
     .allowed = "the Network Connection is closed without CONNACK",
     .faults = "accepts_bad_connect_flags accepts_malformed keeps_open")
{
    REFUSE_FLAGS(test, {"Password Flag 1, User Name Flag 0", CLEAN | PASSWORD, HAS_PASSWORD});
}

CASE(password_without_user_name_is_well_formed, .v5 = "MQTT-3.1.2-16 MQTT-3.1.2-19",
     .sends = "CONNECT with a Password and no User Name",
     .allowed = "CONNACK, accepted or refused for what the Password is: not as a Malformed Packet "
                "or a Protocol Error",
     .why = "5.0 section 3.1.2.9: this version allows it, where 3.1.1 did not.",
     .faults = "no_connack refuses_password_alone")
{
    struct client *client = client_new(test, "password");
    struct packet connect = connect_of(client);
    connect.user_name = (struct text){0};
    connect.password = TEXT("secret");
    const struct packet *connack = client_connect(client, &connect);
    if (connack->reason_code == 0x81 || connack->reason_code == 0x82)
        fail(test, "a Password without User Name was refused with 0x%02X", connack->reason_code);
}

/* ---- The Payload ---- */

/* A CONNECT with every field. Its credentials are made up: a server that looks at them refuses. */
static struct packet full_connect(struct client *client)
{
    struct packet connect = connect_of(client);
    connect.will_topic = topic_of(client->test, "will");
    connect.will_payload = TEXT("payload of the will");
    if (!connect.user_name.data) {
        connect.user_name = TEXT("user");
        connect.password = TEXT("secret");
    }
    if (client->version == VERSION_5) {
        property_add(&connect.properties, RECEIVE_MAXIMUM, 20);
        property_add_user(&connect.properties, "name", "value");
        property_add_text(&connect.will_properties, CONTENT_TYPE, TEXT("text"));
    }
    return connect;
}

CASE(payload_fields_are_read_in_order, .v5 = "MQTT-3.1.3-1 MQTT-3.1.3-3",
     .v311 = "MQTT-3.1.3-1 MQTT-3.1.3-3",
     .sends = "CONNECT with all fields of the Payload, then the end of the connection",
     .allowed = "the will is published to its topic with its payload; a server that knows other "
                "users refuses the CONNECT for that",
     .faults = "forgets_will alters_payload alters_topic")
{
    struct client *watcher = client_connected(test, "watcher");
    client_subscribe(watcher, topic_of(test, "will"), 0);
    struct client *client = client_new(test, "full");
    struct packet connect = full_connect(client);
    const struct packet *connack = client_connect(client, &connect);
    bool v5 = test->version == VERSION_5;
    if (connack->reason_code == (v5 ? 0x86 : 4) || connack->reason_code == (v5 ? 0x87 : 5))
        not_applicable(test, "the server does not accept a made-up user");
    if (connack->reason_code != 0)
        fail(test, "CONNECT with all fields was refused with 0x%02X", connack->reason_code);
    client_drop(client);
    expect_publish(watcher, connect.will_topic, connect.will_payload);
}

CASE(connect_cut_short_is_refused, .v5 = "MQTT-3.1.4-1 MQTT-3.1.3-3 MQTT-4.13.1-1",
     .v311 = "MQTT-3.1.4-1 MQTT-3.1.3-3 MQTT-4.8.0-1",
     .sends = "a CONNECT with all fields, cut off after each byte in turn, with the Remaining "
              "Length of what is left; and one with a byte too many",
     .allowed = "each of them closes the Network Connection; 3.1.1: without CONNACK",
     .faults = "accepts_truncated_packet accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet connect = full_connect(refusal.client);
    struct buffer whole = {0};
    packet_write(&whole, test->version, &connect);
    uint8_t *copy = test_alloc(test, whole.size + 1);
    size_t header = 2; /* of a Remaining Length below 128 */
    if (whole.data[1] & 0x80)
        header = 3;
    size_t size = whole.size - header;
    for (size_t i = 0; i < size; i++)
        copy[i] = whole.data[header + i];
    copy[size] = 0;
    buffer_free(&whole);

    for (size_t cut = 0; cut <= size + 1; cut++) {
        if (cut == size)
            continue;
        struct buffer body = {0}, bytes = {0};
        buffer_bytes(&body, copy, cut);
        buffer_frame(&bytes, 0x10, &body);
        buffer_free(&body);
        char variant[80];
        snprintf(variant, sizeof variant, "CONNECT of %zu bytes where its fields need %zu", cut,
                 size);
        refusal_connect_bytes(&refusal, &bytes, 0x81, variant);
    }
    refusal_end(&refusal);
}

/* ---- Will topics ---- */

CASE(will_topic_has_to_be_a_topic_name, .v5 = "MQTT-3.1.4-1 MQTT-4.7.0-1 MQTT-4.7.3-1",
     .v311 = "MQTT-4.7.1-1 MQTT-4.7.3-1",
     .sends = "CONNECT with an empty Will Topic, or with a wildcard in it",
     .allowed = "the Network Connection is closed", .why = "The will is published to a Topic Name.",
     .faults = "accepts_wildcard_topic accepts_malformed keeps_open")
{
    struct refusal refusal = refusal_begin(test);
    struct packet connect = connect_of(refusal.client);
    connect.will_topic = topic_of(test, "a/#");
    refusal_connect(&refusal, &connect, 0x90, "a Will Topic with #");
    connect.will_topic = topic_of(test, "+/a");
    refusal_connect(&refusal, &connect, 0x90, "a Will Topic with +");
    connect.will_topic = TEXT("");
    refusal_connect(&refusal, &connect, 0, "an empty Will Topic");
    refusal_end(&refusal);
}
