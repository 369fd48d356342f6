#include "authentication/password_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "authentication/password.h"

#define HASH "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$qdVSV23znpN3oRX4v17E59IodBxO1bzdFa3VKKRlE98"
#define OTHER "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$6foLM1JhGupouWKMU70wxK61Kw9ZnecbACjJwRadqM2"

static char error[256];

static struct password_file *accepts(const char *text)
{
    struct password_file *file;
    enum status status = password_file_parse("x", bytes_of_text(text), &file, error, sizeof error);
    if (status != STATUS_OK)
        fail_msg("refused: %s", error);
    return file;
}

static void refuses(const char *text, size_t size, const char *expected)
{
    struct password_file *file;
    assert_int_equal(password_file_parse("x", bytes_of(text, size), &file, error, sizeof error),
                     STATUS_INVALID);
    assert_string_equal(error, expected);
    assert_null(file);
}

static const char *find(const struct password_file *file, const char *user_name)
{
    return password_file_find(file, bytes_of_text(user_name));
}

static void users_are_found_by_their_whole_name(void **state)
{
    (void)state;
    struct password_file *file = accepts("# users\n\nbob:" HASH "\r\nalice:" OTHER "  \n"
                                         "al:" HASH "\n#eve:" HASH "\nzo\xc3\xab:" HASH);
    assert_int_equal(password_file_count(file), 4);
    assert_string_equal(find(file, "alice"), OTHER);
    assert_string_equal(find(file, "bob"), HASH);
    assert_string_equal(find(file, "zo\xc3\xab"), HASH);
    static const char *const strangers[] = {"",     "a",    "alic", "alicee", "Alice",  "eve",
                                            "#eve", "bob:", "zo",   "zz",     "# users"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        assert_null(find(file, strangers[i]));
    assert_null(password_file_find(file, bytes_of("bob\0", 4)));
    password_file_free(file);
}

static void a_file_without_users_is_one(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\n", "# nobody", "\n\n#\n"};
    struct hash_key key = {1, 2};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct password_file *file = accepts(empty[i]);
        assert_int_equal(password_file_count(file), 0);
        assert_null(find(file, "alice"));
        assert_ptr_equal(password_file_decoy(file, &key, bytes_of_text("alice")), password_nobody);
        password_file_free(file);
    }
}

static void a_fault_is_told_with_its_line(void **state)
{
    (void)state;
#define REFUSES(text, expected) refuses(text, sizeof(text) - 1, expected)
    REFUSES("alice", "x:1: not USER:HASH");
    REFUSES(":" HASH, "x:1: not USER:HASH");
    REFUSES("a:" HASH "\nb:secret\n", "x:2: neither a $7$ (PBKDF2) nor a $y$ (yescrypt) hash, nor "
                                      "one for SCRAM");
    REFUSES("a:" HASH "\n\nb:" HASH "\na:" OTHER, "x:4: user \"a\" stands in line 1 too");
    REFUSES("a:" HASH "\n\0b:" HASH, "x:2: a zero byte");
    REFUSES("a:\n", "x:1: neither a $7$ (PBKDF2) nor a $y$ (yescrypt) hash, nor one for SCRAM");
}

static void a_stranger_costs_what_somebody_costs(void **state)
{
    (void)state;
    struct hash_key key = {3, 4};
    struct password_file *file = accepts("a:" HASH "\nb:" OTHER "\n");
    unsigned of_a = 0;
    for (char name[] = "aa"; name[0] <= 'z'; name[0]++) {
        const char *decoy = password_file_decoy(file, &key, bytes_of_text(name));
        assert_ptr_equal(decoy, password_file_decoy(file, &key, bytes_of_text(name)));
        assert_true(decoy == find(file, "a") || decoy == find(file, "b"));
        of_a += decoy == find(file, "a");
    }
    assert_in_range(of_a, 1, 25);
    password_file_free(file);
}

static void files_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    struct password_file *file;
    assert_int_equal(password_file_load("/nowhere/users", &file, error, sizeof error),
                     STATUS_NOT_FOUND);
    assert_string_equal(error, "/nowhere/users: No such file or directory");
    assert_int_equal(password_file_load("/", &file, error, sizeof error), STATUS_IO);
    assert_string_equal(error, "/: Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_found_by_their_whole_name),
        cmocka_unit_test(a_file_without_users_is_one),
        cmocka_unit_test(a_fault_is_told_with_its_line),
        cmocka_unit_test(a_stranger_costs_what_somebody_costs),
        cmocka_unit_test(files_that_cannot_be_read_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
