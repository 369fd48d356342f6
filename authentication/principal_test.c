#include "authentication/principal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_principal_outlives_what_it_was_made_of(void **state)
{
    (void)state;
    char user_name[] = "alice", common_name[] = "sensor-7", subject[] = "CN=sensor-7,O=Acme";
    struct principal from = {.proof = PRINCIPAL_CERTIFICATE,
                             .user_name = bytes_of_text(user_name),
                             .common_name = bytes_of_text(common_name),
                             .subject = bytes_of_text(subject)};
    struct principal *principal = principal_new(&from);
    assert_non_null(principal);
    memset(user_name, 'x', sizeof user_name - 1);
    memset(common_name, 'x', sizeof common_name - 1);
    memset(subject, 'x', sizeof subject - 1);
    assert_int_equal(principal->proof, PRINCIPAL_CERTIFICATE);
    assert_true(bytes_equal(principal->user_name, bytes_of_text("alice")));
    assert_true(bytes_equal(principal->common_name, bytes_of_text("sensor-7")));
    assert_true(bytes_equal(principal->subject, bytes_of_text("CN=sensor-7,O=Acme")));
    principal_free(principal);
}

static void nobody_has_no_name(void **state)
{
    (void)state;
    struct principal *copy = principal_new(&principal_anonymous);
    assert_non_null(copy);
    assert_int_equal(copy->proof, PRINCIPAL_ANONYMOUS);
    assert_int_equal(copy->user_name.size + copy->common_name.size + copy->subject.size, 0);
    principal_free(copy);
    principal_free(&principal_anonymous);
    principal_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_principal_outlives_what_it_was_made_of),
        cmocka_unit_test(nobody_has_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
