#include "base/bytes.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"

enum status buffer_reserve(struct buffer *buffer, size_t more)
{
    if (more > SIZE_MAX / 2 - buffer->size)
        return STATUS_NO_MEMORY;
    size_t need = buffer->size + more;
    if (need <= buffer->capacity)
        return STATUS_OK;
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return STATUS_NO_MEMORY;
    buffer->data = data;
    buffer->capacity = capacity;
    return STATUS_OK;
}

void buffer_take(struct buffer *buffer, size_t more)
{
    enum status status = buffer_reserve(buffer, more);
    if (status == STATUS_OK)
        return;
    memory_use_reserve();
    status = buffer_reserve(buffer, more);
    CHECK(status == STATUS_OK);
}

enum status buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    TRY(buffer_reserve(buffer, size));
    if (size > 0)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return STATUS_OK;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    CHECK(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size > 0 && size > 0)
        memmove(buffer->data, buffer->data + size, buffer->size);
}

void buffer_fini(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
