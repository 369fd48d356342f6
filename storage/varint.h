/* Integers of unknown size, LEB128, least significant bits first; and reading bytes from a disk,
 * which may be anything. */
#ifndef STORAGE_VARINT_H
#define STORAGE_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { VARINT_MAX = 10 };

static inline uint8_t *put_varint(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

/* What is left to read. After a failure nothing is left, and every further read fails. */
struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct cursor cursor_of(struct bytes bytes)
{
    return (struct cursor){bytes.data, bytes.size > 0 ? bytes.data + bytes.size : bytes.data,
                           false};
}

static inline size_t left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static inline uint64_t fail(struct cursor *cursor)
{
    cursor->failed = true;
    cursor->at = cursor->end;
    return 0;
}

static inline struct bytes take_bytes(struct cursor *cursor, uint64_t size)
{
    if (size > left(cursor)) {
        fail(cursor);
        return bytes_of(NULL, 0);
    }
    struct bytes taken = bytes_of(size > 0 ? cursor->at : NULL, (size_t)size);
    cursor->at += size;
    return taken;
}

static inline uint64_t take_varint(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (cursor->at == cursor->end)
            return fail(cursor);
        uint64_t part = *cursor->at++;
        if (shift == 63 && part > 1)
            return fail(cursor);
        value |= (part & 0x7f) << shift;
        if (part < 0x80)
            return value;
    }
    return fail(cursor);
}

#endif
