/* What every table here compiles to, and the one way to step it.
 *
 * A machine's .def file is its only source: states, events, actions and rows, each row with the
 * statement or section that asks for it. A step reads no clock, does no I/O, allocates nothing and
 * cannot fail: what a peer did wrong is an event with a row. The caller carries the actions out in
 * their order. Cells that cannot occur are NEVER lines with their reason; stepping into one is our
 * bug and ends the process. */
#ifndef FSM_MACHINE_H
#define FSM_MACHINE_H

#include <stdint.h>

#include "base/check.h"
#include "base/log.h"

enum { FSM_STEPS_MAX = 5 };

struct fsm_row {
    uint8_t next;
    uint8_t step_count;
    uint8_t steps[FSM_STEPS_MAX]; /* actions, in order */
    const char *why;              /* statement ids or a section; NULL: no such cell */
    const char *never;            /* why it cannot occur; NULL for a row */
};

struct fsm_machine {
    const char *name, *title, *about;
    uint8_t number; /* its place in fsm_machines */
    uint8_t state_count, event_count, action_count;
    const struct fsm_row *rows; /* [state * event_count + event] */
    const char *const *state_names, *const *state_texts;
    const char *const *event_names, *const *event_texts;
    const char *const *action_names, *const *action_texts;
};

static inline const struct fsm_row *fsm_step(const struct fsm_machine *machine, uint8_t *state,
                                             uint8_t event)
{
    CHECK(*state < machine->state_count && event < machine->event_count);
    const struct fsm_row *row = &machine->rows[*state * machine->event_count + event];
    CHECK(row->why != 0);
    *state = row->next;
    return row;
}

/* Logs one transition at trace level; `subject` is the client identifier, ready to print. */
void fsm_trace(const struct fsm_machine *machine, uint8_t state, uint8_t event,
               const struct fsm_row *row, const char *subject);

extern const struct fsm_machine *const fsm_machines[]; /* all of them, NULL at the end */

#endif
