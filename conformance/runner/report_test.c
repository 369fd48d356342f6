#include "conformance/runner/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conformance/runner/html.h"
#include "conformance/runner/report_ci.h"
#include "conformance/runner/report_compare.h"
#include "conformance/runner/report_html.h"
#include "conformance/runner/report_json.h"

/* Everything that a format could trip over. */
#define NASTY "<b>&\"'\\ # ]]> \x01\t\xC3\x28 \xE2\x82\xAC\nline two"
#define NASTY_AS_UTF8 "<b>&\"'\\ # ]]> \x01\t\xEF\xBF\xBD\x28 \xE2\x82\xAC\nline two"

static struct report_result *add(struct report *report, const char *name, enum version version,
                                 enum verdict verdict, const char *statements)
{
    struct report_result *result = report_add(report);
    char **texts[] = {&result->statement, &result->reason, &result->sends,
                      &result->allowed,   &result->why,    &result->trace};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        report_set(texts[i], "");
    report_set(&result->name, name);
    report_set(&result->statements, statements);
    result->version = version;
    result->verdict = verdict;
    return result;
}

static void fill(struct report *report)
{
    *report = (struct report){.seed = UINT64_MAX, .duration_ms = 61234, .jobs = 8, .not_run = 3};
    report_set(&report->label, NASTY);
    report_set(&report->host, "::1");
    report_set(&report->port, "1883");
    report_set(&report->transport, "TCP");
    report_set(&report->command_line, NASTY);
    report_set(&report->program_version, "1.2.3");
    report_set(&report->started, "2026-01-31T12:34:56Z");
    report_set(&report->versions[0].error, "");
    report_set(&report->versions[1].error, "not spoken");
    report->versions[0].judged = true;
    report->versions[0].features = (struct server_features){.maximum_qos = 1,
                                                            .retain_available = true,
                                                            .receive_maximum = 20,
                                                            .maximum_packet_size = UINT32_MAX,
                                                            .has_server_keep_alive = true,
                                                            .server_keep_alive_s = 60};
    report_note(report, "%s", NASTY);
    add(report, "b.passes", VERSION_5, VERDICT_PASSED, "MQTT-3.1.0-1 MQTT-3.1.0-2");
    struct report_result *failed =
        add(report, "a.fails", VERSION_5, VERDICT_FAILED, "MQTT-3.1.2-1 MQTT-3.1.2-2");
    report_set(&failed->statement, "MQTT-3.1.2-2");
    report_set(&failed->reason, NASTY);
    report_set(&failed->trace, NASTY);
    failed->duration_ms = 1234;
    failed->retried = true;
    report_add_remark(failed, true, "MQTT-3.1.0-1", NASTY);
    report_add_remark(failed, false, "MQTT-3.1.0-2", "should");
    report_set(&add(report, "c.skips", VERSION_5, VERDICT_SKIPPED, "MQTT-4.7.3-1")->reason,
               "no # command");
}

static char *written(bool (*write)(const struct report *, FILE *), const struct report *report)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_true(write(report, out));
    fclose(out);
    return text;
}

static void text_becomes_utf8(void **state)
{
    static const char *const pairs[][2] = {
        {NASTY, NASTY_AS_UTF8},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* a surrogate */
        {"a\xE2\x82", "a\xEF\xBF\xBD\xEF\xBF\xBD"},               /* cut off */
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char *copy = report_copy(pairs[i][0]);
        assert_string_equal(copy, pairs[i][1]);
        free(copy);
    }
    char *empty = report_copy(NULL);
    assert_string_equal(empty, "");
    free(empty);
}

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void check_same_result(const struct report_result *a, const struct report_result *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->verdict, b->verdict);
    assert_string_equal(a->statements, b->statements);
    assert_string_equal(a->statement, b->statement);
    assert_string_equal(a->reason, b->reason);
    assert_string_equal(a->trace, b->trace);
    assert_int_equal(a->duration_ms, b->duration_ms);
    assert_int_equal(a->retried, b->retried);
    assert_int_equal(a->remark_count, b->remark_count);
    for (unsigned i = 0; i < a->remark_count; i++) {
        assert_int_equal(a->remarks[i].debatable, b->remarks[i].debatable);
        assert_string_equal(a->remarks[i].statement, b->remarks[i].statement);
        assert_string_equal(a->remarks[i].text, b->remarks[i].text);
    }
}

static void json_comes_back_as_it_was(void **state)
{
    char path[] = "/tmp/report_test_XXXXXX", error[256];
    struct report report, back;
    close(mkstemp(path));
    fill(&report);
    report_sort(&report);
    char *text = written(report_json_write, &report);
    write_file(path, text);
    assert_true(report_json_read(path, &back, error, sizeof error));
    assert_string_equal(back.label, NASTY_AS_UTF8);
    assert_true(back.seed == UINT64_MAX);
    assert_int_equal(back.duration_ms, 61234);
    assert_int_equal(back.not_run, 3);
    assert_string_equal(back.versions[1].error, "not spoken");
    assert_memory_equal(&back.versions[0].features.maximum_packet_size, "\xFF\xFF\xFF\xFF", 4);
    assert_int_equal(back.versions[0].features.server_keep_alive_s, 60);
    assert_string_equal(back.notes[0], NASTY_AS_UTF8);
    assert_int_equal(back.count, report.count);
    for (unsigned i = 0; i < report.count; i++)
        check_same_result(&report.results[i], &back.results[i]);
    assert_string_equal(back.results[0].name, "a.fails");
    char *again = written(report_json_write, &back);
    assert_string_equal(again, text);
    free(again);
    free(text);
    report_free(&report);
    report_free(&back);
    unlink(path);
}

static void other_files_are_refused(void **state)
{
    static const char *const texts[][2] = {
        {"", "line 1"},
        {"{\"format\": \"tap\"}", "is no report of mqtt-conformance"},
        {"[1]", "is no report of mqtt-conformance"},
        {"{\"format\": \"mqtt-conformance\", \"format_version\": 99}", "a newer mqtt-conformance"},
        {"{\"format\": \"mqtt-conformance\", \"results\": [{\"version\": \"5.0\"}]}",
         "no version or verdict"},
    };
    char path[] = "/tmp/report_test_XXXXXX", error[256];
    struct report report;
    close(mkstemp(path));
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file(path, texts[i][0]);
        assert_false(report_json_read(path, &report, error, sizeof error));
        if (!strstr(error, texts[i][1]) || !strstr(error, path))
            fail_msg("%s", error);
    }
    unlink(path);
    assert_false(report_json_read(path, &report, error, sizeof error));
}

static void junit_is_escaped(void **state)
{
    struct report report;
    fill(&report);
    char *text = written(report_junit_write, &report);
    assert_non_null(strstr(text, "<testsuite name=\"MQTT 5.0\" tests=\"3\" failures=\"1\" "
                                 "errors=\"0\" skipped=\"1\" time=\"1.234\" "
                                 "timestamp=\"2026-01-31T12:34:56\""));
    assert_non_null(strstr(text, "<testcase classname=\"a\" name=\"fails\" time=\"1.234\">"));
    assert_non_null(strstr(text, "<failure type=\"MQTT-3.1.2-2\" "
                                 "message=\"&lt;b&gt;&amp;&quot;'\\ # ]]&gt; ?&#9;"));
    assert_non_null(strstr(text, "<skipped message=\"no # command\"/>"));
    assert_null(strchr(text, '\x01'));
    assert_null(strstr(text, "MQTT 3.1.1"));
    free(text);
    report_free(&report);
}

static void tap_lines_stay_lines(void **state)
{
    struct report report;
    fill(&report);
    report_sort(&report);
    char *text = written(report_tap_write, &report);
    assert_memory_equal(text, "TAP version 13\n1..3\nnot ok 1 - a.fails (5.0)\n  ---\n", 51);
    assert_non_null(strstr(text, "\n  statement: MQTT-3.1.2-2\n"));
    assert_non_null(strstr(text, "\n  message: \"<b>&\\\"'\\\\ # ]]>  "));
    assert_non_null(strstr(text, "\\nline two\"\n"));
    assert_non_null(strstr(text, "\nok 2 - b.passes (5.0)\nok 3 - c.skips (5.0) # SKIP no \\# "));
    free(text);
    report_free(&report);
}

static void check_page(char *text)
{
    assert_non_null(strstr(text, "&lt;b&gt;&amp;&quot;'\\ # ]]&gt;"));
    assert_null(strstr(text, "<b>&"));
    assert_null(strstr(text, "http://"));
    assert_null(strstr(text, "https://"));
    assert_null(strstr(text, "@import"));
    assert_non_null(strstr(text, "</html>\n"));
    free(text);
}

static bool compare_with_itself(const struct report *report, FILE *out)
{
    struct report both[] = {*report, *report};
    return report_compare_write(both, 2, out);
}

static void pages_are_escaped_and_need_nothing_from_outside(void **state)
{
    struct report report;
    fill(&report);
    check_page(written(report_html_write, &report));
    check_page(written(compare_with_itself, &report));
    report_free(&report);
}

static void a_link_leads_somewhere(void **state)
{
    struct report report;
    fill(&report);
    char *text = written(report_html_write, &report);
    unsigned links = 0;
    for (char *at = text; (at = strstr(at, "href=\"#")); at++) {
        char target[256];
        snprintf(target, sizeof target, "id=\"%.*s\"", (int)strcspn(at + 7, "\""), at + 7);
        if (!strstr(text, target))
            fail_msg("nothing has %s", target);
        links++;
    }
    assert_true(links > 392);
    free(text);
    report_free(&report);
}

/* ---- What results say about statements ---- */

static enum holding holding_in(const struct report *report, const char *id)
{
    static enum holding holdings[300];
    struct statement_table table = statement_table(VERSION_5);
    const struct statement *row = statement_find(table, id, strlen(id));
    assert_non_null(row);
    report_judge(report, table, holdings);
    return holdings[row - table.rows];
}

static void a_failure_is_about_the_statement_it_names(void **state)
{
    struct report report = {0};
    struct report_result *failed =
        add(&report, "a.a", VERSION_5, VERDICT_FAILED, "MQTT-3.1.0-1 MQTT-3.1.0-2");
    report_set(&failed->statement, "MQTT-3.1.0-2");
    assert_int_equal(holding_in(&report, "MQTT-3.1.0-2"), HOLDING_BROKEN);
    assert_int_equal(holding_in(&report, "MQTT-3.1.0-1"), HOLDING_UNJUDGED);
    add(&report, "a.b", VERSION_5, VERDICT_PASSED, "MQTT-3.1.0-1 MQTT-3.1.0-2");
    assert_int_equal(holding_in(&report, "MQTT-3.1.0-2"), HOLDING_BROKEN);
    assert_int_equal(holding_in(&report, "MQTT-3.1.0-1"), HOLDING_KEPT);
    report_free(&report);
}

static void a_failure_may_name_a_statement_that_its_case_does_not_cite(void **state)
{
    struct report report = {0};
    struct report_result *failed = add(&report, "a.a", VERSION_5, VERDICT_FAILED, "MQTT-3.1.0-1");
    report_set(&failed->statement, "MQTT-4.3.1-1");
    assert_int_equal(holding_in(&report, "MQTT-4.3.1-1"), HOLDING_BROKEN);
    assert_true(report_result_concerns(failed, "MQTT-4.3.1-1"));
    assert_false(report_result_concerns(failed, "MQTT-4.3.2-1"));
    report_free(&report);
}

static void the_other_version_says_nothing(void **state)
{
    struct report report = {0};
    add(&report, "a.a", VERSION_311, VERDICT_PASSED, "MQTT-3.1.0-1");
    assert_int_equal(holding_in(&report, "MQTT-3.1.0-1"), HOLDING_NOT_RUN);
    report_free(&report);
}

static void verdicts_overrule_each_other(void **state)
{
    static const struct {
        enum verdict verdict;
        enum holding holding;
    } steps[] = {
        {VERDICT_SKIPPED, HOLDING_SKIPPED}, {VERDICT_NOT_APPLICABLE, HOLDING_NOT_APPLICABLE},
        {VERDICT_BROKEN, HOLDING_UNJUDGED}, {VERDICT_PASSED, HOLDING_KEPT},
        {VERDICT_FLAKY, HOLDING_FLAKY},     {VERDICT_FAILED, HOLDING_BROKEN},
        {VERDICT_PASSED, HOLDING_BROKEN},
    };
    struct report report = {0};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        add(&report, "a.a", VERSION_5, steps[i].verdict, "MQTT-3.1.0-1");
        assert_int_equal(holding_in(&report, "MQTT-3.1.0-1"), steps[i].holding);
    }
    report_free(&report);
}

static void what_cannot_be_tested_stays_so(void **state)
{
    struct report report = {0};
    struct statement_table table = statement_table(VERSION_5);
    unsigned untestable = 0;
    static enum holding holdings[300];
    add(&report, "a.a", VERSION_5, VERDICT_PASSED, "MQTT-3.1.0-1");
    report_judge(&report, table, holdings);
    for (unsigned i = 0; i < table.count; i++) {
        assert_int_equal(holdings[i] == HOLDING_UNTESTABLE, table.rows[i].kind != OBSERVABLE);
        untestable += holdings[i] == HOLDING_UNTESTABLE;
    }
    assert_true(untestable > 0);
    report_free(&report);
}

static void a_remark_is_told_once(void **state)
{
    struct report report = {0};
    for (int i = 0; i < 3; i++) {
        struct report_result *result = add(&report, "a.a", VERSION_5, VERDICT_PASSED, "X");
        report_add_remark(result, false, "X", i == 2 ? "other" : "same");
        report_add_remark(result, false, "X", i == 2 ? "other" : "same");
    }
    assert_true(report_is_first_remark(&report, &report.results[0], report.results[0].remarks));
    assert_false(
        report_is_first_remark(&report, &report.results[0], report.results[0].remarks + 1));
    assert_false(report_is_first_remark(&report, &report.results[1], report.results[1].remarks));
    assert_true(report_is_first_remark(&report, &report.results[2], report.results[2].remarks));
    assert_int_equal(report_remark_count(&report, VERSION_5, false), 6);
    assert_int_equal(report_remark_count(&report, VERSION_5, true), 0);
    report_free(&report);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_utf8),
        cmocka_unit_test(json_comes_back_as_it_was),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(junit_is_escaped),
        cmocka_unit_test(tap_lines_stay_lines),
        cmocka_unit_test(pages_are_escaped_and_need_nothing_from_outside),
        cmocka_unit_test(a_link_leads_somewhere),
        cmocka_unit_test(a_failure_is_about_the_statement_it_names),
        cmocka_unit_test(a_failure_may_name_a_statement_that_its_case_does_not_cite),
        cmocka_unit_test(the_other_version_says_nothing),
        cmocka_unit_test(verdicts_overrule_each_other),
        cmocka_unit_test(what_cannot_be_tested_stays_so),
        cmocka_unit_test(a_remark_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
