/* What goes over the wire is an arrow: a table that says "send" has one. */
#include "trace/drawing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/machines.h"

enum kind { EVENT, ACTION };

static bool has_arrow(unsigned machine, unsigned action)
{
    static const struct {
        unsigned machine, kind, number, from, to;
    } arrows[] = {
#define ARROW(machine, kind, name, from, to, text)                                                 \
    {machine##_MACHINE, kind, machine##_##kind##_##name, from, to},
#include "trace/arrow.def"
#undef ARROW
    };
    for (size_t i = 0; i < sizeof arrows / sizeof *arrows; i++) {
        if (arrows[i].machine == machine && arrows[i].kind == ACTION &&
            arrows[i].number == action && arrows[i].from == BROKER && arrows[i].to == CLIENT)
            return true;
    }
    return false;
}

static void each_packet_that_a_table_sends_has_an_arrow(void **state)
{
    unsigned sent = 0;
    for (unsigned m = 0; m < FSM_MACHINE_COUNT; m++) {
        const struct fsm_machine *machine = fsm_machines[m];
        for (unsigned a = 0; a < machine->action_count; a++) {
            if (strncmp(machine->action_texts[a], "send ", 5) != 0)
                continue;
            if (!has_arrow(m, a))
                fail_msg("%s %s has no arrow", machine->name, machine->action_names[a]);
            sent++;
        }
    }
    assert_int_equal(sent, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_packet_that_a_table_sends_has_an_arrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
