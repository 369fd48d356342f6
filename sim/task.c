#include "sim/task.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/check.h"

enum { STACK_SIZE = 1024 * 1024 };

enum task_state { TASK_FREE, TASK_NEW, TASK_READY, TASK_BLOCKED, TASK_ENDED };

struct task {
    enum task_state state;
    char name[16];
    void *(*main)(void *);
    void *argument;
    void *stack; /* kept for the next of this number */
    jmp_buf place;
    const void *on;
    uint64_t until_us; /* BLOCKED: goes on then; READY: not earlier */
    bool woken;
};

static struct {
    struct task tasks[TASKS_MAX]; /* number 0 is nobody */
    unsigned current;
    jmp_buf scheduler;
    struct chance chance;
    struct task_habits habits;
    uint64_t now_us, switches;
} world;

void task_begin(uint64_t seed, const struct task_habits *habits)
{
    world.chance = chance_of(seed, 1);
    world.habits = *habits;
    world.now_us = 1000000;
}

/* ---- Life ---- */

static void enter(void)
{
    struct task *self = &world.tasks[world.current];
    self->main(self->argument);
    self->state = TASK_ENDED;
    task_wake(self);
    _longjmp(world.scheduler, 1);
}

unsigned task_start(const char *name, void *(*main)(void *), void *argument)
{
    unsigned number = 1;
    while (number < TASKS_MAX && world.tasks[number].state != TASK_FREE)
        number++;
    CHECK(number < TASKS_MAX);
    struct task *task = &world.tasks[number];
    void *stack = task->stack;
    if (stack == NULL) {
        stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        CHECK(stack != MAP_FAILED);
    }
    *task = (struct task){.state = TASK_NEW, .main = main, .argument = argument, .stack = stack};
    snprintf(task->name, sizeof task->name, "%s", name);
    return number;
}

bool task_ended(unsigned number)
{
    return world.tasks[number].state == TASK_ENDED;
}

unsigned task_current(void)
{
    return world.current;
}

void task_abandon_all(void)
{
    CHECK(world.current == 0);
    for (unsigned i = 1; i < TASKS_MAX; i++)
        world.tasks[i].state = TASK_FREE;
}

/* ---- Taking turns ---- */

/* The first entry is by way of a context; whoever has run before goes on by a jump, which unlike
 * swapcontext() makes no system call. */
static void run(struct task *task)
{
    world.current = (unsigned)(task - world.tasks);
    world.switches++;
    if (_setjmp(world.scheduler) == 0) {
        if (task->state != TASK_NEW) {
            task->state = TASK_READY;
            _longjmp(task->place, 1);
        }
        ucontext_t context;
        task->state = TASK_READY;
        getcontext(&context);
        context.uc_stack.ss_sp = task->stack;
        context.uc_stack.ss_size = STACK_SIZE;
        context.uc_link = NULL;
        makecontext(&context, enter, 0);
        setcontext(&context);
    }
    world.current = 0;
}

static void leave(void)
{
    struct task *self = &world.tasks[world.current];
    if (_setjmp(self->place) == 0)
        _longjmp(world.scheduler, 1);
}

bool task_block(const void *on, uint64_t until_us)
{
    CHECK(world.current != 0);
    struct task *self = &world.tasks[world.current];
    self->on = on;
    self->until_us = until_us;
    self->woken = false;
    self->state = TASK_BLOCKED;
    leave();
    return self->woken;
}

void task_wake(const void *on)
{
    for (unsigned i = 1; i < TASKS_MAX; i++) {
        struct task *task = &world.tasks[i];
        if (task->state != TASK_BLOCKED || task->on != on)
            continue;
        task->woken = true;
        task->until_us = world.now_us;
        task->on = NULL;
    }
}

void task_sleep(uint64_t us)
{
    if (world.current != 0)
        task_block(NULL, world.now_us + us);
}

void task_yield(void)
{
    task_sleep(chance_below(&world.chance, 20));
}

void task_pause(void)
{
    if (world.current == 0 || !chance_in_thousand(&world.chance, world.habits.pause_thousandths))
        return;
    if (chance_in_thousand(&world.chance, world.habits.sleep_thousandths))
        task_sleep(chance_below(&world.chance, world.habits.sleep_most_us));
    else
        task_yield();
}

static bool is_runnable(const struct task *task)
{
    return task->state == TASK_NEW || task->state == TASK_READY ||
           (task->state == TASK_BLOCKED && task->until_us <= world.now_us);
}

bool task_runnable(uint64_t *next_us)
{
    for (unsigned i = 1; i < TASKS_MAX; i++) {
        const struct task *task = &world.tasks[i];
        if (is_runnable(task))
            return true;
        if (task->state == TASK_BLOCKED && task->until_us < *next_us)
            *next_us = task->until_us;
    }
    return false;
}

void task_run_one(void)
{
    struct task *found[TASKS_MAX];
    unsigned count = 0;
    for (unsigned i = 1; i < TASKS_MAX; i++) {
        if (is_runnable(&world.tasks[i]))
            found[count++] = &world.tasks[i];
    }
    if (count > 0)
        run(found[chance_below(&world.chance, count)]);
}

/* ---- Time ---- */

uint64_t task_now_us(void)
{
    return world.now_us;
}

void task_advance(uint64_t to_us)
{
    if (to_us > world.now_us)
        world.now_us = to_us;
}

uint64_t task_switches(void)
{
    return world.switches;
}
