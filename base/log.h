/* Log lines for the operator: to standard error, or to the file of log_open(), as text or as JSON,
 * a line and a write each. Any thread may log, and nothing that happens to the log stops one.
 *
 * Lines are limited by kind, which is the place in the source that writes them: beyond log_limit in
 * LOG_WINDOW_MS they are left out, and how many is said afterwards. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_TEXT, LOG_JSON };
enum { LOG_WINDOW_MS = 10000 };

extern _Atomic enum log_level log_threshold;
extern _Atomic enum log_format log_format;
/* Lines of a kind in LOG_WINDOW_MS, but for LOG_DEBUG and LOG_TRACE, of which who asks for them
 * wants all. 0, as at first: no limit. */
extern _Atomic uint32_t log_limit;

static inline bool log_wants(enum log_level level)
{
    return level <= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

/* A place in the source that logs. */
struct log_site {
    _Atomic uint64_t since_ms; /* its window; 0: none yet */
    _Atomic uint32_t count;    /* lines in it */
    _Atomic uint64_t left_out; /* and not yet said */
    _Atomic uint64_t said_ms;  /* when that was said last */
    _Atomic bool is_listed;    /* what follows is set, for good */
    enum log_level level;
    const char *format;
    struct log_site *next;
};

/* log_line(level, format, ...): one line, without its newline. Non-printing bytes are the caller's
 * to escape (log_text). */
#define log_line(level, ...)                                                                       \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        log_write(&log_site_, level, __VA_ARGS__);                                                 \
    } while (0)

void log_write(struct log_site *site, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says how many lines were left out of each kind of which it was not said within LOG_WINDOW_MS;
 * `all`: of every kind. Whoever sets a limit calls it about that often, and at the end. */
void log_say_left_out(bool all);

/* Lines go to the end of this file from here on, which is made for its owner alone where it is
 * missing. What cannot be written there goes to standard error, and the file says how much is
 * missing when it can be written again. Once; `error` says in one line what is wrong. */
enum status MUST_USE log_open(const char *path, char *error, size_t error_size);
/* What has the file's name now, where another program has moved the file away. After a failure
 * lines go where they went. Nothing without log_open(). The thread that opened it. */
enum status MUST_USE log_reopen(char *error, size_t error_size);

/* Copies peer-supplied bytes into `out` (of `capacity`, always terminated) with everything that is
 * not printable ASCII written as \xNN, cut with "..." where it does not fit. Returns `out`. */
const char *log_text(const void *data, unsigned long size, char *out, unsigned long capacity);

const char *log_level_name(enum log_level level);

#endif
