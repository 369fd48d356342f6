/* Whether this machine was too busy to be trusted with times.
 *
 * A thread that does nothing but wake up notices it when it is woken late. One watch at a time. */
#ifndef CONFORMANCE_BUSY_H
#define CONFORMANCE_BUSY_H

#include <stdbool.h>
#include <stdint.h>

void busy_watch_start(void);
void busy_watch_stop(void);

/* Whether a wake-up that was due in this time came more than BUSY_LATE_MS late. */
enum { BUSY_LATE_MS = 100 };
bool busy_between(uint64_t from_ms, uint64_t to_ms);

/* Notes a wake-up; the thread's own, and for tests. */
void busy_note(uint64_t due_ms, uint64_t came_ms);
void busy_forget(void);

#endif
