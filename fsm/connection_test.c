/* A Network Connection (5.0 sections 3.1, 3.2, 3.14, 4.13) as stories written from the
 * specification, and as all behaviours of a peer, its Session and the Server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &connection_machine;

/* [MQTT-3.1.4-4] [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.14.4-3] */
static void a_connection_from_connect_to_disconnect(void **state)
{
    PLAY(machine, "ACCEPTED", {"CONNECT", "START_SESSION", "RESUMING"},
         {"RESUMED", "CONNACK", "CONNECTED"}, {"PACKET", "HANDLE", "CONNECTED"},
         {"PACKET", "HANDLE", "CONNECTED"},
         {"DISCONNECT", "CLOSE_NORMALLY DETACH DRAIN", "CLOSING"},
         {"PEER_CLOSED", "CLOSE", "CLOSING"});
}

/* 5.0 sections 3.1.4 and 5.4.2: nothing of a Client is looked at before it is known who it is, and
 * it has the time of a CONNECT for it, no more. */
static void a_password_is_tried_before_the_session_is_touched(void **state)
{
    static const char *const ends[] = {"TIMED_OUT", "TAKEN_OVER", "STOPPED", "PEER_CLOSED"};
    PLAY(machine, "ACCEPTED", {"CREDENTIALS", "AUTHENTICATE", "AUTHENTICATING"},
         {"CONNECT", "START_SESSION", "RESUMING"}, {"RESUMED", "CONNACK", "CONNECTED"});
    PLAY(machine, "ACCEPTED", {"CREDENTIALS", "AUTHENTICATE", "AUTHENTICATING"},
         {"CONNECT_REFUSED", "REFUSE DRAIN", "CLOSING"}, {"DRAINED", "CLOSE", "CLOSING"});
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        PLAY(machine, "ACCEPTED", {"CREDENTIALS", "AUTHENTICATE", "AUTHENTICATING"},
             {ends[i], "CLOSE", "CLOSING"});
}

/* [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-4] [MQTT-3.1.2-30]: AUTH goes to and fro before
 * there is a Session, and nothing but AUTH and DISCONNECT comes meanwhile. */
static void an_exchange_comes_before_the_session(void **state)
{
    static const char *const ends[] = {"DISCONNECT", "TIMED_OUT", "STOPPED", "PEER_CLOSED"};
    static const char *const refusals[] = {"CONNECT_REFUSED", "MALFORMED"};
    PLAY(machine, "ACCEPTED", {"CHALLENGED", "EXCHANGE", "EXCHANGING"},
         {"PACKET", "HANDLE", "EXCHANGING"}, {"CONNECT", "START_SESSION", "RESUMING"},
         {"RESUMED", "CONNACK", "CONNECTED"}, {"PACKET", "HANDLE", "CONNECTED"});
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        PLAY(machine, "ACCEPTED", {"CHALLENGED", "EXCHANGE", "EXCHANGING"},
             {refusals[i], "REFUSE DRAIN", "CLOSING"}, {"DRAINED", "CLOSE", "CLOSING"});
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        PLAY(machine, "ACCEPTED", {"CHALLENGED", "EXCHANGE", "EXCHANGING"},
             {ends[i], "CLOSE", "CLOSING"});
}

/* [MQTT-3.1.0-1]: without an answer, for the Server may not say DISCONNECT [MQTT-3.14.0-1]. */
static void the_first_packet_is_connect(void **state)
{
    PLAY(machine, "ACCEPTED", {"PACKET", "CLOSE", "CLOSING"});
    PLAY(machine, "ACCEPTED", {"DISCONNECT", "CLOSE", "CLOSING"});
}

/* [MQTT-3.1.4-1] [MQTT-3.1.4-2] [MQTT-3.2.2-7] */
static void a_refused_connect_is_answered_and_closed(void **state)
{
    PLAY(machine, "ACCEPTED", {"CONNECT_REFUSED", "REFUSE DRAIN", "CLOSING"},
         {"DRAINED", "CLOSE", "CLOSING"});
    PLAY(machine, "ACCEPTED", {"MALFORMED", "REFUSE DRAIN", "CLOSING"},
         {"PEER_CLOSED", "CLOSE", "CLOSING"});
}

/* 5.0 section 3.1.4 */
static void a_peer_that_sends_no_connect_is_closed(void **state)
{
    PLAY(machine, "ACCEPTED", {"TIMED_OUT", "CLOSE", "CLOSING"});
    PLAY(machine, "ACCEPTED", {"STOPPED", "CLOSE", "CLOSING"});
    PLAY(machine, "ACCEPTED", {"PEER_CLOSED", "CLOSE", "CLOSING"});
}

/* [MQTT-3.1.0-2] [MQTT-4.13.1-1] [MQTT-3.1.2-22] [MQTT-3.1.4-3]: DISCONNECT says why, the Session
 * is let go, and nothing follows [MQTT-3.14.4-1]. */
static void the_server_closes_with_a_disconnect(void **state)
{
    static const char *const reasons[] = {"CONNECT", "MALFORMED", "TIMED_OUT", "TAKEN_OVER",
                                          "STOPPED"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        PLAY(machine, "CONNECTED", {reasons[i], "SEND_DISCONNECT DETACH DRAIN", "CLOSING"},
             {"PEER_CLOSED", "CLOSE", "CLOSING"});
}

/* 5.0 section 4.2: a lost connection is no DISCONNECT, the Session and its will hear of it. */
static void a_connection_that_is_lost_lets_its_session_go(void **state)
{
    PLAY(machine, "CONNECTED", {"PEER_CLOSED", "DETACH CLOSE", "CLOSING"});
    PLAY(machine, "RESUMING", {"PEER_CLOSED", "DETACH CLOSE", "CLOSING"});
}

/* [MQTT-3.14.0-1]: between CONNECT and CONNACK the Server can only close. */
static void before_connack_there_is_no_disconnect(void **state)
{
    static const char *const reasons[] = {"TIMED_OUT", "TAKEN_OVER", "STOPPED"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        PLAY(machine, "ACCEPTED", {"CONNECT", "START_SESSION", "RESUMING"},
             {reasons[i], "DETACH CLOSE", "CLOSING"});
}

/* [MQTT-3.14.4-2]: whatever the peer does, it is closed. */
static void a_closing_connection_closes(void **state)
{
    PLAY(machine, "CLOSING", {"STOPPED", "", "CLOSING"}, {"TIMED_OUT", "CLOSE", "CLOSING"});
    PLAY(machine, "CLOSING", {"DRAINED", "CLOSE", "CLOSING"});
    PLAY(machine, "CLOSING", {"PEER_CLOSED", "CLOSE", "CLOSING"});
}

/* ---- Any peer ---- */

struct world {
    bool session; /* a Session knows the connection */
    bool connack; /* CONNACK 0x00 was sent */
    bool deaf;    /* input is not looked at */
    bool tried;   /* its password is being tried, or has been */
    bool trying;
    bool exchanging; /* AUTH packets go to and fro */
    bool draining, closed;
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    bool reads = !world->deaf;
    if (world->closed)
        return false;
    switch (event) {
    case CONNECTION_EVENT_CONNECT:
        return reads || world->trying;
    case CONNECTION_EVENT_CREDENTIALS:
    case CONNECTION_EVENT_CHALLENGED:
        return reads && !world->connack && !world->tried;
    case CONNECTION_EVENT_PACKET:
    case CONNECTION_EVENT_DISCONNECT:
    case CONNECTION_EVENT_MALFORMED:
        return reads;
    case CONNECTION_EVENT_CONNECT_REFUSED:
        return (reads || world->trying) && !world->connack;
    case CONNECTION_EVENT_RESUMED:
        return world->session && !world->connack;
    case CONNECTION_EVENT_TAKEN_OVER:
        return world->session || world->trying;
    case CONNECTION_EVENT_DRAINED:
        return world->draining;
    default:
        return true;
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    bool refused = false, disconnect = false;
    for (unsigned i = 0; i < row->step_count; i++) {
        if (world->closed)
            return "something after the close";
        switch (row->steps[i]) {
        case CONNECTION_ACTION_AUTHENTICATE:
            world->tried = world->trying = world->deaf = true;
            break;
        case CONNECTION_ACTION_EXCHANGE:
            world->tried = world->exchanging = true;
            break;
        case CONNECTION_ACTION_START_SESSION:
            if (world->session || world->connack)
                return "a second CONNECT is accepted [MQTT-3.1.0-2]";
            world->session = world->deaf = true;
            world->trying = world->exchanging = false;
            break;
        case CONNECTION_ACTION_REFUSE:
            if (world->connack || world->session)
                return "refused behind an acceptance";
            refused = true;
            break;
        case CONNECTION_ACTION_CONNACK:
            if (event != CONNECTION_EVENT_RESUMED)
                return "CONNACK before the Session is durable";
            world->connack = true;
            world->deaf = false;
            break;
        case CONNECTION_ACTION_HANDLE:
            if (!world->connack && !world->exchanging)
                return "handled before CONNACK [MQTT-3.1.0-1]";
            break;
        case CONNECTION_ACTION_CLOSE_NORMALLY:
            if (event != CONNECTION_EVENT_DISCONNECT || !world->session)
                return "the will is deleted without a DISCONNECT";
            break;
        case CONNECTION_ACTION_DETACH:
            if (!world->session)
                return "no Session to let go";
            world->session = false;
            break;
        case CONNECTION_ACTION_SEND_DISCONNECT:
            if (!world->connack)
                return "DISCONNECT before CONNACK [MQTT-3.14.0-1]";
            disconnect = true;
            break;
        case CONNECTION_ACTION_DRAIN:
            world->draining = world->deaf = true;
            break;
        case CONNECTION_ACTION_CLOSE:
            world->closed = true;
            break;
        }
    }
    bool ended = row->next == CONNECTION_STATE_CLOSING;
    if (ended != (world->draining || world->closed))
        return "CLOSING, and nothing closes";
    if (ended)
        world->trying = world->exchanging = false;
    if (ended && world->session)
        return "the Session still knows a connection that closes";
    if (disconnect && (refused || !ended))
        return "DISCONNECT and no close [MQTT-3.14.4-2]";
    if (state != CONNECTION_STATE_CLOSING && ended && world->connack &&
        event != CONNECTION_EVENT_DISCONNECT && event != CONNECTION_EVENT_PEER_CLOSED &&
        !disconnect)
        return "closed without saying why [MQTT-4.13.1-1]";
    if (event == CONNECTION_EVENT_PEER_CLOSED && !world->closed)
        return "a dead transport stays open";
    return NULL;
}

static void no_peer_breaks_it(void **state)
{
    struct exploration exploration = {machine, "ACCEPTED", possible, observe};
    assert_true(explore(&exploration, sizeof(struct world)) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_from_connect_to_disconnect),
        cmocka_unit_test(a_password_is_tried_before_the_session_is_touched),
        cmocka_unit_test(an_exchange_comes_before_the_session),
        cmocka_unit_test(the_first_packet_is_connect),
        cmocka_unit_test(a_refused_connect_is_answered_and_closed),
        cmocka_unit_test(a_peer_that_sends_no_connect_is_closed),
        cmocka_unit_test(the_server_closes_with_a_disconnect),
        cmocka_unit_test(a_connection_that_is_lost_lets_its_session_go),
        cmocka_unit_test(before_connack_there_is_no_disconnect),
        cmocka_unit_test(a_closing_connection_closes),
        cmocka_unit_test(no_peer_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
