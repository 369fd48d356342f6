/* Files of pre-shared keys, and handshakes with them. */
#include "tls/psk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "tls/certificates_testing.h"
#include "tls/link_testing.h"

#define KEY "000102030405060708090A0b0c0d0e0f"
#define OTHER_KEY "ffffffffffffffffffffffffffffffff"

/* ---- Files ---- */

static struct psk_table *parsed(const char *text)
{
    struct psk_table *table;
    char error[256];
    if (psk_parse("x", bytes_of_text(text), &table, error, sizeof error) != STATUS_OK)
        fail_msg("refused: %s", error);
    return table;
}

static void refuses(const char *text, const char *expected)
{
    struct psk_table *table;
    char error[256];
    assert_int_equal(psk_parse("x", bytes_of_text(text), &table, error, sizeof error),
                     STATUS_INVALID);
    assert_null(table);
    assert_string_equal(error, expected);
}

static void keys_are_found_by_the_whole_identity(void **state)
{
    static const uint8_t key[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct psk_table *table =
        parsed("# two\n\nzoe:" OTHER_KEY "\r\nalice:" KEY " \nal ice:" KEY "00");
    assert_int_equal(psk_count(table), 3);
    const struct psk_key *found = psk_find(table, bytes_of_text("alice"));
    assert_int_equal(found->size, sizeof key);
    assert_memory_equal(found->key, key, sizeof key);
    assert_int_equal(psk_find(table, bytes_of_text("al ice"))->size, sizeof key + 1);
    static const char *const others[] = {"", "alic", "alicee", "Alice", "# two", "zoe:"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_null(psk_find(table, bytes_of_text(others[i])));
    psk_free(table);
}

static void what_is_no_key_is_refused_with_its_line_and_without_the_key(void **state)
{
    static const char *const size = "the key has not 32 to 128 hexadecimal digits (16 to 64 bytes)";
    char words[160];
    snprintf(words, sizeof words, "x:2: %s", size);
    refuses("\na:" KEY "0", words);
    refuses("\na:0011223344556677889900aabbccdd", words);
    refuses("\na:", words);
    refuses("\na:" KEY KEY KEY KEY "00", words);
    refuses("a:000102030405060708090A0b0c0d0e0g", "x:1: the key is not hexadecimal");
    refuses("b:" KEY "\na:" KEY ":0", "x:2: the key is not hexadecimal");
}

static void lines_that_name_nobody_are_refused(void **state)
{
    static const char words[] = "x:1: the identity is not 1 to 128 printable ASCII characters";
    char text[200];
    refuses("alice", "x:1: not IDENTITY:HEXKEY");
    refuses(":" KEY, words);
    refuses("a\x01:" KEY, words);
    refuses("\xc3\xa9:" KEY, words);
    snprintf(text, sizeof text, "%0129d:" KEY, 7);
    refuses(text, words);
    refuses("b:" KEY "\na:" KEY "\nb:" OTHER_KEY, "x:3: identity \"b\" stands in line 1 too");
}

static void an_empty_file_knows_nobody(void **state)
{
    struct psk_table *table = parsed("");
    assert_int_equal(psk_count(table), 0);
    assert_null(psk_find(table, bytes_of_text("alice")));
    psk_free(table);
}

static void no_two_tables_have_one_decoy(void **state)
{
    struct psk_table *one = parsed(""), *other = parsed("");
    assert_int_equal(psk_decoy(one)->size, 32);
    assert_memory_not_equal(psk_decoy(one)->key, psk_decoy(other)->key, 32);
    psk_free(one);
    psk_free(other);
}

/* ---- Handshakes ---- */

static struct tls_context *context_with(const char *text)
{
    const char *path = certificate_path("psk");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    struct tls_options options = {.psk_file = path, .ticket_lifetime_s = 3600};
    log_threshold = LOG_ERROR;
    struct tls_context *context = link_context(&options);
    log_threshold = LOG_INFO;
    return context;
}

struct client {
    const char *identity;
    uint8_t key;
};

static unsigned offer(WOLFSSL *ssl, const char *hint, char *identity, unsigned identity_capacity,
                      unsigned char *key, unsigned capacity)
{
    const struct client *client = wolfSSL_get_psk_callback_ctx(ssl);
    (void)hint;
    assert_true(capacity >= 16);
    snprintf(identity, identity_capacity, "%s", client->identity);
    for (unsigned i = 0; i < 16; i++)
        key[i] = client->key == 0 ? (uint8_t)i : client->key;
    return 16;
}

static void open_as(struct link *link, struct tls_context *context, const struct client *client,
                    int version)
{
    link_open(link, context, &(struct link_client){.version = version});
    wolfSSL_set_psk_client_callback(link->client, offer);
    assert_int_equal(wolfSSL_set_psk_callback_ctx(link->client, (void *)client), WOLFSSL_SUCCESS);
}

static const int versions[] = {WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3, 0};

static void assert_name(const struct tls *tls, enum identity_name which, const char *expected)
{
    struct bytes name = tls_peer_name(tls, which);
    assert_true(bytes_equal(name, bytes_of_text(expected)));
}

static void who_holds_a_key_is_its_identity(void **state)
{
    struct tls_context *context = context_with("alice:" KEY "\nbob:" OTHER_KEY "\n");
    for (size_t i = 0; i < 3; i++) {
        struct link link;
        struct client alice = {.identity = "alice"};
        open_as(&link, context, &alice, versions[i]);
        assert_name(link.server, IDENTITY_PSK, "");
        link_handshake(&link);
        assert_name(link.server, IDENTITY_PSK, "alice");
        assert_name(link.server, IDENTITY_SUBJECT, "PSK:alice");
        assert_name(link.server, IDENTITY_COMMON_NAME, "");
        link_send_up(&link, (const uint8_t *)"up", 2);
        link_send_down(&link, (const uint8_t *)"down", 4);
        link_close(&link);
    }
    tls_context_free(context);
}

/* What is sent to the client, in the end; in TLS 1.3 nothing is (-1). */
static int alert_for(struct tls_context *context, const struct client *client, int version,
                     char *words, size_t capacity)
{
    struct link link;
    WOLFSSL_ALERT_HISTORY alerts;
    open_as(&link, context, client, version);
    link_pump(&link);
    assert_int_equal(link.result, TLS_FAILED);
    assert_name(link.server, IDENTITY_PSK, "");
    assert_name(link.server, IDENTITY_SUBJECT, "");
    snprintf(words, capacity, "%s", tls_error(link.server));
    wolfSSL_get_alert_history(link.client, &alerts);
    link_close(&link);
    return alerts.last_rx.code;
}

static void strangers_and_wrong_keys_get_one_answer(void **state)
{
    struct tls_context *context = context_with("alice:" KEY "\n");
    for (size_t i = 0; i < 3; i++) {
        char wrong_words[160], stranger_words[160];
        struct client wrong = {.identity = "alice", .key = 7}, stranger = {.identity = "alicf"};
        int one = alert_for(context, &wrong, versions[i], wrong_words, sizeof wrong_words);
        int other =
            alert_for(context, &stranger, versions[i], stranger_words, sizeof stranger_words);
        assert_int_equal(one, other);
        assert_non_null(strstr(wrong_words, "key of 'alice': no such identity, or not its key"));
        assert_non_null(strstr(stranger_words, "key of 'alicf': no such identity, or not its key"));
    }
    tls_context_free(context);
}

static void who_offers_no_key_is_refused(void **state)
{
    struct tls_context *context = context_with("alice:" KEY "\n");
    for (size_t i = 0; i < 3; i++) {
        struct link link;
        link_open(&link, context, &(struct link_client){.version = versions[i]});
        link_refused(&link, "pre-shared key");
        link_close(&link);
    }
    tls_context_free(context);
}

static void an_exchange_without_ephemeral_keys_is_refused(void **state)
{
    struct tls_context *context = context_with("alice:" KEY "\n");
    struct link link;
    struct client alice = {.identity = "alice"};
    open_as(&link, context, &alice, WOLFSSL_TLSV1_3);
    assert_int_equal(wolfSSL_no_dhe_psk(link.client), 0);
    link_refused(&link, "no ephemeral keys");
    link_close(&link);
    tls_context_free(context);
}

static void whose_key_is_gone_or_another_one_is_not_welcome(void **state)
{
    struct tls_context *context = context_with("alice:" KEY "\n");
    struct link link;
    struct client alice = {.identity = "alice"};
    open_as(&link, context, &alice, 0);
    link_handshake(&link);
    static const struct {
        const char *file, *why;
    } reads[] = {
        {"bob:" OTHER_KEY "\nalice:" KEY "\n", NULL},
        {"alice:" OTHER_KEY "\n", "its pre-shared key has gone, or is another one now"},
        {"alice:" KEY "00\n", "its pre-shared key has gone, or is another one now"},
        {"", "its pre-shared key has gone, or is another one now"},
    };
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        struct tls_context *later = context_with(reads[i].file);
        const char *why = tls_withdrawal(link.server, later, 0);
        assert_int_equal(why == NULL, reads[i].why == NULL);
        if (why != NULL)
            assert_string_equal(why, reads[i].why);
        tls_context_free(later);
    }
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *certificates = link_context(&options);
    assert_non_null(tls_withdrawal(link.server, certificates, 0));
    link_close(&link);
    /* And the other way round. */
    link_open(&link, certificates, &(struct link_client){0});
    link_handshake(&link);
    assert_non_null(tls_withdrawal(link.server, context, 0));
    link_close(&link);
    tls_context_free(certificates);
    tls_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_by_the_whole_identity),
        cmocka_unit_test(what_is_no_key_is_refused_with_its_line_and_without_the_key),
        cmocka_unit_test(lines_that_name_nobody_are_refused),
        cmocka_unit_test(an_empty_file_knows_nobody),
        cmocka_unit_test(no_two_tables_have_one_decoy),
        cmocka_unit_test(who_holds_a_key_is_its_identity),
        cmocka_unit_test(strangers_and_wrong_keys_get_one_answer),
        cmocka_unit_test(who_offers_no_key_is_refused),
        cmocka_unit_test(an_exchange_without_ephemeral_keys_is_refused),
        cmocka_unit_test(whose_key_is_gone_or_another_one_is_not_welcome),
    };
    return cmocka_run_group_tests(tests, link_set_up, link_tear_down);
}
