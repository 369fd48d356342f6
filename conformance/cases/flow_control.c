/* Flow control of 5.0 (section 4.9): Receive Maximum of the server and of the client. */
#include "conformance/cases/exchange.h"
#include "conformance/cases/refusal.h"

/* ---- The server's Receive Maximum ---- */

/* Sends QoS 2 PUBLISHes up to that many, and reads their PUBRECs; no PUBREL. */
static void fill_quota(struct client *client, struct text topic, unsigned count)
{
    enum { BATCH = 64 };
    uint16_t first = 1;
    while (count > 0) {
        unsigned batch = count < BATCH ? count : BATCH;
        for (unsigned i = 0; i < batch; i++) {
            struct packet publish = exchange_publish(topic, TEXT("x"), 2);
            publish.packet_id = (uint16_t)(first + i);
            client_send(client, &publish);
        }
        for (unsigned i = 0; i < batch; i++) {
            struct packet pubrec = expect_answer(client, PUBREC, (uint16_t)(first + i));
            if (pubrec.reason_code >= 0x80)
                fail(client->test, "PUBREC refuses with 0x%02X what Receive Maximum allows",
                     pubrec.reason_code);
        }
        first = (uint16_t)(first + batch);
        count -= batch;
    }
}

CASE(receive_maximum_of_the_server_can_be_used_in_full, .v5 = "MQTT-3.3.4-7 MQTT-4.9.0-1",
     .sends =
         "as many QoS 2 PUBLISHes without PUBREL as the server's Receive Maximum allows; then one "
         "exchange is ended and another begun, by turns",
     .allowed = "PUBREC for each: PUBCOMP gives a place back",
     .faults = "counts_quota_below_maximum", .limit_s = 60)
{
    enum { TURNS = 5 };
    need_qos(test, 2);
    unsigned most = test->server->receive_maximum;
    struct client *client = client_connected(test, "client");
    fill_quota(client, topic_of(test, "x"), most);
    expect_alive(client);
    for (uint16_t id = 1; id <= TURNS && id <= most; id++) {
        exchange_release(client, id);
        struct packet publish = exchange_publish(topic_of(test, "x"), TEXT("x"), 2);
        publish.packet_id = id;
        client_send(client, &publish);
        exchange_expect(client, PUBREC, id);
    }
    expect_alive(client);
}

CASE(receive_maximum_of_the_server_exceeded, .v5 = "MQTT-3.3.4-7 MQTT-4.9.0-2 MQTT-4.13.1-1",
     .sends = "one QoS 2 PUBLISH without PUBREL more than the server's Receive Maximum allows",
     .allowed = "the Network Connection is closed; DISCONNECT 0x93 should come before that",
     .faults = "accepts_quota_excess", .limit_s = 60)
{
    need_qos(test, 2);
    unsigned most = test->server->receive_maximum;
    if (most == 65535)
        not_applicable(test, "the server's Receive Maximum allows every Packet Identifier at once");
    struct client *client = client_connected(test, "client");
    struct refusal refusal = refusal_begin(test);
    fill_quota(client, topic_of(test, "x"), most);
    struct packet publish = exchange_publish(topic_of(test, "x"), TEXT("x"), 2);
    publish.packet_id = (uint16_t)(most + 1);
    client_send(client, &publish);
    refusal_judge(&refusal, client, true, 0x93, "one PUBLISH beyond the server's Receive Maximum");
    refusal_end(&refusal);
}

/* ---- The client's Receive Maximum ---- */

static struct client *narrow_subscriber(struct test *test, struct text topic, uint16_t maximum,
                                        uint8_t qos)
{
    struct client *client = client_new(test, "narrow");
    struct packet connect = connect_of(client);
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, EXCHANGE_EXPIRY_S);
    property_add(&connect.properties, RECEIVE_MAXIMUM, maximum);
    client_connect_ok(client, &connect);
    client_subscribe(client, topic, qos);
    return client;
}

static struct packet expect_numbered(struct client *client, struct text topic, unsigned number)
{
    return expect_publish(client, topic, text_printf(client->test, "%u", number));
}

static void publish_numbered(struct test *test, struct text topic, uint8_t qos, unsigned count)
{
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < count; i++)
        client_publish(publisher, topic, text_printf(test, "%u", i), qos, false);
    client_disconnect(publisher);
}

CASE(server_keeps_to_receive_maximum_at_qos_1, .v5 = "MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.9.0-2",
     .sends = "seven messages at QoS 1 to a subscriber with Receive Maximum 1, and with 3, that "
              "acknowledges one at a time",
     .allowed = "never more unacknowledged PUBLISHes than that; one more for each PUBACK",
     .faults = "ignores_receive_maximum exceeds_receive_maximum_by_one loses_quota")
{
    enum { MESSAGES = 7 };
    need_qos(test, 1);
    for (uint16_t maximum = 1; maximum <= 3; maximum += 2) {
        struct text topic = topic_of(test, "%u", maximum);
        struct client *client = narrow_subscriber(test, topic, maximum, 1);
        publish_numbered(test, topic, 1, MESSAGES);
        struct packet got[MESSAGES];
        unsigned next = 0;
        while (next < maximum) {
            got[next] = expect_numbered(client, topic, next);
            next++;
        }
        expect_quiet(client);
        for (unsigned i = 0; i < MESSAGES; i++) {
            exchange_answer(client, PUBACK, got[i].packet_id, 0);
            if (next < MESSAGES) {
                got[next] = expect_numbered(client, topic, next);
                next++;
            }
            expect_alive(client);
        }
    }
}

CASE(server_keeps_to_receive_maximum_at_qos_2, .v5 = "MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.9.0-2",
     .sends =
         "seven messages at QoS 2 to a subscriber with Receive Maximum 1, and with 3, that takes "
         "one exchange after another through its steps",
     .allowed =
         "never more PUBLISHes without PUBCOMP than that: PUBREC gives no place back, PUBCOMP "
         "does",
     .faults = "ignores_receive_maximum exceeds_receive_maximum_by_one frees_quota_at_pubrec "
               "loses_quota")
{
    enum { MESSAGES = 7 };
    need_qos(test, 2);
    for (uint16_t maximum = 1; maximum <= 3; maximum += 2) {
        struct text topic = topic_of(test, "%u", maximum);
        struct client *client = narrow_subscriber(test, topic, maximum, 2);
        publish_numbered(test, topic, 2, MESSAGES);
        struct packet got[MESSAGES];
        unsigned next = 0;
        while (next < maximum) {
            got[next] = expect_numbered(client, topic, next);
            next++;
        }
        for (unsigned i = 0; i < MESSAGES; i++) {
            exchange_answer(client, PUBREC, got[i].packet_id, 0);
            exchange_expect(client, PUBREL, got[i].packet_id);
            if (i < 2)
                expect_quiet(client);
            exchange_answer(client, PUBCOMP, got[i].packet_id, 0);
            if (next < MESSAGES) {
                got[next] = expect_numbered(client, topic, next);
                next++;
            }
            expect_alive(client);
        }
    }
}

CASE(error_acknowledgements_give_quota_back, .v5 = "MQTT-3.3.4-9 MQTT-4.9.0-2 MQTT-4.4.0-2",
     .sends =
         "messages at QoS 1 and 2 in turn to a subscriber with Receive Maximum 1, that answers "
         "each with PUBACK or PUBREC of 0x80 or more",
     .allowed = "the next message after each, and no PUBREL",
     .faults = "resends_refused loses_quota pubrel_after_error_pubrec")
{
    static const uint8_t codes[] = {0x80, 0x83, 0x87, 0x90, 0x97, 0x99};
    enum { MESSAGES = 2 * sizeof codes };
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *client = narrow_subscriber(test, topic, 1, 2);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < MESSAGES; i++)
        client_publish(publisher, topic, text_printf(test, "%u", i), 1 + i % 2, false);
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct packet got = expect_numbered(client, topic, i);
        exchange_answer(client, got.qos == 1 ? PUBACK : PUBREC, got.packet_id, codes[i / 2]);
    }
    expect_alive(client);
    expect_quiet(client);
}

CASE(used_up_quota_holds_back_nothing_else, .v5 = "MQTT-4.9.0-3 MQTT-3.3.4-10",
     .sends =
         "from a subscriber with Receive Maximum 1 that holds a QoS 2 message and for which "
         "another waits: PINGREQ, SUBSCRIBE, UNSUBSCRIBE, PUBLISH at QoS 1 and 2, PUBREL, PUBREC",
     .allowed = "each is answered at once",
     .faults = "holds_qos_0_at_quota ignores_pingreq no_suback no_puback no_pubrel")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x"), other = topic_of(test, "other");
    struct client *client = narrow_subscriber(test, topic, 1, 2);
    publish_numbered(test, topic, 2, 2);
    struct packet held = expect_numbered(client, topic, 0);
    for (unsigned times = 0; times < 2; times++) { /* before PUBREC, then before PUBCOMP */
        expect_alive(client);
        client_subscribe(client, other, 1);
        client_unsubscribe(client, other);
        client_publish(client, other, TEXT("x"), 1, false);
        client_publish(client, other, TEXT("x"), 2, false);
        if (times == 1)
            break;
        exchange_answer(client, PUBREC, held.packet_id, 0);
        exchange_expect(client, PUBREL, held.packet_id);
    }
    exchange_answer(client, PUBCOMP, held.packet_id, 0);
    take_publish(client, topic, TEXT("1"));
}

CASE(quota_holds_for_what_is_resent, .v5 = "MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.4.0-1",
     .sends =
         "five messages that are not acknowledged and three that wait, at QoS 1; the client comes "
         "back with Receive Maximum 2, leaves, and comes back without a limit",
     .allowed =
         "two PUBLISHes, resent, the first ones; one more for each PUBACK; at the second return "
         "all that is left, in order",
     .faults = "ignores_receive_maximum exceeds_receive_maximum_by_one forgets_unacknowledged")
{
    enum { HELD = 5, ALL = 8, TAKEN = 3 };
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *client = exchange_stored_subscriber(test, "client", topic, 1);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < ALL; i++) {
        if (i == HELD)
            client_disconnect(client);
        client_publish(publisher, topic, text_printf(test, "%u", i), 1, false);
        if (i < HELD)
            expect_numbered(client, topic, i);
    }
    exchange_return_limited(client, 2, 0);
    struct packet got[ALL];
    got[0] = expect_numbered(client, topic, 0);
    got[1] = expect_numbered(client, topic, 1);
    expect_quiet(client);
    for (unsigned i = 0; i < TAKEN; i++) {
        exchange_answer(client, PUBACK, got[i].packet_id, 0);
        got[i + 2] = expect_numbered(client, topic, i + 2);
        expect_alive(client);
    }
    client_disconnect(client);
    exchange_return(client);
    for (unsigned i = TAKEN; i < ALL; i++)
        take_publish(client, topic, text_printf(test, "%u", i));
    expect_quiet(client);
}

/* Whether a PUBREL that is resent takes a place is not said; a server may count it or not. */
CASE(
    quota_is_whole_again_after_a_reconnect, .v5 = "MQTT-4.9.0-1 MQTT-3.3.4-9 MQTT-4.4.0-1",
    .sends =
        "two exchanges at QoS 2 that wait for PUBCOMP, and six more messages; the client comes "
        "back with Receive Maximum 2 and ends all",
    .allowed = "both PUBRELs; two PUBLISHes at most before a PUBCOMP; then all the others in order",
    .faults = "ignores_receive_maximum forgets_pubrel loses_quota_at_reconnect")
{
    enum { RELEASED = 2, ALL = 8, QUOTA = 2 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *client = narrow_subscriber(test, topic, QUOTA, 2);
    publish_numbered(test, topic, 2, ALL);
    uint16_t ids[RELEASED];
    for (unsigned i = 0; i < RELEASED; i++) {
        ids[i] = expect_numbered(client, topic, i).packet_id;
        exchange_answer(client, PUBREC, ids[i], 0);
        expect_answer(client, PUBREL, ids[i]);
    }
    client_drop(client);
    exchange_return_limited(client, QUOTA, 0);

    struct packet held[QUOTA + 1];
    unsigned released = 0, publishes = 0;
    bool closed = false;
    struct packet packet;
    while (receive(client, released < RELEASED ? test->time_limit_ms : test->quiet_ms, &packet,
                   &closed)) {
        if (packet.type == PUBREL)
            released++;
        else if (packet.type == PUBLISH && publishes < QUOTA)
            held[publishes++] = packet;
        else
            fail(test, "%s beyond the Receive Maximum of %u", packet_name(packet.type), QUOTA);
    }
    if (released != RELEASED)
        fail_statement(test, "MQTT-4.4.0-1", "%u PUBRELs are resent; %u are owed", released,
                       RELEASED);
    for (unsigned i = 0; i < RELEASED; i++)
        exchange_answer(client, PUBCOMP, ids[i], 0);
    for (unsigned i = 0; i < publishes; i++)
        acknowledge(client, &held[i]);
    for (unsigned i = RELEASED + publishes; i < ALL; i++)
        take_publish(client, topic, text_printf(test, "%u", i));
    expect_quiet(client);
}
