/* Log lines for the operator. The process installs one sink; without one, lines go to stderr.
 * Any thread may log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG, LOG_TRACE };

extern _Atomic enum log_level log_threshold;

static inline bool log_wants(enum log_level level)
{
    return level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

/* One line, without its newline. Non-printing bytes are the caller's to escape (log_text). */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies peer-supplied bytes into `out` (of `capacity`, always terminated) with everything that is
 * not printable ASCII written as \xNN, cut with "..." where it does not fit. Returns `out`. */
const char *log_text(const void *data, unsigned long size, char *out, unsigned long capacity);

const char *log_level_name(enum log_level level);

#endif
