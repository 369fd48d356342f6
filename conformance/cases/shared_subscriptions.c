/* 4.8.2 Shared Subscriptions: 5.0 only. Which member of a group gets a message is the server's
 * choice, and so is their order. */
#include "conformance/cases/exchange.h"
#include "conformance/cases/subscription.h"

enum { MEMBERS = 3, MESSAGES = 30, REFUSED_BY_RECEIVER = 0x83 };

static struct text shared_filter(struct test *test, const char *group, struct text filter)
{
    return text_printf(test, "$share/%s/%.*s", group, (int)filter.size, filter.data);
}

/* Number n, or -1. */
static int number_of(struct test *test, struct text payload, int count)
{
    for (int i = 0; i < count; i++) {
        if (text_equal(payload, text_printf(test, "%d", i)))
            return i;
    }
    return -1;
}

/* Takes and acknowledges what comes to any of the clients until `owed` messages have come, or none
 * for the time limit, and then nothing more for quiet_ms. `copies[n]` counts those with payload
 * "n". */
static void take_from_all(struct client *const *clients, unsigned count, unsigned *copies,
                          int numbers, unsigned owed)
{
    struct test *test = clients[0]->test;
    unsigned taken = 0;
    uint64_t last_ms = clock_ms();
    while (clock_ms() - last_ms < (taken < owed ? test->time_limit_ms : test->quiet_ms)) {
        for (unsigned i = 0; i < count; i++) {
            struct packet packet;
            bool closed = false;
            while (receive(clients[i], 5, &packet, &closed)) {
                int number = number_of(test, packet.payload, numbers);
                if (packet.type != PUBLISH || number < 0)
                    fail(test, "%s \"%.*s\" came, which nobody published", packet_name(packet.type),
                         (int)packet.payload.size, packet.payload.data);
                acknowledge(clients[i], &packet);
                copies[number]++;
                taken++;
                last_ms = clock_ms();
            }
            if (closed)
                fail(test, "the Network Connection of a member was closed");
        }
    }
}

static void publish_numbers(struct client *publisher, struct text topic, int from, int to,
                            uint8_t qos)
{
    for (int i = from; i < to; i++)
        client_publish(publisher, topic, text_printf(publisher->test, "%d", i), qos, false);
}

static void each_came(struct test *test, const unsigned *copies, int from, int to, unsigned owed)
{
    for (int i = from; i < to; i++) {
        if (copies[i] != owed)
            fail(test, "message %d was delivered %u times, not %u", i, copies[i], owed);
    }
}

/* ---- Who gets a message ---- */

CASE(each_message_goes_to_one_member, .v5 = "MQTT-4.8.2-3 MQTT-4.5.0-1",
     .sends = "three members of one group at QoS 2; 30 messages at QoS 0, 1 and 2",
     .allowed = "each message exactly once, whoever gets it",
     .faults = "shared_as_plain never_delivers loses_qos_1 delivers_twice")
{
    need_shared(test);
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *members[MEMBERS];
    struct text topic = topic_of(test, "one");
    for (unsigned i = 0; i < MEMBERS; i++) {
        members[i] = client_connected(test, "member");
        client_subscribe(members[i], shared_filter(test, "group", topic), 2);
    }
    unsigned copies[MESSAGES] = {0};
    for (int i = 0; i < MESSAGES; i++)
        publish_numbers(publisher, topic, i, i + 1, (uint8_t)(i % 3));
    take_from_all(members, MEMBERS, copies, MESSAGES, MESSAGES);
    each_came(test, copies, 0, MESSAGES, 1);
}

CASE(groups_and_plain_subscriptions_each_get_a_copy, .v5 = "MQTT-4.8.2-3 MQTT-4.5.0-1",
     .sends = "two groups with the same filter, one with an overlapping filter, a plain "
              "subscription; ten messages at QoS 1",
     .allowed = "four copies of each: one for each group and one for the plain subscription",
     .why = "5.0 section 4.8.2: Shared Subscriptions are distinct if either name or filter differ",
     .faults = "ignores_share_name never_delivers")
{
    need_shared(test);
    need_wildcard(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *clients[5];
    struct text topic = topic_of(test, "a/b"), wide = topic_of(test, "a/+");
    for (unsigned i = 0; i < 5; i++)
        clients[i] = client_connected(test, "client");
    client_subscribe(clients[0], shared_filter(test, "first", topic), 1);
    client_subscribe(clients[1], shared_filter(test, "first", topic), 1);
    client_subscribe(clients[2], shared_filter(test, "second", topic), 1);
    client_subscribe(clients[3], shared_filter(test, "first", wide), 1);
    client_subscribe(clients[4], topic, 1);
    unsigned copies[10] = {0};
    publish_numbers(publisher, topic, 0, 10, 1);
    take_from_all(clients, 5, copies, 10, 40);
    each_came(test, copies, 0, 10, 4);
}

CASE(share_names_are_compared_byte_by_byte, .v5 = "MQTT-4.7.3-4 MQTT-4.8.2-1",
     .sends = "groups \"g\", \"G\", \"g \", \"\xC3\xA9\" and \"e\xCC\x81\" with one member each; a "
              "message",
     .allowed = "each of them gets it", .faults = "ignores_share_name")
{
    static const char *const names[] = {"g", "G", "g ", "\xC3\xA9", "e\xCC\x81"};
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *members[5];
    struct text topic = topic_of(test, "names");
    for (unsigned i = 0; i < 5; i++) {
        members[i] = client_connected(test, "member");
        client_subscribe(members[i], shared_filter(test, names[i], topic), 1);
    }
    client_publish(publisher, topic, TEXT("x"), 1, false);
    for (unsigned i = 0; i < 5; i++)
        take_publish(members[i], topic, TEXT("x"));
}

CASE(a_session_can_be_shared_and_plain_at_once, .v5 = "MQTT-4.8.2-3 MQTT-3.3.4-2",
     .sends = "one client with a plain and a shared subscription to one topic, the only member; "
              "five messages at QoS 1",
     .allowed = "each twice", .why = "5.0 section 4.8.2: the session gets a copy for each of them",
     .faults = "share_hides_plain")
{
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *both = client_connected(test, "both");
    struct text topic = topic_of(test, "both");
    client_subscribe(both, topic, 1);
    client_subscribe(both, shared_filter(test, "group", topic), 1);
    unsigned copies[5] = {0};
    publish_numbers(publisher, topic, 0, 5, 1);
    take_from_all(&both, 1, copies, 5, 10);
    each_came(test, copies, 0, 5, 2);
}

CASE(subscribing_twice_to_a_group_makes_one_member, .v5 = "MQTT-3.8.4-3 MQTT-4.8.2-3",
     .sends = "a member subscribes again at another QoS; ten messages; then one UNSUBSCRIBE",
     .allowed = "each message once at the new QoS; none after UNSUBACK",
     .why = "5.0 section 4.8.2: a second SUBSCRIBE does not associate the session twice",
     .faults = "doubles_subscription keeps_old_subscription claims_unsubscription")
{
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *member = client_connected(test, "member");
    struct text topic = topic_of(test, "again"), filter = shared_filter(test, "group", topic);
    client_subscribe(member, filter, 0);
    client_subscribe(member, filter, 1);
    for (int i = 0; i < 10; i++) {
        struct text payload = text_printf(test, "%d", i);
        client_publish(publisher, topic, payload, 1, false);
        struct packet publish = take_publish(member, topic, payload);
        if (publish.qos != 1)
            fail(test, "delivered at QoS %u; the second SUBSCRIBE asked for 1", publish.qos);
    }
    client_unsubscribe(member, filter);
    client_publish(publisher, topic, TEXT("after"), 1, false);
    expect_quiet(member);
}

CASE(shared_subscription_keeps_to_its_options, .v5 = "MQTT-4.8.2-3 MQTT-3.3.4-3 MQTT-3.3.1-13",
     .sends = "a member at QoS 1 with Retain As Published and a Subscription Identifier, one of a "
              "second group at QoS 0 without; a retained PUBLISH at QoS 2",
     .allowed =
         "QoS 1, RETAIN 1 and the identifier for the first; QoS 0 and RETAIN 0 for the second",
     .faults = "delivers_above_granted_qos ignores_retain_as_published "
               "drops_subscription_identifier")
{
    need_shared(test);
    need_retain(test);
    need_subscription_identifier(test);
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *first = client_connected(test, "first");
    struct client *second = client_connected(test, "second");
    struct text topic = topic_of(test, "options");
    subscription_make(first, shared_filter(test, "first", topic), 1 | SUBSCRIBE_RETAIN_AS_PUBLISHED,
                      9);
    client_subscribe(second, shared_filter(test, "second", topic), 0);
    client_publish(publisher, topic, TEXT("x"), 2, true);
    struct packet publish = take_publish(first, topic, TEXT("x"));
    if (publish.qos != 1)
        fail(test, "granted QoS 1, delivered at QoS %u", publish.qos);
    if (!publish.retain)
        fail_statement(test, "MQTT-3.3.1-13", "RETAIN 0 in spite of Retain As Published");
    if (subscription_identifiers(&publish) != 1U << 9)
        fail_statement(test, "MQTT-3.3.4-3", "without its Subscription Identifier");
    publish = take_publish(second, topic, TEXT("x"));
    if (publish.qos != 0 || publish.retain)
        fail(test, "granted QoS 0 without Retain As Published, delivered at QoS %u with RETAIN %d",
             publish.qos, publish.retain);
}

CASE(members_of_one_group_can_differ_in_qos, .v5 = "MQTT-4.8.2-3",
     .sends = "two members of one group, at QoS 0 and QoS 2; messages at QoS 2 until each has got "
              "one, at most 30",
     .allowed = "each gets its messages at its own QoS",
     .faults = "delivers_above_granted_qos delivers_below_granted_qos group_at_lowest_qos")
{
    need_shared(test);
    need_qos(test, 2);
    struct client *publisher = client_connected(test, "publisher");
    struct client *members[2];
    struct text topic = topic_of(test, "differ");
    for (unsigned i = 0; i < 2; i++) {
        members[i] = client_connected(test, "member");
        client_subscribe(members[i], shared_filter(test, "group", topic), i == 0 ? 0 : 2);
    }
    bool got[2] = {false, false};
    for (int n = 0; n < MESSAGES && !(got[0] && got[1]); n++) {
        client_publish(publisher, topic, TEXT("x"), 2, false);
        struct packet packet;
        bool closed = false;
        uint64_t end_ms = clock_ms() + test->time_limit_ms;
        unsigned i = 0;
        while (!receive(members[i], 5, &packet, &closed)) {
            if (closed || clock_ms() > end_ms)
                fail(test, "no member got message %d", n);
            i = 1 - i;
        }
        if (packet.type != PUBLISH || packet.qos != (i == 0 ? 0 : 2))
            fail(test, "the member at QoS %u got %s at QoS %u", i == 0 ? 0 : 2,
                 packet_name(packet.type), packet.qos);
        acknowledge(members[i], &packet);
        got[i] = true;
    }
}

CASE(shared_subscription_brings_no_retained_messages, .v5 = "MQTT-3.3.1-9",
     .sends = "a retained message; SUBSCRIBE to a $share filter with Retain Handling 0, new and "
              "again; then a live message",
     .allowed = "the live message only",
     .why =
         "5.0 section 4.8.2: none are sent to a session when it first subscribes; section 3.3.1.3 "
         "sends them when a Non-shared Subscription is made",
     .faults = "sends_retained_to_shared claims_subscription")
{
    need_shared(test);
    need_retain(test);
    need_qos(test, 1);
    struct client *client = client_connected(test, "client");
    struct text topic = topic_of(test, "retained"), filter = shared_filter(test, "group", topic);
    client_publish(client, topic, TEXT("kept"), 1, true);
    client_subscribe(client, filter, 1);
    client_subscribe(client, filter, 1);
    expect_quiet(client);
    client_publish(client, topic, TEXT("live"), 1, false);
    take_publish(client, topic, TEXT("live"));
}

CASE(shared_filters_match_like_others, .v5 = "MQTT-4.7.1-1 MQTT-4.7.1-2",
     .sends = "$share filters with +, #, and a first level that is empty; messages that match and "
              "messages that do not",
     .allowed = "those that match", .faults = "plus_matches_many hash_misses_parent never_delivers")
{
    need_shared(test);
    need_wildcard(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *plus = client_connected(test, "plus"), *hash = client_connected(test, "hash");
    client_subscribe(plus, shared_filter(test, "group", topic_of(test, "a/+")), 1);
    client_subscribe(hash, shared_filter(test, "group", topic_of(test, "a/b/#")), 1);
    client_publish(publisher, topic_of(test, "a"), TEXT("0"), 1, false);
    client_publish(publisher, topic_of(test, "a/b"), TEXT("1"), 1, false);
    client_publish(publisher, topic_of(test, "a/b/c"), TEXT("2"), 1, false);
    take_publish(plus, topic_of(test, "a/b"), TEXT("1"));
    take_publish(hash, topic_of(test, "a/b"), TEXT("1"));
    take_publish(hash, topic_of(test, "a/b/c"), TEXT("2"));
    expect_quiet(plus);
    expect_quiet(hash);
}

/* ---- What has to be refused ---- */

CASE(no_local_on_a_shared_subscription_is_refused, .v5 = "MQTT-3.8.3-4",
     .sends = "SUBSCRIBE to a $share filter with No Local, alone and behind a sound filter",
     .allowed = "the Network Connection is closed, with DISCONNECT 0x82",
     .faults = "accepts_no_local_on_share keeps_open")
{
    need_shared(test);
    struct text filter = shared_filter(test, "group", topic_of(test, "no_local"));
    for (unsigned first = 0; first < 2; first++) {
        struct client *client = client_connected(test, "client");
        struct packet subscribe = {.type = SUBSCRIBE, .packet_id = 5, .filter_count = 2 - first};
        subscribe.filters[0].filter = topic_of(test, "sound");
        subscribe.filters[1 - first] = (struct filter){filter, 1 | SUBSCRIBE_NO_LOCAL};
        client_send(client, &subscribe);
        struct packet answer;
        bool closed = false;
        if (!receive(client, test->time_limit_ms, &answer, &closed)) {
            if (!closed)
                fail(test, "No Local on a Shared Subscription was not answered");
            continue;
        }
        if (answer.type == SUBACK && answer.reason_codes.data[1 - first] < 0x80)
            fail(test, "No Local was granted on a Shared Subscription");
        if (answer.type == SUBACK)
            fail(test, "refused by SUBACK 0x%02X; a Protocol Error closes the Network Connection",
                 answer.reason_codes.data[1 - first]);
        if (answer.type == DISCONNECT && answer.reason_code != 0x82)
            warn_should(test, "MQTT-4.13.1-1", "DISCONNECT 0x%02X instead of 0x82",
                        answer.reason_code);
        expect_closed(client, 0);
    }
}

CASE(malformed_share_filters_are_refused, .v5 = "MQTT-4.8.2-1 MQTT-4.8.2-2",
     .sends = "SUBSCRIBE to $share filters without a name, without a filter, with + or # in the "
              "name, and with misplaced wildcards in the filter",
     .allowed = "SUBACK with a code that refuses, or the Network Connection is closed",
     .faults = "accepts_bad_share")
{
    static const char *const filters[] = {
        "$share/",    "$share//",    "$share//a",    "$share/g",      "$share/g/",
        "$share/+/a", "$share/g+/a", "$share/#/a",   "$share/g#/a",   "$share/#",
        "$share/+",   "$share/g/a#", "$share/g/#/a", "$share/g/a+/b",
    };
    need_shared(test);
    struct client *client = client_connected(test, "client");
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (client->connection == NULL) {
            struct packet connect = connect_of(client);
            client_connect_ok(client, &connect);
        }
        if (subscription_try(client, text_of(filters[i]), 0) == SUBSCRIPTION_GRANTED)
            fail(test, "\"%s\" was granted", filters[i]);
    }
}

/* ---- Members that leave ---- */

CASE(a_member_that_unsubscribes_gets_no_more, .v5 = "MQTT-3.10.4-2 MQTT-4.8.2-3",
     .sends = "two members; one sends UNSUBSCRIBE; ten messages; the other disconnects, a third "
              "comes; ten more",
     .allowed = "each message once, and none to those who left",
     .faults = "claims_unsubscription never_delivers")
{
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *first = client_connected(test, "first");
    struct client *second = client_connected(test, "second");
    struct text topic = topic_of(test, "leaves"), filter = shared_filter(test, "group", topic);
    client_subscribe(first, filter, 1);
    client_subscribe(second, filter, 1);
    client_unsubscribe(first, filter);
    unsigned copies[20] = {0};
    publish_numbers(publisher, topic, 0, 10, 1);
    take_from_all(&second, 1, copies, 10, 10);
    each_came(test, copies, 0, 10, 1);
    struct client *third = client_connected(test, "third");
    client_subscribe(third, filter, 1);
    client_disconnect(second);
    publish_numbers(publisher, topic, 10, 20, 1);
    take_from_all(&third, 1, copies, 20, 10);
    each_came(test, copies, 10, 20, 1);
    expect_quiet(first);
}

CASE(messages_for_an_absent_member_are_not_lost, .v5 = "MQTT-4.5.0-1 MQTT-4.8.2-3",
     .sends = "two members with stored sessions; one leaves; 30 messages at QoS 1; it comes back",
     .allowed = "each message once, to the one who stayed or to the one who came back",
     .faults = "shared_loses_for_absent shared_as_plain")
{
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *members[2];
    struct text topic = topic_of(test, "absent"), filter = shared_filter(test, "group", topic);
    for (unsigned i = 0; i < 2; i++) {
        members[i] = client_connected_stored(test, "member", 60);
        client_subscribe(members[i], filter, 1);
    }
    client_disconnect(members[0]);
    unsigned copies[MESSAGES] = {0};
    publish_numbers(publisher, topic, 0, MESSAGES, 1);
    client_resume(members[0], 60);
    take_from_all(members, 2, copies, MESSAGES, MESSAGES);
    each_came(test, copies, 0, MESSAGES, 1);
}

/* Two members with stored sessions, and a message that one of them has got and not acknowledged. */
struct begun {
    struct client *publisher, *holder, *other;
    struct text topic;
    struct packet publish;
};

static struct begun begin_shared(struct test *test, uint8_t qos)
{
    struct begun begun = {.publisher = client_connected(test, "publisher"),
                          .topic = topic_of(test, "begun")};
    struct client *members[2];
    need_shared(test);
    need_qos(test, qos);
    for (unsigned i = 0; i < 2; i++) {
        members[i] = client_connected_stored(test, "member", 60);
        client_subscribe(members[i], shared_filter(test, "group", begun.topic), qos);
    }
    client_publish(begun.publisher, begun.topic, TEXT("begun"), qos, false);
    uint64_t end_ms = clock_ms() + test->time_limit_ms;
    unsigned i = 0;
    bool closed = false;
    while (!receive(members[i], 5, &begun.publish, &closed)) {
        if (closed || clock_ms() > end_ms)
            fail_statement(test, "MQTT-4.5.0-1", "no member got the message");
        i = 1 - i;
    }
    if (begun.publish.type != PUBLISH || begun.publish.qos != qos)
        fail(test, "%s at QoS %u came", packet_name(begun.publish.type), begun.publish.qos);
    begun.holder = members[i];
    begun.other = members[1 - i];
    return begun;
}

CASE(begun_qos_2_delivery_is_completed_with_its_member, .v5 = "MQTT-4.8.2-4 MQTT-4.4.0-1",
     .sends =
         "a QoS 2 message to one of two members, who loses its connection before PUBREC, comes "
         "back, sends PUBREC, loses it again, and comes back",
     .allowed = "PUBLISH again with DUP, then PUBREL again; nothing for the other member",
     .faults = "shared_loses_begun shared_hands_over")
{
    struct begun begun = begin_shared(test, 2);
    client_drop(begun.holder);
    expect_quiet(begun.other);
    client_resume(begun.holder, 60);
    struct packet again = expect_publish(begun.holder, begun.topic, TEXT("begun"));
    if (!again.dup || again.packet_id != begun.publish.packet_id)
        fail_statement(test, "MQTT-4.4.0-1", "resent with DUP %d and identifier %u, not %u",
                       again.dup, again.packet_id, begun.publish.packet_id);
    client_send(begun.holder, &(struct packet){.type = PUBREC, .packet_id = again.packet_id});
    exchange_expect(begun.holder, PUBREL, again.packet_id);
    client_drop(begun.holder);
    client_resume(begun.holder, 60);
    exchange_expect(begun.holder, PUBREL, again.packet_id);
    client_send(begun.holder, &(struct packet){.type = PUBCOMP, .packet_id = again.packet_id});
    expect_quiet(begun.other);
}

CASE(begun_qos_2_delivery_ends_with_its_session, .v5 = "MQTT-4.8.2-5",
     .sends = "a QoS 2 message to one of two members, who loses its connection before PUBREC; its "
              "session is ended by Clean Start 1",
     .allowed = "nothing for the other member; new messages reach it",
     .faults = "shared_hands_over never_delivers")
{
    struct begun begun = begin_shared(test, 2);
    client_drop(begun.holder);
    struct packet connect = connect_of(begun.holder);
    client_connect_ok(begun.holder, &connect);
    expect_quiet(begun.holder);
    expect_quiet(begun.other);
    client_publish(begun.publisher, begun.topic, TEXT("new"), 2, false);
    take_publish(begun.other, begun.topic, TEXT("new"));
}

CASE(refused_message_goes_to_nobody_else, .v5 = "MQTT-4.8.2-6 MQTT-4.4.0-2",
     .sends = "a QoS 1 message that its member answers with PUBACK 0x83; then the member leaves, "
              "comes back, and unsubscribes",
     .allowed = "nobody gets the message again",
     .faults = "shared_passes_refused_on resends_refused")
{
    struct begun begun = begin_shared(test, 1);
    client_send(begun.holder, &(struct packet){.type = PUBACK,
                                               .packet_id = begun.publish.packet_id,
                                               .reason_code = REFUSED_BY_RECEIVER});
    expect_alive(begun.holder);
    expect_quiet(begun.other);
    client_disconnect(begun.holder);
    client_resume(begun.holder, 60);
    expect_quiet(begun.holder);
    client_unsubscribe(begun.holder, shared_filter(test, "group", begun.topic));
    expect_quiet(begun.other);
}

CASE(refused_qos_2_message_goes_to_nobody_else, .v5 = "MQTT-4.8.2-6 MQTT-4.4.0-2",
     .sends = "a QoS 2 message that its member answers with PUBREC 0x83; then the member's session "
              "ends",
     .allowed = "no PUBREL, and nobody gets the message again",
     .faults = "shared_passes_refused_on pubrel_after_error_pubrec")
{
    struct begun begun = begin_shared(test, 2);
    client_send(begun.holder, &(struct packet){.type = PUBREC,
                                               .packet_id = begun.publish.packet_id,
                                               .reason_code = REFUSED_BY_RECEIVER});
    expect_quiet(begun.holder);
    expect_quiet(begun.other);
    client_disconnect(begun.holder);
    struct packet connect = connect_of(begun.holder);
    client_connect_ok(begun.holder, &connect);
    expect_quiet(begun.other);
}

CASE(begun_qos_1_delivery_is_handed_on_or_kept, .v5 = "MQTT-4.8.2-3 MQTT-4.4.0-1",
     .sends = "a QoS 1 message to one of two members, who loses its connection before PUBACK; it "
              "comes back, and its session ends",
     .allowed = "the message again for the one who came back, or for the other as soon as the "
                "connection was lost; when the session ended it should go to the other",
     .faults = "forgets_unacknowledged")
{
    struct begun begun = begin_shared(test, 1);
    client_drop(begun.holder);
    struct packet packet;
    bool closed = false;
    if (receive(begun.other, test->quiet_ms, &packet, &closed)) {
        if (packet.type != PUBLISH || !text_equal(packet.payload, TEXT("begun")))
            fail(test, "%s came to the other member", packet_name(packet.type));
        acknowledge(begun.other, &packet);
        return;
    }
    client_resume(begun.holder, 60);
    packet = expect_publish(begun.holder, begun.topic, TEXT("begun"));
    if (!packet.dup || packet.packet_id != begun.publish.packet_id)
        fail_statement(test, "MQTT-4.4.0-1", "resent with DUP %d and identifier %u, not %u",
                       packet.dup, packet.packet_id, begun.publish.packet_id);
    client_drop(begun.holder);
    struct packet connect = connect_of(begun.holder);
    client_connect_ok(begun.holder, &connect);
    if (!receive(begun.other, test->quiet_ms, &packet, &closed))
        warn_should(test, "MQTT-4.8.2-5",
                    "an unacknowledged QoS 1 message was not sent to another member when the "
                    "session of the first ended");
}

CASE(unsent_messages_of_a_member_whose_session_ends, .v5 = "MQTT-4.8.2-3 MQTT-4.5.0-1",
     .sends = "a member with Receive Maximum 1 that acknowledges nothing gets five messages at "
              "QoS 1; a second member comes, and the session of the first ends",
     .allowed = "what was not sent should go to the second; new messages have to",
     .faults = "never_delivers delivers_twice")
{
    enum { WAITING = 5 };
    need_shared(test);
    need_qos(test, 1);
    struct client *publisher = client_connected(test, "publisher");
    struct client *first = client_new(test, "first");
    struct client *second = client_connected(test, "second");
    struct text topic = topic_of(test, "unsent"), filter = shared_filter(test, "group", topic);
    struct packet connect = connect_of(first);
    property_add(&connect.properties, RECEIVE_MAXIMUM, 1);
    client_connect_ok(first, &connect);
    client_subscribe(first, filter, 1);
    publish_numbers(publisher, topic, 0, WAITING, 1);
    expect_publish(first, topic, TEXT("0"));
    client_subscribe(second, filter, 1);
    client_disconnect(first);
    unsigned copies[WAITING + 1] = {0};
    take_from_all(&second, 1, copies, WAITING, 0);
    unsigned lost = 0;
    for (unsigned i = 1; i < WAITING; i++) {
        if (copies[i] > 1)
            fail(test, "message %u came %u times", i, copies[i]);
        lost += copies[i] == 0;
    }
    if (lost > 0)
        warn_should(test, "MQTT-4.8.2-5",
                    "%u of %u messages that had not been sent were lost with the session", lost,
                    WAITING - 1);
    publish_numbers(publisher, topic, WAITING, WAITING + 1, 1);
    take_from_all(&second, 1, copies, WAITING + 1, 1);
    each_came(test, copies, WAITING, WAITING + 1, 1);
}
