#include "conformance/net/websocket.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "conformance/net/sha1.h"

enum { HEADERS_MAX = 16 * 1024, CONTROL_MAX = 125, SUBPROTOCOL_MAX = 40 };

struct websocket {
    bool open, ended, close_sent;
    bool fragmented;                       /* a data message has begun and not ended */
    char accept[32];                       /* what the server's Sec-WebSocket-Accept has to be */
    char subprotocol[SUBPROTOCOL_MAX + 1]; /* that the server has selected, cut off; "" none */
    struct packet_fault fault;
};

/* Several statements of 6.0 have the same number in both versions. */
static void fault(struct websocket *websocket, const char *statement, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fault(struct websocket *websocket, const char *statement, const char *format, ...)
{
    if (websocket->fault.statement)
        return;
    websocket->fault.statement = statement;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(websocket->fault.what, sizeof websocket->fault.what, format, arguments);
    va_end(arguments);
}

static void random_bytes(void *data, size_t size)
{
    while (getrandom(data, size, 0) != (ssize_t)size) {
        if (errno != EINTR)
            abort();
    }
}

/* ---- The opening handshake ---- */

static void set_key(struct websocket *websocket, char key[25])
{
    uint8_t nonce[16], digest[SHA1_SIZE];
    char joined[64];
    random_bytes(nonce, sizeof nonce);
    base64(nonce, sizeof nonce, key);
    int size = snprintf(joined, sizeof joined, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(joined, (size_t)size, digest);
    base64(digest, sizeof digest, websocket->accept);
}

struct websocket *websocket_new(const struct target *target, struct buffer *out)
{
    struct websocket *websocket = calloc(1, sizeof *websocket);
    if (!websocket)
        abort();
    char key[25], request[2048];
    set_key(websocket, key);
    bool literal6 = strchr(target->host, ':') != NULL;
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\n"
                        "Host: %s%s%s:%s\r\n"
                        "Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\n"
                        "Sec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: mqtt\r\n"
                        "\r\n",
                        target->websocket_path ? target->websocket_path : "/mqtt",
                        literal6 ? "[" : "", target->host, literal6 ? "]" : "", target->port, key);
    if (size < 0 || (size_t)size >= sizeof request)
        fault(websocket, "RFC 6455 section 4.1", "the path is too long for a request");
    else
        buffer_bytes(out, request, (size_t)size);
    return websocket;
}

void websocket_free(struct websocket *websocket)
{
    free(websocket);
}

/* The value of a header in NUL-ended headers, without white space around it; "" if it is missing.
 */
static struct text header(const char *headers, const char *name)
{
    size_t name_size = strlen(name);
    for (const char *line = strstr(headers, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
            continue;
        const char *value = line + name_size + 1;
        value += strspn(value, " \t");
        size_t size = strcspn(value, "\r\n");
        while (size > 0 && strchr(" \t", value[size - 1]))
            size--;
        return (struct text){(const uint8_t *)value, size};
    }
    return TEXT("");
}

static bool has_word(struct text list, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= list.size; i++) {
        if (strncasecmp((const char *)list.data + i, word, size) == 0)
            return true;
    }
    return false;
}

static void check_headers(struct websocket *websocket, const char *headers)
{
    struct text protocol = header(headers, "Sec-WebSocket-Protocol");
    if (strncmp(headers, "HTTP/1.1 101", 12) != 0)
        fault(websocket, "RFC 6455 section 4.2.2", "the server answers \"%.*s\", not HTTP/1.1 101",
              (int)strcspn(headers, "\r\n"), headers);
    else if (!has_word(header(headers, "Upgrade"), "websocket") ||
             !has_word(header(headers, "Connection"), "upgrade"))
        fault(websocket, "RFC 6455 section 4.2.2", "the answer is no upgrade to WebSocket");
    else if (!text_equal(header(headers, "Sec-WebSocket-Accept"), text_of(websocket->accept)))
        fault(websocket, "RFC 6455 section 4.2.2", "Sec-WebSocket-Accept does not fit the key");
    else
        websocket->open = true;
    size_t size = protocol.size < SUBPROTOCOL_MAX ? protocol.size : SUBPROTOCOL_MAX;
    memcpy(websocket->subprotocol, protocol.data, size);
    websocket->subprotocol[size] = '\0';
}

static void take(struct buffer *raw, size_t size)
{
    raw->size -= size;
    if (raw->size > 0)
        memmove(raw->data, raw->data + size, raw->size);
}

static void feed_headers(struct websocket *websocket, struct buffer *raw)
{
    const uint8_t *end = memmem(raw->data, raw->size, "\r\n\r\n", 4);
    if (!end) {
        if (raw->size > HEADERS_MAX)
            fault(websocket, "RFC 6455 section 4.2.2", "the answer's headers do not end");
        return;
    }
    size_t size = (size_t)(end - raw->data) + 4;
    char *headers = calloc(1, size + 1);
    if (!headers)
        abort();
    memcpy(headers, raw->data, size);
    check_headers(websocket, headers);
    free(headers);
    take(raw, size);
}

/* ---- Frames ---- */

struct frame {
    unsigned opcode;
    bool fin;
    const uint8_t *payload;
    size_t size, total;
};

/* Whether a whole frame is there. */
static bool read_frame(struct websocket *websocket, const uint8_t *data, size_t size,
                       struct frame *out)
{
    if (size < 2)
        return false;
    size_t header_size = 2;
    uint64_t payload_size = data[1] & 0x7f;
    if (payload_size >= 126) {
        size_t more = payload_size == 126 ? 2 : 8;
        header_size += more;
        if (size < header_size)
            return false;
        payload_size = 0;
        for (size_t i = 0; i < more; i++)
            payload_size = payload_size << 8 | data[2 + i];
    }
    if (data[0] & 0x70)
        fault(websocket, "RFC 6455 section 5.2", "a frame has reserved bits set");
    else if (data[1] & 0x80)
        fault(websocket, "RFC 6455 section 5.1", "a frame of the server is masked");
    else if (payload_size > (1u << 30))
        fault(websocket, "RFC 6455 section 5.2", "a frame has %llu bytes",
              (unsigned long long)payload_size);
    if (websocket->fault.statement || payload_size > size - header_size)
        return false;
    *out = (struct frame){.opcode = data[0] & 15,
                          .fin = data[0] & 0x80,
                          .payload = data + header_size,
                          .size = (size_t)payload_size,
                          .total = header_size + (size_t)payload_size};
    return true;
}

static void handle_control(struct websocket *websocket, const struct frame *frame,
                           struct buffer *out)
{
    if (!frame->fin || frame->size > CONTROL_MAX) {
        fault(websocket, "RFC 6455 section 5.5", "a control frame is fragmented or too long");
    } else if (frame->opcode == WEBSOCKET_PING) {
        websocket_write(websocket, WEBSOCKET_PONG, true, frame->payload, frame->size, out);
    } else if (frame->opcode == WEBSOCKET_CLOSE) {
        if (!websocket->close_sent)
            websocket_write(websocket, WEBSOCKET_CLOSE, true, frame->payload,
                            frame->size < 2 ? 0 : 2, out);
        websocket->ended = true;
    } else if (frame->opcode != WEBSOCKET_PONG) {
        fault(websocket, "RFC 6455 section 5.2", "a frame with the reserved opcode %u",
              frame->opcode);
    }
}

static void handle_data(struct websocket *websocket, const struct frame *frame,
                        struct buffer *inbound)
{
    if (frame->opcode != WEBSOCKET_CONTINUATION && frame->opcode != WEBSOCKET_BINARY)
        fault(websocket, "MQTT-6.0.0-1", "a data frame with the opcode %u, not binary",
              frame->opcode);
    else if ((frame->opcode == WEBSOCKET_CONTINUATION) != websocket->fragmented)
        fault(websocket, "RFC 6455 section 5.4", "the fragments of a message are out of order");
    else
        buffer_bytes(inbound, frame->payload, frame->size);
    websocket->fragmented = !frame->fin;
}

void websocket_feed(struct websocket *websocket, struct buffer *raw, struct buffer *inbound,
                    struct buffer *out)
{
    if (!websocket->open)
        feed_headers(websocket, raw);
    if (!websocket->open)
        return;
    size_t taken = 0;
    struct frame frame;
    while (!websocket->ended && !websocket->fault.statement &&
           read_frame(websocket, raw->data + taken, raw->size - taken, &frame)) {
        if (frame.opcode & 8)
            handle_control(websocket, &frame, out);
        else
            handle_data(websocket, &frame, inbound);
        taken += frame.total;
    }
    take(raw, taken);
}

void websocket_write(struct websocket *websocket, unsigned opcode, bool fin, const void *data,
                     size_t size, struct buffer *out)
{
    uint8_t mask[4];
    random_bytes(mask, sizeof mask);
    buffer_u8(out, (fin ? 0x80u : 0) | opcode);
    if (size < 126) {
        buffer_u8(out, 0x80 | (unsigned)size);
    } else if (size < 65536) {
        buffer_u8(out, 0x80 | 126);
        buffer_u16(out, (unsigned)size);
    } else {
        buffer_u8(out, 0x80 | 127);
        buffer_u32(out, (uint32_t)((uint64_t)size >> 32));
        buffer_u32(out, (uint32_t)size);
    }
    buffer_bytes(out, mask, sizeof mask);
    size_t start = out->size;
    buffer_bytes(out, data, size);
    for (size_t i = 0; i < size; i++)
        out->data[start + i] ^= mask[i & 3];
    if (opcode == WEBSOCKET_CLOSE)
        websocket->close_sent = true;
}

bool websocket_open(const struct websocket *websocket)
{
    return websocket->open;
}

bool websocket_ended(const struct websocket *websocket)
{
    return websocket->ended;
}

const char *websocket_subprotocol(const struct websocket *websocket)
{
    return websocket->subprotocol;
}

const struct packet_fault *websocket_fault(const struct websocket *websocket)
{
    return websocket->fault.statement ? &websocket->fault : NULL;
}
