#include "broker/timer_wheel.h"

#include <stddef.h>

#include "base/check.h"

enum { DIGIT_BITS = 6 };

static unsigned level_shift(unsigned level)
{
    return level * DIGIT_BITS;
}

/* What of a time stands above the digit of `level`. */
static uint64_t above(uint64_t time, unsigned level)
{
    unsigned shift = level_shift(level + 1);
    return shift < 64 ? time >> shift << shift : 0;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    list_init(&wheel->overdue);
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

void timer_init(struct timer *timer)
{
    list_init(&timer->list);
    timer->due_ms = UINT64_MAX;
}

static void put(struct timer_wheel *wheel, struct timer *timer)
{
    if (timer->due_ms <= wheel->now_ms) {
        list_append(&wheel->overdue, &timer->list);
        return;
    }
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll(timer->due_ms ^ wheel->now_ms);
    unsigned level = highest_bit / DIGIT_BITS;
    unsigned slot = timer->due_ms >> level_shift(level) & (TIMER_WHEEL_SLOTS - 1);
    list_append(&wheel->slots[level][slot], &timer->list);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void timer_set(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    timer_cancel(wheel, timer);
    timer->due_ms = due_ms;
    put(wheel, timer);
}

/* The timer's neighbour on both sides is a list head: if that is a slot, the slot becomes empty. It
 * may also be `overdue`, or the batch that timer_wheel_advance() has on its stack. */
static void mark_empty(struct timer_wheel *wheel, const struct list *head)
{
    uintptr_t offset = (uintptr_t)head - (uintptr_t)&wheel->slots[0][0];
    if (offset >= sizeof wheel->slots)
        return;
    size_t index = offset / sizeof *head;
    wheel->occupied[index / TIMER_WHEEL_SLOTS] &= ~(UINT64_C(1) << index % TIMER_WHEEL_SLOTS);
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer)
{
    if (!timer_armed(timer))
        return;
    if (timer->list.next == timer->list.prev)
        mark_empty(wheel, timer->list.next);
    list_remove(&timer->list);
}

/* The earliest slot: its level, or TIMER_WHEEL_LEVELS if all are empty. */
static unsigned next_slot(const struct timer_wheel *wheel, unsigned *out_slot,
                          uint64_t *out_start_ms)
{
    unsigned level = 0;
    while (level < TIMER_WHEEL_LEVELS && wheel->occupied[level] == 0)
        level++;
    if (level < TIMER_WHEEL_LEVELS) {
        *out_slot = (unsigned)__builtin_ctzll(wheel->occupied[level]);
        *out_start_ms = above(wheel->now_ms, level) | (uint64_t)*out_slot << level_shift(level);
    }
    return level;
}

uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel)
{
    unsigned slot;
    uint64_t start_ms = UINT64_MAX;
    if (!list_empty(&wheel->overdue))
        return wheel->now_ms;
    next_slot(wheel, &slot, &start_ms);
    return start_ms;
}

static void move_all(struct list *from, struct list *to)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* `batch` is a list of its own, so a timer that `fire` sets for a time that has come goes to
 * `overdue` and waits for the next call: one that sets itself again and again cannot hold the
 * worker here. */
static void fire_all(struct list *batch, void (*fire)(void *context, struct timer *timer),
                     void *context)
{
    struct list *node;
    while ((node = list_pop(batch)) != NULL)
        fire(context, CONTAINER_OF(node, struct timer, list));
}

/* Empties the slot that begins now: what is due goes to `batch`, the rest to lower levels. */
static void cascade(struct timer_wheel *wheel, unsigned level, unsigned slot, struct list *batch)
{
    struct list moving;
    struct list *node;
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    move_all(&wheel->slots[level][slot], &moving);
    while ((node = list_pop(&moving)) != NULL) {
        struct timer *timer = CONTAINER_OF(node, struct timer, list);
        if (timer->due_ms <= wheel->now_ms)
            list_append(batch, node);
        else
            put(wheel, timer);
    }
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms,
                         void (*fire)(void *context, struct timer *timer), void *context)
{
    unsigned slot;
    unsigned level;
    uint64_t start_ms;
    struct list batch;

    move_all(&wheel->overdue, &batch);
    fire_all(&batch, fire, context);
    while ((level = next_slot(wheel, &slot, &start_ms)) < TIMER_WHEEL_LEVELS &&
           start_ms <= now_ms) {
        CHECK(start_ms > wheel->now_ms);
        wheel->now_ms = start_ms;
        cascade(wheel, level, slot, &batch);
        fire_all(&batch, fire, context);
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
}
