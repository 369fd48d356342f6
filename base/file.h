/* A whole file in memory; where one is, and whether it could be written. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

/* Reads up to `limit` bytes; a pipe will do if something comes out of it within
 * seconds. `out` is empty and the caller's to end, whatever is
 * returned. Where that is not OK, `error` says in one line which file and what is wrong. */
enum status MUST_USE file_read(const char *path, size_t limit, struct buffer *out, char *error,
                               size_t error_size);

/* The directory that the file is in, the caller's to free(); NULL: no memory. */
char *file_folder(const char *path);

/* errno of what would be in the way of writing to the file, or of making it; 0: nothing that can be
 * told without doing it. */
int file_obstacle(const char *path);

#endif
