/* The receiver's side of QoS 2 (5.0 section 4.3.3) as stories written from the specification and
 * from what an acknowledgement promises, and as all behaviours of a Client and a disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

static const struct fsm_machine *const machine = &inbound_qos2_machine;

/* [MQTT-4.3.3-8] [MQTT-4.3.3-11] [MQTT-4.3.3-12] */
static void an_exchange_owns_first_and_answers_then(void **state)
{
    PLAY(machine, "FREE",
         /* Ownership is the disk's answer, not the PUBLISH. */
         {"PUBLISH", "STORE", "STORING"}, {"STORED", "ROUTE PUBREC", "HELD"},
         {"PUBREL", "ERASE", "ERASING"}, {"ERASED", "PUBCOMP", "FREE"},
         /* After PUBCOMP the same identifier is a new Application Message. */
         {"PUBLISH", "STORE", "STORING"}, {"STORED", "ROUTE PUBREC", "HELD"});
}

/* [MQTT-4.3.3-10] */
static void a_duplicate_is_acknowledged_and_never_routed_again(void **state)
{
    PLAY(machine, "FREE", {"PUBLISH", "STORE", "STORING"}, {"STORED", "ROUTE PUBREC", "HELD"},
         {"PUBLISH", "PUBREC", "HELD"}, {"PUBLISH", "PUBREC", "HELD"},
         {"PUBREL", "ERASE", "ERASING"});
}

/* A PUBREC for the duplicate would promise what the disk has not promised yet. */
static void a_duplicate_of_what_is_being_stored_waits_with_it(void **state)
{
    PLAY(machine, "FREE", {"PUBLISH", "STORE", "STORING"}, {"PUBLISH", "", "STORING"},
         {"PUBLISH", "", "STORING"}, {"STORED", "ROUTE PUBREC", "HELD"});
}

/* The Client has no PUBREC to release. Completing would free an identifier that is being stored. */
static void a_pubrel_before_pubrec_changes_nothing(void **state)
{
    PLAY(machine, "FREE", {"PUBLISH", "STORE", "STORING"}, {"PUBREL", "", "STORING"},
         {"STORED", "ROUTE PUBREC", "HELD"}, {"PUBREL", "ERASE", "ERASING"},
         {"ERASED", "PUBCOMP", "FREE"});
}

/* [MQTT-4.3.3-9] */
static void behind_an_error_the_identifier_is_free(void **state)
{
    PLAY(machine, "FREE", {"PUBLISH_REFUSED", "PUBREC_REFUSED", "FREE"},
         {"PUBLISH_REFUSED", "PUBREC_REFUSED", "FREE"}, {"PUBLISH", "STORE", "STORING"},
         {"STORED", "ROUTE PUBREC", "HELD"});
}

/* [MQTT-4.3.3-10]: what is owned is acknowledged again, though it would be refused by now. */
static void what_was_accepted_is_not_refused_later(void **state)
{
    PLAY(machine, "FREE", {"PUBLISH", "STORE", "STORING"}, {"PUBLISH_REFUSED", "", "STORING"},
         {"STORED", "ROUTE PUBREC", "HELD"}, {"PUBLISH_REFUSED", "PUBREC", "HELD"},
         {"PUBREL", "ERASE", "ERASING"}, {"PUBLISH_REFUSED", "", "ERASING"},
         {"ERASED", "PUBCOMP", "FREE"});
}

/* PUBCOMP before the erasure is durable: a restart would take the next message under the identifier
 * for a duplicate and throw it away. */
static void pubcomp_waits_for_the_erasure(void **state)
{
    PLAY(machine, "HELD", {"PUBREL", "ERASE", "ERASING"}, {"PUBREL", "", "ERASING"},
         {"PUBLISH", "", "ERASING"}, {"ERASED", "PUBCOMP", "FREE"});
}

/* [MQTT-4.3.3-11]: any PUBREL is answered, also when the answer before was lost. */
static void a_pubrel_for_nothing_is_answered(void **state)
{
    PLAY(machine, "FREE", {"PUBREL", "PUBCOMP_NOT_FOUND", "FREE"},
         {"PUBREL", "PUBCOMP_NOT_FOUND", "FREE"}, {"PUBLISH", "STORE", "STORING"});
}

/* ---- Any Client, any disk ---- */

struct world {
    bool storing, erasing; /* the disk was asked and has not answered */
    bool owned;            /* the disk has message and identifier */
    bool routed;
    bool unanswered; /* a PUBLISH that was taken has had no PUBREC */
};

static bool possible(const void *context, uint8_t event, uint8_t state)
{
    const struct world *world = context;
    switch (event) {
    case INBOUND_QOS2_EVENT_STORED:
        return world->storing;
    case INBOUND_QOS2_EVENT_ERASED:
        return world->erasing;
    default:
        return true; /* a Client may send anything at any time */
    }
}

static const char *observe(void *context, uint8_t event, uint8_t state, const struct fsm_row *row)
{
    struct world *world = context;
    if (event == INBOUND_QOS2_EVENT_STORED) {
        world->storing = false;
        world->owned = true;
    }
    if (event == INBOUND_QOS2_EVENT_ERASED)
        world->erasing = world->owned = world->routed = false;
    for (unsigned i = 0; i < row->step_count; i++) {
        switch (row->steps[i]) {
        case INBOUND_QOS2_ACTION_STORE:
            if (world->owned || world->storing || world->erasing)
                return "a message is stored under an identifier in use";
            world->storing = world->unanswered = true;
            break;
        case INBOUND_QOS2_ACTION_ROUTE:
            if (!world->owned)
                return "routed before it is durable";
            if (world->routed)
                return "routed twice [MQTT-4.3.3-10]";
            world->routed = true;
            break;
        case INBOUND_QOS2_ACTION_PUBREC:
            if (!world->owned || world->erasing)
                return "PUBREC for what is not durable";
            if (!world->routed)
                return "PUBREC for what was not routed";
            world->unanswered = false;
            break;
        case INBOUND_QOS2_ACTION_PUBREC_REFUSED:
            if (world->owned || world->storing)
                return "refused although it was accepted";
            break;
        case INBOUND_QOS2_ACTION_ERASE:
            if (!world->owned || world->unanswered)
                return "erased before PUBREC";
            world->erasing = true;
            break;
        case INBOUND_QOS2_ACTION_PUBCOMP:
            if (world->owned || event != INBOUND_QOS2_EVENT_ERASED)
                return "PUBCOMP while the identifier is held";
            break;
        case INBOUND_QOS2_ACTION_PUBCOMP_NOT_FOUND:
            if (world->owned || world->storing)
                return "an identifier in use was not found";
            break;
        }
    }
    if (event == INBOUND_QOS2_EVENT_STORED && world->unanswered)
        return "stored, and no PUBREC [MQTT-4.3.3-8]";
    if (event == INBOUND_QOS2_EVENT_PUBLISH && world->owned && !world->erasing &&
        !does(row, INBOUND_QOS2_ACTION_PUBREC))
        return "a duplicate without PUBREC [MQTT-4.3.3-10]";
    bool in_use = world->storing || world->owned;
    if (in_use == (row->next == INBOUND_QOS2_STATE_FREE))
        return "FREE and in use at once";
    return NULL;
}

static void no_client_and_no_disk_breaks_a_promise(void **state)
{
    struct exploration exploration = {machine, "FREE", possible, observe};
    assert_true(explore(&exploration, sizeof(struct world)) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exchange_owns_first_and_answers_then),
        cmocka_unit_test(a_duplicate_is_acknowledged_and_never_routed_again),
        cmocka_unit_test(a_duplicate_of_what_is_being_stored_waits_with_it),
        cmocka_unit_test(a_pubrel_before_pubrec_changes_nothing),
        cmocka_unit_test(behind_an_error_the_identifier_is_free),
        cmocka_unit_test(what_was_accepted_is_not_refused_later),
        cmocka_unit_test(pubcomp_waits_for_the_erasure),
        cmocka_unit_test(a_pubrel_for_nothing_is_answered),
        cmocka_unit_test(no_client_and_no_disk_breaks_a_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
