/* WebSocket (RFC 6455) as a transport of MQTT (5.0 section 6), the server's side: bytes in, bytes
 * out, no sockets here.
 *
 * One object per connection; it moves between threads with it. What is to be sent lies in a buffer
 * of the caller's: framed bytes in front, and behind them MQTT packets that have no frame yet. */
#ifndef WEBSOCKET_WEBSOCKET_H
#define WEBSOCKET_WEBSOCKET_H

#include "base/bytes.h"

struct websocket;

/* `origins`: those that a browser's page may come from, separated by spaces; NULL: any. Borrowed.
 */
enum status MUST_USE websocket_new(const char *origins, struct websocket **out);
void websocket_free(struct websocket *websocket);

enum websocket_result {
    WEBSOCKET_OK,
    WEBSOCKET_CLOSED, /* the peer sent a Close frame; it is answered */
    WEBSOCKET_FAILED, /* the request or a frame was refused; it is answered with why */
};

/* Takes bytes as they come, and leaves the parts of MQTT packets that they carry at the front of
 * `data`, in any split [MQTT-6.0.0-2]. Appends what has to be answered (the response to the opening
 * handshake, Pong, Close) to `output`, whose bytes must all be framed. After anything but
 * WEBSOCKET_OK: send the output, close. */
enum websocket_result websocket_take(struct websocket *websocket, uint8_t *data, size_t size,
                                     size_t *out_size, struct buffer *output);
/* What the last websocket_take() has returned. */
enum websocket_result websocket_result(const struct websocket *websocket);
/* Why it failed, in words. */
const char *websocket_error(const struct websocket *websocket);

/* Puts what stands behind the first `framed` bytes into one binary frame [MQTT-6.0.0-1]. */
enum status MUST_USE websocket_frame(struct buffer *output, size_t framed);
/* Appends a Close frame, once: the connection ends in order. */
enum status MUST_USE websocket_close(struct websocket *websocket, struct buffer *output);

#endif
