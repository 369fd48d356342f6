#include "conformance/runner/coverage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct statement rows_5[] = {
    {"MQTT-3.1.0-1", "3.1.0", OBSERVABLE, "First comes CONNECT.", ""},
    {"MQTT-3.1.2-2", "3.1.0", CLIENT_ONLY, "Nothing for a server.", "A client alone can break it."},
    {"MQTT-3.1.2-20", "3.1.0", OBSERVABLE, "A longer number.", ""},
};
static const struct statement rows_311[] = {
    {"MQTT-4.5.0-1", "4.5", UNOBSERVABLE, "Nobody sees.", "It happens inside."},
};
static const struct statement_table tables[] = {{VERSION_5, rows_5, 3}, {VERSION_311, rows_311, 1}};

#define SOUND                                                                                      \
    .name = "sound", .file = "a.c", .v5 = "MQTT-3.1.0-1  MQTT-3.1.2-20", .sends = "x",             \
    .allowed = "y", .faults = "keeps_open no_connack"

static char *text;

static unsigned check(const struct conformance_case *first)
{
    size_t size;
    free(text);
    FILE *out = open_memstream(&text, &size);
    unsigned problems = coverage_check(out, tables, 2, first);
    fclose(out);
    return problems;
}

static const char *coverage(const struct conformance_case *first)
{
    size_t size;
    free(text);
    FILE *out = open_memstream(&text, &size);
    coverage_print(out, tables, 2, first);
    fclose(out);
    return text;
}

static int free_text(void **state)
{
    free(text);
    text = NULL;
    return 0;
}

static void what_fits_is_silent(void **state)
{
    const struct conformance_case sound = {SOUND};
    assert_int_equal(check(&sound), 0);
    assert_string_equal(text, "");
}

static void every_misfit_is_named(void **state)
{
    struct conformance_case bad = {SOUND};
    static const struct {
        const char *v5, *v311, *sends, *allowed, *faults, *said;
    } misfits[] = {
        {"MQTT-3.1.0-1", NULL, "x", "y", "keeps_open", "MQTT-3.1.2-20 (5.0): observable, and no"},
        {"NOTHING-1", NULL, "x", "y", "keeps_open", "cites NOTHING-1, which 5.0 has not"},
        {"MQTT-3.1.2-2", NULL, "x", "y", "keeps_open", "MQTT-3.1.2-2, which is said to be client"},
        {NULL, "MQTT-4.5.0-1", "x", "y", "keeps_open", "which is said to be unobservable (3.1.1)"},
        {"MQTT-3.1.0-1", "", "x", "y", "keeps_open", "is for 3.1.1 and cites no statement of it"},
        {NULL, NULL, "x", "y", "keeps_open", "a.sound: cites no statement"},
        {"MQTT-3.1.0-1", NULL, NULL, "y", "keeps_open", "does not say what it sends"},
        {"MQTT-3.1.0-1", NULL, "x", "", "keeps_open", "does not say what it allows"},
        {"MQTT-3.1.0-1", NULL, "x", "y", NULL, "names no fault"},
        {"MQTT-3.1.0-1", NULL, "x", "y", "keeps_opene",
         "the fault keeps_opene, which there is not"},
    };
    for (unsigned i = 0; i < sizeof misfits / sizeof misfits[0]; i++) {
        bad.v5 = misfits[i].v5;
        bad.v311 = misfits[i].v311;
        bad.sends = misfits[i].sends;
        bad.allowed = misfits[i].allowed;
        bad.faults = misfits[i].faults;
        assert_true(check(&bad) > 0);
        if (!strstr(text, misfits[i].said))
            fail_msg("%s is not in: %s", misfits[i].said, text);
    }
}

static void a_name_is_used_once(void **state)
{
    struct conformance_case elsewhere = {SOUND};
    struct conformance_case twin = {SOUND, .next = &elsewhere};
    struct conformance_case sound = {SOUND, .next = &twin};
    elsewhere.file = "b.c";
    assert_int_equal(check(&sound), 1);
    assert_string_equal(text, "a.sound: is the name of two cases\n");
}

static void coverage_adds_up(void **state)
{
    const struct conformance_case half = {.name = "half", .file = "a.c", .v5 = "MQTT-3.1.2-20"};
    const struct conformance_case sound = {SOUND};
    assert_memory_equal(coverage(&sound), "4 statements: 2 tested, 1 client-only, 1 unobservable\n",
                        54);
    coverage(&half);
    assert_non_null(strstr(text, "4 statements: 1 tested, 1 client-only, 1 unobservable, 1 obs"));
    const char *untested = strstr(text, "tested by no case:");
    assert_non_null(untested);
    assert_non_null(strstr(untested, "MQTT-3.1.0-1 "));
    assert_null(strstr(untested, "MQTT-3.1.2-20"));
}

static void cases_are_counted_by_statement(void **state)
{
    unsigned cited[3];
    struct conformance_case other = {.name = "o", .file = "b.c", .v5 = "MQTT-3.1.2-20"};
    struct conformance_case sound = {SOUND, .next = &other};
    coverage_count(tables[0], &sound, cited);
    assert_int_equal(cited[0], 1);
    assert_int_equal(cited[1], 0);
    assert_int_equal(cited[2], 2);
}

/* ---- The true tables ---- */

static void both_tables_are_complete(void **state)
{
    assert_int_equal(statement_table(VERSION_5).count, 251);
    assert_int_equal(statement_table(VERSION_311).count, 141);
}

static void every_statement_has_a_chapter_with_a_title(void **state)
{
    static const enum version versions[] = {VERSION_5, VERSION_311};
    for (int v = 0; v < 2; v++) {
        struct statement_table table = statement_table(versions[v]);
        for (unsigned i = 0; i < table.count; i++) {
            char chapter[CHAPTER_SIZE];
            statement_chapter(table.rows[i].id, chapter);
            if (!statement_chapter_title(versions[v], chapter)[0])
                fail_msg("%s: chapter %s has no title", table.rows[i].id, chapter);
        }
    }
}

static void a_chapter_is_two_numbers_or_the_sixth(void **state)
{
    char chapter[CHAPTER_SIZE];
    assert_string_equal(statement_chapter("MQTT-3.10.4-2", chapter), "3.10");
    assert_string_equal(statement_chapter("MQTT-4.2.0-1", chapter), "4.2");
    assert_string_equal(statement_chapter("MQTT-6.0.0-1", chapter), "6");
}

static void words_end(void **state)
{
    const char *at = "  one two ";
    size_t size;
    assert_memory_equal(statement_word(&at, &size), "one", 3);
    assert_int_equal(size, 3);
    assert_memory_equal(statement_word(&at, &size), "two", 3);
    assert_null(statement_word(&at, &size));
    at = NULL;
    assert_null(statement_word(&at, &size));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_silent),
        cmocka_unit_test(every_misfit_is_named),
        cmocka_unit_test(a_name_is_used_once),
        cmocka_unit_test(coverage_adds_up),
        cmocka_unit_test(cases_are_counted_by_statement),
        cmocka_unit_test(both_tables_are_complete),
        cmocka_unit_test(every_statement_has_a_chapter_with_a_title),
        cmocka_unit_test(a_chapter_is_two_numbers_or_the_sixth),
        cmocka_unit_test(words_end),
    };
    return cmocka_run_group_tests(tests, NULL, free_text);
}
