#include "authentication/remembered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { USERS = 1000 };

static struct bytes text(const char *characters)
{
    return bytes_of_text(characters);
}

static void only_what_was_right_is_known(void **state)
{
    struct remembered *remembered = remembered_new(USERS);
    assert_non_null(remembered);
    assert_false(remembered_has(remembered, text("alice"), "$y$a", text("wonderland")));
    remembered_add(remembered, text("alice"), "$y$a", text("wonderland"));
    assert_true(remembered_has(remembered, text("alice"), "$y$a", text("wonderland")));
    assert_false(remembered_has(remembered, text("alice"), "$y$a", text("wonderlanD")));
    assert_false(remembered_has(remembered, text("alice"), "$y$a", text("")));
    /* Another password in the file. */
    assert_false(remembered_has(remembered, text("alice"), "$y$b", text("wonderland")));
    /* Somebody that there is not, for whom alice's hash is tried. */
    assert_false(remembered_has(remembered, text("mallory"), "$y$a", text("wonderland")));
    /* The same bytes, divided otherwise. */
    assert_false(remembered_has(remembered, text("alice$"), "y$a", text("wonderland")));
    assert_false(remembered_has(remembered, text("alice"), "$y$aw", text("onderland")));
    remembered_free(remembered);
    remembered_free(NULL);
}

/* Nothing that one process has kept is of use to another. */
static void every_process_has_a_key_of_its_own(void **state)
{
    struct remembered *one = remembered_new(1), *other = remembered_new(1);
    remembered_add(one, text("u"), "h", text("p"));
    assert_true(remembered_has(one, text("u"), "h", text("p")));
    assert_false(remembered_has(other, text("u"), "h", text("p")));
    remembered_free(one);
    remembered_free(other);
}

static unsigned count_known(struct remembered *remembered, unsigned from, unsigned to)
{
    unsigned known = 0;
    for (unsigned i = from; i < to; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        known += remembered_has(remembered, text(name), "h", text("p"));
    }
    return known;
}

static void as_many_as_were_asked_for_are_kept_and_not_endlessly_more(void **state)
{
    struct remembered *remembered = remembered_new(USERS);
    for (unsigned i = 0; i < 10 * USERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        remembered_add(remembered, text(name), "h", text("p"));
        /* Sets are full by chance: some eight of a thousand are lost, never a hundred. */
        if (i + 1 == USERS)
            assert_in_range(count_known(remembered, 0, USERS), USERS * 9 / 10, USERS);
    }
    assert_in_range(count_known(remembered, 0, 10 * USERS), USERS, 2 * USERS + 8);
    assert_in_range(count_known(remembered, 10 * USERS - USERS / 2, 10 * USERS), USERS * 45 / 100,
                    USERS / 2);
    remembered_free(remembered);
}

/* Of one set: the ninth takes the place of the one that was not used since. */
static void what_is_used_stays(void **state)
{
    struct remembered *remembered = remembered_new(0);
    for (char name = 'a'; name < 'i'; name++)
        remembered_add(remembered, bytes_of(&name, 1), "h", text("p"));
    assert_true(remembered_has(remembered, text("a"), "h", text("p")));
    remembered_add(remembered, text("ninth"), "h", text("p"));
    assert_true(remembered_has(remembered, text("a"), "h", text("p")));
    assert_false(remembered_has(remembered, text("b"), "h", text("p")));
    assert_true(remembered_has(remembered, text("c"), "h", text("p")));
    remembered_free(remembered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_right_is_known),
        cmocka_unit_test(every_process_has_a_key_of_its_own),
        cmocka_unit_test(as_many_as_were_asked_for_are_kept_and_not_endlessly_more),
        cmocka_unit_test(what_is_used_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
