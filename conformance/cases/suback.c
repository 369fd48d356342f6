/* 3.8.4, 3.9 SUBACK: one for each SUBSCRIBE, with a code for each filter. What a server sends is
 * read strictly in every case: reserved codes, wrong lengths and flags fail wherever they occur. */
#include "conformance/cases/subscription.h"

CASE(every_subscribe_is_answered, .v5 = "MQTT-3.8.4-1 MQTT-3.8.4-2",
     .v311 = "MQTT-3.8.4-1 MQTT-3.8.4-2",
     .sends = "50 SUBSCRIBEs at once, the same filter among them several times",
     .allowed = "a SUBACK for each Packet Identifier, each once",
     .faults = "wrong_suback_id no_suback")
{
    enum { REQUESTS = 50, DIFFERENT = 20 };
    struct client *client = client_connected(test, "client");
    struct buffer bytes = {0};
    for (uint16_t i = 1; i <= REQUESTS; i++) {
        struct packet subscribe = {.type = SUBSCRIBE, .packet_id = i, .filter_count = 1};
        subscribe.filters[0].filter = topic_of(test, "at_once/%u", i % DIFFERENT);
        packet_write(&bytes, test->version, &subscribe);
    }
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
    bool answered[REQUESTS + 1] = {false};
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct packet suback = expect(client, SUBACK);
        if (suback.packet_id == 0 || suback.packet_id > REQUESTS || answered[suback.packet_id])
            fail(test, "SUBACK for %u: never asked, or a second one", suback.packet_id);
        answered[suback.packet_id] = true;
    }
    expect_quiet(client);
}

/* A code that shows a QoS shows one that was asked for, or less. */
static void check_codes(struct test *test, const struct packet *subscribe,
                        const struct packet *suback)
{
    if (suback->reason_codes.size != subscribe->filter_count)
        fail(test, "%zu codes for %u filters", suback->reason_codes.size, subscribe->filter_count);
    for (unsigned i = 0; i < subscribe->filter_count; i++) {
        uint8_t asked = subscribe->filters[i].options & 3, code = suback->reason_codes.data[i];
        if (code < 0x80 && code > asked)
            fail(test,
                 "filter %u asked for QoS %u and was granted QoS %u: the codes do not stand "
                 "in the order of the filters",
                 i, asked, code);
    }
}

CASE(suback_has_a_code_for_each_filter_in_order,
     .v5 = "MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.8.4-7 MQTT-3.9.3-1 MQTT-3.9.3-2",
     .v311 = "MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1 MQTT-3.9.3-2",
     .sends = "one SUBSCRIBE with eight filters at QoS 0, 2, 1, 0, 1, 2, 2, 1; a PUBLISH at QoS 2 "
              "to each",
     .allowed = "one SUBACK with eight codes, none above what was asked; each message at the QoS "
                "that its code says, none for a code that refuses",
     .faults = "short_suback reverses_suback several_subacks undefined_suback_code "
               "first_filter_only delivers_below_granted_qos")
{
    static const uint8_t asked[] = {0, 2, 1, 0, 1, 2, 2, 1};
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *subscriber = client_connected(test, "subscriber");
    struct packet subscribe = {.type = SUBSCRIBE, .filter_count = 8};
    for (unsigned i = 0; i < 8; i++)
        subscribe.filters[i] = (struct filter){topic_of(test, "filter/%u", i), asked[i]};
    struct packet suback = client_subscribe_raw(subscriber, &subscribe);
    check_codes(test, &subscribe, &suback);
    for (unsigned i = 0; i < 8; i++) {
        struct text topic = subscribe.filters[i].filter;
        client_publish(publisher, topic, TEXT("x"), 2, false);
        if (suback.reason_codes.data[i] >= 0x80)
            continue;
        struct packet copy = take_publish(subscriber, topic, TEXT("x"));
        if (copy.qos != suback.reason_codes.data[i])
            fail(test, "granted QoS %u, delivered at QoS %u", suback.reason_codes.data[i],
                 copy.qos);
    }
    expect_quiet(subscriber);
}

CASE(a_subscribe_can_hold_many_filters, .v5 = "MQTT-3.8.4-5 MQTT-3.8.4-6 MQTT-3.9.3-1",
     .v311 = "MQTT-3.8.4-4 MQTT-3.8.4-5 MQTT-3.9.3-1",
     .sends = "one SUBSCRIBE with 300 filters; a PUBLISH to the first and the last",
     .allowed = "one SUBACK with 300 codes; messages for what was granted",
     .faults = "short_suback claims_subscription first_filter_only")
{
    enum { FILTERS = 300 };
    struct client *client = client_connected(test, "client");
    struct buffer body = {0}, bytes = {0};
    buffer_u16(&body, 9);
    if (test->version == VERSION_5)
        buffer_varint(&body, 0);
    for (unsigned i = 0; i < FILTERS; i++) {
        buffer_string(&body, topic_of(test, "many/%u", i));
        buffer_u8(&body, 0);
    }
    buffer_frame(&bytes, SUBSCRIBE << 4 | 2, &body);
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&body);
    buffer_free(&bytes);
    struct packet suback = expect(client, SUBACK);
    if (suback.reason_codes.size != FILTERS)
        fail(test, "%zu codes for %u filters", suback.reason_codes.size, FILTERS);
    for (unsigned i = 0; i < FILTERS; i += FILTERS - 1) {
        client_publish(client, topic_of(test, "many/%u", i), TEXT("x"), 0, false);
        if (suback.reason_codes.data[i] < 0x80)
            expect_publish(client, topic_of(test, "many/%u", i), TEXT("x"));
    }
}

CASE(a_wildcard_subscription_works_or_is_refused, .v5 = "MQTT-3.8.4-7", .v311 = "MQTT-3.8.3-2",
     .sends = "SUBSCRIBE with a wildcard; a PUBLISH that matches",
     .allowed = "a code that grants, and the message; a server without wildcards refuses",
     .faults = "claims_subscription never_delivers")
{
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "a/b");
    enum subscription_answer answer = subscription_try(client, topic_of(test, "a/+"), 0);
    if (answer == SUBSCRIPTION_GRANTED) {
        client_publish(client, topic, TEXT("x"), 0, false);
        expect_publish(client, topic, TEXT("x"));
    } else if (test->version == VERSION_5 && test->server->wildcard_available) {
        fail(test, "a wildcard was refused though Wildcard Subscription Available is not 0");
    }
}

/* ---- Size ---- */

enum { SMALL = 128 };

/* A SUBSCRIBE or UNSUBSCRIBE whose answer, without any property, is just as large as SMALL. */
static struct packet answer_of_size_small(struct client *client, bool subscribe)
{
    enum { HEADER = 2 + 2 + 1 }; /* first byte, length, Packet Identifier, Property Length */
    struct buffer body = {0}, bytes = {0};
    buffer_u16(&body, 9);
    buffer_varint(&body, 0);
    for (unsigned i = 0; i < SMALL - HEADER; i++) {
        buffer_string(&body, topic_of(client->test, "small/%u", i));
        if (subscribe)
            buffer_u8(&body, 0);
    }
    buffer_frame(&bytes, (subscribe ? SUBSCRIBE : UNSUBSCRIBE) << 4 | 2, &body);
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&body);
    buffer_free(&bytes);
    struct packet answer = expect(client, subscribe ? SUBACK : UNSUBACK);
    packet_write(&bytes, VERSION_5, &answer);
    if (bytes.size > SMALL)
        fail(client->test, "%s of %zu bytes to a client that takes %u", packet_name(answer.type),
             bytes.size, SMALL);
    buffer_free(&bytes);
    return answer;
}

CASE(suback_and_unsuback_keep_to_maximum_packet_size,
     .v5 = "MQTT-3.9.2-1 MQTT-3.9.2-2 MQTT-3.11.2-1 MQTT-3.11.2-2 MQTT-3.1.2-24",
     .sends = "Maximum Packet Size 128; SUBSCRIBE, then UNSUBSCRIBE with filters enough for an "
              "answer of 128 bytes without any property",
     .allowed = "the answers without Reason String and User Property",
     .faults = "reason_string_exceeds_size")
{
    struct client *client = client_new(test, "client");
    struct packet connect = connect_of(client);
    property_add(&connect.properties, MAXIMUM_PACKET_SIZE, SMALL);
    client_connect_ok(client, &connect);
    answer_of_size_small(client, true);
    answer_of_size_small(client, false);
}
