/* Connections over TCP and TLS against a server that sends everything back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/net/certificate.h"
#include "conformance/net/echo_testing.h"
#include "conformance/net/socket.h"
#include "conformance/net/transport.h"

enum { PATIENCE_MS = 20000 };

static uint64_t patience(void)
{
    return transport_clock_ms() + PATIENCE_MS;
}

/* Steps until so much has come, or the connection has ended. */
static void await(struct transport *transport, size_t size)
{
    uint64_t deadline_ms = patience();
    while (transport->inbound.size < size && transport->end == TRANSPORT_OPEN) {
        assert_true(transport_clock_ms() < deadline_ms);
        if (!transport_step(transport))
            socket_wait(transport->fd, transport_events(transport), deadline_ms);
    }
}

static struct transport *open_to(const struct echo *echo, struct target *target)
{
    char error[200] = "";
    target->port = echo->port;
    struct transport *transport = transport_open(target, patience(), error, sizeof error);
    assert_string_equal(error, "");
    assert_non_null(transport);
    return transport;
}

static uint8_t *pattern(size_t size)
{
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    return bytes;
}

/* Far more than both sides' buffers hold: who only writes would never end. */
static void check_echo(struct echo *echo, struct target *target)
{
    enum { SIZE = 24 << 20 };
    uint8_t *bytes = pattern(SIZE);
    echo->bytes = SIZE;
    echo_start(echo);
    struct transport *transport = open_to(echo, target);
    transport_send(transport, bytes, 1);
    transport_send(transport, bytes + 1, SIZE - 1);
    assert_false(transport_flushed(transport));
    await(transport, SIZE);
    assert_int_equal(transport->inbound.size, SIZE);
    assert_memory_equal(transport->inbound.data, bytes, SIZE);
    assert_true(transport_flushed(transport));
    transport_take(transport, SIZE);
    assert_int_equal(transport->inbound.size, 0);
    await(transport, 1);
    assert_int_equal(transport->end, TRANSPORT_CLOSED);
    assert_int_equal(transport_events(transport), 0);
    transport_close(transport, false);
    echo_stop(echo);
    free(bytes);
}

static void bytes_pass_both_ways_at_once(void **state)
{
    check_echo(&(struct echo){0}, &(struct target){.host = "127.0.0.1"});
}

static void bytes_pass_both_ways_at_once_over_tls(void **state)
{
    struct echo echo = {.certificate = echo_certificate("server.pem"),
                        .key = echo_certificate("server.key")};
    struct target target = {
        .host = "localhost", .tls = true, .ca_file = echo_certificate("ca.pem")};
    check_echo(&echo, &target);
}

static void ipv6_is_as_good(void **state)
{
    struct echo echo = {.ipv6 = true, .bytes = 3};
    struct target target = {.host = "::1"};
    echo_start(&echo);
    struct transport *transport = open_to(&echo, &target);
    transport_send(transport, "abc", 3);
    await(transport, 3);
    assert_memory_equal(transport->inbound.data, "abc", 3);
    transport_close(transport, false);
    echo_stop(&echo);
}

static void a_reset_is_told_from_an_end(void **state)
{
    struct echo echo = {.bytes = 3, .end = ECHO_RESETS};
    struct target target = {.host = "127.0.0.1"};
    echo_start(&echo);
    struct transport *transport = open_to(&echo, &target);
    transport_send(transport, "abc", 3);
    await(transport, 4);
    assert_int_equal(transport->end, TRANSPORT_RESET);
    /* what is sent now is dropped, and that is no event */
    transport_send(transport, "abc", 3);
    assert_true(transport_flushed(transport));
    transport_close(transport, false);
    echo_stop(&echo);
}

static void a_paused_connection_reads_nothing(void **state)
{
    struct echo echo = {.bytes = 3};
    struct target target = {.host = "127.0.0.1"};
    echo_start(&echo);
    struct transport *transport = open_to(&echo, &target);
    transport->paused = true;
    transport_send(transport, "abc", 3);
    assert_int_equal(transport_events(transport), 0);
    echo_stop(&echo); /* everything has been sent back, and the connection is closed */
    transport_step(transport);
    assert_int_equal(transport->inbound.size, 0);
    assert_int_equal(transport->end, TRANSPORT_OPEN);
    transport->paused = false;
    await(transport, 4);
    assert_int_equal(transport->inbound.size, 3);
    assert_int_equal(transport->end, TRANSPORT_CLOSED);
    transport_close(transport, false);
}

static void nobody_listens(void **state)
{
    struct echo echo = {0};
    char error[200] = "";
    echo_start(&echo);
    echo_cancel(&echo);
    struct target target = {.host = "127.0.0.1", .port = echo.port};
    assert_null(transport_open(&target, patience(), error, sizeof error));
    assert_non_null(strstr(error, "Connection refused"));
    target.host = "no such host";
    assert_null(transport_open(&target, patience(), error, sizeof error));
    assert_non_null(strstr(error, "no such host"));
}

/* ---- Who is trusted ---- */

/* "" if the server and the target trust each other, else what is in the way. */
static const char *try_tls(struct echo echo, struct target target)
{
    static char error[200];
    echo.certificate = echo_certificate("server.pem");
    echo.key = echo_certificate("server.key");
    echo.bytes = 3;
    echo_start(&echo);
    target.tls = true;
    target.port = echo.port;
    *error = '\0';
    struct transport *transport = transport_open(&target, patience(), error, sizeof error);
    if (transport) {
        transport_send(transport, "abc", 3);
        await(transport, 3);
        if (transport->inbound.size != 3)
            snprintf(error, sizeof error, "ended: %s", transport->reason);
        transport_close(transport, false);
    }
    echo_stop(&echo);
    return error;
}

static void a_certificate_is_for_a_name_or_an_address(void **state)
{
    struct echo echo = {0};
    const char *ca = echo_certificate("ca.pem");
    assert_string_equal(try_tls(echo, (struct target){.host = "localhost", .ca_file = ca}), "");
    assert_string_equal(try_tls(echo, (struct target){.host = "127.0.0.1", .ca_file = ca}), "");
    assert_string_equal(
        try_tls(echo,
                (struct target){.host = "127.0.0.1", .server_name = "localhost", .ca_file = ca}),
        "");
    assert_string_equal(
        try_tls(echo, (struct target){.host = "127.0.0.1", .server_name = "::1", .ca_file = ca}),
        "");
    assert_non_null(strstr(
        try_tls(echo, (struct target){.host = "127.0.0.1", .server_name = "other", .ca_file = ca}),
        "name mismatch"));
    assert_non_null(strstr(
        try_tls(echo,
                (struct target){.host = "127.0.0.1", .server_name = "127.0.0.2", .ca_file = ca}),
        "not for this address"));
}

static void an_unknown_authority_is_refused_unless_one_asks(void **state)
{
    struct echo echo = {0};
    const char *other = echo_certificate("client.pem");
    assert_non_null(
        strstr(try_tls(echo, (struct target){.host = "localhost", .ca_file = other}), "signer"));
    assert_string_equal(try_tls(echo, (struct target){.host = "127.0.0.1", .insecure = true}), "");
    char error[200] = "";
    struct target unusable = {
        .host = "localhost", .tls = true, .ca_file = echo_certificate("none")};
    echo_start(&echo);
    unusable.port = echo.port;
    assert_null(transport_open(&unusable, patience(), error, sizeof error));
    assert_non_null(strstr(error, "cannot use the authorities in"));
    echo_stop(&echo);
}

static void a_client_certificate_is_sent(void **state)
{
    struct echo echo = {.client_authority = echo_certificate("ca.pem")};
    struct target target = {.host = "localhost", .ca_file = echo_certificate("ca.pem")};
    assert_string_not_equal(try_tls(echo, target), "");
    target.certificate_file = echo_certificate("client.pem");
    target.key_file = echo_certificate("client.key");
    assert_string_equal(try_tls(echo, target), "");
    target.key_file = echo_certificate("client.pem");
    assert_non_null(strstr(try_tls(echo, target), "cannot use the private key in"));
}

static void what_is_not_tls_fails_the_handshake(void **state)
{
    struct echo echo = {.bytes = 1};
    char error[200] = "";
    echo_start(&echo);
    struct target target = {.host = "localhost", .port = echo.port, .tls = true, .insecure = true};
    assert_null(transport_open(&target, patience(), error, sizeof error));
    assert_non_null(strstr(error, "TLS handshake with localhost port"));
    echo_stop(&echo);
}

static void addresses_are_found_in_a_certificate(void **state)
{
    static uint8_t der[4096];
    static const uint8_t loopback[16] = {[15] = 1};
    FILE *file = fopen(echo_certificate("server.der"), "rb");
    assert_non_null(file);
    size_t size = fread(der, 1, sizeof der, file);
    fclose(file);
    assert_true(certificate_has_address(der, size, (const uint8_t *)"\x7f\0\0\1", 4));
    assert_true(certificate_has_address(der, size, loopback, 16));
    assert_false(certificate_has_address(der, size, (const uint8_t *)"\x7f\0\0\2", 4));
    /* cut anywhere, it is neither read beyond its end nor found */
    for (size_t part = 0; part < size; part += 7) {
        uint8_t *copy = malloc(part + 1);
        memcpy(copy, der, part);
        certificate_has_address(copy, part, loopback, 16);
        assert_false(certificate_has_address(copy, part / 2, loopback, 16));
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_both_ways_at_once),
        cmocka_unit_test(bytes_pass_both_ways_at_once_over_tls),
        cmocka_unit_test(ipv6_is_as_good),
        cmocka_unit_test(a_reset_is_told_from_an_end),
        cmocka_unit_test(a_paused_connection_reads_nothing),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_certificate_is_for_a_name_or_an_address),
        cmocka_unit_test(an_unknown_authority_is_refused_unless_one_asks),
        cmocka_unit_test(a_client_certificate_is_sent),
        cmocka_unit_test(what_is_not_tls_fails_the_handshake),
        cmocka_unit_test(addresses_are_found_in_a_certificate),
    };
    return cmocka_run_group_tests(tests, echo_make_certificates, echo_remove_certificates);
}
