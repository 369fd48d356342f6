/* The operator's files, whole. */
#include "tls/tls_internal.h"

#include <stdio.h>

#include "base/file.h"

enum { FILE_SIZE_MAX = 64 << 20 }; /* the largest public revocation lists have some ten megabytes */

enum status tls_file_read(struct tls_making *making, const char *path, struct buffer *out)
{
    char error[512];
    enum status status = file_read(path, FILE_SIZE_MAX, out, error, sizeof error);
    if (status != STATUS_OK)
        return tls_refuse(making, status, "%s", error);
    if (out->size == 0)
        return tls_refuse(making, STATUS_INVALID, "%s: the file is empty", path);
    return STATUS_OK;
}

enum status tls_file_read_pem(struct tls_making *making, const char *path, struct buffer *out)
{
    TRY(tls_file_read(making, path, out));
    if (!tls_file_holds(out, "-----BEGIN "))
        return tls_refuse(making, STATUS_INVALID, "%s: not a PEM file: it has no '-----BEGIN' line",
                          path);
    return STATUS_OK;
}

bool tls_file_holds(const struct buffer *pem, const char *what)
{
    return memmem(pem->data, pem->size, what, strlen(what)) != NULL;
}

bool tls_file_next_pem(struct bytes *rest, const char *label, struct bytes *out)
{
    char begin_line[64];
    char end_line[64];
    int begin_size = snprintf(begin_line, sizeof begin_line, "-----BEGIN %s-----", label);
    int end_size = snprintf(end_line, sizeof end_line, "-----END %s-----", label);
    const uint8_t *begin = memmem(rest->data, rest->size, begin_line, (size_t)begin_size);
    if (begin == NULL)
        return false;
    size_t left = rest->size - (size_t)(begin - rest->data);
    const uint8_t *end = memmem(begin, left, end_line, (size_t)end_size);
    if (end == NULL)
        return false;
    size_t size = (size_t)(end - begin) + (size_t)end_size;
    *out = bytes_of(begin, size);
    *rest = bytes_of(begin + size, left - size);
    return true;
}
