/* What a run tells: its history, where it is wanted, and how it ends. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `told`: lines of the history are printed; `log`: the broker's log too. Why the run fails goes to
 * `wrong`, so that whoever waits for this process knows. */
void history_begin(bool told, bool log, char *wrong, size_t size);
void history_line(const char *mark, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
void history_log(const char *line, int size);
/* Prints why, and ends the process with HISTORY_FAILED. */
_Noreturn void history_fail(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));
/* Of all that was told, whether printed or not: equal runs, equal sums. */
uint64_t history_sum(void);

enum { HISTORY_FAILED = 3 };

#endif
