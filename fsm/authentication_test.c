/* Enhanced authentication (5.0 sections 3.15 and 4.12) as stories written from the specification,
 * and as all behaviours of a Client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &authentication_machine;

/* 5.0 section 4.12: "SCRAM challenge", and 4.12.1. [MQTT-4.12.0-2] [MQTT-4.12.0-5] [MQTT-4.12.1-1]
 */
static void a_client_proves_who_it_is_and_does_so_again(void **state)
{
    PLAY(machine, "NONE", {"CONNECT", "CHALLENGE", "CONNECTING"}, {"PROOF", "ACCEPT", "PROVEN"},
         {"REAUTHENTICATE", "CHALLENGE", "AGAIN"}, {"PROOF", "CONFIRM", "PROVEN"},
         {"REAUTHENTICATE", "CHALLENGE", "AGAIN"}, {"PROOF", "CONFIRM", "PROVEN"});
}

/* [MQTT-4.12.0-4]: before CONNACK it is refused, whatever is wrong. */
static void who_proves_nothing_is_refused(void **state)
{
    static const char *const events[] = {"NO_PROOF", "REAUTHENTICATE", "OUT_OF_TURN"};
    PLAY(machine, "NONE", {"NO_PROOF", "REFUSE", "FAILED"});
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        PLAY(machine, "NONE", {"CONNECT", "CHALLENGE", "CONNECTING"},
             {events[i], "REFUSE", "FAILED"});
}

/* [MQTT-4.12.1-2]: behind it the connection is closed with DISCONNECT. */
static void who_fails_the_second_time_is_sent_away(void **state)
{
    static const char *const events[] = {"NO_PROOF", "REAUTHENTICATE", "OUT_OF_TURN"};
    PLAY(machine, "PROVEN", {"NO_PROOF", "SEND_AWAY", "FAILED"});
    PLAY(machine, "PROVEN", {"OUT_OF_TURN", "SEND_AWAY", "FAILED"});
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        PLAY(machine, "PROVEN", {"REAUTHENTICATE", "CHALLENGE", "AGAIN"},
             {events[i], "SEND_AWAY", "FAILED"});
}

/* [MQTT-4.12.0-6] [MQTT-4.12.0-7] */
static void without_a_method_there_is_no_auth(void **state)
{
    PLAY(machine, "NONE", {"OUT_OF_TURN", "SEND_AWAY", "FAILED"});
}

/* ---- Any Client ---- */

struct world {
    bool method;    /* one has been agreed on */
    bool challenge; /* the Client has one that is not answered */
    bool accepted;  /* CONNECT has been */
    bool ended;
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    if (world->ended)
        return false;
    switch (event) {
    case AUTHENTICATION_EVENT_CONNECT:
        return !world->method;
    case AUTHENTICATION_EVENT_REAUTHENTICATE:
        return world->method;
    case AUTHENTICATION_EVENT_PROOF:
        return world->challenge;
    default:
        return true;
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    bool proof = event == AUTHENTICATION_EVENT_PROOF;
    if (row->step_count != 1)
        return "each AUTH has one answer";
    switch (row->steps[0]) {
    case AUTHENTICATION_ACTION_CHALLENGE:
        if (world->challenge)
            return "a second challenge";
        world->method = world->challenge = true;
        break;
    case AUTHENTICATION_ACTION_ACCEPT:
    case AUTHENTICATION_ACTION_CONFIRM:
        if (!proof || !world->challenge)
            return "accepted without a proof";
        if (world->accepted != (row->steps[0] == AUTHENTICATION_ACTION_CONFIRM))
            return "CONNACK twice, or AUTH 0x00 in its place";
        world->challenge = false;
        world->accepted = true;
        break;
    case AUTHENTICATION_ACTION_REFUSE:
        if (world->accepted)
            return "refused behind CONNACK";
        world->ended = true;
        break;
    default:
        if (world->method && !world->accepted)
            return "DISCONNECT before CONNACK [MQTT-3.14.0-1]";
        world->ended = true;
    }
    if (proof && world->ended)
        return "a proof is refused";
    return (row->next == AUTHENTICATION_STATE_FAILED) == world->ended ? NULL
                                                                      : "FAILED, and goes on";
}

static void no_client_breaks_it(void **state)
{
    struct exploration exploration = {machine, "NONE", possible, observe};
    assert_true(explore(&exploration, sizeof(struct world)) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_proves_who_it_is_and_does_so_again),
        cmocka_unit_test(who_proves_nothing_is_refused),
        cmocka_unit_test(who_fails_the_second_time_is_sent_away),
        cmocka_unit_test(without_a_method_there_is_no_auth),
        cmocka_unit_test(no_client_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
