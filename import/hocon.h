/* HOCON, as far as NanoMQ's configurations have it: objects, arrays, quoted and unquoted values,
 * comments and include. What of the language is not read (substitutions, +=) is an error with its
 * line, so that nothing is taken for less than it says. */
#ifndef IMPORT_HOCON_H
#define IMPORT_HOCON_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"
#include "import/draft.h"

/* A value that is neither object nor array. Elements of an array have the array's path. */
struct hocon_setting {
    char *path; /* keys from the outermost, with dots between */
    char *value;
    struct draft_place place;
};

/* In the order of the text. All zero is empty. */
struct hocon {
    struct hocon_setting *settings;
    size_t count;
    char **files; /* to which places point */
    size_t file_count;
};

/* Whether the include below `path` ("" is the outermost) is followed; else it is a setting
 * "PATH.include" with the file's name. */
typedef bool hocon_follows(const char *path);

/* Includes are looked for beside the file that has them. Where it does not return OK, `error` says
 * which file and line cannot be read. `out` is the caller's to end, whatever is returned. */
enum status MUST_USE hocon_read(const char *path, hocon_follows *follows, struct hocon *out,
                                char *error, size_t error_size);
/* The same from memory; no include is followed. */
enum status MUST_USE hocon_read_text(const char *path, struct bytes text, struct hocon *out,
                                     char *error, size_t error_size);
void hocon_fini(struct hocon *hocon);

#endif
