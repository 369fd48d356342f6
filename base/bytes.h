/* Byte ranges, a growable buffer, and big-endian integers as MQTT has them on the wire. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

/* A borrowed range. `data` may be NULL when `size` is 0. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){.data = data, .size = size};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){.data = (const uint8_t *)text, .size = strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* As strcmp(): by bytes, and where one begins with the other, the shorter comes first. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint8_t *put_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
    return p + 2;
}

static inline uint8_t *put_u32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
    return p + 4;
}

static inline uint8_t *put_bytes(uint8_t *p, struct bytes bytes)
{
    if (bytes.size > 0)
        memcpy(p, bytes.data, bytes.size);
    return p + bytes.size;
}

/* Heap memory that grows by doubling. All zero is a valid empty buffer. */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Makes room for `more` bytes behind `size`. */
enum status MUST_USE buffer_reserve(struct buffer *buffer, size_t more);
/* The same for what must be had (base/memory.h). */
void buffer_take(struct buffer *buffer, size_t more);
enum status MUST_USE buffer_append(struct buffer *buffer, const void *data, size_t size);
/* Removes the first `size` bytes. */
void buffer_consume(struct buffer *buffer, size_t size);
void buffer_fini(struct buffer *buffer);

#endif
