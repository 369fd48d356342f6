#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conformance/fault/topic.h"

static void filters_match_as_section_4_7_says(void **state)
{
    static const struct {
        const char *filter, *name;
        bool matches;
    } rows[] = {
        {"a/b", "a/b", true},
        {"a/b", "a/b/", false},
        {"a/b", "a", false},
        {"a/+", "a/b", true},
        {"a/+", "a/", true},
        {"a/+", "a", false},
        {"a/+", "a/b/c", false},
        {"+", "a", true},
        {"+", "/a", false},
        {"+/+", "/a", true},
        {"a/#", "a", true},
        {"a/#", "a/b/c", true},
        {"a/#", "ab", false},
        {"#", "a/b", true},
        {"+/b/#", "a/b", true},
        {"#", "$SYS/a", false},
        {"+/a", "$SYS/a", false},
        {"$SYS/#", "$SYS/a", true},
        {"$share/g/a/+", "a/b", true},
        {"$share/g/a/+", "$share/g/a/b", false},
        {"A", "a", false},
        {"a//b", "a/b", false},
        {"a/+/b", "a//b", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool matches = topic_matches(text_of(rows[i].filter), text_of(rows[i].name));
        if (matches != rows[i].matches)
            fail_msg("%s %s %s", rows[i].filter, matches ? "matches" : "does not match",
                     rows[i].name);
    }
}

static void levels_stand_between_slashes(void **state)
{
    struct text rest = TEXT("/a//"), level;
    static const char *const levels[] = {"", "a", "", ""};
    bool more = true;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(topic_next_level(&rest, &more, &level));
        assert_true(text_equal(level, text_of(levels[i])));
    }
    assert_false(topic_next_level(&rest, &more, &level));
}

static void share_is_taken_off(void **state)
{
    assert_true(text_equal(topic_without_share(TEXT("$share/g/a/b")), TEXT("a/b")));
    assert_true(text_equal(topic_without_share(TEXT("$share/g")), TEXT("$share/g")));
    assert_true(text_equal(topic_without_share(TEXT("a/b")), TEXT("a/b")));
    assert_true(topic_is_shared(TEXT("$share/g/a")));
    assert_false(topic_is_shared(TEXT("$shared/g/a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_match_as_section_4_7_says),
        cmocka_unit_test(levels_stand_between_slashes),
        cmocka_unit_test(share_is_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
