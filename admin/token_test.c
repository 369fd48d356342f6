#include "admin/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/holdfast-token-XXXXXX";

static void holds(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_whole_token_and_nothing_else_is_taken(void **state)
{
    holds("0123456789abcdef\nsecond line\n");
    assert_true(token_is_given(path, "Bearer 0123456789abcdef"));
    assert_true(token_is_given(path, "bearer 0123456789abcdef"));
    assert_false(token_is_given(path, NULL));
    assert_false(token_is_given(path, ""));
    assert_false(token_is_given(path, "Bearer "));
    assert_false(token_is_given(path, "Bearer 0123456789abcde"));
    assert_false(token_is_given(path, "Bearer 0123456789abcdef0123456789abcdef"));
    assert_false(token_is_given(path, "Bearer 0123456789abcdeF"));
    assert_false(token_is_given(path, "Basic 0123456789abcdef"));
}

static void a_file_without_a_token_lets_nobody_in(void **state)
{
    static const char not_ascii[] = "0123456789\xc3\xa4"
                                    "bcdef\n"; /* in two: \xa4bcdef would be one number */
    static const char *const texts[] = {"", "\n", "short\n", "0123456789abcdef with words\n",
                                        not_ascii};
    char error[256];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char given[64];
        holds(texts[i]);
        snprintf(given, sizeof given, "Bearer %.*s", (int)strcspn(texts[i], "\n"), texts[i]);
        assert_int_not_equal(token_check(path, error, sizeof error), 0);
        assert_false(token_is_given(path, given));
    }
    holds("0123456789abcdef");
    assert_int_equal(token_check(path, error, sizeof error), 0);
    unlink(path);
    assert_int_not_equal(token_check(path, error, sizeof error), 0);
    assert_false(token_is_given(path, "Bearer 0123456789abcdef"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_token_and_nothing_else_is_taken),
        cmocka_unit_test(a_file_without_a_token_lets_nobody_in),
    };
    close(mkstemp(path));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
