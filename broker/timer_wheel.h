/* Timers of one worker: a hierarchical wheel with a millisecond as its finest step.
 *
 * A timer sits at the level of the highest base-64 digit in which its due time differs from the
 * wheel's clock, in the slot of that digit. So every level only holds slots that are still to come,
 * every timer of a level is due before any of the level above, and the next slot is the lowest bit
 * of one bitmap. Eleven levels cover all of 64 bits: no due time is too far away.
 *
 * Set and cancel are O(1); a timer is moved once per level on its way down, ten times in the worst
 * case. Not thread-safe: a wheel and its timers belong to one worker. */
#ifndef BROKER_TIMER_WHEEL_H
#define BROKER_TIMER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { TIMER_WHEEL_LEVELS = 11, TIMER_WHEEL_SLOTS = 64 };

/* Embedded in what it is for; its memory is the owner's, who cancels it before freeing it. */
struct timer {
    struct list list;
    uint64_t due_ms;
};

struct timer_wheel {
    uint64_t now_ms;
    uint64_t occupied[TIMER_WHEEL_LEVELS]; /* bit n: slot n is not empty */
    struct list slots[TIMER_WHEEL_LEVELS][TIMER_WHEEL_SLOTS];
    struct list overdue; /* set for a time that had come already */
};

/* The wheel must not move in memory afterwards. */
void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/* Once, before the first timer_set or timer_cancel. */
void timer_init(struct timer *timer);

/* Whether it waits in a wheel. */
static inline bool timer_armed(const struct timer *timer)
{
    return !list_empty(&timer->list);
}

/* Arms the timer, or moves one that is armed. A time that has come already fires at the next
 * timer_wheel_advance(), never in the one that is running. */
void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);
/* Harmless on a timer that is not armed. */
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

/* Moves the clock to `now_ms` (never back) and fires what has come due, earliest first. A timer is
 * disarmed before `fire` is called, which may set and cancel any timer of the wheel and free this
 * one. One set for a time up to `now_ms` fires in the same call, unless its time had come already.
 */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms,
                         void (*fire)(void *context, struct timer *timer), void *context);

/* When to call timer_wheel_advance() next: not later than the earliest timer, and now and then
 * earlier, when a slot of timers has to be moved a level down. UINT64_MAX if there is none. */
uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

#endif
