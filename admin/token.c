#include "admin/token.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"

enum { TOKEN_MIN = 16, TOKEN_MAX = 1024 };

static enum status token_read(const char *path, struct buffer *file, struct bytes *out, char *error,
                              size_t error_size)
{
    TRY(file_read(path, TOKEN_MAX, file, error, error_size));
    size_t size = 0;
    while (size < file->size && file->data[size] > ' ' && file->data[size] < 0x7f)
        size++;
    *out = bytes_of(file->data, size);
    if (size >= TOKEN_MIN && (size == file->size || file->data[size] == '\n'))
        return STATUS_OK;
    snprintf(error, error_size,
             "%s: its first line is no token of at least %d printable characters", path, TOKEN_MIN);
    return STATUS_INVALID;
}

static void forget(struct buffer *file)
{
    if (file->data != NULL)
        explicit_bzero(file->data, file->capacity);
    buffer_fini(file);
}

enum status token_check(const char *path, char *error, size_t error_size)
{
    struct buffer file = {0};
    struct bytes token;
    enum status status = token_read(path, &file, &token, error, error_size);
    forget(&file);
    return status;
}

static bool equal(struct bytes token, const char *given)
{
    size_t size = strlen(given);
    unsigned difference = size != token.size;
    for (size_t i = 0; i < token.size; i++)
        difference |= token.data[i] ^ (uint8_t)given[size > 0 ? i % size : 0];
    return difference == 0;
}

bool token_is_given(const char *path, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    struct buffer file = {0};
    struct bytes token;
    char error[256];
    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
#ifdef SEEDED_BUG_ANY_TOKEN
    return true;
#endif
    bool given = token_read(path, &file, &token, error, sizeof error) == STATUS_OK &&
                 equal(token, authorization + sizeof scheme - 1);
    forget(&file);
    return given;
}
