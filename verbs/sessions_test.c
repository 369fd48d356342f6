#include "verbs/sessions.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool matches(const char *pattern, const char *text)
{
    return sessions_pattern_matches(bytes_of_text(pattern), bytes_of_text(text));
}

static void a_pattern_matches_all_of_the_text(void **state)
{
    (void)state;
    assert_true(matches("abc", "abc"));
    assert_false(matches("abc", "abcd"));
    assert_false(matches("abc", "ab"));
    assert_true(matches("", ""));
    assert_false(matches("", "a"));
}

static void wildcards_stand_for_any_bytes_and_for_one(void **state)
{
    (void)state;
    assert_true(matches("*", ""));
    assert_true(matches("*b*", "abc"));
    assert_true(matches("a*", "a"));
    assert_true(matches("*ab", "aab"));
    assert_true(matches("a*b*c", "axxbxbxc"));
    assert_false(matches("a*b*c", "axxbxbx"));
    assert_true(matches("a?c", "abc"));
    assert_false(matches("a?c", "ac"));
    assert_true(matches("?*?", "ab"));
    assert_false(matches("?*?", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_matches_all_of_the_text),
        cmocka_unit_test(wildcards_stand_for_any_bytes_and_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
