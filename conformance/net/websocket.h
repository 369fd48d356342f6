/* The client's side of RFC 6455 with the subprotocol "mqtt" [MQTT-6.0.0-3], as bytes in, bytes out.
 */
#ifndef CONFORMANCE_WEBSOCKET_H
#define CONFORMANCE_WEBSOCKET_H

#include "conformance/net/target.h"
#include "conformance/wire/packet.h"

enum {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

struct websocket;

/* Appends the opening handshake to `out`. */
struct websocket *websocket_new(const struct target *target, struct buffer *out);
void websocket_free(struct websocket *websocket);

/* Takes what it can from the front of `raw`: MQTT's bytes go to `inbound`, answers to `out`. */
void websocket_feed(struct websocket *websocket, struct buffer *raw, struct buffer *inbound,
                    struct buffer *out);
/* Appends a masked frame. */
void websocket_write(struct websocket *websocket, unsigned opcode, bool fin, const void *data,
                     size_t size, struct buffer *out);

bool websocket_open(const struct websocket *websocket);  /* the server has agreed */
bool websocket_ended(const struct websocket *websocket); /* the server has sent Close */
/* What the server has selected; "" if nothing. Anything but "mqtt" breaks [MQTT-6.0.0-4], but it is
 * no reason not to judge all the rest: a case of its own looks at it. */
const char *websocket_subprotocol(const struct websocket *websocket);
/* What the server did wrong, or NULL. */
const struct packet_fault *websocket_fault(const struct websocket *websocket);

#endif
