/* A trace that is right, and the same trace broken in each way that the check knows. */
#include "trace/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE(fields, machine, state, event, next, actions, why)                                    \
    "{\"time\":\"2026-11-23T08:00:00.000Z\",\"session\":\"c\",\"worker\":0," fields                \
    ",\"machine\":\"" machine "\",\"state\":\"" state "\",\"event\":\"" event                      \
    "\",\"next\":\"" next "\",\"actions\":[" actions "],\"statements\":[\"" why "\"]}\n"
#define START "{\"time\":\"\",\"start\":\"holdfast\",\"boot\":2,\"workers\":1}\n"
#define OLD "\"incarnation\":4294967297" /* of run 1 */
#define NEW "\"incarnation\":8589934593" /* of run 2 */
#define QOS2(who, fields, state, event, next, actions, why)                                        \
    LINE(who ",\"packet_identifier\":7" fields, "inbound_qos2", state, event, next, actions, why)

#define STORE QOS2(NEW, "", "FREE", "PUBLISH", "STORING", "\"STORE\"", "MQTT-4.3.3-8")
#define STORED                                                                                     \
    QOS2(NEW, ",\"lsn\":5", "STORING", "STORED", "HELD", "\"ROUTE\",\"PUBREC\"", "MQTT-4.3.3-8")
#define ERASE QOS2(NEW, "", "HELD", "PUBREL", "ERASING", "\"ERASE\"", "MQTT-4.3.3-11")
#define ERASED QOS2(NEW, ",\"lsn\":6", "ERASING", "ERASED", "FREE", "\"PUBCOMP\"", "MQTT-4.3.3-11")
#define LOST "{\"time\":\"\",\"worker\":0,\"lost\":3}\n"

static void replay(const char *text, struct replay_result *out)
{
    char path[] = "/tmp/replay_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct record_reader *reader = record_open(path);
    assert_non_null(reader);
    replay_check(reader, out);
    record_close(reader);
    unlink(path);
}

static void allowed(const char *text, unsigned steps)
{
    struct replay_result result;
    replay(text, &result);
    if (result.wrong.kind != RECORD_END)
        fail_msg("line %u: %s", (unsigned)result.wrong.line, result.wrong.wrong);
    assert_int_equal(result.steps, steps);
}

static void wrong(const char *text, unsigned line, const char *words)
{
    struct replay_result result;
    replay(text, &result);
    assert_int_equal(result.wrong.kind, RECORD_WRONG);
    if (strstr(result.wrong.wrong, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", result.wrong.wrong, words);
    assert_int_equal(result.wrong.line, line);
}

static void what_the_tables_allow_is_allowed(void **state)
{
    allowed(START STORE STORED ERASE ERASED STORE, 5);
    allowed("", 0);
}

static void a_cell_that_cannot_occur_is_named_with_its_reason(void **state)
{
    wrong(START QOS2(NEW, "", "FREE", "STORED", "HELD", "", "MQTT-4.3.3-8"), 2,
          "STORED in FREE cannot occur: answers to a store call");
}

static void another_next_state_is_wrong(void **state)
{
    wrong(START QOS2(NEW, "", "FREE", "PUBLISH", "HELD", "\"STORE\"", "MQTT-4.3.3-8"), 2,
          "PUBLISH in FREE leads to STORING, not to HELD [MQTT-4.3.3-8]");
}

static void other_actions_are_wrong(void **state)
{
    wrong(START STORE QOS2(NEW, ",\"lsn\":5", "STORING", "STORED", "HELD", "\"PUBREC\",\"ROUTE\"",
                           "MQTT-4.3.3-8"),
          3, "STORED in STORING has other actions [MQTT-4.3.3-8]");
    wrong(START QOS2(NEW, "", "FREE", "PUBLISH", "STORING", "", "MQTT-4.3.3-8"), 2,
          "other actions");
}

static void other_statements_are_wrong(void **state)
{
    wrong(START QOS2(NEW, "", "FREE", "PUBLISH", "STORING", "\"STORE\"", "MQTT-4.3.3-9"), 2,
          "other statements [MQTT-4.3.3-8]");
}

static void a_step_that_is_left_out_is_noticed(void **state)
{
    wrong(START STORE ERASE, 3, "it is in STORING since line 2, not in HELD");
}

static void an_exchange_that_has_ended_begins_anew(void **state)
{
    wrong(START STORE STORED ERASE ERASED ERASE, 6, "HELD is not where it begins");
}

static void a_machine_begins_at_its_beginning_or_where_the_store_has_it(void **state)
{
    wrong(START ERASE, 2, "HELD is not where it begins");
    allowed(START QOS2(OLD, "", "HELD", "PUBREL", "ERASING", "\"ERASE\"", "MQTT-4.3.3-11"), 1);
    wrong(START QOS2(OLD, "", "STORING", "PUBREL", "STORING", "", "MQTT-4.3.3-11"), 2,
          "STORING is not where it begins");
}

static void a_new_run_starts_from_the_store(void **state)
{
    wrong(START STORE START STORED, 4, "STORING is not where it begins");
}

static void what_is_released_keeps_its_order(void **state)
{
    wrong(START STORE QOS2(NEW, ",\"lsn\":7", "STORING", "STORED", "HELD", "\"ROUTE\",\"PUBREC\"",
                           "MQTT-4.3.3-8") ERASE ERASED,
          5, "log sequence number 6, and 7 was released before [MQTT-4.6.0-2]");
}

static void behind_a_loss_a_machine_may_be_anywhere(void **state)
{
    allowed(START STORE LOST ERASE ERASED, 3);
    wrong(START STORE LOST ERASE STORED, 5, "it is in ERASING since line 4");
}

static void a_line_may_be_torn_where_the_next_one_says_so(void **state)
{
    allowed(START STORE "{\"time\":\"20", 1);
    allowed(START STORE "{\"time\":\"20\n\n" START STORE, 2);
    allowed(START STORE "{\"time\":\"20\n" LOST STORED, 2);
    wrong(START STORE "{\"time\":\"20\n" STORED, 3, "no JSON: ");
}

static void a_line_has_a_mebibyte_at_most(void **state)
{
    enum { MOST = 1 << 20 };
    static char text[sizeof START + MOST + 2] = START;
    char *line = text + sizeof START - 1;
    memset(line, ' ', MOST);
    line[MOST - 1] = '\n';
    wrong(text, 2, "no JSON: ");
    line[MOST - 1] = ' ';
    line[MOST] = '\n';
    wrong(text, 2, "a line of 1048577 bytes; none has more than 1048576");
    line[MOST] = ' '; /* nor is it taken for one that a kill has torn */
    wrong(text, 2, "a line of 1048577 bytes");
}

static void bytes_that_are_no_text_are_wrong(void **state)
{
    wrong(START "{\"machine\":\"\xff\xfe\"}\n", 2, "no JSON: ");
    wrong(START "{\"time\":\"\\u0000\",\"worker\":0}\n" STORE, 2, "no JSON: ");
    wrong(START "{\"worker\":99999999999999999999}\n" STORE, 2, "no JSON: ");
}

static void what_is_no_line_of_a_trace_is_wrong(void **state)
{
    wrong(STORE, 1, "no run has begun");
    wrong(START "seven\n", 2, "no JSON: ");
    wrong(START "true\n", 2, "neither an object nor an array nor a number");
    wrong(START "{\"machine\":\"toaster\"}\n", 2, "there is no machine toaster");
    wrong(START "{}\n", 2, "there is no \"machine\"");
    wrong(START QOS2(NEW, "", "MOLTEN", "PUBLISH", "STORING", "", ""), 2,
          "inbound_qos2 has no state MOLTEN");
    wrong(START QOS2(NEW, "", "FREE", "PANIC", "STORING", "", ""), 2,
          "inbound_qos2 has no event PANIC");
    wrong(START
          "{\"machine\":\"will\",\"state\":\"NONE\",\"event\":\"CLOSED_NOW\",\"next\":\"NONE\","
          "\"actions\":[],\"statements\":[]}\n",
          2, "is missing");
}

#define TIME "{\"time\":\"\",\"worker\":0}\n"
#define ROW(number, state, event, next, actions, why)                                              \
    "{\"row\":" number ",\"machine\":\"inbound_qos2\",\"state\":\"" state "\",\"event\":\"" event  \
    "\",\"next\":\"" next "\",\"actions\":[" actions "],\"statements\":[\"" why "\"]}\n"
#define STORE_ROW ROW("8", "FREE", "PUBLISH", "STORING", "\"STORE\"", "MQTT-4.3.3-8")
#define STORED_ROW ROW("9", "STORING", "STORED", "HELD", "\"ROUTE\",\"PUBREC\"", "MQTT-4.3.3-8")
#define SLOT "{\"slot\":3,\"session\":\"c\"," NEW "}\n"

static void a_step_may_refer_to_lines_before_it(void **state)
{
    allowed(START TIME STORE_ROW SLOT "[8,3,7]\n" STORED_ROW "[9,3,7,5]\n", 2);
    allowed(START TIME STORE_ROW SLOT "[8,3,7]\n[8,3,8]\n" STORED, 3);
    wrong(START TIME STORE_ROW SLOT STORED_ROW "[8,3,7]\n[8,3,7]\n", 7,
          "it is in STORING since line 6, not in FREE");
    wrong(START TIME ROW("8", "FREE", "PUBLISH", "HELD", "\"STORE\"", "MQTT-4.3.3-8") SLOT
          "[8,3,7]\n",
          5, "PUBLISH in FREE leads to STORING, not to HELD");
    wrong(START TIME STORE_ROW SLOT STORED_ROW "[8,3,7]\n[9,3,7,5]\n[8,3,9,4]\n", 8,
          "log sequence number 4, and 5 was released before");
}

#define HELD_TWICE START TIME STORE_ROW SLOT STORED_ROW "[8,3,7]\n[9,3,7,5]\n"

static void a_number_alone_is_a_step_like_one_before(void **state)
{
    allowed(HELD_TWICE "-2\n", 3);             /* PUBLISH of 8 */
    allowed(HELD_TWICE "-2\n-2\n-2\n-2\n", 6); /* 8 and 9 */
    wrong(HELD_TWICE "2\n", 8, "it is in HELD since line 7, not in FREE");
    wrong(HELD_TWICE "-1\n", 8, "STORING");
    wrong(HELD_TWICE "-2\n-2\n2\n", 10, "it is in HELD since line 9, not in FREE");
}

static void a_number_alone_refers_to_one_of_eight_steps_of_its_block(void **state)
{
    wrong(START TIME STORE_ROW SLOT "-1\n", 5, "like one before, which is not there");
    wrong(HELD_TWICE "-3\n", 8, "like one before, which is not there");
    wrong(HELD_TWICE "0\n", 8, "like one before, which is not there");
    wrong(HELD_TWICE "-9223372036854775808\n", 8, "like one before, which is not there");
    wrong(HELD_TWICE "-2\n-2\n-2\n-2\n-2\n-2\n-2\n-9\n", 15, "like one before, which is not there");
    wrong(HELD_TWICE "{\"time\":\"\",\"worker\":1}\n-2\n", 9,
          "like one before, which is not there");
    allowed(HELD_TWICE TIME "-2\n", 3);
    wrong(HELD_TWICE "2.0\n", 8, "neither an object nor an array nor a number");
}

static void a_step_that_refers_to_nothing_is_wrong(void **state)
{
    wrong(START TIME SLOT "[8,3,7]\n", 4, "no line before it says");
    wrong(START TIME STORE_ROW "[8,3,7]\n", 4, "no line before it says");
    wrong(START STORE_ROW SLOT "[8,3,7]\n", 4, "no line before it says");
    wrong(START TIME STORE_ROW SLOT "[8888888,3,7]\n", 5, "no line before it says");
    wrong(START TIME STORE_ROW "{\"slot\":3}\n[8,3,7]\n", 5, "is missing before it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_tables_allow_is_allowed),
        cmocka_unit_test(a_cell_that_cannot_occur_is_named_with_its_reason),
        cmocka_unit_test(another_next_state_is_wrong),
        cmocka_unit_test(other_actions_are_wrong),
        cmocka_unit_test(other_statements_are_wrong),
        cmocka_unit_test(a_step_that_is_left_out_is_noticed),
        cmocka_unit_test(an_exchange_that_has_ended_begins_anew),
        cmocka_unit_test(a_machine_begins_at_its_beginning_or_where_the_store_has_it),
        cmocka_unit_test(a_new_run_starts_from_the_store),
        cmocka_unit_test(what_is_released_keeps_its_order),
        cmocka_unit_test(behind_a_loss_a_machine_may_be_anywhere),
        cmocka_unit_test(a_line_may_be_torn_where_the_next_one_says_so),
        cmocka_unit_test(a_line_has_a_mebibyte_at_most),
        cmocka_unit_test(bytes_that_are_no_text_are_wrong),
        cmocka_unit_test(a_step_may_refer_to_lines_before_it),
        cmocka_unit_test(a_number_alone_is_a_step_like_one_before),
        cmocka_unit_test(a_number_alone_refers_to_one_of_eight_steps_of_its_block),
        cmocka_unit_test(a_step_that_refers_to_nothing_is_wrong),
        cmocka_unit_test(what_is_no_line_of_a_trace_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
