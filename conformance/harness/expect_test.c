/* What the expectations take, refuse, and say about it. */
#include "conformance/harness/script_testing.h"

#define ACCEPTED "<10 >2003000000 "

static struct client *listener(struct test *test)
{
    return client_connected(test, "a");
}

/* ---- expect ---- */

static void wants_pingresp(struct test *test)
{
    expect_alive(listener(test));
}

static void the_next_packet_has_to_be_the_one(void **state)
{
    script_judge(ACCEPTED "<c0 >d000 eof", VERSION_5, wants_pingresp, VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED "<c0 >300400017400 >d000 eof", VERSION_5, wants_pingresp, VERDICT_FAILED,
                 "MQTT-1.5.4-1",
                 "the server sent PUBLISH QoS 0, topic \"t\", 0 bytes; PINGRESP was owed");
}

static void nothing_is_not_what_was_owed(void **state)
{
    script_time_limit_ms = 200;
    script_judge(ACCEPTED "<c0 eof", VERSION_5, wants_pingresp, VERDICT_FAILED, "MQTT-1.5.4-1",
                 "nothing came within 200 ms; PINGRESP was owed");
    script_judge("<10 >20020000 <c0 eof", VERSION_311, wants_pingresp, VERDICT_FAILED,
                 "MQTT-1.5.3-1", "nothing came");
    script_time_limit_ms = SCRIPT_TIME_LIMIT_MS;
}

static void an_end_is_told_from_silence(void **state)
{
    script_judge(ACCEPTED "<c0 close", VERSION_5, wants_pingresp, VERDICT_FAILED, NULL,
                 "the server closed the connection; PINGRESP was owed");
    script_judge(ACCEPTED "<c0 reset", VERSION_5, wants_pingresp, VERDICT_FAILED, NULL,
                 "the server reset the connection; PINGRESP was owed");
    script_judge(ACCEPTED "<c0 >e0018b close", VERSION_5, wants_pingresp, VERDICT_FAILED, NULL,
                 "the server sent DISCONNECT 0x8B Server shutting down; PINGRESP was owed");
}

static void a_malformed_packet_fails_under_its_own_statement(void **state)
{
    script_judge(ACCEPTED "<c0 >30050002c0af00 eof", VERSION_5, wants_pingresp, VERDICT_FAILED,
                 "MQTT-1.5.4-1", "Topic Name is not well-formed UTF-8 (at byte 4)");
    script_judge(ACCEPTED "<c0 >3600 eof", VERSION_5, wants_pingresp, VERDICT_FAILED,
                 "MQTT-3.3.1-4", "QoS 3");
    script_judge(ACCEPTED "<c0 >10 eof", VERSION_5, wants_pingresp, VERDICT_FAILED,
                 "5.0 section 2.1.2", "CONNECT");
}

static void packets_come_in_any_pieces(void **state)
{
    script_judge("<10 >20 >03 >00 >0000 <c0 >d0 >00 eof", VERSION_5, wants_pingresp, VERDICT_PASSED,
                 NULL, NULL);
}

/* ---- expect_publish, acknowledge ---- */

static void wants_a_publish(struct test *test)
{
    take_publish(listener(test), TEXT("t"), TEXT("x"));
}

static void a_publish_is_known_by_topic_and_payload(void **state)
{
    script_judge(ACCEPTED ">30050001740078 eof", VERSION_5, wants_a_publish, VERDICT_PASSED, NULL,
                 NULL);
    script_judge(ACCEPTED ">30050001740079 eof", VERSION_5, wants_a_publish, VERDICT_FAILED, NULL,
                 "1 byte \"y\"; PUBLISH with topic \"t\", 1 byte \"x\" was owed");
    script_judge(ACCEPTED ">30050001750078 eof", VERSION_5, wants_a_publish, VERDICT_FAILED, NULL,
                 "topic \"u\"");
}

static void a_publish_is_acknowledged_as_its_qos_wants(void **state)
{
    script_judge(ACCEPTED ">3207000174000500 >78 <40 eof", VERSION_5, wants_a_publish,
                 VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED ">340700017400050078 <50 >62020005 <70 eof", VERSION_5, wants_a_publish,
                 VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED ">340700017400050078 <50 close", VERSION_5, wants_a_publish,
                 VERDICT_FAILED, NULL, "PUBREL with Packet Identifier 5 was owed");
    script_judge(ACCEPTED ">340700017400050078 <50 >6203000592 eof", VERSION_5, wants_a_publish,
                 VERDICT_FAILED, NULL, "0x92 Packet Identifier not found");
}

/* A client that publishes and subscribes gets both kinds of packets in any order. */
static void publishes_to_itself(struct test *test)
{
    struct client *client = listener(test);
    client_publish(client, TEXT("t"), TEXT("x"), 1, false);
    take_publish(client, TEXT("t"), TEXT("x"));
    client_publish(client, TEXT("t"), TEXT("x"), 2, false);
    take_publish(client, TEXT("t"), TEXT("x"));
    expect_quiet(client);
}

static void exchanges_wait_for_their_own_answers(void **state)
{
    script_judge(ACCEPTED "<32 >30050001740078 >40020001"
                          " <34 >50020002 <62 >30050001740078 >70020002 <c0 >d000 eof",
                 VERSION_5, publishes_to_itself, VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED "<32 >40020001 >30050001740078"
                          " <34 >50020002 >30050001740078 <62 >70020002 <c0 >d000 eof",
                 VERSION_5, publishes_to_itself, VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED "<32 >4003000187 eof", VERSION_5, publishes_to_itself, VERDICT_FAILED,
                 NULL, "PUBACK 0x87 Not authorized for Packet Identifier 1; success was owed");
    script_judge(ACCEPTED "<32 >30050001740078 close", VERSION_5, publishes_to_itself,
                 VERDICT_FAILED, NULL, "closed the connection after PUBLISH");
}

/* ---- expect_closed ---- */

static void wants_the_end(struct test *test)
{
    expect_closed(listener(test), 0x82);
}

static void wants_the_end_before_connack(struct test *test)
{
    struct client *client = client_new(test, "a");
    client_open(client);
    client_send_hex(client, "c000");
    expect_closed(client, 0x82);
}

static unsigned remarks(const char *words, void (*run)(struct test *test))
{
    unsigned count = 0;
    struct outcome outcome = script_run(words, VERSION_5, run);
    assert_int_equal(outcome.verdict, VERDICT_PASSED);
    for (struct remark *remark = outcome.remarks; remark; remark = remark->next) {
        assert_false(remark->debatable);
        assert_string_equal(remark->statement, "MQTT-1.5.4-1");
        count++;
    }
    outcome_free(&outcome);
    return count;
}

static void every_way_to_close_is_a_close(void **state)
{
    assert_int_equal(remarks(ACCEPTED "close", wants_the_end), 0);
    assert_int_equal(remarks(ACCEPTED "reset", wants_the_end), 0);
    assert_int_equal(remarks(ACCEPTED ">e00182 close", wants_the_end), 0);
    assert_int_equal(remarks(ACCEPTED ">300400017400 >e00182 reset", wants_the_end), 0);
    assert_int_equal(remarks("# >2003008200 close", wants_the_end_before_connack), 0);
    script_judge("# close", VERSION_311, wants_the_end_before_connack, VERDICT_PASSED, NULL, NULL);
}

static void another_error_is_a_remark(void **state)
{
    assert_int_equal(remarks(ACCEPTED ">e00181 close", wants_the_end), 1);
    assert_int_equal(remarks("# >2003008100 close", wants_the_end_before_connack), 1);
}

static void what_does_not_close_fails(void **state)
{
    script_time_limit_ms = 200;
    script_judge(ACCEPTED "eof", VERSION_5, wants_the_end, VERDICT_FAILED, NULL,
                 "still open after 200 ms");
    script_judge(ACCEPTED ">e00182 eof", VERSION_5, wants_the_end, VERDICT_FAILED, NULL,
                 "still open after 200 ms");
    script_time_limit_ms = SCRIPT_TIME_LIMIT_MS;
    script_judge(ACCEPTED ">e000 close", VERSION_5, wants_the_end, VERDICT_FAILED, NULL,
                 "0x00 Normal disconnection; it had to close with an error");
    script_judge("# >2003000000 close", VERSION_5, wants_the_end_before_connack, VERDICT_FAILED,
                 NULL, "CONNACK 0x00");
}

/* ---- expect_quiet, receive ---- */

static void wants_quiet(struct test *test)
{
    expect_quiet(listener(test));
}

static void quiet_is_silence_and_then_life(void **state)
{
    script_judge(ACCEPTED "<c0 >d000 eof", VERSION_5, wants_quiet, VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >2003000000300400017400 eof", VERSION_5, wants_quiet, VERDICT_FAILED, NULL,
                 "nothing was owed");
    script_judge(ACCEPTED "close", VERSION_5, wants_quiet, VERDICT_FAILED, NULL,
                 "it had to stay open");
    script_judge(ACCEPTED "<c0 >300400017400 >d000 eof", VERSION_5, wants_quiet, VERDICT_FAILED,
                 NULL, "PINGRESP was owed");
}

static void receives_one_and_the_end(struct test *test)
{
    struct client *client = listener(test);
    struct packet packet;
    bool closed;
    if (!receive(client, test->time_limit_ms, &packet, &closed) || packet.type != PUBLISH || closed)
        fail(test, "no PUBLISH");
    if (receive(client, test->time_limit_ms, &packet, &closed) || !closed)
        fail(test, "no end");
}

static void receives_nothing(struct test *test)
{
    struct packet packet;
    bool closed;
    if (receive(listener(test), 50, &packet, &closed) || closed)
        fail(test, "something came");
}

static void receive_judges_nothing(void **state)
{
    script_judge(ACCEPTED ">300400017400 close", VERSION_5, receives_one_and_the_end,
                 VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED "eof", VERSION_5, receives_nothing, VERDICT_PASSED, NULL, NULL);
}

/* ---- Subscribing and connecting ---- */

static void subscribes(struct test *test)
{
    client_subscribe(listener(test), TEXT("t"), 1);
}

static void a_subscription_has_to_be_granted(void **state)
{
    script_judge(ACCEPTED "<82 >900400010001 eof", VERSION_5, subscribes, VERDICT_PASSED, NULL,
                 NULL);
    script_judge(ACCEPTED "<82 >300400017400 >900400010001 eof", VERSION_5, subscribes,
                 VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED "<82 >900400010000 eof", VERSION_5, subscribes, VERDICT_NOT_APPLICABLE,
                 "", "grants QoS 0 where 1 is asked for");
    script_judge(ACCEPTED "<82 >900400010002 eof", VERSION_5, subscribes, VERDICT_FAILED,
                 "MQTT-3.8.4-7", NULL);
    script_judge(ACCEPTED "<82 >900400010087 eof", VERSION_5, subscribes, VERDICT_FAILED, NULL,
                 "0x87 Not authorized");
}

static void a_sound_connect_has_to_be_accepted(void **state)
{
    script_judge("<10 >2003008700 close", VERSION_5, subscribes, VERDICT_FAILED, "MQTT-3.1.4-5",
                 "0x87 Not authorized");
    script_judge("<10 >20020005 close", VERSION_311, subscribes, VERDICT_FAILED, "MQTT-3.1.4-4",
                 "0x05 Not authorized");
    script_judge("<10 close", VERSION_311, subscribes, VERDICT_FAILED, NULL, "CONNACK was owed");
}

/* A server that knows no level 6 can't know the form of its CONNACK either. */
static void connects_at_level_6(struct test *test)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client);
    connect.protocol_level = 6;
    if (client_connect(client, &connect)->reason_code == 0)
        fail(test, "accepted");
    expect_closed(client, 0);
}

static void a_connack_to_an_unknown_level_has_any_form(void **state)
{
    script_judge("<10 >20020001 close", VERSION_5, connects_at_level_6, VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >2003008400 close", VERSION_5, connects_at_level_6, VERDICT_PASSED, NULL,
                 NULL);
    script_judge("<10 >2003008400 close", VERSION_311, connects_at_level_6, VERDICT_PASSED, NULL,
                 NULL);
    script_judge("<10 >20020001 close", VERSION_5, subscribes, VERDICT_FAILED, "MQTT-3.2.2-8",
                 NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_packet_has_to_be_the_one),
        cmocka_unit_test(nothing_is_not_what_was_owed),
        cmocka_unit_test(an_end_is_told_from_silence),
        cmocka_unit_test(a_malformed_packet_fails_under_its_own_statement),
        cmocka_unit_test(packets_come_in_any_pieces),
        cmocka_unit_test(a_publish_is_known_by_topic_and_payload),
        cmocka_unit_test(a_publish_is_acknowledged_as_its_qos_wants),
        cmocka_unit_test(exchanges_wait_for_their_own_answers),
        cmocka_unit_test(every_way_to_close_is_a_close),
        cmocka_unit_test(another_error_is_a_remark),
        cmocka_unit_test(what_does_not_close_fails),
        cmocka_unit_test(quiet_is_silence_and_then_life),
        cmocka_unit_test(receive_judges_nothing),
        cmocka_unit_test(a_subscription_has_to_be_granted),
        cmocka_unit_test(a_sound_connect_has_to_be_accepted),
        cmocka_unit_test(a_connack_to_an_unknown_level_has_any_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
