/* After a case: its sessions are ended and its retained messages removed, as far as the server lets
 * us. Nothing that happens here changes the verdict. */
#include <string.h>

#include "conformance/harness/test_run.h"

enum { ALL_MS = 3000, ONE_MS = 1000 };

/* Sends DISCONNECT on what is open, so that no will is published because a case has ended. */
static void leave_all(struct test_run *run)
{
    if (setjmp(run->end))
        return;
    for (struct connection *connection = run->connections; connection;
         connection = connection->next) {
        struct watch *watch = &connection->watch;
        static const uint8_t disconnect[] = {0xE0, 0x00};
        if (watch->state == WATCH_ACCEPTED && !connection->sent_unreadable &&
            !connection_ended(connection))
            transport_send(connection->transport, disconnect, sizeof disconnect);
    }
    test_run_wait(run, 0);
}

static struct client *cleaner(struct test_run *run, struct text id, enum version version)
{
    struct client *client = client_new(&run->test, "clean");
    if (id.size > 0)
        client->id = id;
    client->version = version;
    return client;
}

/* Clean Start 1 without an expiry ends a session when this connection does. */
static void end_session(struct test_run *run, const struct leftover *session)
{
    run->deadline_ms = transport_clock_ms() + ONE_MS;
    if (setjmp(run->end))
        return;
    struct client *client = cleaner(run, session->name, session->version);
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
    client_disconnect(client);
}

static void remove_retained(struct test_run *run)
{
    run->deadline_ms = transport_clock_ms() + ONE_MS;
    if (!run->retained || setjmp(run->end))
        return;
    struct client *client = cleaner(run, (struct text){0}, run->test.version);
    struct packet connect = connect_of(client);
    client_connect_ok(client, &connect);
    for (const struct leftover *topic = run->retained; topic; topic = topic->next)
        client_publish(client, topic->name, TEXT(""), 0, true);
    expect_alive(client); /* then they have been processed */
    client_disconnect(client);
}

static void drop_all(struct test_run *run)
{
    while (run->connections)
        connection_close(run->connections->client, false);
}

void test_run_cleanup(struct test_run *run)
{
    uint64_t until_ms = transport_clock_ms() + ALL_MS;
    run->cleaning = true;
    run->trace.muted = true;
    leave_all(run);
    drop_all(run);
    for (const struct leftover *session = run->sessions; session && transport_clock_ms() < until_ms;
         session = session->next) {
        end_session(run, session);
        drop_all(run);
    }
    remove_retained(run);
    drop_all(run);
}
