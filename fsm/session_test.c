/* Session State (5.0 sections 3.1.2.4, 3.1.2.11.2, 4.1) as stories written from the specification,
 * and as all behaviours of Clients and clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &session_machine;

/* [MQTT-3.1.2-4] [MQTT-3.1.2-6] [MQTT-3.2.2-2] [MQTT-3.2.2-3] */
static void without_a_session_every_connect_makes_one(void **state)
{
    PLAY(machine, "ABSENT", {"CONNECT_CLEAN", "CREATE", "CONNECTED"});
    PLAY(machine, "ABSENT", {"CONNECT_RESUME", "CREATE", "CONNECTED"});
}

/* 5.0 section 3.1.2.11.2: absent or 0, the Session ends when the Network Connection is closed. */
static void expiry_0_ends_with_the_connection(void **state)
{
    PLAY(machine, "ABSENT", {"CONNECT_CLEAN", "CREATE", "CONNECTED"},
         {"CLOSED_ENDS", "END", "ABSENT"}, {"CONNECT_RESUME", "CREATE", "CONNECTED"});
}

/* [MQTT-3.1.2-5] [MQTT-3.1.2-23] */
static void a_session_that_waits_is_resumed(void **state)
{
    PLAY(machine, "ABSENT", {"CONNECT_RESUME", "CREATE", "CONNECTED"},
         {"CLOSED_WAITS", "ARM_EXPIRY", "DISCONNECTED"},
         {"CONNECT_RESUME", "CANCEL_EXPIRY RESUME", "CONNECTED"},
         {"CLOSED_WAITS", "ARM_EXPIRY", "DISCONNECTED"},
         {"CONNECT_RESUME", "CANCEL_EXPIRY RESUME", "CONNECTED"});
}

/* [MQTT-4.1.0-2] */
static void a_session_that_nobody_resumes_expires(void **state)
{
    PLAY(machine, "ABSENT", {"CONNECT_CLEAN", "CREATE", "CONNECTED"},
         {"CLOSED_WAITS", "ARM_EXPIRY", "DISCONNECTED"}, {"EXPIRED", "END", "ABSENT"},
         {"CONNECT_RESUME", "CREATE", "CONNECTED"});
}

/* 0xFFFFFFFF, and 3.1.1's Clean Session 0: no timer. */
static void a_session_that_does_not_expire_stays(void **state)
{
    PLAY(machine, "ABSENT", {"CONNECT_RESUME", "CREATE", "CONNECTED"},
         {"CLOSED_STAYS", "", "DISCONNECTED"},
         {"CONNECT_RESUME", "CANCEL_EXPIRY RESUME", "CONNECTED"});
}

/* [MQTT-3.1.2-4]: the old one ends before there is a new one under the same Client Identifier. */
static void clean_start_discards_what_is_there(void **state)
{
    PLAY(machine, "DISCONNECTED", {"CONNECT_CLEAN", "CANCEL_EXPIRY END CREATE", "CONNECTED"});
}

/* [MQTT-3.1.4-3]: closed and then connected, by the old connection's Session Expiry Interval. */
static void a_takeover_is_a_close_and_a_connect(void **state)
{
    PLAY(machine, "CONNECTED", {"CLOSED_WAITS", "ARM_EXPIRY", "DISCONNECTED"},
         {"CONNECT_RESUME", "CANCEL_EXPIRY RESUME", "CONNECTED"});
    PLAY(machine, "CONNECTED", {"CLOSED_WAITS", "ARM_EXPIRY", "DISCONNECTED"},
         {"CONNECT_CLEAN", "CANCEL_EXPIRY END CREATE", "CONNECTED"});
    PLAY(machine, "CONNECTED", {"CLOSED_ENDS", "END", "ABSENT"},
         {"CONNECT_RESUME", "CREATE", "CONNECTED"});
}

/* 5.0 section 3.14.2.2.2: what DISCONNECT says counts; the machine sees it at the close. */
static void the_expiry_that_counts_is_that_at_the_close(void **state)
{
    PLAY(machine, "ABSENT", {"CONNECT_CLEAN", "CREATE", "CONNECTED"},
         {"CLOSED_WAITS", "ARM_EXPIRY", "DISCONNECTED"},
         {"CONNECT_RESUME", "CANCEL_EXPIRY RESUME", "CONNECTED"},
         {"CLOSED_STAYS", "", "DISCONNECTED"},
         {"CONNECT_RESUME", "CANCEL_EXPIRY RESUME", "CONNECTED"}, {"CLOSED_ENDS", "END", "ABSENT"});
}

/* ---- Any Client, any clock ---- */

struct world {
    bool exists, connected, timer;
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    switch (event) {
    case SESSION_EVENT_CONNECT_CLEAN:
    case SESSION_EVENT_CONNECT_RESUME:
        return !world->connected;
    case SESSION_EVENT_EXPIRED:
        return world->timer;
    default:
        return world->connected;
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    bool existed = world->exists, connects = !world->connected && event != SESSION_EVENT_EXPIRED;
    bool resumed = false;
    if (event == SESSION_EVENT_EXPIRED)
        world->timer = false;
    world->connected = connects;
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case SESSION_ACTION_CREATE:
            if (world->exists)
                return "two Sessions under one Client Identifier";
            world->exists = true;
            break;
        case SESSION_ACTION_RESUME:
            if (!world->exists)
                return "nothing to resume";
            resumed = true;
            break;
        case SESSION_ACTION_END:
            if (!world->exists)
                return "nothing to end";
            world->exists = false;
            break;
        case SESSION_ACTION_ARM_EXPIRY:
            world->timer = true;
            break;
        case SESSION_ACTION_CANCEL_EXPIRY:
            world->timer = false;
            break;
        }
    }
    if (world->timer && (world->connected || !world->exists))
        return "the expiry runs without a Session that waits";
    if (world->connected && !world->exists)
        return "connected without a Session";
    if (connects && resumed != (event == SESSION_EVENT_CONNECT_RESUME && existed))
        return "resumed against Clean Start [MQTT-3.1.2-4] [MQTT-3.1.2-5]";
    if (event == SESSION_EVENT_CLOSED_WAITS && (!world->exists || !world->timer))
        return "a Session that waits has no expiry [MQTT-3.1.2-23]";
    if (event == SESSION_EVENT_CLOSED_STAYS && (!world->exists || world->timer))
        return "a Session that stays does not";
    if ((event == SESSION_EVENT_CLOSED_ENDS || event == SESSION_EVENT_EXPIRED) && world->exists)
        return "a Session outlives its end [MQTT-4.1.0-2]";
    return NULL;
}

static void no_client_and_no_clock_breaks_it(void **state)
{
    struct exploration exploration = {machine, "ABSENT", possible, observe};
    assert_int_equal(explore(&exploration, sizeof(struct world)), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_session_every_connect_makes_one),
        cmocka_unit_test(expiry_0_ends_with_the_connection),
        cmocka_unit_test(a_session_that_waits_is_resumed),
        cmocka_unit_test(a_session_that_nobody_resumes_expires),
        cmocka_unit_test(a_session_that_does_not_expire_stays),
        cmocka_unit_test(clean_start_discards_what_is_there),
        cmocka_unit_test(a_takeover_is_a_close_and_a_connect),
        cmocka_unit_test(the_expiry_that_counts_is_that_at_the_close),
        cmocka_unit_test(no_client_and_no_clock_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
