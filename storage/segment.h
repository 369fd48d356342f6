/* A segment: what one session is owed of one flush, packed into one immutable row, and beside it
 * one small row that says what has become of its entries. Pure: bytes in, bytes out.
 *
 *   directory  for each entry by ascending number: how far it is from the one before, the size of
 *              its data, its effective QoS, and where its body is
 *   data       the entries one behind the other
 *   progress   how many entries there are, a bit for each that is settled, and for each that is in
 *              flight its number, state, Packet Identifier and place in the order of sending
 *
 * Whoever settles a message needs no data, so the directory is apart from it and in front; and an
 * entry is found by the directory alone, so one that is damaged costs no other. A body that is owed
 * to one session lies in its entry; one that is shared, or large, is a row of `message`, which
 * counts the entries that need it. Integers are LEB128, least significant bits first, unless they
 * are said to be of fixed size: those are big-endian.
 *
 * Every length is checked when read: bytes from a disk may be anything. */
#ifndef STORAGE_SEGMENT_H
#define STORAGE_SEGMENT_H

#include "storage/store.h"

enum {
    SEGMENT_ENTRIES = 256,
    SEGMENT_BYTES = 64 * 1024, /* of data; one entry alone may be larger */
    SEGMENT_INLINE = 4096,     /* the largest topic, properties and payload that lie in an entry */
    SEGMENT_DIRECTORY_MAX = SEGMENT_ENTRIES * 15,
    SEGMENT_PROGRESS_MAX = 2 + SEGMENT_ENTRIES / 8 + SEGMENT_ENTRIES * 23,
};

enum segment_body {
    SEGMENT_BODY_INLINE,
    SEGMENT_BODY_SHARED, /* a row of `message` */
    SEGMENT_BODY_NONE,   /* lost; a QoS 2 exchange that PUBREL has yet to close */
    SEGMENT_BODY_COUNT,
};

struct segment_entry {                     /* all bytes borrowed */
    uint8_t body;                          /* enum segment_body */
    uint8_t qos;                           /* effective: 1 or 2 */
    bool retain;                           /* to send */
    struct bytes subscription_identifiers; /* 4 bytes each */
    struct store_message message;          /* its number; INLINE: all of it */
};

/* ---- Building ---- */

struct segment_builder { /* all zero is a valid empty one */
    uint64_t first, last;
    uint32_t count, shared;
    struct buffer data;
    size_t directory_size;
    uint8_t directory[SEGMENT_DIRECTORY_MAX];
};

/* Whether a message of these bytes lies in its entry when one session alone is owed it. */
bool segment_is_small(const struct store_message *message);
/* Appends an entry of a greater number; false when the segment has no room for it. Memory that
 * cannot be had ends the process. */
bool segment_add(struct segment_builder *builder, const struct segment_entry *entry);
/* Empties it; its memory stays. */
void segment_reset(struct segment_builder *builder);
void segment_fini(struct segment_builder *builder);

/* ---- Reading ---- */

struct segment_slot {
    uint64_t number;
    uint32_t offset, size; /* in the data */
    uint8_t qos;
    uint8_t body; /* enum segment_body */
};

struct segment_directory {
    uint32_t count, shared;
    uint64_t data_size;
    struct segment_slot slots[SEGMENT_ENTRIES];
};

/* False: damaged. `first` and `count` are what the row says beside it. */
bool segment_read_directory(struct bytes directory, uint64_t first, uint64_t count,
                            struct segment_directory *out);
/* The entry's place, or -1. */
int segment_find(const struct segment_directory *directory, uint64_t number);
/* `data` may be shorter than the directory says: what is cut off is damaged. Bytes in `out` lie in
 * it. */
bool segment_read_entry(const struct segment_slot *slot, struct bytes data,
                        struct segment_entry *out);

/* ---- Progress ---- */

enum { SEGMENT_SETTLED = 3 }; /* beside enum store_outbound */

/* All zero: nothing has become of any entry. By place in the directory. */
struct segment_progress {
    uint32_t settled, in_flight;
    uint8_t state[SEGMENT_ENTRIES];
    uint16_t packet_identifier[SEGMENT_ENTRIES];
    uint64_t sequence[SEGMENT_ENTRIES];
};

void segment_set_state(struct segment_progress *progress, int at, uint8_t state);
/* The size of what was written to `out`, which has room for SEGMENT_PROGRESS_MAX. */
size_t segment_write_progress(const struct segment_directory *directory,
                              const struct segment_progress *progress, uint8_t *out);
/* False: damaged, or not of this directory. Empty bytes: nothing has become of any entry. */
bool segment_read_progress(struct bytes bytes, const struct segment_directory *directory,
                           struct segment_progress *out);

/* One entry in flight, as progress tells it without the segment. */
struct segment_exchange {
    uint64_t number, sequence;
    uint16_t packet_identifier;
    uint8_t qos, state;
};

/* Gives what is in flight, by number, to `visit`, until it returns false. False: damaged; what came
 * before has been given. */
bool segment_each_exchange(struct bytes progress, uint64_t first,
                           bool (*visit)(void *context, const struct segment_exchange *exchange),
                           void *context);

#endif
