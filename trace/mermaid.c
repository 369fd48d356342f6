#include "trace/sheet.h"

#include <ctype.h>
#include <string.h>

const char *const lane_names[] = {"Client", "Broker", "Disk", "Other Sessions"};

static const char letters[] = {[CLIENT] = 'C', [BROKER] = 'B', [DISK] = 'D', [OTHERS] = 'O'};

/* Only what means nothing to Mermaid stands as it is; the rest is a number between # and ;. */
static void print_text(const char *text, FILE *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p >= 0x80 || isalnum(*p) || strchr(" ._-/,:()", *p) != NULL)
            fputc(*p, out);
        else
            fprintf(out, "#%d;", *p);
    }
}

static void begin(struct sheet *sheet, const char *client)
{
    fputs("sequenceDiagram\n    participant C as ", sheet->out);
    print_text(client, sheet->out);
    fputc('\n', sheet->out);
    for (enum lane lane = BROKER; lane < LANE_COUNT; lane++)
        fprintf(sheet->out, "    participant %c as %s\n", letters[lane], lane_names[lane]);
}

static void arrow(struct sheet *sheet, enum lane from, enum lane to, const char *text)
{
    fprintf(sheet->out, "    %c->>%c: ", letters[from], letters[to]);
    print_text(text, sheet->out);
    fputc('\n', sheet->out);
}

static void note(struct sheet *sheet, const char *text, const char *statements)
{
    fputs("    Note over B: ", sheet->out);
    print_text(text, sheet->out);
    fputs("<br/>", sheet->out);
    print_text(statements, sheet->out);
    fputc('\n', sheet->out);
}

static void band(struct sheet *sheet, const char *text)
{
    fputs("    Note over C,O: ", sheet->out);
    print_text(text, sheet->out);
    fputc('\n', sheet->out);
}

static void end(struct sheet *sheet)
{
}

const struct sheet_kind sheet_mermaid = {begin, arrow, note, band, end};
