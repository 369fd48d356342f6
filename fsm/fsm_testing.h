/* Ways to hold a table against what the specification asks, without reading it. For tests. */
#ifndef FSM_FSM_TESTING_H
#define FSM_FSM_TESTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fsm/machine.h"

/* One line of a story: on this event these actions in this order ("" for none), and then this
 * state. Names are as in the .def. */
struct expected {
    const char *event, *actions, *state;
};

/* Steps through the lines from `state`; fails the test at the first that comes out differently. */
void play(const struct fsm_machine *machine, const char *state, const struct expected *lines,
          size_t count);

#define PLAY(machine, state, ...)                                                                  \
    play(machine, state, (const struct expected[]){__VA_ARGS__},                                   \
         sizeof((const struct expected[]){__VA_ARGS__}) / sizeof(struct expected))

/* The name's number; fails the test when there is none. */
uint8_t state_named(const struct fsm_machine *machine, const char *name);
uint8_t event_named(const struct fsm_machine *machine, const char *name);

/* All behaviours of a machine together with the world around it. `world` is a few bytes that the
 * test defines; the exploration visits every reachable pair of state and world, so the world must
 * be finite: saturate its counters. */
enum { WORLD_SIZE = 16 };

struct exploration {
    const struct fsm_machine *machine;
    const char *initial;
    /* May this event happen now? What a world allows must be a row: a NEVER cell fails the test. */
    bool (*possible)(const void *world, uint8_t event, uint8_t state);
    /* Checks what the row did and changes the world. Called with the event's state in `state` and
     * the next in row->next. Returns NULL, or what is wrong. */
    const char *(*observe)(void *world, uint8_t event, uint8_t state, const struct fsm_row *row);
};

/* From a zeroed world of `size` bytes. Returns the number of pairs visited. */
size_t explore(const struct exploration *exploration, size_t size);

static inline bool does(const struct fsm_row *row, uint8_t action)
{
    for (unsigned i = 0; i < row->step_count; i++) {
        if (row->steps[i] == action)
            return true;
    }
    return false;
}

#endif
