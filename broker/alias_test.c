#include "broker/alias.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct alias_table *table;

static int free_table(void **state)
{
    alias_table_free(table);
    table = NULL;
    return 0;
}

static void make(uint16_t maximum)
{
    table = alias_table_new(maximum);
    assert_non_null(table);
}

static void set(uint16_t alias, const char *topic)
{
    assert_int_equal(alias_set(table, alias, bytes_of_text(topic)), STATUS_OK);
}

static void check(uint16_t alias, const char *topic)
{
    assert_true(bytes_equal(alias_get(table, alias), bytes_of_text(topic)));
}

static void assign(const char *topic, uint16_t alias, bool fresh)
{
    bool is_new = !fresh;
    assert_int_equal(alias_assign(table, bytes_of_text(topic), &is_new), alias);
    assert_int_equal(is_new, fresh);
}

/* ---- Inbound: the Client chooses ---- */

static void an_alias_that_was_never_set_is_empty(void **state)
{
    make(3);
    for (uint16_t alias = 1; alias <= 3; alias++)
        assert_int_equal(alias_get(table, alias).size, 0);
    set(2, "a");
    check(1, "");
    check(3, "");
}

/* [MQTT-3.3.2-12] and 5.0 section 3.3.2.3.4: a new mapping replaces the old one. */
static void an_alias_can_be_set_again(void **state)
{
    make(2);
    set(1, "a/b");
    check(1, "a/b");
    set(1, "a/c");
    check(1, "a/c");
    set(1, "longer/than/before");
    set(1, "longer/than/before");
    check(1, "longer/than/before");
    set(1, "s");
    check(1, "s");
    set(2, "s"); /* two aliases for one topic are the Client's right */
    check(2, "s");
}

/* The packet it came in is gone when the alias is used. */
static void the_topic_is_copied(void **state)
{
    char packet[] = "a/b";
    make(1);
    assert_int_equal(alias_set(table, 1, bytes_of(packet, 3)), STATUS_OK);
    memset(packet, 'x', sizeof packet);
    check(1, "a/b");
}

static void the_longest_topic_and_the_last_alias_fit(void **state)
{
    enum { LONGEST = UINT16_MAX };
    char *topic = malloc(LONGEST);
    assert_non_null(topic);
    memset(topic, 't', LONGEST);
    make(UINT16_MAX);
    assert_int_equal(alias_set(table, UINT16_MAX, bytes_of(topic, LONGEST)), STATUS_OK);
    assert_int_equal(alias_set(table, 1, bytes_of(topic, LONGEST - 1)), STATUS_OK);
    assert_true(bytes_equal(alias_get(table, UINT16_MAX), bytes_of(topic, LONGEST)));
    assert_true(bytes_equal(alias_get(table, 1), bytes_of(topic, LONGEST - 1)));
    free(topic);
}

/* ---- Outbound: we choose ---- */

/* [MQTT-3.1.2-26]: never above the Client's maximum. The first time the topic goes along. */
static void each_topic_gets_one_alias_until_they_are_used_up(void **state)
{
    make(3);
    assign("a", 1, true);
    assign("b", 2, true);
    assign("a", 1, false);
    assign("c", 3, true);
    assign("d", 0, false);
    assign("b", 2, false);
    assign("c", 3, false);
    assign("d", 0, false);
    check(1, "a");
    check(2, "b");
    check(3, "c");
}

static void topics_are_told_apart_by_every_byte(void **state)
{
    make(10);
    assign("a/b", 1, true);
    assign("a/c", 2, true);
    assign("a/", 3, true);
    assign("a/b/", 4, true);
    assign("b/b", 5, true);
    assign("a/b", 1, false);
}

/* [MQTT-3.1.2-27] */
static void without_aliases_none_is_given(void **state)
{
    make(0);
    assign("a", 0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_alias_that_was_never_set_is_empty, free_table),
        cmocka_unit_test_teardown(an_alias_can_be_set_again, free_table),
        cmocka_unit_test_teardown(the_topic_is_copied, free_table),
        cmocka_unit_test_teardown(the_longest_topic_and_the_last_alias_fit, free_table),
        cmocka_unit_test_teardown(each_topic_gets_one_alias_until_they_are_used_up, free_table),
        cmocka_unit_test_teardown(topics_are_told_apart_by_every_byte, free_table),
        cmocka_unit_test_teardown(without_aliases_none_is_given, free_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
