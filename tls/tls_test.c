/* Against a wolfSSL client in the same program. */
#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "tls/certificates_testing.h"
#include "tls/link_testing.h"

static const int versions[] = {WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3};
static const struct link_client client_with_certificate = {.certificate = "client.pem",
                                                           .key = "client.key"};

static void assert_text(struct bytes actual, const char *expected)
{
    if (!bytes_equal(actual, bytes_of_text(expected)))
        fail_msg("'%.*s' is not '%s'", (int)actual.size, (const char *)actual.data, expected);
}

/* ---- What works ---- */

static void both_versions_shake_hands_and_carry_data(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    static const char *const names[] = {"TLSv1.2", "TLSv1.3"};
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        link_open(&link, context, &(struct link_client){.version = versions[i]});
        assert_false(tls_established(link.server));
        link_handshake(&link);
        assert_string_equal(tls_version(link.server), names[i]);
        assert_string_equal(tls_error(link.server), "");
        link_send_up(&link, (const uint8_t *)"ping", 4);
        link_send_down(&link, (const uint8_t *)"pong", 4);
        assert_text(tls_peer_name(link.server, IDENTITY_COMMON_NAME), "");
        assert_text(tls_peer_subject(link.server), "");
        link_close(&link);
    }
    tls_context_free(context);
}

static void an_rsa_certificate_works(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    options.certificate = certificate_path("rsa.pem");
    options.key = certificate_path("rsa.key");
    struct tls_context *context = link_context(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        link_open(&link, context, &(struct link_client){.version = versions[i]});
        link_handshake(&link);
        link_close(&link);
    }
    tls_context_free(context);
}

static void tiny_pieces_carry_big_transfers_both_ways(void **state)
{
    enum { SIZE = 200000 };
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_context *context = link_context(&options);
    static const size_t pieces[] = {1, 7, 1000, 0};
    uint8_t *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 31 + i / 251);
    for (unsigned i = 0; i < 8; i++) {
        struct link link;
        struct link_client client = client_with_certificate;
        client.version = versions[i % 2];
        link_open(&link, context, &client);
        link.piece = pieces[i / 2];
        link_handshake(&link);
        link_send_up(&link, data, SIZE);
        link_send_down(&link, data, SIZE);
        link_send_up(&link, data, 1);
        link_close(&link);
    }
    free(data);
    tls_context_free(context);
}

static void small_reads_get_all_of_a_record(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct link link;
    uint8_t byte;
    size_t got;
    link_open(&link, context, &(struct link_client){0});
    link_handshake(&link);
    assert_int_equal(wolfSSL_write(link.client, "abc", 3), 3);
    link_pump(&link);
    for (const char *expected = "abc"; *expected != '\0'; expected++) {
        assert_int_equal(tls_read(link.server, &byte, 1, &got), TLS_OK);
        assert_int_equal(got, 1);
        assert_int_equal(byte, *expected);
    }
    assert_int_equal(tls_read(link.server, &byte, 1, &got), TLS_OK);
    assert_int_equal(got, 0);
    link_close(&link);
    tls_context_free(context);
}

static void data_before_the_close_is_delivered(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct link link;
    uint8_t out[16];
    size_t got;
    link_open(&link, context, &(struct link_client){0});
    link_handshake(&link);
    assert_int_equal(wolfSSL_write(link.client, "last", 4), 4);
    wolfSSL_shutdown(link.client);
    link_pump(&link);
    assert_int_equal(tls_read(link.server, out, sizeof out, &got), TLS_OK);
    assert_int_equal(got, 4);
    assert_int_equal(tls_read(link.server, out, sizeof out, &got), TLS_CLOSED);
    assert_int_equal(got, 0);
    assert_int_equal(tls_feed(link.server, out, 1), TLS_CLOSED);
    assert_int_equal(tls_write(link.server, out, 1), TLS_CLOSED);
    link_close(&link);
    tls_context_free(context);
}

static void a_shutdown_is_seen_by_the_client(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct link link;
    uint8_t byte;
    link_open(&link, context, &(struct link_client){0});
    link_handshake(&link);
    tls_shutdown(link.server);
    struct bytes output = tls_output(link.server);
    assert_true(output.size > 0);
    assert_int_equal(buffer_append(&link.to_client.buffer, output.data, output.size), STATUS_OK);
    int returned = wolfSSL_read(link.client, &byte, 1);
    assert_int_equal(wolfSSL_get_error(link.client, returned), WOLFSSL_ERROR_ZERO_RETURN);
    link_close(&link);
    tls_context_free(context);
}

static void output_may_be_taken_in_parts(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct link link;
    uint8_t out[64];
    static const uint8_t data[10] = "0123456789";
    link_open(&link, context, &(struct link_client){0});
    link_handshake(&link);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tls_write(link.server, data, sizeof data), TLS_OK);
    for (unsigned i = 0; tls_output(link.server).size > 0; i++) {
        struct bytes output = tls_output(link.server);
        assert_int_equal(buffer_append(&link.to_client.buffer, output.data, 1), STATUS_OK);
        tls_output_consume(link.server, 1);
        if (i % 8 == 0 && i < 48)
            assert_int_equal(tls_write(link.server, data, 1), TLS_OK);
    }
    size_t got = 0;
    for (int returned;
         (returned = wolfSSL_read(link.client, out + got, (int)(sizeof out - got))) > 0;)
        got += (size_t)returned;
    assert_int_equal(got, 36);
    assert_memory_equal(out, "012345678901234567890123456789000000", 36);
    link_close(&link);
    tls_context_free(context);
}

static void alpn_mqtt_is_accepted_and_only_others_are_not(void **state)
{
#ifdef HAVE_ALPN
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        char *chosen = NULL;
        unsigned short size = 0;
        link_open(&link, context, &(struct link_client){.version = versions[i], .alpn = "mqtt"});
        link_handshake(&link);
        assert_int_equal(wolfSSL_ALPN_GetProtocol(link.client, &chosen, &size), WOLFSSL_SUCCESS);
        assert_int_equal(size, 4);
        assert_memory_equal(chosen, "mqtt", 4);
        link_close(&link);
        link_open(&link, context,
                  &(struct link_client){.version = versions[i], .alpn = "x-other,mqtt"});
        link_handshake(&link);
        link_close(&link);
        link_open(&link, context, &(struct link_client){.version = versions[i], .alpn = "x-other"});
        link_refused(&link, "no protocol in common (ALPN)");
        link_close(&link);
    }
    tls_context_free(context);
#else
    skip();
#endif
}

/* ---- Client certificates ---- */

static void the_identity_comes_from_the_certificate(void **state)
{
    static const enum tls_client_certificate modes[] = {TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED};
    for (unsigned i = 0; i < 4; i++) {
        struct tls_options options = link_options(modes[i % 2]);
        struct tls_context *context = link_context(&options);
        struct link_client client = client_with_certificate;
        struct link link;
        client.version = versions[i / 2];
        link_open(&link, context, &client);
        link_handshake(&link);
        assert_text(tls_peer_name(link.server, IDENTITY_COMMON_NAME), "sensor-7");
        assert_text(tls_peer_subject(link.server), "CN=sensor-7,O=Acme");
        link_close(&link);
        client.certificate = "deep-chain.pem";
        client.key = "deep.key";
        link_open(&link, context, &client);
        link_handshake(&link);
        assert_text(tls_peer_name(link.server, IDENTITY_COMMON_NAME), "sensor-8");
        link_close(&link);
        tls_context_free(context);
    }
}

static void optional_lets_a_client_without_one_in(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_OPTIONAL);
    struct tls_context *context = link_context(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        link_open(&link, context, &(struct link_client){.version = versions[i]});
        link_handshake(&link);
        assert_text(tls_peer_subject(link.server), "");
        link_close(&link);
    }
    tls_context_free(context);
}

static void bad_client_certificates_are_refused_with_the_reason(void **state)
{
    static const struct {
        const char *certificate, *key, *reason;
    } cases[] = {
#ifndef OPENSSL_EXTRA /* with which wolfSSL takes version 1, and refuses long subjects itself */
        {"version-1.pem", "version-1.key", "X.509 version 1"},
        {"long.pem", "long.key", "a name in the certificate is too long"},
#endif
        {"stranger.pem", "stranger.key", "authority is not among those in 'ca' (-188)"},
        {"expired.pem", "expired.key", "has expired"},
        {"early.pem", "early.key", "is not valid yet"},
        {"wrong-use.pem", "wrong-use.key", "not meant for TLS clients"},
        {NULL, NULL, "the client sent no certificate"},
    };
    static const enum tls_client_certificate modes[] = {TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED};
    for (unsigned i = 0; i < 4; i++) {
        struct tls_options options = link_options(modes[i % 2]);
        struct tls_context *context = link_context(&options);
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            struct link link;
            struct link_client client = {.certificate = cases[c].certificate,
                                         .key = cases[c].key,
                                         .version = versions[i / 2]};
            if (cases[c].certificate == NULL && modes[i % 2] == TLS_CLIENT_OPTIONAL)
                continue;
            link_open(&link, context, &client);
            link_refused(&link, cases[c].reason);
            assert_text(tls_peer_subject(link.server), "");
            link_close(&link);
        }
        tls_context_free(context);
    }
}

static void an_expired_authority_is_left_out_and_an_early_one_taken(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    options.ca = certificate_path("bundle.pem");
    log_threshold = LOG_ERROR;
    struct tls_context *context = link_context(&options);
    log_threshold = LOG_INFO;
    struct link link;
    link_open(
        &link, context,
        &(struct link_client){.certificate = "from-early-ca.pem", .key = "from-early-ca.key"});
    link_handshake(&link);
    assert_text(tls_peer_name(link.server, IDENTITY_COMMON_NAME), "sensor-9");
    link_close(&link);
    link_open(&link, context, &client_with_certificate);
    link_handshake(&link);
    link_close(&link);
    tls_context_free(context);
}

/* ---- Resumption ---- */

/* A client that was at `first` comes to `second` with its session. Where a ticket is refused,
 * wolfSSL's TLS 1.2 client gives up (RFC 5077 section 3.4 would have it go on); openssl's is in
 * s_client_test.c. */
static bool resumes(struct tls_context *first, struct tls_context *second,
                    struct link_client client)
{
    struct link link;
    link_open(&link, first, &client);
    link_handshake(&link);
    client.session = link_session(&link);
    link_close(&link);
    link_open(&link, second, &client);
    link_pump(&link);
    bool reused = link.client_done && wolfSSL_session_reused(link.client) != 0;
    if (tls_established(link.server)) {
        link_send_up(&link, (const uint8_t *)"ping", 4);
        assert_int_equal(tls_resumed(link.server), reused);
        if (client.certificate != NULL && strcmp(client.certificate, "client.pem") == 0)
            assert_text(tls_peer_name(link.server, IDENTITY_COMMON_NAME), "sensor-7");
    } else if (client.certificate == NULL) {
        assert_int_equal(client.version, WOLFSSL_TLSV1_2);
    }
    wolfSSL_SESSION_free(client.session);
    link_close(&link);
    return reused;
}

static void sessions_are_resumed_by_ticket(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct tls_context *other = link_context(&options);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(resumes(context, context, (struct link_client){.version = versions[i]}));
        assert_false(resumes(context, other, (struct link_client){.version = versions[i]}));
    }
    tls_context_free(context);
    tls_context_free(other);
}

static struct tls_context *after(const struct tls_context *before, struct tls_options options)
{
    options.before = before;
    return link_context(&options);
}

/* A session is resumed under the context that comes in the place of the first, with the identity
 * that was verified (resumes() looks). */
static void a_resumed_session_has_the_identity_of_the_first(void **state)
{
    struct tls_options optional_options = link_options(TLS_CLIENT_OPTIONAL);
    struct tls_options required_options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_options longer_options = required_options;
    longer_options.ticket_lifetime_s *= 2;
    struct tls_context *optional = link_context(&optional_options);
    struct tls_context *required = after(optional, required_options);
    struct tls_context *longer = after(optional, longer_options);
    struct tls_context *other = link_context(&required_options);
    for (unsigned i = 0; i < 2; i++) {
        struct link_client client = client_with_certificate;
        client.version = versions[i];
        assert_int_equal(resumes(required, required, client), LINK_TICKETS_HAVE_ROOM);
        assert_int_equal(resumes(optional, required, client), LINK_TICKETS_HAVE_ROOM);
        assert_false(resumes(optional, other, client));
        assert_false(resumes(optional, longer, client)); /* which has keys of its own */
    }
    tls_context_free(optional);
    tls_context_free(required);
    tls_context_free(longer);
    tls_context_free(other);
}

/* A client comes to a listener that asks for certificates, and then to the same one with these
 * authorities and lists. */
static bool resumes_after(const char *certificate, const char *key, int version, const char *ca,
                          const char *crl)
{
    struct link_client client = {.certificate = certificate, .key = key, .version = version};
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_context *before = link_context(&options);
    options = link_options(TLS_CLIENT_REQUIRED);
    options.ca = certificate_path(ca);
    options.crl = crl != NULL ? certificate_path(crl) : NULL;
    struct tls_context *now = after(before, options);
    bool resumed = resumes(before, now, client);
    tls_context_free(before);
    tls_context_free(now);
    return resumed;
}

/* Or a client would come in without an identity, or with one that it may not have any more. */
static void a_session_is_not_resumed_where_its_client_would_be_refused(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        int version = versions[i];
        assert_int_equal(resumes_after("client.pem", "client.key", version, "ca.pem", "ca.crl"),
                         LINK_TICKETS_HAVE_ROOM);
        assert_false(resumes_after("client.pem", "client.key", version, "other-ca.pem", NULL));
        assert_false(resumes_after("revoked.pem", "revoked.key", version, "ca.pem", "ca.crl"));
        /* Nothing is known any more of what is revoked. */
        assert_false(resumes_after("client.pem", "client.key", version, "ca.pem", "old.crl"));

        struct link_client client = client_with_certificate;
        client.version = version;
        struct tls_options options = link_options(TLS_CLIENT_NONE);
        struct tls_context *open_context = link_context(&options);
        struct tls_context *required = after(open_context, link_options(TLS_CLIENT_REQUIRED));
        assert_false(resumes(open_context, required, client));
        tls_context_free(open_context);
        tls_context_free(required);
    }
}

/* ---- Peers that do not speak TLS, or not ours ---- */

static void plain_bytes_are_said_to_be_plain(void **state)
{
    static const struct {
        const char *bytes, *reason;
    } cases[] = {
        {"\x10\x0c\0\x04MQTT", "not TLS: plain MQTT on a port for TLS"},
        {"GET / HTTP/1.1", "not TLS: looks like plain HTTP"},
        {"\x80\x2e\x01", "not TLS: the first byte is 0x80"},
        {"\xff", "not TLS: the first byte is 0xff"},
    };
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tls *tls;
        uint8_t out[8];
        size_t got = 1;
        assert_int_equal(tls_new(context, &tls), STATUS_OK);
        assert_int_equal(tls_feed(tls, (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes)),
                         TLS_FAILED);
        assert_ptr_equal(strstr(tls_error(tls), cases[i].reason), tls_error(tls));
        assert_int_equal(tls_feed(tls, out, 1), TLS_FAILED);
        assert_int_equal(tls_read(tls, out, sizeof out, &got), TLS_FAILED);
        assert_int_equal(got, 0);
        assert_int_equal(tls_write(tls, out, 1), TLS_FAILED);
        tls_shutdown(tls);
        assert_int_equal(tls_output(tls).size, 0);
        tls_free(tls);
    }
    tls_context_free(context);
}

static void old_versions_and_foreign_ciphers_are_refused_with_the_reason(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct link link;
    link_open(
        &link, context,
        &(struct link_client){.version = WOLFSSL_TLSV1_2, .ciphers = "ECDHE-ECDSA-AES128-SHA256"});
    link_refused(&link, "no cipher suite in common");
    link_close(&link);
    tls_context_free(context);
    options.tls13_only = true;
    context = link_context(&options);
    link_open(&link, context, &(struct link_client){.version = WOLFSSL_TLSV1_2});
    link_refused(&link, "no TLS version that is accepted");
    link_close(&link);
    link_open(&link, context, &(struct link_client){.version = WOLFSSL_TLSV1_3});
    link_handshake(&link);
    link_close(&link);
    tls_context_free(context);
}

static void a_client_that_does_not_trust_us_is_quoted(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    options.certificate = certificate_path("foreign.pem"); /* of an authority it does not know */
    options.key = certificate_path("foreign.key");
    struct tls_context *context = link_context(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        link_open(&link, context, &(struct link_client){.version = versions[i]});
        link_refused(&link, "the peer gave up with alert");
        link_close(&link);
    }
    tls_context_free(context);
}

static uint64_t draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static void garbage_is_refused_and_never_established(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_context *context = link_context(&options);
    uint64_t random = 88172645463325252;
    for (unsigned round = 0; round < 500; round++) {
        struct tls *tls;
        uint8_t data[300];
        size_t size = 1 + draw(&random) % sizeof data;
        assert_int_equal(tls_new(context, &tls), STATUS_OK);
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)draw(&random);
        data[0] = 22; /* past our own check */
        if (size > 5 && round % 2 == 0)
            memcpy(data, "\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03", size < 11 ? size : 11);
        enum tls_result result = tls_feed(tls, data, size);
        assert_true(result == TLS_FAILED || result == TLS_OK);
        assert_true(result == TLS_OK || strlen(tls_error(tls)) > 0);
        assert_false(tls_established(tls));
        tls_free(tls);
    }
    tls_context_free(context);
}

/* A client's flight with one bit turned over, and cut off at each place. */
static void damaged_and_cut_hellos_do_not_get_in(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct link link;
    link_open(&link, context, &(struct link_client){0});
    wolfSSL_connect(link.client); /* leaves the ClientHello in to_server */
    assert_true(link.to_server.buffer.size > 100);
    for (size_t i = 0; i < link.to_server.buffer.size; i++) {
        struct tls *tls;
        assert_int_equal(tls_new(context, &tls), STATUS_OK);
        assert_int_equal(tls_feed(tls, link.to_server.buffer.data, i), TLS_OK);
        assert_false(tls_established(tls));
        tls_free(tls);
        assert_int_equal(tls_new(context, &tls), STATUS_OK);
        link.to_server.buffer.data[i] ^= 0x10;
        tls_feed(tls, link.to_server.buffer.data, link.to_server.buffer.size);
        assert_false(tls_established(tls));
        link.to_server.buffer.data[i] ^= 0x10;
        tls_free(tls);
    }
    link_close(&link);
    tls_context_free(context);
}

static void a_damaged_record_ends_the_connection(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    for (unsigned i = 0; i < 2; i++) {
        struct link link;
        uint8_t out[16];
        size_t got;
        link_open(&link, context, &(struct link_client){.version = versions[i]});
        link_handshake(&link);
        link_send_up(&link, (const uint8_t *)"good", 4);
        assert_int_equal(wolfSSL_write(link.client, "evil", 4), 4);
        link.to_server.buffer.data[link.to_server.buffer.size - 1] ^= 1;
        link_pump(&link);
        assert_int_equal(tls_read(link.server, out, sizeof out, &got), TLS_FAILED);
        assert_int_equal(got, 0);
        assert_non_null(strstr(tls_error(link.server), "damaged or forged"));
        assert_int_equal(tls_write(link.server, out, 1), TLS_FAILED);
        link_close(&link);
    }
    tls_context_free(context);
}

static void a_client_that_leaves_during_the_handshake_is_closed(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct tls *tls;
    static const uint8_t close_notify[] = {21, 3, 3, 0, 2, 1, 0};
    assert_int_equal(tls_new(context, &tls), STATUS_OK);
    assert_int_not_equal(tls_feed(tls, close_notify, sizeof close_notify), TLS_OK);
    assert_false(tls_established(tls));
    tls_free(tls);
    tls_context_free(context);
}

/* ---- Contexts that cannot be made ---- */

static void expect_error(struct tls_options options, const char *file, const char *words)
{
    struct tls_context *context;
    char error[256];
    if (tls_context_new(&options, &context, error, sizeof error) == STATUS_OK)
        fail_msg("a context was made, and not '%s: %s'", file, words);
    assert_null(context);
    if (strstr(error, words) == NULL ||
        (file != NULL && strstr(error, certificate_path(file)) != error))
        fail_msg("'%s' does not say '%s: %s'", error, file, words);
}

static struct tls_options with_files(const char *certificate, const char *key)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    options.certificate = certificate_path(certificate);
    options.key = certificate_path(key);
    return options;
}

static struct tls_options with_ca(const char *ca)
{
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    options.ca = ca != NULL ? certificate_path(ca) : NULL;
    return options;
}

static void errors_name_the_file_and_the_fault(void **state)
{
    expect_error(with_files("none.pem", "server.key"), "none.pem", "No such file or directory");
    expect_error(with_files("chain.pem", "none.key"), "none.key", "No such file or directory");
    expect_error(with_files(".", "server.key"), ".", "Is a directory");
    expect_error(with_files("empty.pem", "server.key"), "empty.pem", "the file is empty");
    expect_error(with_files("server.der", "server.key"), "server.der", "not a PEM file");
    expect_error(with_files("server.key", "server.key"), "server.key", "holds no certificate");
    expect_error(with_files("chain.pem", "chain.pem"), "chain.pem", "holds no private key");
    expect_error(with_files("damaged.pem", "server.key"), "damaged.pem", "not usable");
    expect_error(with_files("chain.pem", "encrypted.key"), "encrypted.key", "is encrypted");
    expect_error(with_files("chain.pem", "client.key"), "client.key", "does not belong to");
    expect_error(with_files("chain.pem", "rsa.key"), "rsa.key", "does not belong to");
    expect_error(with_files("rsa.pem", "server.key"), "server.key", "does not belong to");
    expect_error(with_ca(NULL), NULL, "no 'ca' says whose are good");
    expect_error(with_ca("none.pem"), "none.pem", "No such file or directory");
    expect_error(with_ca("empty.pem"), "empty.pem", "the file is empty");
    expect_error(with_ca("server.key"), "server.key", "holds no certificate");
    expect_error(with_ca("damaged.pem"), "damaged.pem", "certificate 1 is not usable");
    expect_error(with_files("version-1.pem", "client.key"), "client.key", "does not belong to");
    log_threshold = LOG_ERROR;
    expect_error(with_ca("old-ca.pem"), "old-ca.pem", "no certificate in it is valid at this time");
    log_threshold = LOG_INFO;
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    options.ciphers = "NO-SUCH-CIPHER";
    expect_error(options, NULL, "ciphers 'NO-SUCH-CIPHER': none of them is known");
    options = link_options(TLS_CLIENT_NONE);
    options.key = NULL;
    expect_error(options, NULL, "needs a certificate and a key");
}

static void a_certificate_that_is_not_for_servers_is_only_warned_about(void **state)
{
    struct tls_options options = with_files("client.pem", "client.key");
    log_threshold = LOG_ERROR;
    tls_context_free(link_context(&options));
    log_threshold = LOG_INFO;
}

static void a_file_without_permission_is_named(void **state)
{
    struct tls_options options = with_files("chain.pem", "server.key");
    if (geteuid() == 0)
        skip(); /* who may read everything */
    assert_int_equal(chmod(options.key, 0), 0);
    expect_error(options, "server.key", "Permission denied");
    assert_int_equal(chmod(options.key, 0600), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_shake_hands_and_carry_data),
        cmocka_unit_test(an_rsa_certificate_works),
        cmocka_unit_test(tiny_pieces_carry_big_transfers_both_ways),
        cmocka_unit_test(small_reads_get_all_of_a_record),
        cmocka_unit_test(data_before_the_close_is_delivered),
        cmocka_unit_test(a_shutdown_is_seen_by_the_client),
        cmocka_unit_test(output_may_be_taken_in_parts),
        cmocka_unit_test(alpn_mqtt_is_accepted_and_only_others_are_not),
        cmocka_unit_test(the_identity_comes_from_the_certificate),
        cmocka_unit_test(optional_lets_a_client_without_one_in),
        cmocka_unit_test(bad_client_certificates_are_refused_with_the_reason),
        cmocka_unit_test(an_expired_authority_is_left_out_and_an_early_one_taken),
        cmocka_unit_test(sessions_are_resumed_by_ticket),
        cmocka_unit_test(a_resumed_session_has_the_identity_of_the_first),
        cmocka_unit_test(a_session_is_not_resumed_where_its_client_would_be_refused),
        cmocka_unit_test(plain_bytes_are_said_to_be_plain),
        cmocka_unit_test(old_versions_and_foreign_ciphers_are_refused_with_the_reason),
        cmocka_unit_test(a_client_that_does_not_trust_us_is_quoted),
        cmocka_unit_test(garbage_is_refused_and_never_established),
        cmocka_unit_test(damaged_and_cut_hellos_do_not_get_in),
        cmocka_unit_test(a_damaged_record_ends_the_connection),
        cmocka_unit_test(a_client_that_leaves_during_the_handshake_is_closed),
        cmocka_unit_test(errors_name_the_file_and_the_fault),
        cmocka_unit_test(a_certificate_that_is_not_for_servers_is_only_warned_about),
        cmocka_unit_test(a_file_without_permission_is_named),
    };
    return cmocka_run_group_tests(tests, link_set_up, link_tear_down);
}
