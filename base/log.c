#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

_Atomic enum log_level log_threshold = LOG_INFO;

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug", "trace"};
    CHECK(level <= LOG_TRACE);
    return names[level];
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_wants(level))
        return;
    char line[1024];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    used += (size_t)snprintf(line + used, sizeof line - used, ".%03ldZ %s: ", now.tv_nsec / 1000000,
                             log_level_name(level));
    va_list arguments;
    va_start(arguments, format);
    int body = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (body < 0)
        return;
    used += (size_t)body;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used++] = '\n';
    /* One write keeps lines of several threads whole; a closed stderr is nobody's loss. */
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
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
