/* Prints, as JSON, what the tables hold: the machines that run, the rules of packets, the
 * statements, what 3.1.1 does differently. The compiler is the only reader of a table, so that this
 * is what was built, SEEDED_BUG_ switches included. */
#include <stdio.h>
#include <string.h>

#include "fsm/machines.h"

static void text(const char *string)
{
    putchar('"');
    for (const char *p = string; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            putchar('\\');
        putchar(*p);
    }
    putchar('"');
}

static void member(const char *name, const char *value)
{
    text(name);
    printf(": ");
    text(value);
}

/* One line for each: {"name": ..., "text": ...}. */
static void words(const char *name, const char *const *names, const char *const *texts,
                  unsigned count)
{
    printf("      \"%s\": [\n", name);
    for (unsigned i = 0; i < count; i++) {
        printf("        {");
        member("name", names[i]);
        printf(", ");
        member("text", texts[i]);
        printf("}%s\n", i + 1 < count ? "," : "");
    }
    printf("      ],\n");
}

static void cell(const struct fsm_machine *machine, unsigned state, unsigned event,
                 const struct fsm_row *row)
{
    printf("        {");
    member("state", machine->state_names[state]);
    printf(", ");
    member("event", machine->event_names[event]);
    printf(", ");
    if (row->why == NULL) {
        member("never", row->never);
    } else {
        member("next", machine->state_names[row->next]);
        printf(", \"actions\": [");
        for (unsigned i = 0; i < row->step_count; i++) {
            printf("%s", i > 0 ? ", " : "");
            text(machine->action_names[row->steps[i]]);
        }
        printf("], ");
        member("why", row->why);
    }
    printf("}");
}

static void print_machine(const struct fsm_machine *machine)
{
    printf("    {\n      ");
    member("name", machine->name);
    printf(",\n      ");
    member("title", machine->title);
    printf(",\n      ");
    member("about", machine->about);
    printf(",\n");
    words("states", machine->state_names, machine->state_texts, machine->state_count);
    words("events", machine->event_names, machine->event_texts, machine->event_count);
    words("actions", machine->action_names, machine->action_texts, machine->action_count);
    printf("      \"rows\": [\n");
    unsigned cells = (unsigned)machine->state_count * machine->event_count;
    for (unsigned i = 0; i < cells; i++) {
        cell(machine, i / machine->event_count, i % machine->event_count, &machine->rows[i]);
        printf("%s\n", i + 1 < cells ? "," : "");
    }
    printf("      ]\n    }");
}

/* A table of five strings a line, which are printed as an array each. */
struct line {
    const char *columns[5];
};

static const struct line rules[] = {
#define RULE(name, reason_code, v5, v311, words) {{#name, #reason_code, v5, v311, words}},
#include "protocol/rule.def"
#undef RULE
};
#define STATEMENT(id, section, kind, words, reason) {{id, section, #kind, words, reason}},
static const struct line statements_v5[] = {
#include "conformance/statements_v5.def"
};
static const struct line statements_v311[] = {
#include "conformance/statements_v311.def"
};
#undef STATEMENT
static const struct line differences[] = {
#define DIFFERENCE(place, what, v5, v311, why) {{place, what, v5, v311, why}},
#include "spec/version_difference.def"
#undef DIFFERENCE
};

static void print_lines(const char *name, const struct line *lines, size_t count)
{
    printf(",\n  \"%s\": [\n", name);
    for (size_t i = 0; i < count; i++) {
        printf("    [");
        for (unsigned column = 0; column < 5; column++) {
            printf("%s", column > 0 ? ", " : "");
            text(lines[i].columns[column]);
        }
        printf("]%s\n", i + 1 < count ? "," : "");
    }
    printf("  ]");
}

#define LINES(lines) lines, sizeof lines / sizeof *lines

int main(void)
{
    printf("{\n  \"machines\": [\n");
    for (const struct fsm_machine *const *machine = fsm_machines; *machine != NULL; machine++) {
        print_machine(*machine);
        printf("%s\n", machine[1] != NULL ? "," : "");
    }
    printf("  ]");
    print_lines("rules", LINES(rules));
    print_lines("statements_v5", LINES(statements_v5));
    print_lines("statements_v311", LINES(statements_v311));
    print_lines("differences", LINES(differences));
    printf("\n}\n");
    return ferror(stdout) || fflush(stdout) != 0;
}
