#include "conformance/harness/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/net/transport.h"

enum { HEX_MAX = 96, HEX_ROW = 32 };

static void append_hex(struct buffer *out, const uint8_t *data, size_t size)
{
    char text[64];
    size_t shown = size > HEX_MAX ? HEX_MAX - HEX_ROW : size;
    for (size_t i = 0; i < shown; i++) {
        if (i % HEX_ROW == 0)
            buffer_bytes(out, "               ", 15);
        int n = snprintf(text, sizeof text, " %02x%s", data[i],
                         i % HEX_ROW == HEX_ROW - 1 || i + 1 == shown ? "\n" : "");
        buffer_bytes(out, text, (size_t)n);
    }
    if (shown < size) {
        int n = snprintf(text, sizeof text, "                ... %zu bytes more\n", size - shown);
        buffer_bytes(out, text, (size_t)n);
    }
}

/* The tail may grow to twice its part, then its older half goes. */
static void keep(struct trace *trace, const struct buffer *lines)
{
    if (trace->tail.size == 0 && trace->head.size + lines->size <= TRACE_PART_MAX) {
        buffer_bytes(&trace->head, lines->data, lines->size);
        return;
    }
    buffer_bytes(&trace->tail, lines->data, lines->size);
    if (trace->tail.size <= 2 * TRACE_PART_MAX)
        return;
    const uint8_t *cut =
        memchr(trace->tail.data + TRACE_PART_MAX, '\n', trace->tail.size - TRACE_PART_MAX);
    size_t lost = (size_t)(cut - trace->tail.data) + 1;
    for (size_t i = 0; i < lost; i++)
        trace->lines_lost += trace->tail.data[i] == '\n';
    trace->tail.size -= lost;
    memmove(trace->tail.data, trace->tail.data + lost, trace->tail.size);
}

void trace_line(struct trace *trace, struct text client, enum trace_direction direction,
                const char *words, const void *data, size_t size)
{
    static const char *const arrows[] = {"--", "->", "<-"};
    if (trace->muted)
        return;
    struct buffer lines = {0};
    char front[64];
    int n = snprintf(front, sizeof front, "%6llu ms  %-23.*s %s ",
                     (unsigned long long)(transport_clock_ms() - trace->start_ms),
                     client.size > 40 ? 40 : (int)client.size, (const char *)client.data,
                     arrows[direction]);
    buffer_bytes(&lines, front, (size_t)n < sizeof front ? (size_t)n : sizeof front - 1);
    buffer_bytes(&lines, words, strlen(words));
    buffer_u8(&lines, '\n');
    append_hex(&lines, data, size);
    if (trace->live) {
        flockfile(stdout);
        fwrite(lines.data, 1, lines.size, stdout);
        fflush(stdout);
        funlockfile(stdout);
    }
    keep(trace, &lines);
    buffer_free(&lines);
}

char *trace_text(struct trace *trace)
{
    struct buffer all = {0};
    buffer_bytes(&all, trace->head.data, trace->head.size);
    if (trace->lines_lost > 0) {
        char text[80];
        int n = snprintf(text, sizeof text, "           ... %zu lines are left out here\n",
                         trace->lines_lost);
        buffer_bytes(&all, text, (size_t)n);
    }
    buffer_bytes(&all, trace->tail.data, trace->tail.size);
    buffer_u8(&all, 0);
    return (char *)all.data;
}

void trace_free(struct trace *trace)
{
    buffer_free(&trace->head);
    buffer_free(&trace->tail);
}
