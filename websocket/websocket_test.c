/* Frames as RFC 6455 section 5 has them, byte by byte. */
#include "websocket/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                   "Sec-WebSocket-Protocol: mqtt\r\n"
                                   "Sec-WebSocket-Version: 13\r\n\r\n";

/* What a connection has taken and has to send. */
struct end {
    struct websocket *websocket;
    struct buffer taken, output;
};

static enum websocket_result take(struct end *end, const void *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1); /* exactly this large, for ASan */
    size_t carried;
    memcpy(copy, data, size);
    enum websocket_result result =
        websocket_take(end->websocket, copy, size, &carried, &end->output);
    assert_true(carried <= size);
    assert_int_equal(buffer_append(&end->taken, copy, carried), STATUS_OK);
    assert_int_equal(websocket_result(end->websocket), result);
    free(copy);
    return result;
}

static void end_open(struct end *end)
{
    *end = (struct end){0};
    assert_int_equal(websocket_new(NULL, &end->websocket), STATUS_OK);
    assert_int_equal(take(end, request, strlen(request)), WEBSOCKET_OK);
    assert_int_equal(memcmp(end->output.data, "HTTP/1.1 101 ", 13), 0);
    end->output.size = 0;
}

static void end_close(struct end *end)
{
    websocket_free(end->websocket);
    buffer_fini(&end->taken);
    buffer_fini(&end->output);
}

static void assert_buffer(struct buffer *buffer, const void *data, size_t size)
{
    assert_int_equal(buffer->size, size);
    if (size > 0)
        assert_memory_equal(buffer->data, data, size);
    buffer->size = 0;
}

#define MASK 0x37, 0xfa, 0x21, 0x3d
/* "Hello" in binary, masked as in section 5.7 of the RFC. */
static const uint8_t hello[] = {0x82, 0x85, MASK, 0x7f, 0x9f, 0x4d, 0x51, 0x58};

static void payload_is_unmasked_whatever_the_split(void **state)
{
    for (size_t split = 0; split <= sizeof hello; split++) {
        struct end end;
        end_open(&end);
        assert_int_equal(take(&end, hello, split), WEBSOCKET_OK);
        assert_int_equal(take(&end, hello + split, sizeof hello - split), WEBSOCKET_OK);
        assert_buffer(&end.taken, "Hello", 5);
        assert_buffer(&end.output, "", 0);
        end_close(&end);
    }
}

static void request_may_come_in_pieces_with_frames_behind_it(void **state)
{
    size_t size = strlen(request), whole = size + sizeof hello;
    uint8_t all[1024];
    memcpy(all, request, size);
    memcpy(all + size, hello, sizeof hello);
    for (size_t split = 0; split <= whole; split++) {
        struct end end = {0};
        assert_int_equal(websocket_new(NULL, &end.websocket), STATUS_OK);
        assert_int_equal(take(&end, all, split), WEBSOCKET_OK);
        assert_int_equal(take(&end, all + split, whole - split), WEBSOCKET_OK);
        assert_buffer(&end.taken, "Hello", 5);
        end_close(&end);
    }
}

static void several_frames_and_fragments_are_one_stream(void **state)
{
    static const uint8_t frames[] = {
        0x82, 0x82, MASK, 0x7f,       0x9f,              /* He */
        0x02, 0x81, MASK, 0x5b,                          /* l, to be continued */
        0x89, 0x81, MASK, 0x37 ^ '!',                    /* a Ping between the fragments */
        0x00, 0x80, MASK,                                /* nothing */
        0x80, 0x82, 0,    0,          0,    0, 'l', 'o', /* the rest, with a mask of zeroes */
    };
    static const uint8_t pong[] = {0x8a, 0x01, '!'};
    struct end end;
    end_open(&end);
    assert_int_equal(take(&end, frames, sizeof frames), WEBSOCKET_OK);
    assert_buffer(&end.taken, "Hello", 5);
    assert_buffer(&end.output, pong, sizeof pong);
    end_close(&end);
}

static void long_frames_have_their_length_in_two_or_eight_bytes(void **state)
{
    static const size_t sizes[] = {125, 126, 65535, 65536, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buffer frame = {0};
        uint8_t *payload = malloc(sizes[i]);
        uint8_t short_header[] = {0x82, 0x80 | 125};
        uint8_t middle_header[] = {0x82, 0x80 | 126, (uint8_t)(sizes[i] >> 8), (uint8_t)sizes[i]};
        uint8_t long_header[] = {0x82,
                                 0x80 | 127,
                                 0,
                                 0,
                                 0,
                                 0,
                                 (uint8_t)(sizes[i] >> 24),
                                 (uint8_t)(sizes[i] >> 16),
                                 (uint8_t)(sizes[i] >> 8),
                                 (uint8_t)sizes[i]};
        for (size_t j = 0; j < sizes[i]; j++)
            payload[j] = (uint8_t)(j * 7);
        if (sizes[i] == 125)
            assert_int_equal(buffer_append(&frame, short_header, sizeof short_header), STATUS_OK);
        else if (sizes[i] <= 65535)
            assert_int_equal(buffer_append(&frame, middle_header, sizeof middle_header), STATUS_OK);
        else
            assert_int_equal(buffer_append(&frame, long_header, sizeof long_header), STATUS_OK);
        assert_int_equal(buffer_append(&frame, "\0\0\0\0", 4), STATUS_OK);
        assert_int_equal(buffer_append(&frame, payload, sizes[i]), STATUS_OK);
        struct end end;
        end_open(&end);
        for (size_t at = 0; at < frame.size; at += 9999)
            assert_int_equal(
                take(&end, frame.data + at, frame.size - at < 9999 ? frame.size - at : 9999),
                WEBSOCKET_OK);
        assert_buffer(&end.taken, payload, sizes[i]);
        end_close(&end);
        /* And out: the same without the mask, behind what is framed already. */
        struct buffer output = {0};
        assert_int_equal(buffer_append(&output, "xyz", 3), STATUS_OK);
        assert_int_equal(buffer_append(&output, payload, sizes[i]), STATUS_OK);
        assert_int_equal(websocket_frame(&output, 3), STATUS_OK);
        size_t header = sizes[i] == 125 ? 2 : sizes[i] <= 65535 ? 4 : 10;
        assert_int_equal(output.size, 3 + header + sizes[i]);
        assert_memory_equal(output.data, "xyz\x82", 4);
        assert_int_equal(output.data[4], frame.data[1] & 0x7F);
        assert_memory_equal(output.data + 5, frame.data + 2, header - 2);
        assert_memory_equal(output.data + 3 + header, payload, sizes[i]);
        assert_int_equal(websocket_frame(&output, output.size), STATUS_OK);
        assert_int_equal(output.size, 3 + header + sizes[i]);
        buffer_fini(&output);
        buffer_fini(&frame);
        free(payload);
    }
}

/* Section 5.5.1 and 7.4.1. */
static void assert_fails_with(const uint8_t *frame, size_t size, uint16_t code)
{
    struct end end;
    end_open(&end);
    assert_int_equal(take(&end, hello, sizeof hello), WEBSOCKET_OK);
    assert_int_equal(take(&end, frame, size), WEBSOCKET_FAILED);
    assert_buffer(&end.taken, "Hello", 5);
    if (end.output.size < 2 || end.output.data[0] != 0x88)
        fail_msg("no Close frame for %02x %02x", frame[0], frame[1]);
    if (end.output.size > 2) /* it may come without a code */
        assert_int_equal(get_u16(end.output.data + 2), code);
    assert_string_not_equal(websocket_error(end.websocket), "");
    /* Nothing more is taken, and there is one Close. */
    end.output.size = 0;
    assert_int_equal(take(&end, hello, sizeof hello), WEBSOCKET_FAILED);
    assert_buffer(&end.taken, "Hello", 0);
    assert_int_equal(websocket_close(end.websocket, &end.output), STATUS_OK);
    assert_buffer(&end.output, "", 0);
    end_close(&end);
}

static void frames_against_the_rfc_end_the_connection(void **state)
{
    static const uint8_t unmasked[] = {0x82, 0x05, 'H', 'e', 'l', 'l', 'o'};
    static const uint8_t reserved_bit[] = {0xC2, 0x80, MASK};
    static const uint8_t reserved_opcode[] = {0x83, 0x80, MASK};
    static const uint8_t stray_continuation[] = {0x80, 0x80, MASK};
    static const uint8_t interrupted[] = {0x02, 0x80, MASK, 0x82, 0x80, MASK};
    static const uint8_t fragmented_ping[] = {0x09, 0x80, MASK};
    static const uint8_t long_ping[] = {0x89, 0xFE, 0, 126, MASK};
#define PROTOCOL_ERROR(frame) assert_fails_with(frame, sizeof frame, 1002)
    PROTOCOL_ERROR(unmasked);
    PROTOCOL_ERROR(reserved_bit);
    PROTOCOL_ERROR(reserved_opcode);
    PROTOCOL_ERROR(stray_continuation);
    PROTOCOL_ERROR(interrupted);
    PROTOCOL_ERROR(fragmented_ping);
    PROTOCOL_ERROR(long_ping);
}

static void text_ends_the_connection(void **state) /* [MQTT-6.0.0-1] */
{
    static const uint8_t text[] = {0x81, 0x85, MASK, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    static const uint8_t first_part[] = {0x01, 0x80, MASK};
    assert_fails_with(text, sizeof text, 1003);
    assert_fails_with(first_part, sizeof first_part, 1003);
}

static void close_is_answered(void **state)
{
    static const uint8_t close[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8};
    static const uint8_t answer[] = {0x88, 0x02, 0x03, 0xE8};
    struct end end;
    end_open(&end);
    assert_int_equal(take(&end, close, sizeof close), WEBSOCKET_CLOSED);
    assert_buffer(&end.output, answer, sizeof answer);
    assert_int_equal(websocket_close(end.websocket, &end.output), STATUS_OK);
    assert_buffer(&end.output, "", 0);
    end_close(&end);
    end_open(&end);
    assert_int_equal(websocket_close(end.websocket, &end.output), STATUS_OK);
    assert_int_equal(websocket_close(end.websocket, &end.output), STATUS_OK);
    assert_buffer(&end.output, answer, sizeof answer);
    end_close(&end);
}

static void request_without_an_end_is_refused(void **state)
{
    struct end end = {0};
    char line[1000];
    memset(line, 'x', sizeof line);
    assert_int_equal(websocket_new(NULL, &end.websocket), STATUS_OK);
    for (int i = 0; i < 8; i++)
        assert_int_equal(take(&end, line, sizeof line), WEBSOCKET_OK);
    assert_int_equal(take(&end, line, sizeof line), WEBSOCKET_FAILED);
    assert_int_equal(memcmp(end.output.data, "HTTP/1.1 431 ", 13), 0);
    /* Before the handshake is done there is no frame to close with. */
    end.output.size = 0;
    assert_int_equal(websocket_close(end.websocket, &end.output), STATUS_OK);
    assert_buffer(&end.output, "", 0);
    end_close(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_is_unmasked_whatever_the_split),
        cmocka_unit_test(request_may_come_in_pieces_with_frames_behind_it),
        cmocka_unit_test(several_frames_and_fragments_are_one_stream),
        cmocka_unit_test(long_frames_have_their_length_in_two_or_eight_bytes),
        cmocka_unit_test(frames_against_the_rfc_end_the_connection),
        cmocka_unit_test(text_ends_the_connection),
        cmocka_unit_test(close_is_answered),
        cmocka_unit_test(request_without_an_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
