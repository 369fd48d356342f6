/* What holds for every table, whatever it says: each cell is decided, each state can be reached and
 * left again, each reason names something that exists, and a cell that cannot occur stops us. */
#include "fsm/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fsm/fsm_testing.h"
#include "fsm/machines.h"

enum { STATES_MAX = 32, MACHINES = 7 };

static const struct fsm_row *cell(const struct fsm_machine *machine, unsigned state, unsigned event)
{
    return &machine->rows[state * machine->event_count + event];
}

#define FAIL_AT(machine, state, event, ...)                                                        \
    do {                                                                                           \
        print_error("%s: %s, %s: ", (machine)->name, (machine)->state_names[state],                \
                    (machine)->event_names[event]);                                                \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        fail();                                                                                    \
    } while (0)

#define FOR_EACH_CELL(machine, state, event)                                                       \
    for (const struct fsm_machine *const *at = fsm_machines, *machine; (machine = *at) != NULL;    \
         at++)                                                                                     \
        for (unsigned state = 0; state < machine->state_count; state++)                            \
            for (unsigned event = 0; event < machine->event_count; event++)

static void all_machines_are_listed(void **test_state)
{
    unsigned count = 0;
    while (fsm_machines[count] != NULL) {
        assert_int_equal(fsm_machines[count]->number, count);
        count++;
    }
    assert_int_equal(count, MACHINES);
}

static void every_cell_is_a_row_or_never_and_not_both(void **test_state)
{
    FOR_EACH_CELL(machine, state, event)
    {
        const struct fsm_row *row = cell(machine, state, event);
        if (row->why == NULL && row->never == NULL)
            FAIL_AT(machine, state, event, "nobody has decided");
        if (row->why != NULL && row->never != NULL)
            FAIL_AT(machine, state, event, "a row, and never");
        const char *reason = row->why != NULL ? row->why : row->never;
        if (strlen(reason) < 8)
            FAIL_AT(machine, state, event, "\"%s\" is no reason", reason);
        if (row->why == NULL && (row->step_count > 0 || row->next != 0))
            FAIL_AT(machine, state, event, "never, and yet it does something");
    }
}

static void every_row_stays_within_its_machine(void **test_state)
{
    FOR_EACH_CELL(machine, state, event)
    {
        const struct fsm_row *row = cell(machine, state, event);
        assert_true(row->next < machine->state_count);
        assert_true(row->step_count <= FSM_STEPS_MAX);
        for (unsigned i = 0; i < row->step_count; i++) {
            assert_true(row->steps[i] < machine->action_count);
            for (unsigned j = 0; j < i; j++) {
                if (row->steps[j] == row->steps[i])
                    FAIL_AT(machine, state, event, "%s twice",
                            machine->action_names[row->steps[i]]);
            }
        }
    }
}

static void every_name_has_a_text_and_is_used(void **test_state)
{
    for (const struct fsm_machine *const *at = fsm_machines; *at != NULL; at++) {
        const struct fsm_machine *machine = *at;
        assert_true(strlen(machine->name) > 0);
        for (unsigned i = 0; i < machine->state_count; i++)
            assert_true(strlen(machine->state_names[i]) > 0 && strlen(machine->state_texts[i]) > 0);
        for (unsigned event = 0; event < machine->event_count; event++) {
            assert_true(strlen(machine->event_texts[event]) > 0);
            bool used = false;
            for (unsigned state = 0; state < machine->state_count; state++)
                used |= cell(machine, state, event)->why != NULL;
            if (!used)
                fail_msg("%s: event %s has no row", machine->name, machine->event_names[event]);
        }
        for (unsigned action = 0; action < machine->action_count; action++) {
            assert_true(strlen(machine->action_texts[action]) > 0);
            bool used = false;
            for (unsigned i = 0; i < (unsigned)machine->state_count * machine->event_count; i++)
                used |= does(&machine->rows[i], (uint8_t)action);
            if (!used)
                fail_msg("%s: no row does %s", machine->name, machine->action_names[action]);
        }
    }
}

/* ---- Reaching states ---- */

static void mark_reachable(const struct fsm_machine *machine, unsigned state, bool *reached)
{
    if (reached[state])
        return;
    reached[state] = true;
    for (unsigned event = 0; event < machine->event_count; event++) {
        if (cell(machine, state, event)->why != NULL)
            mark_reachable(machine, cell(machine, state, event)->next, reached);
    }
}

static void every_state_is_reachable_from_the_first(void **test_state)
{
    for (const struct fsm_machine *const *at = fsm_machines; *at != NULL; at++) {
        bool reached[STATES_MAX] = {0};
        assert_true((*at)->state_count <= STATES_MAX);
        mark_reachable(*at, 0, reached);
        for (unsigned state = 0; state < (*at)->state_count; state++) {
            if (!reached[state])
                fail_msg("%s: nothing leads to %s", (*at)->name, (*at)->state_names[state]);
        }
    }
}

static void every_state_leads_to_the_machines_rest(void **test_state)
{
    static const struct {
        const struct fsm_machine *machine;
        const char *rest;
    } rests[MACHINES] = {
        {&connection_machine, "CLOSING"},
        {&session_machine, "ABSENT"},
        {&will_machine, "NONE"},
        {&inbound_qos2_machine, "FREE"},
        {&outbound_qos1_machine, "DONE"},
        {&outbound_qos2_machine, "DONE"},
        {&authentication_machine, "FAILED"},
    };
    for (unsigned i = 0; i < MACHINES; i++) {
        const struct fsm_machine *machine = rests[i].machine;
        for (unsigned state = 0; state < machine->state_count; state++) {
            bool reached[STATES_MAX] = {0};
            mark_reachable(machine, state, reached);
            if (!reached[state_named(machine, rests[i].rest)])
                fail_msg("%s: no way from %s to %s", machine->name, machine->state_names[state],
                         rests[i].rest);
        }
    }
}

/* ---- Citations ---- */

static char statements[64 * 1024]; /* docs/spec/statements.txt: "5.0 MQTT-1.5.4-1" a line */

static int read_statements(void **test_state)
{
    FILE *file = fopen("docs/spec/statements.txt", "r");
    if (file == NULL)
        return -1;
    statements[0] = '\n';
    size_t room = sizeof statements - 2;
    size_t size = fread(statements + 1, 1, room, file);
    fclose(file);
    return size > 0 && size < room ? 0 : -1;
}

static bool is_statement(const char *id, size_t size)
{
    char line[64];
    snprintf(line, sizeof line, "\n5.0 %.*s\n", (int)size, id);
    return strstr(statements, line) != NULL;
}

/* "5.0 section 3.1.2.5": one to five numbers. */
static bool is_section(const char *text)
{
    size_t size = strspn(text, "0123456789.");
    return size > 0 && text[0] != '.' && text[size - 1] != '.' && strstr(text, "..") == NULL &&
           (text[size] == '\0' || strchr(" :;,", text[size]) != NULL);
}

static void every_row_cites_a_statement_or_a_section(void **test_state)
{
    FOR_EACH_CELL(machine, state, event)
    {
        const char *why = cell(machine, state, event)->why;
        if (why == NULL)
            continue;
        unsigned citations = 0;
        for (const char *id = why; (id = strstr(id, "MQTT-")) != NULL; citations++) {
            size_t size = 5 + strspn(id + 5, "0123456789.-");
            if (!is_statement(id, size))
                FAIL_AT(machine, state, event, "%.*s is no statement of MQTT 5.0", (int)size, id);
            id += size;
        }
        for (const char *at_section = why;
             (at_section = strstr(at_section, "5.0 section ")) != NULL; citations++) {
            at_section += strlen("5.0 section ");
            if (!is_section(at_section))
                FAIL_AT(machine, state, event, "\"%s\" names no section", why);
        }
        if (citations == 0)
            FAIL_AT(machine, state, event, "\"%s\" cites nothing", why);
    }
}

/* ---- Death, and what is said ---- */

/* Steps in a child; what it wrote to stderr goes to `out`. Returns its wait status. */
static int step_in_child(const struct fsm_machine *machine, unsigned state, unsigned event,
                         char *out, size_t capacity)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        uint8_t at = (uint8_t)state;
        const struct fsm_row *row = fsm_step(machine, &at, (uint8_t)event);
        if (log_wants(LOG_TRACE))
            fsm_trace(machine, (uint8_t)state, (uint8_t)event, row, "sensor-7");
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; (got = read(ends[0], out + used, capacity - 1 - used)) > 0;)
        used += (size_t)got;
    out[used] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool aborts(const struct fsm_machine *machine, unsigned state, unsigned event)
{
    char text[4096];
    int status = step_in_child(machine, state, event, text, sizeof text);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, "CHECK failed");
}

static void stepping_into_a_cell_that_cannot_occur_aborts(void **test_state)
{
    FOR_EACH_CELL(machine, state, event)
    {
        if (cell(machine, state, event)->never != NULL && !aborts(machine, state, event))
            FAIL_AT(machine, state, event, "the process lives on");
    }
}

static void a_state_or_an_event_out_of_range_aborts(void **test_state)
{
    for (const struct fsm_machine *const *at = fsm_machines; *at != NULL; at++) {
        assert_true(aborts(*at, (*at)->state_count, 0));
        assert_true(aborts(*at, 0, (*at)->event_count));
    }
}

static void a_trace_line_names_client_states_actions_and_statement(void **test_state)
{
    char text[4096];
    log_threshold = LOG_TRACE;
    int stored = step_in_child(&inbound_qos2_machine, INBOUND_QOS2_STATE_STORING,
                               INBOUND_QOS2_EVENT_STORED, text, sizeof text);
    assert_true(WIFEXITED(stored) && WEXITSTATUS(stored) == 0);
    assert_non_null(strstr(text, "client \"sensor-7\": inbound_qos2 STORING -STORED-> HELD: "
                                 "ROUTE PUBREC [MQTT-4.3.3-8]\n"));
    step_in_child(&outbound_qos1_machine, OUTBOUND_QOS1_STATE_SENT,
                  OUTBOUND_QOS1_EVENT_CONNECTION_LOST, text, sizeof text);
    assert_non_null(strstr(text, "SENT -CONNECTION_LOST-> UNACKNOWLEDGED: nothing ["));
    log_threshold = LOG_INFO;
    step_in_child(&inbound_qos2_machine, INBOUND_QOS2_STATE_STORING, INBOUND_QOS2_EVENT_STORED,
                  text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_machines_are_listed),
        cmocka_unit_test(every_cell_is_a_row_or_never_and_not_both),
        cmocka_unit_test(every_row_stays_within_its_machine),
        cmocka_unit_test(every_name_has_a_text_and_is_used),
        cmocka_unit_test(every_state_is_reachable_from_the_first),
        cmocka_unit_test(every_state_leads_to_the_machines_rest),
        cmocka_unit_test_setup(every_row_cites_a_statement_or_a_section, read_statements),
        cmocka_unit_test(stepping_into_a_cell_that_cannot_occur_aborts),
        cmocka_unit_test(a_state_or_an_event_out_of_range_aborts),
        cmocka_unit_test(a_trace_line_names_client_states_actions_and_statement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
