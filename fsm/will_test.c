/* The Will Message (5.0 sections 3.1.2.5, 3.1.3.2.2, 3.14.4) as stories written from the
 * specification, and as all behaviours of a Client, its Session and a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &will_machine;

/* [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-10] */
static void without_a_delay_it_is_published_at_the_close(void **state)
{
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"CLOSED_NOW", "PUBLISH FORGET", "NONE"}, {"SESSION_ENDED", "", "NONE"});
}

static void with_a_delay_it_is_published_when_that_has_passed(void **state)
{
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"CLOSED_DELAYED", "ARM_DELAY", "DELAYED"}, {"DUE", "PUBLISH FORGET", "NONE"},
         {"SESSION_ENDED", "", "NONE"});
}

/* [MQTT-3.1.2-8]: "... or the Session ends", whichever is first. */
static void the_end_of_the_session_publishes_it_before_its_delay(void **state)
{
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"CLOSED_DELAYED", "ARM_DELAY", "DELAYED"},
         {"SESSION_ENDED", "CANCEL_DELAY PUBLISH FORGET", "NONE"});
}

/* [MQTT-3.1.3-9]: and a will that comes along takes its place. */
static void a_client_that_returns_in_time_cancels_it(void **state)
{
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"CLOSED_DELAYED", "ARM_DELAY", "DELAYED"},
         {"CONNECT_WITHOUT_WILL", "CANCEL_DELAY FORGET", "NONE"}, {"CLOSED_NOW", "", "NONE"});
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"CLOSED_DELAYED", "ARM_DELAY", "DELAYED"},
         {"CONNECT_WITH_WILL", "CANCEL_DELAY FORGET KEEP", "ARMED"},
         {"CLOSED_NOW", "PUBLISH FORGET", "NONE"});
}

/* [MQTT-3.14.4-3] [MQTT-3.1.2-10] */
static void a_normal_disconnect_deletes_it(void **state)
{
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"DISCONNECT_NORMAL", "FORGET", "NONE"}, {"SESSION_ENDED", "", "NONE"});
    PLAY(machine, "NONE", {"CONNECT_WITHOUT_WILL", "", "NONE"}, {"DISCONNECT_NORMAL", "", "NONE"});
    PLAY(machine, "NONE", {"CONNECT_WITH_WILL", "KEEP", "ARMED"},
         {"DISCONNECT_NORMAL", "FORGET", "NONE"}, {"CONNECT_WITHOUT_WILL", "", "NONE"},
         {"CLOSED_DELAYED", "", "NONE"});
}

/* A takeover: the old connection closes by its own delay, then comes the new CONNECT; with Clean
 * Start 1 the Session ends in between (5.0 section 3.1.4). */
static void a_takeover_publishes_only_what_is_not_delayed(void **state)
{
    PLAY(machine, "ARMED", {"CLOSED_NOW", "PUBLISH FORGET", "NONE"},
         {"CONNECT_WITH_WILL", "KEEP", "ARMED"});
    PLAY(machine, "ARMED", {"CLOSED_DELAYED", "ARM_DELAY", "DELAYED"},
         {"CONNECT_WITHOUT_WILL", "CANCEL_DELAY FORGET", "NONE"});
    PLAY(machine, "ARMED", {"CLOSED_DELAYED", "ARM_DELAY", "DELAYED"},
         {"SESSION_ENDED", "CANCEL_DELAY PUBLISH FORGET", "NONE"},
         {"CONNECT_WITH_WILL", "KEEP", "ARMED"});
}

/* ---- Any Client ---- */

struct world {
    bool connected;
    bool kept, timer;
    bool owed; /* the connection closed without a normal DISCONNECT, and nobody has come back */
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    switch (event) {
    case WILL_EVENT_CONNECT_WITH_WILL:
    case WILL_EVENT_CONNECT_WITHOUT_WILL:
    case WILL_EVENT_SESSION_ENDED: /* a connected Session's connection closes first */
        return !world->connected;
    case WILL_EVENT_DUE:
        return world->timer;
    default:
        return world->connected;
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    bool connects = event <= WILL_EVENT_CONNECT_WITHOUT_WILL, published = false;
    bool closes = world->connected;
    if (event == WILL_EVENT_DUE)
        world->timer = false;
    if (closes)
        world->owed = world->kept && event != WILL_EVENT_DISCONNECT_NORMAL;
    bool due = world->owed && (event == WILL_EVENT_CLOSED_NOW || event == WILL_EVENT_DUE ||
                               event == WILL_EVENT_SESSION_ENDED);
    if (connects || due)
        world->owed = false;
    world->connected = connects;
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case WILL_ACTION_KEEP:
            if (world->kept)
                return "two Will Messages";
            world->kept = true;
            break;
        case WILL_ACTION_PUBLISH:
            if (!world->kept)
                return "no Will Message to publish";
            published = true;
            break;
        case WILL_ACTION_FORGET:
            world->kept = false;
            break;
        case WILL_ACTION_ARM_DELAY:
            world->timer = true;
            break;
        case WILL_ACTION_CANCEL_DELAY:
            world->timer = false;
            break;
        }
    }
    if (published != due)
        return due ? "not published [MQTT-3.1.2-8]" : "published and not due [MQTT-3.1.3-9]";
    if (published && world->kept)
        return "published and still in the Session State [MQTT-3.1.2-10]";
    if (world->kept != (world->owed || event == WILL_EVENT_CONNECT_WITH_WILL))
        return "kept for nothing, or gone too early";
    if (world->timer != world->owed)
        return "the delay runs without a will, or a will waits without a delay";
    return NULL;
}

static void no_client_breaks_it(void **state)
{
    struct exploration exploration = {machine, "NONE", possible, observe};
    assert_true(explore(&exploration, sizeof(struct world)) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_delay_it_is_published_at_the_close),
        cmocka_unit_test(with_a_delay_it_is_published_when_that_has_passed),
        cmocka_unit_test(the_end_of_the_session_publishes_it_before_its_delay),
        cmocka_unit_test(a_client_that_returns_in_time_cancels_it),
        cmocka_unit_test(a_normal_disconnect_deletes_it),
        cmocka_unit_test(a_takeover_publishes_only_what_is_not_delayed),
        cmocka_unit_test(no_client_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
