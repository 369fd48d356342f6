#include "broker/early_input.h"

#include "broker/connection.h"
#include "broker/exchange.h"
#include "fsm/machines.h"

enum {
    MOST = 16 * 1024 * 1024, /* bytes of one worker */
    USUAL = 4096,            /* bytes of one connection */
};

static void count(struct connection *connection)
{
    size_t held = connection_is_before_connect(connection) ? connection->input.capacity
                                                           : exchange_memory(connection);
    connection->worker->early_input += held;
    connection->worker->early_input -= connection->early_input;
    connection->early_input = (uint32_t)held; /* of a CONNECT: connection.c bounds it */
}

/* Sends away who holds more than so many bytes, until half of the room is free: not to look through
 * all connections again for the next few bytes. */
static void shed(struct worker *worker, uint32_t more_than)
{
    for (struct list *node = worker->connections.next;
         node != &worker->connections && worker->early_input > MOST / 2; node = node->next) {
        struct connection *connection = CONTAINER_OF(node, struct connection, all);
        count(connection); /* one that is being closed has had its turn */
        if (connection->early_input <= more_than)
            continue;
        connection_event(connection, CONNECTION_EVENT_TIMED_OUT, REASON_SERVER_BUSY,
                         "5.0 section 4.13.2", "too many CONNECTs are not complete");
        count(connection);
    }
}

void early_input_changed(struct connection *connection)
{
    struct worker *worker = connection->worker;
    count(connection);
#ifndef SEEDED_BUG_STRANGERS_KEPT
    if (worker->early_input > MOST)
        shed(worker, USUAL);
    if (worker->early_input > MOST)
        shed(worker, 0);
#endif
}

void early_input_leave(struct connection *connection)
{
    connection->worker->early_input -= connection->early_input;
    connection->early_input = 0;
}
