#include "fsm/machine.h"

#include <stdio.h>

#include "fsm/for_each.h"
#include "fsm/machines.h"

#define FSM_MACHINE connection
#define FSM_PREFIX CONNECTION
#define FSM_DEF "fsm/connection.def"
#include "fsm/machine_table.inc"

#define FSM_MACHINE session
#define FSM_PREFIX SESSION
#define FSM_DEF "fsm/session.def"
#include "fsm/machine_table.inc"

#define FSM_MACHINE will
#define FSM_PREFIX WILL
#define FSM_DEF "fsm/will.def"
#include "fsm/machine_table.inc"

#define FSM_MACHINE inbound_qos2
#define FSM_PREFIX INBOUND_QOS2
#define FSM_DEF "fsm/inbound_qos2.def"
#include "fsm/machine_table.inc"

#define FSM_MACHINE outbound_qos1
#define FSM_PREFIX OUTBOUND_QOS1
#define FSM_DEF "fsm/outbound_qos1.def"
#include "fsm/machine_table.inc"

#define FSM_MACHINE outbound_qos2
#define FSM_PREFIX OUTBOUND_QOS2
#define FSM_DEF "fsm/outbound_qos2.def"
#include "fsm/machine_table.inc"

#define FSM_MACHINE authentication
#define FSM_PREFIX AUTHENTICATION
#define FSM_DEF "fsm/authentication.def"
#include "fsm/machine_table.inc"

const struct fsm_machine *const fsm_machines[] = {
    &connection_machine,    &session_machine,       &will_machine,           &inbound_qos2_machine,
    &outbound_qos1_machine, &outbound_qos2_machine, &authentication_machine, 0,
};

void fsm_trace(const struct fsm_machine *machine, uint8_t state, uint8_t event,
               const struct fsm_row *row, const char *subject)
{
    char actions[160] = "";
    unsigned long used = 0;
    for (unsigned i = 0; i < row->step_count; i++) {
        int more = snprintf(actions + used, sizeof actions - used, " %s",
                            machine->action_names[row->steps[i]]);
        used += (unsigned long)more;
        if (used >= sizeof actions)
            break;
    }
    log_line(LOG_TRACE, "client \"%s\": %s %s -%s-> %s:%s [%s]", subject, machine->name,
             machine->state_names[state], machine->event_names[event],
             machine->state_names[row->next], row->step_count > 0 ? actions : " nothing", row->why);
}
