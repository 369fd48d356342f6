/* Threads without threads: each is a stack of its own, of which one runs at a time, until it
 * blocks or pauses in a call of the machine's. Who goes on is the scheduler's choice, and so the
 * same seed runs the same way. Time stands still while a task runs. */
#ifndef SIM_TASK_H
#define SIM_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/chance.h"

enum { TASKS_MAX = 24 };
#define TASK_NEVER UINT64_MAX

/* How a seed's machine behaves. */
struct task_habits {
    unsigned pause_thousandths; /* of the calls that may be interrupted, are */
    unsigned sleep_thousandths; /* of those, for longer: the machine was busy otherwise */
    uint64_t sleep_most_us;
};

void task_begin(uint64_t seed, const struct task_habits *habits);

/* Runs `main` on its own stack. Returns its number, > 0. */
unsigned task_start(const char *name, void *(*main)(void *), void *argument);
bool task_ended(unsigned number);
/* The one that runs: 0 where it is the world's own code, which must not block. */
unsigned task_current(void);
/* As if the machine had lost its power: none of them ever runs again. */
void task_abandon_all(void);

/* Until task_wake() with the same address, or that time. Returns whether it was woken. */
bool task_block(const void *on, uint64_t until_us);
void task_wake(const void *on);
/* Lets others go on, now and then. */
void task_pause(void);
/* Lets others go on, and time. */
void task_yield(void);
void task_sleep(uint64_t us);

/* Whether one can run now; else `*next_us` is lowered to when. */
bool task_runnable(uint64_t *next_us);
/* Runs one of those that can. */
void task_run_one(void);

/* The machine's time since it was first switched on. */
uint64_t task_now_us(void);
void task_advance(uint64_t to_us);
uint64_t task_switches(void);

#endif
