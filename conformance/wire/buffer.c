#include "conformance/wire/packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

static uint8_t *room(struct buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->size < size) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity - buffer->size < size)
            capacity *= 2;
        uint8_t *data = realloc(buffer->data, capacity);
        if (!data) {
            fputs("out of memory\n", stderr);
            abort();
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    uint8_t *start = buffer->data + buffer->size;
    buffer->size += size;
    return start;
}

void buffer_u8(struct buffer *buffer, unsigned value)
{
    *room(buffer, 1) = (uint8_t)value;
}

void buffer_u16(struct buffer *buffer, unsigned value)
{
    buffer_u8(buffer, value >> 8);
    buffer_u8(buffer, value);
}

void buffer_u32(struct buffer *buffer, uint32_t value)
{
    buffer_u16(buffer, value >> 16);
    buffer_u16(buffer, value);
}

void buffer_varint(struct buffer *buffer, uint32_t value)
{
    while (value > 0x7f) {
        buffer_u8(buffer, 0x80 | (value & 0x7f));
        value >>= 7;
    }
    buffer_u8(buffer, value);
}

void buffer_bytes(struct buffer *buffer, const void *data, size_t size)
{
    if (size > 0)
        memcpy(room(buffer, size), data, size);
}

void buffer_string(struct buffer *buffer, struct text text)
{
    buffer_u16(buffer, (unsigned)text.size);
    buffer_bytes(buffer, text.data, text.size);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void buffer_hex(struct buffer *buffer, const char *hex)
{
    while (*hex) {
        int high = digit(hex[0]);
        int low = high < 0 ? -1 : digit(hex[1]);
        if (low >= 0) {
            buffer_u8(buffer, (unsigned)(high << 4 | low));
            hex += 2;
        } else if (strchr(" \t\n\r", *hex)) {
            hex++;
        } else {
            fprintf(stderr, "not hexadecimal: \"%.40s\"\n", hex);
            abort();
        }
    }
}

void buffer_frame(struct buffer *buffer, unsigned first_byte, const struct buffer *body)
{
    buffer_u8(buffer, first_byte);
    buffer_varint(buffer, (uint32_t)body->size);
    buffer_bytes(buffer, body->data, body->size);
}
