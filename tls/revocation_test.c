/* Revocation lists, made by the openssl command, at handshakes and at a reload. */
#include "tls/revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "tls/certificates_testing.h"
#include "tls/der.h"
#include "tls/link_testing.h"

static const int versions[] = {WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3};

static struct tls_context *context_with(const char *ca, const char *crl, bool stale_is_ok)
{
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    options.ca = certificate_path(ca);
    options.crl = crl != NULL ? certificate_path(crl) : NULL;
    options.crl_stale_is_ok = stale_is_ok;
    log_threshold = LOG_ERROR;
    struct tls_context *context = link_context(&options);
    log_threshold = LOG_INFO;
    return context;
}

/* `reason` NULL: it gets in. */
static void try(struct tls_context *context, const char *chain, const char *key, const char *reason)
{
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        link_open(&link, context,
                  &(struct link_client){.certificate = chain, .key = key, .version = versions[i]});
        if (reason == NULL)
            link_handshake(&link);
        else
            link_refused(&link, reason);
        assert_int_equal(tls_peer_subject(link.server).size > 0, reason == NULL);
        link_close(&link);
    }
}

static const char revoked[] = "certificate of 'CN=sensor-9,O=Acme', issued by 'CN=ca': "
                              "the certificate is revoked";
static const char unknown[] = "certificate of 'CN=sensor-8,O=Acme', issued by 'CN=middle': "
                              "'crl' has no list of the certificate's authority";

static void a_revoked_certificate_is_refused_and_others_are_not(void **state)
{
    static const char *const lists[] = {"ca.crl", "ca.crl.der", "all.crl", "lists"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct tls_context *context = context_with("both.pem", lists[i], false);
        try(context, "client.pem", "client.key", NULL);
        try(context, "revoked.pem", "revoked.key", revoked);
        tls_context_free(context);
    }
    struct tls_context *context = context_with("ca.pem", NULL, false);
    try(context, "revoked.pem", "revoked.key", NULL);
    tls_context_free(context);
    context = context_with("ca.pem", "empty.crl", false);
    try(context, "revoked.pem", "revoked.key", NULL);
    tls_context_free(context);
}

static void what_a_revoked_authority_signed_is_refused(void **state)
{
    struct tls_context *context = context_with("ca.pem", "ca.crl", true);
    try(context, "from-lost-chain.pem", "from-lost.key", "the certificate's authority is revoked");
    tls_context_free(context);
    context = context_with("ca.pem", "empty.crl", true);
    try(context, "from-lost-chain.pem", "from-lost.key", NULL);
    tls_context_free(context);
}

static void an_authority_without_a_list_is_refused_unless_any_freshness_will_do(void **state)
{
    struct tls_context *context = context_with("ca.pem", "ca.crl", false);
    try(context, "deep-chain.pem", "deep.key", unknown);
    tls_context_free(context);
    context = context_with("ca.pem", "ca.crl", true);
    try(context, "deep-chain.pem", "deep.key", NULL);
    tls_context_free(context);
    context = context_with("both.pem", "all.crl", false);
    try(context, "deep-chain.pem", "deep.key", NULL);
    tls_context_free(context);
    /* A list that nobody can check is not an authority's. */
    context = context_with("ca.pem", "all.crl", false);
    try(context, "deep-chain.pem", "deep.key", unknown);
    tls_context_free(context);
}

static void an_expired_list_still_revokes(void **state)
{
    struct tls_context *context = context_with("ca.pem", "old.crl", false);
    try(context, "client.pem", "client.key", "'crl' has no list of the certificate's authority");
    try(context, "revoked.pem", "revoked.key", revoked);
    tls_context_free(context);
    context = context_with("ca.pem", "old.crl", true);
    try(context, "client.pem", "client.key", NULL);
    try(context, "revoked.pem", "revoked.key", revoked);
    tls_context_free(context);
}

static void a_list_may_expire_while_it_is_in_use(void **state)
{
    struct revocation *revocation;
    struct revocation_summary summary;
    const char *error;
    uint8_t der[4096];
    FILE *file = fopen(certificate_path("ca.crl.der"), "rb");
    size_t size = fread(der, 1, sizeof der, file);
    fclose(file);
    assert_int_equal(revocation_new(&revocation), STATUS_OK);
    assert_int_equal(revocation_add(revocation, bytes_of(der, size), true, &summary, &error),
                     STATUS_OK);
    revocation_seal(revocation);
    assert_int_equal(summary.count, 2);
    struct certificate_id issuer = revocation_issuer(summary.issuer);
    struct certificate_id other = revocation_certificate(summary.issuer, bytes_of("\1", 1));
    int64_t end_s = summary.next_update_s;
    assert_int_equal(revocation_ask(revocation, &issuer, &other, end_s), REVOCATION_GOOD);
    assert_int_equal(revocation_ask(revocation, &issuer, &other, end_s + 1), REVOCATION_STALE);
    assert_int_equal(revocation_ask(revocation, &other, &other, 0), REVOCATION_UNKNOWN);
    revocation_free(revocation);
}

static void a_cut_list_is_refused_and_never_read_beyond(void **state)
{
    struct revocation *revocation;
    struct revocation_summary summary;
    const char *error;
    uint8_t der[4096];
    FILE *file = fopen(certificate_path("ca.crl.der"), "rb");
    size_t size = fread(der, 1, sizeof der, file);
    fclose(file);
    assert_int_equal(revocation_new(&revocation), STATUS_OK);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, der, cut);
        assert_int_equal(revocation_add(revocation, bytes_of(copy, cut), true, &summary, &error),
                         STATUS_INVALID);
        free(copy);
    }
    revocation_free(revocation);
}

static void what_is_no_list_is_an_error_that_names_the_file(void **state)
{
    static const struct {
        const char *crl, *words;
    } cases[] = {
        {"missing.crl", "missing.crl: No such file"},
        {"empty.pem", "empty.pem: the file is empty"},
        {"ca.pem", "ca.pem: holds no revocation list"},
        {"server.der", "server.der: not a certificate revocation list"},
        {"delta.crl", "delta.crl: a delta or partial list"},
        {"forged.crl.der", "forged.crl.der: not usable as a revocation list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
        struct tls_context *context;
        char error[512];
        options.crl = certificate_path(cases[i].crl);
        assert_int_not_equal(tls_context_new(&options, &context, error, sizeof error), STATUS_OK);
        if (strstr(error, cases[i].words) == NULL)
            fail_msg("'%s' does not say '%s'", error, cases[i].words);
    }
    tls_context_free(context_with("ca.pem", "no-lists", true));
}

static void a_peer_is_asked_to_leave_when_it_is_revoked_or_its_authority_goes(void **state)
{
    int64_t now_s = time(NULL), much_later_s = now_s + INT64_C(40) * 86400;
    struct tls_context *open = context_with("ca.pem", NULL, false);
    struct tls_context *strict = context_with("ca.pem", "ca.crl", false);
    struct tls_context *elsewhere = context_with("other-ca.pem", NULL, false);
    struct tls_context *expired_list = context_with("ca.pem", "old.crl", false);
    struct tls_options timely_options = link_options(TLS_CLIENT_REQUIRED);
    timely_options.ends_expired = true;
    struct tls_context *timely = link_context(&timely_options);
    static const char *const names[] = {"client", "revoked"};
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        char certificate[40];
        char key[40];
        snprintf(certificate, sizeof certificate, "%s.pem", names[i]);
        snprintf(key, sizeof key, "%s.key", names[i]);
        link_open(&link, open, &(struct link_client){.certificate = certificate, .key = key});
        assert_null(tls_withdrawal(link.server, elsewhere, now_s)); /* nobody is in yet */
        link_handshake(&link);
        assert_null(tls_withdrawal(link.server, open, now_s));
        assert_null(tls_withdrawal(link.server, open, much_later_s));
        assert_null(tls_withdrawal(link.server, timely, now_s));
        assert_string_equal(tls_withdrawal(link.server, timely, much_later_s),
                            "the certificate, or one above it, has expired");
        assert_string_equal(tls_withdrawal(link.server, elsewhere, now_s),
                            "the certificate's authority is not among those in 'ca'");
        if (i == 0) {
            assert_null(tls_withdrawal(link.server, strict, now_s));
            assert_null(
                tls_withdrawal(link.server, expired_list, now_s)); /* time sends nobody away */
        } else {
            assert_string_equal(tls_withdrawal(link.server, strict, now_s),
                                "the certificate is revoked");
        }
        link_close(&link);
    }
    tls_context_free(open);
    tls_context_free(strict);
    tls_context_free(elsewhere);
    tls_context_free(expired_list);
    tls_context_free(timely);
}

static void an_authority_that_another_peer_has_shown_is_not_remembered(void **state)
{
    struct tls_context *context = context_with("ca.pem", NULL, false);
    static const char words[] = "does not lead to one";
    try(context, "deep-chain.pem", "deep.key", NULL);
    try(context, "deep.pem", "deep.key", words);
    tls_context_free(context);
}

static void times_are_read_as_the_standard_has_them(void **state)
{
    static const struct {
        uint8_t tag;
        const char *text;
        int64_t time_s; /* as `date -u -d ... +%s` has it; -1: not a time */
    } cases[] = {
        {DER_UTC_TIME, "700101000000Z", 0},
        {DER_UTC_TIME, "261123081928Z", 1795421968},
        {DER_UTC_TIME, "491231235959Z", 2524607999},
        {DER_UTC_TIME, "500101000000Z", -631152000},
        {DER_GENERALIZED_TIME, "20000229120000Z", 951825600},
        {DER_GENERALIZED_TIME, "21000301000000Z", 4107542400},
        {DER_GENERALIZED_TIME, "99991231235959Z", 253402300799},
        {DER_UTC_TIME, "20261123081928Z", -1},
        {DER_UTC_TIME, "2611230819Z", -1},
        {DER_UTC_TIME, "261323081928Z", -1},
        {DER_UTC_TIME, "26112308192xZ", -1},
        {DER_GENERALIZED_TIME, "202611230819280", -1},
        {DER_OID, "261123081928Z", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct der_element element = {.tag = cases[i].tag, .value = bytes_of_text(cases[i].text)};
        int64_t time_s = -1;
        assert_int_equal(der_time(&element, &time_s), cases[i].time_s != -1);
        assert_int_equal(time_s, cases[i].time_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_certificate_is_refused_and_others_are_not),
        cmocka_unit_test(what_a_revoked_authority_signed_is_refused),
        cmocka_unit_test(an_authority_without_a_list_is_refused_unless_any_freshness_will_do),
        cmocka_unit_test(an_expired_list_still_revokes),
        cmocka_unit_test(a_list_may_expire_while_it_is_in_use),
        cmocka_unit_test(a_cut_list_is_refused_and_never_read_beyond),
        cmocka_unit_test(what_is_no_list_is_an_error_that_names_the_file),
        cmocka_unit_test(a_peer_is_asked_to_leave_when_it_is_revoked_or_its_authority_goes),
        cmocka_unit_test(an_authority_that_another_peer_has_shown_is_not_remembered),
        cmocka_unit_test(times_are_read_as_the_standard_has_them),
    };
    return cmocka_run_group_tests(tests, link_set_up, link_tear_down);
}
