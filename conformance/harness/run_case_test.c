/* How a case begins and ends: verdicts, limits, outages, what is cleaned up, what is traced. */
#include "conformance/harness/script_testing.h"

#include <string.h>

#define ACCEPTED "<10 >2003000000 "

/* ---- Verdicts ---- */

static void does_nothing(struct test *test)
{
}

static void fails_a_statement(struct test *test)
{
    fail_statement(test, "MQTT-3.3.4-9", "the server sent %u", 3u);
}

static void is_not_applicable(struct test *test)
{
    static const struct server_features none = {.maximum_qos = 1};
    test->server = &none;
    need_qos(test, 1);
    need_qos(test, 2);
}

static void needs_websocket(struct test *test)
{
    need_websocket(test);
}

static void remarks_twice(struct test *test)
{
    warn_should(test, NULL, "first");
    warn_debatable(test, "MQTT-3.1.0-1", "second");
}

static void a_verdict_is_the_first_that_is_said(void **state)
{
    script_judge("", VERSION_5, does_nothing, VERDICT_PASSED, "", NULL);
    script_judge("", VERSION_5, fails_a_statement, VERDICT_FAILED, "MQTT-3.3.4-9",
                 "the server sent 3");
    script_judge("", VERSION_5, is_not_applicable, VERDICT_NOT_APPLICABLE, "",
                 "the server's Maximum QoS is 1");
    script_judge("", VERSION_5, needs_websocket, VERDICT_SKIPPED, "", "--ws");
}

static void remarks_keep_their_order(void **state)
{
    struct outcome outcome = script_run("", VERSION_311, remarks_twice);
    assert_int_equal(outcome.verdict, VERDICT_PASSED);
    assert_string_equal(outcome.remarks->statement, "MQTT-1.5.3-1");
    assert_false(outcome.remarks->debatable);
    assert_string_equal(outcome.remarks->next->text, "second");
    assert_string_equal(outcome.remarks->next->statement, "MQTT-3.1.0-1");
    assert_true(outcome.remarks->next->debatable);
    assert_null(outcome.remarks->next->next);
    outcome_free(&outcome);
}

static void sends_without_a_connection(struct test *test)
{
    client_send(client_new(test, "a"), &(struct packet){.type = PINGREQ});
}

static void a_fault_of_the_suite_is_no_failure(void **state)
{
    script_judge("", VERSION_5, sends_without_a_connection, VERDICT_BROKEN, "",
                 "without a connection");
}

static void connects(struct test *test)
{
    client_connected(test, "a");
}

static void a_server_that_is_not_there_breaks_the_case(void **state)
{
    struct script script;
    script_start(&script, "");
    script_stop(&script); /* its port is free again, and nobody listens */
    struct target target = {.host = "127.0.0.1", .port = script.port};
    struct run_settings settings = {.target = &target};
    struct conformance_case definition = {.name = "n", .file = "f", .run = connects};
    struct outcome outcome;
    run_case(&definition, VERSION_5, &settings, &outcome);
    assert_int_equal(outcome.verdict, VERDICT_BROKEN);
    assert_non_null(strstr(outcome.reason, "cannot connect to 127.0.0.1 port"));
    outcome_free(&outcome);

    struct server_features features;
    char error[200];
    assert_false(server_probe(&target, VERSION_5, &features, error, sizeof error));
    assert_non_null(strstr(error, "cannot connect"));
}

/* ---- Limits ---- */

static void waits_for_ever(struct test *test)
{
    struct client *client = client_connected(test, "a");
    test->time_limit_ms = 1000000;
    expect(client, PUBLISH);
}

static void pauses_for_long(struct test *test)
{
    let_pass_ms(test, 100000);
}

static void a_hang_ends_with_the_cases_limit(void **state)
{
    script_limit_s = 1;
    struct outcome outcome = script_run(ACCEPTED, VERSION_5, waits_for_ever);
    assert_int_equal(outcome.verdict, VERDICT_FAILED);
    assert_non_null(strstr(outcome.reason, "the time limit of the whole case"));
    assert_true(outcome.duration_ms >= 1000);
    outcome_free(&outcome);
    script_judge("", VERSION_5, pauses_for_long, VERDICT_BROKEN, "", "no time left");
    script_limit_s = SCRIPT_LIMIT_S;
}

/* The server reads nothing for as long as it is not read from. */
static void fills_a_server_that_does_not_read(struct test *test)
{
    struct client *client = client_connected(test, "a");
    static uint8_t zeros[1 << 20];
    for (unsigned i = 0; i < 64; i++)
        client_send_bytes(client, zeros, sizeof zeros);
}

static void fills_while_it_does_not_read_either(struct test *test)
{
    struct client *client = client_connected(test, "a");
    static uint8_t zeros[1 << 20];
    client_pause_reading(client, true);
    for (unsigned i = 0; i < 8; i++)
        client_send_bytes(client, zeros, sizeof zeros);
}

/* A descriptor that nobody accepts: what the system buffers is all that is ever taken. */
static void a_server_that_takes_nothing_fails(void **state)
{
    script_time_limit_ms = 200;
    script_judge(ACCEPTED "stuck", VERSION_5, fills_a_server_that_does_not_read, VERDICT_FAILED,
                 NULL, "the server does not take what is sent to it");
    script_judge(ACCEPTED "stuck", VERSION_5, fills_while_it_does_not_read_either, VERDICT_PASSED,
                 NULL, NULL);
    script_time_limit_ms = SCRIPT_TIME_LIMIT_MS;
}

/* A server may write all it has before it reads on. While one client sends, all of them read. */
enum { PIECES = 16, PIECE = 1 << 20 };

static void sends_while_the_server_sends(struct test *test)
{
    struct client *client = client_connected(test, "a");
    static uint8_t zeros[PIECE];
    struct packet publish = {.topic = TEXT("t"), .payload = {zeros, sizeof zeros}};
    for (unsigned i = 0; i < PIECES; i++)
        client_publish_packet(client, &publish);
    for (unsigned i = 0; i < PIECES; i++)
        expect_publish(client, TEXT("t"), publish.payload);
    client_disconnect(client);
}

static void append(struct buffer *out, const char *words)
{
    buffer_bytes(out, words, strlen(words));
}

static void both_sides_may_send_at_once(void **state)
{
    static const char digits[2 * PIECE + 1] = {[0 ... 2 * PIECE - 1] = '0'};
    struct buffer words = {0};
    append(&words, "<10 >20020000");
    for (unsigned i = 0; i < PIECES; i++) {
        append(&words, " >30838040000174"); /* 1 MiB and the three bytes of the topic */
        append(&words, digits);
    }
    for (unsigned i = 0; i < PIECES; i++)
        append(&words, " <30");
    append(&words, " <e0 close");
    buffer_u8(&words, 0);
    script_judge((const char *)words.data, VERSION_311, sends_while_the_server_sends,
                 VERDICT_PASSED, NULL, NULL);
    buffer_free(&words);
}

/* ---- Cleaning up ---- */

static void leaves_a_session(struct test *test)
{
    client_drop(client_connected_stored(test, "a", 100));
}

static void fails_with_a_session(struct test *test)
{
    client_connected_stored(test, "a", 100);
    fail(test, "on purpose");
}

static void leaves_retained_messages(struct test *test)
{
    struct client *client = client_connected(test, "a");
    for (unsigned i = 0; i < 2; i++) {
        client_publish(client, topic_of(test, "kept"), TEXT("x"), 0, true);
        client_publish(client, topic_of(test, "gone"), TEXT(""), 0, true);
    }
    client_disconnect(client);
}

static void stored_sessions_are_ended(void **state)
{
    script_judge(ACCEPTED "eof " ACCEPTED "<e0 close", VERSION_5, leaves_a_session, VERDICT_PASSED,
                 NULL, NULL);
    script_judge("<10 >20020000 eof <10 >20020000 <e0 close", VERSION_311, leaves_a_session,
                 VERDICT_PASSED, NULL, NULL);
    /* the one that is open says good-bye, so that no will is published */
    script_judge(ACCEPTED "<e0 eof " ACCEPTED "<e0 close", VERSION_5, fails_with_a_session,
                 VERDICT_FAILED, NULL, "on purpose");
}

static void is_given_a_name(struct test *test)
{
    struct client *client = client_new(test, "a");
    struct packet connect = connect_of(client);
    connect.client_id = TEXT("");
    property_add(&connect.properties, SESSION_EXPIRY_INTERVAL, 100);
    client_connect_ok(client, &connect);
    client_drop(client);
}

static void a_session_is_ended_under_the_name_it_was_given(void **state)
{
    script_judge("<10 >20070000041200017a eof " ACCEPTED "<e0 close", VERSION_5, is_given_a_name,
                 VERDICT_PASSED, NULL, NULL);
}

static void retained_messages_are_removed(void **state)
{
    script_judge(ACCEPTED "<31 <31 <31 <31 <e0 close " ACCEPTED "<31 <c0 >d000 <e0 close",
                 VERSION_5, leaves_retained_messages, VERDICT_PASSED, NULL, NULL);
}

static void a_cleanup_that_fails_changes_nothing(void **state)
{
    script_judge(ACCEPTED "eof <10 close", VERSION_5, leaves_a_session, VERDICT_PASSED, "", NULL);
    script_judge(ACCEPTED "eof <10 >36 eof", VERSION_5, leaves_a_session, VERDICT_PASSED, "", NULL);
}

/* ---- Outages ---- */

static unsigned outages;

static void count_outage(void *context, enum outage kind)
{
    outages += context == &outages && kind == OUTAGE_KILL;
}

static void has_an_outage(struct test *test)
{
    struct client *client = client_connected(test, "a");
    outage(test);
    if (client->connection)
        fail(test, "still connected");
}

static void an_outage_needs_a_command(void **state)
{
    struct script script;
    script_start(&script, ACCEPTED "eof " ACCEPTED);
    struct target target = {.host = "127.0.0.1", .port = script.port};
    struct run_settings settings = {.target = &target};
    struct conformance_case definition = {
        .name = "n", .file = "f", .run = has_an_outage, .outage = OUTAGE_KILL};
    struct outcome outcome;
    run_case(&definition, VERSION_5, &settings, &outcome);
    assert_int_equal(outcome.verdict, VERDICT_SKIPPED);
    assert_non_null(strstr(outcome.reason, "kills"));
    outcome_free(&outcome);

    settings.outage = count_outage;
    settings.outage_context = &outages;
    run_case(&definition, VERSION_5, &settings, &outcome);
    assert_int_equal(outcome.verdict, VERDICT_PASSED);
    assert_int_equal(outages, 1);
    outcome_free(&outcome);
    script_stop(&script);
}

/* ---- Names, traces, probes ---- */

static void makes_names(struct test *test)
{
    struct client *a = client_new(test, "a long role-name");
    struct client *b = client_new(test, "a long role-name");
    if (a->id.size > 23 || text_equal(a->id, b->id))
        fail(test, "%.*s", (int)a->id.size, (const char *)a->id.data);
    for (size_t i = 0; i < a->id.size; i++) {
        if (!strchr("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                    a->id.data[i]))
            fail(test, "%.*s", (int)a->id.size, (const char *)a->id.data);
    }
    struct text topic = topic_of(test, "x/%u", 7u);
    if (memcmp(topic.data, "conf/", 5) != 0 || !strstr((const char *)topic.data, "/scripted/x/7"))
        fail(test, "%s", (const char *)topic.data);
}

static void names_are_unique_and_sound(void **state)
{
    script_judge("", VERSION_5, makes_names, VERDICT_PASSED, NULL, NULL);
}

static void traces(struct test *test)
{
    struct client *client = client_connected(test, "a");
    client_send_hex(client, "c0");
    client_send_hex(client, "00");
    expect(client, PINGRESP);
    client_send_hex(client, "36 00");
    expect_closed(client, 0);
}

static void a_trace_shows_both_ways(void **state)
{
    static const char *const lines[] = {
        "-- connection opened",
        "-> CONNECT level 5, client \"",
        "<- CONNACK 0x00 Success, Session Present 0\n                20 03 00 00 00\n",
        "-> part of a packet\n                c0\n",
        "-> PINGREQ\n                c0 00\n",
        "<- PINGRESP",
        "-> malformed on purpose: PUBLISH with QoS 3 [MQTT-3.3.1-4]\n                36 00\n",
        "<- DISCONNECT 0x81 Malformed Packet",
        "-- the server closed the connection",
    };
    struct outcome outcome = script_run(ACCEPTED "<c0 >d000 # >e00181 close", VERSION_5, traces);
    const char *at = outcome.trace;
    assert_int_equal(outcome.verdict, VERDICT_PASSED);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *found = strstr(at, lines[i]);
        if (!found)
            print_error("no \"%s\" in\n%s", lines[i], at);
        assert_non_null(found);
        at = found;
    }
    outcome_free(&outcome);
}

static void a_password_is_not_traced(void **state)
{
    struct script script;
    script_start(&script, "<10 >2003000000 <e0 close");
    struct target target = {
        .host = "127.0.0.1", .port = script.port, .user_name = "me", .password = "geheim"};
    struct run_settings settings = {.target = &target};
    struct conformance_case definition = {.name = "n", .file = "f", .run = connects};
    struct outcome outcome;
    run_case(&definition, VERSION_5, &settings, &outcome);
    assert_int_equal(outcome.verdict, VERDICT_PASSED);
    assert_non_null(strstr(outcome.trace, "User Name \"me\", Password of 6 bytes"));
    assert_non_null(strstr(outcome.trace, "2a 2a 2a"));
    assert_null(strstr(outcome.trace, "67 65 68"));
    outcome_free(&outcome);
    script_stop(&script);
}

static void a_probe_reads_the_connack(void **state)
{
    struct script script;
    struct server_features features;
    char error[200];
    script_start(&script, "<10 >201b0000182401250021001422000527000010002800"
                          "29002a00130078 <e0 close <10 >20020000 <e0 close");
    struct target target = {.host = "127.0.0.1", .port = script.port};
    assert_true(server_probe(&target, VERSION_5, &features, error, sizeof error));
    assert_int_equal(features.maximum_qos, 1);
    assert_false(features.retain_available);
    assert_int_equal(features.receive_maximum, 20);
    assert_int_equal(features.topic_alias_maximum, 5);
    assert_int_equal(features.maximum_packet_size, 4096);
    assert_false(features.wildcard_available);
    assert_false(features.subscription_identifier_available);
    assert_false(features.shared_available);
    assert_true(features.has_server_keep_alive);
    assert_int_equal(features.server_keep_alive_s, 120);

    assert_true(server_probe(&target, VERSION_311, &features, error, sizeof error));
    assert_int_equal(features.maximum_qos, 2);
    assert_true(features.retain_available && features.wildcard_available);
    assert_int_equal(features.maximum_packet_size, UINT32_MAX);
    assert_false(features.has_server_keep_alive);
    script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verdict_is_the_first_that_is_said),
        cmocka_unit_test(remarks_keep_their_order),
        cmocka_unit_test(a_fault_of_the_suite_is_no_failure),
        cmocka_unit_test(a_server_that_is_not_there_breaks_the_case),
        cmocka_unit_test(a_hang_ends_with_the_cases_limit),
        cmocka_unit_test(a_server_that_takes_nothing_fails),
        cmocka_unit_test(both_sides_may_send_at_once),
        cmocka_unit_test(stored_sessions_are_ended),
        cmocka_unit_test(a_session_is_ended_under_the_name_it_was_given),
        cmocka_unit_test(retained_messages_are_removed),
        cmocka_unit_test(a_cleanup_that_fails_changes_nothing),
        cmocka_unit_test(an_outage_needs_a_command),
        cmocka_unit_test(names_are_unique_and_sound),
        cmocka_unit_test(a_trace_shows_both_ways),
        cmocka_unit_test(a_password_is_not_traced),
        cmocka_unit_test(a_probe_reads_the_connack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
