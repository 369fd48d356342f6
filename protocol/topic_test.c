#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/topic.h"
#include "protocol/topic_grammar.h"

/* ---- Topic Names ---- */

static void names_without_wildcards_are_names(void **state)
{
    static const char *const names[] = {"a",  "/",        "//",   "a/b",      " ",         "$SYS/x",
                                        "/a", "finance/", "\x01", "\xC3\xA4", "$share/g/a"};
    size_t offset;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(topic_name_validate(bytes_of_text(names[i]), &offset));
}

static void a_name_has_a_character(void **state)
{
    size_t offset = 1;

    assert_false(topic_name_validate((struct bytes){0}, &offset));
    assert_int_equal(offset, 0);
}

/* Whatever stands in the text, at any place in it, the fast path and the grammar agree. */
static void the_fast_path_says_what_the_grammar_says(void **state)
{
    for (size_t size = 1; size <= 26; size++) {
        for (size_t at = 0; at < size; at++) {
            for (unsigned byte = 0; byte <= 0xFF; byte++) {
                uint8_t *text = malloc(size);
                size_t offset = SIZE_MAX, grammar_offset;

                memset(text, '/', size);
                text[at] = (uint8_t)byte;
                bool expected = byte != 0 && byte < 0x80 && byte != '+' && byte != '#';
                assert_int_equal(topic_name_validate(bytes_of(text, size), &offset), expected);
                assert_int_equal(topic_name_grammar_validate(bytes_of(text, size), &grammar_offset),
                                 expected);
                if (!expected) {
                    assert_int_equal(offset, grammar_offset);
                    /* A first byte of a character is wrong where the next should have been. */
                    assert_int_equal(offset, byte >= 0xC2 && byte <= 0xF4 ? at + 1 : at);
                }
                free(text);
            }
        }
    }
}

/* ---- Topic Filters ---- */

static struct topic_filter parse(const char *text)
{
    size_t offset;

    return topic_filter_parse(bytes_of_text(text), true, &offset);
}

static void assert_text(struct bytes bytes, const char *expected)
{
    assert_int_equal(bytes.size, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
}

/* 5.0 section 4.7.1, its examples first. */
static void plain_filters(void **state)
{
    static const struct {
        const char *text;
        bool has_wildcard;
    } cases[] = {
        {"sport/tennis/player1/#", true},
        {"sport/#", true},
        {"#", true},
        {"sport/tennis/#", true},
        {"+", true},
        {"+/tennis/#", true},
        {"sport/+/player1", true},
        {"/finance", false},
        {"+/+", true},
        {"/+", true},
        {"/#", true},
        {"//#", true},
        {"+/", true},
        {"/", false},
        {"a", false},
        {"a//b", false},
        {"$SYS/#", true},
        {"$share", false},
        {"$shared/g/a", false},
        {"$SHARE/g/a", false},
        {"\xC3\xA4/+", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct topic_filter filter = parse(cases[i].text);
        assert_int_equal(filter.kind, TOPIC_FILTER_PLAIN);
        assert_int_equal(filter.has_wildcard, cases[i].has_wildcard);
        assert_text(filter.filter, cases[i].text);
    }
}

static void shared_filters(void **state)
{
    static const struct {
        const char *text, *share_name, *filter;
        bool has_wildcard;
    } cases[] = {
        {"$share/consumer1/sport/tennis/+", "consumer1", "sport/tennis/+", true},
        {"$share/g/#", "g", "#", true},
        {"$share/g//", "g", "/", false},
        {"$share/g//finance", "g", "/finance", false},
        {"$share/$share/$share/x", "$share", "$share/x", false},
        {"$share/\xC3\xA4 1/a", "\xC3\xA4 1", "a", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct topic_filter filter = parse(cases[i].text);
        assert_int_equal(filter.kind, TOPIC_FILTER_SHARED);
        assert_int_equal(filter.has_wildcard, cases[i].has_wildcard);
        assert_text(filter.share_name, cases[i].share_name);
        assert_text(filter.filter, cases[i].filter);
    }
}

static void filters_that_are_none(void **state)
{
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {
        {"", 0},
        {"sport/tennis#", 12},          /* MQTT-4.7.1-1 */
        {"sport/tennis/#/ranking", 14}, /* MQTT-4.7.1-1 */
        {"#/", 1},
        {"##", 1},
        {"sport+", 5}, /* MQTT-4.7.1-2 */
        {"+a", 1},
        {"++", 1},
        {"a/+b", 3},
        {"+#", 1},
        {"#+", 1},
        {"$share/", 7}, /* MQTT-4.8.2-1 */
        {"$share//a", 7},
        {"$share/g", 8}, /* MQTT-4.8.2-2 */
        {"$share/g/", 9},
        {"$share/+/a", 7},
        {"$share/g+/a", 8},
        {"$share/#/a", 7},
        {"$share/g/a#", 10},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t offset = SIZE_MAX;
        struct topic_filter filter =
            topic_filter_parse(bytes_of_text(cases[i].text), true, &offset);
        if (filter.kind != TOPIC_FILTER_INVALID || offset != cases[i].offset)
            fail_msg("\"%s\" at %zu", cases[i].text, offset);
    }
}

static void without_shared_subscriptions_the_prefix_is_nothing_special(void **state)
{
    size_t offset;
    struct topic_filter filter = topic_filter_parse(bytes_of_text("$share//+"), false, &offset);

    assert_int_equal(filter.kind, TOPIC_FILTER_PLAIN);
    assert_text(filter.filter, "$share//+");
    assert_int_equal(filter.share_name.size, 0);
}

/* ---- Matching: the examples of 5.0 sections 4.7.1 and 4.7.2 ---- */

static const struct {
    const char *filter, *name;
    bool matches;
} matches[] = {
    {"sport/tennis/player1/#", "sport/tennis/player1", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    {"sport/tennis/player1/#", "sport/tennis/player12", false},
    {"sport/#", "sport", true},
    {"#", "a", true},
    {"#", "/", true},
    {"#", "a/b/c", true},
    {"sport/tennis/+", "sport/tennis/player1", true},
    {"sport/tennis/+", "sport/tennis/player1/ranking", false},
    {"sport/tennis/+", "sport/tennis/", true},
    {"sport/tennis/+", "sport/tennis", false},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"+", "/finance", false},
    {"#", "$SYS/broker", false},
    {"+/monitor/Clients", "$SYS/monitor/Clients", false},
    {"+", "$SYS", false},
    {"$SYS/#", "$SYS/monitor", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    {"a/+/c", "a/$x/c", true},
    {"ACCOUNTS", "Accounts", false},
    {"/finance", "finance", false},
    {"a", "a/", false},
    {"a/", "a", false},
    {"a/", "a/", true},
    {"a//b", "a//b", true},
    {"a/+/b", "a//b", true},
    {"+/a/#", "/a", true},
    {"a/b", "a/b/c", false},
    {"a/b/c", "a/b", false},
    {"a/#", "ab", false},
    {"+", "ab", true},
};

static void filters_match_what_the_specification_says(void **state)
{
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++) {
        if (topic_filter_matches(bytes_of_text(matches[i].filter),
                                 bytes_of_text(matches[i].name)) != matches[i].matches)
            fail_msg("\"%s\" and \"%s\"", matches[i].filter, matches[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_without_wildcards_are_names),
        cmocka_unit_test(a_name_has_a_character),
        cmocka_unit_test(the_fast_path_says_what_the_grammar_says),
        cmocka_unit_test(plain_filters),
        cmocka_unit_test(shared_filters),
        cmocka_unit_test(filters_that_are_none),
        cmocka_unit_test(without_shared_subscriptions_the_prefix_is_nothing_special),
        cmocka_unit_test(filters_match_what_the_specification_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
