#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log_output.h"

enum { TEXT_SIZE = 1024, KIND_SIZE = 256, ESCAPE_SIZE = 8, ESCAPED = 5, MEMBERS_SIZE = 256 };

/* No line of JSON is cut. */
_Static_assert(LOG_LINE_SIZE >= ESCAPED * (2 * TEXT_SIZE + KIND_SIZE) + MEMBERS_SIZE, "too small");

_Atomic enum log_level log_threshold = LOG_INFO;
_Atomic enum log_format log_format = LOG_TEXT;
_Atomic uint32_t log_limit;

/* Those of which a line was ever left out. It only grows. */
static struct log_site *_Atomic limited_sites;

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug", "trace"};
    CHECK(level <= LOG_TRACE);
    return names[level];
}

/* ---- A line ---- */

static void append(struct log_output *line, const char *text, size_t size)
{
    size_t room = sizeof line->text - line->size;
    if (size > room)
        size = room;
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void append_text(struct log_output *line, const char *text)
{
    append(line, text, strlen(text));
}

/* As JSON has it within quotes; and what is not printable ASCII as log_text() writes it. */
static void append_escaped(struct log_output *line, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char escaped[ESCAPE_SIZE] = {text[i]};
        uint8_t byte = (uint8_t)text[i];
        if (byte == '"' || byte == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            snprintf(escaped, sizeof escaped, "\\\\x%02x", byte);
        append_text(line, escaped);
    }
}

static void append_member(struct log_output *line, const char *name, const char *text, size_t size)
{
    append_text(line, ",\"");
    append_text(line, name);
    append_text(line, "\":\"");
    append_escaped(line, text, size);
    append_text(line, "\"");
}

static void append_time(struct log_output *line)
{
    char text[40];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + used, sizeof text - used, ".%03ldZ", now.tv_nsec / 1000000);
    append_text(line, text);
}

/* The format, with a * for whatever differs from line to line. */
static void kind_text(const char *format, char out[KIND_SIZE])
{
    const char *const end = out + KIND_SIZE - 1;
    while (*format != '\0' && out < end) {
        if (format[0] != '%' || format[1] == '%') {
            format += format[0] == '%';
            *out++ = *format++;
            continue;
        }
        format += 1 + strspn(format + 1, "-+ #0123456789.*hlzjt");
        format += *format != '\0';
        *out++ = '*';
    }
    *out = '\0';
}

/* Lines about a client begin with it, and no quote is within its name: log_text(). */
static void append_client(struct log_output *line, const char *text)
{
    static const char begin[] = "client \"";
    if (strncmp(text, begin, sizeof begin - 1) != 0)
        return;
    const char *name = text + sizeof begin - 1, *end = strchr(name, '"');
    if (end != NULL)
        append_member(line, "client", name, (size_t)(end - name));
}

static void write_json(struct log_output *line, const char *format, const char *text,
                       uint64_t left_out)
{
    char kind[KIND_SIZE];
    kind_text(format, kind);
    const char *level = log_level_name(line->level);
    append_text(line, "{\"time\":\"");
    append_time(line);
    append_text(line, "\"");
    append_member(line, "level", level, strlen(level));
    append_member(line, "kind", kind, strlen(kind));
    append_client(line, text);
    append_member(line, "message", text, strlen(text));
    if (left_out > 0) {
        char member[48];
        snprintf(member, sizeof member, ",\"left_out\":%" PRIu64, left_out);
        append_text(line, member);
    }
    append_text(line, "}\n");
}

static void write_text(struct log_output *line, const char *text)
{
    append_time(line);
    append_text(line, " ");
    append_text(line, log_level_name(line->level));
    append_text(line, ": ");
    size_t size = strlen(text), room = TEXT_SIZE - 2 - line->size;
    append(line, text, size < room ? size : room);
    append_text(line, "\n");
}

/* `format`: of its kind. `left_out`: lines of it that this one stands for; 0: it is one itself. */
static void compose(struct log_output *line, enum log_level level, const char *format,
                    const char *text, uint64_t left_out)
{
    line->level = level;
    line->size = 0;
    if (log_format == LOG_JSON)
        write_json(line, format, text, left_out);
    else
        write_text(line, text);
}

/* What the file lacks is said there, as soon as it takes a line again. */
static void say_missing(struct log_output *line)
{
    static const char format[] = "%" PRIu64 " lines are missing here: %s; standard error has them";
    char text[TEXT_SIZE];
    int error;
    uint64_t missing = log_output_take_missing(&error);
    if (missing == 0)
        return;
    snprintf(text, sizeof text, format, missing, strerror(error));
    compose(line, LOG_WARNING, format, text, 0);
    log_output_close_gap(line, missing);
}

static void put(enum log_level level, const char *format, const char *text, uint64_t left_out)
{
    struct log_output line;
    say_missing(&line);
    compose(&line, level, format, text, left_out);
    log_output_write(&line);
}

/* ---- How many ---- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

static void say_left_out_of(struct log_site *site)
{
    uint64_t count = atomic_exchange(&site->left_out, 0);
    if (count == 0)
        return;
    char kind[KIND_SIZE], text[TEXT_SIZE];
    kind_text(site->format, kind);
    snprintf(text, sizeof text, "%" PRIu64 " more like it left out: %s", count, kind);
    put(site->level, site->format, text, count);
}

static void leave_out(struct log_site *site, enum log_level level, const char *format)
{
    if (!atomic_exchange(&site->is_listed, true)) {
        site->level = level;
        site->format = format;
        site->said_ms = now_ms();
        site->next = atomic_load(&limited_sites);
        while (!atomic_compare_exchange_weak(&limited_sites, &site->next, site))
            continue;
    }
#ifndef SEEDED_BUG_LOG_LEFT_OUT_UNCOUNTED
    atomic_fetch_add(&site->left_out, 1);
#endif
}

/* Threads that come when a window begins may get a line more in. */
static bool is_within_limit(struct log_site *site, uint32_t limit)
{
    uint64_t now = now_ms(), since = atomic_load(&site->since_ms);
    if ((since == 0 || now - since >= LOG_WINDOW_MS) &&
        atomic_compare_exchange_strong(&site->since_ms, &since, now))
        atomic_store(&site->count, 0);
    return atomic_fetch_add(&site->count, 1) < limit;
}

void log_say_left_out(bool all)
{
    uint64_t now = now_ms();
    for (struct log_site *site = atomic_load(&limited_sites); site != NULL; site = site->next) {
        if (!all && now - atomic_load(&site->said_ms) < LOG_WINDOW_MS)
            continue;
        atomic_store(&site->said_ms, now);
        say_left_out_of(site);
    }
}

void log_write(struct log_site *site, enum log_level level, const char *format, ...)
{
    if (!log_wants(level))
        return;
    uint32_t limit = atomic_load_explicit(&log_limit, memory_order_relaxed);
    if (limit > 0 && level < LOG_DEBUG && !is_within_limit(site, limit)) {
        leave_out(site, level, format);
        return;
    }
    char text[TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0)
        return;
    put(level, format, text, 0);
}

/* ---- Where to ---- */

enum status log_open(const char *path, char *error, size_t error_size)
{
    return log_output_open(path, error, error_size);
}

enum status log_reopen(char *error, size_t error_size)
{
    return log_output_reopen(error, error_size);
}

const char *log_text(const void *data, unsigned long size, char *out, unsigned long capacity)
{
    const uint8_t *bytes = data;
    unsigned long used = 0;
    CHECK(capacity >= 8);
    for (unsigned long i = 0; i < size; i++) {
        if (used + 8 > capacity) {
            used += (unsigned long)snprintf(out + used, capacity - used, "...");
            return out;
        }
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
            out[used++] = (char)bytes[i];
        else
            used += (unsigned long)snprintf(out + used, capacity - used, "\\x%02x", bytes[i]);
    }
    out[used] = '\0';
    return out;
}
