/* What has waited for a session: nothing of it may be lost that a subscriber who was there gets.
 * The generated matrix goes through all kinds of sessions and outages; these are single failures
 * that real brokers have shown. */
#include "conformance/cases/exchange.h"

#include <stdio.h>

CASE(retain_as_published_holds_for_what_waited, .v5 = "MQTT-3.3.1-13 MQTT-3.3.1-12",
     .sends =
         "messages with RETAIN 1 and 0 for sessions that are away, one subscribed with Retain As "
         "Published, one without; both come back, and once more without acknowledgement before",
     .allowed =
         "the first gets RETAIN as it was published, the second RETAIN 0; so does what is resent",
     .faults = "loses_retain_as_published_offline retain_as_published_unasked")
{
    need_qos(test, 1);
    need_retain(test);
    struct text topic = topic_of(test, "x");
    struct client *with =
        exchange_stored_subscriber(test, "with", topic, 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED);
    struct client *without = exchange_stored_subscriber(test, "without", topic, 1);
    client_disconnect(with);
    client_disconnect(without);
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("retained"), 1, true);
    client_publish(publisher, topic, TEXT("plain"), 1, false);
    for (unsigned times = 0; times < 2; times++) {
        exchange_return(with);
        exchange_return(without);
        if (!expect_publish(with, topic, TEXT("retained")).retain)
            fail(test, "a message that was published with RETAIN 1 %s with RETAIN 0",
                 times == 0 ? "has waited, and comes" : "is resent");
        if (expect_publish(with, topic, TEXT("plain")).retain)
            fail(test, "a message that was published with RETAIN 0 comes with RETAIN 1");
        if (expect_publish(without, topic, TEXT("retained")).retain)
            fail_statement(test, "MQTT-3.3.1-12", "RETAIN 1 without Retain As Published");
        expect_publish(without, topic, TEXT("plain"));
        client_drop(with);
        client_drop(without);
    }
}

CASE(subscription_identifiers_hold_for_what_waited, .v5 = "MQTT-3.3.4-3",
     .sends =
         "a message for a session that is away, whose subscription has an identifier; it comes "
         "back twice, the second time without having acknowledged",
     .allowed = "the message with the identifier, both times",
     .faults = "loses_subscription_identifier_offline drops_subscription_identifier")
{
    enum { IDENTIFIER = 70000 };
    need_qos(test, 1);
    need_subscription_identifier(test);
    struct text topic = topic_of(test, "x");
    struct client *away = client_connected_stored(test, "away", EXCHANGE_EXPIRY_S);
    struct packet subscribe = {.type = SUBSCRIBE, .filters = {{topic, 1}}, .filter_count = 1};
    property_add(&subscribe.properties, SUBSCRIPTION_IDENTIFIER, IDENTIFIER);
    client_subscribe_raw(away, &subscribe);
    client_disconnect(away);
    client_publish(client_connected(test, "publisher"), topic, TEXT("x"), 1, false);
    for (unsigned times = 0; times < 2; times++) {
        exchange_return(away);
        struct packet got = expect_publish(away, topic, TEXT("x"));
        if (property_number(&got.properties, SUBSCRIPTION_IDENTIFIER, 0) != IDENTIFIER)
            fail(test,
                 "a message that %s has not got the Subscription Identifier of its subscription",
                 times == 0 ? "has waited" : "is resent");
        client_drop(away);
    }
}

/* A server that hands out a stored message only every so often passes every other case. */
CASE(backlog_is_handed_out_without_pauses, .v5 = "MQTT-4.5.0-1 MQTT-4.9.0-2",
     .v311 = "MQTT-4.5.0-1 MQTT-3.1.2-5",
     .sends = "60 messages at QoS 1 for a session that is away; it comes back, 5.0: with Receive "
              "Maximum 1, and acknowledges each at once",
     .allowed = "all within ten seconds", .faults = "pauses_before_waiting_messages",
     .timing = true)
{
    enum { MESSAGES = 60, MOST_MS = 10000 };
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *away = exchange_stored_subscriber(test, "away", topic, 1);
    client_disconnect(away);
    exchange_publish_numbered(client_connected(test, "publisher"), topic, 1, 0, MESSAGES, 10);
    if (test->version == VERSION_5)
        exchange_return_limited(away, 1, 0);
    else
        exchange_return(away);
    uint64_t start_ms = clock_ms();
    for (unsigned i = 0; i < MESSAGES; i++) {
        take_publish(away, topic, text_printf(test, "%u", i));
        if (clock_ms() - start_ms > MOST_MS)
            fail(test,
                 "only %u of %d waiting messages in %d ms, though each is acknowledged at once",
                 i + 1, MESSAGES, MOST_MS);
    }
}

/* Sends a batch as one write and reads its acknowledgements; how many were taken. */
static unsigned publish_batch(struct client *client, struct text topic, unsigned first,
                              unsigned count)
{
    struct test *test = client->test;
    struct buffer bytes = {0};
    for (unsigned i = 0; i < count; i++) {
        char number[12];
        int size = snprintf(number, sizeof number, "%u", first + i);
        struct packet publish =
            exchange_publish(topic, (struct text){(const uint8_t *)number, (size_t)size}, 1);
        publish.packet_id = (uint16_t)(1 + i);
        packet_write(&bytes, client->version, &publish);
    }
    client_send_bytes(client, bytes.data, bytes.size);
    buffer_free(&bytes);
    unsigned taken = 0;
    for (unsigned i = 0; i < count; i++) {
        struct packet puback = expect(client, PUBACK);
        if (puback.packet_id == 0 || puback.packet_id > count)
            fail(test, "PUBACK for identifier %u, which has not been used", puback.packet_id);
        taken += puback.reason_code < 0x80;
    }
    return taken;
}

static unsigned number_of(struct text payload)
{
    unsigned number = 0;
    for (size_t i = 0; i < payload.size; i++)
        number = number * 10 + (payload.data[i] - '0');
    return number;
}

/* A limit on the queue shows as a run of messages that is missing at one end. Servers have such
 * limits; that they acknowledge what they then drop is remarked on. Anything else is a loss. */
CASE(more_than_65535_messages_wait, .v5 = "MQTT-4.5.0-1 MQTT-4.6.0-5 MQTT-2.2.1-4",
     .v311 = "MQTT-4.5.0-1 MQTT-4.6.0-6 MQTT-2.3.1-4 MQTT-3.1.2-5",
     .sends = "66,000 messages at QoS 1 for a session that is away; it comes back, and leaves one "
              "message without acknowledgement while it takes the others",
     .allowed =
         "all, in their order; or the first or the last of them, where the queue has a limit: "
         "reported as debatable if the others were acknowledged, too",
     .faults = "loses_qos_1 loses_offline_messages reorders_offline", .timing = true,
     .limit_s = 240)
{
    enum { MESSAGES = 66000, BATCH = 500 };
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *away = exchange_stored_subscriber(test, "away", topic, 1);
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("held"), 1, false);
    struct packet held = expect_publish(away, topic, TEXT("held"));
    client_disconnect(away);
    unsigned batch = test->server->receive_maximum < BATCH ? test->server->receive_maximum : BATCH;
    unsigned taken = 0;
    for (unsigned first = 0; first < MESSAGES; first += batch)
        taken += publish_batch(publisher, topic, first,
                               first + batch < MESSAGES ? batch : MESSAGES - first);
    exchange_return(away);
    if (expect_publish(away, topic, TEXT("held")).packet_id != held.packet_id)
        fail(test, "the message that was not acknowledged is resent under another identifier");
    unsigned got = 0, first = 0, last = 0;
    bool closed = false;
    struct packet packet;
    while (got < taken && receive(away, got == 0 ? test->time_limit_ms : 1500, &packet, &closed)) {
        if (packet.type != PUBLISH)
            fail(test, "%s instead of a message that waits", packet_name(packet.type));
        if (packet.packet_id == held.packet_id)
            fail_statement(test, test->version == VERSION_5 ? "MQTT-2.2.1-4" : "MQTT-2.3.1-4",
                           "message %u has the identifier %u of one that is not acknowledged", got,
                           held.packet_id);
        last = number_of(packet.payload);
        if (got == 0)
            first = last;
        if (last != first + got)
            fail(test, "message %u is delivered where %u is due", last, first + got);
        exchange_answer(away, PUBACK, packet.packet_id, 0);
        got++;
    }
    if (closed)
        fail(test, "the connection was closed after %u of %u messages", got, taken);
    if (got == 0)
        fail(test, "none of %u messages is delivered that were acknowledged", taken);
    if (got < taken && first > 0 && last + 1 < MESSAGES)
        fail(test, "only messages %u to %u are delivered; %u were acknowledged", first, last,
             taken);
    if (got < taken)
        warn_debatable(
            test, "MQTT-4.5.0-1",
            "%u messages were acknowledged, and the session got %u: the queue has a limit", taken,
            got);
}
