#include "authentication/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Written by Debian 12's mosquitto_passwd for "wonderland" and "bob:s secret", and by libxcrypt for
 * "x". */
#define ALICE                                                                                      \
    "$7$101$s91unNPwGZ+h7XHP$JAgC+ku3WFMR5jU4DJs41uhVIxx9Q+"                                       \
    "VK1w8XB8tvESpeN3e1U8XTznx5lCVU39LzN1gGmQP78YF9ii+PYJZz1Q=="
#define BOB                                                                                        \
    "$7$101$V4W+57y072fDcCgz$AEIX5pohOap/"                                                         \
    "UPlrFXHx3J1arslX3UuJsXIEqBxA2U4PVY1AU8Y+Wi3CmXPt6IbLmVRvmIitTexbisNpO70jnA=="
#define X "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$qdVSV23znpN3oRX4v17E59IodBxO1bzdFa3VKKRlE98"

static bool matches(const char *hash, const char *password)
{
    return password_matches(hash, bytes_of_text(password));
}

static void what_others_have_hashed_is_recognised(void **state)
{
    (void)state;
    assert_true(matches(ALICE, "wonderland"));
    assert_true(matches(BOB, "bob:s secret"));
    assert_true(matches(X, "x"));
}

static void anything_else_is_not(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "wonderlan", "wonderland ", "Wonderland", ALICE, X};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(matches(ALICE, wrong[i]));
        assert_false(matches(X, wrong[i]));
        assert_false(matches(password_nobody, wrong[i]));
    }
    assert_false(matches(BOB, "wonderland"));
    assert_false(password_matches(X, bytes_of("x\0", 2))); /* not cut at the zero */
    assert_false(password_matches(X, bytes_of(NULL, 0)));
    assert_false(password_matches(ALICE, bytes_of(NULL, 0)));
    assert_false(password_matches(ALICE, bytes_of("wonderland\0", 11)));
    assert_false(matches(password_nobody, "x"));
}

static void a_new_hash_is_yescrypt_and_salted(void **state)
{
    (void)state;
    char one[PASSWORD_HASH_SIZE], other[PASSWORD_HASH_SIZE];
    assert_int_equal(password_hash(bytes_of_text("secret"), one), STATUS_OK);
    assert_int_equal(password_hash(bytes_of_text("secret"), other), STATUS_OK);
    assert_memory_equal(one, "$y$", 3);
    assert_string_not_equal(one, other);
    assert_null(password_hash_fault(one));
    assert_true(matches(one, "secret"));
    assert_true(matches(other, "secret"));
    assert_false(matches(one, "Secret"));
}

static void what_crypt_cannot_keep_apart_is_no_new_password(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_SIZE], longest[PASSWORD_SIZE_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(password_hash(bytes_of("", 0), hash), STATUS_INVALID);
    assert_int_equal(password_hash(bytes_of("a\0b", 3), hash), STATUS_INVALID);
    assert_int_equal(password_hash(bytes_of(longest, sizeof longest), hash), STATUS_INVALID);
    assert_int_equal(password_hash(bytes_of(longest, sizeof longest - 1), hash), STATUS_OK);
    assert_true(password_matches(hash, bytes_of(longest, sizeof longest - 1)));
    assert_false(password_matches(hash, bytes_of(longest, sizeof longest - 2)));
    assert_false(password_matches(hash, bytes_of(longest, sizeof longest)));
}

static void unsound_hashes_are_told(void **state)
{
    (void)state;
    static const char *const unsound[] = {
        "",
        "x",
        "$",
        "$7$",
        "$7$101",
        "$7$101$",
        "$7$101$c2FsdA==",
        "$7$101$c2FsdA==$",
        "$7$101$$aGFzaA==",
        "$7$101$c2FsdA==$aGFzaA==", /* too short for SHA-512 */
        "$7$0$c2FsdA==$aGFzaA==",
        "$7$-1$c2FsdA==$aGFzaA==",
        "$7$99999999999999999999$c2FsdA==$aGFzaA==",
        "$7$101$s91unNPwGZ+h7XHP$JAgC+ku3WFMR5jU4DJs41uhVIxx9Q+VK1w8XB8tvESpeN3e1U8XTznx5lCVU39L",
        ("$7$101$!!!!$JAgC+ku3WFMR5jU4DJs41uhVIxx9Q+VK1w8XB8tvESpeN3e1U8XTznx5lCVU39LzN1gGmQP78YF9"
         "ii+PYJZz1Q=="),
        "$6$+dDSZ6EDC6tB0bNG$E3uw6AZ7M7ITz85kf5HzXeMleIetpBxylg==",
        "$y$j9T",
        "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/",
        "$1$abc$abc",
        "plain text",
    };
    assert_null(password_hash_fault(ALICE));
    assert_null(password_hash_fault(X));
    for (size_t i = 0; i < sizeof unsound / sizeof *unsound; i++) {
        if (password_hash_fault(unsound[i]) == NULL)
            fail_msg("\"%s\" is taken for a hash", unsound[i]);
        assert_false(matches(unsound[i], "x"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_have_hashed_is_recognised),
        cmocka_unit_test(anything_else_is_not),
        cmocka_unit_test(a_new_hash_is_yescrypt_and_salted),
        cmocka_unit_test(what_crypt_cannot_keep_apart_is_no_new_password),
        cmocka_unit_test(unsound_hashes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
