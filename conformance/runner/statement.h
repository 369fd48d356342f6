/* The normative statements of both versions, and the faults, as tables. */
#ifndef CONFORMANCE_STATEMENT_H
#define CONFORMANCE_STATEMENT_H

#include <stddef.h>

#include "conformance/wire/packet.h"

enum statement_kind { OBSERVABLE, CLIENT_ONLY, UNOBSERVABLE };

struct statement {
    const char *id, *section;
    enum statement_kind kind;
    const char *paraphrase;
    const char *reason; /* why it cannot be tested; "" of OBSERVABLE */
};

/* All of one version, in the order of the specification. */
struct statement_table {
    enum version version;
    const struct statement *rows;
    unsigned count;
};

struct statement_table statement_table(enum version version);

/* The row, or NULL. */
const struct statement *statement_find(struct statement_table table, const char *id, size_t size);

/* "MQTT-3.1.2-7" is of the chapter "3.1". Returns `chapter`. */
enum { CHAPTER_SIZE = 16 };
char *statement_chapter(const char *id, char chapter[CHAPTER_SIZE]);
const char *statement_chapter_title(enum version version, const char *chapter);

/* Goes through words with spaces between them: the next word of `*at`, which is moved behind it;
 * NULL after the last, or where `*at` is NULL. */
const char *statement_word(const char **at, size_t *size);

/* What a fault does, in one sentence; NULL if there is none of that name. */
const char *statement_fault(const char *name, size_t size);

#endif
