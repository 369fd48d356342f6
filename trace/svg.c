/* A sequence diagram as an SVG that needs nothing else: no script, no style sheet, no font of its
 * own. */
#include "trace/sheet.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1080, TOP = 50, ROW = 28, NOTE = 44, NOTE_HALF = 205, NAME_MAX_BYTES = 40 };

#define INK "#1b1f24"
#define QUIET "#6a737d"
#define ACTION "#0b57d0"

static const unsigned lane_at[] = {[CLIENT] = 110, [BROKER] = 430, [DISK] = 750, [OTHERS] = 980};

/* XML has no word for control characters, nor for U+FFFE and U+FFFF. */
static void print_text(const char *text, FILE *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p < ' ')
            fprintf(out, "\\x%02x", *p);
        else if (strchr("&<>\"", *p) != NULL)
            fprintf(out, "&#%d;", *p);
        else if (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe)
            p += 2, fputs("\xef\xbf\xbd", out);
        else
            fputc(*p, out);
    }
}

static void print_at(FILE *out, unsigned x, unsigned y, const char *attributes, const char *text)
{
    fprintf(out, "<text x=\"%u\" y=\"%u\"%s>", x, y, attributes);
    print_text(text, out);
    fputs("</text>\n", out);
}

/* A Client Identifier may have 65,535 bytes: what there is no room for is left out. */
static void print_name(FILE *out, const char *client)
{
    char name[NAME_MAX_BYTES + 4];
    size_t size = strlen(client);
    if (size > NAME_MAX_BYTES) {
        for (size = NAME_MAX_BYTES; size > 0 && ((unsigned char)client[size] & 0xc0) == 0x80;)
            size--;
        snprintf(name, sizeof name, "%.*s\u2026", (int)size, client);
        client = name;
    }
    print_at(out, 14, TOP - 22, " font-weight=\"bold\" font-size=\"14\" text-anchor=\"start\"",
             client);
}

static void begin(struct sheet *sheet, const char *client)
{
    sheet->rows = tmpfile();
    if (sheet->rows == NULL) {
        perror("holdfast");
        exit(2);
    }
    sheet->height = TOP;
    print_name(sheet->rows, client);
    for (enum lane lane = BROKER; lane < LANE_COUNT; lane++)
        print_at(sheet->rows, lane_at[lane], TOP - 22, " font-weight=\"bold\" font-size=\"14\"",
                 lane_names[lane]);
}

static void arrow(struct sheet *sheet, enum lane from, enum lane to, const char *text)
{
    unsigned start = lane_at[from], end = lane_at[to], y = sheet->height + ROW - 6;
    unsigned left = start < end ? start : end, right = start < end ? end : start;
    int tip = start < end ? -9 : 9;
    fprintf(sheet->rows,
            "<path d=\"M%u %uH%u\" stroke=\"" ACTION "\"/><path d=\"M%u %ul%d -4v8z\" "
            "fill=\"" ACTION "\"/>\n",
            start, y, end, end, y, tip);
    /* Above the Broker's lane there is no room: an arrow to the others stands beyond the disk's. */
    print_at(sheet->rows,
             right - left > 400 ? (lane_at[BROKER] + lane_at[DISK]) / 2 : (left + right) / 2, y - 5,
             "", text);
    sheet->height += ROW;
}

static void box(struct sheet *sheet, unsigned x, unsigned width, unsigned height, const char *fill)
{
    fprintf(sheet->rows,
            "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"6\" fill=\"%s\" "
            "stroke=\"" QUIET "\"/>\n",
            x, sheet->height + 6, width, height, fill);
}

static void note(struct sheet *sheet, const char *text, const char *statements)
{
    box(sheet, lane_at[BROKER] - NOTE_HALF, 2 * NOTE_HALF, NOTE - 8, "#e8f0fe");
    print_at(sheet->rows, lane_at[BROKER], sheet->height + 21, "", text);
    print_at(sheet->rows, lane_at[BROKER], sheet->height + 36,
             " fill=\"" QUIET "\" font-size=\"11\"", statements);
    sheet->height += NOTE;
}

static void band(struct sheet *sheet, const char *text)
{
    box(sheet, 20, WIDTH - 40, ROW - 6, "#f6f8fa");
    print_at(sheet->rows, WIDTH / 2, sheet->height + 21, "", text);
    sheet->height += ROW + 4;
}

static void print_lanes(const struct sheet *sheet)
{
    for (enum lane lane = CLIENT; lane < LANE_COUNT; lane++)
        fprintf(sheet->out,
                "<path d=\"M%u %uV%u\" stroke=\"" QUIET "\" stroke-dasharray=\"3 4\"/>\n",
                lane_at[lane], TOP - 12, sheet->height + 12);
}

/* The height comes first in the file, and is known last. */
static void end(struct sheet *sheet)
{
    unsigned height = sheet->height + 20;
    char block[4096];
    size_t size;
    fprintf(sheet->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" "
            "viewBox=\"0 0 %d %u\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" "
            "fill=\"" INK "\" text-anchor=\"middle\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, height, WIDTH, height);
    print_lanes(sheet);
    rewind(sheet->rows);
    while ((size = fread(block, 1, sizeof block, sheet->rows)) > 0)
        fwrite(block, 1, size, sheet->out);
    fputs("</svg>\n", sheet->out);
    fclose(sheet->rows);
}

const struct sheet_kind sheet_svg = {begin, arrow, note, band, end};
