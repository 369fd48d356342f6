/* The sender's side of QoS 1 (5.0 sections 4.3.2, 4.4, 4.9) as stories written from the
 * specification, and as all behaviours of a Client and a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &outbound_qos1_machine;

/* [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.9.0-2]; it does not wait for the disk. */
static void it_is_sent_at_once_with_dup_0_and_settled_by_puback(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA PUBLISH", "SENT"},
         {"PUBACK", "SETTLE FREE_QUOTA", "DONE"});
}

/* [MQTT-4.3.2-3] [MQTT-4.4.0-1] [MQTT-3.3.1-1]: only behind a reconnect, under its identifier, and
 * counted against the new connection's quota. */
static void unacknowledged_it_is_sent_again_with_dup_1(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA PUBLISH", "SENT"},
         {"CONNECTION_LOST", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"},
         {"CONNECTION_LOST", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"},
         {"PUBACK", "SETTLE FREE_QUOTA", "DONE"});
}

/* A smaller Receive Maximum may not let it go out before the next loss. */
static void it_outlives_connections_that_never_sent_it(void **state)
{
    PLAY(machine, "QUEUED", {"CONNECTION_LOST", "", "QUEUED"}, {"CONNECTION_LOST", "", "QUEUED"},
         {"SEND", "ASSIGN TAKE_QUOTA PUBLISH", "SENT"}, {"CONNECTION_LOST", "", "UNACKNOWLEDGED"},
         {"CONNECTION_LOST", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"});
}

/* It holds no slot of the new connection, so none is given back. */
static void an_acknowledgement_before_the_resend_frees_no_slot(void **state)
{
    PLAY(machine, "UNACKNOWLEDGED", {"PUBACK", "SETTLE", "DONE"});
}

/* [MQTT-3.3.2-5] expired, [MQTT-3.1.2-25] too large: it counts as delivered. */
static void a_dropped_message_is_settled_and_frees_what_it_held(void **state)
{
    PLAY(machine, "QUEUED", {"DROP", "SETTLE", "DONE"});
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA PUBLISH", "SENT"},
         {"DROP", "SETTLE FREE_QUOTA", "DONE"});
    PLAY(machine, "UNACKNOWLEDGED", {"DROP", "SETTLE", "DONE"});
}

/* To 3.1.1 and 3.1 only, and only where resend_interval asks for it: again on a live connection,
 * under the slot that it holds. */
static void for_3_1_1_it_may_be_sent_again_on_a_live_connection(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA PUBLISH", "SENT"},
         {"RESEND_DUE", "PUBLISH_DUP", "SENT"}, {"RESEND_DUE", "PUBLISH_DUP", "SENT"},
         {"CONNECTION_LOST", "", "UNACKNOWLEDGED"}, {"RESEND_DUE", "", "UNACKNOWLEDGED"},
         {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"}, {"PUBACK", "SETTLE FREE_QUOTA", "DONE"});
}

/* ---- Any Client, any network ---- */

struct world {
    bool assigned, sent_here, sent_before, holds_slot, settled;
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    if (world->settled)
        return false; /* the record is gone, and so is its identifier */
    switch (event) {
    case OUTBOUND_QOS1_EVENT_SEND:
        return !world->sent_here;
    case OUTBOUND_QOS1_EVENT_PUBACK:
    case OUTBOUND_QOS1_EVENT_RESEND_DUE:
        return world->assigned; /* else nothing is found under the identifier */
    default:
        return true;
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    if (event == OUTBOUND_QOS1_EVENT_CONNECTION_LOST) {
        world->sent_before |= world->sent_here;
        world->sent_here = world->holds_slot = false;
    }
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case OUTBOUND_QOS1_ACTION_ASSIGN:
            if (world->assigned)
                return "a second identifier [MQTT-4.4.0-1]";
            world->assigned = true;
            break;
        case OUTBOUND_QOS1_ACTION_TAKE_QUOTA:
            if (world->holds_slot)
                return "two slots for one message";
            world->holds_slot = true;
            break;
        case OUTBOUND_QOS1_ACTION_FREE_QUOTA:
            if (!world->holds_slot)
                return "a slot is freed that was not taken";
            world->holds_slot = false;
            break;
        case OUTBOUND_QOS1_ACTION_PUBLISH:
        case OUTBOUND_QOS1_ACTION_PUBLISH_DUP:
            if (!world->assigned || !world->holds_slot)
                return "sent without identifier or slot";
            if (world->sent_here != (event == OUTBOUND_QOS1_EVENT_RESEND_DUE))
                return "sent twice on one connection, and nobody asked for it [MQTT-4.4.0-1]";
            if (event == OUTBOUND_QOS1_EVENT_RESEND_DUE) {
                if (row->steps[i] != OUTBOUND_QOS1_ACTION_PUBLISH_DUP)
                    return "DUP is wrong [MQTT-3.3.1-1]";
                break;
            }
            if ((row->steps[i] == OUTBOUND_QOS1_ACTION_PUBLISH_DUP) != world->sent_before)
                return "DUP is wrong [MQTT-3.3.1-1]";
            world->sent_here = true;
            break;
        case OUTBOUND_QOS1_ACTION_SETTLE:
            if (world->settled)
                return "settled twice";
            world->settled = true;
            break;
        }
    }
    if (world->settled != (row->next == OUTBOUND_QOS1_STATE_DONE))
        return "done and owed at once";
    if (world->settled && world->holds_slot)
        return "done, and its slot is lost";
    if (event == OUTBOUND_QOS1_EVENT_PUBACK && !world->settled)
        return "acknowledged and still owed [MQTT-4.4.0-2]";
    if (event == OUTBOUND_QOS1_EVENT_CONNECTION_LOST && world->settled)
        return "lost with the connection";
    return NULL;
}

static void no_client_and_no_network_breaks_it(void **state)
{
    struct exploration exploration = {machine, "QUEUED", possible, observe};
    assert_true(explore(&exploration, sizeof(struct world)) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_sent_at_once_with_dup_0_and_settled_by_puback),
        cmocka_unit_test(unacknowledged_it_is_sent_again_with_dup_1),
        cmocka_unit_test(it_outlives_connections_that_never_sent_it),
        cmocka_unit_test(an_acknowledgement_before_the_resend_frees_no_slot),
        cmocka_unit_test(a_dropped_message_is_settled_and_frees_what_it_held),
        cmocka_unit_test(for_3_1_1_it_may_be_sent_again_on_a_live_connection),
        cmocka_unit_test(no_client_and_no_network_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
