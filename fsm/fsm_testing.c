#include "fsm/fsm_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int number_of(const char *const *names, uint8_t count, const char *name)
{
    for (uint8_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return -1;
}

uint8_t state_named(const struct fsm_machine *machine, const char *name)
{
    int number = number_of(machine->state_names, machine->state_count, name);
    if (number < 0)
        fail_msg("%s has no state %s", machine->name, name);
    return (uint8_t)number;
}

uint8_t event_named(const struct fsm_machine *machine, const char *name)
{
    int number = number_of(machine->event_names, machine->event_count, name);
    if (number < 0)
        fail_msg("%s has no event %s", machine->name, name);
    return (uint8_t)number;
}

static void actions_text(const struct fsm_machine *machine, const struct fsm_row *row, char *out,
                         size_t capacity)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < row->step_count; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", i > 0 ? " " : "",
                                 machine->action_names[row->steps[i]]);
}

void play(const struct fsm_machine *machine, const char *state, const struct expected *lines,
          size_t count)
{
    uint8_t at = state_named(machine, state);
    if (getenv("HOLDFAST_TEST_TRACE") != NULL) /* for spec/cells */
        log_threshold = LOG_TRACE;
    for (size_t i = 0; i < count; i++) {
        const char *before = machine->state_names[at];
        uint8_t event = event_named(machine, lines[i].event);
        const struct fsm_row *cell = &machine->rows[at * machine->event_count + event];
        if (cell->why == NULL)
            fail_msg("%s, line %zu: %s in %s can occur, the table says never: %s", machine->name,
                     i + 1, lines[i].event, before, cell->never);
        uint8_t from = at;
        const struct fsm_row *row = fsm_step(machine, &at, event);
        if (log_wants(LOG_TRACE))
            fsm_trace(machine, from, event, row, "test");
        char actions[160];
        actions_text(machine, row, actions, sizeof actions);
        if (strcmp(actions, lines[i].actions) != 0 ||
            strcmp(machine->state_names[at], lines[i].state) != 0)
            fail_msg("%s, line %zu: %s -%s-> is %s with \"%s\", not %s with \"%s\"", machine->name,
                     i + 1, before, lines[i].event, machine->state_names[at], actions,
                     lines[i].state, lines[i].actions);
    }
}

/* ---- Exploration ---- */

struct pair {
    uint8_t state;
    uint8_t world[WORLD_SIZE];
    size_t from; /* the pair it was reached from */
    uint8_t event;
};

struct visited {
    struct pair *pairs;
    size_t count, capacity;
};

static bool seen(const struct visited *visited, uint8_t state, const uint8_t *world)
{
    for (size_t i = 0; i < visited->count; i++) {
        if (visited->pairs[i].state == state &&
            memcmp(visited->pairs[i].world, world, WORLD_SIZE) == 0)
            return true;
    }
    return false;
}

static void visit(struct visited *visited, const struct pair *pair)
{
    if (visited->count == visited->capacity) {
        visited->capacity = visited->capacity > 0 ? visited->capacity * 2 : 64;
        visited->pairs = realloc(visited->pairs, visited->capacity * sizeof *visited->pairs);
        assert_non_null(visited->pairs);
    }
    visited->pairs[visited->count++] = *pair;
}

/* Prints how `at` was reached and fails. */
static void complain(const struct fsm_machine *machine, const struct visited *visited, size_t at,
                     uint8_t event, const char *what)
{
    char path[1024] = "";
    size_t steps[64], count = 0;
    for (size_t i = at; i != 0 && count < 64; i = visited->pairs[i].from)
        steps[count++] = i;
    size_t used = 0;
    while (count > 0 && used < sizeof path - 64)
        used += (size_t)snprintf(path + used, sizeof path - used, "%s ",
                                 machine->event_names[visited->pairs[steps[--count]].event]);
    print_error("%s: %s\n    after: %s\n    then: %s in %s\n", machine->name, what, path,
                machine->event_names[event], machine->state_names[visited->pairs[at].state]);
    free(visited->pairs);
    fail();
}

size_t explore(const struct exploration *exploration, size_t size)
{
    const struct fsm_machine *machine = exploration->machine;
    struct visited visited = {0};
    struct pair pair = {.state = state_named(machine, exploration->initial)};
    assert_true(size <= WORLD_SIZE);
    visit(&visited, &pair);
    for (size_t at = 0; at < visited.count; at++) {
        for (uint8_t event = 0; event < machine->event_count; event++) {
            pair = visited.pairs[at];
            if (!exploration->possible(pair.world, event, pair.state))
                continue;
            const struct fsm_row *row = &machine->rows[pair.state * machine->event_count + event];
            if (row->why == NULL) {
                complain(machine, &visited, at, event, "this can happen, the table says never");
                return 0;
            }
            const char *wrong = exploration->observe(pair.world, event, pair.state, row);
            if (wrong != NULL) {
                complain(machine, &visited, at, event, wrong);
                return 0;
            }
            pair.state = row->next;
            pair.from = at;
            pair.event = event;
            if (!seen(&visited, pair.state, pair.world))
                visit(&visited, &pair);
        }
    }
    free(visited.pairs);
    return visited.count;
}
