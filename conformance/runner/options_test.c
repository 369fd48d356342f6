#include "conformance/runner/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WORDS_MAX = 24 };

static struct options options;
static char *complaint;

/* Words with spaces between; they live on, because options point into them. */
static bool parse(const char *line)
{
    static char words[512];
    static char *argv[WORDS_MAX];
    int argc = 0;
    size_t size;
    snprintf(words, sizeof words, "mqtt-conformance %s", line);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    free(complaint);
    FILE *errors = open_memstream(&complaint, &size);
    bool ok = options_parse(argc, argv, &options, errors);
    fclose(errors);
    return ok;
}

static int free_complaint(void **state)
{
    free(complaint);
    complaint = NULL;
    return 0;
}

static void nothing_said_is_all_cases_over_tcp(void **state)
{
    assert_true(parse(""));
    assert_int_equal(options.task, TASK_RUN);
    assert_string_equal(options.target.host, "127.0.0.1");
    assert_string_equal(options.target.port, "1883");
    assert_string_equal(options.label, "127.0.0.1:1883");
    assert_true(options.version_5 && options.version_311);
    assert_int_equal(options.jobs, 64);
    assert_int_equal(options.time_limit_ms, 5000);
    assert_int_equal(options.quiet_ms, 300);
    assert_int_equal(options.pattern_count, 0);
    assert_string_equal(options.outputs[REPORT_HTML], "");
}

static void a_transport_has_its_usual_port(void **state)
{
    static const char *const lines[][2] = {
        {"--tls --insecure", "8883"},
        {"--ws", "80"},
        {"--ws --tls --insecure", "443"},
        {"--port 9001 --ws", "9001"},
    };
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_true(parse(lines[i][0]));
        assert_string_equal(options.target.port, lines[i][1]);
    }
}

static void versions_are_chosen(void **state)
{
    assert_true(parse("--version 5"));
    assert_true(options.version_5 && !options.version_311);
    assert_true(parse("--version=3.1.1"));
    assert_true(!options.version_5 && options.version_311);
    assert_true(parse("--version all"));
    assert_true(options.version_5 && options.version_311);
}

static void patterns_add_up(void **state)
{
    assert_true(parse("--only will* --only connect.*"));
    assert_int_equal(options.pattern_count, 2);
    assert_string_equal(options.patterns[0], "will*");
    assert_string_equal(options.patterns[1], "connect.*");
}

static void reports_are_given_at_once_or_one_by_one(void **state)
{
    assert_true(parse("--report html=a.html,json=b=c.json --report tap=-"));
    assert_string_equal(options.outputs[REPORT_HTML], "a.html");
    assert_string_equal(options.outputs[REPORT_JSON], "b=c.json");
    assert_string_equal(options.outputs[REPORT_JUNIT], "");
    assert_string_equal(options.outputs[REPORT_TAP], "-");
}

static void comparison_takes_files(void **state)
{
    assert_true(parse("--compare a.json b.json --report html=c.html"));
    assert_int_equal(options.file_count, 2);
    assert_string_equal(options.files[0], "a.json");
    assert_string_equal(options.files[1], "b.json");
}

static void what_is_wrong_is_said(void **state)
{
    static const char *const lines[][2] = {
        {"--port 0", "--port is a number from 1 to 65535, not \"0\""},
        {"--port 0x75b", "--port is a number"},
        {"--port", "--port wants a value"},
        {"--jobs 9999999999999999999999", "--jobs is a number"},
        {"--seed -1", "--seed is a number"},
        {"--version 4", "--version is 5, 3.1.1 or all, not \"4\""},
        {"--frobnicate", "--frobnicate is no option"},
        {"broker.example", "\"broker.example\" is no option"},
        {"--report pdf=x", "html=FILE, json=FILE, junit=FILE or tap=FILE, not \"pdf=x\""},
        {"--report html=", "not \"html=\""},
        {"--tls", "--cafile"},
        {"--cafile x", "go with --tls"},
        {"--tls --insecure --cert x", "--cert and --key go together"},
        {"--ws-path /x", "--ws-path goes with --ws"},
        {"--ws --ws-path x", "--ws-path begins with"},
        {"--password x", "--password without --username"},
        {"--auth-data x", "--auth-data goes with --auth-method"},
        {"--auth-method m --auth-data hex:123", "not made of pairs of hexadecimal digits"},
        {"--auth-method m --auth-data hex:xy", "not made of pairs of hexadecimal digits"},
        {"--auth-method SCRAM-SHA-256 --auth-user u", "--auth-user and --auth-password-file"},
        {"--auth-password-file /nowhere/to/be/found", "No such file"},
        {"--auth-password-file /dev/null", "not a password"},
        {"--denied-publish a/#", "--denied-publish is a Topic Name"},
        {"--denied-publish=", "--denied-publish is a Topic Name"},
        {"--denied-subscribe=", "--denied-subscribe is empty"},
        {"--no-cases", "--no-cases without --explore"},
        {"--list --coverage", "Choose one"},
        {"--compare", "--compare wants the JSON reports"},
        {"--compare a.json --report json=b", "--compare makes HTML only"},
    };
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_false(parse(lines[i][0]));
        if (!strstr(complaint, lines[i][1]))
            fail_msg("%s: %s", lines[i][0], complaint);
    }
}

static void authentication_data_adds_up(void **state)
{
    assert_true(parse("--auth-method m --auth-data one --auth-data hex:00ff"));
    assert_string_equal(options.target.auth_method, "m");
    assert_int_equal(options.target.auth_data_count, 2);
    assert_string_equal(options.target.auth_data[1], "hex:00ff");
}

static void the_password_is_not_shown(void **state)
{
    char *words[] = {(char *)"x",
                     (char *)"--host",
                     (char *)"it's here",
                     (char *)"--pass",
                     (char *)"secret",
                     (char *)"--username",
                     (char *)"--port=1",
                     (char *)"--password=more",
                     (char *)"--auth-d",
                     (char *)"secret",
                     (char *)"--auth-method",
                     (char *)"m",
                     NULL};
    char *line = options_command_line(12, words);
    assert_string_equal(line, "mqtt-conformance --host 'it'\\''s here' --password ... --username "
                              "--port=1 --password=... --auth-data ... --auth-method m");
    free(line);
}

static void help_names_every_option(void **state)
{
    static const char *const names[] = {"--host",    "--restart-cmd", "--explore",
                                        "--compare", "--quiet",       "Exit status"};
    char *help;
    size_t size;
    FILE *out = open_memstream(&help, &size);
    options_help(out);
    fclose(out);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(strstr(help, names[i]));
    for (const char *line = help; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    free(help);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_all_cases_over_tcp),
        cmocka_unit_test(a_transport_has_its_usual_port),
        cmocka_unit_test(versions_are_chosen),
        cmocka_unit_test(patterns_add_up),
        cmocka_unit_test(reports_are_given_at_once_or_one_by_one),
        cmocka_unit_test(comparison_takes_files),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(authentication_data_adds_up),
        cmocka_unit_test(the_password_is_not_shown),
        cmocka_unit_test(help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, free_complaint);
}
