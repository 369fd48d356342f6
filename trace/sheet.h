/* What a sequence diagram is drawn on: Mermaid, or a picture. Four lanes, and rows from the top
 * down.
 *
 * One thread. Texts are UTF-8, as they come; a sheet escapes what its language would read. */
#ifndef TRACE_SHEET_H
#define TRACE_SHEET_H

#include <stdbool.h>
#include <stdio.h>

enum lane { CLIENT, BROKER, DISK, OTHERS, LANE_COUNT };

extern const char *const lane_names[LANE_COUNT]; /* the Client's is its own */

struct sheet;

struct sheet_kind {
    void (*begin)(struct sheet *sheet, const char *client);
    void (*arrow)(struct sheet *sheet, enum lane from, enum lane to, const char *text);
    void (*note)(struct sheet *sheet, const char *text, const char *statements); /* the Broker's */
    void (*band)(struct sheet *sheet, const char *text); /* across all lanes */
    void (*end)(struct sheet *sheet);
};

struct sheet {
    const struct sheet_kind *kind;
    FILE *out;  /* the caller's */
    FILE *rows; /* SVG: what is drawn, until its height is known; an own file without a name */
    unsigned height;
};

extern const struct sheet_kind sheet_mermaid, sheet_svg;

#endif
