/* The bytes of one packet, taken from the front; what is wrong stops it. */
#ifndef CONFORMANCE_READER_H
#define CONFORMANCE_READER_H

#include "conformance/wire/packet.h"

struct reader {
    const uint8_t *start, *at, *end;
    enum version version;
    bool from_server;
    struct packet *packet;
    struct packet_fault *fault;
};

static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The one of both that is for the version read. */
static inline const char *reader_statement(const struct reader *reader, const char *v5,
                                           const char *v311)
{
    return reader->version == VERSION_5 ? v5 : v311;
}

/* Notes what is wrong at that place. Returns false, so that `return reader_fault(...)` ends it. */
bool reader_fault(struct reader *reader, const uint8_t *at, const char *statement,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Each returns false where the packet ends too early or the value may not be. `what` is the
 * field's name for the fault. */
bool reader_u8(struct reader *reader, const char *what, uint8_t *out);
bool reader_u16(struct reader *reader, const char *what, uint16_t *out);
bool reader_u32(struct reader *reader, const char *what, uint32_t *out);
bool reader_varint(struct reader *reader, const char *what, uint32_t *out);
bool reader_binary(struct reader *reader, const char *what, struct text *out);
/* A UTF-8 Encoded String; `statement` names it if it is not well-formed, NULL: the general one. */
bool reader_string(struct reader *reader, const char *what, const char *statement,
                   struct text *out);
/* A Topic Name: at least one character, no wildcard. */
bool reader_topic_name(struct reader *reader, const char *what, const char *wildcard_statement,
                       struct text *out);
/* All properties with their Property Length; `place` is a packet type or RULE_WILL_PROPERTIES. */
bool reader_properties(struct reader *reader, unsigned place, struct properties *out);
/* Wants the packet to end here. */
bool reader_end(struct reader *reader);

/* Whether it is well-formed UTF-8 as of RFC 3629; `*bad` is the offset of the first byte that is
 * not. U+0000 passes. */
bool utf8_well_formed(struct text text, size_t *bad);

#endif
