/* The server's side of RFC 6455 in front of a server that speaks MQTT over TCP: mqtt-fault --ws.
 * Bytes in, bytes out; it knows nothing of sockets. */
#ifndef CONFORMANCE_FAULT_WEBSOCKET_H
#define CONFORMANCE_FAULT_WEBSOCKET_H

#include "conformance/wire/packet.h"

/* What a fault breaks here; 0: nothing. */
enum websocket_breach {
    WEBSOCKET_SOUND,
    WEBSOCKET_TAKES_TEXT,
    WEBSOCKET_SENDS_TEXT,
    WEBSOCKET_FIRST_PACKET_ONLY, /* of each frame */
    WEBSOCKET_WHOLE_PACKETS_ONLY,
    WEBSOCKET_WRONG_SUBPROTOCOL,
};

/* Zeroed is a new connection. */
struct websocket_front {
    struct buffer raw; /* of the client, not understood yet */
    size_t skipped;    /* bytes of a packet whose beginning was dropped, still to come */
    bool open, ended;  /* the handshake is done; no more frames are read or sent */
};

/* Takes bytes of the client. MQTT goes to `inbound`, answers to `out`. When `ended` is set the
 * connection is to be closed behind `out`. */
void websocket_front_feed(struct websocket_front *front, enum websocket_breach breach,
                          const void *data, size_t size, struct buffer *inbound,
                          struct buffer *out);
/* Appends MQTT's bytes as a frame. */
void websocket_front_write(struct websocket_front *front, enum websocket_breach breach,
                           const void *data, size_t size, struct buffer *out);
/* Appends a Close frame. */
void websocket_front_end(struct websocket_front *front, struct buffer *out);
void websocket_front_fini(struct websocket_front *front);

#endif
