/* The one place where a machine of the broker takes a step, and where those who watch are told. */
#ifndef BROKER_TRANSITION_H
#define BROKER_TRANSITION_H

#include "broker/recorder.h"
#include "fsm/machines.h"

struct transition {
    const struct fsm_machine *machine;
    const struct fsm_row *row;
    const struct session *session; /* NULL: there is none, or it has ended */
    uint32_t instance;             /* which of the session's machines: see transition_step() */
    uint8_t state, event;
};

/* For the log at level trace, and for the trace file. */
void transition_tell(struct worker *worker, const struct transition *transition);

/* Steps a machine of `session`. `instance` tells it from others of its kind: the connection's
 * serial, or a Packet Identifier; 0 for the session itself and its Will Message.
 * Inline, because each caller knows its machine. */
static inline __attribute__((always_inline)) const struct fsm_row *
transition_step(struct worker *worker, const struct session *session,
                const struct fsm_machine *machine, uint8_t *state, uint8_t event, uint32_t instance)
{
    uint8_t from = *state;
    const struct fsm_row *row = fsm_step(machine, state, event);
    /* Each packet is a step of the connection's: they would push out the rest. */
    if (session != NULL && machine != &connection_machine)
        recorder_add(worker, session, machine->number, from, event, instance);
    if (__builtin_expect(worker->watched, 0))
        transition_tell(worker, &(struct transition){machine, row, session, instance, from, event});
    return row;
}

/* Before the worker's first turn, and behind its last. */
void transition_start(struct worker *worker);
void transition_stop(struct worker *worker);

#endif
