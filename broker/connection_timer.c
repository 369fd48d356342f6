/* How long a peer may take: to send its CONNECT, within Keep Alive, and to close. */

#include "broker/connection.h"

#include "broker/session.h"
#include "fsm/machines.h"

enum { WAITING_HIGH = 8192 }; /* acknowledgements waiting for the disk: read no more until half */

bool connection_is_held_back(const struct connection *connection)
{
    return connection->waiting >= WAITING_HIGH || connection->unanswered_filters >= WAITING_HIGH ||
           connection->pushed_back ||
           (connection->records && worker_is_overloaded(connection->worker));
}

/* Whether the Client's time is over. Its socket is read once more before that is said: where the
 * broker itself has stood still, the packets of that time are there and unread (rule 20). */
static bool is_overdue(struct connection *connection)
{
    struct worker *worker = connection->worker;
    if (connection->overdue && !worker->congested)
        return true;
#ifdef SEEDED_BUG_SILENCE_UNSEEN
    return true;
#endif
    connection->overdue = true;
    connection->input_left = true;
    if (list_empty(&connection->ready))
        list_append(&worker->ready, &connection->ready);
    worker_timer_set(worker, &connection->timer, worker->now_ms + 1);
    return false;
}

void connection_allow_time(struct connection *connection)
{
    struct worker *worker = connection->worker;
    connection->overdue = false;
    worker_timer_set(worker, &connection->timer,
                     worker->now_ms +
                         (uint64_t)worker->broker->config->mqtt.connect_timeout_s * 1000);
}

void connection_timer_fired(struct worker *worker, struct worker_timer *timer)
{
    struct connection *connection = CONTAINER_OF(timer, struct connection, timer);
    switch (connection->state) {
    case CONNECTION_STATE_ACCEPTED:
        if (is_overdue(connection))
            connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_UNSPECIFIED_ERROR,
                             "5.0 section 3.1.4", "no CONNECT in time");
        break;
    case CONNECTION_STATE_AUTHENTICATING:
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_SERVER_BUSY,
                         "5.0 section 3.1.4", "its password has not been tried in time");
        break;
    case CONNECTION_STATE_EXCHANGING:
        if (is_overdue(connection))
            connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_UNSPECIFIED_ERROR,
                             "5.0 section 3.1.4", "its proof has not come in time");
        break;
    case CONNECTION_STATE_RESUMING: /* a Client whose CONNACK the disk keeps back has given up */
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_SERVER_UNAVAILABLE,
                         "MQTT-3.14.0-1", "the store has not answered in time");
        break;
    case CONNECTION_STATE_CONNECTED: {
        uint64_t due = connection->last_packet_ms + connection->keep_alive_ms;
        if (worker->now_ms < due) {
            connection->overdue = false;
            worker_timer_set(worker, timer, due);
#ifdef SEEDED_BUG_PUSHED_BACK_SILENT
        } else if (connection->pushed_back) {
            connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_KEEP_ALIVE_TIMEOUT,
                             "MQTT-3.1.2-22", "no packet within one and a half times Keep Alive");
#endif
        } else if (connection_is_held_back(connection) ||
                   worker->congested) /* the silence is ours (rule 20) */
            worker_timer_set(worker, timer, worker->now_ms + connection->keep_alive_ms);
        else if (is_overdue(connection))
            connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_KEEP_ALIVE_TIMEOUT,
                             "MQTT-3.1.2-22", "no packet within one and a half times Keep Alive");
        break;
    }
    case CONNECTION_STATE_CLOSING:
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, 0, "", NULL);
        break;
    default:
        break;
    }
}
