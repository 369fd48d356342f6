#include "conformance/fault/websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conformance/net/sha1.h"

enum opcode { CONTINUATION = 0, TEXT_FRAME = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

enum {
    FIN = 0x80,
    MASK = 0x80,
    REQUEST_MAX = 8192,
    PROTOCOL_ERROR = 1002,
    UNSUPPORTED_DATA = 1003,
};

void websocket_front_fini(struct websocket_front *front)
{
    buffer_free(&front->raw);
}

static void take(struct buffer *buffer, size_t size)
{
    buffer->size -= size;
    memmove(buffer->data, buffer->data + size, buffer->size);
}

/* ---- The opening handshake ---- */

/* The value of a header field in a request that ends with a NUL; NULL: not there. */
static const char *field(const char *request, const char *name, size_t *size)
{
    size_t length = strlen(name);
    for (const char *line = strstr(request, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *value = line + length + 1;
        value += strspn(value, " \t");
        *size = strcspn(value, "\r");
        return value;
    }
    return NULL;
}

/* Whether a list with commas holds the word. */
static bool offers(const char *list, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t at = 0; at < size;) {
        at += strspn(list + at, " \t,");
        size_t end = at + strcspn(list + at, " \t,\r");
        if (end - at == length && memcmp(list + at, word, length) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

static void print(struct buffer *out, const char *text)
{
    buffer_bytes(out, text, strlen(text));
}

static void answer(struct websocket_front *front, enum websocket_breach breach, const char *request,
                   struct buffer *out)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    size_t key_size, list_size;
    const char *key = field(request, "Sec-WebSocket-Key", &key_size);
    const char *list = field(request, "Sec-WebSocket-Protocol", &list_size);
    if (!key || key_size > 64 || !list || !offers(list, list_size, "mqtt")) {
        print(out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        front->ended = true;
        return;
    }
    char joined[64 + sizeof guid], accept[32];
    uint8_t digest[SHA1_SIZE];
    int size = snprintf(joined, sizeof joined, "%.*s%s", (int)key_size, key, guid);
    sha1(joined, (size_t)size, digest);
    base64(digest, sizeof digest, accept);
    print(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: ");
    print(out, accept);
    print(out, "\r\nSec-WebSocket-Protocol: ");
    print(out, breach == WEBSOCKET_WRONG_SUBPROTOCOL ? "mqttv3.1" : "mqtt");
    print(out, "\r\n\r\n");
    front->open = true;
}

/* False: more is needed. */
static bool take_request(struct websocket_front *front, enum websocket_breach breach,
                         struct buffer *out)
{
    struct buffer *raw = &front->raw;
    const uint8_t *end = raw->size ? memmem(raw->data, raw->size, "\r\n\r\n", 4) : NULL;
    if (!end && raw->size <= REQUEST_MAX)
        return false;
    if (!end) {
        front->ended = true;
        return false;
    }
    size_t size = (size_t)(end - raw->data) + 4;
    char *request = malloc(size + 1);
    if (!request)
        abort();
    memcpy(request, raw->data, size);
    request[size] = '\0';
    answer(front, breach, request, out);
    free(request);
    take(raw, size);
    return true;
}

/* ---- Frames ---- */

static void frame(struct buffer *out, unsigned opcode, const void *data, size_t size)
{
    buffer_u8(out, FIN | opcode);
    if (size < 126) {
        buffer_u8(out, (unsigned)size);
    } else if (size <= UINT16_MAX) {
        buffer_u8(out, 126);
        buffer_u16(out, (unsigned)size);
    } else {
        buffer_u8(out, 127);
        buffer_u32(out, 0);
        buffer_u32(out, (uint32_t)size);
    }
    buffer_bytes(out, data, size);
}

void websocket_front_write(struct websocket_front *front, enum websocket_breach breach,
                           const void *data, size_t size, struct buffer *out)
{
    if (!front->open || front->ended || !size)
        return;
    frame(out, breach == WEBSOCKET_SENDS_TEXT ? TEXT_FRAME : BINARY, data, size);
}

static void end_with(struct websocket_front *front, unsigned status, struct buffer *out)
{
    const uint8_t code[] = {(uint8_t)(status >> 8), (uint8_t)status};
    if (!front->ended && front->open)
        frame(out, CLOSE, code, sizeof code);
    front->ended = true;
}

void websocket_front_end(struct websocket_front *front, struct buffer *out)
{
    end_with(front, 1000, out);
}

/* The size of the first packet of MQTT in it; SIZE_MAX: it goes beyond it. */
static size_t packet_in(const uint8_t *data, size_t size)
{
    size_t length = 0;
    for (unsigned i = 0; i < 4 && 1 + i < size; i++) {
        length |= (size_t)(data[1 + i] & 0x7f) << (7 * i);
        if (!(data[1 + i] & 0x80))
            return 2 + i + length;
    }
    return SIZE_MAX;
}

static void take_payload(struct websocket_front *front, enum websocket_breach breach,
                         const uint8_t *data, size_t size, struct buffer *inbound)
{
    size_t skipped = front->skipped < size ? front->skipped : size;
    front->skipped -= skipped;
    data += skipped;
    size -= skipped;
    if (breach == WEBSOCKET_FIRST_PACKET_ONLY && size) {
        size_t packet = packet_in(data, size);
        size = packet < size ? packet : size;
    }
    size_t whole = 0;
    while (breach == WEBSOCKET_WHOLE_PACKETS_ONLY && whole < size) {
        size_t packet = packet_in(data + whole, size - whole);
        if (packet > size - whole) {
            front->skipped = packet == SIZE_MAX ? 0 : packet - (size - whole);
            size = whole;
            break;
        }
        whole += packet;
    }
    buffer_bytes(inbound, data, size);
}

static void take_frame(struct websocket_front *front, enum websocket_breach breach, unsigned opcode,
                       const uint8_t *data, size_t size, struct buffer *inbound, struct buffer *out)
{
    switch (opcode) {
    case TEXT_FRAME:
        if (breach != WEBSOCKET_TAKES_TEXT) {
            end_with(front, UNSUPPORTED_DATA, out); /* [MQTT-6.0.0-1] */
            break;
        }
        take_payload(front, breach, data, size, inbound);
        break;
    case BINARY:
    case CONTINUATION: /* of a binary one: a text one has ended the connection */
        take_payload(front, breach, data, size, inbound);
        break;
    case PING:
        frame(out, PONG, data, size);
        break;
    case PONG:
        break;
    case CLOSE:
        end_with(front, 1000, out);
        break;
    default:
        end_with(front, PROTOCOL_ERROR, out);
        break;
    }
}

/* Takes the frame at the front of `raw`; false: it is not complete. */
static bool take_one(struct websocket_front *front, enum websocket_breach breach,
                     struct buffer *inbound, struct buffer *out)
{
    uint8_t *raw = front->raw.data;
    size_t have = front->raw.size, header = 2;
    if (have < header)
        return false;
    uint64_t size = raw[1] & 0x7f;
    unsigned extra = size == 126 ? 2 : size == 127 ? 8 : 0;
    header += extra + (raw[1] & MASK ? 4 : 0);
    if (have < header)
        return false;
    if (extra)
        size = 0;
    for (unsigned i = 0; i < extra; i++)
        size = size << 8 | raw[2 + i];
    if (!(raw[1] & MASK)) { /* RFC 6455 section 5.1 */
        end_with(front, PROTOCOL_ERROR, out);
        return false;
    }
    if (have - header < size)
        return false;
    const uint8_t *mask = raw + header - 4;
    uint8_t *data = raw + header;
    for (uint64_t i = 0; i < size; i++)
        data[i] ^= mask[i % 4];
    take_frame(front, breach, raw[0] & 0x0f, data, (size_t)size, inbound, out);
    take(&front->raw, header + (size_t)size);
    return true;
}

void websocket_front_feed(struct websocket_front *front, enum websocket_breach breach,
                          const void *data, size_t size, struct buffer *inbound, struct buffer *out)
{
    if (front->ended)
        return;
    buffer_bytes(&front->raw, data, size);
    if (!front->open && !take_request(front, breach, out))
        return;
    while (!front->ended && take_one(front, breach, inbound, out))
        continue;
}
