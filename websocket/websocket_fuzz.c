/* The opening handshake and the frames behind it: whatever the split, they carry the same. A first
 * byte that is odd stands for a handshake that is done. One difference is wslay's: it looks at as
 * much of the reason in a Close frame as comes at once. */
#include <stdlib.h>

#include "base/check.h"
#include "websocket/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    enum websocket_result result;
    struct buffer carried;
};

static struct seen take(const uint8_t *data, size_t size, size_t step, bool upgraded)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Protocol: mqtt\r\n"
                                  "Sec-WebSocket-Version: 13\r\n\r\n";
    struct seen seen = {0};
    struct buffer output = {0};
    struct websocket *websocket;
    size_t carried;
    CHECK(websocket_new("http://a http://b", &websocket) == STATUS_OK);
    if (upgraded) {
        uint8_t copy[sizeof request];
        memcpy(copy, request, sizeof request);
        CHECK(websocket_take(websocket, copy, sizeof request - 1, &carried, &output) ==
                  WEBSOCKET_OK &&
              carried == 0);
    }
    for (size_t at = 0; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        uint8_t *copy = malloc(part);
        CHECK(copy != NULL);
        memcpy(copy, data + at, part);
        seen.result = websocket_take(websocket, copy, part, &carried, &output);
        CHECK(carried <= part);
        CHECK(buffer_append(&seen.carried, copy, carried) == STATUS_OK);
        free(copy);
    }
    CHECK(websocket_close(websocket, &output) == STATUS_OK);
    CHECK((websocket_error(websocket)[0] != '\0') == (seen.result == WEBSOCKET_FAILED));
    websocket_free(websocket);
    buffer_fini(&output);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool upgraded = (data[0] & 1) != 0;
    struct seen whole = take(data + 1, size - 1, size, upgraded);
    struct seen bytes = take(data + 1, size - 1, 1, upgraded);
    bool same = whole.result == bytes.result;
    CHECK(same || whole.result == WEBSOCKET_FAILED || bytes.result == WEBSOCKET_FAILED);
    CHECK(!same || whole.carried.size == bytes.carried.size);
    size_t both = whole.carried.size < bytes.carried.size ? whole.carried.size : bytes.carried.size;
    CHECK(both == 0 || memcmp(whole.carried.data, bytes.carried.data, both) == 0);
    buffer_fini(&whole.carried);
    buffer_fini(&bytes.carried);
    return 0;
}
