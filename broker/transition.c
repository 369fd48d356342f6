#include "broker/transition.h"

#include "broker/session.h"
#include "broker/trace_log.h"

/* How long a line may wait for others before it goes to the file. */
enum { TRACE_GATHER_MS = 100 };

static void trace_fired(struct worker *worker, struct worker_timer *timer)
{
    (void)timer;
    trace_log_pass_on(worker->trace);
}

static void trace(struct worker *worker, const struct transition *transition)
{
    const struct session *session = transition->session;
    struct trace_line line = {
        .now_ms = worker->now_ms,
        .session = session != NULL ? session->client_identifier : bytes_of(NULL, 0),
        .incarnation = session != NULL ? session->incarnation : 0,
        .machine = transition->machine,
        .state = transition->state,
        .event = transition->event,
        .instance = transition->instance,
        .lsn = worker->waiting.releasing,
    };
    trace_log_add(worker->trace, &line);
    if (!timer_armed(&worker->trace_timer.timer))
        worker_timer_set(worker, &worker->trace_timer, worker->now_ms + TRACE_GATHER_MS);
}

void transition_tell(struct worker *worker, const struct transition *transition)
{
    if (log_wants(LOG_TRACE))
        fsm_trace(transition->machine, transition->state, transition->event, transition->row,
                  transition->session != NULL ? session_name(transition->session) : "");
    if (worker->trace != NULL)
        trace(worker, transition);
}

void transition_start(struct worker *worker)
{
    worker_timer_init(&worker->trace_timer, trace_fired);
    if (worker->broker->trace != NULL)
        worker->trace = trace_log_writer(worker->broker->trace, worker->index);
}

void transition_stop(struct worker *worker)
{
    if (worker->trace != NULL)
        trace_log_pass_on(worker->trace);
    worker->trace = NULL;
}
