/* PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): what a server takes from a client, what
 * it refuses, and what it may send. Their bare format is fixed_header.c's matter. */
#include "conformance/cases/exchange.h"
#include "conformance/cases/refusal.h"

#include <string.h>

#define CLOSES                                                                                     \
    "the Network Connection is closed; 5.0: a DISCONNECT that says why should come before that"

static const enum packet_type types[] = {PUBACK, PUBREC, PUBREL, PUBCOMP};
enum { TYPES = sizeof types / sizeof *types };

/* A message on its way to a client with a stored session, or, for PUBREL, from it; the exchange has
 * come to where the client owes a packet of `type`. */
struct open_exchange {
    struct client *client;
    struct packet publish; /* as it was received or sent */
};

static struct open_exchange open_exchange(struct test *test, enum packet_type type)
{
    struct text topic = topic_of(test, "x");
    uint8_t qos = type == PUBACK ? 1 : 2;
    struct client *client = exchange_stored_subscriber(test, "client", topic, qos);
    struct client *other = client_connected(test, "other");
    struct packet publish = exchange_publish(topic, TEXT("x"), qos);
    if (type == PUBREL) {
        publish.topic = topic_of(test, "away");
        publish.packet_id = client_publish_start(client, &publish);
        exchange_expect(client, PUBREC, publish.packet_id);
        return (struct open_exchange){client, publish};
    }
    client_publish(other, topic, TEXT("x"), qos, false);
    publish = expect_publish(client, topic, TEXT("x"));
    if (type == PUBCOMP) {
        exchange_answer(client, PUBREC, publish.packet_id, 0);
        exchange_expect(client, PUBREL, publish.packet_id);
    }
    return (struct open_exchange){client, publish};
}

/* Ends what open_exchange() began for good, so that the next one is alone. */
static void forget(struct client *client)
{
    struct packet connect = connect_of(client);
    client_drop(client);
    client_connect_ok(client, &connect);
    client_drop(client);
}

/* ---- Malformed ones ---- */

static void refuse_in_exchange(struct refusal *refusal, enum packet_type type,
                               const struct packet *malformed, const char *variant)
{
    struct open_exchange open = open_exchange(refusal->client->test, type);
    struct packet packet = *malformed;
    packet.type = type;
    packet.packet_id = open.publish.packet_id;
    client_send(open.client, &packet);
    refusal_judge(refusal, open.client, true, 0, variant);
    forget(open.client);
}

CASE(
    malformed_acknowledgement_does_not_end_an_exchange,
    .v5 = "MQTT-2.1.3-1 MQTT-3.6.1-1 MQTT-4.3.2-3 MQTT-4.3.3-3",
    .v311 = "MQTT-2.2.2-2 MQTT-3.6.1-1 MQTT-4.3.2-1 MQTT-4.3.3-1",
    .sends =
        "PUBACK, PUBREC and PUBREL with wrong reserved flags for messages that are on their way; "
        "the client comes back to its session",
    .allowed = "the Network Connection is closed; the server resends the PUBLISH, and takes PUBREL",
    .faults = "accepts_reserved_flags forgets_unacknowledged")
{
    need_qos(test, 2);
    for (unsigned i = 0; i < TYPES - 1; i++) {
        struct refusal refusal = refusal_begin(test);
        struct open_exchange open = open_exchange(test, types[i]);
        client_send(open.client, &(struct packet){.type = types[i],
                                                  .packet_id = open.publish.packet_id,
                                                  .omit_reason_code = true,
                                                  .force_flags = true,
                                                  .forced_flags = types[i] == PUBREL ? 0 : 2});
        refusal_judge(&refusal, open.client, true, 0x81, packet_name(types[i]));
        refusal_end(&refusal);
        exchange_return(open.client);
        if (types[i] == PUBREL) {
            exchange_release(open.client, open.publish.packet_id);
            continue;
        }
        struct packet again = expect_publish(open.client, open.publish.topic, TEXT("x"));
        if (!again.dup || again.packet_id != open.publish.packet_id)
            fail(test, "resent with DUP %d under identifier %u, first sent under %u", again.dup,
                 again.packet_id, open.publish.packet_id);
        acknowledge(open.client, &again);
    }
}

static void refuse_codes(struct test *test, enum packet_type type, const char *codes)
{
    need_qos(test, type == PUBACK ? 1 : 2);
    struct refusal refusal = refusal_begin(test);
    for (size_t i = 0; i < strlen(codes); i++) {
        struct packet packet = {.reason_code = (uint8_t)codes[i]};
        struct text variant =
            text_printf(test, "%s with Reason Code 0x%02X", packet_name(type), packet.reason_code);
        refuse_in_exchange(&refusal, type, &packet, (const char *)variant.data);
    }
    refusal_end(&refusal);
}

CASE(puback_with_an_undefined_reason_code, .v5 = "MQTT-3.4.2-1",
     .sends = "PUBACK with Reason Codes that no packet has, or only others", .allowed = CLOSES,
     .faults = "accepts_bad_reason_code")
{
    refuse_codes(test, PUBACK, "\x01\x04\x7F\x81\x92\xFF");
}

CASE(pubrec_with_an_undefined_reason_code, .v5 = "MQTT-3.5.2-1",
     .sends = "PUBREC with Reason Codes that no packet has, or only others", .allowed = CLOSES,
     .faults = "accepts_bad_reason_code")
{
    refuse_codes(test, PUBREC, "\x02\x18\x7F\x82\x92\xFE");
}

CASE(pubrel_with_an_undefined_reason_code, .v5 = "MQTT-3.6.2-1",
     .sends = "PUBREL with Reason Codes that no packet has, or only others", .allowed = CLOSES,
     .faults = "accepts_bad_reason_code")
{
    refuse_codes(test, PUBREL, "\x01\x10\x7F\x80\x91\x97");
}

CASE(pubcomp_with_an_undefined_reason_code, .v5 = "MQTT-3.7.2-1",
     .sends = "PUBCOMP with Reason Codes that no packet has, or only others", .allowed = CLOSES,
     .faults = "accepts_bad_reason_code")
{
    refuse_codes(test, PUBCOMP, "\x01\x10\x7F\x80\x91\x97");
}

/* ---- All forms that are allowed ---- */

enum form { FORM_TWO_BYTES, FORM_CODE, FORM_NO_PROPERTIES, FORM_PROPERTIES, FORMS };

static void answer_in_form(struct client *client, enum packet_type type, uint16_t id,
                           enum form form)
{
    struct packet packet = {.type = type, .packet_id = id};
    packet.omit_reason_code = form == FORM_TWO_BYTES;
    packet.omit_properties = form == FORM_TWO_BYTES || form == FORM_CODE;
    if (form == FORM_PROPERTIES) {
        property_add_text(&packet.properties, REASON_STRING, TEXT("all is well"));
        property_add_user(&packet.properties, "name", "one");
        property_add_user(&packet.properties, "name", "two");
    }
    client_send(client, &packet);
}

CASE(acknowledgements_in_every_form, .v5 = "MQTT-4.3.2-3 MQTT-4.3.3-4 MQTT-4.3.3-5 MQTT-4.3.3-11",
     .sends = "PUBACK, PUBREC, PUBREL and PUBCOMP with and without Reason Code, Property Length, "
              "Reason String and User Properties; then the client comes back to its session",
     .allowed = "each is taken: the exchanges go on, and nothing is resent",
     .why = "5.0 sections 3.4.2.1 and 3.4.2.2.1: code and Property Length may be left out",
     .faults = "no_pubrel no_pubcomp resends_acknowledged")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *client = exchange_stored_subscriber(test, "client", topic, 2);
    struct client *other = client_connected(test, "other");
    for (enum form form = 0; form < FORMS; form++) {
        client_publish(other, topic, TEXT("one"), 1, false);
        answer_in_form(client, PUBACK, expect_publish(client, topic, TEXT("one")).packet_id, form);

        client_publish(other, topic, TEXT("two"), 2, false);
        uint16_t id = expect_publish(client, topic, TEXT("two")).packet_id;
        answer_in_form(client, PUBREC, id, form);
        exchange_expect(client, PUBREL, id);
        answer_in_form(client, PUBCOMP, id, form);

        struct packet publish = exchange_publish(topic_of(test, "away"), TEXT("x"), 2);
        id = client_publish_start(client, &publish);
        exchange_expect(client, PUBREC, id);
        answer_in_form(client, PUBREL, id, form);
        exchange_expect(client, PUBCOMP, id);
    }
    expect_alive(client);
    client_drop(client);
    exchange_return(client);
    expect_quiet(client);
}

/* ---- Those that fit nothing ---- */

CASE(wrong_acknowledgement_leaves_the_message_owed, .v5 = "MQTT-4.3.2-3 MQTT-4.3.3-3 MQTT-2.2.1-5",
     .v311 = "MQTT-4.3.2-1 MQTT-4.3.3-1 MQTT-2.3.1-6",
     .sends =
         "for a QoS 1 message PUBREC, PUBCOMP, and PUBACK of another identifier; for a QoS 2 "
         "message PUBACK, PUBCOMP, and PUBREC of another identifier; the client comes back to its "
         "session",
     .allowed = "the server may close at any of them or pass over it, but resends the PUBLISH",
     .faults = "forgets_unacknowledged clears_dup new_id_at_resend")
{
    static const struct {
        uint8_t qos;
        enum packet_type answer;
        uint16_t offset;
    } rows[] = {{1, PUBREC, 0}, {1, PUBCOMP, 0}, {1, PUBACK, 1},
                {2, PUBACK, 0}, {2, PUBCOMP, 0}, {2, PUBREC, 1}};
    need_qos(test, 2);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct open_exchange open = open_exchange(test, rows[i].qos == 1 ? PUBACK : PUBREC);
        uint16_t id = open.publish.packet_id;
        exchange_answer(open.client, rows[i].answer, id + rows[i].offset, 0);
        exchange_settle(open.client);
        client_drop(open.client);
        exchange_return(open.client);
        struct packet packet = expect(open.client, PUBLISH);
        if (!text_equal(packet.payload, TEXT("x")) || !packet.dup || packet.packet_id != id ||
            packet.qos != rows[i].qos)
            fail(test,
                 "after %s, a QoS %u message sent under identifier %u comes again at QoS %u, "
                 "with DUP %d, under identifier %u",
                 packet_name(rows[i].answer), rows[i].qos, id, packet.qos, packet.dup,
                 packet.packet_id);
        acknowledge(open.client, &packet);
        expect_alive(open.client);
    }
}

CASE(pubrel_of_an_unknown_identifier, .v5 = "MQTT-4.3.3-11 MQTT-2.2.1-5", .v311 = "MQTT-4.3.3-2",
     .sends = "PUBREL for identifiers that the server does not hold, one of them twice",
     .allowed = "PUBCOMP with that identifier each time; 5.0: with 0x92 or 0x00",
     .faults = "no_pubcomp wrong_acknowledgement_id closes_at_unknown_pubrel")
{
    struct client *client = client_connected(test, "client");
    static const uint16_t ids[] = {1, 9, 9, 65535};
    unsigned positive = 0;
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
        exchange_answer(client, PUBREL, ids[i], 0);
        struct packet packet = expect(client, PUBCOMP);
        if (packet.packet_id != ids[i])
            fail(test, "PUBREL for identifier %u is answered with PUBCOMP for %u", ids[i],
                 packet.packet_id);
        positive += packet.reason_code == 0;
    }
    if (test->version == VERSION_5 && positive > 0)
        warn_debatable(test, "MQTT-3.7.2-1",
                       "PUBCOMP for an identifier that is not known has code 0x00, not 0x92");
}

CASE(pubrec_of_an_unknown_identifier, .v5 = "MQTT-4.3.3-4", .v311 = "MQTT-4.3.3-1",
     .sends = "PUBREC for an identifier under which the server has sent nothing; then a message",
     .allowed =
         "PUBREL with that identifier, 5.0: best with 0x92; the server may also close. Silence "
         "is debatable. The connection works on if it is open",
     .faults = "wrong_pubrel_id no_pubrel")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *client = exchange_subscriber(test, "client", topic, 2);
    exchange_answer(client, PUBREC, 4711, 0);
    client_send(client, &(struct packet){.type = PINGREQ});
    struct packet packet;
    bool closed = false, answered = false;
    for (;;) {
        if (!receive(client, test->time_limit_ms, &packet, &closed)) {
            if (!closed)
                fail(test, "PINGREQ is not answered");
            warn_debatable(test, "MQTT-4.3.3-4", "closed at a PUBREC whose identifier is unknown");
            return;
        }
        if (packet.type == DISCONNECT || packet.type == PINGRESP)
            break;
        if (packet.type != PUBREL || packet.packet_id != 4711)
            fail(test, "PUBREC for identifier 4711 is answered with %s for %u",
                 packet_name(packet.type), packet.packet_id);
        answered = true;
        exchange_answer(client, PUBCOMP, 4711, 0);
    }
    if (packet.type == DISCONNECT)
        return;
    if (!answered)
        warn_debatable(test, "MQTT-4.3.3-4",
                       "a PUBREC whose identifier is unknown is not answered");
    client_publish(client_connected(test, "other"), topic, TEXT("x"), 2, false);
    take_publish(client, topic, TEXT("x"));
}

/* ---- What the server sends ---- */

static void want_code(struct test *test, const struct packet *packet, const char *codes,
                      const char *statement)
{
    if (packet->reason_code != 0 && strchr(codes, packet->reason_code) == NULL)
        fail_statement(test, statement, "%s with Reason Code 0x%02X, which it has not got",
                       packet_name(packet->type), packet->reason_code);
}

/* 5.0 section 2.4. strchr() would find the NUL of 0x00 too, but that is every packet's own. */
static const char pubrec_codes[] = "\x10\x80\x83\x87\x90\x91\x97\x99";
static const char pubrel_codes[] = "\x92";

CASE(reason_codes_of_the_server, .v5 = "MQTT-3.4.2-1 MQTT-3.5.2-1 MQTT-3.6.2-1 MQTT-3.7.2-1",
     .sends =
         "PUBLISH at QoS 1 and 2, with a subscriber and without; PUBREL for a known and for an "
         "unknown identifier; PUBREC for a message",
     .allowed =
         "acknowledgements with a Reason Code of their kind; 0x10 No matching subscribers only "
         "where there are none",
     .faults = "undefined_reason_code claims_no_subscribers")
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x"), nobody = topic_of(test, "nobody");
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, 2);
    struct client *client = client_connected(test, "client");
    for (unsigned i = 0; i < 2; i++) {
        struct packet publish = exchange_publish(i == 0 ? topic : nobody, TEXT("x"), 1);
        client_publish_start(client, &publish);
        struct packet puback = expect(client, PUBACK);
        want_code(test, &puback, pubrec_codes, "MQTT-3.4.2-1");
        publish.qos = 2;
        uint16_t id = client_publish_start(client, &publish);
        struct packet pubrec = expect(client, PUBREC);
        want_code(test, &pubrec, pubrec_codes, "MQTT-3.5.2-1");
        if (i == 0 && (puback.reason_code == 0x10 || pubrec.reason_code == 0x10))
            fail(test, "0x10 No matching subscribers, and there is one");
        for (unsigned times = 0; times < 2; times++) { /* the second one is unknown */
            exchange_answer(client, PUBREL, id, 0);
            struct packet pubcomp = expect(client, PUBCOMP);
            want_code(test, &pubcomp, pubrel_codes, "MQTT-3.7.2-1");
        }
    }
    struct packet got = expect_publish(subscriber, topic, TEXT("x"));
    exchange_answer(subscriber, PUBACK, got.packet_id, 0);
    got = expect_publish(subscriber, topic, TEXT("x"));
    exchange_answer(subscriber, PUBREC, got.packet_id, 0);
    struct packet pubrel = expect(subscriber, PUBREL);
    want_code(test, &pubrel, pubrel_codes, "MQTT-3.6.2-1");
}

static struct packet within(struct client *client, enum packet_type type, size_t most)
{
    struct packet packet = expect(client, type);
    size_t size = exchange_size(VERSION_5, &packet);
    if (size > most)
        fail(client->test, "%s of %zu bytes for a client with Maximum Packet Size %zu",
             packet_name(type), size, most);
    return packet;
}

CASE(acknowledgements_keep_to_the_maximum_packet_size,
     .v5 = "MQTT-3.4.2-2 MQTT-3.4.2-3 MQTT-3.5.2-2 MQTT-3.5.2-3 MQTT-3.6.2-2 MQTT-3.6.2-3 "
           "MQTT-3.7.2-2 MQTT-3.7.2-3 MQTT-3.1.2-24",
     .sends =
         "from a client with Maximum Packet Size 128: PUBLISH at QoS 1 and 2, with and without "
         "subscribers, PUBREL and PUBREC for known and unknown identifiers",
     .allowed =
         "acknowledgements of at most 128 bytes: Reason String and User Properties only where "
         "they fit",
     .faults = "reason_string_exceeds_size")
{
    enum { MOST = 128 };
    need_qos(test, 2);
    struct text topic = topic_of(test, "x"), nobody = topic_of(test, "nobody");
    struct client *client = client_new(test, "narrow");
    struct packet connect = connect_of(client);
    property_add(&connect.properties, MAXIMUM_PACKET_SIZE, MOST);
    client_connect_ok(client, &connect);
    struct packet publish = exchange_publish(nobody, TEXT("x"), 1);
    client_publish_start(client, &publish);
    within(client, PUBACK, MOST);
    publish.qos = 2;
    uint16_t id = client_publish_start(client, &publish);
    within(client, PUBREC, MOST);
    for (unsigned times = 0; times < 2; times++) { /* the second one is unknown */
        exchange_answer(client, PUBREL, id, 0);
        within(client, PUBCOMP, MOST);
    }
    client_subscribe(client, topic, 2);
    client_publish(client_connected(test, "other"), topic, TEXT("x"), 2, false);
    id = within(client, PUBLISH, MOST).packet_id;
    exchange_answer(client, PUBREC, id, 0);
    within(client, PUBREL, MOST);
    exchange_answer(client, PUBCOMP, id, 0);
}
