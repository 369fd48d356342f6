#include "conformance/runner/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct conformance_case third = {.name = "will_is_kept",
                                        .file = "conformance/cases/offline.c"};
static struct conformance_case second = {
    .name = "will_is_published", .file = "conformance/cases/wills.c", .v5 = "A", .next = &third};
static struct conformance_case first = {
    .name = "connect_twice", .file = "connect.c", .v311 = "B", .next = &second};

static void a_name_has_its_file_in_front(void **state)
{
    char name[CASE_NAME_SIZE];
    assert_string_equal(selection_name(&second, name), "wills.will_is_published");
    assert_string_equal(selection_name(&first, name), "connect.connect_twice");
}

static bool matches(const struct conformance_case *definition, const char *pattern)
{
    return selection_matches(definition, &pattern, 1);
}

static void patterns_match_the_name_or_both(void **state)
{
    assert_true(matches(&second, "will_is_published"));
    assert_true(matches(&second, "will*"));
    assert_true(matches(&second, "wills.*"));
    assert_true(matches(&second, "*.will_is_published"));
    assert_true(matches(&second, "wills.will_is_publishe[d]"));
    assert_false(matches(&second, "is_published"));
    assert_false(matches(&second, "offline.*"));
    assert_false(matches(&second, ""));
}

static void one_of_several_patterns_is_enough(void **state)
{
    const char *const patterns[] = {"nothing", "connect.*"};
    assert_true(selection_matches(&first, patterns, 2));
    assert_false(selection_matches(&second, patterns, 2));
    assert_true(selection_matches(&second, NULL, 0));
}

static void one_case_is_found(void **state)
{
    const struct conformance_case *nearest;
    assert_ptr_equal(selection_find(&first, "connect_twice", &nearest), &first);
    assert_ptr_equal(selection_find(&first, "wills.will_is_published", &nearest), &second);
    assert_ptr_equal(selection_find(&first, "*kept", &nearest), &third);
}

static void a_near_name_is_proposed(void **state)
{
    const struct conformance_case *nearest;
    assert_null(selection_find(&first, "conect_twise", &nearest));
    assert_ptr_equal(nearest, &first);
    assert_null(selection_find(&first, "published", &nearest));
    assert_ptr_equal(nearest, &second);
    assert_null(selection_find(&first, "will*", &nearest));
    assert_ptr_equal(nearest, &third);
    assert_null(selection_find(&first, "zzzzzzzzzz", &nearest));
    assert_null(nearest);
}

static void statements_are_of_the_version(void **state)
{
    assert_string_equal(selection_statements(&second, VERSION_5), "A");
    assert_null(selection_statements(&second, VERSION_311));
    assert_string_equal(selection_version_name(VERSION_311), "3.1.1");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_its_file_in_front),
        cmocka_unit_test(patterns_match_the_name_or_both),
        cmocka_unit_test(one_of_several_patterns_is_enough),
        cmocka_unit_test(one_case_is_found),
        cmocka_unit_test(a_near_name_is_proposed),
        cmocka_unit_test(statements_are_of_the_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
