/* Servers that break what holds on every connection, each on its own, and some that only seem to.
 */
#include "conformance/harness/script_testing.h"

/* The beginning of most scripts: CONNECT, accepted. */
#define ACCEPTED_5 "<10 >2003000000 "
#define ACCEPTED_311 "<10 >20020000 "

/* ---- What the clients do ---- */

/* Takes whatever comes until the server has closed the connection. */
static void listen_for_all(struct client *client)
{
    struct packet packet;
    bool closed;
    while (receive(client, client->test->time_limit_ms, &packet, &closed))
        ;
}

static void connects(struct test *test)
{
    listen_for_all(client_connected(test, "a"));
}

static void connects_and_closes(struct test *test)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client);
    client_connect(client, &connect);
    expect_closed(client, 0);
}

static void connects_with(struct test *test, enum property_id id, uint32_t number)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client);
    property_add(&connect.properties, id, number);
    client_connect(client, &connect);
    listen_for_all(client);
}

static void connects_with_a_maximum_packet_size(struct test *test)
{
    connects_with(test, MAXIMUM_PACKET_SIZE, 8);
}

static void connects_with_receive_maximum_1(struct test *test)
{
    connects_with(test, RECEIVE_MAXIMUM, 1);
}

static void connects_with_two_aliases(struct test *test)
{
    connects_with(test, TOPIC_ALIAS_MAXIMUM, 2);
}

static void connects_without_problem_information(struct test *test)
{
    connects_with(test, REQUEST_PROBLEM_INFORMATION, 0);
}

static void connects_with_an_empty_id(struct test *test)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client);
    connect.client_id = TEXT("");
    client_connect(client, &connect);
}

static void connects_with_method_m(struct test *test)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client);
    property_add_text(&connect.properties, AUTHENTICATION_METHOD, TEXT("m"));
    client_open(client);
    client_send(client, &connect);
    listen_for_all(client);
}

static void resumes(struct test *test)
{
    struct client *client = client_new(test, "a");
    client_resume(client, 0);
    listen_for_all(client);
}

static void publishes_at_qos_1(struct test *test)
{
    struct client *client = client_connected(test, "a");
    client_publish_start(client, &(struct packet){.topic = TEXT("t"), .qos = 1});
    listen_for_all(client);
}

static void publishes_at_qos_2(struct test *test)
{
    struct client *client = client_connected(test, "a");
    client_publish_start(client, &(struct packet){.topic = TEXT("t"), .qos = 2});
    listen_for_all(client);
}

static void subscribes_to_two(struct test *test)
{
    struct client *client = client_connected(test, "a");
    struct packet subscribe = {.filters = {{TEXT("a"), 0}, {TEXT("b"), 0}}, .filter_count = 2};
    client_subscribe_raw(client, &subscribe);
}

static void unsubscribes(struct test *test)
{
    client_unsubscribe(client_connected(test, "a"), TEXT("a"));
}

/* Acknowledges each PUBLISH with PUBACK or PUBREC, and each PUBREL with PUBCOMP. */
static void acknowledges(struct test *test)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client), packet;
    bool closed;
    if (client->version == VERSION_5)
        property_add(&connect.properties, RECEIVE_MAXIMUM, 1);
    client_connect_ok(client, &connect);
    while (receive(client, test->time_limit_ms, &packet, &closed)) {
        struct packet answer = {.packet_id = packet.packet_id, .omit_reason_code = true};
        answer.type = packet.type == PUBREL ? PUBCOMP : packet.qos == 1 ? PUBACK : PUBREC;
        client_send(client, &answer);
    }
}

static void sends_something_malformed(struct test *test)
{
    struct client *client = client_connected(test, "a");
    client_send_hex(client, "36 03 0001 74");
    listen_for_all(client);
}

static void pings(struct test *test)
{
    struct client *client = client_connected(test, "a");
    expect_alive(client);
    listen_for_all(client);
}

/* ---- Beginnings and ends ---- */

static void packets_before_connack(void **state)
{
    script_judge("<10 >d000 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-3.2.0-1", "PINGRESP");
    script_judge("<10 >30030001740a eof", VERSION_311, connects, VERDICT_FAILED, "MQTT-3.2.0-1",
                 "it had sent no CONNACK before");
    script_judge("<10 >e000 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-3.14.0-1", NULL);
}

static void second_connack(void **state)
{
    script_judge(ACCEPTED_5 ">2003000000 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-3.2.0-2",
                 NULL);
    script_judge(ACCEPTED_311 ">20020000 eof", VERSION_311, connects, VERDICT_FAILED,
                 "3.1.1 section 3.2", NULL);
}

static void session_present_after_clean_start(void **state)
{
    script_judge("<10 >2003010000 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-3.2.2-2", NULL);
    script_judge("<10 >20020100 eof", VERSION_311, connects, VERDICT_FAILED, "MQTT-3.2.2-1", NULL);
}

static void packets_after_a_refusal(void **state)
{
    script_judge("<10 >2003008700 >d000 eof", VERSION_5, connects_and_closes, VERDICT_FAILED,
                 "MQTT-3.2.2-7", NULL);
    script_judge("<10 >20020005 >d000 eof", VERSION_311, connects_and_closes, VERDICT_FAILED,
                 "MQTT-3.2.2-5", NULL);
    script_judge("<10 >2003008700 close", VERSION_5, connects_and_closes, VERDICT_PASSED, NULL,
                 NULL);
}

static void packets_after_disconnect(void **state)
{
    script_judge(ACCEPTED_5 ">e0018b >30040001740061 eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-3.14.4-1", NULL);
    script_judge(ACCEPTED_5 ">e0018b close", VERSION_5, connects, VERDICT_PASSED, NULL, NULL);
}

static void an_empty_client_id_without_an_assigned_one(void **state)
{
    script_judge("<10 >2003000000 eof", VERSION_5, connects_with_an_empty_id, VERDICT_FAILED,
                 "MQTT-3.2.2-16", NULL);
    script_judge("<10 >20070000041200017a close", VERSION_5, connects_with_an_empty_id,
                 VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >20020000 close", VERSION_311, connects_with_an_empty_id, VERDICT_PASSED,
                 NULL, NULL);
}

static void authentication_methods(void **state)
{
    script_judge("<10 >20070000041500016d eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-4.12.0-6", NULL);
    script_judge("<10 >f00618041500016d eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-4.12.0-6",
                 NULL);
    script_judge("<10 >f00618041500016e eof", VERSION_5, connects_with_method_m, VERDICT_FAILED,
                 "MQTT-4.12.0-5", NULL);
    script_judge("<10 >f00618041500016d >2003000000 eof", VERSION_5, connects_with_method_m,
                 VERDICT_FAILED, "MQTT-4.12.0-5", NULL);
    script_judge("<10 >f00618041500016d >20070000041500016d close", VERSION_5,
                 connects_with_method_m, VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >2003008c00 close", VERSION_5, connects_with_method_m, VERDICT_PASSED, NULL,
                 NULL);
}

static void response_information_unasked(void **state)
{
    script_judge("<10 >20070000041a00017a eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-3.1.2-28", NULL);
}

/* ---- Limits ---- */

static void packets_above_maximum_packet_size(void **state)
{
    script_judge("<10 >2003000000 >3006000174006162 close", VERSION_5,
                 connects_with_a_maximum_packet_size, VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >2003000000 >3007000174006162 >63 eof", VERSION_5,
                 connects_with_a_maximum_packet_size, VERDICT_FAILED, "MQTT-3.1.2-24",
                 "the server sent a packet of 9 bytes, with Maximum Packet Size 8");
    /* it is known before the packet is all there */
    script_judge("<10 >2003000000 >30ff7f0001 eof", VERSION_5, connects_with_a_maximum_packet_size,
                 VERDICT_FAILED, "MQTT-3.1.2-24", NULL);
}

static void more_publishes_than_receive_maximum(void **state)
{
    script_judge("<10 >2003000000 >3206000174000100 >3206000174000200 eof", VERSION_5,
                 connects_with_receive_maximum_1, VERDICT_FAILED, "MQTT-3.3.4-9",
                 "2 messages are not acknowledged, with Receive Maximum 1");
    script_judge("<10 >2003000000 >3206000174000100 <40 >3206000174000200 <40 close", VERSION_5,
                 acknowledges, VERDICT_PASSED, NULL, NULL);
    /* at QoS 2 a message counts until PUBCOMP */
    script_judge("<10 >2003000000 >3406000174000100 <50 >3206000174000200 eof", VERSION_5,
                 acknowledges, VERDICT_FAILED, "MQTT-3.3.4-9", NULL);
    script_judge("<10 >2003000000 >3406000174000100 <50 >62020001 <70 >3206000174000200 <40 close",
                 VERSION_5, acknowledges, VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED_5 ">3007000174032300 >01 eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-3.1.2-27", NULL);
    script_judge("<10 >2003000000 >3007000174032300 >03 eof", VERSION_5, connects_with_two_aliases,
                 VERDICT_FAILED, "MQTT-3.3.2-11", NULL);
    script_judge("<10 >2003000000 >30060000032300 >02 eof", VERSION_5, connects_with_two_aliases,
                 VERDICT_FAILED, "5.0 section 3.3.4", NULL);
    script_judge("<10 >2003000000 >3007000174032300 >02 >30060000032300 >02 close", VERSION_5,
                 connects_with_two_aliases, VERDICT_PASSED, NULL, NULL);
}

static void topic_aliases(void **state)
{
    script_judge(ACCEPTED_5 ">300700017403230001 eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-3.1.2-27", NULL);
    script_judge("<10 >2003000000 >300700017403230003 eof", VERSION_5, connects_with_two_aliases,
                 VERDICT_FAILED, "MQTT-3.3.2-11", NULL);
    script_judge("<10 >2003000000 >3006000003230002 eof", VERSION_5, connects_with_two_aliases,
                 VERDICT_FAILED, "5.0 section 3.3.4", NULL);
    script_judge("<10 >2003000000 >300700017403230002 >3006000003230002 close", VERSION_5,
                 connects_with_two_aliases, VERDICT_PASSED, NULL, NULL);
}

static void problem_information_unwanted(void **state)
{
    script_judge("<10 >2003000000 >d000 eof", VERSION_5, connects_without_problem_information,
                 VERDICT_FAILED, "5.0 section 3.13", NULL);
    script_judge("<10 >2003000000 >90080001041f00017800 eof", VERSION_5,
                 connects_without_problem_information, VERDICT_FAILED, "MQTT-3.1.2-29", NULL);
    script_judge("<10 >20070000041f000178 >e0068b041f000178 close", VERSION_5,
                 connects_without_problem_information, VERDICT_PASSED, NULL, NULL);
}

/* ---- Packet identifiers ---- */

static void a_packet_identifier_in_use(void **state)
{
    script_judge(ACCEPTED_5 ">3206000174000100 >3206000174000100 eof", VERSION_5, connects,
                 VERDICT_FAILED, "MQTT-2.2.1-4", NULL);
    script_judge(ACCEPTED_311 ">32050001740001 >34050001740001 eof", VERSION_311, connects,
                 VERDICT_FAILED, "MQTT-2.3.1-4", NULL);
    script_judge("<10 >20020000 >32050001740001 <40 >32050001740001 <40 close", VERSION_311,
                 acknowledges, VERDICT_PASSED, NULL, NULL);
}

static void publishes_sent_again(void **state)
{
    script_judge(ACCEPTED_5 ">3206000174000100 >3a06000174000100 eof", VERSION_5, connects,
                 VERDICT_FAILED, "MQTT-4.4.0-1", NULL);
    /* 3.1.1 does not forbid it */
    script_judge(ACCEPTED_311 ">32050001740001 >3a050001740001 close", VERSION_311, connects,
                 VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED_5 ">3a06000174000100 eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-3.3.1-3", NULL);
    script_judge("<10 >2003010000 >3a06000174000100 close", VERSION_5, resumes, VERDICT_PASSED,
                 NULL, NULL);
}

static void answers_to_nothing(void **state)
{
    script_judge(ACCEPTED_5 ">40020001 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-2.2.1-5",
                 NULL);
    script_judge(ACCEPTED_311 ">40020001 eof", VERSION_311, connects, VERDICT_FAILED,
                 "MQTT-2.3.1-6", NULL);
    script_judge(ACCEPTED_5 ">50020001 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-2.2.1-5",
                 NULL);
    script_judge(ACCEPTED_5 ">62020001 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-2.2.1-5",
                 NULL);
    script_judge(ACCEPTED_5 ">70020001 eof", VERSION_5, connects, VERDICT_FAILED, "MQTT-2.2.1-5",
                 NULL);
    script_judge(ACCEPTED_311 ">9003000100 eof", VERSION_311, connects, VERDICT_FAILED,
                 "MQTT-3.8.4-2", NULL);
    script_judge(ACCEPTED_5 ">b00400010000 eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-3.10.4-5", NULL);
    script_judge(ACCEPTED_311 ">b0020001 eof", VERSION_311, connects, VERDICT_FAILED,
                 "MQTT-3.10.4-4", NULL);
    script_judge(ACCEPTED_311 "<c0 >d000 >d000 eof", VERSION_311, pings, VERDICT_FAILED,
                 "3.1.1 section 3.13", NULL);
}

/* A session from before brings identifiers that are not known here. */
static void answers_to_what_came_before(void **state)
{
    script_judge("<10 >2003010000 >62020001 close", VERSION_5, resumes, VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >20020100 >70020001 close", VERSION_311, resumes, VERDICT_PASSED, NULL, NULL);
    script_judge("<10 >2003000000 >62020001 eof", VERSION_5, resumes, VERDICT_FAILED,
                 "MQTT-2.2.1-5", NULL);
}

static void answers_that_do_not_fit_the_qos(void **state)
{
    script_judge(ACCEPTED_5 "<32 >40020001 >40020001 eof", VERSION_5, publishes_at_qos_1,
                 VERDICT_FAILED, "MQTT-2.2.1-5", NULL);
    script_judge(ACCEPTED_5 "<32 >40020001 close", VERSION_5, publishes_at_qos_1, VERDICT_PASSED,
                 NULL, NULL);
    script_judge(ACCEPTED_5 "<32 >50020001 eof", VERSION_5, publishes_at_qos_1, VERDICT_FAILED,
                 "MQTT-3.3.4-1", "another QoS");
    script_judge(ACCEPTED_311 "<34 >40020001 eof", VERSION_311, publishes_at_qos_2, VERDICT_FAILED,
                 "MQTT-3.3.4-1", "another QoS");
    script_judge(ACCEPTED_311 "<34 >50020001 >70020001 eof", VERSION_311, publishes_at_qos_2,
                 VERDICT_FAILED, "3.1.1 section 3.7", NULL);
}

static void pubrel_before_pubrec(void **state)
{
    script_judge(ACCEPTED_5 ">3406000174000100 >62020001 eof", VERSION_5, connects, VERDICT_FAILED,
                 "MQTT-4.3.3-3", NULL);
    script_judge(ACCEPTED_311 ">34050001740001 >62020001 eof", VERSION_311, connects,
                 VERDICT_FAILED, "MQTT-4.3.3-1", NULL);
}

static void codes_that_are_too_few_or_too_many(void **state)
{
    script_judge(ACCEPTED_5 "<82 >900400010000 eof", VERSION_5, subscribes_to_two, VERDICT_FAILED,
                 "MQTT-3.8.4-6", "1 codes for 2 Topic Filters");
    script_judge(ACCEPTED_311 "<82 >90050001000000 eof", VERSION_311, subscribes_to_two,
                 VERDICT_FAILED, "MQTT-3.8.4-5", NULL);
    script_judge(ACCEPTED_311 "<82 >900400010000 close", VERSION_311, subscribes_to_two,
                 VERDICT_PASSED, NULL, NULL);
    script_judge(ACCEPTED_5 "<a2 >b0050001000000 eof", VERSION_5, unsubscribes, VERDICT_FAILED,
                 "MQTT-3.11.3-2", NULL);
    script_judge(ACCEPTED_311 "<a2 >b0020001 close", VERSION_311, unsubscribes, VERDICT_PASSED,
                 NULL, NULL);
}

/* After what is malformed nobody can say what a server has understood. */
static void nothing_is_certain_after_malformed_packets(void **state)
{
    script_judge(ACCEPTED_5 "# >40020001 close", VERSION_5, sends_something_malformed,
                 VERDICT_PASSED, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_before_connack),
        cmocka_unit_test(second_connack),
        cmocka_unit_test(session_present_after_clean_start),
        cmocka_unit_test(packets_after_a_refusal),
        cmocka_unit_test(packets_after_disconnect),
        cmocka_unit_test(an_empty_client_id_without_an_assigned_one),
        cmocka_unit_test(authentication_methods),
        cmocka_unit_test(response_information_unasked),
        cmocka_unit_test(packets_above_maximum_packet_size),
        cmocka_unit_test(more_publishes_than_receive_maximum),
        cmocka_unit_test(topic_aliases),
        cmocka_unit_test(problem_information_unwanted),
        cmocka_unit_test(a_packet_identifier_in_use),
        cmocka_unit_test(publishes_sent_again),
        cmocka_unit_test(answers_to_nothing),
        cmocka_unit_test(answers_to_what_came_before),
        cmocka_unit_test(answers_that_do_not_fit_the_qos),
        cmocka_unit_test(pubrel_before_pubrec),
        cmocka_unit_test(codes_that_are_too_few_or_too_many),
        cmocka_unit_test(nothing_is_certain_after_malformed_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
