/* What a server owes to a client that breaks a rule: the end of the Network Connection.
 *
 * A family of broken packets is tried one after another, each on a connection of its own, and a
 * failure names the one that the server let pass. The closing is what is owed [MQTT-4.13.1-1],
 * [MQTT-4.8.0-1]; saying why with the Reason Code that the specification names is a SHOULD, so it
 * is remarked on once for the whole family. */
#ifndef CONFORMANCE_REFUSAL_H
#define CONFORMANCE_REFUSAL_H

#include "conformance/harness/case.h"

struct refusal {
    struct client *client; /* sends all of them */
    unsigned silent;       /* closed without a word after CONNACK, 5.0 only */
    unsigned other;        /* closed with another Reason Code than the one named */
    char example[120];
};

struct refusal refusal_begin(struct test *test);
/* The remarks, if there are any. */
void refusal_end(struct refusal *refusal);

/* Opens a connection, sends what can't be accepted as its first packet, and wants it closed. 5.0:
 * CONNACK with an error may come first, and `code` is the one that the specification names (0: it
 * names none). 3.1.1: CONNACK may not come [MQTT-3.1.4-1]. */
void refusal_connect(struct refusal *refusal, const struct packet *connect, uint8_t code,
                     const char *variant);
/* Takes the bytes: freed before it judges. */
void refusal_connect_bytes(struct refusal *refusal, struct buffer *bytes, uint8_t code,
                           const char *variant);

/* The same for what follows a CONNECT that was accepted. */
void refusal_packet(struct refusal *refusal, const struct packet *packet, uint8_t code,
                    const char *variant);
void refusal_bytes(struct refusal *refusal, struct buffer *bytes, uint8_t code,
                   const char *variant); /* takes the bytes */
void refusal_hex(struct refusal *refusal, const char *hex, uint8_t code, const char *variant);

/* Only the judgement, of a connection on which it has been sent. `connected`: CONNACK was read. */
void refusal_judge(struct refusal *refusal, struct client *client, bool connected, uint8_t code,
                   const char *variant);

/* Sends a DISCONNECT, or what stands for one, and waits a moment for the server to close: if it has
 * not been read before the next connection of this client, that is a takeover instead. */
void refusal_leave(struct client *client, const struct packet *disconnect);
void refusal_await_end(struct client *client);

#endif
