/* SCRAM-SHA-256: the exchange that RFC 7677 gives in section 3, and what a client must not take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/net/scram.h"

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define NONCE CLIENT_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

static struct scram_client example(void)
{
    struct scram_client client = {.user = "user", .password = "pencil", .nonce = CLIENT_NONCE};
    assert_true(scram_client_first(&client));
    return client;
}

static void client_speaks_as_in_rfc_7677(void **state)
{
    (void)state;
    struct scram_client client = example();
    assert_string_equal(client.first, "n,,n=user,r=" CLIENT_NONCE);
    assert_null(scram_client_final(&client, TEXT(SERVER_FIRST)));
    assert_string_equal(client.final,
                        "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
}

static void server_of_rfc_7677_is_believed(void **state)
{
    (void)state;
    struct scram_client client = example();
    assert_null(scram_client_final(&client, TEXT(SERVER_FIRST)));
    assert_true(
        scram_client_verifies(&client, TEXT("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
}

static void other_servers_are_not_believed(void **state)
{
    (void)state;
    static const char *const finals[] = {
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4",
        "v=",
        "",
        "e=invalid-proof",
    };
    struct scram_client client = example();
    assert_null(scram_client_final(&client, TEXT(SERVER_FIRST)));
    for (unsigned i = 0; i < sizeof finals / sizeof *finals; i++)
        assert_false(scram_client_verifies(&client, text_of(finals[i])));
}

static void commas_and_equals_in_names_are_escaped(void **state)
{
    (void)state;
    struct scram_client client = {.user = "a,b=c", .password = "", .nonce = "x"};
    assert_true(scram_client_first(&client));
    assert_string_equal(client.first, "n,,n=a=2Cb=3Dc,r=x");
}

static void overlong_name_is_refused(void **state)
{
    (void)state;
    char name[SCRAM_MESSAGE_SIZE + 1];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct scram_client client = {.user = name, .password = "", .nonce = "x"};
    assert_false(scram_client_first(&client));
    name[SCRAM_MESSAGE_SIZE - 9] = '\0';
    assert_false(scram_client_first(&client));
    name[SCRAM_MESSAGE_SIZE - 10] = '\0';
    assert_true(scram_client_first(&client));
}

static void unsound_challenges_are_refused(void **state)
{
    (void)state;
    static const char *const challenges[] = {
        "",
        "r=" CLIENT_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=other" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=" NONCE ",s=,i=4096",
        "r=" NONCE ",s=*,i=4096",
        "r=" NONCE ",s=****,i=4096",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
        "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967297",
        "m=x,r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "e=other-error",
    };
    struct scram_client client = example();
    for (unsigned i = 0; i < sizeof challenges / sizeof *challenges; i++) {
        if (!scram_client_final(&client, text_of(challenges[i])))
            fail_msg("accepted: %s", challenges[i]);
    }
}

static void nonces_differ(void **state)
{
    (void)state;
    char first[SCRAM_NONCE_SIZE], second[SCRAM_NONCE_SIZE];
    scram_nonce(first);
    scram_nonce(second);
    assert_int_equal(strlen(first), SCRAM_NONCE_SIZE - 1);
    assert_string_not_equal(first, second);
    assert_null(strchr(first, ','));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_speaks_as_in_rfc_7677),
        cmocka_unit_test(server_of_rfc_7677_is_believed),
        cmocka_unit_test(other_servers_are_not_believed),
        cmocka_unit_test(commas_and_equals_in_names_are_escaped),
        cmocka_unit_test(overlong_name_is_refused),
        cmocka_unit_test(unsound_challenges_are_refused),
        cmocka_unit_test(nonces_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
