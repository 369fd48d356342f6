#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/fault/websocket.h"

/* The handshake of RFC 6455 section 1.3, and its answer. */
static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: other, mqtt\r\n\r\n";

struct fixture {
    struct websocket_front front;
    struct buffer inbound, out;
};

static void feed(struct fixture *fixture, enum websocket_breach breach, const void *data,
                 size_t size)
{
    websocket_front_feed(&fixture->front, breach, data, size, &fixture->inbound, &fixture->out);
}

static void open_front(struct fixture *fixture, enum websocket_breach breach)
{
    feed(fixture, breach, request, sizeof request - 1);
    assert_true(fixture->front.open);
    fixture->out.size = 0;
}

/* A frame masked with 01 02 03 04. */
static void feed_frame(struct fixture *fixture, enum websocket_breach breach, unsigned first,
                       const char *hex)
{
    struct buffer payload = {0}, bytes = {0};
    buffer_hex(&payload, hex);
    buffer_u8(&bytes, first);
    buffer_u8(&bytes, 0x80 | (unsigned)payload.size);
    buffer_u32(&bytes, 0x01020304);
    for (size_t i = 0; i < payload.size; i++)
        buffer_u8(&bytes, payload.data[i] ^ (unsigned)(1 + i % 4));
    feed(fixture, breach, bytes.data, bytes.size);
    buffer_free(&payload);
    buffer_free(&bytes);
}

static void assert_inbound(struct fixture *fixture, const char *hex)
{
    struct buffer wanted = {0};
    buffer_hex(&wanted, hex);
    assert_int_equal(fixture->inbound.size, wanted.size);
    if (wanted.size)
        assert_memory_equal(fixture->inbound.data, wanted.data, wanted.size);
    buffer_free(&wanted);
}

static void end(struct fixture *fixture)
{
    websocket_front_fini(&fixture->front);
    buffer_free(&fixture->inbound);
    buffer_free(&fixture->out);
}

static void handshake_is_answered(void **state)
{
    struct fixture fixture = {0};
    for (size_t i = 0; i < sizeof request - 1; i++)
        feed(&fixture, WEBSOCKET_SOUND, request + i, 1);
    buffer_u8(&fixture.out, 0);
    const char *answer = (const char *)fixture.out.data;
    assert_true(fixture.front.open);
    assert_non_null(strstr(answer, "HTTP/1.1 101 "));
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(answer, "\r\nSec-WebSocket-Protocol: mqtt\r\n"));
    end(&fixture);
}

static void handshake_without_mqtt_is_refused(void **state)
{
    static const char bare[] = "GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n";
    struct fixture fixture = {0};
    feed(&fixture, WEBSOCKET_SOUND, bare, sizeof bare - 1);
    assert_true(fixture.front.ended);
    assert_memory_equal(fixture.out.data, "HTTP/1.1 400", 12);
    end(&fixture);
}

static void wrong_subprotocol_is_answered_as_a_breach(void **state)
{
    struct fixture fixture = {0};
    feed(&fixture, WEBSOCKET_WRONG_SUBPROTOCOL, request, sizeof request - 1);
    buffer_u8(&fixture.out, 0);
    assert_null(strstr((const char *)fixture.out.data, "Protocol: mqtt\r\n"));
    end(&fixture);
}

static void frames_are_unmasked_and_joined(void **state)
{
    struct fixture fixture = {0};
    open_front(&fixture, WEBSOCKET_SOUND);
    feed_frame(&fixture, WEBSOCKET_SOUND, 0x02, "C0");
    feed_frame(&fixture, WEBSOCKET_SOUND, 0x80, "00 C000");
    assert_inbound(&fixture, "C000 C000");
    end(&fixture);
}

static void ping_is_answered_with_its_data(void **state)
{
    struct fixture fixture = {0};
    open_front(&fixture, WEBSOCKET_SOUND);
    feed_frame(&fixture, WEBSOCKET_SOUND, 0x89, "414243");
    assert_int_equal(fixture.out.size, 5);
    assert_memory_equal(fixture.out.data,
                        "\x8A\x03"
                        "ABC",
                        5);
    end(&fixture);
}

static void text_ends_the_connection_unless_that_is_broken(void **state)
{
    struct fixture sound = {0}, broken = {0};
    open_front(&sound, WEBSOCKET_SOUND);
    feed_frame(&sound, WEBSOCKET_SOUND, 0x81, "C000");
    assert_true(sound.front.ended);
    assert_memory_equal(sound.out.data, "\x88\x02\x03\xEB", 4);
    assert_inbound(&sound, "");
    open_front(&broken, WEBSOCKET_TAKES_TEXT);
    feed_frame(&broken, WEBSOCKET_TAKES_TEXT, 0x81, "C000");
    assert_false(broken.front.ended);
    assert_inbound(&broken, "C000");
    end(&sound);
    end(&broken);
}

static void frames_without_a_mask_end_the_connection(void **state)
{
    struct fixture fixture = {0};
    open_front(&fixture, WEBSOCKET_SOUND);
    feed(&fixture, WEBSOCKET_SOUND, "\x82\x02\xC0\x00", 4);
    assert_true(fixture.front.ended);
    assert_inbound(&fixture, "");
    end(&fixture);
}

static void only_the_first_packet_of_a_frame_is_read_as_a_breach(void **state)
{
    struct fixture fixture = {0};
    open_front(&fixture, WEBSOCKET_FIRST_PACKET_ONLY);
    feed_frame(&fixture, WEBSOCKET_FIRST_PACKET_ONLY, 0x82, "C000 E000");
    feed_frame(&fixture, WEBSOCKET_FIRST_PACKET_ONLY, 0x82, "C000");
    assert_inbound(&fixture, "C000 C000");
    end(&fixture);
}

static void split_packets_are_lost_as_a_breach(void **state)
{
    struct fixture fixture = {0};
    open_front(&fixture, WEBSOCKET_WHOLE_PACKETS_ONLY);
    feed_frame(&fixture, WEBSOCKET_WHOLE_PACKETS_ONLY, 0x82, "C000 4002 00");
    feed_frame(&fixture, WEBSOCKET_WHOLE_PACKETS_ONLY, 0x82, "01 E000");
    assert_inbound(&fixture, "C000 E000");
    end(&fixture);
}

static void mqtt_goes_out_in_binary_frames_of_any_size(void **state)
{
    static const size_t sizes[] = {2, 125, 126, 65535, 65536};
    static const size_t headers[] = {2, 2, 4, 4, 10};
    static const uint8_t zeros[65536];
    for (unsigned i = 0; i < 5; i++) {
        struct fixture fixture = {0};
        open_front(&fixture, WEBSOCKET_SOUND);
        websocket_front_write(&fixture.front, WEBSOCKET_SOUND, zeros, sizes[i], &fixture.out);
        assert_int_equal(fixture.out.size, headers[i] + sizes[i]);
        assert_int_equal(fixture.out.data[0], 0x82);
        fixture.out.size = 0;
        websocket_front_write(&fixture.front, WEBSOCKET_SENDS_TEXT, zeros, 1, &fixture.out);
        assert_int_equal(fixture.out.data[0], 0x81);
        end(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_is_answered),
        cmocka_unit_test(handshake_without_mqtt_is_refused),
        cmocka_unit_test(wrong_subprotocol_is_answered_as_a_breach),
        cmocka_unit_test(frames_are_unmasked_and_joined),
        cmocka_unit_test(ping_is_answered_with_its_data),
        cmocka_unit_test(text_ends_the_connection_unless_that_is_broken),
        cmocka_unit_test(frames_without_a_mask_end_the_connection),
        cmocka_unit_test(only_the_first_packet_of_a_frame_is_read_as_a_breach),
        cmocka_unit_test(split_packets_are_lost_as_a_breach),
        cmocka_unit_test(mqtt_goes_out_in_binary_frames_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
