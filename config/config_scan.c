#include "config/config_scan.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 8 };

struct scan {
    const char *in;
    char *out; /* same size: comments become spaces */
    size_t size;
    size_t at;
    unsigned line;
    unsigned depth;
    unsigned opened[DEPTH_MAX]; /* the lines of the open braces */
    char *why;
    size_t why_size;
};

static enum status refuse(struct scan *scan, unsigned line, const char *text)
{
    scan->line = line;
    snprintf(scan->why, scan->why_size, "%s", text);
    return STATUS_INVALID;
}

static char peek(const struct scan *scan, size_t ahead)
{
    return scan->at + ahead < scan->size ? scan->in[scan->at + ahead] : '\0';
}

static void keep(struct scan *scan)
{
    scan->out[scan->at] = scan->in[scan->at];
    if (scan->in[scan->at++] == '\n')
        scan->line++;
}

static void blank(struct scan *scan)
{
    bool newline = scan->in[scan->at] == '\n';
    scan->out[scan->at++] = newline ? '\n' : ' ';
    scan->line += newline;
}

static void skip_line_comment(struct scan *scan)
{
    while (scan->at < scan->size && scan->in[scan->at] != '\n')
        blank(scan);
}

static enum status skip_block_comment(struct scan *scan)
{
    unsigned begin = scan->line;
    blank(scan);
    blank(scan);
    while (scan->at < scan->size) {
        if (peek(scan, 0) == '*' && peek(scan, 1) == '/') {
            blank(scan);
            blank(scan);
            return STATUS_OK;
        }
        blank(scan);
    }
    return refuse(scan, begin, "the comment that begins here does not end");
}

/* A string ends on its line: nothing here needs more, and so a forgotten quote is found where it
 * is. */
static enum status pass_string(struct scan *scan)
{
    char quote = peek(scan, 0);
    keep(scan);
    while (scan->at < scan->size && peek(scan, 0) != '\n') {
        char c = peek(scan, 0);
        if (c == quote) {
            keep(scan);
            return STATUS_OK;
        }
        if (c == '$' && peek(scan, 1) == '{' && quote == '"')
            return refuse(scan, scan->line,
                          "'${' is not expanded: write the value itself, or use '...' quotes");
        if (c == '\\') {
            char escaped = peek(scan, 1);
            if (quote == '"' && escaped != '"' && escaped != '\\')
                return refuse(scan, scan->line,
                              "a backslash in \"...\" must be doubled, or stand before a quote");
            if (escaped == '\'' || escaped == '\\' || escaped == '"')
                keep(scan);
        }
        keep(scan);
    }
    return refuse(scan, scan->line, "a quote is missing: the string does not end on its line");
}

static enum status open_brace(struct scan *scan)
{
    if (scan->depth == DEPTH_MAX)
        return refuse(scan, scan->line, "braces are nested too deeply");
    scan->opened[scan->depth++] = scan->line;
    keep(scan);
    return STATUS_OK;
}

static enum status close_brace(struct scan *scan)
{
    if (scan->depth == 0)
        return refuse(scan, scan->line, "this closing brace has no opening one");
    scan->depth--;
    keep(scan);
    return STATUS_OK;
}

/* A word without quotes. A slash does not begin a comment inside of one: /var//lib is a word. */
static enum status pass_word(struct scan *scan)
{
    if (peek(scan, 0) == '$' && peek(scan, 1) == '{')
        return refuse(scan, scan->line, "'${' is not expanded: write the value itself");
    if (peek(scan, 0) == '*' || peek(scan, 0) == '+')
        return refuse(scan, scan->line, "a value with '*' or '+' must stand in quotes");
    keep(scan);
    return STATUS_OK;
}

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '=' || c == ',' || c == '(' ||
           c == ')' || c == '{' || c == '}' || c == '"' || c == '\'';
}

static enum status scan_one(struct scan *scan, bool in_word)
{
    char c = peek(scan, 0);
    if (c == '\0')
        return refuse(scan, scan->line, "there is a zero byte in the text");
    if (c == '#' || (!in_word && c == '/' && peek(scan, 1) == '/')) {
        skip_line_comment(scan);
        return STATUS_OK;
    }
    if (!in_word && c == '/' && peek(scan, 1) == '*')
        return skip_block_comment(scan);
    if (c == '"' || c == '\'')
        return pass_string(scan);
    if (c == '{')
        return open_brace(scan);
    if (c == '}')
        return close_brace(scan);
    return pass_word(scan);
}

static enum status scan_all(struct scan *scan)
{
    bool in_word = false;
    while (scan->at < scan->size) {
        char c = peek(scan, 0);
        TRY(scan_one(scan, in_word));
        /* A comment has left a space behind, whatever it began with. */
        in_word = !ends_word(c) && scan->out[scan->at - 1] == c;
    }
    if (scan->depth > 0)
        return refuse(scan, scan->opened[scan->depth - 1],
                      "the section that begins here is not closed: '}' is missing");
    scan->out[scan->size] = '\0';
    return STATUS_OK;
}

enum status config_scan(struct bytes text, char **out, unsigned *out_line, char *why,
                        size_t why_size)
{
    struct scan scan = {
        .in = (const char *)text.data,
        .out = malloc(text.size + 1),
        .size = text.size,
        .line = 1,
        .why = why,
        .why_size = why_size,
    };
    if (scan.out == NULL)
        return STATUS_NO_MEMORY;
    enum status status = scan_all(&scan);
    *out_line = scan.line;
    if (status == STATUS_OK)
        *out = scan.out;
    else
        free(scan.out);
    return status;
}
