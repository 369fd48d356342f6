/* Message Expiry Interval (5.0 sections 3.3.2.3.3 and 4.3.3). Servers may count in whole seconds,
 * so a reading may be off by one either way; every wait is long enough that this does not matter.
 */
#include "conformance/cases/exchange.h"

enum { WAIT_MS = 2200 }; /* more than two whole seconds, however they are cut */

static struct packet expiring(struct text topic, struct text payload, uint8_t qos,
                              uint32_t expiry_s)
{
    struct packet publish = exchange_publish(topic, payload, qos);
    property_add(&publish.properties, MESSAGE_EXPIRY_INTERVAL, expiry_s);
    return publish;
}

/* Between the two times the message waited for `least_ms` to `most_ms`. */
static void want_counted(struct test *test, const struct packet *got, uint32_t expiry_s,
                         uint64_t least_ms, uint64_t most_ms, const char *where)
{
    const struct property *left = property_find(&got->properties, MESSAGE_EXPIRY_INTERVAL);
    if (left == NULL)
        fail(test, "%s without the Message Expiry Interval that it was published with", where);
    uint64_t most_s = expiry_s - least_ms / 1000 + 1, least_s = expiry_s - most_ms / 1000 - 2;
    if (left->number > most_s || left->number > expiry_s || left->number < least_s)
        fail(test,
             "%s with Message Expiry Interval %u; it was published with %u and has waited %u ms",
             where, left->number, expiry_s, (unsigned)most_ms);
}

CASE(message_expiry_interval_is_forwarded, .v5 = "MQTT-3.3.2-6",
     .sends =
         "PUBLISH at QoS 0, 1 and 2 with a Message Expiry Interval of 600 and of 4294967295; a "
         "subscriber is there",
     .allowed = "it gets the interval, a second less at most for the time in the server",
     .faults = "drops_message_expiry", .timing = true)
{
    static const uint32_t intervals[] = {600, 4294967295};
    struct text topic = topic_of(test, "x");
    uint8_t most = exchange_qos(test, 2);
    struct client *subscriber = exchange_subscriber(test, "subscriber", topic, most);
    struct client *publisher = client_connected(test, "publisher");
    for (uint8_t qos = 0; qos <= most; qos++) {
        for (unsigned i = 0; i < 2; i++) {
            struct packet publish = expiring(topic, TEXT("x"), qos, intervals[i]);
            uint64_t start_ms = clock_ms();
            client_publish_packet(publisher, &publish);
            struct packet got = take_publish(subscriber, topic, TEXT("x"));
            want_counted(test, &got, intervals[i], 0, clock_ms() - start_ms, "delivered at once");
        }
    }
}

CASE(message_expiry_interval_is_counted_down, .v5 = "MQTT-3.3.2-6",
     .sends =
         "PUBLISH, retained where the server can, with a Message Expiry Interval of 600; after "
         "2.2 s a session that was away comes back, and a client subscribes",
     .allowed = "both get the interval less the time the message has waited, give or take a second",
     .faults = "expiry_not_counted_down drops_message_expiry expires_at_once", .timing = true)
{
    enum { EXPIRY_S = 600 };
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *away = exchange_stored_subscriber(test, "away", topic, 1);
    client_disconnect(away);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = expiring(topic, TEXT("x"), 1, EXPIRY_S);
    publish.retain = test->server->retain_available;
    uint64_t sent_ms = clock_ms();
    client_publish_packet(publisher, &publish);
    uint64_t stored_ms = clock_ms();
    let_pass_ms(test, WAIT_MS);

    uint64_t waited_ms = clock_ms() - stored_ms;
    exchange_return(away);
    struct packet got = take_publish(away, topic, TEXT("x"));
    want_counted(test, &got, EXPIRY_S, waited_ms, clock_ms() - sent_ms, "delivered to the session");
    if (!publish.retain)
        return;
    waited_ms = clock_ms() - stored_ms;
    struct client *late = exchange_subscriber(test, "late", topic, 1);
    got = take_publish(late, topic, TEXT("x"));
    want_counted(test, &got, EXPIRY_S, waited_ms, clock_ms() - sent_ms, "delivered as retained");
}

CASE(expired_messages_are_deleted, .v5 = "MQTT-3.3.2-5",
     .sends = "for a session that is away: messages at QoS 1 and 2 that expire after a second, "
              "between others that do not; it comes back after 2.2 s",
     .allowed = "it gets those that have not expired, in their order, and no others",
     .faults = "delivers_expired expires_at_once", .timing = true)
{
    need_qos(test, 1);
    uint8_t most = exchange_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *away = exchange_stored_subscriber(test, "away", topic, most);
    client_disconnect(away);
    struct client *publisher = client_connected(test, "publisher");
    for (unsigned i = 0; i < 6; i++) {
        struct packet publish =
            expiring(topic, text_printf(test, "%u", i), i < 3 ? 1 : most, i % 3 == 1 ? 100 : 1);
        if (i % 3 == 2)
            publish.properties.count = 0; /* never expires */
        client_publish_packet(publisher, &publish);
    }
    let_pass_ms(test, WAIT_MS);
    exchange_return(away);
    take_publish(away, topic, TEXT("1"));
    take_publish(away, topic, TEXT("2"));
    take_publish(away, topic, TEXT("4"));
    take_publish(away, topic, TEXT("5"));
    expect_quiet(away);
}

CASE(message_behind_a_full_quota_expires, .v5 = "MQTT-3.3.2-5",
     .sends = "two messages, the second with an expiry of a second, to a subscriber with Receive "
              "Maximum 1 that acknowledges the first after 2.2 s; then one more",
     .allowed = "it gets the first and the last",
     .why = "the delivery of the second had not been started when it expired",
     .faults = "delivers_expired", .timing = true)
{
    need_qos(test, 1);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = client_new(test, "slow");
    struct packet connect = connect_of(subscriber);
    property_add(&connect.properties, RECEIVE_MAXIMUM, 1);
    client_connect_ok(subscriber, &connect);
    client_subscribe(subscriber, topic, 1);
    struct client *publisher = client_connected(test, "publisher");
    client_publish(publisher, topic, TEXT("first"), 1, false);
    struct packet held = expect_publish(subscriber, topic, TEXT("first"));
    struct packet publish = expiring(topic, TEXT("expires"), 1, 1);
    client_publish_packet(publisher, &publish);
    let_pass_ms(test, WAIT_MS);
    acknowledge(subscriber, &held);
    client_publish(publisher, topic, TEXT("last"), 1, false);
    take_publish(subscriber, topic, TEXT("last"));
}

CASE(expired_retained_message_is_gone, .v5 = "MQTT-3.3.2-5",
     .sends = "a retained message that expires after a second and one that does not; a client "
              "subscribes to both after 2.2 s",
     .allowed = "it gets the second one only",
     .why = "5.0 section 3.3.1.3: there is no retained message for a topic once it has expired",
     .faults = "delivers_expired never_retains", .timing = true)
{
    need_retain(test);
    uint8_t qos = exchange_qos(test, 1);
    struct text gone = topic_of(test, "gone"), kept = topic_of(test, "kept");
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = expiring(gone, TEXT("gone"), qos, 1);
    publish.retain = true;
    client_publish_packet(publisher, &publish);
    client_publish(publisher, kept, TEXT("kept"), qos, true);
    expect_alive(publisher);
    let_pass_ms(test, WAIT_MS);
    struct client *late = exchange_subscriber(test, "late", gone, qos);
    client_subscribe(late, kept, qos);
    take_publish(late, kept, TEXT("kept"));
    expect_quiet(late);
}

CASE(begun_qos_2_delivery_does_not_expire, .v5 = "MQTT-4.3.3-7 MQTT-4.4.0-1",
     .sends = "a QoS 2 message with an expiry of a second; the subscriber gets it, loses its "
              "connection, and comes back after 2.2 s",
     .allowed = "it gets it again with DUP and the same identifier, and the exchange can be ended",
     .faults = "expires_begun_delivery forgets_unacknowledged", .timing = true)
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *subscriber = exchange_stored_subscriber(test, "away", topic, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = expiring(topic, TEXT("x"), 2, 1);
    client_publish_packet(publisher, &publish);
    struct packet first = expect_publish(subscriber, topic, TEXT("x"));
    client_drop(subscriber);
    let_pass_ms(test, WAIT_MS);
    exchange_return(subscriber);
    struct packet again = expect_publish(subscriber, topic, TEXT("x"));
    if (!again.dup || again.packet_id != first.packet_id)
        fail_statement(test, "MQTT-4.4.0-1",
                       "resent with DUP %d under identifier %u; it was sent under %u", again.dup,
                       again.packet_id, first.packet_id);
    acknowledge(subscriber, &again);
    expect_alive(subscriber);
}

CASE(exchange_goes_on_after_expiry, .v5 = "MQTT-4.3.3-13",
     .sends = "PUBLISH at QoS 2 with an expiry of a second, and PUBREL 2.2 s after PUBREC; the "
              "session of the subscriber is away",
     .allowed = "PUBCOMP for the publisher", .faults = "no_pubcomp", .timing = true)
{
    need_qos(test, 2);
    struct text topic = topic_of(test, "x");
    struct client *away = exchange_stored_subscriber(test, "away", topic, 2);
    client_disconnect(away);
    struct client *publisher = client_connected(test, "publisher");
    struct packet publish = expiring(topic, TEXT("x"), 2, 1);
    uint16_t id = client_publish_start(publisher, &publish);
    exchange_expect(publisher, PUBREC, id);
    let_pass_ms(test, WAIT_MS);
    exchange_release(publisher, id);
}
