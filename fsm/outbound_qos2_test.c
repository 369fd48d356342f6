/* The sender's side of QoS 2 (5.0 sections 4.3.3, 4.4, 4.9) as stories written from the
 * specification and from what must be durable first, and as all behaviours of a Client, a network
 * and a disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &outbound_qos2_machine;

/* [MQTT-4.3.3-1] to [MQTT-4.3.3-5]. PUBLISH leaves when its identifier is durable, PUBREL when
 * "PUBREC received" is: else a restart sends PUBLISH to a Client that has forgotten it. */
static void an_exchange_from_queue_to_pubcomp(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA", "STORING"}, {"STORED", "PUBLISH", "SENT"},
         {"PUBREC", "RECORD_PUBREC", "RELEASING"}, {"STORED", "PUBREL", "RELEASED"},
         {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
}

/* [MQTT-4.4.0-1] [MQTT-3.3.1-1] */
static void without_pubrec_the_publish_is_sent_again_with_dup_1(void **state)
{
    PLAY(machine, "SENT", {"CONNECTION_LOST", "", "UNACKNOWLEDGED"},
         {"RESUME", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"},
         {"PUBREC", "RECORD_PUBREC", "RELEASING"}, {"STORED", "PUBREL", "RELEASED"},
         {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
}

/* A resent PUBLISH waits for the send quota; connections may come and go before it is its turn. */
static void a_resend_that_never_got_its_turn_is_still_owed(void **state)
{
    PLAY(machine, "SENT", {"CONNECTION_LOST", "", "UNACKNOWLEDGED"},
         {"RESUME", "", "UNACKNOWLEDGED"}, {"CONNECTION_LOST", "", "UNACKNOWLEDGED"},
         {"RESUME", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"});
}

/* [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1]: from PUBREC on it is PUBREL that is resent, at once
 * and without a slot; never PUBLISH. */
static void behind_pubrec_the_pubrel_is_sent_again(void **state)
{
    PLAY(machine, "SENT", {"PUBREC", "RECORD_PUBREC", "RELEASING"},
         {"CONNECTION_LOST", "", "UNRELEASED"}, {"CONNECTION_LOST", "", "UNRELEASED"},
         {"RESUME", "PUBREL", "RELEASED"}, {"CONNECTION_LOST", "", "UNRELEASED"},
         {"RESUME", "PUBREL", "RELEASED"}, {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
}

/* [MQTT-4.4.0-2], 5.0 section 4.9: the slot is free, and nothing is sent again. */
static void an_error_in_pubrec_ends_the_exchange(void **state)
{
    PLAY(machine, "SENT", {"PUBREC_ERROR", "SETTLE FREE_QUOTA", "DONE"});
    PLAY(machine, "SENT", {"CONNECTION_LOST", "", "UNACKNOWLEDGED"},
         {"RESUME", "", "UNACKNOWLEDGED"}, {"PUBREC_ERROR", "SETTLE", "DONE"});
}

/* The Client may answer what it got on the earlier connection before we come to resend it. */
static void an_answer_overtakes_the_resend(void **state)
{
    PLAY(machine, "UNACKNOWLEDGED", {"RESUME", "", "UNACKNOWLEDGED"},
         {"PUBREC", "RECORD_PUBREC", "RELEASING"}, {"STORED", "PUBREL", "RELEASED"});
}

/* [MQTT-4.3.3-4]: each PUBREC is answered with PUBREL, once that may leave. An error changes
 * nothing any more: the Client accepted it before. */
static void a_repeated_pubrec_is_answered_with_pubrel_again(void **state)
{
    PLAY(machine, "SENT", {"PUBREC", "RECORD_PUBREC", "RELEASING"}, {"PUBREC", "", "RELEASING"},
         {"PUBREC_ERROR", "", "RELEASING"}, {"STORED", "PUBREL", "RELEASED"},
         {"PUBREC", "PUBREL", "RELEASED"}, {"PUBREC_ERROR", "PUBREL", "RELEASED"},
         {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
}

/* [MQTT-4.3.3-3] [MQTT-4.3.3-5]: only PUBREC counts, and PUBCOMP only for a PUBREL that was sent.
 */
static void answers_out_of_turn_change_nothing(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA", "STORING"}, {"PUBREC", "", "STORING"},
         {"PUBREC_ERROR", "", "STORING"}, {"PUBCOMP", "", "STORING"}, {"STORED", "PUBLISH", "SENT"},
         {"PUBCOMP", "", "SENT"}, {"PUBREC", "RECORD_PUBREC", "RELEASING"},
         {"PUBCOMP", "", "RELEASING"}, {"STORED", "PUBREL", "RELEASED"});
    PLAY(machine, "UNACKNOWLEDGED", {"RESUME", "", "UNACKNOWLEDGED"},
         {"PUBCOMP", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"});
}

/* The identifier may be on the disk as sent, so it counts as sent. The disk's late answer to a
 * connection that has gone sends nothing. */
static void a_connection_lost_while_storing_leaves_an_exchange_to_resume(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA", "STORING"},
         {"CONNECTION_LOST", "", "UNACKNOWLEDGED"}, {"STORED", "", "UNACKNOWLEDGED"},
         {"RESUME", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"});
    PLAY(machine, "SENT", {"PUBREC", "RECORD_PUBREC", "RELEASING"},
         {"CONNECTION_LOST", "", "UNRELEASED"}, {"STORED", "", "UNRELEASED"},
         {"RESUME", "PUBREL", "RELEASED"});
}

/* [MQTT-3.3.2-5] [MQTT-3.1.2-25]: before its first PUBLISH nobody knows of it. */
static void before_it_is_sent_it_can_be_dropped(void **state)
{
    PLAY(machine, "QUEUED", {"DROP", "SETTLE", "DONE"});
    PLAY(machine, "QUEUED", {"CONNECTION_LOST", "", "QUEUED"}, {"DROP", "SETTLE", "DONE"});
    /* Its size is known only when it is to be sent. */
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA", "STORING"}, {"STORED", "PUBLISH", "SENT"},
         {"DROP", "SETTLE FREE_QUOTA", "DONE"});
}

/* The Client may hold the identifier. Used again before PUBREL and PUBCOMP, the next message under
 * it would be taken for a duplicate and be lost. */
static void too_large_to_be_resent_it_is_closed_by_pubrel(void **state)
{
    PLAY(machine, "SENT", {"CONNECTION_LOST", "", "UNACKNOWLEDGED"},
         {"RESUME", "", "UNACKNOWLEDGED"}, {"DROP", "RECORD_PUBREC", "RELEASING"},
         {"STORED", "PUBREL", "RELEASED"}, {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
    PLAY(machine, "UNACKNOWLEDGED", {"RESUME", "", "UNACKNOWLEDGED"},
         {"DROP", "RECORD_PUBREC", "RELEASING"}, {"CONNECTION_LOST", "", "UNRELEASED"},
         {"RESUME", "PUBREL", "RELEASED"}, {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
}

/* To 3.1.1 and 3.1 only, and only where resend_interval asks for it: what waits for an answer is
 * sent again on a live connection, and what waits for the disk or for a slot is not. */
static void for_3_1_1_it_may_be_sent_again_on_a_live_connection(void **state)
{
    PLAY(machine, "QUEUED", {"SEND", "ASSIGN TAKE_QUOTA", "STORING"}, {"RESEND_DUE", "", "STORING"},
         {"STORED", "PUBLISH", "SENT"}, {"RESEND_DUE", "PUBLISH_DUP", "SENT"},
         {"PUBREC", "RECORD_PUBREC", "RELEASING"}, {"RESEND_DUE", "", "RELEASING"},
         {"STORED", "PUBREL", "RELEASED"}, {"RESEND_DUE", "PUBREL", "RELEASED"},
         {"PUBCOMP", "SETTLE FREE_QUOTA", "DONE"});
    PLAY(machine, "UNACKNOWLEDGED", {"RESUME", "", "UNACKNOWLEDGED"},
         {"RESEND_DUE", "", "UNACKNOWLEDGED"}, {"SEND", "TAKE_QUOTA PUBLISH_DUP", "SENT"});
}

/* ---- Any Client, any network, any disk ---- */

struct world {
    bool away;        /* no connection, or RESUME has not come yet */
    bool asked;       /* the disk was asked and has not answered */
    bool assigned;    /* has an identifier */
    bool durable_id;  /* which the disk has */
    bool recorded;    /* "PUBREC received" was asked for */
    bool durable_rec; /* and the disk has it */
    bool sent_here;   /* PUBLISH, on this connection */
    bool maybe_known; /* the Client may hold the identifier */
    bool released;    /* PUBREL was sent, on any connection */
    bool holds_slot, settled;
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    if (world->settled)
        return false;
    switch (event) {
    case OUTBOUND_QOS2_EVENT_SEND: /* the queue's turn, or the resend's */
        return !world->away && !world->sent_here && !world->asked && !world->recorded;
    case OUTBOUND_QOS2_EVENT_STORED:
        return world->asked;
    case OUTBOUND_QOS2_EVENT_PUBREC:
    case OUTBOUND_QOS2_EVENT_PUBREC_ERROR:
    case OUTBOUND_QOS2_EVENT_PUBCOMP:
    case OUTBOUND_QOS2_EVENT_RESEND_DUE:
        return !world->away && world->assigned;
    case OUTBOUND_QOS2_EVENT_CONNECTION_LOST: /* also before RESUME */
        return true;
    case OUTBOUND_QOS2_EVENT_RESUME:
        return world->away;
    default: /* DROP: from the queue, or too large when it is to be resent */
        return !world->assigned ||
               (!world->away && !world->asked && !world->recorded && !world->sent_here);
    }
}

/* What has no identifier is in the queue before and after, and sees no RESUME. */
static void lose_connection(struct world *world)
{
    world->away = world->assigned;
    world->sent_here = world->holds_slot = false;
}

/* CONNACK waits for everything that was asked of the disk before. */
static void come_back(struct world *world)
{
    world->away = world->asked = false;
    world->durable_id = world->assigned;
    world->durable_rec = world->recorded;
}

static const char *act(struct world *world, uint8_t action, uint8_t event)
{
    switch (action) {
    case OUTBOUND_QOS2_ACTION_ASSIGN:
        if (world->assigned)
            return "a second identifier";
        world->assigned = world->asked = true;
        return NULL;
    case OUTBOUND_QOS2_ACTION_TAKE_QUOTA:
        if (world->holds_slot)
            return "two slots for one message";
        world->holds_slot = true;
        return NULL;
    case OUTBOUND_QOS2_ACTION_FREE_QUOTA:
        /* A resent PUBREL holds none; whoever carries this out frees what is held. */
        if (!world->holds_slot && !world->released)
            return "a slot is freed that was not taken";
        world->holds_slot = false;
        return NULL;
    case OUTBOUND_QOS2_ACTION_PUBLISH:
    case OUTBOUND_QOS2_ACTION_PUBLISH_DUP:
        if (!world->durable_id)
            return "PUBLISH before its identifier is durable";
        if (world->away || !world->holds_slot)
            return "PUBLISH without a connection or a slot";
        if (world->recorded || world->released)
            return "PUBLISH behind PUBREC [MQTT-4.3.3-6]";
        if (world->sent_here != (event == OUTBOUND_QOS2_EVENT_RESEND_DUE))
            return "PUBLISH twice on one connection, and nobody asked for it [MQTT-4.4.0-1]";
        if (action == OUTBOUND_QOS2_ACTION_PUBLISH && world->maybe_known)
            return "sent again with DUP 0 [MQTT-3.3.1-1]";
        world->sent_here = world->maybe_known = true;
        return NULL;
    case OUTBOUND_QOS2_ACTION_RECORD_PUBREC:
        if (world->recorded)
            return "PUBREC is recorded twice";
        world->recorded = world->asked = true;
        return NULL;
    case OUTBOUND_QOS2_ACTION_PUBREL:
        if (!world->durable_rec)
            return "PUBREL before \"PUBREC received\" is durable";
        if (world->away)
            return "PUBREL without a connection";
        world->released = true;
        return NULL;
    default: /* SETTLE */
        if (world->settled)
            return "settled twice";
        if (world->maybe_known && event != OUTBOUND_QOS2_EVENT_PUBREC_ERROR && !world->released)
            return "the identifier is freed while the Client may hold it";
        if (world->asked)
            return "the record is gone before the disk has answered";
        world->settled = true;
        return NULL;
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    if (event == OUTBOUND_QOS2_EVENT_CONNECTION_LOST)
        lose_connection(world);
    if (event == OUTBOUND_QOS2_EVENT_RESUME)
        come_back(world);
    if (event == OUTBOUND_QOS2_EVENT_STORED) {
        world->asked = false;
        world->durable_id = true;
        world->durable_rec = world->recorded;
    }
    for (unsigned i = 0; i < row->step_count; i++) {
        const char *wrong = act(world, row->steps[i], event);
        if (wrong != NULL)
            return wrong;
    }
    if (world->settled != (row->next == OUTBOUND_QOS2_STATE_DONE))
        return "done and owed at once";
    if (world->settled && world->holds_slot)
        return "done, and its slot is lost";
    if (event == OUTBOUND_QOS2_EVENT_PUBCOMP && world->released && !world->settled)
        return "complete and still owed";
    if (event == OUTBOUND_QOS2_EVENT_PUBREC_ERROR && world->sent_here && !world->recorded &&
        !world->settled)
        return "refused by the Client and still owed [MQTT-4.4.0-2]";
    return NULL;
}

static void no_client_no_network_and_no_disk_breaks_it(void **state)
{
    struct exploration exploration = {machine, "QUEUED", possible, observe};
    assert_true(explore(&exploration, sizeof(struct world)) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_from_queue_to_pubcomp),
        cmocka_unit_test(without_pubrec_the_publish_is_sent_again_with_dup_1),
        cmocka_unit_test(a_resend_that_never_got_its_turn_is_still_owed),
        cmocka_unit_test(behind_pubrec_the_pubrel_is_sent_again),
        cmocka_unit_test(an_error_in_pubrec_ends_the_exchange),
        cmocka_unit_test(an_answer_overtakes_the_resend),
        cmocka_unit_test(a_repeated_pubrec_is_answered_with_pubrel_again),
        cmocka_unit_test(answers_out_of_turn_change_nothing),
        cmocka_unit_test(a_connection_lost_while_storing_leaves_an_exchange_to_resume),
        cmocka_unit_test(before_it_is_sent_it_can_be_dropped),
        cmocka_unit_test(too_large_to_be_resent_it_is_closed_by_pubrel),
        cmocka_unit_test(for_3_1_1_it_may_be_sent_again_on_a_live_connection),
        cmocka_unit_test(no_client_no_network_and_no_disk_breaks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
