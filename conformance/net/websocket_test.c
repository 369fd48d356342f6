/* The WebSocket client against bytes of a server, right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/net/sha1.h"
#include "conformance/net/websocket.h"

struct ends {
    struct websocket *websocket;
    struct buffer raw, inbound, out;
};

static const struct target target = {.host = "::1", .port = "8080", .websocket_path = "/mqtt"};

static void begin(struct ends *ends)
{
    *ends = (struct ends){0};
    ends->websocket = websocket_new(&target, &ends->out);
}

static void finish(struct ends *ends)
{
    websocket_free(ends->websocket);
    buffer_free(&ends->raw);
    buffer_free(&ends->inbound);
    buffer_free(&ends->out);
}

/* The request as a string, with NUL. */
static const char *request_of(struct ends *ends)
{
    buffer_u8(&ends->out, 0);
    ends->out.size--;
    return (const char *)ends->out.data;
}

static void accept_of(struct ends *ends, char accept[32])
{
    const char *key = strstr(request_of(ends), "Sec-WebSocket-Key: ");
    char joined[100];
    uint8_t digest[SHA1_SIZE];
    assert_non_null(key);
    snprintf(joined, sizeof joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    sha1(joined, strlen(joined), digest);
    base64(digest, sizeof digest, accept);
}

static void feed(struct ends *ends, const void *data, size_t size)
{
    buffer_bytes(&ends->raw, data, size);
    websocket_feed(ends->websocket, &ends->raw, &ends->inbound, &ends->out);
}

static void feed_hex(struct ends *ends, const char *hex)
{
    struct buffer bytes = {0};
    buffer_hex(&bytes, hex);
    feed(ends, bytes.data, bytes.size);
    buffer_free(&bytes);
}

/* A "*" in the text becomes the right Sec-WebSocket-Accept. */
static void answer(struct ends *ends, const char *text)
{
    char accept[32];
    accept_of(ends, accept);
    const char *star = strchr(text, '*');
    assert_non_null(star);
    feed(ends, text, (size_t)(star - text));
    feed(ends, accept, strlen(accept));
    feed(ends, star + 1, strlen(star + 1));
}

static const char sound[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n"
                            "Connection: keep-alive, Upgrade\r\nsec-websocket-accept:* \r\n"
                            "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

static void open_ends(struct ends *ends)
{
    begin(ends);
    answer(ends, sound);
    assert_true(websocket_open(ends->websocket));
    assert_null(websocket_fault(ends->websocket));
    ends->out.size = 0;
}

static void the_request_asks_for_mqtt(void **state)
{
    struct ends ends;
    begin(&ends);
    const char *request = request_of(&ends);
    assert_memory_equal(request, "GET /mqtt HTTP/1.1\r\nHost: [::1]:8080\r\n", 38);
    assert_non_null(strstr(request, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(request, "\r\nConnection: Upgrade\r\n"));
    assert_non_null(strstr(request, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(request, "\r\nSec-WebSocket-Protocol: mqtt\r\n"));
    assert_string_equal(request + strlen(request) - 4, "\r\n\r\n");
    finish(&ends);
}

static void a_sound_answer_opens_and_frames_may_follow_at_once(void **state)
{
    struct ends ends;
    begin(&ends);
    answer(&ends, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Accept: *\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82\x01z");
    assert_true(websocket_open(ends.websocket));
    assert_int_equal(ends.inbound.size, 1);
    assert_int_equal(ends.inbound.data[0], 'z');
    finish(&ends);
}

static void refuse(const char *text, const char *statement)
{
    struct ends ends;
    begin(&ends);
    answer(&ends, text);
    assert_false(websocket_open(ends.websocket));
    assert_non_null(websocket_fault(ends.websocket));
    assert_string_equal(websocket_fault(ends.websocket)->statement, statement);
    finish(&ends);
}

static void other_answers_are_refused(void **state)
{
    refuse("HTTP/1.1 404 Not Found\r\nX: *\r\n\r\n", "RFC 6455 section 4.2.2");
    refuse("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: *\r\n"
           "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
           "RFC 6455 section 4.2.2");
    refuse("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: x*\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
           "RFC 6455 section 4.2.2");
}

static void select_subprotocol(const char *header, const char *selected)
{
    struct ends ends;
    char text[400];
    begin(&ends);
    snprintf(text, sizeof text,
             "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: *\r\n%s\r\n",
             header);
    answer(&ends, text);
    assert_true(websocket_open(ends.websocket));
    assert_null(websocket_fault(ends.websocket));
    assert_string_equal(websocket_subprotocol(ends.websocket), selected);
    finish(&ends);
}

static void another_subprotocol_is_noted(void **state)
{
    select_subprotocol("Sec-WebSocket-Protocol: mqtt\r\n", "mqtt");
    select_subprotocol("Sec-WebSocket-Protocol: mqttv3.1\r\n", "mqttv3.1");
    select_subprotocol("", "");
    select_subprotocol("Sec-WebSocket-Protocol: 1234567890123456789012345678901234567890more\r\n",
                       "1234567890123456789012345678901234567890");
}

static void an_answer_may_come_byte_by_byte(void **state)
{
    struct ends ends;
    begin(&ends);
    char accept[32], text[400];
    accept_of(&ends, accept);
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
                        accept);
    for (int i = 0; i < size; i++) {
        assert_false(websocket_open(ends.websocket));
        feed(&ends, text + i, 1);
    }
    assert_true(websocket_open(ends.websocket));
    finish(&ends);
}

static void check_inbound(struct ends *ends, const char *text)
{
    assert_int_equal(ends->inbound.size, strlen(text));
    assert_memory_equal(ends->inbound.data, text, strlen(text));
}

static void binary_frames_bring_bytes(void **state)
{
    struct ends ends;
    open_ends(&ends);
    feed_hex(&ends, "82 02 6162  82 00  82 01 63");
    check_inbound(&ends, "abc");
    feed_hex(&ends, "82");
    feed_hex(&ends, "02 64");
    check_inbound(&ends, "abc");
    feed_hex(&ends, "65");
    check_inbound(&ends, "abcde");
    feed_hex(&ends, "82 7e 0001 66  82 7f 0000000000000001 67");
    check_inbound(&ends, "abcdefg");
    assert_int_equal(ends.out.size, 0);
    finish(&ends);
}

static void fragments_are_joined_and_control_frames_pass_between(void **state)
{
    struct ends ends;
    open_ends(&ends);
    feed_hex(&ends, "02 01 61  89 01 70  00 01 62  80 01 63");
    check_inbound(&ends, "abc");
    /* the Pong has the Ping's payload, masked */
    assert_int_equal(ends.out.size, 2 + 4 + 1);
    assert_int_equal(ends.out.data[0], 0x8a);
    assert_int_equal(ends.out.data[1], 0x81);
    assert_int_equal(ends.out.data[6] ^ ends.out.data[2], 'p');
    feed_hex(&ends, "8a 00");
    assert_null(websocket_fault(ends.websocket));
    finish(&ends);
}

static void close_is_answered_and_ends(void **state)
{
    struct ends ends;
    open_ends(&ends);
    feed_hex(&ends, "88 04 03e8 6279  82 01 61");
    assert_true(websocket_ended(ends.websocket));
    assert_int_equal(ends.inbound.size, 0);
    assert_int_equal(ends.out.size, 2 + 4 + 2);
    assert_int_equal(ends.out.data[0], 0x88);
    assert_int_equal(ends.out.data[6] ^ ends.out.data[2], 0x03);
    assert_int_equal(ends.out.data[7] ^ ends.out.data[3], 0xe8);
    finish(&ends);
}

static void check_frame_fault(const char *hex, const char *statement)
{
    struct ends ends;
    open_ends(&ends);
    feed_hex(&ends, hex);
    assert_non_null(websocket_fault(ends.websocket));
    assert_string_equal(websocket_fault(ends.websocket)->statement, statement);
    finish(&ends);
}

static void frames_that_no_server_may_send(void **state)
{
    check_frame_fault("81 01 61", "MQTT-6.0.0-1");
    check_frame_fault("82 81 00000000 61", "RFC 6455 section 5.1");
    check_frame_fault("c2 01 61", "RFC 6455 section 5.2");
    check_frame_fault("80 01 61", "RFC 6455 section 5.4");
    check_frame_fault("02 01 61 82 01 62", "RFC 6455 section 5.4");
    check_frame_fault("09 00", "RFC 6455 section 5.5");
    check_frame_fault("8b 00", "RFC 6455 section 5.2");
    check_frame_fault("82 7f 7fffffffffffffff", "RFC 6455 section 5.2");
    check_frame_fault("83 00", "MQTT-6.0.0-1");
}

static void frames_sent_are_masked_and_of_any_length(void **state)
{
    static const struct {
        size_t size, header;
    } rows[] = {{0, 2}, {1, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}};
    static uint8_t data[65536];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct ends ends;
        open_ends(&ends);
        websocket_write(ends.websocket, WEBSOCKET_BINARY, true, data, rows[i].size, &ends.out);
        assert_int_equal(ends.out.data[0], 0x82);
        assert_true(ends.out.data[1] & 0x80);
        assert_int_equal(ends.out.size, rows[i].header + 4 + rows[i].size);
        const uint8_t *mask = ends.out.data + rows[i].header;
        for (size_t k = 0; k < rows[i].size; k++)
            assert_int_equal(mask[4 + k] ^ mask[k & 3], data[k]);
        finish(&ends);
    }
}

static void a_first_fragment_has_no_fin(void **state)
{
    struct ends ends;
    open_ends(&ends);
    websocket_write(ends.websocket, WEBSOCKET_TEXT, false, "a", 1, &ends.out);
    assert_int_equal(ends.out.data[0], 0x01);
    finish(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_asks_for_mqtt),
        cmocka_unit_test(a_sound_answer_opens_and_frames_may_follow_at_once),
        cmocka_unit_test(other_answers_are_refused),
        cmocka_unit_test(another_subprotocol_is_noted),
        cmocka_unit_test(an_answer_may_come_byte_by_byte),
        cmocka_unit_test(binary_frames_bring_bytes),
        cmocka_unit_test(fragments_are_joined_and_control_frames_pass_between),
        cmocka_unit_test(close_is_answered_and_ends),
        cmocka_unit_test(frames_that_no_server_may_send),
        cmocka_unit_test(frames_sent_are_masked_and_of_any_length),
        cmocka_unit_test(a_first_fragment_has_no_fin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
