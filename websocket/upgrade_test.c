/* RFC 6455 section 4.2, with its own example. */
#include "websocket/upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const good = "GET /mqtt HTTP/1.1\r\n"
                                "Host: server.example.com\r\n"
                                "Upgrade: websocket\r\n"
                                "Connection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                "Origin: http://example.com\r\n"
                                "Sec-WebSocket-Protocol: mqtt\r\n"
                                "Sec-WebSocket-Version: 13\r\n"
                                "\r\n";

/* The response to a request; NUL behind it. */
static const char *answer(const char *request, const char *origins)
{
    static char text[1024];
    struct buffer output = {0};
    struct upgrade_refusal refusal;
    bool accepted = upgrade_answer(bytes_of_text(request), origins, &output, &refusal);
    assert_true(output.size < sizeof text);
    memcpy(text, output.data, output.size);
    text[output.size] = '\0';
    buffer_fini(&output);
    assert_int_equal(accepted, strncmp(text, "HTTP/1.1 101 ", 13) == 0);
    return text;
}

/* `good` with one line replaced by another, or left out where that is "". */
static const char *with(const char *line, const char *other)
{
    static char text[1024];
    const char *at = strstr(good, line);
    assert_non_null(at);
    const char *rest = strstr(at, "\r\n") + 2;
    snprintf(text, sizeof text, "%.*s%s%s%s", (int)(at - good), good, other,
             other[0] != '\0' ? "\r\n" : "", rest);
    return text;
}

static void assert_status(const char *request, unsigned status)
{
    unsigned actual = 0;
    assert_int_equal(sscanf(answer(request, NULL), "HTTP/1.1 %u ", &actual), 1);
    if (actual != status)
        fail_msg("%u, not %u, for\n%s", actual, status, request);
}

static void example_of_the_rfc_is_accepted(void **state)
{
    assert_string_equal(answer(good, NULL), "HTTP/1.1 101 Switching Protocols\r\n"
                                            "Upgrade: websocket\r\n"
                                            "Connection: Upgrade\r\n"
                                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                            "Sec-WebSocket-Protocol: mqtt\r\n"
                                            "\r\n");
}

static void what_http_allows_is_accepted(void **state)
{
    assert_status(with("Upgrade:", "uPGRADE:WebSocket \t"), 101);
    assert_status(with("Connection:", "Connection: keep-alive, Upgrade"), 101);
    assert_status(with("Connection:", "Connection: keep-alive\r\nConnection: ,upgrade ,"), 101);
    assert_status(with("Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: mqttv3.1, mqtt"), 101);
    assert_status(with("Origin:", ""), 101);
    assert_status(with("Origin:", "Origin:"), 101);
    assert_status(with("Origin:", "X: \xC3\xA4 b\tc"), 101);
    assert_status(with("GET ", "GET * HTTP/1.1"), 101);
}

static void what_is_no_opening_handshake_is_refused(void **state)
{
    assert_status(with("GET ", "POST /mqtt HTTP/1.1"), 405);
    assert_status(with("GET ", "GET /mqtt HTTP/1.0"), 400);
    assert_status(with("GET ", "GET  HTTP/1.1"), 400);
    assert_status(with("GET ", "GET /mq tt HTTP/1.1"), 400);
    assert_status(with("Host:", ""), 400);
    assert_status(with("Host:", "Host: a\r\nHost: b"), 400);
    assert_status(with("Host:", "Host a"), 400);
    assert_status(with("Host:", "Ho st: a"), 400);
    assert_status(with("Upgrade:", ""), 426);
    assert_status(with("Upgrade:", "Upgrade: websockets"), 426);
    assert_status(with("Connection:", "Connection: close"), 426);
    assert_status(with("Sec-WebSocket-Version:", "Sec-WebSocket-Version: 8"), 426);
    assert_status(with("Sec-WebSocket-Version:", ""), 426);
    assert_status(with("Sec-WebSocket-Key:", ""), 400);
    assert_status(with("Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ="), 400);
    assert_status(with("Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="), 400);
    assert_status(with("Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
                  400);
    /* [MQTT-6.0.0-3]; a name of a subprotocol is compared as it stands. */
    assert_status(with("Sec-WebSocket-Protocol:", ""), 400);
    assert_status(with("Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: mqttv3.1"), 400);
    assert_status(with("Sec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: MQTT"), 400);
    assert_status("\r\n\r\n", 400);
    assert_non_null(strstr(answer(with("Sec-WebSocket-Version:", "Sec-WebSocket-Version: 8"), NULL),
                           "Sec-WebSocket-Version: 13\r\n"));
}

static void page_of_another_origin_is_refused(void **state)
{
    assert_non_null(strstr(answer(good, "http://example.com"), " 101 "));
    assert_non_null(strstr(answer(good, "https://a.example  HTTP://EXAMPLE.COM"), " 101 "));
    assert_non_null(strstr(answer(good, "http://example.co"), " 403 "));
    assert_non_null(strstr(answer(good, "http://example.com.evil"), " 403 "));
    assert_non_null(strstr(answer(with("Origin:", "Origin: null"), "http://example.com"), " 403 "));
    assert_non_null(strstr(answer(with("Origin:", ""), "http://example.com"), " 101 "));
}

static void request_ends_with_an_empty_line(void **state)
{
    size_t whole = strlen(good);
    for (size_t size = 0; size < whole; size++)
        assert_int_equal(upgrade_request_size(bytes_of(good, size)), 0);
    assert_int_equal(upgrade_request_size(bytes_of(good, whole)), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_of_the_rfc_is_accepted),
        cmocka_unit_test(what_http_allows_is_accepted),
        cmocka_unit_test(what_is_no_opening_handshake_is_refused),
        cmocka_unit_test(page_of_another_origin_is_refused),
        cmocka_unit_test(request_ends_with_an_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
