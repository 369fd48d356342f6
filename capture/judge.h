/* What a Server sends on one Network Connection, held against what MQTT lets it send: from the
 * connection's first byte on, and as far as the wire shows. What a Session brings from an earlier
 * connection is believed.
 *
 * The Client is not judged. Where it breaks the protocol, or what is spoken is no MQTT, the judge
 * leaves off: what a Server does then is another matter. */
#ifndef CAPTURE_JUDGE_H
#define CAPTURE_JUDGE_H

#include "base/bytes.h"
#include "capture/room.h"

enum judge_result {
    JUDGE_GOES_ON,
    JUDGE_LEFT_OFF, /* `why` says why */
    JUDGE_NO_ROOM,  /* left off, too: there was no memory for it */
    JUDGE_WRONG,    /* `why` says what the Server did, and `statement` what forbids it */
};

struct judge;

/* Borrows `room` until judge_free(), and takes from it what grows with what is sent: up to 5 MB for
 * Packet Identifiers, and packets that are not whole yet. NULL: no memory. */
struct judge *judge_new(struct room *room);
void judge_free(struct judge *judge /* takes */);

/* Bytes of one direction, in their order and in any pieces; of both, as they were captured. */
void judge_feed(struct judge *judge, bool from_server, struct bytes bytes);

struct judgement {
    enum judge_result result;
    const char *why, *statement;
    const char *client_identifier; /* as much of it as there is room for, ready to print */
    uint64_t packets;              /* of the Server's */
};

/* Valid until the next call. */
struct judgement judge_say(const struct judge *judge);

#endif
