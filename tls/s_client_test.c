/* Against the openssl command, an implementation that is not ours and not wolfSSL's. */
#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/certificates_testing.h"
#include "tls/link_testing.h"

enum { PATIENCE_MS = 20000, OUTPUT_MAX = 4 << 20 };

struct outcome {
    bool established;
    char error[256];
    char name[64]; /* the client's common name */
    size_t echoed;
    int exit_status; /* of openssl */
    char *output;    /* what it printed */
    size_t output_size;
};

static const char *const versions[] = {"-tls1_2", "-tls1_3"};

/* ---- A server of one connection, which echoes and closes after `expected` bytes ---- */

static void flush_output(struct tls *tls, int fd)
{
    struct bytes output = tls_output(tls);
    ssize_t sent = send(fd, output.data, output.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        tls_output_consume(tls, (size_t)sent);
    else
        assert_true(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    if (sent < 0 && errno != EAGAIN)
        tls_output_consume(tls, output.size);
}

static enum tls_result echo(struct tls *tls, struct outcome *out)
{
    uint8_t data[5000];
    size_t size = 1;
    enum tls_result result = TLS_OK;
    while (result == TLS_OK && size > 0) {
        result = tls_read(tls, data, sizeof data, &size);
        if (size > 0)
            assert_int_equal(tls_write(tls, data, size), TLS_OK);
        out->echoed += size;
    }
    return result;
}

/* One round: some bytes in, some out. False at the end. */
static bool turn(struct tls *tls, int fd, struct outcome *out)
{
    uint8_t data[7001];
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (tls_output(tls).size > 0)
        poll_fd.events |= POLLOUT;
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    if ((poll_fd.revents & POLLOUT) != 0)
        flush_output(tls, fd);
    if ((poll_fd.revents & (POLLIN | POLLHUP)) == 0)
        return true;
    ssize_t got = recv(fd, data, sizeof data, MSG_DONTWAIT);
    if (got <= 0)
        return false;
    enum tls_result result = tls_feed(tls, data, (size_t)got);
    if (result == TLS_OK)
        result = echo(tls, out);
    out->established |= tls_established(tls);
    return result == TLS_OK;
}

static void serve(int listener, struct tls_context *context, size_t expected, struct outcome *out)
{
    struct tls *tls;
    struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(tls_new(context, &tls), STATUS_OK);
    while (turn(tls, fd, out)) {
        if (expected > 0 && out->echoed == expected) {
            tls_shutdown(tls);
            expected = 0; /* once */
        }
        if (out->echoed > 0 && expected == 0 && tls_output(tls).size == 0)
            shutdown(fd, SHUT_WR);
    }
    while (tls_output(tls).size > 0)
        flush_output(tls, fd);
    struct bytes name = tls_peer_name(tls, IDENTITY_COMMON_NAME);
    snprintf(out->name, sizeof out->name, "%.*s", (int)name.size, (const char *)name.data);
    snprintf(out->error, sizeof out->error, "%s", tls_error(tls));
    shutdown(fd, SHUT_WR);
    char rest[4096];
    while (recv(fd, rest, sizeof rest, 0) > 0)
        continue;
    close(fd);
    tls_free(tls);
}

/* ---- The client ---- */

static int listen_on_loopback(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void read_output(struct outcome *out)
{
    FILE *file = fopen(certificate_path("out"), "rb");
    assert_non_null(file);
    out->output = calloc(1, OUTPUT_MAX + 1);
    out->output_size = fread(out->output, 1, OUTPUT_MAX, file);
    fclose(file);
}

/* Runs `openssl s_client` with the given options, the file `in` as its input. */
static struct outcome run(struct tls_context *context, const char *options, size_t expected)
{
    char command[1024];
    unsigned port;
    struct outcome out = {0};
    int listener = listen_on_loopback(&port);
    snprintf(command, sizeof command,
             "cd %s && exec timeout 20 openssl s_client -connect 127.0.0.1:%u -CAfile ca.pem "
             "%s %s <in >out 2>err",
             certificate_path("."), port,
             strstr(options, "server") == NULL ? "-servername localhost -ign_eof" : "-ign_eof",
             options);
    FILE *client = popen(command, "r");
    assert_non_null(client);
    serve(listener, context, expected, &out);
    close(listener);
    out.exit_status = pclose(client);
    read_output(&out);
    return out;
}

static void write_input(const void *data, size_t size)
{
    FILE *file = fopen(certificate_path("in"), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static const char *with_version(unsigned i, const char *options)
{
    static char text[512];
    snprintf(text, sizeof text, "%s %s", versions[i], options);
    return text;
}

/* ---- Tests ---- */

static void both_versions_carry_a_megabyte_both_ways(void **state)
{
    enum { SIZE = 1 << 20 };
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + i / 255);
    write_input(data, SIZE);
    for (unsigned i = 0; i < 2; i++) {
        struct outcome out = run(context, with_version(i, "-quiet -verify_return_error"), SIZE);
        assert_true(out.established);
        assert_int_equal(out.output_size, SIZE);
        assert_memory_equal(out.output, data, SIZE);
        free(out.output);
    }
    free(data);
    tls_context_free(context);
}

static void the_chain_and_alpn_reach_the_client(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    write_input("hello\n", 6);
    for (unsigned i = 0; i < 2; i++) {
        struct outcome out =
            run(context, with_version(i, "-verify_return_error -alpn mqtt,other"), 6);
        assert_true(out.established);
        assert_non_null(strstr(out.output, "Verify return code: 0 (ok)"));
#ifdef HAVE_ALPN
        assert_non_null(strstr(out.output, "ALPN protocol: mqtt"));
#endif
        assert_non_null(strstr(out.output, "hello\n"));
        free(out.output);
    }
    tls_context_free(context);
}

static bool is_resumed(struct tls_context *first, struct tls_context *second, unsigned version,
                       const char *certificate, struct outcome *out)
{
    char options[256];
    snprintf(options, sizeof options, "%s -sess_out session", certificate);
    remove(certificate_path("session"));
    *out = run(first, with_version(version, options), 6);
    assert_true(out->established);
    free(out->output);
    snprintf(options, sizeof options, "%s -sess_in session", certificate);
    *out = run(second, with_version(version, options), 6);
    assert_true(out->established);
    bool resumed = strstr(out->output, "Reused, TLSv1") != NULL;
    assert_true(resumed || strstr(out->output, "New, TLSv1") != NULL);
    free(out->output);
    return resumed;
}

static void sessions_are_resumed_by_ticket(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    struct tls_context *other = link_context(&options); /* as after a restart */
    struct outcome out;
    write_input("hello\n", 6);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(is_resumed(context, context, i, "", &out));
        assert_false(is_resumed(context, other, i, "", &out));
    }
    tls_context_free(context);
    tls_context_free(other);
}

static void sessions_with_client_certificates_are_resumed_with_them(void **state)
{
    struct tls_options plain_options = link_options(TLS_CLIENT_NONE);
    struct tls_options mutual_options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_options revoking_options = mutual_options;
    struct tls_context *plain = link_context(&plain_options);
    mutual_options.before = plain;
    struct tls_context *mutual = link_context(&mutual_options);
    revoking_options.before = mutual;
    revoking_options.crl = certificate_path("ca.crl");
    struct tls_context *revoking = link_context(&revoking_options);
    struct outcome out;
    const char *certificate = "-cert client.pem -key client.key";
    write_input("hello\n", 6);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(is_resumed(mutual, mutual, i, certificate, &out), LINK_TICKETS_HAVE_ROOM);
        assert_string_equal(out.name, "sensor-7");
        assert_false(is_resumed(plain, mutual, i, certificate, &out));
        assert_string_equal(out.name, "sensor-7");
        out =
            run(mutual, with_version(i, "-sess_out session -cert revoked.pem -key revoked.key"), 6);
        assert_true(out.established);
        free(out.output);
        /* With its ticket, and whether or not it shows its certificate again. */
        out = run(revoking, with_version(i, "-sess_in session -cert revoked.pem -key revoked.key"),
                  6);
        assert_false(out.established);
        assert_non_null(strstr(out.error, "revoked"));
        free(out.output);
        out = run(revoking, with_version(i, "-sess_in session"), 6);
        assert_false(out.established);
        assert_non_null(strstr(out.error, "no certificate"));
        free(out.output);
    }
    tls_context_free(plain);
    tls_context_free(mutual);
    tls_context_free(revoking);
}

static void a_required_certificate_is_required(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_REQUIRED);
    struct tls_context *context = link_context(&options);
    write_input("hello\n", 6);
    for (unsigned i = 0; i < 2; i++) {
        struct outcome out = run(context, with_version(i, ""), 6);
        assert_false(out.established);
        assert_int_equal(out.echoed, 0);
        assert_non_null(strstr(out.error, "the client sent no certificate"));
        free(out.output);
        out = run(context, with_version(i, "-cert stranger.pem -key stranger.key"), 6);
        assert_false(out.established);
        assert_non_null(strstr(out.error, "authority is not among those in 'ca'"));
        free(out.output);
        out = run(context,
                  with_version(i, "-cert deep.pem -key deep.key -cert_chain deep-chain.pem"), 6);
        assert_true(out.established);
        assert_string_equal(out.name, "sensor-8");
        free(out.output);
    }
    tls_context_free(context);
}

static void old_versions_are_refused(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    write_input("hello\n", 6);
    struct outcome out = run(context, "-tls1_1 -cipher DEFAULT:@SECLEVEL=0", 6);
    assert_false(out.established);
    assert_non_null(strstr(out.error, "no TLS version that is accepted"));
    assert_int_not_equal(out.exit_status, 0);
    free(out.output);
    tls_context_free(context);
}

static void weak_ciphers_are_refused(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    write_input("hello\n", 6);
    struct outcome out = run(context, "-tls1_2 -cipher AES128-SHA:ECDHE-ECDSA-AES128-SHA", 6);
    assert_false(out.established);
    assert_non_null(strstr(out.error, "no cipher suite in common"));
    free(out.output);
    tls_context_free(context);
}

static struct tls_context *context_with_names(void)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    options.sni_directory = certificate_path("names");
    return link_context(&options);
}

static void the_certificate_is_chosen_by_the_server_name(void **state)
{
    static const struct {
        const char *wanted, *subject;
    } cases[] = {
        {"-servername rsa.example", "CN = rsa.example"},
        {"-servername ecdsa.example", "CN = ecdsa.example"},
        {"-servername ECDSA.Example", "CN = ecdsa.example"},
        {"-servername ed25519.example", "CN = ed25519.example"},
        {"-servername a.wild.example", "CN = *.wild.example"},
        {"-servername a.b.wild.example", "CN = localhost"},
        {"-servername wild.example", "CN = localhost"},
        {"-servername example", "CN = localhost"},
        {"-noservername", "CN = localhost"},
    };
    struct tls_context *context = context_with_names();
    write_input("hello\n", 6);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        char subject[64];
        struct outcome out = run(context, with_version(i % 2, cases[i / 2].wanted), 6);
        snprintf(subject, sizeof subject, "subject=%s\n", cases[i / 2].subject);
        assert_true(out.established);
        if (strstr(out.output, subject) == NULL)
            fail_msg("%s: the certificate is not for %s", cases[i / 2].wanted, subject);
        assert_non_null(strstr(out.output, "Verify return code: 0 (ok)"));
        free(out.output);
    }
    tls_context_free(context);
}

static void groups_are_those_of_the_list(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    options.groups = "X25519:P-521";
    struct tls_context *context = link_context(&options);
    write_input("hello\n", 6);
    struct outcome out = run(context, "-tls1_3 -groups P-256:P-521", 6);
    assert_true(out.established);
    assert_non_null(strstr(out.output, "ECDH, secp521r1, 521 bits"));
    free(out.output);
    out = run(context, "-tls1_3 -groups X25519", 6);
    assert_non_null(strstr(out.output, "X25519, 253 bits"));
    free(out.output);
    out = run(context, "-tls1_3 -groups P-256", 6);
    assert_false(out.established);
    free(out.output);
    tls_context_free(context);
}

/* In s_client's input a line that begins with R asks for a renegotiation. */
static void there_is_no_renegotiation_no_compression_and_no_early_data(void **state)
{
    struct tls_options options = link_options(TLS_CLIENT_NONE);
    struct tls_context *context = link_context(&options);
    write_input("hello\n", 6);
    for (unsigned i = 0; i < 2; i++) {
        struct outcome out = run(context, with_version(i, "-comp"), 6);
        assert_true(out.established);
        assert_non_null(strstr(out.output, "Compression: NONE"));
        assert_null(strstr(out.output, "Max Early Data: 1"));
        free(out.output);
    }
    struct outcome out = run(context, "-tls1_3 -sess_out session", 6);
    free(out.output);
    out = run(context, "-tls1_3 -sess_in session -early_data in", 6);
    assert_true(out.established);
    assert_null(strstr(out.output, "Early data was accepted"));
    free(out.output);
    write_input("R\nhello\n", 8);
    out = run(context, "-tls1_2 -servername localhost -no_ign_eof -legacy_renegotiation", 6);
    assert_true(out.established);
    assert_int_equal(out.echoed, 0);
    assert_non_null(strstr(out.error, "there is no renegotiation"));
    free(out.output);
    tls_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_carry_a_megabyte_both_ways),
        cmocka_unit_test(the_chain_and_alpn_reach_the_client),
        cmocka_unit_test(sessions_are_resumed_by_ticket),
        cmocka_unit_test(sessions_with_client_certificates_are_resumed_with_them),
        cmocka_unit_test(a_required_certificate_is_required),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(weak_ciphers_are_refused),
        cmocka_unit_test(the_certificate_is_chosen_by_the_server_name),
        cmocka_unit_test(groups_are_those_of_the_list),
        cmocka_unit_test(there_is_no_renegotiation_no_compression_and_no_early_data),
    };
    return cmocka_run_group_tests(tests, link_set_up, link_tear_down);
}
