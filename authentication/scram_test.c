/* SCRAM-SHA-256: the exchange that RFC 7677 gives in section 3, and what a server must not take
 * (RFC 5802 sections 5 to 7). */
#include "authentication/scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" CLIENT_NONCE SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define CLIENT_FINAL                                                                               \
    "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static const struct scram_channel channels[] = {
    {"tls-exporter", {1, 2, 3, 4}, 4},
    {"tls-server-end-point", {5, 6}, 2},
};

static struct bytes text(const char *characters)
{
    return bytes_of_text(characters);
}

/* The user of RFC 7677's example. */
static struct scram_credential pencil(void)
{
    struct scram_credential credential = {.iterations = 4096};
    size_t size;
    assert_true(base64_decode(text("W22ZaJ0SNY7soEsUEjb6gQ=="), credential.salt,
                              sizeof credential.salt, &size));
    credential.salt_size = (uint32_t)size;
    assert_true(scram_credential_derive(&credential, text("pencil")));
    return credential;
}

static struct scram challenged(bool plus, const char *first)
{
    struct scram scram;
    struct scram_credential credential = pencil();
    assert_null(scram_start(&scram, plus, text(first), channels, plus ? 2 : 0));
    scram_challenge(&scram, &credential, SERVER_NONCE);
    return scram;
}

static void the_exchange_of_rfc_7677(void **state)
{
    struct scram scram;
    struct scram_credential credential = pencil();
    assert_null(scram_start(&scram, false, text("n,,n=user,r=" CLIENT_NONCE), NULL, 0));
    assert_true(bytes_equal(scram.user_name, text("user")));
    struct bytes challenge = scram_challenge(&scram, &credential, SERVER_NONCE);
    assert_true(bytes_equal(challenge, text(SERVER_FIRST)));
    assert_null(scram_finish(&scram, text(CLIENT_FINAL)));
    assert_string_equal(scram.server_final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

static void another_proof_is_none(void **state)
{
    static const char *const finals[] = {
        "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVU=",
        "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ",
        "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=AAAA",
        "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=",
        "c=biws,r=" CLIENT_NONCE SERVER_NONCE,
        "c=biws",
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "",
    };
    for (size_t i = 0; i < sizeof finals / sizeof *finals; i++) {
        struct scram scram = challenged(false, "n,,n=user,r=" CLIENT_NONCE);
        if (scram_finish(&scram, text(finals[i])) == NULL)
            fail_msg("taken: %s", finals[i]);
    }
}

/* ---- A client whose proof fits whatever it says ---- */

static void hmac(const uint8_t key[HMAC_SIZE], const char *message, uint8_t out[HMAC_SIZE])
{
    struct bytes part = text(message);
    assert_true(hmac_sha256(bytes_of(key, HMAC_SIZE), &part, 1, out));
}

/* What a client says whose password is "pencil": "c=...,r=..." and the proof for it. */
static const char *finish(struct scram *scram, const char *bare, const char *without)
{
    char message[2048], final[2048], proof_text[64];
    uint8_t salted[HMAC_SIZE], client_key[HMAC_SIZE], stored_key[HMAC_SIZE], proof[HMAC_SIZE];
    struct scram_credential credential = pencil();
    assert_int_equal(wc_PBKDF2(salted, (const byte *)"pencil", 6, credential.salt,
                               (int)credential.salt_size, 4096, HMAC_SIZE, WC_SHA256),
                     0);
    hmac(salted, "Client Key", client_key);
    assert_int_equal(wc_Sha256Hash(client_key, HMAC_SIZE, stored_key), 0);
    snprintf(message, sizeof message, "%s,%s,%s", bare, scram->server_first, without);
    hmac(stored_key, message, proof);
    for (unsigned i = 0; i < HMAC_SIZE; i++)
        proof[i] ^= client_key[i];
    base64_encode(bytes_of(proof, HMAC_SIZE), proof_text);
    snprintf(final, sizeof final, "%s,p=%s", without, proof_text);
    return scram_finish(scram, text(final));
}

#define NONCE CLIENT_NONCE SERVER_NONCE

static void the_nonce_is_the_one_of_the_exchange(void **state)
{
    static const char *const wrong[] = {
        "c=biws,r=" NONCE "x",
        "c=biws,r=" CLIENT_NONCE,
        "c=biws,r=" SERVER_NONCE,
        "c=biws,r=",
        "c=biws",
        "c=biws,x=1,r=" NONCE,
    };
    struct scram scram = challenged(false, "n,,n=user,r=" CLIENT_NONCE);
    assert_null(finish(&scram, "n=user,r=" CLIENT_NONCE, "c=biws,r=" NONCE));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        scram = challenged(false, "n,,n=user,r=" CLIENT_NONCE);
        if (finish(&scram, "n=user,r=" CLIENT_NONCE, wrong[i]) == NULL)
            fail_msg("taken: %s", wrong[i]);
    }
}

/* c= is the GS2 header in base64: "n,,", "y,,"; with a channel, its data behind it. */
static void the_channel_is_the_one_that_the_server_sees(void **state)
{
    struct scram scram = challenged(false, "n,,n=user,r=" CLIENT_NONCE);
    assert_non_null(finish(&scram, "n=user,r=" CLIENT_NONCE, "c=eSws,r=" NONCE));
    scram = challenged(false, "y,,n=user,r=" CLIENT_NONCE);
    assert_null(finish(&scram, "n=user,r=" CLIENT_NONCE, "c=eSws,r=" NONCE));
    scram = challenged(true, "p=tls-exporter,,n=user,r=" CLIENT_NONCE);
    assert_null(
        finish(&scram, "n=user,r=" CLIENT_NONCE, "c=cD10bHMtZXhwb3J0ZXIsLAECAwQ=,r=" NONCE));
    static const char *const others[] = {
        "c=cD10bHMtZXhwb3J0ZXIsLAECAwU=,r=" NONCE,         /* 1 2 3 5 */
        "c=cD10bHMtZXhwb3J0ZXIsLAECAwQF,r=" NONCE,         /* 1 2 3 4 5 */
        "c=cD10bHMtZXhwb3J0ZXIsLA==,r=" NONCE,             /* nothing */
        "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsBQY=,r=" NONCE, /* the other type's */
        "c=biws,r=" NONCE,
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        scram = challenged(true, "p=tls-exporter,,n=user,r=" CLIENT_NONCE);
        if (finish(&scram, "n=user,r=" CLIENT_NONCE, others[i]) == NULL)
            fail_msg("taken: %s", others[i]);
    }
    scram = challenged(true, "p=tls-server-end-point,,n=user,r=" CLIENT_NONCE);
    assert_null(finish(&scram, "n=user,r=" CLIENT_NONCE,
                       "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsBQY=,r=" NONCE));
}

/* ---- First messages ---- */

static const char *start(bool plus, const char *first, size_t channel_count)
{
    struct scram scram;
    return scram_start(&scram, plus, text(first), channels, channel_count);
}

static void method_and_flag_have_to_say_the_same(void **state)
{
    assert_null(start(false, "n,,n=u,r=x", 2));
    assert_null(start(false, "y,,n=u,r=x", 0));
    assert_non_null(start(false, "y,,n=u,r=x", 2)); /* a downgrade: RFC 5802 section 6 */
    assert_non_null(start(false, "p=tls-exporter,,n=u,r=x", 2));
    assert_null(start(true, "p=tls-exporter,,n=u,r=x", 2));
    assert_non_null(start(true, "p=tls-unique,,n=u,r=x", 2));
    assert_non_null(start(true, "p=tls-exporter,,n=u,r=x", 0));
    assert_non_null(start(true, "n,,n=u,r=x", 2));
    assert_non_null(start(true, "y,,n=u,r=x", 2));
}

static void unsound_first_messages_are_refused(void **state)
{
    static const char *const firsts[] = {
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=u",
        "n,,n=u,",
        "n,,n=u,r=",
        "n,,n=,r=x",
        "n,,r=x,n=u",
        "n,n=u,r=x",
        "x,,n=u,r=x",
        "n,a=,n=u,r=x",
        "n,a=v,n=u,r=x",
        "n,b=u,n=u,r=x",
        "n,,m=e,n=u,r=x",
        "n,,n=u=,r=x",
        "n,,n=u=2,r=x",
        "n,,n=u=2c,r=x",
        "n,,n=u,r=\x7f",
        "n,,n=u,r=a b",
        ",,n=u,r=x",
        "nn,,n=u,r=x",
    };
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        if (start(false, firsts[i], 0) == NULL)
            fail_msg("taken: %s", firsts[i]);
    }
    struct scram scram;
    assert_non_null(scram_start(&scram, false, bytes_of("n,,n=u\0v,r=x", 12), NULL, 0));
    assert_null(start(false, "n,a=u,n=u,r=x", 0)); /* for itself */
    assert_null(start(false, "n,,n=u,r=x,e=more", 0));
}

static void commas_and_equals_in_names_are_read(void **state)
{
    struct scram scram;
    assert_null(scram_start(&scram, false, text("n,,n=a=2Cb=3Dc,r=x"), NULL, 0));
    assert_true(bytes_equal(scram.user_name, text("a,b=c")));
}

static void what_is_too_long_is_refused(void **state)
{
    char first[SCRAM_FIRST_MAX + 2];
    static const struct {
        unsigned user, nonce;
        bool fits;
    } sizes[] = {{SCRAM_USER_MAX, 1, true},
                 {SCRAM_USER_MAX + 1, 1, false},
                 {1, SCRAM_NONCE_MAX, true},
                 {1, SCRAM_NONCE_MAX + 1, false},
                 {SCRAM_USER_MAX, SCRAM_NONCE_MAX, true}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int user = (int)sizes[i].user, nonce = (int)sizes[i].nonce;
        snprintf(first, sizeof first, "n,,n=%0*d,r=%0*d", user, 0, nonce, 0);
        assert_int_equal(start(false, first, 0) == NULL, sizes[i].fits);
    }
    memset(first, 'x', sizeof first);
    memcpy(first, "n,,n=u,r=x,e=", 13);
    struct scram scram;
    assert_null(scram_start(&scram, false, bytes_of(first, SCRAM_FIRST_MAX), NULL, 0));
    assert_non_null(scram_start(&scram, false, bytes_of(first, SCRAM_FIRST_MAX + 1), NULL, 0));
}

/* ---- What stands in the file ---- */

/* Calculated from RFC 5802 section 3 with the hashlib and hmac of Python. */
static void a_credential_is_what_its_text_says(void **state)
{
    char printed[SCRAM_CREDENTIAL_TEXT_SIZE];
    struct scram_credential credential = pencil(), parsed;
    scram_credential_print(&credential, printed);
    assert_string_equal(printed, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                                 "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                                 "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    assert_true(scram_credential_parse(printed, &parsed));
    assert_int_equal(parsed.iterations, 4096);
    assert_int_equal(parsed.salt_size, 16);
    assert_memory_equal(parsed.stored_key, credential.stored_key, HMAC_SIZE);
    assert_memory_equal(parsed.server_key, credential.server_key, HMAC_SIZE);
}

static void unsound_credentials_are_refused(void **state)
{
#define KEYS                                                                                       \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    static const char *const texts[] = {
        "SCRAM-SHA-256$4095:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$99999999:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$-4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$4096:$" KEYS,
        "SCRAM-SHA-256$4096:W22Z aJ0SNY7soEsUEjb6gQ=$" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS "AAAA",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "",
    };
    struct scram_credential parsed;
    assert_true(
        scram_credential_parse("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS, &parsed));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (scram_credential_parse(texts[i], &parsed))
            fail_msg("taken: %s", texts[i]);
    }
}

/* RFC 4648 section 10. */
static void base64_is_read_and_written(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    static const char *const wrong[] = {
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "====", "Zm9\n", "Zm 9"};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char written[16];
        uint8_t read[16];
        size_t size;
        base64_encode(text(pairs[i][0]), written);
        assert_string_equal(written, pairs[i][1]);
        assert_true(base64_decode(text(written), read, sizeof read, &size));
        assert_true(bytes_equal(bytes_of(read, size), text(pairs[i][0])));
        assert_true(size == 0 || !base64_decode(text(written), read, size - 1, &size));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t read[16];
        size_t size;
        if (base64_decode(text(wrong[i]), read, sizeof read, &size))
            fail_msg("taken: %s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exchange_of_rfc_7677),
        cmocka_unit_test(another_proof_is_none),
        cmocka_unit_test(the_nonce_is_the_one_of_the_exchange),
        cmocka_unit_test(the_channel_is_the_one_that_the_server_sees),
        cmocka_unit_test(method_and_flag_have_to_say_the_same),
        cmocka_unit_test(unsound_first_messages_are_refused),
        cmocka_unit_test(commas_and_equals_in_names_are_read),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(a_credential_is_what_its_text_says),
        cmocka_unit_test(unsound_credentials_are_refused),
        cmocka_unit_test(base64_is_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
